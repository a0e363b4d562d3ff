//! One connection at work: a machine, a socket, and at most one open upload.
//!
//! A visit moves what can be moved, within a budget: replies out, bytes in, a file's bytes into
//! the store. The session knows no protocol (the machine does) and no policy (the server does).
//! It keeps no buffer of its own while nothing is under way.

mod answers;
mod pump;
mod splice;
#[cfg(test)]
mod tests;
mod throttling;
mod tracing;

use std::collections::VecDeque;

use crate::net::{Address, Duplex, Stream, Throttle};
use crate::observe::{Counters, Watch};
use crate::proto::{Code, Fault, Machine, Moment, Order, Receipt, Stop, Ticket};
use crate::reactor::{Readiness, Token, Visit};
use crate::store::{Key, Store};
pub use splice::{Splice, Splicing};

/// Bytes that one visit moves before it is another's turn, so that one that has a gigabyte waiting
/// holds up the others by no longer than this takes.
pub const BUDGET: usize = 256 << 10;

/// What a message costs of the budget besides its bytes. It may lead to a few system calls, and a
/// peer can put tens of thousands of messages into the bytes of one budget.
const MESSAGE: usize = 4 << 10;

/// Descriptors that a session has a claim to: its socket and one file.
pub const CLAIM: usize = 2;

/// What a session still takes of an upload that another connection goes on with. So much may be in
/// the buffers of the two systems, and would have to be sent again.
const LAST_BYTES: u64 = 16 << 20;

/// Bytes of one read while a header is expected. What follows a header in the same read is used
/// at once, and only kept where the machine has to wait; so this bounds what a connection keeps.
const HEADER_READ: usize = 16 << 10;

/// One connection at work. Its socket is a [`Stream`] wherever bytes really travel.
#[derive(Debug)]
pub struct Session<M, S: Store, T = Stream> {
    stream: T,
    peer: Address,
    machine: M,
    /// Boxed, like all that an idle connection doesn't have.
    upload: Option<Box<S::Upload>>,
    /// The upload that the machine wants begun, while no descriptor is left for it.
    order: Option<Box<Order>>,
    /// The same, while the store looks at a file that has its name, or opens an upload that can be
    /// resumed.
    looking: Option<Box<Order>>,
    /// Bytes that were read, but that the machine doesn't want yet.
    #[expect(clippy::box_collection, reason = "nearly all connections have none")]
    kept: Option<Box<VecDeque<u8>>>,
    /// Commits that were asked for and have not ended.
    committing: u32,
    /// Descriptors that were taken from the common ones for files beyond the first.
    extra: u32,
    /// Messages that were counted.
    counted: u64,
    /// The ordinal of the last message that was counted as split.
    split: u64,
}

/// What a session works with during a visit.
#[derive(Debug)]
pub struct Surroundings<'a, S: Store> {
    /// Where uploads land.
    pub store: &'a mut S,
    /// Memory to read into, shared by all sessions; at least [`BUDGET`] bytes.
    pub scratch: &'a mut [u8],
    /// The fast path of bodies, shared by all sessions.
    pub splice: &'a mut Splice,
    /// What is counted.
    pub counters: &'a Counters,
    /// Descriptors that nobody has a claim to. A session has one to its socket and one file, and
    /// takes from these for further files while earlier ones are being committed.
    pub spare: &'a mut usize,
    /// The rate that bytes are read at, if that is limited.
    pub throttle: Option<&'a mut Throttle<Token>>,
    /// Who watches the connection, if anybody does.
    pub trace: Option<Watch<'a>>,
    /// What there is to tell people; the caller takes it after the visit.
    pub notes: &'a mut Vec<Note>,
    /// The session's own token.
    pub token: Token,
    /// The time.
    pub now: Moment,
}

/// Something that people may want to hear of.
#[derive(Debug)]
pub enum Note {
    /// A peer sent a text to be shown.
    Message(String),
    /// The machine has something to say about the peer.
    Remark(Box<str>),
    /// A file was stored.
    Stored(Receipt),
    /// The peer is told of a fault, where machines keep those.
    Refused(Fault),
    /// An upload failed, for a reason that is this side's.
    Failed(Code, String),
}

