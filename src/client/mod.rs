//! The client as a library: it sends files over a few connections, and says what became of each.
//!
//! ```no_run
//! use piecemeal::client::{self, Item, Options, Quiet};
//!
//! let options = Options::to("127.0.0.1:9000".parse()?);
//! let items = vec![Item { path: "report.pdf".into(), name: "report.pdf".into() }];
//! let report = client::send(&options, items, &mut Quiet)?;
//! for failure in &report.failures {
//!     eprintln!("{}: {}", failure.item.path.display(), failure.why);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A tested example with a server at the other end is in [`server`](crate::server)'s page.
//! [`Found`] walks folders for what is to be sent. [`send`] runs a reactor of its own on the calling
//! thread until every file has an outcome, and tries again what a lost connection took with it;
//! [`send_stream`] does the same for a stream whose size nobody knows; [`Conversation`] sends texts
//! one at a time; [`mod@bench`] is a load generator.

pub mod bench;
mod connection;
mod driver;
mod hashing;
mod identity;
mod in_pieces;
mod jobs;
mod rehash;
mod report;
mod retries;
mod source;
mod stream;
mod supply;
mod talk;
mod throttling;
mod walk;

use std::path::PathBuf;
use std::time::Duration;

use crate::net::{Address, Endpoint, Pieces};
use crate::proto::{Conflict, Receipt};
pub use driver::{send, send_stream};
pub use report::{Anew, Failure, Report, Retry, Why};
pub use stream::Input;
pub use talk::Conversation;
pub use walk::{Found, Walk};

/// How to reach a server, and how to send.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server.
    pub to: Endpoint,
    /// Connections to send over, at most one a file, and no more than half the descriptors that
    /// the process may have.
    pub connections: usize,
    /// What is done about a name that is taken; `None` leaves it to the server.
    pub conflict: Option<Conflict>,
    /// How long no byte may move, either way, while an answer is due; `None` is for ever. A
    /// server is silent while it makes a large file safe.
    pub timeout: Option<Duration>,
    /// How long one address may take to be connected to; `None` leaves it to the system.
    pub connect_timeout: Option<Duration>,
    /// Whether SIGINT and SIGTERM end the sending, with a report of what is stored. A second one
    /// ends the program at once, also after [`send`] has returned: the handlers stay installed.
    pub signals: bool,
    /// Whether each file's digest is given to the server, which stores the file only if its own
    /// bytes have the same. Without it, damage on the way, and a change while a file is sent, go
    /// unnoticed.
    pub verify: bool,
    /// Whether the system may move large files into the sockets by itself, where it can
    /// (`sendfile` on Linux), rather than that they are read and written.
    pub sendfile: bool,
    /// Most bytes a second that all connections together send; `None` is no limit.
    pub limit_rate: Option<u64>,
    /// How often in a row a server may be tried again without anything having moved forward; see
    /// [`Progress::retrying`]. With 0, what is lost with a connection has failed.
    pub retries: u32,
    /// Whether the server is asked to keep what it has of a large file when the connection is
    /// lost, so that a later try, also that of a later run, goes on from there.
    pub resume: bool,
    /// Whether the server is told each file's mode and time of last change, to be kept if it likes.
    pub keep_metadata: bool,
    /// How what each connection sends is cut up; `None` sends as much at a time as it can.
    pub pieces: Option<Pieces>,
}

impl Options {
    /// The usual way to send to a server: one connection, two minutes of patience, five retries.
    pub fn to(endpoint: Endpoint) -> Options {
        Options {
            to: endpoint,
            connections: 1,
            conflict: None,
            timeout: Some(Duration::from_secs(120)),
            connect_timeout: Some(Duration::from_secs(10)),
            signals: false,
            verify: true,
            sendfile: true,
            limit_rate: None,
            retries: 5,
            resume: true,
            keep_metadata: false,
            pieces: None,
        }
    }
}

/// A file to be sent, or a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Where it is here; of a stream, what it is called in messages.
    pub path: PathBuf,
    /// What it is to be called there.
    pub name: String,
}

/// Hears how the sending goes, on the loop's thread: it must not block.
pub trait Progress {
    /// A connection is made.
    fn connected(&mut self, to: &Address) {
        let _ = to;
    }

    /// A file's bytes begin to be sent: so many, where that is known, which of a stream it isn't. A
    /// file that is announced once more begins twice.
    fn begun(&mut self, item: &Item, size: Option<u64>) {
        let _ = (item, size);
    }

    /// So many bytes of files were handed to the system.
    fn moved(&mut self, bytes: u64) {
        let _ = bytes;
    }

    /// So many of those were lost, or were not wanted: they no longer count.
    fn taken_back(&mut self, bytes: u64) {
        let _ = bytes;
    }

    /// A file goes on from this offset: the server has the bytes before it.
    fn resumed(&mut self, item: &Item, offset: u64) {
        let _ = (item, offset);
    }

    /// What the server has of a file is of no use: it is sent from its start, once more.
    fn anew(&mut self, item: &Item, why: Anew) {
        let _ = (item, why);
    }

    /// The server will be tried again.
    fn retrying(&mut self, retry: &Retry<'_>) {
        let _ = retry;
    }

    /// A file is stored.
    fn stored(&mut self, item: &Item, receipt: &Receipt) {
        let _ = (item, receipt);
    }

    /// A file is not stored.
    fn failed(&mut self, failure: &Failure) {
        let _ = failure;
    }
}

/// A [`Progress`] that nobody hears of.
#[derive(Clone, Copy, Debug)]
pub struct Quiet;

impl Progress for Quiet {}
