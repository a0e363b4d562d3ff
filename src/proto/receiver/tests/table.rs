//! Every row of the table is a step that the machine really takes.

use super::*;
use crate::proto::transitions::TABLE;
use std::collections::BTreeSet;

/// A session, and what happens to it afterwards.
type Story = (Rules, Vec<Vec<u8>>, fn(&mut Rig));

fn nothing(_: &mut Rig) {}
fn ends(rig: &mut Rig) {
    rig.end();
}
fn waits(rig: &mut Rig) {
    rig.pass(Duration::from_secs(1000));
}
fn stops(rig: &mut Rig) {
    rig.machine.handle_stop(Stop::Now, rig.now);
    rig.settle();
    rig.pass(Duration::from_secs(1000));
}
fn stops_while_committing(rig: &mut Rig) {
    stops(rig);
    rig.stored();
}
fn stops_while_unread(rig: &mut Rig) {
    rig.deaf = true;
    rig.feed(&string(&"x".repeat(4096)).repeat(100));
    stops(rig);
}
fn skips_without_end(rig: &mut Rig) {
    rig.feed(&vec![
        0;
        usize::try_from(crate::proto::limits::SKIP_MOST)
            .unwrap()
    ]);
}
fn stops_while_opening(rig: &mut Rig) {
    // The rig's store answers at once, so this one is driven by hand.
    let mut machine = Receiver::new(Arc::new(rules()), rig.now);
    let session = string("a");
    let mut at = 0;
    while at < session.len() {
        at += machine.handle_bytes(&session[at..], rig.now);
    }
    assert!(matches!(machine.poll_action(), Some(Action::Begin(_))));
    machine.handle_stop(Stop::Now, rig.now);
    while let Some(step) = machine
        .told
        .as_mut()
        .and_then(|told| told.steps.pop_front())
    {
        rig.steps.push(step);
    }
}

fn stories() -> Vec<Story> {
    let plain = rules();
    let eof = Rules {
        accept_eof: true,
        ..plain
    };
    let limited = Rules {
        max_size: Some(4),
        accept_eof: true,
        ..plain
    };
    let talking = Rules {
        strings: crate::proto::Strings::Message,
        ..plain
    };
    let huge = [&[9][..], &u64::MAX.to_le_bytes()].concat();
    let long = [&[9][..], &(1u64 << 40).to_le_bytes()].concat();
    let half = |whole: Vec<u8>| whole[..whole.len() - 1].to_vec();
    let there = Put {
        digest: Some(Digest([7; 32])),
        size: Some(5),
        ..announced("there")
    };
    vec![
        (
            plain,
            vec![
                string("a"),
                data(b"1"),
                put(&explicit("b")),
                data(b"1"),
                end(End::default()),
            ],
            ends,
        ),
        (
            plain,
            vec![
                put(&Put {
                    size: Some(1),
                    ..announced("a")
                }),
                data(b"1"),
                put(&there),
                data(b""),
            ],
            waits,
        ),
        (plain, vec![string("taken"), data(b"1"), data(b"")], ends),
        (plain, vec![huge.clone()], ends),
        (plain, vec![data(&[0; 13])], ends),
        (plain, vec![data(&vec![0; 2 << 20])], ends),
        (plain, vec![string("a"), huge], nothing),
        (limited, vec![data(b"12345")], nothing),
        (limited, vec![data(&[0; 300])], nothing),
        (limited, vec![long.clone()], nothing),
        (plain, vec![put(&announced("breaks")), data(b"12")], nothing),
        (
            plain,
            vec![put(&announced("breaks")), long, b"1".to_vec()],
            waits,
        ),
        (plain, vec![vec![255]], nothing),
        (plain, vec![vec![1, 255, 255]], ends),
        (plain, vec![], waits),
        (plain, vec![], stops),
        (plain, vec![vec![9]], ends),
        (plain, vec![vec![9]], waits),
        (plain, vec![vec![9]], stops),
        (plain, vec![half(string("ab"))], ends),
        (plain, vec![half(string("ab"))], waits),
        (plain, vec![half(string("ab"))], stops),
        (plain, vec![half(data(b"ab"))], ends),
        (plain, vec![half(data(b"ab"))], waits),
        (plain, vec![half(data(b"ab"))], stops),
        (eof, vec![vec![10, 1]], ends),
        (
            eof,
            vec![
                put(&Put {
                    size: Some(3),
                    ..announced("a")
                }),
                vec![10, 1],
            ],
            ends,
        ),
        (eof, vec![string("taken"), vec![10, 1]], ends),
        (eof, vec![string("taken"), vec![10, 1]], skips_without_end),
        (limited, vec![b"\x0a12345".to_vec()], nothing),
        (plain, vec![string("taken"), half(data(b"ab"))], ends),
        (plain, vec![string("taken"), half(data(b"ab"))], waits),
        (plain, vec![string("taken"), half(data(b"ab"))], stops),
        (talking, vec![], stops_while_unread),
        (plain, vec![], stops_while_opening),
    ]
}

#[test]
fn every_row_is_taken_by_some_session_and_every_step_is_a_row() {
    let mut taken = BTreeSet::new();
    let mut take = |rig: Rig| {
        for step in rig.steps {
            assert!(is_legal(step), "{step}");
            taken.insert((step.from, step.cause, step.to));
        }
    };
    for (rules, messages, then) in stories() {
        let mut rig = Rig::new(rules);
        rig.feed(&messages.concat());
        then(&mut rig);
        take(rig);
    }
    // A large upload holds up the next message until the store has spoken.
    let mut rig = Rig::new(rules());
    rig.late = true;
    rig.feed(&data(&vec![0; 2 << 20]));
    stops_while_committing(&mut rig);
    take(rig);

    let fault = Fault::Busy { retry: 2 };
    take(Rig::of(Receiver::refusing(
        Arc::new(rules()),
        fault,
        Moment::START,
    )));

    let missing: Vec<_> = TABLE.iter().filter(|row| !taken.contains(row)).collect();
    assert!(missing.is_empty(), "no session takes {missing:?}");
}
