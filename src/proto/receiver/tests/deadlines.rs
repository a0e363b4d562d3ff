//! Peers that stand still, in made-up time.

use super::*;
use crate::proto::limits::{LINGER_MOST, RATE_WINDOW};

const SECOND: Duration = Duration::from_secs(1);

fn told(rig: &Rig) -> Option<String> {
    rig.replies().pop()
}

#[test]
fn a_connection_without_a_first_byte_is_told_and_closed() {
    let mut rig = Rig::new(rules());
    rig.pass(10 * SECOND);
    assert_eq!(
        told(&rig)
            .as_deref()
            .map(|text| text.ends_with("what=header")),
        Some(true)
    );
    rig.pass(4 * SECOND);
    assert_ne!(
        rig.machine.want(),
        Want::Close,
        "it is listened to, so that it can read why"
    );
    rig.pass(SECOND);
    assert_eq!(rig.machine.want(), Want::Close);
}

#[test]
fn a_header_has_ten_seconds_in_all_however_it_drips() {
    let mut rig = Rig::new(rules());
    for byte in [9, 0, 0] {
        rig.feed(&[byte]);
        rig.pass(4 * SECOND);
    }
    assert_eq!(rig.statuses(), ["ERR timeout"]);
}

#[test]
fn a_body_may_take_for_ever_if_it_moves() {
    let mut rig = Rig::new(Rules {
        deadlines: crate::proto::Deadlines {
            min_rate: 0,
            ..Default::default()
        },
        ..rules()
    });
    rig.feed(&data(&[0; 200])[..2]);
    for _ in 0..200 {
        rig.pass(59 * SECOND);
        rig.feed(&[7]);
    }
    assert_eq!(rig.statuses(), ["OK"]);
}

#[test]
fn a_body_that_stands_still_or_only_drips_is_thrown_away() {
    let mut still = Rig::new(rules());
    still.feed(&data(&[0; 200])[..9]);
    still.pass(RATE_WINDOW);
    assert!(told(&still).is_some_and(|text| text.ends_with("what=body")));
    assert!(still.log.contains(&Event::Abort));

    let mut slow = Rig::new(rules());
    slow.feed(&data(&[0; 50_000])[..4]);
    for second in 0..30 {
        assert_eq!(slow.replies().len(), 0, "at {second} s");
        slow.feed(&[0; 499]);
        slow.pass(SECOND);
    }
    assert_eq!(slow.statuses(), ["ERR timeout"]);

    let mut fast = Rig::new(rules());
    fast.feed(&data(&[0; 50_000])[..4]);
    for _ in 0..99 {
        fast.feed(&[0; 500]);
        fast.pass(SECOND);
    }
    fast.feed(&[0; 499]);
    assert_eq!(fast.statuses(), ["OK"]);
}

#[test]
fn an_idle_connection_has_five_minutes_from_its_last_reply() {
    let mut rig = Rig::new(rules());
    rig.late = true;
    rig.feed(&data(b"1"));
    rig.pass(1000 * SECOND);
    assert_eq!(
        rig.replies().len(),
        0,
        "while the store works, the peer waits for us"
    );
    rig.stored();
    rig.pass(299 * SECOND);
    assert_eq!(rig.statuses(), ["OK"]);
    rig.pass(SECOND);
    assert!(told(&rig).is_some_and(|text| text.ends_with("what=connection")));
}

#[test]
fn a_peer_that_reads_a_byte_now_and_then_is_not_closed() {
    let mut rig = Rig::new(rules());
    rig.deaf = true;
    rig.feed(&string("a"));
    let reply = rig.machine.output().len();
    assert!(reply > 3);
    for _ in 0..3 {
        rig.pass(59 * SECOND);
        rig.machine.handle_sent(1, rig.now);
        assert_ne!(rig.machine.want(), Want::Close);
    }
    rig.pass(60 * SECOND);
    assert_eq!(rig.machine.want(), Want::Close);
}

#[test]
fn a_peer_that_does_not_read_is_closed_without_a_word() {
    let mut rig = Rig::new(rules());
    rig.deaf = true;
    rig.feed(&string("a"));
    rig.pass(59 * SECOND);
    assert_ne!(rig.machine.want(), Want::Close);
    rig.pass(SECOND);
    assert_eq!(rig.machine.want(), Want::Close);
}

#[test]
fn a_peer_that_stands_still_is_told_though_it_has_not_read_the_last_reply_yet() {
    let mut rig = Rig::new(rules());
    rig.deaf = true;
    rig.feed(&[string("a"), vec![1]].concat());
    rig.pass(10 * SECOND);
    assert_ne!(rig.machine.want(), Want::Close);
    rig.deaf = false;
    rig.settle();
    assert_eq!(rig.statuses(), ["OK", "ERR timeout"]);
}

#[test]
fn a_refused_body_is_read_for_thirty_seconds_at_most() {
    let mut rig = Rig::new(rules());
    rig.feed(&[string("taken"), data(&[0; 60_000])[..4].to_vec()].concat());
    for _ in 0..31 {
        rig.feed(&[0; 1000]);
        rig.pass(SECOND);
    }
    assert_eq!(rig.statuses(), ["ERR exists", "ERR exists"]);
    assert!(rig.log.contains(&Event::FinishSending));
    for _ in 0..LINGER_MOST.as_secs() {
        rig.feed(&[0]);
        rig.pass(SECOND);
    }
    assert_eq!(
        rig.machine.want(),
        Want::Close,
        "even one that goes on sending is left alone then"
    );
}

#[test]
fn a_deadline_that_is_off_never_comes() {
    let deadlines = crate::proto::Deadlines {
        header: None,
        stall: None,
        idle: None,
        min_rate: 0,
    };
    let mut rig = Rig::new(Rules {
        deadlines,
        ..rules()
    });
    assert_eq!(rig.machine.deadline(), None);
    rig.feed(&data(b"12345")[..3]);
    assert_eq!(rig.machine.deadline(), None);
    rig.feed(b"2345");
    assert_eq!(rig.machine.deadline(), None);
}
