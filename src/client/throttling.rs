//! A limit on the rate at which files are sent, shared by all connections of one sending.
//!
//! Every byte that leaves counts, headers too. A connection that has something to send asks for its
//! allowance before each visit's sending; without one it stands in line, and while it waits the
//! server isn't expected to say anything.

use std::time::Duration;

use super::connection::{BUDGET, Connection};
use super::in_pieces::InPieces;
use crate::net::Throttle;
use crate::proto::Moment;
use crate::reactor::{Reactor, Readiness, Token};

/// The rate of one sending, if that is limited.
#[derive(Debug)]
pub(super) struct Rate(Option<Throttle<Token>>);

impl Rate {
    /// So many bytes a second.
    pub(super) fn new(limit: Option<u64>, now: Moment) -> Rate {
        Rate(limit.map(|limit| Throttle::new(limit, now)))
    }

    /// How many bytes a connection may send in this visit; `None` where it has to wait for its
    /// turn. The writable bit stays then.
    pub(super) fn allowance(
        &mut self,
        token: Token,
        connection: &mut Connection,
        ready: Readiness,
        now: Moment,
    ) -> Option<usize> {
        let Some(throttle) = &mut self.0 else {
            return Some(BUDGET);
        };
        if std::mem::take(&mut connection.awaits_turn) {
            connection.sender.handle_own_pause(now);
        }
        if !ready.writable || !connection.has_something_to_send() {
            return Some(BUDGET);
        }
        let allowed = throttle.allowance(token, BUDGET as u64, now);
        connection.awaits_turn = allowed.is_none();
        // It is no more than the budget.
        allowed.map(|allowed| usize::try_from(allowed).unwrap_or(BUDGET))
    }

    /// A connection has sent so many bytes in its visit.
    pub(super) fn has_sent(&mut self, token: Token, bytes: usize) {
        if let Some(throttle) = &mut self.0 {
            throttle.moved(token, bytes as u64);
            throttle.end_visit(token);
        }
    }

    /// A connection is gone.
    pub(super) fn leave(&mut self, token: Token) {
        if let Some(throttle) = &mut self.0 {
            throttle.leave(token);
        }
    }

    /// Lets those go on whose turn has come; returns how soon the next one's comes, if anybody
    /// waits.
    pub(super) fn give_turns<T>(&mut self, reactor: &mut Reactor<T>) -> Option<Duration> {
        let throttle = self.0.as_mut()?;
        let now = reactor.now();
        while let Some(token) = throttle.poll_turn(now) {
            reactor.queue(token);
        }
        throttle.next(now).map(|next| next.since(now))
    }
}

impl Connection {
    /// Whether bytes may be due from this side.
    fn has_something_to_send(&self) -> bool {
        let of_sender = !self.sender.output().is_empty() || self.sender.body().is_some();
        let in_hand = |pieces: &InPieces| pieces.has_something_in_hand();
        of_sender
            || self.sender.wants_digest().is_some()
            || self.sender.wants_part().is_some()
            || self.in_pieces.as_deref().is_some_and(in_hand)
    }
}
