//! Replies in their order while the store is busy, and how a connection ends.

use super::*;

#[test]
fn a_peer_that_ends_in_a_body_is_told_and_one_that_ends_in_a_header_is_not() {
    for (bytes, statuses) in [
        (data(b"12345")[..4].to_vec(), vec!["ERR incomplete"]),
        (string("name")[..5].to_vec(), vec!["ERR incomplete"]),
        (vec![1], vec![]),
        (vec![9, 0, 0], vec![]),
        (vec![], vec![]),
    ] {
        let mut rig = Rig::new(rules());
        rig.feed(&bytes);
        rig.end();
        assert_eq!(rig.statuses(), statuses, "{bytes:?}");
        assert_eq!(rig.log.last(), Some(&Event::Closed), "{bytes:?}");
        assert!(!rig.open, "{bytes:?} left an upload open");
    }
}

#[test]
fn small_uploads_run_ahead_of_the_store_and_their_replies_stay_in_order() {
    let mut rig = Rig::new(rules());
    rig.late = true;
    rig.feed(&[string("a"), data(b"1"), string("taken"), data(b"22")].concat());
    assert_eq!(
        rig.statuses(),
        ["OK"],
        "the refusals wait for the first upload"
    );
    rig.stored();
    assert_eq!(rig.statuses(), ["OK", "OK", "ERR exists", "ERR exists"]);
}

#[test]
fn nothing_runs_ahead_of_a_large_upload() {
    let mut rig = Rig::new(rules());
    rig.late = true;
    let body = vec![0; usize::try_from(crate::proto::limits::RUN_AHEAD_SIZE).unwrap() + 1];
    let next = string("b");
    let session = [data(&body), next.clone()].concat();
    assert_eq!(
        rig.feed(&session),
        next,
        "the next message is left in the socket"
    );
    rig.stored();
    assert_eq!(rig.feed(&next), b"");
    assert_eq!(rig.statuses(), ["OK", "OK"]);
}

#[test]
fn no_more_than_so_many_uploads_wait_for_the_store() {
    let mut rig = Rig::new(rules());
    rig.late = true;
    let session = data(b"1").repeat(RUN_AHEAD_MOST + 1);
    let rest = rig.feed(&session).len();
    assert_eq!(rest, data(b"1").len());
    assert_eq!(
        rig.machine.position().state,
        "Commit",
        "it's the store's turn"
    );
    for _ in 0..RUN_AHEAD_MOST {
        rig.stored();
    }
    assert_eq!(rig.statuses().len(), RUN_AHEAD_MOST);
}

#[test]
fn answers_that_wait_behind_an_upload_are_no_more_than_so_many_either() {
    let mut rig = Rig::new(rules());
    rig.late = true;
    let names = string("a").repeat(RUN_AHEAD_MOST);
    let rest = rig.feed(&[data(b"1"), names].concat()).len();
    assert_eq!(rest, string("a").len(), "the upload has a place as well");
    rig.stored();
    assert_eq!(rig.statuses().len(), RUN_AHEAD_MOST);
}

#[test]
fn a_peer_that_reads_no_replies_has_none_of_its_messages_read() {
    let talking = Rules {
        strings: crate::proto::Strings::Message,
        ..rules()
    };
    let mut rig = Rig::new(talking);
    rig.deaf = true;
    let session = string(&"x".repeat(4096)).repeat(100);
    let rest = rig.feed(&session).len();
    assert!(rest > session.len() / 2, "memory for replies is bounded");
    assert_eq!(rig.machine.want(), Want::Wait);
}

#[test]
fn a_name_that_can_not_be_made_durable_is_told_and_ends_the_connection() {
    let mut rig = Rig::new(rules());
    rig.feed(&[string("unknown"), data(b"1")].concat());
    assert_eq!(rig.statuses(), ["OK", "ERR unknown"]);
    assert_eq!(rig.log.last(), Some(&Event::FinishSending));
}

#[test]
fn a_lost_connection_waits_for_its_commits_and_then_closes() {
    let mut rig = Rig::new(rules());
    rig.late = true;
    rig.feed(&data(b"1"));
    rig.machine.handle_lost(rig.now);
    rig.settle();
    assert_eq!(rig.machine.want(), Want::Wait);
    assert_eq!(rig.machine.deadline(), None);
    rig.stored();
    assert_eq!(rig.machine.want(), Want::Close);
}

#[test]
fn a_lost_connection_is_not_written_to_again() {
    let mut rig = Rig::new(rules());
    rig.deaf = true;
    rig.feed(&data(b"1"));
    assert!(
        !rig.machine.output().is_empty(),
        "a receipt waits to be sent"
    );
    rig.machine.handle_lost(rig.now);
    assert_eq!(rig.machine.output(), b"");

    // Nor when a commit has ended since.
    let mut rig = Rig::new(rules());
    (rig.late, rig.deaf) = (true, true);
    rig.feed(&data(b"1"));
    rig.machine.handle_lost(rig.now);
    rig.stored();
    assert_eq!(rig.machine.output(), b"");
    assert_eq!(rig.machine.want(), Want::Close);
}

#[test]
fn a_stop_lets_an_upload_finish_and_turns_an_idle_peer_away() {
    let mut rig = Rig::new(rules());
    rig.machine.handle_stop(Stop::Soon, rig.now);
    rig.settle();
    assert_eq!(rig.statuses(), ["ERR shutdown"]);

    let mut rig = Rig::new(rules());
    rig.feed(&string("a"));
    rig.machine.handle_stop(Stop::Soon, rig.now);
    rig.settle();
    rig.feed(&data(b"1"));
    assert_eq!(rig.statuses(), ["OK", "OK", "ERR shutdown"]);

    let mut rig = Rig::new(rules());
    rig.feed(&[string("a"), data(b"12345")[..3].to_vec()].concat());
    rig.machine.handle_stop(Stop::Now, rig.now);
    rig.settle();
    assert_eq!(rig.statuses(), ["OK", "ERR shutdown"]);
    assert!(rig.log.contains(&Event::Abort));
}

#[test]
fn a_peer_that_is_turned_away_reads_why() {
    let fault = Fault::Busy { retry: 2 };
    let mut rig = Rig::of(Receiver::refusing(Arc::new(rules()), fault, Moment::START));
    let Answer::Refused(refusal) = Answer::parse(&rig.replies()[0]) else {
        panic!("no refusal")
    };
    assert_eq!(refusal.retry, Some(2));
    rig.feed(&data(b"whatever it sends meanwhile"));
    assert_eq!(rig.replies().len(), 1);
    rig.end();
    assert_eq!(rig.log.last(), Some(&Event::Closed));
}
