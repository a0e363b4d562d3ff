//! A limit on the rate, as it concerns one session: how much it may read now, and who is not to be
//! blamed for the wait. Where there is no limit, each call costs one branch.

use super::{Session, Surroundings};
use crate::net::Duplex;
use crate::proto::{Machine, Want};
use crate::store::Store;

impl<S: Store> Surroundings<'_, S> {
    /// How many bytes may be read now, at most `most`; 0 where the session has to wait for its
    /// turn. The readable bit stays then, since no event will come for bytes that are there.
    pub(super) fn allowance(&mut self, most: usize) -> usize {
        let Some(throttle) = &mut self.throttle else {
            return most;
        };
        let allowed = throttle.allowance(self.token, most as u64, self.now);
        // It is no more than `most`.
        allowed.map_or(0, |allowed| usize::try_from(allowed).unwrap_or(most))
    }

    /// So many bytes were read.
    pub(super) fn has_read(&mut self, bytes: usize) {
        if let Some(throttle) = &mut self.throttle {
            throttle.moved(self.token, bytes as u64);
        }
    }

    /// Whether the session waits for its turn. Its peer may have sent all that it should have, so
    /// no deadline of its passes meanwhile, unless it is only [lingered](Session::lingers) for.
    pub(super) fn is_held_back(&self) -> bool {
        let throttle = self.throttle.as_ref();
        throttle.is_some_and(|throttle| throttle.holds(self.token))
    }

    /// The visit is over; what it has left of its turn is for others.
    pub(super) fn end_turn(&mut self) {
        if let Some(throttle) = &mut self.throttle {
            throttle.end_visit(self.token);
        }
    }
}

impl<M: Machine, S: Store, T: Duplex> Session<M, S, T> {
    /// Tells the machine how long the session has waited for its turn, when that has come.
    pub(super) fn excuse_wait(&mut self, around: &Surroundings<'_, S>) {
        if self.lingers() {
            return;
        }
        let throttle = around.throttle.as_ref();
        if let Some(waited) = throttle.and_then(|line| line.waited(around.token, around.now)) {
            self.machine.handle_own_pause(waited);
        }
    }

    /// Whether what still comes is thrown away, and is part of no message. Such a peer has been
    /// told all that it will be, so waits for a turn put nothing off: were they to, one that sends
    /// without end would be listened to without end. A refused body has an end, and the messages
    /// behind it are served: its waits are excused like those of any other.
    pub(super) fn lingers(&self) -> bool {
        matches!(self.machine.want(), Want::Discard(_)) && !self.machine.progress().within_message
    }
}
