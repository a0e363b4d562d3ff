//! What the pump needs of a machine, whichever protocol it speaks.
//!
//! A machine is told what happened by the `handle_` methods, and asked what it wants by the
//! others. After each `handle_` call the caller drains it in this order:
//!
//! 1. [`poll_action`](Machine::poll_action) until it gives none; an action that has an answer
//!    ([`Begin`](Action::Begin), [`Reserve`](Action::Reserve)) gets it by
//!    [`handle_begun`](Machine::handle_begun), at once or later;
//! 2. [`output`](Machine::output): sends some, and says so by
//!    [`handle_sent`](Machine::handle_sent);
//! 3. [`want`](Machine::want): reads accordingly;
//! 4. when the socket has nothing more: [`deadline`](Machine::deadline), and goes away until
//!    that moment or the next event.

use std::fmt;
use std::time::Duration;

use super::announce::Conflict;
use super::digest::Digest;
use super::error::Fault;
use super::metadata::Metadata;
use super::moment::Moment;
use super::name::Name;
use super::reply::Receipt;
use super::upload_id::UploadId;

/// What a machine wants from its socket next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Some bytes, to be handed to [`Machine::handle_bytes`].
    Bytes,
    /// Up to so many bytes moved from the socket into the upload.
    Body(u64),
    /// Up to so many bytes read and thrown away.
    Discard(u64),
    /// Nothing: it waits for the store, or for the peer to read its replies.
    Wait,
    /// The end: the socket can be closed.
    Close,
}

/// Names an upload that is being committed; counts up within one machine.
pub type Ticket = u64;

/// What a machine wants done.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Begin an upload, in place of any that is open. To be answered.
    Begin(Box<Order>),
    /// The open upload will grow to this many bytes in all: make sure there is room. To be
    /// answered.
    Reserve(u64),
    /// Give the open upload its name; [`Machine::handle_stored`] tells how that ended.
    Commit(Ticket, Seal),
    /// Append these bytes to the open upload: the machine had to look at them before it knew that
    /// they belong to one. [`Machine::handle_moved`] is not called for them.
    Write(Box<[u8]>),
    /// Give the open upload up. One that can be resumed is kept, any other is thrown away.
    Abort,
    /// Throw the open upload away, though it could be resumed: its bytes are not the right ones.
    Discard,
    /// Show a person this text of the peer's.
    Show(String),
    /// Tell a person this about the peer. What is quoted of the peer's bytes in it is escaped.
    Remark(Box<str>),
    /// Every reply is out: give the open upload up, and shut down the sending side of the
    /// socket.
    FinishSending,
}

/// What is known of an upload before its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// Its name, or `None` for eight random characters and `.bin`.
    pub name: Option<Name>,
    /// Its bytes, where they are known.
    pub size: Option<u64>,
    /// Its digest, where it is known.
    pub digest: Option<Digest>,
    /// What to do when the name is taken.
    pub conflict: Conflict,
    /// Whether a file that is there already, of the same name, size and digest, is to be looked
    /// for first: then nothing need be sent.
    pub look_first: bool,
    /// Whether a digest may follow behind the bytes.
    pub digest_follows: bool,
    /// What the upload is called by, where its client may want to go on with it later.
    pub upload: Option<UploadId>,
    /// What is known of it besides its bytes; a store may leave it out of account.
    pub metadata: Metadata,
}

/// What must be true of an upload before it gets its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seal {
    /// Bytes that went into it.
    pub size: u64,
    /// Digest that it must have.
    pub digest: Option<Digest>,
}

/// How an upload begins.
#[derive(Debug, PartialEq, Eq)]
pub enum Begun {
    /// The store has opened it.
    Open,
    /// The store has opened it, and keeps what comes if it is cut off.
    Resumed {
        /// Bytes that an earlier connection left, or 0. They are at the front, and are safe.
        offset: u64,
    },
    /// The file is there already, whole and identical.
    Present(Receipt),
}

/// A protocol as a state machine that does no input or output of its own.
pub trait Machine {
    /// Takes bytes that came while it wanted [`Want::Bytes`]; returns how many it took, which is
    /// at least one. It takes no more than one step needs, so ask for [`Machine::want`] again.
    fn handle_bytes(&mut self, bytes: &[u8], now: Moment) -> usize;

    /// So many bytes were moved ([`Want::Body`]) or thrown away ([`Want::Discard`]).
    fn handle_moved(&mut self, bytes: u64, now: Moment);

    /// The peer has ended its stream.
    fn handle_end(&mut self, now: Moment);

    /// The socket failed; nothing can be sent any more.
    fn handle_lost(&mut self, now: Moment);

    /// The answer to [`Action::Begin`] or [`Action::Reserve`].
    fn handle_begun(&mut self, begun: Result<Begun, Fault>, now: Moment);

    /// The open upload could not take bytes; it was thrown away.
    fn handle_write_failed(&mut self, fault: Fault, now: Moment);

    /// How a [`Action::Commit`] has ended.
    fn handle_stored(&mut self, ticket: Ticket, stored: Result<Receipt, Fault>, now: Moment);

    /// So many bytes of [`Machine::output`] were sent.
    fn handle_sent(&mut self, bytes: usize, now: Moment);

    /// It may be that the [`Machine::deadline`] has passed.
    fn handle_deadline(&mut self, now: Moment);

    /// For so long, what the peer had sent was not read, for a reason of this side's: that is no
    /// standstill of the peer's.
    fn handle_own_pause(&mut self, paused: Duration) {
        let _ = paused;
    }

    /// Another connection goes on with the open upload: this one has lost it. Machines without
    /// resumable uploads never hear of it.
    fn handle_taken_over(&mut self, now: Moment) {
        let _ = now;
    }

    /// The program is stopping: nothing new is begun.
    fn handle_stop(&mut self, stop: Stop, now: Moment);

    /// The next thing to be done.
    fn poll_action(&mut self) -> Option<Action>;

    /// The next step to be traced, where it was told to keep them.
    fn poll_step(&mut self) -> Option<Step>;

    /// The next fault that the peer is told of, where it was told to keep them.
    fn poll_fault(&mut self) -> Option<Fault> {
        None
    }

    /// Bytes to be sent.
    fn output(&self) -> &[u8];

    /// What it wants from the socket.
    fn want(&self) -> Want;

    /// When it wants [`Machine::handle_deadline`] called, if nothing happens before.
    fn deadline(&self) -> Option<Moment>;

    /// How far it has come.
    fn progress(&self) -> Progress;

    /// Where it stands, for a trace.
    fn position(&self) -> Position;
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Messages that were begun, so also the number of the one that is under way.
    pub begun: u64,
    /// Whether that one is still incomplete.
    pub within_message: bool,
    /// Whether anything is begun and not yet answered: a message, or an upload that was announced.
    pub under_way: bool,
}

/// A step from one state to another (or to the same anew), for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Step {
    /// The state that was left.
    pub from: &'static str,
    /// Why.
    pub cause: &'static str,
    /// The state that was entered.
    pub to: &'static str,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} --{}--> {}", self.from, self.cause, self.to)
    }
}

/// The state that a machine is in, and how much of what it needs has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The state's name.
    pub state: &'static str,
    /// Bytes of what the state waits for that have come.
    pub have: u64,
    /// Bytes that it needs in all; `None` where it needs none, or where only the end of the
    /// stream will tell.
    pub need: Option<u64>,
}

/// How soon a program stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// What is under way may be finished.
    Soon,
    /// Its time is up: whatever is incomplete is dropped.
    Now,
}
