//! Stores that answer late: what a session does with each answer, and with one that nobody wants
//! any more.

use super::*;
use crate::proto::{Digest, Strings, UploadId};
use crate::store::{Done, Error, Opening, Reserved};

/// What the store's answers to an announcement are for.
const KEY: Key = Key {
    connection: 1,
    ticket: 0,
};

fn message(kind: u8, text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("it is short");
    [&[kind], &length.to_le_bytes()[..], text.as_bytes()].concat()
}

fn put(fields: &str) -> Vec<u8> {
    message(16, fields)
}

fn end(fields: &str) -> Vec<u8> {
    message(17, fields)
}

fn digest() -> Digest {
    Digest(blake3::hash(b"12").into())
}

fn receipt() -> Receipt {
    Receipt {
        name: "a".into(),
        size: 2,
        digest: Some(digest()),
        durable: true,
    }
}

fn failed() -> Error {
    Error::Io {
        doing: "try",
        error: std::io::ErrorKind::Other.into(),
    }
}

impl Bench {
    /// The peer sends this, and the session is visited for it.
    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.peer.write_all(bytes.as_ref()).expect("room");
        self.event();
    }

    /// The same; the store is to say this of the upload that is begun.
    fn send_opening(
        &mut self,
        opening: fn(
            crate::store::memory::MemoryUpload,
        ) -> Opening<crate::store::memory::MemoryUpload>,
        fields: &str,
    ) {
        self.store.openings.push_back(opening);
        self.send(put(fields));
        assert!(self.replies().is_empty(), "the answer waits for the store");
    }
}

/// Announces a file that the store has to look for.
fn looking() -> Bench {
    let mut bench = Bench::new();
    let fields = format!("name=a\nsize=2\nblake3={}", digest());
    bench.send_opening(|_| Opening::Looking, &fields);
    bench
}

#[test]
fn a_file_that_is_there_already_is_told_and_looked_at_once_more_at_the_end() {
    let mut bench = looking();
    bench.hear(Done::Looked(KEY, Ok(Some(receipt()))));
    assert_eq!(bench.texts(), ["OK\noffset=2"]);
    bench.store.openings.push_back(|_| Opening::Looking);
    bench.send([2, 0]);
    bench.hear(Done::Looked(KEY, Ok(Some(receipt()))));
    assert!(bench.texts()[0].starts_with("OK\nname=a\nsize=2\nblake3="));
    assert_eq!(bench.store.orders.len(), 2);
    assert_eq!(bench.counters.snapshot().stored, 0, "it was there");
}

#[test]
fn where_another_file_has_the_name_the_upload_begins_without_another_look() {
    let mut bench = looking();
    bench.hear(Done::Looked(KEY, Ok(None)));
    assert_eq!(bench.texts(), ["OK\noffset=0"]);
    let [first, second] = &bench.store.orders[..] else {
        panic!("{:?}", bench.store.orders);
    };
    assert!(first.look_first && first.digest == Some(digest()));
    assert!(!second.look_first && second.digest_follows && second.digest.is_none());
    bench.send(b"\x02\x0212");
    bench.commit_all();
    bench.event();
    assert_eq!(bench.replies(), ["OK"]);
    assert_eq!(bench.files.get("a").as_deref(), Some(&b"12"[..]));
}

#[test]
fn a_file_that_can_not_be_looked_at_is_the_stores_failure_and_people_hear_of_it() {
    let mut bench = looking();
    bench.hear(Done::Looked(KEY, Err(failed())));
    assert_eq!(bench.replies(), ["ERR io"]);
    assert!(matches!(bench.notes[..], [Note::Failed(Code::Io, _)]));
    assert_eq!(bench.counters.snapshot().failed, 1);
}

#[test]
fn what_nobody_waits_for_any_more_is_told_to_nobody() {
    let late: [fn() -> Done; 4] = [
        || Done::Looked(KEY, Ok(Some(receipt()))),
        || Done::Looked(KEY, Ok(None)),
        || Done::Resumed(KEY, Ok(2)),
        || Done::Resumed(KEY, Err(failed())),
    ];
    for late in late {
        let mut bench = looking();
        bench.session.stop(Stop::Now, NOW);
        bench.event();
        assert_eq!(bench.replies(), ["ERR shutdown"]);
        bench.hear(late());
        assert!(bench.replies().is_empty());
        assert_eq!(bench.store.orders.len(), 1, "nothing is begun");
        assert!(bench.notes.is_empty());
    }
}

#[test]
fn space_that_is_reserved_beside_the_loop_is_waited_for() {
    for is_there in [true, false] {
        let mut bench = Bench::new();
        bench.send_opening(Opening::Reserving, "name=a\nsize=2");
        let reserved = match is_there {
            true => Ok(()),
            false => Err(Error::Full(std::io::ErrorKind::StorageFull.into())),
        };
        bench.hear(Done::Reserved(KEY, reserved));
        let expected = ["ERR no-space", "OK"][usize::from(is_there)];
        assert_eq!(bench.replies(), [expected]);
        assert_eq!(bench.store.discarded, u32::from(!is_there));
        assert_eq!(bench.session.upload.is_some(), is_there);
        assert_eq!(bench.counters.snapshot().failed, u64::from(!is_there));
    }
}

