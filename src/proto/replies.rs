//! Replies in the order of their messages, whatever order their answers become known in.
//!
//! Each message that is taken gets a place in a queue at once. A reply that is known fills it at
//! once; an upload that is being committed leaves it empty until the store has spoken. Only the
//! replies before the first empty place are written. So it can't happen that a message gets two
//! replies, or none, or another's.
//!
//! An OK that only says "go on" is of no use to a client that has gone on: its file is complete and
//! is being committed. Such an OK waits for the receipt behind it, and both are sent at once.

use std::collections::VecDeque;

use super::machine::Ticket;
use super::reply::{self, Reply};

/// Bytes of the buffer that replies are written into, at first: those of one visit often fit.
const FIRST_ROOM: usize = 512;

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
    /// Whether all that is unsent only says "go on".
    only_go_on: bool,
}

impl Replies {
    /// Adds a reply that is known.
    pub fn push(&mut self, reply: Reply) {
        if self.places.is_empty() {
            self.write(&reply);
        } else {
            self.places.push_back(Some(reply));
        }
    }

    /// The same for a text that goes back: it is copied only once where nothing holds it up.
    pub fn push_message(&mut self, text: &str) {
        if self.places.is_empty() {
            self.only_go_on = false;
            self.room();
            reply::write_message(text, &mut self.out);
        } else {
            self.places.push_back(Some(Reply::Message(text.to_owned())));
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
        while let Some(Some(_)) = self.places.front()
            && let Some(Some(reply)) = self.places.pop_front()
        {
            self.write(&reply);
            self.oldest += 1;
        }
        if self.places.is_empty() {
            // An idle connection keeps no buffers.
            self.places = VecDeque::new();
        }
    }

    fn write(&mut self, reply: &Reply) {
        let goes_on = matches!(reply, Reply::Ok | Reply::Begin { .. });
        self.only_go_on = goes_on && (self.only_go_on || self.out.is_empty());
        self.room();
        reply.write(&mut self.out);
    }

    /// Makes room for a few replies at once: there was no buffer while there was nothing to send.
    fn room(&mut self) {
        if self.out.capacity() == 0 {
            self.out.reserve(FIRST_ROOM);
        }
    }

    /// Bytes to be sent. None, while there are only such as can wait for what the store will say.
    pub fn unsent(&self) -> &[u8] {
        if self.only_go_on && self.waiting > 0 {
            return &[];
        }
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

    #[test]
    fn an_ok_to_go_on_waits_for_the_receipt_behind_it_and_for_nothing_else() {
        let begin = Reply::Begin { offset: 0 };
        let mut replies = Replies::default();
        replies.push(begin.clone());
        let upload = replies.wait();
        assert_eq!(replies.unsent(), b"");
        replies.fill(upload, Reply::Fault(Fault::Io));
        let both = [written(&begin), written(&Reply::Fault(Fault::Io))].concat();
        assert_eq!(sent(&mut replies), both);

        // A client may be waiting for what stands in front of it.
        replies.push(Reply::Fault(Fault::Io));
        replies.push(begin.clone());
        replies.wait();
        let both = [written(&Reply::Fault(Fault::Io)), written(&begin)].concat();
        assert_eq!(sent(&mut replies), both);
    }

    #[test]
    fn an_ok_to_go_on_is_sent_at_once_where_nothing_is_committed() {
        let mut replies = Replies::default();
        replies.push(Reply::Ok);
        assert_eq!(sent(&mut replies), written(&Reply::Ok));
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
