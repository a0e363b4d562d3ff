//! The committer: group commit of whatever waits.
//!
//! An fsync of the folder costs milliseconds, whether it makes one name durable or a hundred. So
//! the committer takes every upload that is waiting, makes each file safe, gives each its name,
//! syncs each folder that got one once, and then reports them all. Those that arrive meanwhile are
//! the next batch.

use std::io;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::Queues;
use super::bulk::Task;
use super::digest::Chase;
use super::folders::{Folders, copy};
use super::numbers::{Numbers, TRIES, first_free};
use super::reports::Reports;
use super::root::Root;
use super::unfinished::Unfinished;
use super::{digest, look, metadata, recording, writeback};
use crate::proto::{Conflict, Digest, Metadata, Name, Receipt, Seal};
use crate::store::{self, Done, Error, IN_ORDER_SIZE, Key, random_name};

/// So many uploads are a full batch, so that the first of them doesn't wait for very many.
const BATCH: usize = 256;
/// A batch that has fewer files than the one before waits for more: for this part of what
/// committing took then, which gains a tenth with 64 clients, and no longer than this.
const WAIT_PART: u32 = 4;
const WAIT_MOST: Duration = Duration::from_millis(2);

/// An upload that is complete and waits to be made safe.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) unfinished: Arc<Unfinished>,
    pub(super) name: Option<Name>,
    pub(super) conflict: Conflict,
    pub(super) metadata: Metadata,
    pub(super) written: u64,
    pub(super) chase: Option<Arc<Chase>>,
    /// Whether its bytes are on the disk and their digest was checked.
    pub(super) synced: bool,
    /// Whether a bulk worker has compared it once more, since its name was taken meanwhile.
    pub(super) compared: bool,
    /// Who sent it, where that is written down.
    pub(super) peer: Option<Box<str>>,
    pub(super) seal: Seal,
    pub(super) key: Key,
}

impl Drop for Job {
    /// Whatever became of it, what has not got its name now is not to be resumed: its bytes were
    /// the wrong ones, or the disk failed, or the file is there already.
    fn drop(&mut self) {
        self.unfinished.discard();
    }
}

impl Job {
    /// Whether giving it its name takes no longer than a few system calls: it goes into the folder
    /// itself, tries no more than one name, and replaces nothing whose blocks would have to be
    /// freed.
    pub(super) fn is_done_soon(&self) -> bool {
        let is_flat = self
            .name
            .as_ref()
            .is_none_or(|name| !name.as_str().contains('/'));
        let is_one = self.name.is_none() || self.conflict == Conflict::Error;
        is_flat && is_one && !self.unfinished.is_resumable()
    }

    /// Checks length and digest, and syncs the bytes.
    pub(super) fn make_safe(&mut self, root: &Root, block: &mut [u8]) -> Result<(), Error> {
        self.check(root, block)?;
        self.sync(root)
    }

    /// Checks length and digest.
    fn check(&self, root: &Root, block: &mut [u8]) -> Result<(), Error> {
        if root.has_failed() {
            return Err(Error::Failed);
        }
        if self.synced {
            return Ok(());
        }
        if self.written != self.seal.size {
            // Our own mistake, and one that must cost this upload only.
            let why = format!("{} bytes, and not {}", self.written, self.seal.size);
            return Err(Error::from_call("count bytes", io::Error::other(why)));
        }
        if let Some(digest) = self.seal.digest
            && self.digest(root, block)? != digest
        {
            return Err(Error::Digest);
        }
        metadata::apply(&self.unfinished.file, self.metadata)
    }

    fn sync(&mut self, root: &Root) -> Result<(), Error> {
        if root.durable && !self.synced {
            if let Some(chase) = &self.chase {
                // A worker that still syncs a part of it would be the one to hear that it was lost.
                chase.end();
                if root.has_failed() {
                    return Err(Error::Failed);
                }
            }
            self.unfinished.file.sync_all().map_err(|error| {
                // The kernel has dropped the pages: asking again would find nothing to write and
                // report success.
                root.set_failed();
                Error::from_call("sync a file", error)
            })?;
        }
        self.synced = true;
        Ok(())
    }

    /// The digest of its bytes as they are stored.
    fn digest(&self, root: &Root, block: &mut [u8]) -> Result<Digest, Error> {
        match &self.chase {
            Some(chase) if chase.wants_digest() => chase.digest(root, self.written, block),
            _ => digest::of_file(&self.unfinished.file, self.written, block),
        }
    }

