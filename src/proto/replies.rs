//! Replies in the order of their messages, whatever order their answers become known in.
//!
//! Each message that is taken gets a place in a queue at once. A reply that is known fills it at
//! once; an upload that is being committed leaves it empty until the store has spoken. Only the
//! replies before the first empty place are written. So it can't happen that a message gets two
//! replies, or none, or another's.

use std::collections::VecDeque;

use super::machine::Ticket;
use super::reply::Reply;

/// The replies of one connection.
#[derive(Debug, Default)]
pub struct Replies {
    /// Places not yet written, oldest first; an empty one waits for the store.
    places: VecDeque<Option<Reply>>,
    /// The ticket of the oldest place.
    oldest: Ticket,
    /// Places that wait for the store.
    waiting: usize,
    /// Replies that were written, and how much of them was sent.
    out: Vec<u8>,
    sent: usize,
}

impl Replies {
    /// Adds a reply that is known.
    pub fn push(&mut self, reply: Reply) {
        if self.places.is_empty() {
            self.oldest += 1;
            reply.write(&mut self.out);
        } else {
            self.places.push_back(Some(reply));
        }
    }

    /// Keeps a place for a reply that isn't known yet.
    pub fn wait(&mut self) -> Ticket {
        self.places.push_back(None);
        self.waiting += 1;
        self.oldest + self.places.len() as u64 - 1
    }

    /// Fills the place that a ticket names, and writes what is no longer held up by it.
    pub fn fill(&mut self, ticket: Ticket, reply: Reply) {
        let index = ticket
            .checked_sub(self.oldest)
            .and_then(|index| usize::try_from(index).ok());
        let place = index.and_then(|index| self.places.get_mut(index));
        let place = place.expect("a ticket is filled once, and its place stays until then");
        assert!(place.is_none(), "ticket {ticket} was filled before");
        *place = Some(reply);
        self.waiting -= 1;
        while let Some(Some(reply)) = self.places.front() {
            reply.write(&mut self.out);
            self.places.pop_front();
            self.oldest += 1;
        }
        if self.places.is_empty() {
            // An idle connection keeps no buffers.
            self.places = VecDeque::new();
        }
    }

    /// Bytes to be sent.
    pub fn unsent(&self) -> &[u8] {
        &self.out[self.sent..]
    }

    /// So many of them were sent.
    pub fn handle_sent(&mut self, bytes: usize) {
        self.sent += bytes;
        assert!(
            self.sent <= self.out.len(),
            "no more can be sent than there is"
        );
        if self.sent == self.out.len() {
            self.out = Vec::new();
            self.sent = 0;
        }
    }

    /// Places that wait for the store.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Places not yet written.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether every reply was written and sent.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty() && self.out.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::error::Fault;
    use proptest::prelude::*;

    fn sent(replies: &mut Replies) -> Vec<u8> {
        let bytes = replies.unsent().to_vec();
        replies.handle_sent(bytes.len());
        bytes
    }

    fn written(reply: &Reply) -> Vec<u8> {
        let mut out = Vec::new();
        reply.write(&mut out);
        out
    }

    #[test]
    fn a_later_reply_waits_for_an_earlier_upload() {
        let mut replies = Replies::default();
        let upload = replies.wait();
        replies.push(Reply::Ok);
        assert_eq!(sent(&mut replies), b"");
        replies.fill(upload, Reply::Fault(Fault::Io));
        assert_eq!(
            sent(&mut replies),
            [written(&Reply::Fault(Fault::Io)), written(&Reply::Ok)].concat()
        );
        assert!(replies.is_empty());
    }

    proptest! {
        #[test]
        fn replies_leave_in_the_order_of_their_messages(
            plan in proptest::collection::vec(any::<bool>(), 0..40),
            order in proptest::collection::vec(any::<prop::sample::Index>(), 40),
        ) {
            let mut replies = Replies::default();
            let mut tickets = Vec::new();
            let mut expected = Vec::new();
            let mut got = Vec::new();
            for (number, waits) in plan.into_iter().enumerate() {
                let reply = Reply::Begin { offset: number as u64 };
                expected.extend(written(&reply));
                if waits { tickets.push((replies.wait(), reply)) } else { replies.push(reply) }
                got.extend(sent(&mut replies));
            }
            for index in order {
                if tickets.is_empty() { break }
                let (ticket, reply) = tickets.swap_remove(index.index(tickets.len()));
                replies.fill(ticket, reply);
                prop_assert_eq!(replies.waiting(), tickets.len());
                got.extend(sent(&mut replies));
            }
            prop_assert_eq!(got, expected);
            prop_assert!(replies.is_empty());
        }
    }
}
