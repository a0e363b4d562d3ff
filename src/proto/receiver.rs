//! The server's side of one connection: the state machine that this project is about.
//!
//! A socket hands over whatever has arrived: half a length field, three messages and the start
//! of a fourth, one byte. This machine is fed such pieces and can't tell the difference, because
//! everything that it has to remember between two of them is data of its state:
//!
//! ```text
//!            type           length            text
//!  ReadType ──────> ReadLen ──────> ReadText ──────────────┐
//!   ^                  │               │ a name            │
//!   │                  │ DATA          v                   │
//!   │                  ├───────────> Open (asks the store) │
//!   │                  v               │                   │
//!   │               ReadBody <─────────┤ it may begin      │
//!   │                  │               │                   │
//!   │                  │ the last byte │                   │
//!   │                  v               v                   v
//!   │                Commit ───────> Reply <───────────────┘
//!   │                                  │
//!   └──────────────────────────────────┘ room for more
//!
//!  Skip    a refused body is read and thrown away, so that the next message is found
//!  Drain   the last replies go out, then the peer is listened to until it has read them
//!  Closed  the end
//! ```
//!
//! The same with every arrow stands in docs/ARCHITECTURE.md, made from
//! [`TABLE`](super::transitions::TABLE).
//!
//! Two things are never here. A file's body: the machine says how many bytes to move from the
//! socket to the store, and is told how many moved. And a clock: the time is an argument.
//!
//! What a message *means* once it is complete is in `receiver/meaning.rs`; what an upload is, in
//! `receiver/upload.rs`; how a connection ends, in `receiver/ending.rs`.

mod ending;
mod meaning;
mod position;
#[cfg(test)]
mod tests;
mod told;
mod upload;

use std::sync::Arc;
use std::time::Duration;

use super::error::Fault;
use super::header::Length;
use super::kind::Kind;
use super::limits::{RUN_AHEAD_MOST, Rules, UNREAD_MOST};
use super::machine::{Action, Begun, Machine, Order, Position, Progress, Step, Stop, Ticket, Want};
use super::moment::Moment;
use super::replies::Replies;
use super::reply::{Receipt, Reply};
use super::transitions::{Cause, Transition, is_legal};
use super::watch::Watch;
use told::Told;
use upload::{Body, Opening, Target};

/// One connection, as the server sees it.
#[derive(Debug)]
pub struct Receiver {
    rules: Arc<Rules>,
    state: State,
    /// What the next DATA message is for.
    target: Target,
    replies: Replies,
    /// What is to be done next. One step never asks for two things.
    action: Option<Action>,
    watch: Watch,
    /// Messages begun so far.
    begun: u64,
    /// Whether the program is stopping, so that no message is begun any more.
    stopping: bool,
    /// What is to be told, where somebody wants to hear of it.
    told: Option<Box<Told>>,
}

/// What is being waited for, with all that is known of it so far.
#[derive(Debug)]
enum State {
    /// The first byte of a message.
    ReadType,
    /// The length, of which some bytes may have come.
    ReadLen(Kind, Length),
    /// The rest of a STRING, PUT or END.
    ReadText(Text),
    /// The store's word on an upload.
    Open(Opening),
    /// The rest of a file's bytes.
    ReadBody(Body),
    /// The store, to make a file safe. `ahead`: not alone, the next message may be read.
    Commit { ahead: bool },
    /// Room in the queue of replies, so that the next message's has a place.
    Reply,
    /// The rest of a refused body; `None` is until the peer ends its stream.
    Skip { left: Option<u64>, room: u64 },
    /// The end of the connection.
    Drain(Drain),
    /// Nothing.
    Closed,
}

/// A text that is being read. It grows as bytes arrive: a promise of length costs no memory.
#[derive(Debug)]
struct Text {
    kind: Kind,
    left: usize,
    bytes: Vec<u8>,
}

/// How far the end of a connection has come.
#[derive(Debug, PartialEq, Eq)]
enum Drain {
    /// Replies are still to be sent.
    Sending,
    /// The same, and the peer has ended its stream.
    SendingToEnded,
    /// Our side is shut down; the peer is listened to until it ends or a deadline passes.
    Lingering,
}

impl Receiver {
    /// A machine for a connection that was just made.
    pub fn new(rules: Arc<Rules>, now: Moment) -> Receiver {
        Receiver {
            rules,
            state: State::ReadType,
            target: Target::Unnamed,
            replies: Replies::default(),
            action: None,
            watch: Watch::started(now),
            begun: 0,
            stopping: false,
            told: None,
        }
    }

    /// A machine for a connection that is turned away: it says why and listens until that was
    /// read.
    pub fn refusing(rules: Arc<Rules>, fault: Fault, now: Moment) -> Receiver {
        let mut machine = Receiver::new(rules, now);
        machine.close_with(Cause::Refused, fault, now);
        machine.action = None;
        machine
    }

