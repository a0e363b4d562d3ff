//! `lab client` against servers that refuse, die, stall or stammer: a clear line each time, and
//! never a hang.

mod common;

use std::fs::File;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use common::{ClosedPort, Fake, GUARD, Peer, Ran, piecemeal_with_input};
use tempfile::TempDir;

/// The name of the file that is sent, and its message in the grammar u1.
const NAME: &str = "report.pdf";
const NAMED: &[u8] = b"\x01report.pdf";

/// A folder with a file of so many bytes; sparse, so that it costs nothing.
fn file_of(size: u64) -> (TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(NAME);
    let file = File::create(&path).expect("it is new");
    file.set_len(size).expect("it may be large");
    let line = format!("{}\n", path.display());
    (folder, line)
}

fn client(to: &str, arguments: &[&str], input: &str) -> Ran {
    let mut arguments = [&["lab", "client", "--to", to], arguments].concat();
    if !arguments.contains(&"--timeout") {
        // A slow machine is no fault.
        arguments.extend(["--timeout", "1m"]);
    }
    if !arguments.contains(&"--quiet") {
        arguments.extend(["--quiet", "1m"]);
    }
    piecemeal_with_input(&arguments, input.as_bytes())
}

/// Sends a file of 1000 bytes.
fn upload(to: &str, arguments: &[&str]) -> Ran {
    let (_folder, line) = file_of(1000);
    client(to, &[&["--task", "6"], arguments].concat(), &line)
}

/// A server that reads the name and then plays a script, which gives what the test is to see.
fn after_the_name(
    script: impl Fn(&mut Peer) -> Vec<u8> + Send + 'static,
) -> (Fake, Receiver<Vec<u8>>) {
    let (tell, told) = channel();
    let fake = Fake::playing(move |peer| {
        assert_eq!(peer.take(NAMED.len()), NAMED);
        let seen = script(peer);
        // The test may look at nothing.
        let _ = tell.send(seen);
    });
    (fake, told)
}

fn seen(told: &Receiver<Vec<u8>>) -> Vec<u8> {
    told.recv_timeout(GUARD).expect("the script ends")
}

/// What the file of 1000 bytes is in the grammar u1.
fn file_message() -> Vec<u8> {
    [&[3, 0xe8, 3][..], &[0; 1000]].concat()
}

#[test]
fn a_name_leaves_in_one_write_and_so_do_a_length_and_what_follows_it() {
    let (tell, told) = channel();
    let server = Fake::playing(move |peer| {
        let name = peer.take_a_read();
        peer.give("OK");
        tell.send((name, peer.take_a_read()))
            .expect("the test listens");
        peer.listen_to_the_end();
    });
    upload(&server.address, &[]).exits(0);
    let (name, file) = told.recv_timeout(GUARD).expect("the script ends");
    assert_eq!((&name[..], file), (NAMED, file_message()));
}

#[test]
fn an_ok_in_two_pieces_is_an_ok() {
    let (server, told) = after_the_name(|peer| {
        peer.give("O");
        // Only lets the client see the first piece alone; nothing depends on it.
        thread::sleep(Duration::from_millis(100));
        peer.give("K");
        peer.take_to_the_end()
    });
    let ran = upload(&server.address, &["--quiet", "1ms"]).exits(0);
    assert!(ran.out.contains("report.pdf: sent, 1000 bytes"), "{ran:#?}");
    assert_eq!(seen(&told), file_message());
}

#[test]
fn a_framed_ok_in_single_bytes_is_an_ok() {
    let server = Fake::playing(|peer| {
        peer.take(3 + NAME.len());
        for byte in b"\x01\x02\x00OK" {
            peer.give([*byte]);
            thread::sleep(Duration::from_millis(10));
        }
        peer.take(file_message().len());
    });
    upload(&server.address, &["--grammar", "framed", "--quiet", "1ms"]).exits(0);
}

#[test]
fn whatever_is_not_ok_is_shown_and_nothing_is_sent() {
    for (answer, shown) in [
        ("NO", "NO"),
        ("OKAY", "OKAY"),
        ("ok", "ok"),
        ("exists\x1b[2J", r"exists\u{1b}[2J"),
        ("\x01\x02\x00OK", r"\u{1}\u{2}\u{0}OK"),
    ] {
        let (server, told) = after_the_name(move |peer| {
            peer.give(answer);
            // It neither ends nor says more.
            peer.take_to_the_end()
        });
        let ran = upload(&server.address, &["--quiet", "1ms"]).exits(3);
        let line = format!("the server answered \"{shown}\" and not OK, so nothing was sent");
        ran.line_with(&[NAME, &line]);
        assert_eq!(seen(&told), b"", "{answer}");
    }
}

