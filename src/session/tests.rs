//! Sessions at one end of a socket pair, and what their peers are told at the other.

mod answered;
mod bench;
mod made_up;
mod spliced;
mod throttled;

use super::*;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::observe::Tracer;
use crate::observe::trace::Record;
use crate::proto::{Receiver, Rules};
use bench::{Bench, NOW};
use mio::net::UnixStream;

#[test]
fn a_visit_ends_when_its_budget_is_spent_though_there_is_more() {
    let mut bench = Bench::new();
    bench.peer.write_all(&[4, 0, 0, 16]).expect("room");
    let mut sent = 0;
    let mut visits = 0;
    while sent < 1 << 20 {
        let piece = vec![7; (1 << 20) - sent];
        sent += bench.peer.write(&piece).unwrap_or(0);
        while let Visit::Again(_) = bench.event() {
            visits += 1;
            assert!(bench.counters.body_bytes.get() <= visits * BUDGET as u64);
        }
    }
    bench.event();
    bench.commit_all();
    bench.event();
    assert_eq!(bench.replies(), ["OK"]);
    let name = &bench.files.names()[0];
    assert_eq!(
        bench.files.get(name).map(|bytes| bytes.len()),
        Some(1 << 20)
    );
}

#[test]
fn a_second_file_is_begun_only_with_a_spare_descriptor_and_gives_it_back() {
    let mut bench = Bench::new();
    bench
        .peer
        .write_all(b"\x02\x01a\x02\x01b\x02\x01c")
        .expect("room");
    bench.event();
    assert_eq!(
        bench.store.held.len(),
        1,
        "each connection has one file for itself"
    );
    bench.spare = CLAIM + 1;
    bench.visit();
    assert_eq!((bench.store.held.len(), bench.spare), (2, CLAIM));
    bench.commit_all();
    assert_eq!(bench.spare, CLAIM + 1);
    bench.visit();
    bench.commit_all();
    bench.visit();
    assert_eq!(bench.replies(), ["OK", "OK", "OK"]);
    assert_eq!((bench.files.names().len(), bench.spare), (3, CLAIM + 1));
}

#[test]
fn bytes_that_the_machine_does_not_want_yet_are_kept_and_used_later() {
    let mut bench = Bench::new();
    let large = vec![1; (1 << 20) + 1];
    let mut session = b"\x04\x01\0\x10".to_vec();
    session.extend(&large);
    session.extend(b"\x01\x01\0n\x02\x02hi");
    let mut at = 0;
    while at < session.len() {
        at += bench.peer.write(&session[at..]).unwrap_or(0);
        while let Visit::Again(_) = bench.event() {}
    }
    bench.event();
    let kept = bench.session.kept.as_ref().map_or(0, |kept| kept.len());
    assert!((1..=HEADER_READ).contains(&kept));
    assert_eq!(bench.session.held(), (kept, 0));
    bench.commit_all();
    bench.event();
    bench.commit_all();
    bench.event();
    assert_eq!(bench.replies(), ["OK", "OK", "OK"]);
    assert_eq!(bench.files.get("n").as_deref(), Some(&b"hi"[..]));
    assert!(
        bench.session.kept.is_none(),
        "an idle connection keeps no buffer"
    );
}

#[test]
fn a_store_that_fills_up_in_the_middle_refuses_that_file_and_takes_the_next() {
    let mut bench = Bench::new();
    bench.store.full_after = Some(3);
    bench.peer.write_all(b"\x02\x05").expect("room");
    for byte in b"12345" {
        bench.peer.write_all(&[*byte]).expect("room");
        bench.event();
    }
    bench.store.full_after = None;
    bench.peer.write_all(b"\x02\x02ok").expect("room");
    bench.event();
    bench.commit_all();
    bench.event();
    assert_eq!(bench.replies(), ["ERR no-space", "OK"]);
    assert_eq!(bench.files.names().len(), 1);
    assert!(matches!(
        bench.notes[..],
        [Note::Failed(..), Note::Stored(_)]
    ));
}

#[test]
fn a_visit_of_tiny_messages_ends_long_before_its_bytes_do() {
    let mut bench = Bench::new();
    let messages = b"\x01\x01\0n".repeat(HEADER_READ / 4);
    bench.peer.write_all(&messages).expect("room");
    assert!(matches!(bench.event(), Visit::Again(_)));
    let most = (BUDGET / MESSAGE) as u64;
    let mut visits = 1;
    assert!(bench.counters.messages.get() <= most);
    while let Visit::Again(_) = bench.visit() {
        visits += 1;
        assert!(bench.counters.messages.get() <= visits * most);
        bench.replies();
    }
    let counts = bench.counters.snapshot();
    assert_eq!(
        (counts.messages, counts.split_messages),
        (HEADER_READ as u64 / 4, 0)
    );
}

