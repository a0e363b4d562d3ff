//! A stream of unknown size on its way from a reader, or a command's output, to a connection.
//!
//! ```text
//!  thread:  read, hash ──> filled blocks ──> part ──> socket  :loop
//!                 ^                            │
//!                 └────── spare blocks <───────┘
//! ```
//!
//! There are only so many blocks, so a slow server holds up the reading, and a slow reader the
//! sending; the loop never waits for a read. Nothing is read, and no command runs, before a server
//! has taken the announcement. This folder knows nothing of connections or of the protocol's
//! messages.

mod command;
mod outlet;
mod reading;

use std::fmt;
use std::io::{self, Read};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

pub(super) use outlet::Outlet;

use crate::proto::Digest;
use crate::reactor::Waker;
use command::Running;

/// Where a stream comes from.
pub enum Input {
    /// Whatever it reads, to its end. It is read on a thread of its own, which stays behind if it
    /// hangs in a read when the sending has ended.
    Reader(Box<dyn Read + Send>),
    /// The standard output of this command. The stream is complete when that has ended and the
    /// command has ended with 0. A command that still runs when the sending has failed is ended.
    Command(Box<Command>),
}

/// What the loop is given next.
#[derive(Debug)]
pub(super) enum Next {
    /// Bytes; at least one.
    Block(Vec<u8>),
    /// The stream is complete, and this is the digest of all of it, where one was asked for.
    End(Option<Digest>),
    /// Nothing yet; the loop is woken when there is more.
    Nothing,
}

/// Why there is no more of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// It can't be read.
    Unreadable(String),
    /// The command has failed: how.
    Command(String),
}

/// A stream, shared between the loop and the thread that reads it. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Feed(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// A block was given back, the loop has gone, or the command has ended.
    changed: Condvar,
    waker: Waker,
    /// Whether the stream gets a digest.
    verify: bool,
}

#[derive(Debug, Default)]
struct State {
    /// What is to be read, until that begins.
    input: Option<Input>,
    blocks: reading::Blocks,
    end: Option<Result<Option<Digest>, Broken>>,
    /// The command, while it runs.
    running: Option<Running>,
    /// Whether nobody takes anything any more.
    is_over: bool,
}

impl Feed {
    /// A stream that is read once it is asked for; the loop is woken when there is more of it.
    pub(super) fn new(input: Input, verify: bool, waker: Waker) -> Feed {
        let state = State {
            input: Some(input),
            ..State::default()
        };
        Feed(Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
            waker,
            verify,
        }))
    }

    /// Whether nothing was read yet, so that all of it can still be sent over another connection.
    pub(super) fn is_whole(&self) -> bool {
        self.0.lock().input.is_some()
    }

    /// How it has broken, if it has.
    pub(super) fn broken(&self) -> Option<Broken> {
        self.0.lock().end.clone()?.err()
    }

    /// What comes next; the first call begins the reading.
    pub(super) fn poll(&self) -> Result<Next, Broken> {
        let mut state = self.0.lock();
        if let Some(input) = state.input.take()
            && let Err(broken) = self.begin(&mut state, input)
        {
            state.end = Some(Err(broken));
        }
        if let Some(block) = state.blocks.take() {
            return Ok(Next::Block(block));
        }
        match state.end.clone() {
            Some(end) => end.map(Next::End),
            None => Ok(Next::Nothing),
        }
    }

    /// A block was sent, and can be filled again.
    pub(super) fn give_back(&self, block: Vec<u8>) {
        self.0.lock().blocks.give_back(block);
        self.0.changed.notify_all();
    }

    /// Nothing more is taken: the reading ends, and a command that still runs is ended and waited
    /// for. It is asked first, and killed if it doesn't listen.
    pub(super) fn finish(&self) {
        let mut state = self.0.lock();
        state.is_over = true;
        self.0.changed.notify_all();
        let running = state.running.take();
        drop(state);
        if let Some(running) = running {
            running.end();
        }
    }

    fn begin(&self, state: &mut State, input: Input) -> Result<(), Broken> {
        let reader = match input {
            Input::Reader(reader) => reader,
            Input::Command(command) => {
                let (running, output) = Running::start(*command)?;
                state.running = Some(running);
                Box::new(output)
            }
        };
        let shared = Arc::clone(&self.0);
        let thread = thread::Builder::new().name("stream".to_owned());
        let spawned = thread.spawn(move || shared.read(reader));
        spawned
            .map(drop)
            .map_err(|error| Broken::unreadable(&error))
    }
}

impl Shared {
    /// Reads all of it, and waits for the command's end behind it.
    fn read(&self, reader: Box<dyn Read + Send>) {
        let end = reading::read(self, reader);
        let end = end.and_then(|digest| command::wait_for_success(self).map(|()| digest));
        self.lock().end = Some(end);
        self.waker.wake();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Broken {
    fn unreadable(error: &io::Error) -> Broken {
        Broken::Unreadable(error.to_string())
    }
}

impl From<Broken> for io::Error {
    fn from(broken: Broken) -> io::Error {
        let (Broken::Unreadable(how) | Broken::Command(how)) = broken;
        io::Error::other(how)
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Input::Reader(_) => f.write_str("Reader"),
            Input::Command(command) => f.debug_tuple("Command").field(command).finish(),
        }
    }
}