    /// The file that has the name already, where it is this very one. An earlier try of the same
    /// upload may have succeeded without its client hearing of it, and a retry never fails for
    /// that, nor is it stored twice. To find out, the file is read.
    pub(super) fn twin(&self, root: &Root, block: &mut [u8]) -> Result<Option<Receipt>, Error> {
        let (Some(name), Some(digest)) = (&self.name, self.seal.digest) else {
            return Ok(None);
        };
        let name = name.as_str();
        if self.conflict == Conflict::Overwrite || root.size_of(name)? != Some(self.written) {
            return Ok(None);
        }
        look::identical(root, name, digest, block)
    }

    /// Whether what has its name may be its twin, and is too large to be read here. A bulk worker has
    /// looked for that; but where two send the same file at once, none was there yet.
    fn is_to_be_compared(&self) -> bool {
        let can_be_known = self.name.is_some() && self.seal.digest.is_some();
        let is_twin_taken = self.conflict != Conflict::Overwrite;
        self.written > IN_ORDER_SIZE && can_be_known && is_twin_taken && !self.compared
    }

    /// Gives the file its name.
    fn place(
        &self,
        root: &Root,
        folders: &mut Folders,
        numbers: &mut Numbers,
        block: &mut [u8],
    ) -> Result<Placed, Error> {
        let mut place = |name: &str| folders.place(root, &self.unfinished, name);
        let name = match &self.name {
            None => first_free((0..TRIES).map(|_| random_name()), place)?,
            Some(name) if self.conflict == Conflict::Overwrite => {
                folders.replace(root, &self.unfinished, name.as_str())?;
                name.to_string()
            }
            Some(name) => match place(name.as_str()) {
                Ok(()) => name.to_string(),
                Err(Error::Exists) if self.is_to_be_compared() => return Err(Error::Exists),
                Err(Error::Exists) => {
                    // A large one's twin was looked for by a bulk worker.
                    let is_small = self.written <= IN_ORDER_SIZE;
                    let twin = if is_small {
                        self.twin(root, block)?
                    } else {
                        None
                    };
                    match (twin, self.conflict) {
                        (Some(twin), _) => return Ok(Placed::Found(twin)),
                        (None, Conflict::Rename) => numbers.first_free(name, place)?,
                        (None, _) => return Err(Error::Exists),
                    }
                }
                Err(error) => return Err(error),
            },
        };
        let Seal { size, digest } = self.seal;
        Ok(Placed::New(Receipt {
            name,
            size,
            digest,
            durable: root.durable,
        }))
    }
}

/// How a job ended well.
#[derive(Debug)]
pub(super) enum Placed {
    /// Its file has its name.
    New(Receipt),
    /// The very file was there already.
    Found(Receipt),
}

pub(super) fn start(
    root: Arc<Root>,
    jobs: Receiver<Vec<Job>>,
    reports: Reports,
    queues: Weak<Queues>,
) -> io::Result<JoinHandle<()>> {
    thread::Builder::new()
        .name("committer".into())
        .spawn(move || {
            let mut committing = Committing::new(store::descriptors());
            let mut last = Last::default();
            while let Ok(mut batch) = jobs.recv() {
                gather(&jobs, &mut batch, &last);
                let (files, started) = (batch.len(), Instant::now());
                reports.send(committing.commit(&root, batch));
                for job in committing.to_compare.drain(..) {
                    // Where the store is gone, nobody wants to know.
                    if let Some(queues) = queues.upgrade() {
                        let _ = queues.tasks.send(Task::Sync(job));
                    }
                }
                last = Last {
                    files,
                    took: if root.durable {
                        started.elapsed()
                    } else {
                        Duration::ZERO
                    },
                };
            }
        })
}

/// How the batch before went.
#[derive(Debug, Default)]
struct Last {
    files: usize,
    took: Duration,
}

impl Last {
    /// Whether more are to be expected behind so many.
    fn awaits(&self, files: usize) -> bool {
        files < self.files
    }

    /// Until when it is worth waiting for as many files again.
    fn until(&self, now: Instant) -> Instant {
        now + (self.took / WAIT_PART).min(WAIT_MOST)
    }
}

/// Adds to a batch what waits already. Where there were more files in the last one, their clients
/// have just been answered, and their next files are about to come: then it waits for them, for a
/// fraction of the time that committing takes. Who is alone never waits.
fn gather(jobs: &Receiver<Vec<Job>>, batch: &mut Vec<Job>, last: &Last) {
    let until = last.until(Instant::now());
    while batch.len() < BATCH {
        match more(jobs, last.awaits(batch.len()), until) {
            Some(more) => batch.extend(more),
            None => return,
        }
    }
}