    /// Enters a state. Every step of the table goes through here; how far a `Drain` has come is
    /// that state's own business.
    fn go(&mut self, cause: Cause, to: State, now: Moment) {
        let from = self.name();
        self.state = to;
        self.watch.enter(now);
        let step = Transition {
            from,
            cause,
            to: self.name(),
        };
        debug_assert!(is_legal(step), "{step} is not in the table");
        if self.rules.trace {
            self.told.get_or_insert_default().steps.push_back(step);
        }
    }

    fn act(&mut self, action: Action) {
        debug_assert!(self.action.is_none(), "one step asks for one thing");
        self.action = Some(action);
    }

    /// Asks for the open upload, if there is one, to be given up. Doing so twice is no harm.
    fn abort(&mut self) {
        debug_assert!(matches!(
            self.action,
            None | Some(Action::Abort | Action::Discard)
        ));
        self.action.get_or_insert(Action::Abort);
    }

    /// The same where it must not be resumed either.
    fn discard(&mut self) {
        self.act(Action::Discard);
    }

    /// Takes the steps that need no further event. Every `handle_` ends with it.
    fn settle(&mut self, now: Moment) {
        self.watch
            .handle_replies(!self.replies.unsent().is_empty(), false, now);
        if let State::Commit { ahead } = self.state {
            if self.replies.waiting() == 0 {
                self.go(Cause::Stored, State::Reply, now);
            } else if ahead && self.replies.len() < RUN_AHEAD_MOST {
                self.go(Cause::Ahead, State::Reply, now);
            }
        }
        let room =
            self.replies.unsent().len() <= UNREAD_MOST && self.replies.len() < RUN_AHEAD_MOST;
        if matches!(self.state, State::Reply) && room {
            self.go(Cause::Room, State::ReadType, now);
        }
        let idle = matches!(self.state, State::ReadType) && !self.upload_is_announced();
        if self.stopping && idle && self.action.is_none() {
            self.close_with(Cause::Stop, Fault::Shutdown, now);
        }
        if self.replies.is_empty() {
            match self.state {
                State::Drain(Drain::SendingToEnded) => self.go(Cause::Sent, State::Closed, now),
                State::Drain(Drain::Sending) => {
                    self.state = State::Drain(Drain::Lingering);
                    self.watch.enter(now);
                    // It throws an open upload away too, so it may stand in for an abort.
                    self.action = Some(Action::FinishSending);
                }
                _ => {}
            }
        }
    }

    fn upload_is_announced(&self) -> bool {
        matches!(self.target, Target::Upload(_) | Target::Present(_))
    }

