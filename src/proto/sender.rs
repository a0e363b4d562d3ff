//! The client's side of one connection: the mirror of the [`Receiver`](super::Receiver).
//!
//! ```text
//!        begin           OK, or a small file      last byte          digest, if at the end
//!  Idle ──────> Asking ─────────────────> Body ────────────> Sealing ───────────> Idle
//!                 │ ERR
//!                 └──────────────────────────────────────────────────────────────> Idle
//! ```
//!
//! Replies come in the order of the messages, so what they answer is a queue: a message that is
//! sent adds to its end, a reply takes from its front. The next upload may be sent while earlier
//! ones are still to be answered. A stream of unknown size has states of its own: see
//! [`Sender::begin_stream`].
//!
//! The caller drains it in this order: [`Sender::poll_event`]; [`Sender::output`], and bytes of
//! [`Sender::body`] when there is no output; [`Sender::wants_digest`]; then, when it
//! [`has_room`](Sender::has_room), it begins another upload.

mod answers;
mod events;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use super::announce::End;
use super::digest::Digest;
use super::header;
use super::kind::Kind;
use super::limits::{RUN_AHEAD_MOST, RUN_AHEAD_SIZE, TEXT_MOST};
use super::moment::Moment;
use answers::{Expected, Reading};
pub use events::{Broken, Check, Event, Upload};
use stream::{Stage, Streaming};

/// Most messages that are sent ahead of their replies. An upload is up to three, and the server
/// keeps only so many places for replies.
const SENT_AHEAD_MOST: usize = RUN_AHEAD_MOST / 2;

/// One connection, as the client sees it.
#[derive(Debug)]
pub struct Sender {
    state: State,
    reading: Reading,
    /// What the replies to come are about, the next one first.
    expected: VecDeque<Expected>,
    /// An upload that was refused, until the last of its replies has come.
    refused: Option<u64>,
    events: VecDeque<Event>,
    out: Vec<u8>,
    sent: usize,
    /// When a byte last went either way.
    moved: Moment,
    timeout: Option<Duration>,
}

#[derive(Debug)]
enum State {
    Idle,
    /// The PUT of a large file waits for its answer.
    Asking(Upload),
    /// A file's bytes are to be sent.
    Body {
        upload: Upload,
        offset: u64,
    },
    /// The bytes are sent, and the digest is to follow.
    Sealing(Upload),
    /// A stream of unknown size is under way.
    Streaming(Streaming),
    /// The server closes: nothing more is sent. An upload may have been cut off by it.
    Ended(Option<u64>),
}

impl State {
    /// The upload that is under way.
    fn upload(&self) -> Option<u64> {
        match self {
            State::Idle => None,
            State::Asking(upload) | State::Body { upload, .. } | State::Sealing(upload) => {
                Some(upload.id)
            }
            State::Streaming(stream) => Some(stream.id),
            State::Ended(cut) => *cut,
        }
    }
}

impl Sender {
    /// A machine for a new connection that gives up when no byte moves for `timeout`.
    pub fn new(timeout: Option<Duration>, now: Moment) -> Sender {
        Sender {
            state: State::Idle,
            reading: Reading::Type,
            expected: VecDeque::new(),
            refused: None,
            events: VecDeque::new(),
            out: Vec::new(),
            sent: 0,
            moved: now,
            timeout,
        }
    }

    /// Whether another upload or text can be begun now.
    pub fn has_room(&self) -> bool {
        matches!(self.state, State::Idle) && self.expected.len() < SENT_AHEAD_MOST
    }

