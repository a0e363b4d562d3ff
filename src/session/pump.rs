//! The work of one visit.

use std::io;
use std::mem;

use super::{BUDGET, CLAIM, HEADER_READ, MESSAGE, Note, Session, Surroundings};
use crate::net::Duplex;
use crate::observe::trace::What;
use crate::proto::{Action, Begun, Machine, Order, Want};
use crate::reactor::{Readiness, Visit};
use crate::store::{Error, Opening, Reserved, Store};

impl<M: Machine, S: Store, T: Duplex> Session<M, S, T> {
    /// Moves bytes until the socket blocks, the machine waits, or the budget is spent.
    pub(super) fn pump(
        &mut self,
        ready: &mut Readiness,
        around: &mut Surroundings<'_, S>,
    ) -> Visit {
        let mut budget = BUDGET;
        loop {
            self.act(around);
            self.send(ready, around);
            let want = self.machine.want();
            let deadline = self.machine.deadline();
            match want {
                Want::Close => return Visit::Close,
                Want::Wait => return Visit::Wait(deadline),
                Want::Bytes | Want::Body(_) | Want::Discard(_) => {}
            }
            if budget == 0 {
                return Visit::Again(deadline);
            }
            if self.kept.is_some() {
                self.feed_kept(&mut budget, around);
            } else if ready.readable {
                let most = around.allowance(budget);
                if most == 0 {
                    return Visit::Wait(deadline.filter(|_| self.lingers()));
                }
                let spliced = match want {
                    Want::Body(left) => self.splice(left, most, &mut budget, around),
                    _ => false,
                };
                if !spliced {
                    self.receive(want, ready, most, &mut budget, around);
                }
            } else {
                return Visit::Wait(deadline);
            }
        }
    }