/// What waits, or what comes until then if that is worth waiting for.
fn more(jobs: &Receiver<Vec<Job>>, is_awaited: bool, until: Instant) -> Option<Vec<Job>> {
    match is_awaited {
        true => {
            let left = until.saturating_duration_since(Instant::now());
            jobs.recv_timeout(left).ok()
        }
        false => jobs.try_recv().ok(),
    }
}

/// What committing needs to have at hand.
#[derive(Debug)]
pub(super) struct Committing {
    folders: Folders,
    numbers: Numbers,
    /// To read into; made when it is first needed.
    block: Option<Box<[u8]>>,
    /// Those that a bulk worker is to compare with what has taken their names.
    to_compare: Vec<Job>,
}

impl Committing {
    /// Up to so many folders may be open at once.
    pub(super) fn new(folders: usize) -> Committing {
        Committing {
            folders: Folders::new(folders),
            numbers: Numbers::default(),
            block: None,
            to_compare: Vec::new(),
        }
    }

    /// Commits a batch. Each upload fails for itself, but for the folders' sync, which is
    /// everyone's. When this returns, its descriptors are closed, and what failed is gone; but for
    /// those that are to be compared.
    pub(super) fn commit(&mut self, root: &Root, mut batch: Vec<Job>) -> Vec<Done> {
        let Committing {
            folders,
            numbers,
            block,
            to_compare,
        } = self;
        let block = block.get_or_insert_with(digest::block);
        let mut safe: Vec<_> = batch.iter().map(|job| job.check(root, block)).collect();
        if root.durable {
            sync_files(root, &mut batch, &mut safe);
        }
        let (room, safe) = recording::make_room(root, &batch, safe);
        let mut results: Vec<_> = batch
            .iter()
            .zip(safe)
            .map(|(job, safe)| safe.and_then(|()| job.place(root, folders, numbers, block)))
            .collect();
        sync_names(root, folders, &batch, &mut results);
        if let Some(room) = room {
            recording::record(root, room, &batch, &mut results);
        }
        let done = |(mut job, result): (Job, _)| match result {
            Ok(Placed::Found(receipt)) => Some(Done::Found(job.key, receipt)),
            Ok(Placed::New(receipt)) => Some(Done::Stored(job.key, Ok(receipt))),
            Err(Error::Exists) if job.is_to_be_compared() => {
                job.compared = true;
                to_compare.push(job);
                None
            }
            Err(error) => {
                // A thread that reads it may hold it a little longer than this one.
                job.unfinished.give_back();
                Some(Done::Stored(job.key, Err(error)))
            }
        };
        batch.into_iter().zip(results).filter_map(done).collect()
    }
}

/// Syncs the files of a batch that are good so far.
fn sync_files(root: &Root, batch: &mut [Job], safe: &mut [Result<(), Error>]) {
    let all = batch.iter_mut().zip(safe);
    let mut to_sync: Vec<_> = all
        .filter(|(job, safe)| safe.is_ok() && !job.synced)
        .collect();
    if root.is_to_sync_together(to_sync.len()) {
        let synced = root.sync_all();
        for (job, safe) in to_sync {
            match &synced {
                Ok(()) => job.synced = true,
                Err(error) => *safe = Err(Error::from_call("sync a file", copy(error))),
            }
        }
        return;
    }
    if to_sync.len() > 1 {
        // The disk gets all of it to do before it is waited for.
        for (job, _) in &to_sync {
            writeback::start(&job.unfinished.file, 0, 0);
        }
    }
    for (job, safe) in &mut to_sync {
        **safe = job.sync(root);
    }
}

/// Makes the names that a batch was given survive a power cut. Who has a name, but not for certain,
/// is told so.
fn sync_names(
    root: &Root,
    folders: &mut Folders,
    batch: &[Job],
    results: &mut [Result<Placed, Error>],
) {
    let placed = results.iter().filter(|result| result.is_ok()).count();
    if root.syncing.links_need_it && root.is_to_sync_together(placed) {
        return all_or_unknown(root, folders.sync_with_all(root), results);
    }
    for (job, result) in batch.iter().zip(results.iter_mut()) {
        if result.is_ok()
            && let Err(error) = root.sync_link(&job.unfinished)
        {
            *result = Err(Error::Unknown(error));
        }
    }
    // Even where none is stored: who finds a folder that was made here takes it to be kept.
    all_or_unknown(root, folders.sync(root), results);
}

/// What a sync that was everyone's means for each.
fn all_or_unknown(root: &Root, synced: io::Result<()>, results: &mut [Result<Placed, Error>]) {
    if let Err(error) = synced {
        root.set_folder_failed();
        for result in results.iter_mut().filter(|result| result.is_ok()) {
            *result = Err(Error::Unknown(copy(&error)));
        }
    }
}

#[cfg(test)]
mod tests;
