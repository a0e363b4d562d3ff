//! Uploads that are gone on with, cut off and taken over.

use super::*;
use crate::store::{Done, Key, MemoryStore, Opening, Store};
use proptest::prelude::*;

fn explicit_left() -> Put {
    Put {
        explicit_end: true,
        ..resumable("left")
    }
}

#[test]
fn the_answer_says_the_offset_and_the_data_is_what_is_left() {
    let mut rig = Rig::new(rules());
    rig.feed(&[put(&resumable("left")), data(b"3456")].concat());
    assert_eq!(
        rig.replies(),
        ["OK\noffset=2", "OK\nname=stored\nsize=6\ndurable=yes"]
    );
    assert!(rig.log.contains(&Event::Bytes(b"3456".to_vec())));
    let size = 6;
    assert!(
        rig.log
            .contains(&Event::Commit(Seal { size, digest: None }))
    );
}

#[test]
fn data_of_another_length_is_refused_and_the_upload_is_kept() {
    for body in [&b"123456"[..], b"", b"345", b"34567"] {
        let mut rig = Rig::new(rules());
        rig.feed(&[put(&resumable("left")), data(body)].concat());
        assert_eq!(rig.statuses(), ["OK", "ERR bad-state"]);
        assert!(rig.log.contains(&Event::Abort) && !rig.log.contains(&Event::Discard));
    }
}

#[test]
fn parts_go_on_from_the_offset_and_the_end_counts_the_whole_file() {
    let session = |size| {
        let size = Some(size);
        let mut rig = Rig::new(rules());
        rig.feed(
            &[
                put(&explicit_left()),
                data(b"34"),
                data(b"56"),
                end(End { size, digest: None }),
            ]
            .concat(),
        );
        rig
    };
    assert_eq!(session(6).statuses(), ["OK"; 4]);
    // What was counted otherwise is wrong from the first byte on, and not gone on with.
    let wrong = session(4);
    assert_eq!(wrong.statuses(), ["OK", "OK", "OK", "ERR digest"]);
    assert!(wrong.log.contains(&Event::Discard));
}

#[test]
fn a_limit_is_for_the_whole_file() {
    let limited = Rules {
        max_size: Some(4),
        ..rules()
    };
    for (body, status) in [(&b"34"[..], "OK"), (b"345", "ERR too-large")] {
        let mut rig = Rig::new(limited);
        let unsized_put = Put {
            size: None,
            ..resumable("left")
        };
        rig.feed(&[put(&unsized_put), data(body)].concat());
        assert_eq!(rig.statuses(), ["OK", status]);
    }
}

#[test]
fn a_body_that_is_cut_off_is_kept_and_the_answer_says_so() {
    for (announced, kept) in [(resumable("left"), true), (announced("left"), false)] {
        let mut rig = Rig::new(rules());
        let message = [put(&announced), data(b"3456")].concat();
        rig.feed(&message[..message.len() - 1]);
        rig.end();
        let replies = rig.replies();
        assert!(replies[1].starts_with("ERR incomplete\n"), "{replies:?}");
        assert_eq!(replies[1].contains("what came is kept"), kept);
        assert!(rig.log.contains(&Event::Abort) && !rig.log.contains(&Event::Discard));
    }
}

#[test]
fn an_upload_that_is_held_elsewhere_is_busy_and_the_connection_ends() {
    let mut rig = Rig::new(rules());
    rig.feed(&put(&resumable("held")));
    let replies = rig.replies();
    assert!(
        replies[0].starts_with("ERR busy\n") && replies[0].ends_with("\nretry=2"),
        "{replies:?}"
    );
    rig.end();
    assert_eq!(rig.log.last(), Some(&Event::Closed));
}

#[test]
fn whoever_lost_its_upload_to_another_connection_is_told_wherever_it_stands() {
    let session = [put(&explicit_left()), data(b"34"), end(End::default())].concat();
    let begun = put(&explicit_left()).len();
    for cut in begun..session.len() {
        let mut rig = Rig::new(rules());
        rig.feed(&session[..cut]);
        rig.machine.handle_taken_over(rig.now);
        rig.settle();
        let statuses = rig.statuses();
        assert_eq!(
            statuses.last().map(String::as_str),
            Some("ERR bad-state"),
            "cut at {cut}"
        );
        assert!(rig.log.contains(&Event::Abort), "cut at {cut}");
        assert_eq!(
            rig.log
                .iter()
                .filter(|event| **event == Event::FinishSending)
                .count(),
            1
        );
        // Once is enough.
        rig.machine.handle_taken_over(rig.now);
        rig.end();
        assert_eq!(rig.statuses(), statuses);
        assert_eq!(rig.log.last(), Some(&Event::Closed));
    }
}