    /// Bytes of a body were stored, or thrown away.
    fn moved_in_body(&mut self, bytes: u64, now: Moment) {
        match &mut self.state {
            State::ReadBody(body) => {
                let most = "the caller moves no more than was wanted";
                body.upload.have = body.upload.have.checked_add(bytes).expect(most);
                if let Some(left) = &mut body.left {
                    *left = left.checked_sub(bytes).expect(most);
                    if *left == 0 {
                        self.body_complete(Cause::Body, now);
                    }
                }
            }
            State::Skip { left, room } => {
                *room = room.saturating_sub(bytes);
                if let Some(left) = left {
                    *left = left
                        .checked_sub(bytes)
                        .expect("no more is skipped than was left");
                }
                match (*left, *room) {
                    (Some(0), _) => self.go(Cause::Body, State::Reply, now),
                    (_, 0) => self.drain(Cause::Body, Drain::Sending, now),
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

impl Machine for Receiver {
    fn handle_bytes(&mut self, bytes: &[u8], now: Moment) -> usize {
        let Some(&first) = bytes.first() else {
            return 0;
        };
        let took = match &mut self.state {
            State::ReadType => {
                self.begun += 1;
                self.type_byte(first, now);
                1
            }
            State::ReadLen(kind, length) => {
                let took = length.feed(bytes);
                if let Some(value) = length.value() {
                    let kind = *kind;
                    self.length_complete(kind, value, now);
                }
                took
            }
            State::ReadText(text) => {
                let took = bytes.len().min(text.left);
                text.bytes.extend_from_slice(&bytes[..took]);
                text.left -= took;
                self.watch.handle_moved(took as u64, now);
                self.text_maybe_complete(now);
                took
            }
            // The file is as large as a file may be, and here is one byte more.
            State::ReadBody(_) => {
                self.body_too_large(now);
                1
            }
            _ => 0,
        };
        self.settle(now);
        took
    }

    fn handle_moved(&mut self, bytes: u64, now: Moment) {
        self.watch.handle_moved(bytes, now);
        self.moved_in_body(bytes, now);
        self.settle(now);
    }

    fn handle_end(&mut self, now: Moment) {
        self.peer_ended(now);
        self.settle(now);
    }

    fn handle_lost(&mut self, now: Moment) {
        if !matches!(self.state, State::Closed) {
            self.target = Target::Unnamed;
            self.abort();
            self.go(Cause::Lost, State::Closed, now);
        }
    }

    fn handle_begun(&mut self, begun: Result<Begun, Fault>, now: Moment) {
        // A connection that was lost meanwhile has no use for the answer.
        if let State::Open(_) = self.state {
            self.opened(begun, now);
        }
        self.settle(now);
    }

    fn handle_write_failed(&mut self, fault: Fault, now: Moment) {
        if let State::ReadBody(_) = self.state {
            self.body_refused(fault, now);
        }
        self.settle(now);
    }

    fn handle_stored(&mut self, ticket: Ticket, stored: Result<Receipt, Fault>, now: Moment) {
        let closes = matches!(stored, Err(Fault::Unknown));
        let reply = stored.map_or_else(Reply::Fault, Reply::Receipt);
        self.keep_fault(&reply);
        self.replies.fill(ticket, reply);
        if closes && !matches!(self.state, State::Drain(_) | State::Closed) {
            self.drain(Cause::Stored, Drain::Sending, now);
        }
        self.settle(now);
    }

    fn handle_sent(&mut self, bytes: usize, now: Moment) {
        self.replies.handle_sent(bytes);
        self.watch
            .handle_replies(!self.replies.unsent().is_empty(), bytes > 0, now);
        if matches!(self.state, State::ReadType) {
            // The idle time counts from the last reply.
            self.watch.enter(now);
        }
        self.settle(now);
    }

    fn handle_deadline(&mut self, now: Moment) {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.deadline_passed(now);
            self.settle(now);
        }
    }

    fn handle_own_pause(&mut self, paused: Duration) {
        self.watch.handle_own_pause(paused);
    }

    fn handle_taken_over(&mut self, now: Moment) {
        if !matches!(self.state, State::Drain(_) | State::Closed) {
            self.close_with(Cause::Taken, Fault::TakenOver, now);
        }
        self.settle(now);
    }

    fn handle_stop(&mut self, stop: Stop, now: Moment) {
        self.stopping = true;
        let ending = matches!(self.state, State::Drain(_) | State::Closed);
        if stop == Stop::Now && !ending {
            self.close_with(Cause::Stop, Fault::Shutdown, now);
        }
        self.settle(now);
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.action.take()
    }

    fn poll_step(&mut self) -> Option<Step> {
        self.told.as_mut()?.steps.pop_front().map(Step::from)
    }

    fn poll_fault(&mut self) -> Option<Fault> {
        self.told.as_mut()?.faults.pop_front()
    }

    fn output(&self) -> &[u8] {
        match self.state {
            // Lost, or nobody reads: what is still being committed has nobody to be told to.
            State::Closed => &[],
            _ => self.replies.unsent(),
        }
    }

    fn want(&self) -> Want {
        match &self.state {
            State::ReadType | State::ReadLen(..) | State::ReadText(_) => Want::Bytes,
            State::ReadBody(Body {
                left: Some(left), ..
            }) => Want::Body(*left),
            State::ReadBody(Body { left: None, upload }) => {
                let most = self.rules.max_size.unwrap_or(u64::MAX);
                // At the limit, whatever comes is too much, and the machine wants to see it.
                match most.saturating_sub(upload.have) {
                    0 => Want::Bytes,
                    room => Want::Body(room),
                }
            }
            State::Open(_) | State::Commit { .. } | State::Reply => Want::Wait,
            State::Skip { left, room } => Want::Discard(left.unwrap_or(*room)),
            State::Drain(Drain::SendingToEnded) => Want::Wait,
            State::Drain(_) => Want::Discard(u64::MAX),
            State::Closed if self.replies.waiting() > 0 => Want::Wait,
            State::Closed => Want::Close,
        }
    }

    fn deadline(&self) -> Option<Moment> {
        self.next_deadline()
    }

    fn progress(&self) -> Progress {
        let within_message = matches!(
            self.state,
            State::ReadLen(..) | State::ReadText(_) | State::ReadBody(_) | State::Skip { .. }
        );
        let between = match self.state {
            State::ReadType => !self.upload_is_announced(),
            State::Drain(_) | State::Closed => true,
            _ => false,
        };
        let under_way = !between || !self.replies.is_empty();
        Progress {
            begun: self.begun,
            within_message,
            under_way,
        }
    }

    fn position(&self) -> Position {
        self.standing()
    }
}
