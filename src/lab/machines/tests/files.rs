//! Files, in every grammar that was met.

use super::*;
use crate::lab::Grammar;

const SIZES: [usize; 9] = [0, 1, 2, 3, 5, 255, 256, 65_536, 300_000];

fn message(grammar: Grammar, bytes: &[u8]) -> Vec<u8> {
    let header = grammar.file_header(bytes.len() as u64).expect("it fits");
    [header, bytes.to_vec()].concat()
}

/// Sends a name, gets its `OK`, and sends the file; in the middle of things the peer may pause for
/// less than the quiet moment.
fn upload(rig: &mut Rig, grammar: Grammar, name: &str, bytes: &[u8]) {
    rig.feed(grammar.name(name.as_bytes()).expect("it is short"));
    rig.silence();
    assert_eq!(rig.answers(), "OK", "{grammar}: {name}");
    rig.feed(message(grammar, bytes));
}

#[test]
fn a_file_arrives_in_every_grammar_and_size() {
    for grammar in Grammar::ALL {
        for size in SIZES {
            let mut rig = Rig::new(Task::Six);
            upload(&mut rig, grammar, "a.bin", &file(size));
            rig.end();
            assert_eq!(
                rig.stored,
                [("a.bin".to_owned(), file(size))],
                "{grammar} {size}"
            );
            assert_eq!(rig.answers(), "", "nothing is sent behind a file");
            assert!(rig.is_closed());
        }
    }
}

#[test]
fn a_file_arrives_byte_by_byte() {
    for grammar in Grammar::ALL {
        for size in [0, 1, 5, 255, 256, 1000] {
            let mut rig = Rig::new(Task::Six);
            rig.feed_singly(grammar.name(b"a.bin").expect("short"))
                .silence();
            assert_eq!(rig.answers(), "OK");
            rig.feed_singly(message(grammar, &file(size)))
                .silence()
                .end();
            assert_eq!(
                rig.stored,
                [("a.bin".to_owned(), file(size))],
                "{grammar} {size}"
            );
        }
    }
}

#[test]
fn a_socket_is_kept_for_more_files_until_the_goodbye() {
    for grammar in [Grammar::U1, Grammar::U2, Grammar::Framed] {
        let mut rig = Rig::new(Task::Six);
        for (number, size) in SIZES.into_iter().enumerate() {
            upload(&mut rig, grammar, &number.to_string(), &file(size));
            rig.silence().wait(Duration::from_secs(5));
            assert_eq!(rig.stored.len(), number + 1, "{grammar} {size}");
        }
        rig.feed("\x01QUIT").silence();
        assert!(rig.shut, "{grammar}");
        assert_eq!(rig.stored.len(), SIZES.len());
    }
}

#[test]
fn a_goodbye_in_the_same_segment_is_no_part_of_the_file() {
    for size in SIZES {
        let mut rig = Rig::new(Task::Six);
        rig.feed("\x01a.bin").silence();
        rig.feed([message(Grammar::U1, &file(size)), b"\x01QUIT".to_vec()].concat())
            .end();
        assert_eq!(rig.stored, [("a.bin".to_owned(), file(size))]);
        assert!(rig.is_closed() && rig.shown.is_empty());
    }
}

#[test]
fn the_first_name_may_be_the_goodbyes() {
    let mut rig = Rig::new(Task::Six);
    upload(&mut rig, Grammar::U1, "QUIT", b"a file");
    rig.end();
    assert_eq!(rig.stored, [("QUIT".to_owned(), b"a file".to_vec())]);
}

#[test]
fn a_file_that_is_cut_off_is_never_stored() {
    for grammar in [Grammar::U1, Grammar::U2, Grammar::Framed] {
        for size in [5, 255, 256, 65_536] {
            let whole = message(grammar, &file(size));
            // Nine cuts for a long one, every cut for a short one.
            for cut in (1..whole.len()).step_by(whole.len() / 9 + 1) {
                let mut rig = Rig::new(Task::Six);
                rig.feed(grammar.name(b"cut").expect("short")).silence();
                rig.feed(&whole[..cut]).end();
                assert!(
                    rig.stored.is_empty(),
                    "{grammar} {size} {cut}: {:?}",
                    rig.remarks
                );
                assert!(rig.is_closed());
            }
        }
    }
}

#[test]
fn a_bad_name_is_refused_with_its_reason_and_written_nowhere() {
    for name in [
        "../x", "/tmp/x", "a/b", ".", "..", "a\x1b[2J", ".hidden", "nul",
    ] {
        for grammar in Grammar::ALL {
            let mut rig = Rig::new(Task::Six);
            rig.feed(grammar.name(name.as_bytes()).expect("short"))
                .silence();
            rig.feed(message(grammar, b"data")).silence().end();
            assert!(!rig.answers().starts_with("OK"), "{grammar} {name:?}");
            assert!(
                rig.stored.iter().all(|(name, _)| name.is_empty()),
                "{grammar} {name:?}"
            );
            assert!(!rig.remarks.iter().any(|remark| remark.contains('\x1b')));
        }
    }
    let mut rig = Rig::new(Task::Six);
    rig.feed([&[1], &b"x".repeat(5000)[..]].concat()).end();
    assert!(rig.answers().starts_with("ERR bad-length: "));
}

