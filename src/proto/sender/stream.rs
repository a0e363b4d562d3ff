//! A stream of unknown size, sent part by part: each part is a DATA message of what is at hand,
//! and END says behind the last one how many bytes it all was.
//!
//! ```text
//!   begin_stream        OK               begin_part     last byte           end_stream
//!  ──────────────> Asked ──> Between ───────────────> Part ─────────> Between ──────────> Idle
//! ```
//!
//! No byte is wanted before the server has taken the announcement: until then the stream is whole,
//! and can be sent over another connection.

use std::mem;

use super::{Expected, SENT_AHEAD_MOST, Sender, State};
use crate::proto::announce::{Conflict, End, Put};
use crate::proto::digest::Digest;
use crate::proto::header;
use crate::proto::kind::Kind;
use crate::proto::moment::Moment;

/// A stream that is being sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Streaming {
    pub(super) id: u64,
    /// Bytes of the parts that were sent.
    pub(super) sent: u64,
    pub(super) stage: Stage,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its PUT waits for the answer.
    Asked,
    /// The next part, or the end, may follow.
    Between,
    /// So many bytes of a part are to be sent; at least one.
    Part(u64),
}

impl Sender {
    /// Announces a stream under a number of the caller's; [`Sender::has_room`] was true.
    pub fn begin_stream(&mut self, id: u64, name: &str, conflict: Option<Conflict>, now: Moment) {
        debug_assert!(self.has_room(), "the caller has asked");
        self.moved_if_nothing_is_due(now);
        let put = Put {
            name: name.to_owned(),
            explicit_end: true,
            conflict,
            ..Put::default()
        };
        self.message(Kind::Put, put.to_string().as_bytes());
        self.expected.push_back(Expected::Begin(id));
        self.state = State::Streaming(Streaming {
            id,
            sent: 0,
            stage: Stage::Asked,
        });
    }

    /// Which stream's next part, or end, may be sent now.
    pub fn wants_part(&self) -> Option<u64> {
        match &self.state {
            State::Streaming(stream) if stream.stage == Stage::Between => {
                Some(stream.id).filter(|_| self.expected.len() < SENT_AHEAD_MOST)
            }
            _ => None,
        }
    }

    /// Begins a part of so many bytes; [`Sender::wants_part`] has asked for it.
    pub fn begin_part(&mut self, bytes: u64, now: Moment) {
        if let State::Streaming(stream) = &mut self.state {
            stream.stage = match bytes {
                0 => Stage::Between,
                _ => Stage::Part(bytes),
            };
            let id = stream.id;
            self.part_header(id, bytes, now);
        }
    }

    /// Ends the stream, with the digest of all its bytes where it has one; [`Sender::wants_part`]
    /// has asked for it.
    pub fn end_stream(&mut self, digest: Option<Digest>, now: Moment) {
        let State::Streaming(stream) = mem::replace(&mut self.state, State::Idle) else {
            return;
        };
        self.moved_if_nothing_is_due(now);
        let end = End {
            size: Some(stream.sent),
            digest,
        };
        self.message(Kind::End, end.to_string().as_bytes());
        self.expected.push_back(Expected::Receipt {
            id: stream.id,
            size: stream.sent,
            digest,
        });
    }

    /// Says that this side is still there, where it is the one to send and has nothing yet: an
    /// empty part. A server gives up a connection that is silent between two messages.
    pub fn keep_alive(&mut self, now: Moment) {
        let id = self.wants_part().or_else(|| self.wants_digest());
        if let Some(id) = id
            && self.output().is_empty()
            && self.expected.len() < SENT_AHEAD_MOST
        {
            self.part_header(id, 0, now);
        }
    }

    fn part_header(&mut self, id: u64, bytes: u64, now: Moment) {
        self.moved_if_nothing_is_due(now);
        header::write(Kind::data_for(bytes), bytes, &mut self.out);
        self.expected.push_back(Expected::Part(id));
    }
}

impl Streaming {
    /// So many bytes of the part were sent.
    pub(super) fn handle_sent(&mut self, bytes: u64) {
        let Stage::Part(left) = self.stage else {
            return;
        };
        let left = left.checked_sub(bytes);
        let left = left.expect("no more is sent than was announced");
        self.sent += bytes;
        self.stage = match left {
            0 => Stage::Between,
            _ => Stage::Part(left),
        };
    }
}
