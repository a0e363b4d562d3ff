//! The lab's machines: whatever a student's client sends, and however it pauses.
//!
//! An input is one of two stories. A message that means something is sent whole and in pieces, with
//! no silence between them, and must do the same and the right thing. Or anything at all is sent,
//! and what always holds is checked. (That any bytes do the same in any pieces can't be said of the
//! raw grammars: what is decided when only some have come may be wrong later, as docs/lab tells.
//! It can be said of texts, and of the framed grammar.)

mod rig;

use std::time::Duration;

use piecemeal::lab::{Grammar, Settings, Task};
use piecemeal::proto::{Machine, Stop};

use super::input::Input;
use rig::{Cuts, Rig};

/// Tries one input.
pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let how = input.byte();
    let task = Task::ALL[usize::from(how >> 3) % Task::ALL.len()];
    match how & 7 {
        0 => message(&mut input),
        1 | 2 => any_pieces(task, &mut input),
        _ => anything(task, &mut input),
    }
}

/// A message that a grammar lays out, and what must come of it.
fn message(input: &mut Input<'_>) {
    let (how, which) = (input.byte(), input.byte());
    let cuts = input.take(usize::from(how >> 4));
    let grammar = Grammar::ALL[usize::from(which >> 4) % Grammar::ALL.len()];
    let body = input.rest();
    // A text is printable, and bytes of a file can't be taken for anything else.
    let text: Vec<u8> = body.iter().map(|byte| b'!' + byte % 94).collect();
    let file: Vec<u8> = body.iter().map(|byte| 4 + byte % 251).collect();
    let header = |file: &[u8]| {
        let size = u64::try_from(file.len()).expect("it is short");
        grammar.file_header(size).expect("it is short")
    };
    let mut rigs = [Cuts::None, Cuts::At(cuts)].map(|cuts| {
        let mut rig;
        match which & 7 {
            0 | 1 if !text.is_empty() => {
                rig = Rig::new(Settings::of(Task::Three));
                rig.feed_cut(&text, cuts);
                rig.silence();
            }
            2 if !text.is_empty() => {
                rig = Rig::new(Settings::of(Task::Four));
                rig.feed_cut(&[&[1], &text[..]].concat(), cuts);
                rig.silence();
            }
            3 if !file.is_empty() => {
                rig = Rig::new(Settings::of(Task::Four));
                rig.feed_cut(&[&[2], &file[..]].concat(), cuts);
            }
            4 if !grammar.ends_files_by_closing() => {
                rig = Rig::new(Settings::of(Task::Five));
                rig.feed_cut(&[header(&file), file.clone()].concat(), cuts);
                rig.silence();
            }
            5..=7 => {
                rig = Rig::new(Settings::of(Task::Six));
                rig.feed_cut(&grammar.name(b"a.bin").expect("it is short"), cuts);
                rig.silence();
                assert_eq!(rig.answers, b"OK", "{grammar}");
                rig.feed_cut(&[header(&file), file.clone()].concat(), cuts);
                rig.silence();
            }
            _ => rig = Rig::new(Settings::of(Task::Six)),
        }
        rig.end();
        rig
    });
    for rig in &mut rigs {
        rig.close();
        let stored: Vec<&[u8]> = rig.stored.iter().map(|(_, bytes)| &bytes[..]).collect();
        let shown = rig.shown.concat().into_bytes();
        match which & 7 {
            0..=2 if !text.is_empty() => assert_eq!((stored.len(), shown), (0, text.clone())),
            3 if !file.is_empty() => assert_eq!(stored, [&file[..]]),
            4 if !grammar.ends_files_by_closing() => assert_eq!(stored, [&file[..]]),
            5..=7 => {
                assert_eq!(stored, [&file[..]], "{grammar}");
                assert_eq!(rig.stored[0].0, "a.bin");
            }
            _ => assert!(stored.is_empty()),
        }
    }
    let [whole, cut] = rigs;
    whole.assert_same(&cut);
}

/// Any bytes, where the pieces make no difference.
fn any_pieces(task: Task, input: &mut Input<'_>) {
    let how = input.byte();
    let cuts = input.take(usize::from(how >> 4));
    let strict = task >= Task::Four || how & 1 == 1;
    let bytes = input.rest();
    let [whole, cut] = [Cuts::None, Cuts::At(cuts)].map(|cuts| {
        let mut rig = Rig::new(Settings {
            strict,
            ..Settings::of(task)
        });
        rig.feed_cut(bytes, cuts);
        if how & 2 == 2 {
            rig.silence();
        }
        rig.end();
        rig.close();
        rig
    });
    whole.assert_same(&cut);
}

/// Bytes, silence, stops and losses in any order.
fn anything(task: Task, input: &mut Input<'_>) {
    let how = input.byte();
    let mut rig = Rig::new(Settings {
        strict: how & 7 == 7,
        trace: how & 8 == 8,
        ..Settings::of(task)
    });
    rig.store_is_slow = how & 16 == 16;
    rig.is_deaf = how & 32 == 32;
    while !input.is_empty() && !rig.is_closed() {
        match input.byte() % 16 {
            0..=6 => rig.feed(input.piece()),
            7 => rig.silence(),
            8 => rig.wait(Duration::from_millis(1 << (input.byte() % 20))),
            9 => rig.repeat(input.byte(), input.large()),
            10 | 11 => {
                rig.answer(input.byte());
                rig.settle();
                rig.pump();
            }
            12 => rig.end(),
            13 => rig.fail_to_write(),
            14 => {
                rig.is_deaf = !rig.is_deaf;
                rig.settle();
                rig.pump();
            }
            _ => {
                let now = rig.now;
                match input.byte() % 8 {
                    0 => rig.machine.handle_lost(now),
                    1 => rig.machine.handle_stop(Stop::Now, now),
                    _ => rig.machine.handle_stop(Stop::Soon, now),
                }
                rig.settle();
                rig.pump();
            }
        }
        rig.look();
    }
    if how & 64 == 64 {
        rig.end();
    }
    rig.close();
}
