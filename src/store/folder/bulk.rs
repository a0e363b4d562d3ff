//! The bulk workers: what takes long, beside the batches of small files.
//!
//! While a large upload arrives, one starts the writeback of what is there and takes its digest,
//! so that little is left to do when the last byte has come. At the commit it finishes both, and
//! hands the file to the committer, which only has to name it.

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use super::committer::{Job, Reports};
use super::root::{Root, Unfinished};
use super::writeback;
use crate::proto::{Digest, Name, Receipt};
use crate::store::{Done, Error, Key};

/// How much of a file is read at a time to take its digest.
const BLOCK: usize = 256 << 10;

/// How many there are: so that there is one while the other waits for the disk.
const WORKERS: usize = 2;

/// Work for a bulk worker.
#[derive(Debug)]
pub(super) enum Task {
    /// A large upload has grown to so many bytes.
    Follow(Arc<Chase>, u64),
    /// Make sure that a large upload has room.
    Reserve {
        unfinished: Arc<Unfinished>,
        total: u64,
        key: Key,
    },
    /// A large upload is complete.
    Sync(Job),
    /// A large upload was given up.
    Discard(Arc<Unfinished>),
    /// Is the file of this name the one with this digest?
    Look {
        name: Name,
        digest: Digest,
        key: Key,
    },
}

/// How far the worker has followed a growing file.
#[derive(Debug)]
pub(super) struct Chase {
    unfinished: Arc<Unfinished>,
    wants_digest: bool,
    at: Mutex<Followed>,
}

#[derive(Debug, Default)]
struct Followed {
    bytes: u64,
    hasher: blake3::Hasher,
}

impl Chase {
    pub(super) fn new(unfinished: Arc<Unfinished>, wants_digest: bool) -> Chase {
        Chase {
            unfinished,
            wants_digest,
            at: Mutex::default(),
        }
    }

    fn follow(&self, to: u64, durable: bool, block: &mut [u8]) -> Result<(), Error> {
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        let file = &self.unfinished.file;
        if durable && to > at.bytes {
            writeback::start(file, at.bytes, to - at.bytes);
        }
        if self.wants_digest {
            let from = at.bytes;
            hash_range(file, from, to, &mut at.hasher, block)?;
        }
        at.bytes = at.bytes.max(to);
        Ok(())
    }

    /// The digest of the first `size` bytes, of which most were read before.
    fn digest(&self, size: u64, block: &mut [u8]) -> Result<Digest, Error> {
        self.follow(size, false, block)?;
        let at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Digest(at.hasher.finalize().into()))
    }
}

/// The digest of an upload's bytes as they are stored.
pub(super) fn digest_of(job: &Job, block: &mut [u8]) -> Result<Digest, Error> {
    match &job.chase {
        Some(chase) if chase.wants_digest => chase.digest(job.written, block),
        _ => {
            let mut hasher = blake3::Hasher::new();
            hash_range(&job.unfinished.file, 0, job.written, &mut hasher, block)?;
            Ok(Digest(hasher.finalize().into()))
        }
    }
}

/// The receipt of the file that has a name, where its bytes have that digest. It is made as
/// durable as an upload would be.
pub(super) fn identical(
    root: &Root,
    name: &str,
    digest: Digest,
    block: &mut [u8],
) -> Result<Option<Receipt>, Error> {
    let Some(file) = root.open_file(name)? else {
        return Ok(None);
    };
    let size = file
        .metadata()
        .map_err(|error| Error::from_call("look at a file", error))?
        .len();
    let mut hasher = blake3::Hasher::new();
    hash_range(&file, 0, size, &mut hasher, block)?;
    if Digest(hasher.finalize().into()) != digest {
        return Ok(None);
    }
    if root.durable {
        let synced = file.sync_all().and_then(|()| root.sync());
        synced.map_err(|error| {
            root.set_failed();
            Error::from_call("sync a file", error)
        })?;
    }
    let name = name.to_owned();
    Ok(Some(Receipt {
        name,
        size,
        digest: Some(digest),
        durable: root.durable,
    }))
}

/// A block of memory to read into; each thread has one.
pub(super) fn block() -> Box<[u8]> {
    vec![0; BLOCK].into_boxed_slice()
}

/// Starts the workers. Whichever is free takes the next task, so that one upload's long sync
/// doesn't hold up another's.
pub(super) fn start(
    root: &Arc<Root>,
    tasks: Receiver<Task>,
    jobs: &Sender<Job>,
    reports: &Reports,
) -> io::Result<Vec<JoinHandle<()>>> {
    let tasks = Arc::new(Mutex::new(tasks));
    let start_one = |_| {
        let (root, jobs, reports) = (Arc::clone(root), jobs.clone(), reports.clone());
        let tasks = Arc::clone(&tasks);
        let run = move || {
            let mut block = block();
            while let Some(task) = next(&tasks) {
                work(&root, task, &jobs, &reports, &mut block);
            }
        };
        thread::Builder::new().name("bulk".into()).spawn(run)
    };
    (0..WORKERS).map(start_one).collect()
}

fn next(tasks: &Mutex<Receiver<Task>>) -> Option<Task> {
    tasks
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .recv()
        .ok()
}

fn work(root: &Root, task: Task, jobs: &Sender<Job>, reports: &Reports, block: &mut [u8]) {
    match task {
        Task::Follow(chase, to) => {
            // A read that fails here fails again at the commit, which reports it.
            if let Err(error) = chase.follow(to, root.durable, block) {
                log::warn!("digest of an upload: {error}");
            }
        }
        Task::Sync(mut job) => match job.make_safe(root, block) {
            // The committer outlives this thread.
            Ok(()) => drop(jobs.send(job)),
            Err(error) => {
                let key = job.key;
                // First, so that a report finds the file gone.
                drop(job);
                reports.send([Done::Stored(key, Err(error))]);
            }
        },
        Task::Reserve {
            unfinished,
            total,
            key,
        } => {
            reports.send([Done::Reserved(key, unfinished.reserve(total))]);
        }
        Task::Discard(unfinished) => drop(unfinished),
        Task::Look { name, digest, key } => {
            let found = identical(root, name.as_str(), digest, block);
            reports.send([Done::Looked(key, found)]);
        }
    }
}

fn hash_range(
    file: &std::fs::File,
    from: u64,
    to: u64,
    hasher: &mut blake3::Hasher,
    block: &mut [u8],
) -> Result<(), Error> {
    let mut at = from;
    while at < to {
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
