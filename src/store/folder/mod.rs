//! A store that is one folder of a file system.
//!
//! ```text
//!   loop's thread                    committer                       bulk workers
//!   ─────────────                    ─────────                       ────────────
//!   begin   open a nameless file  ── large: ────────────────────>   reserve its space
//!   write   into the page cache  ── large: every 8 MiB ──────────>  start writeback, digest
//!   commit ──── small ──────────>   a batch of all that wait:
//!          ──── large ─────────────────────────────────────────── >  digest, fsync ──┐
//!                                   digest, fsync each             <─────────────────┘
//!                                   link each to its name
//!                                   fsync the folder once
//!                                   a line each in the journal, if there is one
//!   poll_done <─────────────────    report all
//! ```
//!
//! Beside these, one thread compares files that are there with announced digests, and one gives
//! back the blocks of large uploads that were given up. So one fsync of the folder serves a whole batch, and small files never wait for the disk to
//! swallow somebody's gigabytes.

mod bulk;
mod committer;
mod digest;
mod journal;
mod look;
mod recording;
mod reports;
mod root;
#[cfg(test)]
mod tests;
mod unfinished;
mod upload;
mod work;
mod writeback;

use std::fmt::Display;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use super::{Done, Error, IN_ORDER_SIZE, Journal, Key, Opening, Reserved, Store, Wake};
use crate::proto::{Conflict, Name, Order, Seal};
use bulk::{Discard, Task};
use committer::Job;
use look::Look;
use reports::Reports;
use root::{Naming, Root};
pub use upload::FolderUpload;

/// Given-up uploads whose blocks wait to be given back. Their descriptors are nobody's claim, so
/// there can't be many; a further one is freed by whoever gave it up, slow as that may be.
const DISCARDS: usize = 8;

/// What a stored file survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// A power cut in the microsecond after its OK.
    #[default]
    Full,
    /// The death of the server, but not that of the machine.
    None,
}

/// Stores into a folder.
#[derive(Debug)]
pub struct FolderStore {
    root: Arc<Root>,
    done: Receiver<Done>,
    reports: Reports,
    /// Small uploads that are complete, until the turn of the loop is over: one hand-over wakes the
    /// committer once for all of them.
    complete: Vec<Job>,
    /// `None` only while it is dropped.
    queues: Option<Arc<Queues>>,
    threads: Vec<JoinHandle<()>>,
}

/// The ways to the store's threads.
#[derive(Debug)]
struct Queues {
    jobs: Sender<Vec<Job>>,
    tasks: Sender<Task>,
    looks: Sender<Look>,
    discards: SyncSender<Discard>,
}

impl FolderStore {
    /// Opens a folder, and makes it if it is missing. Removes what a killed server left
    /// unfinished; what another running one has unfinished stays.
    ///
    /// # Errors
    /// Where the folder can't be made, opened or written to; the error names it.
    pub fn open(path: &Path, durability: Durability) -> io::Result<FolderStore> {
        FolderStore::with_root(Root::open(path, durability, Naming::Best)?)
    }

    fn with_root(root: Root) -> io::Result<FolderStore> {
        let root = Arc::new(root);
        let (jobs, job_queue) = channel();
        let (tasks, task_queue) = channel();
        let (looks, look_queue) = channel();
        let (discards, discard_queue) = sync_channel(DISCARDS);
        let (report, done) = channel();
        let reports = Reports::new(report);
        let committer = committer::start(Arc::clone(&root), job_queue, reports.clone())?;
        let mut threads = bulk::start(&root, task_queue, &jobs, &reports)?;
        threads.push(look::start(Arc::clone(&root), look_queue, reports.clone())?);
        threads.push(bulk::start_discarding(discard_queue)?);
        // Last, since they are waited for in this order, and the bulk workers feed it.
        threads.push(committer);
        let queues = Queues {
            jobs,
            tasks,
            looks,
            discards,
        };
        Ok(FolderStore {
            root,
            done,
            reports,
            complete: Vec::new(),
            queues: Some(Arc::new(queues)),
            threads,
        })
    }

    /// Has each file that is stored from now on recorded, before it is reported. Said once, before
    /// the first upload.
    pub fn set_journal(&self, journal: Arc<Journal>) {
        if self.root.record.set(journal).is_err() {
            log::error!("a store keeps the journal that it was first given, and no other");
        }
    }