#[test]
fn task_4_ends_a_file_with_the_stream() {
    for size in SIZES {
        let mut rig = Rig::new(Task::Four);
        // A lone type and then the end is no file.
        let size = size.max(1);
        rig.feed([2]).feed(file(size)).silence().end();
        assert_eq!(rig.stored, [(String::new(), file(size))]);
        let mut rig = Rig::new(Task::Four);
        rig.feed(message(Grammar::U2, &file(size))).end();
        assert_eq!(
            rig.stored,
            [(String::new(), file(size))],
            "four bytes of length"
        );
    }
}

#[test]
fn task_5_counts_every_byte() {
    for grammar in [Grammar::U1, Grammar::U2] {
        for size in SIZES {
            let whole = message(grammar, &file(size));
            let mut rig = Rig::new(Task::Five);
            rig.feed(&whole).silence();
            assert_eq!(
                rig.stored,
                [(String::new(), file(size))],
                "{grammar} {size}"
            );
            assert!(rig.shut, "a client that waits for the end gets it");
            rig.wait(Duration::from_secs(5)).feed(&whole).silence();
            assert_eq!(rig.stored.len(), 2, "one that goes on is still heard");
            let mut rig = Rig::new(Task::Five);
            rig.feed(&whole[..whole.len() - 1]).end();
            assert!(rig.stored.is_empty(), "{grammar} {size}");
        }
    }
}

#[test]
fn bytes_behind_a_file_do_not_spoil_it() {
    for grammar in [Grammar::U1, Grammar::U2] {
        let mut rig = Rig::new(Task::Five);
        rig.feed([message(grammar, b"hello"), b"\n".to_vec()].concat())
            .silence()
            .end();
        assert_eq!(
            rig.stored,
            [(String::new(), b"hello".to_vec())],
            "{grammar}"
        );
    }
}

#[test]
fn this_projects_own_client_gets_its_own_protocol() {
    let mut rig = Rig::new(Task::Six);
    let fields = b"name=a.txt\n";
    let put = [&[16, 11, 0], &fields[..], &[2, 5], b"hello"].concat();
    rig.feed(put);
    assert_eq!(rig.stored, [("a.txt".to_owned(), b"hello".to_vec())]);
    let answers = String::from_utf8_lossy(&rig.answers).into_owned();
    assert!(
        answers.contains("OK\noffset=0") && answers.contains("OK\nname=a.txt"),
        "{answers}"
    );
}

#[test]
fn what_a_file_begins_with_makes_no_difference() {
    for first in [
        &[0, 0, 0, 0][..],
        &[0, 0, 0],
        &[1],
        &[1, b'a'],
        &[0, 0, 0, 1, 0],
    ] {
        for size in [7, 60, 255, 300] {
            let mut bytes = file(size);
            bytes[..first.len()].copy_from_slice(first);
            for grammar in [Grammar::U1, Grammar::U2, Grammar::U3, Grammar::U4] {
                let mut rig = Rig::new(Task::Six);
                upload(&mut rig, grammar, "a.bin", &bytes);
                if grammar == Grammar::U1 {
                    rig.feed("\x01QUIT");
                }
                rig.end();
                assert_eq!(
                    rig.stored,
                    [("a.bin".to_owned(), bytes.clone())],
                    "{grammar}"
                );
            }
            let mut rig = Rig::new(Task::Four);
            rig.feed([2]).feed_singly(&bytes).end();
            assert_eq!(rig.stored, [(String::new(), bytes.clone())]);
        }
    }
}

#[test]
fn a_bad_name_is_answered_in_every_grammar() {
    for name in ["../x", "dir/test.pdf", ".hidden", &"x".repeat(210)] {
        for grammar in Grammar::ALL {
            let mut rig = Rig::new(Task::Six);
            rig.feed(grammar.name(name.as_bytes()).expect("short"))
                .silence();
            assert!(
                rig.answers().starts_with("ERR bad-name: "),
                "{grammar} {name}"
            );
        }
    }
}

#[test]
fn a_lost_upload_is_told_to_people() {
    let told = |bytes: &[u8], last: fn(&mut Rig)| {
        let mut rig = Rig::new(Task::Six);
        rig.feed("\x01a.bin").silence().feed(bytes);
        last(&mut rig);
        let said = rig.remarks.pop().expect("it says something");
        assert!(said.contains("nothing is kept"), "{said}");
        assert!(rig.stored.is_empty());
    };
    for bytes in [&b"\x02"[..], b"\x02\x09abc", b"\x03\x09\0abc", b"\x03\x09"] {
        told(bytes, |rig| {
            rig.end();
        });
        told(bytes, |rig| {
            rig.machine.handle_lost(rig.now);
            rig.settle();
        });
        told(bytes, |rig| {
            rig.silence().wait(Duration::from_secs(300));
            assert!(rig.shut, "it doesn't stand for ever");
        });
    }
}
