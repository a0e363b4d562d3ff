//! Digests of what is stored, read back block by block.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::record::State;
use super::root::Root;
use super::unfinished::Unfinished;
use super::writeback;
use crate::proto::Digest;
use crate::store::Error;

/// How much of a file is read at a time.
const BLOCK: usize = 256 << 10;

/// An upload that can be resumed is synced whenever it has grown by so much, and its record says
/// so: a power cut costs no more. (The death of the server costs nothing.)
const CHECKPOINT: u64 = if cfg!(test) { 16 << 20 } else { 256 << 20 };

/// How far the digest, and the writeback, of a growing file have come.
#[derive(Debug)]
pub(super) struct Chase {
    unfinished: Arc<Unfinished>,
    wants_digest: bool,
    at: Mutex<Followed>,
    /// Whether nobody needs it any more.
    is_over: AtomicBool,
}

/// Up to where that is.
#[derive(Debug, Default)]
pub(super) struct Followed {
    bytes: u64,
    /// Bytes that a record says are safe, where there is one.
    synced: u64,
    hasher: blake3::Hasher,
}

impl Chase {
    pub(super) fn new(unfinished: Arc<Unfinished>, wants_digest: bool) -> Chase {
        Chase {
            unfinished,
            wants_digest,
            at: Mutex::default(),
            is_over: AtomicBool::new(false),
        }
    }

    /// Whether a digest is taken on the way.
    pub(super) fn wants_digest(&self) -> bool {
        self.wants_digest
    }

    /// Follows the file up to a length that it has reached, unless nobody needs that any more.
    pub(super) fn follow(&self, root: &Root, to: u64, block: &mut [u8]) -> Result<(), Error> {
        let mut at = self.lock();
        if self.is_over.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.advance(&mut at, root, to, block)
    }

    fn advance(
        &self,
        at: &mut Followed,
        root: &Root,
        to: u64,
        block: &mut [u8],
    ) -> Result<(), Error> {
        let from = at.bytes;
        let file = &self.unfinished.file;
        if root.durable && to > from {
            writeback::start(file, from, to - from);
        }
        if self.wants_digest {
            // A copy, so that a read that fails in the middle leaves no block counted twice.
            let mut hasher = at.hasher.clone();
            hash_range(file, from, to, &mut hasher, block, &|| true)?;
            at.hasher = hasher;
        }
        at.bytes = from.max(to);
        if self.unfinished.is_resumable() && at.bytes - at.synced >= CHECKPOINT {
            self.checkpoint(root, at)?;
            at.synced = at.bytes;
        }
        Ok(())
    }

    /// Nobody needs to follow the file any more. Whoever does so at this moment goes on.
    pub(super) fn give_up(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// The same, and waits for whoever does so. What befell them is known when this returns.
    pub(super) fn end(&self) {
        self.give_up();
        drop(self.lock());
    }

    /// Held by whoever follows the file.
    pub(super) fn lock(&self) -> MutexGuard<'_, Followed> {
        self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes sure that what has been followed can be gone on from after a power cut.
    fn checkpoint(&self, root: &Root, at: &Followed) -> Result<(), Error> {
        // The next one would succeed without what the last one has lost.
        if root.has_failed() {
            return Err(Error::Failed);
        }
        let synced = self.unfinished.file.sync_data().inspect_err(|_| {
            root.set_failed();
            // Nor may the next server, which would find nothing amiss, trust what is in memory.
            let _ = self.unfinished.write_record(State::lost(at.synced), false);
        });
        synced
            .and_then(|()| self.unfinished.write_record(State::open(at.bytes), true))
            .map_err(|error| Error::from_call("sync a partial upload", error))
    }

    /// The digest of the first `size` bytes, of which most were read before.
    pub(super) fn digest(&self, root: &Root, size: u64, block: &mut [u8]) -> Result<Digest, Error> {
        let mut at = self.lock();
        self.advance(&mut at, root, size, block)?;
        Ok(Digest(at.hasher.finalize().into()))
    }
}

/// The digest of a file's first `size` bytes.
pub(super) fn of_file(file: &File, size: u64, block: &mut [u8]) -> Result<Digest, Error> {
    of_file_while(file, size, block, &|| true)
}

/// The same, as long as somebody wants to know it.
pub(super) fn of_file_while(
    file: &File,
    size: u64,
    block: &mut [u8],
    wanted: &dyn Fn() -> bool,
) -> Result<Digest, Error> {
    let mut hasher = blake3::Hasher::new();
    hash_range(file, 0, size, &mut hasher, block, wanted)?;
    Ok(Digest(hasher.finalize().into()))
}

/// A block of memory to read into; each thread has one.
pub(super) fn block() -> Box<[u8]> {
    vec![0; BLOCK].into_boxed_slice()
}

fn hash_range(
    file: &File,
    from: u64,
    to: u64,
    hasher: &mut blake3::Hasher,
    block: &mut [u8],
    wanted: &dyn Fn() -> bool,
) -> Result<(), Error> {
    let mut at = from;
    while at < to {
        if !wanted() {
            return Err(Error::Failed);
        }
        let want = usize::try_from(to - at)
            .unwrap_or(usize::MAX)
            .min(block.len());
        let got = match file.read_at(&mut block[..want], at) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            got => got,
        };
        let got = got.map_err(|error| Error::from_call("read a file back", error))?;
        hasher.update(&block[..got]);
        at += got as u64;
    }
    Ok(())
}