    /// Reads once, as the machine wants it but at most so many bytes, and hands over what came.
    fn receive(
        &mut self,
        want: Want,
        ready: &mut Readiness,
        allowed: usize,
        budget: &mut usize,
        around: &mut Surroundings<'_, S>,
    ) {
        let most = match want {
            Want::Bytes => HEADER_READ,
            // A little more than the body: the next header often comes with it.
            Want::Body(left) | Want::Discard(left) => usize::try_from(left)
                .unwrap_or(usize::MAX)
                .saturating_add(HEADER_READ),
            Want::Wait | Want::Close => return,
        };
        let most = most.min(allowed).min(around.scratch.len());
        around.counters.reads.add(1);
        match self.stream.read(&mut around.scratch[..most]) {
            Ok(0) => {
                // The bit stays: the end can be read again when the machine next wants bytes.
                self.trace(around, || What::End);
                self.machine.handle_end(around.now);
            }
            Ok(got) => {
                *budget -= got;
                around.has_read(got);
                self.trace(around, || What::Read { bytes: got as u64 });
                // A stream that gives less than was asked for is empty: see Readiness. (But for
                // urgent data, or descriptors sent along, which cut a read short; what a peer
                // sends behind such things is found with its next bytes, or at its deadline.)
                if got < most && !ready.read_closed {
                    ready.readable = false;
                }
                let scratch = mem::take(&mut around.scratch);
                self.feed(&scratch[..got], budget, around);
                around.scratch = scratch;
            }
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => ready.readable = false,
                _ => self.lost(&error, around),
            },
        }
    }

    /// Hands bytes to the machine and to the store, and keeps what neither wants yet.
    fn feed(&mut self, bytes: &[u8], budget: &mut usize, around: &mut Surroundings<'_, S>) {
        let took = self.feed_some(bytes, budget, around);
        if took < bytes.len() {
            let kept = self.kept.get_or_insert_default();
            kept.extend(&bytes[took..]);
        }
        self.count_messages(around);
    }

    /// The same for bytes that were kept.
    fn feed_kept(&mut self, budget: &mut usize, around: &mut Surroundings<'_, S>) {
        let Some(mut kept) = self.kept.take() else {
            return;
        };
        let took = self.feed_some(kept.make_contiguous(), budget, around);
        *budget = budget.saturating_sub(took);
        kept.drain(..took);
        if !kept.is_empty() {
            self.kept = Some(kept);
        }
        self.count_messages(around);
    }

    /// Returns how many bytes were wanted and used; fewer than all where the machine waits or has
    /// ended, or where so many messages were begun that the budget is spent.
    fn feed_some(
        &mut self,
        bytes: &[u8],
        budget: &mut usize,
        around: &mut Surroundings<'_, S>,
    ) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            let begun = self.machine.progress().begun;
            let rest = &bytes[at..];
            let fits = |left: u64| usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
            let stood = self.trace_position(around);
            let took = match self.machine.want() {
                Want::Bytes => self.machine.handle_bytes(rest, around.now),
                Want::Body(left) => {
                    self.write(&rest[..fits(left)], around);
                    fits(left)
                }
                Want::Discard(left) => {
                    self.machine.handle_moved(fits(left) as u64, around.now);
                    fits(left)
                }
                Want::Wait | Want::Close => break,
            };
            at += took;
            self.trace_taken(stood, took, around);
            self.act(around);
            if self.machine.progress().begun > begun {
                *budget = budget.saturating_sub(MESSAGE);
                if *budget == 0 {
                    break;
                }
            }
        }
        at
    }

    fn write(&mut self, bytes: &[u8], around: &mut Surroundings<'_, S>) {
        self.append(bytes, around);
        // The bytes have left the socket, whether the store could take them or not.
        self.machine.handle_moved(bytes.len() as u64, around.now);
    }

    /// Appends to the open upload.
    pub(super) fn append(&mut self, bytes: &[u8], around: &mut Surroundings<'_, S>) {
        around.counters.body_bytes.add(bytes.len() as u64);
        let upload = self
            .upload
            .as_mut()
            .expect("the machine asks for a body only after a begin");
        if let Err(error) = around.store.write(upload, bytes) {
            self.write_failed(&error, around);
        }
    }

    /// The open upload could not take bytes.
    pub(super) fn write_failed(&mut self, error: &Error, around: &mut Surroundings<'_, S>) {
        let fault = self.failed(error, around);
        // Not even to be resumed: a disk that is full is not to stay so.
        self.discard(around);
        self.machine.handle_write_failed(fault, around.now);
    }

    /// Sends what there is, and does what follows from that.
    fn send(&mut self, ready: &mut Readiness, around: &mut Surroundings<'_, S>) {
        while ready.writable && !self.machine.output().is_empty() {
            match self.stream.write(self.machine.output()) {
                Ok(sent) => {
                    self.trace(around, || What::Sent { bytes: sent as u64 });
                    self.machine.handle_sent(sent, around.now);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => ready.writable = false,
                    _ => {
                        self.lost(&error, around);
                        break;
                    }
                },
            }
        }
        self.act(around);
    }

    /// Does what the machine asks for.
    fn act(&mut self, around: &mut Surroundings<'_, S>) {
        loop {
            self.begin_if_possible(around);
            let Some(action) = self.machine.poll_action() else {
                return;
            };
            match action {
                Action::Begin(order) => {
                    self.upload = None;
                    self.order = Some(order);
                }
                Action::Reserve(total) => self.reserve(total, around),
                Action::Commit(ticket, seal) => {
                    let mut upload = self.upload.take().expect("what is committed was begun");
                    around.store.set_sender(&mut upload, &self.peer);
                    self.committing += 1;
                    around
                        .store
                        .commit(*upload, seal, self.key(around.token, ticket));
                }
                Action::Write(bytes) => self.append(&bytes, around),
                Action::Abort => self.abort(around),
                Action::Discard => {
                    if self.upload.is_some() {
                        around.counters.failed.add(1);
                    }
                    self.discard(around);
                }
                Action::Show(text) => around.notes.push(Note::Message(text)),
                Action::Remark(text) => around.notes.push(Note::Remark(text)),
                Action::FinishSending => {
                    self.abort(around);
                    // Fails only where the peer is gone, and then the next read says so.
                    let _ = self.stream.finish_sending();
                }
            }
        }
    }

    fn reserve(&mut self, total: u64, around: &mut Surroundings<'_, S>) {
        let key = self.key(around.token, 0);
        let upload = self.upload.as_mut().expect("what grows was begun");
        let reserved = match around.store.reserve(upload, total, key) {
            Ok(Reserved::Later) => return,
            Ok(Reserved::Now) => Ok(Begun::Open),
            Err(error) => {
                // Not even to be resumed: what fills the folder is not to stay.
                self.discard(around);
                Err(self.failed(&error, around))
            }
        };
        self.machine.handle_begun(reserved, around.now);
    }

    fn abort(&mut self, around: &mut Surroundings<'_, S>) {
        if self.upload.take().is_some() {
            around.counters.failed.add(1);
        }
        self.order = None;
        self.looking = None;
    }

    /// Throws the open upload away, even one that could be resumed.
    pub(super) fn discard(&mut self, around: &mut Surroundings<'_, S>) {
        if let Some(upload) = self.upload.take() {
            around.store.discard(*upload);
        }
    }

    /// Begins the upload that was ordered, once there is a descriptor for it.
    fn begin_if_possible(&mut self, around: &mut Surroundings<'_, S>) {
        self.give_back(around);
        let Some(order) = self.order.take() else {
            return;
        };
        if self.files() > self.extra {
            // Never the last ones: a new connection comes before an old one's second file.
            if around.spare.saturating_sub(around.store.unclaimed()) <= CLAIM {
                self.order = Some(order);
                return;
            }
            *around.spare -= 1;
            self.extra += 1;
        }
        self.begin(order, around);
    }

    pub(super) fn begin(&mut self, order: Box<Order>, around: &mut Surroundings<'_, S>) {
        let key = self.key(around.token, 0);
        let begun = match around.store.begin(&order, key) {
            Ok(Opening::Open(upload)) => {
                self.upload = Some(Box::new(upload));
                Ok(Begun::Open)
            }
            Ok(Opening::Reserving(upload)) => {
                self.upload = Some(Box::new(upload));
                return;
            }
            Ok(Opening::Looking) => {
                self.looking = Some(order);
                return;
            }
            Ok(Opening::Resumed(upload, offset)) => {
                self.upload = Some(Box::new(upload));
                Ok(Begun::Resumed { offset })
            }
            Ok(Opening::Resuming(upload)) => {
                self.upload = Some(Box::new(upload));
                self.looking = Some(order);
                return;
            }
            Err(error) => Err(self.failed(&error, around)),
        };
        self.machine.handle_begun(begun, around.now);
    }

    /// Counts the messages that were begun. One that is incomplete when all that was read has
    /// been used arrives in more than one piece.
    pub(super) fn count_messages(&mut self, around: &Surroundings<'_, S>) {
        let progress = self.machine.progress();
        around.counters.messages.add(progress.begun - self.counted);
        self.counted = progress.begun;
        if self.kept.is_none() && progress.within_message && progress.begun != self.split {
            self.split = progress.begun;
            around.counters.split_messages.add(1);
        }
    }

    pub(super) fn lost(&mut self, error: &io::Error, around: &mut Surroundings<'_, S>) {
        log::debug!("{}: connection lost: {error}", self.peer);
        around.counters.lost.add(1);
        self.trace(around, || What::Lost {
            why: error.to_string().into(),
        });
        self.machine.handle_lost(around.now);
        self.kept = None;
    }
}
