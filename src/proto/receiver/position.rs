//! Where the machine stands, as a trace shows it.

use super::{Receiver, State};
use crate::proto::limits::SKIP_MOST;
use crate::proto::machine::Position;
use crate::proto::transitions::StateName;

impl Receiver {
    /// The state, without its data.
    pub(super) fn name(&self) -> StateName {
        match self.state {
            State::ReadType => StateName::ReadType,
            State::ReadLen(..) => StateName::ReadLen,
            State::ReadText(_) => StateName::ReadText,
            State::Open(_) => StateName::Open,
            State::ReadBody(_) => StateName::ReadBody,
            State::Commit { .. } => StateName::Commit,
            State::Reply => StateName::Reply,
            State::Skip { .. } => StateName::Skip,
            State::Drain(_) => StateName::Drain,
            State::Closed => StateName::Closed,
        }
    }

    /// The state's name, and how much of what it needs has come. A body that goes on an upload
    /// counts what that has already.
    pub(super) fn standing(&self) -> Position {
        let (have, need) = match &self.state {
            State::ReadType => (0, Some(1)),
            State::ReadLen(_, length) => length.progress(),
            State::ReadText(text) => {
                let have = text.bytes.len() as u64;
                (have, Some(have + text.left as u64))
            }
            State::ReadBody(body) => {
                let have = body.upload.have;
                (have, body.left.map(|left| have.saturating_add(left)))
            }
            State::Skip { left, room } => {
                let have = SKIP_MOST.saturating_sub(*room);
                (have, left.map(|left| have.saturating_add(left)))
            }
            State::Open(_)
            | State::Commit { .. }
            | State::Reply
            | State::Drain(_)
            | State::Closed => (0, None),
        };
        Position {
            state: self.name().as_str(),
            have,
            need,
        }
    }
}