#[test]
fn half_an_ok_is_none() {
    let (server, told) = after_the_name(|peer| {
        peer.give("O");
        peer.finish();
        peer.take_to_the_end()
    });
    let ran = upload(&server.address, &[]).exits(3);
    ran.line_with(&["the server answered \"O\" and not OK"]);
    assert_eq!(seen(&told), b"");
}

#[test]
fn an_answer_without_end_is_read_no_further_than_need_be() {
    let (server, _told) = after_the_name(|peer| {
        for _ in 0..100 {
            peer.give([b'x'; 4096]);
        }
        Vec::new()
    });
    upload(&server.address, &["--quiet", "1m"])
        .exits(3)
        .line_with(&[
            &format!("answered \"{}\" and ", "x".repeat(80)),
            " more bytes and not OK",
        ]);

    let server = Fake::playing(|peer| {
        peer.take_to_the_end();
        for _ in 0..100 {
            peer.give([b'x'; 4096]);
        }
    });
    let ran = client(&server.address, &["--task", "3"], "hello\n").exits(7);
    ran.line_with(&["answer has more than 65536 bytes"]);
}

#[test]
fn a_server_that_closes_instead_of_answering_is_told() {
    let (server, _told) = after_the_name(|_| Vec::new());
    let ran = upload(&server.address, &[]).exits(4);
    ran.line_with(&[NAME, "closed the connection instead of answering"]);
    let server = Fake::playing(|peer| {
        peer.take_to_the_end();
    });
    let ran = client(&server.address, &["--task", "3"], "hello\n").exits(4);
    ran.line_with(&["closed the connection instead of answering"]);
}

#[test]
fn a_reset_is_told_at_whatever_point_it_comes() {
    let (server, _told) = after_the_name(|peer| {
        peer.reset();
        Vec::new()
    });
    let ran = upload(&server.address, &[]).exits(4);
    ran.line_with(&[NAME, "the connection was lost"]);

    // In the middle of a file that is larger than what two sockets hold.
    let (server, _told) = after_the_name(|peer| {
        peer.give("OK");
        peer.take(1000);
        peer.reset();
        Vec::new()
    });
    let (_folder, line) = file_of(256 << 20);
    let ran = client(&server.address, &["--task", "6"], &line).exits(4);
    ran.line_with(&[NAME, "the connection was lost"]);

    // Behind the whole of it.
    let (server, _told) = after_the_name(|peer| {
        peer.give("OK");
        peer.take(file_message().len());
        peer.reset();
        Vec::new()
    });
    let ran = upload(&server.address, &[]).exits(4);
    ran.line_with(&[NAME, "the connection was lost"]);
}

#[test]
fn a_silent_server_is_given_up_whatever_is_due() {
    let silent = Fake::playing(|peer| peer.stand_still());
    let patience = ["--timeout", "500ms"];
    for (task, grammar, input) in [
        ("hello", "u1", "hello\n"),
        ("3", "u1", "hello\n"),
        ("4", "framed", "1\nhello\n"),
        ("5", "framed", "2 300\n"),
    ] {
        let arguments = [&["--task", task, "--grammar", grammar], &patience[..]].concat();
        let ran = client(&silent.address, &arguments, input).exits(8);
        ran.line_with(&["did not answer within 500ms", "--timeout"]);
    }
    let ran = upload(&silent.address, &patience).exits(8);
    ran.line_with(&[NAME, "did not answer within 500ms"]);
    let framed = [&["--grammar", "framed"], &patience[..]].concat();
    upload(&silent.address, &framed).exits(8);
}

#[test]
fn an_answer_is_printed_although_the_connection_is_left_open() {
    for task in ["hello", "3"] {
        let server = Fake::playing(|peer| {
            peer.take_to_the_end();
            peer.give("Message: hello");
            peer.stand_still();
        });
        let ran = client(
            &server.address,
            &["--task", task, "--timeout", "3s"],
            "hello\n",
        );
        let ran = ran.exits(0);
        assert_eq!(ran.out, "Message: hello\n");
        ran.line_with(&["keeps the connection open, where it should end it"]);
    }
}

#[test]
fn an_answer_that_comes_byte_by_byte_is_waited_for_while_it_comes() {
    // Longer than the whole patience, and each pause much shorter than it.
    let server = Fake::playing(|peer| {
        peer.take_to_the_end();
        for byte in [b'x'; 40] {
            peer.give([byte]);
            thread::sleep(Duration::from_millis(100));
        }
    });
    let patience = ["--task", "3", "--timeout", "3s"];
    let ran = client(&server.address, &patience, "hello\n").exits(0);
    assert_eq!(ran.out, format!("{}\n", "x".repeat(40)));
    assert_eq!(ran.err, "");
}

