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
//!                                   link each to its name, in folders made for it
//!                                   fsync each folder once
//!                                   a line each in the journal, if there is one
//!   poll_done <─────────────────    report all
//! ```
//!
//! Where nothing is synced and only a few small ones wait, the loop's thread gives them their names
//! itself.
//!
//! Beside these, one thread compares files that are there with announced digests, one opens uploads
//! that can be resumed, and one throws away those that were given up and take long. So one
//! fsync of a folder serves a whole batch, and small files never wait for the disk to swallow
//! somebody's gigabytes.

mod beneath;
mod bulk;
mod committer;
mod count;
mod digest;
mod folders;
mod journal;
mod keep;
mod look;
mod metadata;
mod numbers;
mod partials;
mod record;
mod recording;
mod replaced;
mod reports;
mod resume;
mod root;
mod space;
mod syncing;
#[cfg(test)]
mod tests;
mod together;
mod unfinished;
mod upload;
mod work;
mod writeback;

use std::collections::VecDeque;
use std::fmt::Display;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use super::{Done, Error, IN_ORDER_SIZE, Journal, Key, Opening, Reserved, Store, Wake};
use crate::proto::{Conflict, Metadata, Name, Order, Seal};
use bulk::{Discard, Task};
use committer::{Committing, Job};
use look::Look;
pub use partials::{PARTIAL_TTL, Partials};
use record::Facts;
use reports::Reports;
use resume::Resume;
use root::{Naming, Root};
pub use space::Space;
pub use syncing::Durability;
pub use upload::FolderUpload;

/// Most uploads of one turn that the loop's thread may commit by itself, and their bytes, which it
/// may have to read for their digests. Where the committer would be woken for a few, that costs
/// more than giving them their names does: a tenth of the processor time with 64 clients, a third
/// with one. With 16 and more the second processor's help is missed.
const AT_ONCE: usize = 4;
const AT_ONCE_BYTES: u64 = 64 << 10;

/// Stores into a folder.
#[derive(Debug)]
pub struct FolderStore {
    root: Arc<Root>,
    partials: Partials,
    done: Receiver<Done>,
    reports: Reports,
    /// Small uploads that are complete, until the turn of the loop is over: one hand-over wakes the
    /// committer once for all of them.
    complete: Vec<Job>,
    /// Commits that were asked for and not reported.
    under_way: usize,
    /// Commits that the loop's thread has done itself, and what it needs for that.
    at_once: VecDeque<Done>,
    committing: Committing,
    /// The permissions that files may be given. `None` leaves out of account what senders say.
    permissions: Option<u16>,
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
    resumes: Sender<Resume>,
    discards: Sender<Discard>,
    /// Uploads that were cut off or given up, and wait, open, for one of the threads.
    unclaimed: Arc<AtomicUsize>,
}

impl FolderStore {
    /// Opens a folder, and makes it if it is missing. Removes what a killed server left
    /// unfinished, but for uploads that can be resumed; what another running one has unfinished
    /// stays.
    ///
    /// # Errors
    /// Where the folder can't be made, opened or written to; the error names it.
    pub fn open(path: &Path, durability: Durability) -> io::Result<FolderStore> {
        FolderStore::open_with(path, durability, &Partials::default())
    }

    /// The same, and uploads that can be resumed are kept as `partials` says. Where several stores
    /// of one process are of the same folder, they are given clones of the same, so that an upload
    /// can be taken over from one to another, and so that none promises anything once a sync has
    /// failed for another: the kernel need not tell it of that.
    ///
    /// # Errors
    /// Those of [`FolderStore::open`].
    pub fn open_with(
        path: &Path,
        durability: Durability,
        partials: &Partials,
    ) -> io::Result<FolderStore> {
        let root = Root::open(path, durability, Naming::Best, partials.ttl())?;
        FolderStore::with_root(root, partials.clone())
    }

    fn with_root(mut root: Root, partials: Partials) -> io::Result<FolderStore> {
        root.share_failures(partials.failures());
        let root = Arc::new(root);
        let (jobs, job_queue) = channel();
        let (tasks, task_queue) = channel();
        let (looks, look_queue) = channel();
        let (resumes, resume_queue) = channel();
        let (discards, discard_queue) = channel();
        let (report, done) = channel();
        let reports = Reports::new(report);
        let queues = Arc::new(Queues {
            jobs,
            tasks,
            looks,
            resumes,
            discards,
            unclaimed: Arc::default(),
        });
        let committer = committer::start(
            Arc::clone(&root),
            job_queue,
            reports.clone(),
            Arc::downgrade(&queues),
        )?;
        let mut threads = bulk::start(&root, task_queue, &queues.jobs, &reports)?;
        threads.push(resume::start(
            Arc::clone(&root),
            partials.ttl(),
            resume_queue,
            queues.looks.clone(),
            reports.clone(),
        )?);
        threads.push(look::start(Arc::clone(&root), look_queue, reports.clone())?);
        threads.push(bulk::start_discarding(discard_queue)?);
        // Last, since they are waited for in this order, and the bulk workers feed it.
        threads.push(committer);
        Ok(FolderStore {
            root,
            partials,
            done,
            reports,
            complete: Vec::new(),
            under_way: 0,
            at_once: VecDeque::new(),
            committing: Committing::new(0),
            permissions: None,
            queues: Some(queues),
            threads,
        })
    }

