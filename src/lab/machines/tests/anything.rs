//! Any bytes at all, to any task.

use proptest::prelude::*;

use super::*;
use crate::lab::Grammar;

/// More than a machine may ever hold: a file of type 2 in task 4 that is not decided yet.
const HELD_MOST: u64 = (1 << 20) + (16 << 10);

/// What a peer does next.
#[derive(Clone, Debug)]
enum Move {
    Bytes(Vec<u8>),
    Wait(u64),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let word = prop_oneof![
        any::<Vec<u8>>(),
        // What means something is met by chance too rarely.
        prop::sample::select(vec![
            b"\x01a.txt".to_vec(),
            b"\x01\x05\0a.txt".to_vec(),
            b"\x03a".to_vec(),
            b"\x05b".to_vec(),
            b"\x02\x05hello".to_vec(),
            b"\x02\x05\0\0\0hello".to_vec(),
            b"\x03\x05\0hello".to_vec(),
            b"\x01QUIT".to_vec(),
            vec![0],
            vec![1],
            vec![2],
            vec![16, 7, 0],
            b"name=a\n".to_vec(),
            vec![9, 255, 255, 255, 255, 255, 255, 255, 255],
            vec![2, 255, 255, 255, 255],
            vec![b'x'; 5000],
        ]),
    ];
    let step = prop_oneof![
        4 => word.prop_map(Move::Bytes),
        1 => (0u64..400_000).prop_map(Move::Wait),
    ];
    prop::collection::vec(step, 0..12)
}

proptest! {
    #[test]
    fn no_bytes_in_any_pieces_break_a_task(task in prop::sample::select(Task::ALL.to_vec()), strict in any::<bool>(), moves in moves(),
        ends in any::<bool>(),
    ) {
        let mut rig = Rig::with(Settings { strict, trace: true, ..Settings::of(task) });
        for step in moves {
            match step {
                Move::Bytes(bytes) => { rig.feed(bytes); }
                Move::Wait(millis) => { rig.wait(Duration::from_millis(millis)); }
            }
            let position = rig.machine.position();
            let held = position.need.is_none() && position.state != "ReadBody";
            prop_assert!(!held || position.have <= HELD_MOST, "{position:?}");
            if let Some(deadline) = rig.machine.deadline() {
                prop_assert!(deadline >= rig.now, "a deadline that has passed was dealt with");
            }
        }
        // Whatever came, and whether the peer ends its stream: the connection ends by itself.
        if ends {
            rig.end();
        }
        for _ in 0..6 {
            rig.wait(Duration::from_secs(3600));
        }
        prop_assert!(rig.is_closed(), "{:?}", rig.machine.position());
        while rig.machine.poll_step().is_some() {}
    }

    /// With no silence between them, pieces are no different from the whole. (Of bytes that mean
    /// nothing that can't be said: what is decided when only some have come may be wrong later.)
    #[test]
    fn the_same_message_in_other_pieces_does_the_same(
        (task, message) in message(),
        cuts in prop::collection::vec(1usize..40, 0..40),
    ) {
        let mut at_once = Rig::new(task);
        at_once.feed(&message);
        let mut pieces = Rig::new(task);
        let mut rest = &message[..];
        for cut in cuts {
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            pieces.feed(piece);
            rest = after;
        }
        pieces.feed(rest);
        at_once.silence().end();
        pieces.silence().end();
        prop_assert!(at_once.stored.len() + at_once.shown.len() == 1);
        prop_assert_eq!(at_once.stored, pieces.stored);
        prop_assert_eq!(at_once.answers, pieces.answers);
        prop_assert_eq!(at_once.shown, pieces.shown);
    }
}

/// A task, and a message that it takes.
fn message() -> impl Strategy<Value = (Task, Vec<u8>)> {
    let text = "[ -~]{1,300}";
    let grammars = prop::sample::select(vec![Grammar::U1, Grammar::U2]);
    prop_oneof![
        text.prop_map(|text| (Task::Three, text.into_bytes())),
        text.prop_map(|text| (Task::Four, [&[1], text.as_bytes()].concat())),
        (1usize..2000).prop_map(|size| (Task::Four, [vec![2], file(size)].concat())),
        (grammars, 0usize..2000).prop_map(|(grammar, size)| {
            let header = grammar.file_header(size as u64).expect("it fits");
            (Task::Five, [header, file(size)].concat())
        }),
    ]
}