#[test]
fn what_came_in_time_counts_though_the_loop_is_late_to_see_it() {
    let mut bench = Bench::new();
    bench.event();
    bench.peer.write_all(b"\x02\x02o").expect("room");
    bench.now = NOW + std::time::Duration::from_secs(3600);
    bench.event();
    bench.peer.write_all(b"k").expect("room");
    bench.event();
    bench.commit_all();
    bench.event();
    assert_eq!(bench.replies(), ["OK"]);
    bench.now = bench.now + std::time::Duration::from_secs(3600);
    bench.visit();
    assert_eq!(bench.replies(), ["ERR timeout"]);
}

#[test]
fn a_message_that_comes_in_pieces_is_counted_once() {
    let mut bench = Bench::new();
    bench.spare = 8;
    for piece in [&b"\x02"[..], b"\x03", b"a", b"bc", b"\x02\x01x"] {
        bench.peer.write_all(piece).expect("room");
        bench.event();
    }
    let counts = bench.counters.snapshot();
    assert_eq!(
        (counts.messages, counts.split_messages, counts.body_bytes),
        (2, 1, 4)
    );
}

#[test]
fn a_peer_that_is_gone_leaves_when_its_commits_have_ended() {
    let mut bench = Bench::new();
    bench.spare = 8;
    bench
        .peer
        .write_all(b"\x02\x01a\x02\x01b\x02\x05half")
        .expect("room");
    bench.event();
    let (other, _) = UnixStream::pair().expect("a pair");
    drop(std::mem::replace(&mut bench.peer, other));
    // A read finds the end, and so a message cut off; the reply finds nobody.
    assert!(matches!(bench.event(), Visit::Wait(_)));
    assert_eq!(bench.counters.snapshot().failed, 1);
    bench.commit_all();
    assert_eq!(bench.event(), Visit::Close);
    assert_eq!(
        bench.files.names().len(),
        2,
        "what was whole is stored all the same"
    );
    assert_eq!(bench.spare, 8);
}

/// Has the session watched, and gives what is told.
fn watched(bench: &mut Bench) -> Arc<Mutex<Vec<String>>> {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tells = Arc::clone(&told);
    let hear = move |record: &Record| {
        let line = record.what.to_string();
        tells.lock().expect("one thread").push(line);
    };
    let mut tracer = Tracer::new(hear);
    tracer.connected(1, &"unix:test", NOW);
    bench.tracer = Some(tracer);
    bench.session.machine = Receiver::new(
        Arc::new(Rules {
            trace: true,
            ..Rules::default()
        }),
        NOW,
    );
    told
}

#[test]
fn a_trace_shows_each_partial_read_and_each_step_in_order() {
    let mut bench = Bench::new();
    let told = watched(&mut bench);
    for piece in [&b"\x01"[..], b"\x02", b"\0a", b"b"] {
        bench.peer.write_all(piece).expect("room");
        bench.event();
    }
    assert_eq!(
        *told.lock().expect("one thread"),
        [
            "connected: unix:test",
            "read 1 byte",
            "ReadType 1 of 1 byte",
            "ReadType --Type--> ReadLen",
            "read 1 byte",
            "ReadLen 1 of 2 bytes",
            "read 2 bytes",
            "ReadLen 2 of 2 bytes",
            "ReadLen --Length--> ReadText",
            "ReadText 1 of 2 bytes",
            "read 1 byte",
            "ReadText 2 of 2 bytes",
            "ReadText --Text--> Open",
            "Open --Answer--> Reply",
            "Reply --Room--> ReadType",
            "sent 5 bytes",
        ]
    );
}

#[test]
fn a_trace_shows_a_refused_body_and_the_end() {
    let mut bench = Bench::new();
    let told = watched(&mut bench);
    bench.store.full_after = Some(3);
    for piece in [&b"\x02\x08ab"[..], b"cd", b"ef"] {
        bench.peer.write_all(piece).expect("room");
        bench.event();
    }
    bench
        .peer
        .shutdown(std::net::Shutdown::Write)
        .expect("a pair");
    bench.event();
    let told = told.lock().expect("one thread");
    let from = told
        .iter()
        .position(|line| line == "Open --Answer--> ReadBody");
    assert_eq!(
        told[from.expect("a body is read")..],
        [
            "Open --Answer--> ReadBody",
            "ReadBody 2 of 8 bytes",
            "read 2 bytes",
            "ReadBody 4 of 8 bytes",
            "ReadBody --Refused--> Skip",
            "sent 51 bytes",
            "read 2 bytes",
            "Skip 4 of 6 bytes",
            "the peer ended its stream",
            "Skip --End--> Drain",
            "Drain --Sent--> Closed",
        ]
    );
}

#[test]
fn steps_that_nobody_watches_do_not_pile_up() {
    let mut bench = Bench::new();
    watched(&mut bench);
    bench.tracer = None;
    bench.peer.write_all(b"\x01\x01\0n").expect("room");
    bench.event();
    assert_eq!(bench.session.machine.poll_step(), None);
}