    /// How its files are kept until they have a name, for a start-up line.
    pub fn description(&self) -> &'static str {
        self.root.description()
    }

    /// Looks whether a name is taken, where that matters: overwriting and renaming don't mind.
    fn look(
        &self,
        name: &Name,
        order: &Order,
        key: Key,
    ) -> Result<Option<Opening<FolderUpload>>, Error> {
        if !order.look_first && order.conflict != Conflict::Error {
            return Ok(None);
        }
        let Some(size) = self.root.size_of(name.as_str())? else {
            return Ok(None);
        };
        let same_size = order.size.is_none_or(|announced| announced == size);
        match order.digest.filter(|_| same_size) {
            Some(digest) if order.look_first => {
                let name = name.clone();
                // The workers live as long as the store.
                let _ = self.queues().looks.send(Look { name, digest, key });
                Ok(Some(Opening::Looking))
            }
            // The commit decides: the same bytes are no conflict.
            Some(_) => Ok(None),
            None if order.conflict == Conflict::Error => Err(Error::Exists),
            None => Ok(None),
        }
    }

    /// A thread has died, and nothing will be stored any more.
    fn died(&self, keys: impl IntoIterator<Item = Key>) {
        self.root.set_failed();
        let failed = |key| Done::Stored(key, Err(Error::Failed));
        self.reports.send(keys.into_iter().map(failed));
    }

    fn queues(&self) -> &Arc<Queues> {
        self.queues
            .as_ref()
            .expect("the queues are there until the store is dropped")
    }
}

impl Store for FolderStore {
    type Upload = FolderUpload;

    fn set_wake(&mut self, wake: Wake) {
        self.reports.set_wake(wake);
    }

    fn begin(&mut self, order: &Order, key: Key) -> Result<Opening<FolderUpload>, Error> {
        if self.root.has_failed() {
            return Err(Error::Failed);
        }
        if let Some(journal) = self.root.record.get() {
            journal.check().map_err(Error::Unrecorded)?;
        }
        if let Some(name) = &order.name
            && let Some(opening) = self.look(name, order, key)?
        {
            return Ok(opening);
        }
        let queues = Arc::downgrade(self.queues());
        let mut upload = FolderUpload::create(&self.root, order, queues)?;
        let reserved = order.size.map(|size| upload.reserve(size, key));
        Ok(match reserved.transpose()? {
            Some(Reserved::Later) => Opening::Reserving(upload),
            Some(Reserved::Now) | None => Opening::Open(upload),
        })
    }

    fn reserve(
        &mut self,
        upload: &mut FolderUpload,
        total: u64,
        key: Key,
    ) -> Result<Reserved, Error> {
        upload.reserve(total, key)
    }

    fn write(&mut self, upload: &mut FolderUpload, bytes: &[u8]) -> Result<(), Error> {
        upload.write(bytes)
    }

    fn splice(
        &mut self,
        upload: &mut FolderUpload,
        pipe: BorrowedFd<'_>,
        most: usize,
    ) -> Result<Option<usize>, Error> {
        upload.splice(pipe, most)
    }

    fn set_sender(&mut self, upload: &mut FolderUpload, peer: &dyn Display) {
        if self.root.record.get().is_some() {
            upload.set_peer(peer);
        }
    }

    fn commit(&mut self, upload: FolderUpload, seal: Seal, key: Key) {
        let large = upload.written() > IN_ORDER_SIZE;
        let job = upload.into_job(seal, key);
        if !large {
            self.complete.push(job);
        } else if self.queues().tasks.send(Task::Sync(job)).is_err() {
            self.died([key]);
        }
    }

    fn flush(&mut self) {
        if self.complete.is_empty() {
            return;
        }
        let jobs = std::mem::take(&mut self.complete);
        if let Err(unsent) = self.queues().jobs.send(jobs) {
            self.died(unsent.0.iter().map(|job| job.key));
        }
    }

    fn poll_done(&mut self) -> Option<Done> {
        self.flush();
        self.done.try_recv().ok()
    }
}

impl Drop for FolderStore {
    /// Waits for the commits that are under way.
    fn drop(&mut self) {
        self.flush();
        self.root.set_closing();
        self.queues = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                log::error!("a thread of the store has died");
            }
        }
    }
}
