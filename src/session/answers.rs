//! The store's news, as they concern one session.

use super::{Note, Session, Surroundings};
use crate::net::Duplex;
use crate::proto::{Begun, Machine, Receipt, Ticket};
use crate::store::{Done, Error, Store};

impl<M: Machine, S: Store, T: Duplex> Session<M, S, T> {
    /// The store has news. Visit the session afterwards.
    pub fn hear(&mut self, done: Done, around: &mut Surroundings<'_, S>) {
        match done {
            Done::Looked(_, found) => self.looked(found, around),
            Done::Reserved(_, reserved) => self.reserved(reserved, around),
            Done::Resumed(_, resumed) => self.resumed(resumed, around),
            // The visit that follows reads what has come, and then gives it up.
            Done::Taken(_) => {
                if let Some(upload) = self.upload.as_deref_mut() {
                    around.store.hear_taken(upload);
                }
            }
            Done::Stored(key, stored) => self.stored(key.ticket, stored, around),
            Done::Found(key, receipt) => {
                self.committing -= 1;
                self.give_back(around);
                self.machine
                    .handle_stored(key.ticket, Ok(receipt), around.now);
            }
        }
        self.trace_steps(around);
    }

    /// The store has looked at the file that has an order's name.
    fn looked(&mut self, found: Result<Option<Receipt>, Error>, around: &mut Surroundings<'_, S>) {
        let Some(mut order) = self.looking.take() else {
            return;
        };
        self.upload = None;
        match found {
            Ok(Some(receipt)) => {
                let present = Ok(Begun::Present(receipt));
                self.machine.handle_begun(present, around.now);
            }
            Ok(None) => {
                // Another file has the name: without the digest that is what the store goes by.
                order.look_first = false;
                order.digest_follows |= order.digest.take().is_some();
                self.begin(order, around);
            }
            Err(error) => {
                let fault = self.failed(&error, around);
                self.machine.handle_begun(Err(fault), around.now);
            }
        }
    }

    /// The store has reserved the open upload's space, or has none.
    fn reserved(&mut self, reserved: Result<(), Error>, around: &mut Surroundings<'_, S>) {
        let begun = match reserved {
            Ok(()) => Ok(Begun::Open),
            Err(error) => {
                self.discard(around);
                Err(self.failed(&error, around))
            }
        };
        self.machine.handle_begun(begun, around.now);
    }

    /// The store has opened an upload that can be resumed.
    fn resumed(&mut self, resumed: Result<u64, Error>, around: &mut Surroundings<'_, S>) {
        if self.looking.take().is_none() {
            // It was given up meanwhile.
            return;
        }
        let begun = match resumed {
            Ok(offset) => Ok(Begun::Resumed { offset }),
            Err(error) => {
                self.upload = None;
                Err(self.failed(&error, around))
            }
        };
        self.machine.handle_begun(begun, around.now);
    }

    /// The store has ended a commit.
    fn stored(
        &mut self,
        ticket: Ticket,
        stored: Result<Receipt, Error>,
        around: &mut Surroundings<'_, S>,
    ) {
        self.committing -= 1;
        self.give_back(around);
        let stored = match stored {
            Ok(receipt) => {
                around.counters.stored.add(1);
                around.counters.stored_bytes.add(receipt.size);
                around.notes.push(Note::Stored(receipt.clone()));
                Ok(receipt)
            }
            Err(error) => Err(self.failed(&error, around)),
        };
        self.machine.handle_stored(ticket, stored, around.now);
    }
}
