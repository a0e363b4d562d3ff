//! Every number of the protocol, where it comes from, and what a server may set.

use std::time::Duration;

use super::announce::Conflict;
use super::name::NameRules;

/// Most bytes of a STRING, PUT or END body. The course's sheet set it for text; it holds the
/// longest name and every field with room to spare.
pub const TEXT_MOST: u64 = 4096;

/// Most bytes of a reply's text that a client takes: a message of [`TEXT_MOST`] comes back behind
/// a few words of the server's.
pub const REPLY_MOST: u64 = TEXT_MOST + 64;

/// Most bytes of a refused body that are read to stay in step; a longer one closes.
pub const SKIP_MOST: u64 = 64 << 20;

/// Longest time that a refused body is read for.
pub const SKIP_TIME: Duration = Duration::from_secs(30);

/// After the last reply of a connection that closes: how long a silent peer is listened to, so
/// that unread bytes don't turn the close into a reset that takes the reply with it.
pub const LINGER_IDLE: Duration = Duration::from_secs(5);

/// The same for a peer that goes on sending.
pub const LINGER_MOST: Duration = Duration::from_secs(30);

/// The time over which the slowest rate is measured.
pub const RATE_WINDOW: Duration = Duration::from_secs(30);

/// An upload up to this size is stored while the next message is read already; behind a larger
/// one the connection waits, since large ones may overtake each other in the store. A client
/// sends the body of a smaller one without waiting for the answer to its PUT.
pub const RUN_AHEAD_SIZE: u64 = 1 << 20;

/// Most messages of one connection that are still to be answered while another is read.
pub const RUN_AHEAD_MOST: usize = 64;

/// Replies that a peer hasn't read: above this many bytes, none of its messages is read.
pub const UNREAD_MOST: usize = 16 << 10;

/// What a server that is full tells a client to wait, in seconds.
pub const BUSY_RETRY_S: u64 = 2;

// Relations that other code counts on.
const _: () = assert!(TEXT_MOST >= super::name::NAME_MOST as u64 + 1024);
const _: () = assert!(REPLY_MOST <= u16::MAX as u64);
const _: () = assert!(RUN_AHEAD_SIZE <= SKIP_MOST);
const _: () = assert!(LINGER_IDLE.as_secs() <= LINGER_MOST.as_secs());

/// What a STRING is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strings {
    /// A file's name.
    #[default]
    Name,
    /// A message for a person, shown and sent back.
    Message,
}

/// How long a peer may stand still; `None` is for ever.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// From the connection to its first byte, and for any header begun.
    pub header: Option<Duration>,
    /// Without a byte of a body, or of a reply that the peer won't read.
    pub stall: Option<Duration>,
    /// Between messages.
    pub idle: Option<Duration>,
    /// Slowest body in bytes a second, measured over [`RATE_WINDOW`]; 0 takes any.
    pub min_rate: u64,
}

impl Default for Deadlines {
    fn default() -> Self {
        Deadlines {
            header: Some(Duration::from_secs(10)),
            stall: Some(Duration::from_secs(60)),
            idle: Some(Duration::from_secs(300)),
            min_rate: 500,
        }
    }
}

/// What a server takes, the same for all its connections.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    /// Most bytes of one file; `None` is no limit.
    pub max_size: Option<u64>,
    /// Whether DATA_EOF is taken.
    pub accept_eof: bool,
    /// What a STRING is.
    pub strings: Strings,
    /// What names may have.
    pub names: NameRules,
    /// What happens to a name that is taken.
    pub conflict: Conflict,
    /// How long a peer may stand still.
    pub deadlines: Deadlines,
    /// Whether machines keep their transitions to be printed.
    pub trace: bool,
    /// Whether machines keep the faults that they answer with, for
    /// [`Machine::poll_fault`](super::Machine::poll_fault).
    pub tell_faults: bool,
}
