//! One file or stream of a sending, and what its tries have come to.

use crate::client::Item;
use crate::client::source::Facts;
use crate::client::supply::Supply;
use crate::proto::sender::Check;
use crate::proto::{Digest, Metadata};

/// A file to be sent.
#[derive(Debug)]
pub(in crate::client) struct Job {
    /// Names one try: a file that is announced once more gets another.
    pub(in crate::client) id: u64,
    /// Which of the files given it is: the order that the report has.
    pub(super) position: usize,
    pub(in crate::client) item: Item,
    /// Its digest, where that was taken before: then it is announced with the name.
    pub(in crate::client) digest: Option<Digest>,
    /// What earlier tries have come to.
    pub(super) past: Past,
}

/// The earlier tries of a file.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Past {
    /// Tries in a row that were lost and moved nothing forward.
    pub(super) lost: u32,
    /// How far the server was known to have it.
    pub(super) reached: u64,
    /// What the file was like, where it is read while it is sent.
    pub(super) facts: Option<Facts>,
    /// Whether it was sent from its start once more, since what the server had was of no use.
    pub(super) is_anew: bool,
}

/// A file, or a stream, as it is to be begun.
#[derive(Debug)]
pub(in crate::client) struct Start {
    pub(in crate::client) id: u64,
    pub(in crate::client) name: String,
    pub(in crate::client) source: Supply,
    /// What is said of a file beforehand; nothing can be said of a stream.
    pub(in crate::client) announcement: Option<Announcement>,
}

/// What is said of a file before it is sent.
#[derive(Clone, Copy, Debug)]
pub(in crate::client) struct Announcement {
    pub(in crate::client) size: u64,
    pub(in crate::client) check: Check,
    /// What the file is like, where it is large enough to be resumed.
    pub(in crate::client) facts: Option<Facts>,
    /// What is known of it besides its bytes.
    pub(in crate::client) metadata: Metadata,
}

/// A file that was begun.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) job: Job,
    /// Whether its digest was announced with its name.
    pub(super) announced: bool,
    /// Where this try went on from.
    pub(super) resumed_from: u64,
    /// Bytes of it that were handed to the system, or that the server had.
    pub(super) moved: u64,
}

impl Job {
    /// Whether the file is no longer what an earlier try has sent.
    pub(super) fn has_changed(&self, now: Option<Facts>) -> bool {
        self.past.facts.is_some_and(|before| Some(before) != now)
    }

    /// Whether the file was written to since it was opened to be sent.
    pub(super) fn was_written_to(&self) -> bool {
        let facts = self.past.facts;
        facts.is_some_and(|facts| facts.has_changed(&self.item.path))
    }
}
