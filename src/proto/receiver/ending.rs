//! How a connection ends: by a fault, by a deadline, and always in order.
//!
//! A plain close while the peer still sends would reset the connection, and the reset would take
//! the last reply with it. So an end has three parts: the replies go out; our sending side is shut
//! down; and the peer is listened to, and what it says thrown away, until it ends too or a
//! deadline passes.

use super::upload::{Body, Target};
use super::{Drain, Receiver, State};
use crate::proto::error::{Fault, Stalled};
use crate::proto::limits::{LINGER_IDLE, LINGER_MOST, SKIP_TIME};
use crate::proto::moment::Moment;
use crate::proto::reply::Reply;
use crate::proto::transitions::Cause;
use crate::proto::watch::earlier;

impl Receiver {
    /// Answers with a fault after which the connection ends.
    pub(super) fn close_with(&mut self, cause: Cause, fault: Fault, now: Moment) {
        self.push(Reply::Fault(fault));
        self.drain(cause, Drain::Sending, now);
    }

    /// Begins the end: whatever is under way is dropped, and what replies there are go out.
    pub(super) fn drain(&mut self, cause: Cause, how: Drain, now: Moment) {
        self.target = Target::Unnamed;
        self.abort();
        self.go(cause, State::Drain(how), now);
    }

    /// The peer has ended its stream.
    pub(super) fn peer_ended(&mut self, now: Moment) {
        match &self.state {
            // Between messages, or in a header: there is nobody to tell, but for what is due.
            State::ReadType | State::ReadLen(..) => {
                self.drain(Cause::End, Drain::SendingToEnded, now);
            }
            State::ReadBody(Body { left: None, .. }) => self.body_complete(Cause::End, now),
            State::ReadText(_) | State::ReadBody(_) => {
                let fault = match &self.state {
                    State::ReadBody(body) if body.upload.is_resumable => Fault::CutOff,
                    _ => Fault::Incomplete,
                };
                self.push(Reply::Fault(fault));
                self.drain(Cause::End, Drain::SendingToEnded, now);
            }
            State::Skip { left: None, .. } => self.go(Cause::End, State::Reply, now),
            State::Skip { .. } => self.drain(Cause::End, Drain::SendingToEnded, now),
            State::Drain(Drain::Lingering) => self.go(Cause::End, State::Closed, now),
            State::Drain(_) => self.state = State::Drain(Drain::SendingToEnded),
            State::Open(_) | State::Commit { .. } | State::Reply | State::Closed => {}
        }
    }

    /// What is done when the [`next_deadline`](Receiver::next_deadline) has passed.
    pub(super) fn deadline_passed(&mut self, now: Moment) {
        let deadlines = self.rules.deadlines;
        if self
            .watch
            .unread_until(&deadlines)
            .is_some_and(|until| until <= now)
        {
            // It doesn't read, so it can't be told.
            self.target = Target::Unnamed;
            self.abort();
            self.go(Cause::Deadline, State::Closed, now);
            return;
        }
        match self.state {
            State::ReadType if self.begun > 0 => {
                self.close_with(Cause::Deadline, Fault::Timeout(Stalled::Connection), now);
            }
            State::ReadType | State::ReadLen(..) => {
                self.close_with(Cause::Deadline, Fault::Timeout(Stalled::Header), now);
            }
            State::ReadText(_) | State::ReadBody(_) => {
                if self.watch.body_too_slow(&deadlines, now) {
                    self.close_with(Cause::Deadline, Fault::Timeout(Stalled::Body), now);
                }
            }
            // Its reply went out when the body was refused.
            State::Skip { .. } => self.drain(Cause::Deadline, Drain::Sending, now),
            State::Drain(_) => self.go(Cause::Deadline, State::Closed, now),
            State::Open(_) | State::Commit { .. } | State::Reply | State::Closed => {}
        }
    }

    /// When the state, or the replies that the peer doesn't read, will have taken too long.
    pub(super) fn next_deadline(&self) -> Option<Moment> {
        let deadlines = &self.rules.deadlines;
        let state = match &self.state {
            State::ReadType if self.begun == 0 => self.watch.still_for(deadlines.header),
            State::ReadType if self.replies.is_empty() => self.watch.still_for(deadlines.idle),
            State::ReadLen(..) => deadlines.header.map(|most| self.watch.lasts_for(most)),
            State::ReadText(_) | State::ReadBody(_) => self.watch.body_until(deadlines),
            State::Skip { .. } => {
                let still = self.watch.still_for(deadlines.stall);
                earlier(still, Some(self.watch.lasts_for(SKIP_TIME)))
            }
            State::Drain(Drain::Lingering) => {
                let still = self.watch.still_for(Some(LINGER_IDLE));
                earlier(still, Some(self.watch.lasts_for(LINGER_MOST)))
            }
            _ => None,
        };
        let unread = match self.state {
            State::Closed => None,
            _ => self.watch.unread_until(deadlines),
        };
        earlier(state, unread)
    }
}