#[test]
fn a_file_that_is_there_whole_is_no_upload_to_be_gone_on_with() {
    let there = Put {
        digest: Some(Digest([7; 32])),
        ..resumable("there")
    };
    let mut rig = Rig::new(rules());
    // Its client sends the whole file, since it didn't wait for the offset.
    rig.feed(&[put(&there), data(b"123456")].concat());
    assert_eq!(rig.statuses(), ["OK", "OK"]);
    let begins = rig.log.iter().filter_map(|event| match event {
        Event::Begin(order) => Some(order.upload.is_some()),
        _ => None,
    });
    assert_eq!(begins.collect::<Vec<_>>(), [true, false]);
}

/// One connection over a store: feeds what it is given and ends. Returns the replies.
fn connect(store: &mut MemoryStore, bytes: &[u8]) -> Vec<String> {
    const KEY: Key = Key {
        connection: 1,
        ticket: 0,
    };
    let mut machine = Receiver::new(Arc::new(rules()), Moment::START);
    let (mut upload, mut out, mut at) = (None, Vec::new(), 0);
    let now = Moment::START;
    while machine.want() != Want::Close {
        while let Some(action) = machine.poll_action() {
            match action {
                Action::Begin(order) => {
                    drop(upload.take());
                    let begun = match store.begin(&order, KEY) {
                        Ok(Opening::Resumed(opened, offset)) => {
                            upload = Some(opened);
                            Ok(Begun::Resumed { offset })
                        }
                        other => panic!("{other:?}"),
                    };
                    machine.handle_begun(begun, now);
                }
                Action::Reserve(_) => machine.handle_begun(Ok(Begun::Open), now),
                Action::Commit(ticket, seal) => {
                    store.commit(upload.take().expect("open"), seal, KEY);
                    while let Some(done) = store.poll_done() {
                        if let Done::Stored(_, stored) = done {
                            let stored = stored.map_err(|error| Fault::from(&error));
                            machine.handle_stored(ticket, stored, now);
                        }
                    }
                }
                Action::Discard => store.discard(upload.take().expect("open")),
                _ => upload = None,
            }
        }
        out.extend_from_slice(machine.output());
        machine.handle_sent(machine.output().len(), now);
        let rest = &bytes[at..];
        let fits =
            |left: u64| usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
        match machine.want() {
            _ if rest.is_empty() => machine.handle_end(now),
            Want::Bytes => at += machine.handle_bytes(rest, now),
            Want::Body(left) => {
                let open = upload.as_mut().expect("open");
                store.write(open, &rest[..fits(left)]).expect("room");
                machine.handle_moved(fits(left) as u64, now);
                at += fits(left);
            }
            Want::Discard(left) => {
                machine.handle_moved(fits(left) as u64, now);
                at += fits(left);
            }
            Want::Wait | Want::Close => {}
        }
    }
    let mut texts = Vec::new();
    let mut rest = out.as_slice();
    while let [1, low, high, tail @ ..] = rest {
        let (text, after) = tail.split_at(usize::from(u16::from_le_bytes([*low, *high])));
        texts.push(String::from_utf8_lossy(text).into_owned());
        rest = after;
    }
    texts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Connections that are cut off anywhere, each going on from where the server says: the file
    /// is the same as if it had come in one, and no byte is sent twice.
    #[test]
    fn cut_at_any_bytes_and_gone_on_with_the_file_is_the_same(
        file in proptest::collection::vec(any::<u8>(), 0..300),
        cuts in proptest::collection::vec(0usize..400, 0..6),
        explicit_end: bool,
    ) {
        let mut store = MemoryStore::new();
        let announced = Put {
            size: Some(file.len() as u64),
            explicit_end,
            ..resumable("a")
        };
        let mut sent = 0;
        for cut in cuts.into_iter().map(Some).chain([None]) {
            let replies = connect(&mut store, &put(&announced));
            prop_assert!(replies[0].starts_with("OK\noffset="), "{:?}", replies);
            let offset: usize = replies[0]["OK\noffset=".len()..].parse().expect("a number");
            prop_assert_eq!(offset, sent);
            let header = put(&announced).len();
            let mut session = [put(&announced), data(&file[offset..])].concat();
            let body_from = session.len() - (file.len() - offset);
            if explicit_end {
                let digest = Some(Digest(blake3::hash(&file).into()));
                session.extend(end(End { size: None, digest }));
            }
            let to = cut.map_or(session.len(), |cut| (header + cut).min(session.len() - 1));
            let replies = connect(&mut store, &session[..to]);
            sent = to.saturating_sub(body_from).min(file.len() - offset) + offset;
            let is_stored = store.files().get("a").is_some();
            if cut.is_none() || is_stored {
                prop_assert!(replies.last().is_some_and(|reply| reply.starts_with("OK\nname=a")), "{:?}", replies);
                prop_assert_eq!(store.files().get("a"), Some(file));
                return Ok(());
            }
        }
    }
}
