//! What became of the files.

use std::io;
use std::time::Duration;

use thiserror::Error;

use super::Item;
use crate::net::Endpoint;
use crate::proto::name::NameFault;
use crate::proto::reply::Refusal;
use crate::proto::sender::Broken;
use crate::proto::text::escaped;

/// The outcome of a sending.
#[derive(Debug, Default)]
pub struct Report {
    /// Files that are stored.
    pub stored: usize,
    /// Their bytes.
    pub stored_bytes: u64,
    /// Files that are not, or not for certain, in the order in which they were given.
    pub failures: Vec<Failure>,
    /// The signal that ended the sending, if one did.
    pub signal: Option<i32>,
}

/// A file that was not stored, or not for certain.
#[derive(Debug)]
pub struct Failure {
    /// The file.
    pub item: Item,
    /// Why not.
    pub why: Why,
}

/// Another try that is about to be made.
#[derive(Clone, Copy, Debug)]
pub struct Retry<'a> {
    /// What was under way, where that was one file.
    pub item: Option<&'a Item>,
    /// How the last try failed.
    pub why: &'a Why,
    /// How long is waited before it.
    pub wait: Duration,
    /// Which try it is since anything last moved forward, from 1 on, …
    pub number: u32,
    /// … of so many.
    pub of: u32,
}

/// Why a file is sent from its start although the server had some of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Anew {
    /// The file was written to, or replaced, since the last try.
    #[error("it has changed since the last try")]
    Changed,
    /// With the bytes that the server had, the whole has another digest.
    #[error("what the server had of it was not the same")]
    Digest,
}

/// Why a file was not stored, or a text not answered. Its `Display` is a line for a person, with
/// nothing of a peer's raw.
#[derive(Clone, Debug, Error)]
pub enum Why {
    /// The host has no address.
    #[error("can't find {to}: {error}")]
    Resolve {
        /// What was looked for.
        to: Endpoint,
        /// How it failed.
        error: String,
    },
    /// No connection could be made.
    #[error("can't connect to {to}: {error}")]
    Connect {
        /// Where to.
        to: Endpoint,
        /// How the last try failed.
        error: String,
    },
    /// The connection ended before the answer came.
    #[error("the connection was lost before the server had answered: {0}")]
    Lost(String),
    /// The connection was cut on purpose, after so many bytes; see
    /// [`Options::pieces`](super::Options::pieces).
    #[error("cut after {0} bytes, as --cut-after says")]
    Cut(u64),
    /// The server refused, and said why.
    #[error("the server refused it ({}): {}", escaped(&.0.word), escaped(&.0.text))]
    Refused(Refusal),
    /// The server's bytes have another digest, and the file was written to since it was opened.
    #[error("it changed while it was sent; the server refused it ({}): {}", escaped(&.0.word), escaped(&.0.text))]
    Changed(Refusal),
    /// No byte moved for too long.
    #[error("the server was silent for too long")]
    TimedOut,
    /// The server broke the protocol.
    #[error("{0}; is it a piecemeal server?")]
    Broken(#[from] Broken),
    /// The server took a text for the name of a file that is to come.
    #[error("the server took it for a file's name; does it run with --strings message?")]
    TakenForName,
    /// The server took the name of a file that is to come for a text.
    #[error("the server took a file's name for a text; does it run with --strings message?")]
    TakenForText,
    /// The file can't be read.
    #[error("can't read it: {0}")]
    Local(String),
    /// The command whose output was sent has failed, or can't be run: how.
    #[error("the command {0}; nothing was stored")]
    Command(String),
    /// What was read of a stream is gone with the connection, so it can't be tried again.
    #[error("{0}; what was read of the stream is gone, so it can't be sent again from here")]
    Gone(Box<Why>),
    /// The file can't have that name.
    #[error("can't be called {}: {fault}", escaped(name))]
    Name {
        /// The name.
        name: String,
        /// The rule it breaks.
        fault: NameFault,
    },
    /// It has no name that could be sent: neither a text nor a name at all.
    #[error("{0}")]
    Unnamed(&'static str),
    /// It is a link that leads back to a folder above it.
    #[error("it is a link back to {above}: a loop")]
    Loop {
        /// That folder, escaped.
        above: String,
    },
    /// A signal ended the sending first.
    #[error("ended by a signal")]
    Signal,
    /// The loop itself failed.
    #[error("{0}")]
    System(String),
}

impl From<io::Error> for Why {
    fn from(error: io::Error) -> Why {
        Why::System(error.to_string())
    }
}
