//! Who can go on: the bits of each entry, and the queue of those that are to be visited.

use std::collections::VecDeque;

use super::token::Token;

/// What is known of a source since its last `WouldBlock`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// A read may give bytes, the end of the stream, or an error. Clear it on `WouldBlock`.
    pub readable: bool,
    /// A write may take bytes. Clear it on `WouldBlock`.
    pub writable: bool,
    /// The peer has ended its stream, though bytes may lie before the end. Never cleared: while
    /// it is false, a read that gives less than it was offered has emptied the socket, and the
    /// extra read that would say so can be saved.
    pub read_closed: bool,
}

impl Readiness {
    pub(super) fn add(&mut self, news: Readiness) {
        self.readable |= news.readable;
        self.writable |= news.writable;
        self.read_closed |= news.read_closed;
    }
}

impl From<&mio::event::Event> for Readiness {
    fn from(event: &mio::event::Event) -> Readiness {
        Readiness {
            readable: event.is_readable() || event.is_read_closed() || event.is_error(),
            writable: event.is_writable() || event.is_write_closed() || event.is_error(),
            read_closed: event.is_read_closed() || event.is_error(),
        }
    }
}

/// First come, first served. An entry stands in it at most once; the slot remembers that.
#[derive(Debug, Default)]
pub(super) struct ReadyQueue(VecDeque<Token>);

impl ReadyQueue {
    pub(super) fn push(&mut self, token: Token) {
        self.0.push_back(token);
    }

    pub(super) fn pop(&mut self) -> Option<Token> {
        self.0.pop_front()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
