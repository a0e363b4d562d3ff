//! What one task does with what comes.

use std::fmt;
use std::time::Duration;

use super::Settings;
use super::desk::Desk;
use crate::proto::{Fault, Position, Receipt, Want};

/// One task, for one connection. It is told what happened, and leaves at the desk what is to be
/// done. While the store is asked something, or once the desk was told to finish, it hears of no
/// bytes, no silence and no end.
pub(super) trait Reader: fmt::Debug + Send {
    /// The connection is made.
    fn handle_start(&mut self, desk: &mut Desk) {
        let _ = desk;
    }

    /// Bytes came. Returns how many it took, at least one; the others are handed over again.
    fn handle_bytes(&mut self, bytes: &[u8], desk: &mut Desk) -> usize;

    /// So many bytes went into the open upload, as it wanted.
    fn handle_moved(&mut self, bytes: u64, desk: &mut Desk) {
        let _ = (bytes, desk);
    }

    /// Nothing came for as long as its [`patience`](Reader::patience).
    fn handle_silence(&mut self, desk: &mut Desk);

    /// The peer has ended its stream.
    fn handle_end(&mut self, desk: &mut Desk);

    /// The store has opened the upload, or has not.
    fn handle_begun(&mut self, begun: Result<(), Fault>, desk: &mut Desk) {
        let _ = (begun, desk);
    }

    /// The store has ended a commit.
    fn handle_stored(&mut self, stored: Result<Receipt, Fault>, desk: &mut Desk) {
        let _ = (stored, desk);
    }

    /// [`Want::Bytes`], or [`Want::Body`] while an upload is open and its bytes are due.
    fn want(&self) -> Want {
        Want::Bytes
    }

    /// How long silence may last before it means something.
    fn patience(&self, settings: &Settings) -> Duration;

    /// Where it stands.
    fn position(&self) -> Position;

    /// Whether nothing is under way that a close would cut off.
    fn is_idle(&self) -> bool;
}