#[test]
fn space_for_more_of_an_upload_is_there_is_waited_for_or_is_the_end_of_it() {
    let full = || Error::Full(std::io::ErrorKind::StorageFull.into());
    for (said, later, is_there) in [
        (Ok(Reserved::Now), None, true),
        (Ok(Reserved::Later), Some(Ok(())), true),
        (Ok(Reserved::Later), Some(Err(full())), false),
        (Err(full()), None, false),
    ] {
        let mut bench = Bench::new();
        bench.send(put("name=a\nend=explicit"));
        assert_eq!(bench.replies(), ["OK"]);
        bench.store.reserved.push_back(said);
        bench.send(b"\x02\x0212");
        if let Some(later) = later {
            assert!(bench.replies().is_empty());
            bench.hear(Done::Reserved(KEY, later));
        }
        let expected = ["ERR no-space", "OK"][usize::from(is_there)];
        assert_eq!(bench.replies(), [expected]);
        assert_eq!(bench.store.discarded, u32::from(!is_there));
        bench.send(end("size=2"));
        bench.commit_all();
        bench.event();
        assert_eq!(bench.replies(), [expected], "and so is its END");
    }
}

#[test]
fn an_upload_is_gone_on_with_from_where_the_store_says_or_not_at_all() {
    let fields = "name=a\nsize=6\nupload=id";
    for (said, expected) in [
        (Ok(3), "OK\noffset=3"),
        (Err(Error::Held), "ERR busy"),
        (Err(failed()), "ERR io"),
    ] {
        let (offers, ours) = (said.is_ok(), matches!(said, Err(Error::Io { .. })));
        let mut bench = Bench::new();
        bench.send_opening(Opening::Resuming, fields);
        bench.hear(Done::Resumed(KEY, said));
        let told = bench.texts();
        assert!(told[0].starts_with(expected), "{told:?}");
        assert_eq!(bench.session.upload.is_some(), offers);
        assert_eq!(bench.counters.snapshot().failed, u64::from(!offers));
        assert_eq!(bench.notes.len(), usize::from(ours));
    }
}

#[test]
fn an_upload_that_another_connection_takes_over_is_given_up_when_what_came_is_read() {
    let mut bench = Bench::new();
    bench.send(put("name=a\nsize=6\nupload=id"));
    bench.send(b"\x02\x06123");
    assert_eq!(bench.replies(), ["OK"]);
    let order = bench.store.orders[0].clone();
    assert_eq!(order.upload, UploadId::parse("id"));
    let other = Key {
        connection: 2,
        ..KEY
    };
    let taken = bench.store.inner.begin(&order, other);
    assert!(matches!(taken, Ok(Opening::Resumed(_, 3))), "{taken:?}");
    bench.hear(Done::Taken(KEY));
    assert!(bench.texts()[0].contains("another connection goes on"));
    assert!(bench.session.upload.is_none());
    // It hears of one that it has not got any more as well.
    bench.hear(Done::Taken(KEY));
    assert!(bench.replies().is_empty());
}

#[test]
fn a_file_that_is_found_at_the_commit_is_told_as_stored_and_not_counted_as_such() {
    let mut bench = Bench::new();
    bench.spare = 8;
    bench.send(b"\x01\x01\0a\x02\x0212\x01\x01\0b\x02\x0212");
    let (_, _, key) = bench.store.held[0];
    assert_eq!(bench.spare, 7);
    assert!(bench.session.is_busy());
    bench.hear(Done::Found(key, receipt()));
    assert_eq!(bench.spare, 8, "its descriptor is free");
    bench.store.held.remove(0);
    bench.commit_all();
    bench.event();
    assert_eq!(bench.replies(), ["OK"; 4]);
    assert_eq!(bench.counters.snapshot().stored, 1);
    assert!(!bench.session.is_busy());
}

#[test]
fn a_commit_that_fails_is_told_counted_and_its_descriptor_is_free() {
    let mut bench = Bench::new();
    bench.send(b"\x01\x01\0a\x02\x0212");
    let (_, _, key) = bench.store.held.remove(0);
    bench.hear(Done::Stored(
        key,
        Err(Error::Unknown(std::io::ErrorKind::Other.into())),
    ));
    assert_eq!(bench.replies(), ["OK", "ERR unknown"]);
    assert!(matches!(bench.notes[..], [Note::Failed(Code::Unknown, _)]));
    let counts = bench.counters.snapshot();
    assert_eq!((counts.stored, counts.failed), (0, 1));
}

#[test]
fn a_message_for_people_is_shown_and_goes_back() {
    let mut bench = Bench::with_rules(Rules {
        strings: Strings::Message,
        ..Rules::default()
    });
    bench.send(message(1, "hi"));
    assert_eq!(bench.texts(), ["Message: hi"]);
    match &bench.notes[..] {
        [Note::Message(text)] => assert_eq!(text, "hi"),
        notes => panic!("{notes:?}"),
    }
}

#[test]
fn an_upload_whose_end_is_wrong_is_thrown_away_and_counted() {
    let mut bench = Bench::new();
    bench.send(put("name=a\nend=explicit"));
    bench.send(b"\x02\x0212");
    bench.send(end("size=3"));
    assert_eq!(bench.replies(), ["OK", "OK", "ERR digest"]);
    assert_eq!((bench.store.discarded, bench.store.held.len()), (1, 0));
    assert_eq!(bench.counters.snapshot().failed, 1);
}

#[test]
fn an_upload_that_is_given_up_for_another_is_counted_and_one_that_was_not_begun_is_not() {
    let mut bench = Bench::new();
    assert!(!bench.session.is_busy());
    bench.send(put("name=a\nsize=2"));
    assert!(bench.session.upload.is_some() && bench.session.is_busy());
    bench.send(put("name=.."));
    assert_eq!(bench.replies(), ["OK", "ERR bad-name"]);
    assert!(bench.session.upload.is_none());
    assert_eq!(bench.counters.snapshot().failed, 1);
    bench.send(put("name=.."));
    assert_eq!(bench.replies(), ["ERR bad-name"]);
    assert_eq!(bench.counters.snapshot().failed, 1);
}