#[test]
fn a_server_that_reads_a_large_file_slowly_but_steadily_is_waited_for() {
    const SIZE: usize = 3 << 20;
    let (tell, told) = channel();
    let server = Fake::playing(move |peer| {
        peer.take(3 + NAME.len());
        peer.give(common::string(b"OK"));
        // The type, and the length on three bytes.
        let mut got = peer.take(4).len();
        for _ in 0..SIZE / (64 << 10) {
            got += peer.take(64 << 10).len();
            thread::sleep(Duration::from_millis(100));
        }
        peer.give(common::string(b"OK"));
        tell.send(got).expect("the test listens");
    });
    let (_folder, line) = file_of(SIZE as u64);
    let task = ["--task", "6", "--grammar", "framed", "--timeout", "3s"];
    client(&server.address, &task, &line).exits(0);
    let got = told.recv_timeout(GUARD).expect("the script ends");
    assert_eq!(got, 4 + SIZE);
}

#[test]
fn a_server_that_owes_nothing_may_leave_the_connection_open() {
    let silent = Fake::playing(|peer| peer.stand_still());
    for (task, input) in [("4", "1\nhello\n2 5\n"), ("5", "2 300\n1\nhello\n")] {
        let arguments = ["--task", task, "--quiet", "1ms"];
        let ran = client(&silent.address, &arguments, input).exits(0);
        let open = ran.out.lines();
        let open = open.filter(|line| line.ends_with("; the server keeps the connection open"));
        assert_eq!(open.count(), 2, "{ran:#?}");
    }
    let (server, _told) = after_the_name(|peer| {
        peer.give("OK");
        peer.stand_still();
        Vec::new()
    });
    let ran = upload(&server.address, &["--quiet", "1ms"]).exits(0);
    let end = "report.pdf: sent, 1000 bytes; the server keeps the connection open\n";
    assert!(ran.out.ends_with(end), "{ran:#?}");
}

#[test]
fn a_file_that_shrinks_is_not_completed_by_the_end_of_the_stream() {
    let (folder, line) = file_of(1000);
    let (tell, told) = channel();
    let server = Fake::playing(move |peer| {
        peer.take(1 + NAME.len());
        // The client has opened it, and reads it only once it has the answer.
        let file = File::options().write(true).open(folder.path().join(NAME));
        file.and_then(|file| file.set_len(10)).expect("it is there");
        peer.give("OK");
        tell.send(peer.ends_in_a_reset()).expect("the test listens");
    });
    let task = ["--task", "6", "--grammar", "u3"];
    let ran = client(&server.address, &task, &line).exits(9);
    ran.line_with(&[NAME, "it shrank while it was sent"]);
    assert!(told.recv_timeout(GUARD).expect("the script ends"));
}

#[test]
fn a_server_that_takes_no_more_bytes_is_given_up() {
    let (server, _told) = after_the_name(|peer| {
        peer.give("OK");
        peer.stand_still();
        Vec::new()
    });
    let (_folder, line) = file_of(256 << 20);
    let task = ["--task", "6", "--timeout", "3s"];
    let ran = client(&server.address, &task, &line).exits(8);
    ran.line_with(&[NAME, "took no byte for 3s"]);
}

#[test]
fn a_server_that_is_not_there_is_told_for_each_line_and_none_is_skipped() {
    let port = ClosedPort::new();
    for (task, input, count) in [
        ("1", "\n\n", 2),
        ("3", "a\nb\n", 2),
        ("4", "1\na\n2 5\n", 2),
    ] {
        let ran = client(&port.address, &["--task", task], input).exits(4);
        let lines = ran
            .err
            .lines()
            .filter(|line| line.contains("can't connect"));
        assert_eq!(lines.count(), count, "{ran:#?}");
        ran.line_with(&[&format!("`piecemeal lab serve --task {task}` starts")]);
    }
    upload(&port.address, &[]).exits(4);
}

#[test]
fn what_a_server_says_behind_a_file_is_shown() {
    let (server, _told) = after_the_name(|peer| {
        peer.give("OK");
        peer.take_to_the_end();
        peer.give("thanks\n");
        Vec::new()
    });
    let ran = upload(&server.address, &[]).exits(0);
    assert!(
        ran.out
            .ends_with("sent, 1000 bytes; the server said \"thanks\\n\"\n"),
        "{ran:#?}"
    );
}

#[test]
fn a_refusal_behind_a_framed_file_is_one() {
    let server = Fake::playing(|peer| {
        peer.take(3 + NAME.len());
        peer.give(common::string(b"OK"));
        peer.take_to_the_end();
        peer.give(common::string(b"ERR no-space\ntext=the disk is full"));
    });
    let ran = upload(&server.address, &["--grammar", "framed"]).exits(3);
    ran.line_with(&[NAME, "refused it: \"ERR no-space"]);
}