impl<M: Machine, S: Store, T: Duplex> Session<M, S, T> {
    /// A session for a stream that was just connected.
    pub fn new(stream: T, peer: Address, machine: M) -> Session<M, S, T> {
        Session {
            stream,
            peer,
            machine,
            upload: None,
            order: None,
            looking: None,
            kept: None,
            committing: 0,
            extra: 0,
            counted: 0,
            split: 0,
        }
    }

    /// Who is at the other end.
    pub fn peer(&self) -> &Address {
        &self.peer
    }

    /// Whether something is under way that a close would cut off.
    pub fn is_busy(&self) -> bool {
        self.committing > 0 || self.machine.progress().under_way
    }

    /// Bytes that it holds: what was read and isn't wanted yet, and what is to be sent. What is read
    /// and kept is never more than one read for a header.
    pub fn held(&self) -> (usize, usize) {
        let kept = self.kept.as_ref().map_or(0, |kept| kept.len());
        (kept, self.machine.output().len())
    }

    /// Moves what can be moved.
    pub fn visit(&mut self, ready: &mut Readiness, around: &mut Surroundings<'_, S>) -> Visit {
        self.excuse_wait(around);
        // What has come counts, however late the loop is to see it. Only then is the time up.
        let mut visit = self.pump(ready, around);
        if visit != Visit::Close && self.is_lost_to_another(visit, around) {
            self.machine.handle_taken_over(around.now);
            visit = self.pump(ready, around);
        }
        if self.is_due(visit, around) && !ready.readable {
            // Urgent data, or descriptors sent along, cut a read short: the socket was taken for
            // empty while it wasn't. Before anybody is blamed, it is asked.
            ready.readable = true;
            visit = self.pump(ready, around);
        }
        if self.is_due(visit, around) {
            self.machine.handle_deadline(around.now);
            visit = self.pump(ready, around);
        }
        around.end_turn();
        self.give_back(around);
        self.trace_steps(around);
        // Nothing is told of a peer that isn't visited: the store's answers lead to a visit too.
        while let Some(fault) = self.machine.poll_fault() {
            around.notes.push(Note::Refused(fault));
        }
        visit
    }

    /// Whether the machine's deadline has passed, and it is the peer that let it pass.
    fn is_due(&self, visit: Visit, around: &Surroundings<'_, S>) -> bool {
        let deadline = self.machine.deadline();
        visit != Visit::Close
            && deadline.is_some_and(|until| until <= around.now)
            && (!around.is_held_back() || self.lingers())
    }

    /// Whether another connection has asked for the open upload, and all that came here has been
    /// read, or enough of it.
    fn is_lost_to_another(&self, visit: Visit, around: &Surroundings<'_, S>) -> bool {
        let Some(upload) = self.upload.as_deref() else {
            return false;
        };
        match (around.store.taken(upload), visit) {
            (None, _) => false,
            (Some(bytes), Visit::Again(_)) => bytes >= LAST_BYTES,
            (Some(_), _) => true,
        }
    }

    /// The program is stopping.
    pub fn stop(&mut self, stop: Stop, now: Moment) {
        self.machine.handle_stop(stop, now);
    }

    /// Counts an upload that failed, tells people if it is this side's fault, and gives what the
    /// peer is told.
    fn failed(&self, error: &crate::store::Error, around: &mut Surroundings<'_, S>) -> Fault {
        around.counters.failed.add(1);
        let fault = Fault::from(error);
        if error.is_ours() {
            let why = error.to_string();
            around.notes.push(Note::Failed(fault.code(), why));
        }
        fault
    }

    /// Files that are open on behalf of this session.
    fn files(&self) -> u32 {
        let opening = self.upload.is_some() || self.looking.is_some();
        self.committing + u32::from(opening)
    }

    /// Gives back what was taken for files that are closed by now.
    fn give_back(&mut self, around: &mut Surroundings<'_, S>) {
        let needed = self.files().saturating_sub(1);
        *around.spare += self.extra.saturating_sub(needed) as usize;
        self.extra = self.extra.min(needed);
    }

    fn key(&self, token: Token, ticket: Ticket) -> Key {
        Key {
            connection: token.to_raw(),
            ticket,
        }
    }
}