    /// From now on gives files the mode and time that their senders know of, as far as the umask
    /// leaves the mode.
    ///
    /// # Errors
    /// Where no file can be made.
    pub fn keep_metadata(&mut self) -> io::Result<()> {
        self.permissions = Some(metadata::permissions(&self.root)?);
        Ok(())
    }

    /// What an upload is to be given besides its bytes.
    fn kept_metadata(&self, order: &Order) -> Metadata {
        self.permissions
            .map_or_else(Metadata::default, |permissions| Metadata {
                mode: order.metadata.mode.map(|mode| mode & permissions),
                ..order.metadata
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

    /// Limits the bytes that the folder may hold, and those that have to stay free on its file
    /// system. With a quota, what the folder holds is counted now, which takes a second or two for
    /// a million files. Other stores of the same folder are to [share](FolderStore::share) what
    /// this returns.
    ///
    /// # Errors
    /// Where the folder can't be read.
    pub fn limit(&mut self, quota: Option<u64>, min_free: Option<u64>) -> io::Result<Arc<Space>> {
        let space = Space::open(self.root.folder.try_clone()?, quota, min_free)?;
        self.share(&space);
        Ok(space)
    }

    /// Keeps to limits together with other stores of the same folder.
    pub fn share(&mut self, space: &Arc<Space>) {
        self.root.limit(Arc::clone(space));
    }

    /// Looks whether a name is taken, where that matters: overwriting and renaming don't mind. That
    /// one of its folders is none always does.
    fn look(
        &self,
        name: &Name,
        order: &Order,
        key: Key,
    ) -> Result<Option<Opening<FolderUpload>>, Error> {
        if !order.look_first && order.conflict != Conflict::Error && !name.has_folders() {
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

    /// Whether these uploads cost the loop less than waking the committer for them would: they are
    /// few and small, nothing is to be synced or recorded, no file is replaced (which frees the old
    /// one's blocks), and none is under way that they would overtake.
    fn are_done_sooner_here(&self, jobs: &[Job]) -> bool {
        let bytes: u64 = jobs.iter().map(|job| job.written).sum();
        !self.root.durable
            && self.root.record.get().is_none()
            && self.under_way == jobs.len()
            && jobs.len() <= AT_ONCE
            && bytes <= AT_ONCE_BYTES
            && jobs.iter().all(Job::is_done_soon)
    }

    /// Goes on with an upload that was cut off, or begins one that can be gone on with.
    fn resume(&self, facts: Facts, order: &Order, key: Key) -> Result<FolderUpload, Error> {
        if order.size.is_some_and(|size| i64::try_from(size).is_err()) {
            return Err(Error::TooBig);
        }
        let claim = self.partials.claim(&facts, key, &self.reports)?;
        let queues = Arc::downgrade(self.queues());
        let (upload, opened) = FolderUpload::resume(order, queues, claim);
        // The thread lives as long as the store.
        let _ = self.queues().resumes.send(Resume {
            facts,
            digest: order.digest,
            key,
            opened,
            waits_since: None,
        });
        Ok(upload)
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
        if let (Some(name), Some(id), Some(_)) = (&order.name, &order.upload, self.partials.ttl()) {
            let facts = Facts {
                id: id.clone(),
                name: name.clone(),
                size: order.size,
            };
            let mut upload = self.resume(facts, order, key)?;
            upload.metadata = self.kept_metadata(order);
            return Ok(Opening::Resuming(upload));
        }
        let queues = Arc::downgrade(self.queues());
        let mut upload = FolderUpload::create(&self.root, order, queues)?;
        upload.metadata = self.kept_metadata(order);
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

    fn commit(&mut self, mut upload: FolderUpload, seal: Seal, key: Key) {
        let large = upload.written() > IN_ORDER_SIZE;
        let job = upload.into_job(seal, key);
        self.under_way += 1;
        if !large {
            self.complete.push(job);
        } else if self.queues().tasks.send(Task::Sync(job)).is_err() {
            self.died([key]);
        }
    }

    fn discard(&mut self, upload: FolderUpload) {
        upload.discard();
    }

    fn unclaimed(&self) -> usize {
        self.queues().unclaimed.load(Ordering::Relaxed)
    }

    fn hear_taken(&mut self, upload: &mut FolderUpload) {
        upload.hear_taken();
    }

    fn taken(&self, upload: &FolderUpload) -> Option<u64> {
        upload.taken()
    }

    fn flush(&mut self) {
        if self.complete.is_empty() {
            return;
        }
        let jobs = std::mem::take(&mut self.complete);
        if self.are_done_sooner_here(&jobs) {
            let done = self.committing.commit(&self.root, jobs);
            return self.at_once.extend(done);
        }
        if let Err(unsent) = self.queues().jobs.send(jobs) {
            self.died(unsent.0.iter().map(|job| job.key));
        }
    }

    fn poll_done(&mut self) -> Option<Done> {
        self.flush();
        let done = self.at_once.pop_front();
        let done = done.or_else(|| self.done.try_recv().ok())?;
        self.under_way -= usize::from(matches!(done, Done::Stored(..) | Done::Found(..)));
        Some(done)
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
