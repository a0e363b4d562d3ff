//! Tasks 1 and 2: who connects is printed, and the connection is closed.

use std::time::Duration;

use super::Settings;
use super::desk::Desk;
use super::reader::Reader;
use crate::proto::Position;

/// Over as soon as it begins. What the peer sends is thrown away by the ending, so that the close
/// is an end for it and no reset.
#[derive(Debug)]
pub(super) struct Address;

impl Reader for Address {
    fn handle_start(&mut self, desk: &mut Desk) {
        desk.count_message();
        desk.remark("connected");
        desk.finish();
    }

    fn handle_bytes(&mut self, bytes: &[u8], _: &mut Desk) -> usize {
        bytes.len()
    }

    fn handle_silence(&mut self, desk: &mut Desk) {
        desk.finish();
    }

    fn handle_end(&mut self, desk: &mut Desk) {
        desk.finish();
    }

    fn patience(&self, settings: &Settings) -> Duration {
        settings.idle
    }

    fn position(&self) -> Position {
        Position {
            state: "Connected",
            have: 0,
            need: None,
        }
    }

    fn is_idle(&self) -> bool {
        true
    }
}