    /// Whether everything that was sent is answered, and nothing is under way.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle) && self.expected.is_empty()
    }

    /// Whether the server has said that it closes.
    pub fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended(_))
    }

    /// The uploads and texts that were begun here and have had no event, oldest first. When the
    /// connection is lost, these are what is lost with it.
    pub fn unanswered(&self) -> Vec<u64> {
        let mut ids: Vec<u64> = self.expected.iter().map(Expected::id).collect();
        ids.extend(self.state.upload());
        ids.dedup();
        ids.retain(|id| self.refused != Some(*id));
        ids
    }

    /// The digest of an upload that waits for its receipt, where it was given one. When the
    /// connection is lost, the file may be stored: a try that announces this digest finds out.
    pub fn sealed(&self, id: u64) -> Option<Digest> {
        self.expected.iter().find_map(|expected| match expected {
            Expected::Receipt {
                id: sealed, digest, ..
            } if *sealed == id => *digest,
            _ => None,
        })
    }

    /// Begins an upload; [`Sender::has_room`] was true.
    pub fn begin(&mut self, upload: Upload, now: Moment) {
        debug_assert!(self.has_room(), "the caller has asked");
        self.moved_if_nothing_is_due(now);
        let put = upload.announcement().to_string();
        self.message(Kind::Put, put.as_bytes());
        self.expected.push_back(Expected::Begin(upload.id));
        if upload.size <= RUN_AHEAD_SIZE {
            self.begin_body(upload, 0);
        } else {
            self.state = State::Asking(upload);
        }
    }

    /// Sends a text; [`Sender::has_room`] was true. It has at most [`TEXT_MOST`] bytes.
    pub fn say(&mut self, id: u64, text: &str, now: Moment) {
        debug_assert!(
            self.has_room() && text.len() as u64 <= TEXT_MOST,
            "the caller has asked"
        );
        self.moved_if_nothing_is_due(now);
        self.message(Kind::String, text.as_bytes());
        self.expected.push_back(Expected::Text(id));
    }

    /// Bytes to be sent, before any of [`Sender::body`].
    pub fn output(&self) -> &[u8] {
        &self.out[self.sent..]
    }

    /// So many bytes of [`Sender::output`] were sent.
    pub fn handle_sent(&mut self, bytes: usize, now: Moment) {
        self.moved = now;
        self.sent += bytes;
        assert!(
            self.sent <= self.out.len(),
            "no more can be sent than there is"
        );
        if self.sent == self.out.len() {
            self.out.clear();
            self.sent = 0;
        }
    }

    /// Which upload's bytes are to be sent, from which offset on and how many, once
    /// [`Sender::output`] is empty.
    pub fn body(&self) -> Option<(u64, u64, u64)> {
        match &self.state {
            State::Body { upload, offset } if self.output().is_empty() => {
                Some((upload.id, *offset, upload.size - offset))
            }
            State::Streaming(stream) if self.output().is_empty() => match stream.stage {
                Stage::Part(left) => Some((stream.id, stream.sent, left)),
                Stage::Asked | Stage::Between => None,
            },
            _ => None,
        }
    }

    /// Whether bytes of an upload, or its digest, are still to be sent, now or after an answer.
    pub fn is_sending(&self) -> bool {
        matches!(
            self.state,
            State::Asking(_) | State::Body { .. } | State::Sealing(_) | State::Streaming(_)
        )
    }

    /// So many bytes of [`Sender::body`] were sent.
    pub fn handle_body_sent(&mut self, bytes: u64, now: Moment) {
        self.moved = now;
        let (upload, offset) = match &mut self.state {
            State::Body { upload, offset } => (upload, offset),
            State::Streaming(stream) => return stream.handle_sent(bytes),
            _ => return,
        };
        *offset = offset
            .checked_add(bytes)
            .expect("offsets lie within the file");
        assert!(*offset <= upload.size, "no more is sent than was announced");
        if *offset == upload.size {
            self.body_complete();
        }
    }

    /// Which upload's digest is to follow its bytes.
    pub fn wants_digest(&self) -> Option<u64> {
        match &self.state {
            State::Sealing(upload) => Some(upload.id),
            _ => None,
        }
    }

    /// The digest that [`Sender::wants_digest`] asked for.
    pub fn handle_digest(&mut self, digest: Digest) {
        let State::Sealing(upload) = mem::replace(&mut self.state, State::Idle) else {
            return;
        };
        let end = End {
            size: Some(upload.size),
            digest: Some(digest),
        };
        self.message(Kind::End, end.to_string().as_bytes());
        let Upload { id, size, .. } = upload;
        self.expected.push_back(Expected::Receipt {
            id,
            size,
            digest: Some(digest),
        });
    }

    /// Nothing was sent for a while, and up to now that was this side's own doing: the server's
    /// silence counts from now on.
    pub fn handle_own_pause(&mut self, now: Moment) {
        self.moved = now;
    }

    /// What the server's bytes meant, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When the server will have been silent, and taken nothing, for too long.
    pub fn deadline(&self) -> Option<Moment> {
        let due = self.has_ended() || !self.expected.is_empty() || !self.output().is_empty();
        self.timeout
            .filter(|_| due)
            .map(|timeout| self.moved + timeout)
    }

    fn message(&mut self, kind: Kind, body: &[u8]) {
        header::write(kind, body.len() as u64, &mut self.out);
        self.out.extend_from_slice(body);
    }

    /// The silence of a connection on which nothing is due is nobody's fault, so it doesn't count.
    fn moved_if_nothing_is_due(&mut self, now: Moment) {
        if self.expected.is_empty() {
            self.moved = now;
        }
    }

    fn begin_body(&mut self, upload: Upload, offset: u64) {
        let left = upload.size - offset;
        header::write(Kind::data_for(left), left, &mut self.out);
        let id = upload.id;
        self.expected.push_back(match upload.digest {
            Check::AtEnd => Expected::Part(id),
            Check::Known(_) | Check::None => Expected::Receipt {
                id,
                size: upload.size,
                digest: upload.digest.known(),
            },
        });
        self.state = State::Body { upload, offset };
        if left == 0 {
            self.body_complete();
        }
    }

    fn body_complete(&mut self) {
        let State::Body { upload, .. } = mem::replace(&mut self.state, State::Idle) else {
            return;
        };
        if upload.digest == Check::AtEnd {
            self.state = State::Sealing(upload);
        }
    }
}
