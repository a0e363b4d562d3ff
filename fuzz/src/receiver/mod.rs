//! The server's machine: whatever a client sends, in whatever pieces, and whatever the store, the
//! clock and the rest of the program do meanwhile.
//!
//! An input is one of two stories. In `pieces.rs` a session comes whole and in pieces, and every
//! event is compared; what the replies may be is read from the bytes a second time, by a reader
//! that knows nothing of the machine (`framing.rs`). In `anything.rs` bytes, answers of the store,
//! time and stops come in any order, and what always holds is checked after each.

mod anything;
mod framing;
mod pieces;
mod steps;

use piecemeal::proto::name::NameRules;
use piecemeal::proto::{Conflict, Rules, Strings};

use super::input::Input;

/// Tries one input.
pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (rules, story) = rules(&mut input);
    if story {
        anything::check(rules, input);
    } else {
        pieces::check(rules, input);
    }
}

/// A server's rules, and which story is told.
fn rules(input: &mut Input<'_>) -> (Rules, bool) {
    let (one, two) = (input.byte(), input.byte());
    let bit = |byte: u8, bit: u8| byte >> bit & 1 == 1;
    let rules = Rules {
        max_size: bit(one, 1).then_some(u64::from(two >> 4)),
        accept_eof: bit(one, 2),
        strings: if bit(one, 3) {
            Strings::Message
        } else {
            Strings::Name
        },
        names: NameRules {
            allow_hidden: bit(one, 4),
            allow_folders: bit(one, 5),
        },
        conflict: match two & 3 {
            0 => Conflict::Error,
            1 => Conflict::Rename,
            _ => Conflict::Overwrite,
        },
        trace: bit(two, 2),
        tell_faults: bit(two, 3),
        ..Rules::default()
    };
    (rules, bit(one, 0))
}
