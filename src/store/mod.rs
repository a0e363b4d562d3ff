//! Where uploads land, and what must be true before one gets its name.
//!
//! An upload is begun, written and committed. Until its commit is reported it has no name that
//! anybody could see; dropped before that, it leaves nothing. The rest of the program never sees an
//! upload's path or its descriptor, and never waits: what takes long is done by the store's own
//! threads, and reported by [`Store::poll_done`].

mod error;
pub mod folder;
pub mod growing;
pub mod journal;
mod make_folders;
pub mod memory;
mod place;

use std::fmt::{Debug, Display};
use std::os::fd::BorrowedFd;

use rand::RngExt;

use crate::proto::limits::RUN_AHEAD_SIZE;
use crate::proto::{Order, Receipt, Seal, Ticket};
pub use error::Error;
pub use folder::FolderStore;
pub use growing::GrowingStore;
pub use journal::Journal;
pub use make_folders::make_folders;
pub use memory::MemoryStore;

/// Uploads up to this size are committed in the order in which that was asked for; a larger one
/// may be overtaken, so that small ones don't wait for its disk.
pub const IN_ORDER_SIZE: u64 = 8 << 20;

/// Most folders that a store has open for a batch of uploads. Each costs a sync anyway.
const FOLDERS_MOST: usize = 32;

// A connection lets only such uploads be committed behind each other.
const _: () = assert!(RUN_AHEAD_SIZE <= IN_ORDER_SIZE);

/// What a client is told that goes on with an upload it announced otherwise before.
const OTHER_NAME: &str = "an upload of that id was announced with another name";
const OTHER_SIZE: &str = "an upload of that id was announced with another size";

/// A place that uploads land in.
pub trait Store {
    /// An upload that is being written. Dropped before its commit, it leaves nothing that has a
    /// client's name: one that has an id can be resumed, where the store does that, and any other
    /// is gone.
    type Upload: Debug;

    /// What to call, from any thread, when [`Store::poll_done`] has something.
    fn set_wake(&mut self, wake: Wake);

    /// Begins an upload, with space reserved where its size is known. The size is checked against
    /// nothing but the space: limits are the protocol's business.
    ///
    /// # Errors
    /// [`Error::Exists`] where that is certain already, [`Error::Differs`], [`Error::Full`],
    /// [`Error::Io`], and [`Error::Failed`] after a disk has failed to sync.
    fn begin(&mut self, order: &Order, key: Key) -> Result<Opening<Self::Upload>, Error>;

    /// Makes sure that there is room for `total` bytes in all.
    fn reserve(
        &mut self,
        upload: &mut Self::Upload,
        total: u64,
        key: Key,
    ) -> Result<Reserved, Error>;

    /// Appends bytes, all of them.
    fn write(&mut self, upload: &mut Self::Upload, bytes: &[u8]) -> Result<(), Error>;

    /// Appends up to `most` bytes that wait in a pipe, without reading them. Returns how many, at
    /// least one; `None` where this store, or the file system under it, can't.
    fn splice(
        &mut self,
        upload: &mut Self::Upload,
        pipe: BorrowedFd<'_>,
        most: usize,
    ) -> Result<Option<usize>, Error> {
        let _ = (upload, pipe, most);
        Ok(None)
    }

    /// Who sends an upload, for a store that writes that down. Told before the commit.
    fn set_sender(&mut self, upload: &mut Self::Upload, peer: &dyn Display) {
        let _ = (upload, peer);
    }

    /// Makes the upload safe and gives it its name; [`Done::Stored`] tells how that ended, or
    /// [`Done::Found`].
    fn commit(&mut self, upload: Self::Upload, seal: Seal, key: Key);

    /// Throws an upload away, even one that could be resumed.
    fn discard(&mut self, upload: Self::Upload) {
        drop(upload);
    }

    /// Files that are still open for uploads that were cut off or given up: no connection's share of
    /// the descriptors counts them, and a server that stops gives them its time.
    fn unclaimed(&self) -> usize {
        0
    }

    /// [`Done::Taken`] has come, and may be about this upload.
    fn hear_taken(&mut self, upload: &mut Self::Upload) {
        let _ = upload;
    }

    /// Whether an upload with the same id was begun after this one, and goes on with its bytes: then
    /// how many this one has got since that was heard. It may get more, but should soon be given
    /// up.
    fn taken(&self, upload: &Self::Upload) -> Option<u64> {
        let _ = upload;
        None
    }

    /// Hands on what was collected: a store may wait with its commits until this is called, or
    /// [`Store::poll_done`], so that those of one turn of the loop are handed over together.
    fn flush(&mut self) {}

    /// What has come to an end, oldest first.
    fn poll_done(&mut self) -> Option<Done>;
}

/// Called when a store has news. It only wakes the loop.
pub type Wake = Box<dyn Fn() + Send + Sync>;

/// The caller's own names for whom an answer is for; a store only carries them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Which connection.
    pub connection: usize,
    /// Which of its uploads.
    pub ticket: Ticket,
}

/// How a begin went.
#[derive(Debug)]
pub enum Opening<U> {
    /// The upload is open.
    Open(U),
    /// The upload is open, and its space is being reserved; [`Done::Reserved`] tells.
    Reserving(U),
    /// A file of that name is being compared with the announced digest; [`Done::Looked`] tells.
    Looking,
    /// The upload is open and can be resumed; it has so many bytes already.
    Resumed(U, u64),
    /// The same, once [`Done::Resumed`] has told how many; or [`Done::Looked`], where the upload
    /// that it would have gone on with got its name meanwhile.
    Resuming(U),
}

/// How a reservation went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// There is room.
    Now,
    /// It takes a while; [`Done::Reserved`] tells.
    Later,
}

/// Something that has come to an end.
#[derive(Debug)]
pub enum Done {
    /// A file of the announced name was looked at: the receipt of an identical one, or `None`.
    Looked(Key, Result<Option<Receipt>, Error>),
    /// Space was reserved, or there is none.
    Reserved(Key, Result<(), Error>),
    /// An upload that can be resumed is open, with so many bytes.
    Resumed(Key, Result<u64, Error>),
    /// An upload is taken over, to be told to [`Store::hear_taken`] if one is still open.
    Taken(Key),
    /// A commit.
    Stored(Key, Result<Receipt, Error>),
    /// A commit of a file that was there already under this name, byte for byte, from an earlier
    /// try. Its sender is told what it would have been told then, and nothing else has happened.
    Found(Key, Receipt),
}

impl Done {
    /// Whom it is for.
    pub fn key(&self) -> Key {
        match self {
            Done::Looked(key, _)
            | Done::Reserved(key, _)
            | Done::Resumed(key, _)
            | Done::Taken(key)
            | Done::Stored(key, _)
            | Done::Found(key, _) => *key,
        }
    }
}

/// Descriptors that a store may hold beside its uploads' files, for folders that they go into: few
/// where the process may have few.
pub fn descriptors() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let limit = limit.and_then(|limit| usize::try_from(limit).ok());
    limit.map_or(FOLDERS_MOST, |limit| (limit / 64).clamp(2, FOLDERS_MOST))
}

/// A name for an upload that has none: eight random letters or digits and `.bin`.
fn random_name() -> String {
    format!("{}.bin", random_letters(8))
}

fn random_letters(count: usize) -> String {
    rand::rng()
        .sample_iter(rand::distr::Alphanumeric)
        .take(count)
        .map(char::from)
        .collect()
}
