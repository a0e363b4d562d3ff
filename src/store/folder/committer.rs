//! The committer: group commit of whatever waits.
//!
//! An fsync of the folder costs milliseconds, whether it makes one name durable or a hundred. So
//! the committer takes every upload that is waiting, makes each file safe, gives each its name,
//! syncs the folder once, and then reports them all. Those that arrive meanwhile are the next
//! batch.

use std::fmt;
use std::io;
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};

use super::root::{Root, Unfinished};
use super::{bulk, writeback};
use crate::proto::{Conflict, Name, Receipt, Seal};
use crate::store::{Done, Error, Key, Wake, random_name};

/// Most uploads of one batch, so that the first of them doesn't wait for very many.
const BATCH: usize = 256;
/// How often another number, or another random name, is tried.
const TRIES: u32 = 10_000;

/// An upload that is complete and waits to be made safe.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) unfinished: Arc<Unfinished>,
    pub(super) name: Option<Name>,
    pub(super) conflict: Conflict,
    pub(super) written: u64,
    pub(super) chase: Option<Arc<bulk::Chase>>,
    /// Whether its bytes are on the disk and their digest was checked.
    pub(super) synced: bool,
    pub(super) seal: Seal,
    pub(super) key: Key,
}

impl Job {
    /// Checks length and digest, and syncs the bytes.
    pub(super) fn make_safe(&mut self, root: &Root, block: &mut [u8]) -> Result<(), Error> {
        if self.synced {
            return Ok(());
        }
        if root.has_failed() {
            return Err(Error::Failed);
        }
        assert_eq!(
            self.written, self.seal.size,
            "the machine counts what it moves"
        );
        if let Some(digest) = self.seal.digest
            && bulk::digest_of(self, block)? != digest
        {
            return Err(Error::Digest);
        }
        if root.durable {
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

    /// Gives the file its name.
    fn place(&self, root: &Root, block: &mut [u8]) -> Result<Receipt, Error> {
        let name = match (&self.name, self.conflict) {
            (None, _) => self.first_free(root, (0..TRIES).map(|_| random_name()))?,
            (Some(name), Conflict::Rename) => {
                let numbered = (2..TRIES).map(|number| name.numbered(number).to_string());
                self.first_free(root, std::iter::once(name.to_string()).chain(numbered))?
            }
            (Some(name), Conflict::Overwrite) => {
                root.replace(&self.unfinished, name.as_str())?;
                name.to_string()
            }
            (Some(name), Conflict::Error) => match root.place(&self.unfinished, name.as_str()) {
                Ok(()) => name.to_string(),
                Err(Error::Exists) => return self.already_there(root, name.as_str(), block),
                Err(error) => return Err(error),
            },
        };
        let Seal { size, digest } = self.seal;
        Ok(Receipt {
            name,
            size,
            digest,
            durable: root.durable,
        })
    }

    fn first_free(
        &self,
        root: &Root,
        names: impl Iterator<Item = String>,
    ) -> Result<String, Error> {
        for name in names {
            match root.place(&self.unfinished, &name) {
                Ok(()) => return Ok(name),
                Err(Error::Exists) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::Exists)
    }

    /// The name is taken. Where that is by the same bytes, an earlier try of the same upload may
    /// have succeeded without its client hearing of it, and a retry never fails for that.
    fn already_there(&self, root: &Root, name: &str, block: &mut [u8]) -> Result<Receipt, Error> {
        let same_size = root.size_of(name)? == Some(self.written);
        let digest = self
            .seal
            .digest
            .filter(|_| same_size)
            .ok_or(Error::Exists)?;
        bulk::identical(root, name, digest, block)?.ok_or(Error::Exists)
    }
}

/// Where news goes, and who is woken for it.
#[derive(Clone)]
pub(super) struct Reports {
    queue: Sender<Done>,
    wake: Arc<OnceLock<Wake>>,
}

impl Reports {
    pub(super) fn new(queue: Sender<Done>) -> Reports {
        Reports {
            queue,
            wake: Arc::default(),
        }
    }

    pub(super) fn set_wake(&self, wake: Wake) {
        if self.wake.set(wake).is_err() {
            log::error!("a store wakes the loop that it was first given to, and no other");
        }
    }

    /// Sends news, and wakes once for all of it.
    pub(super) fn send(&self, news: impl IntoIterator<Item = Done>) {
        for done in news {
            // Nobody listens any more when the server is gone.
            let _ = self.queue.send(done);
        }
        if let Some(wake) = self.wake.get() {
            wake();
        }
    }
}

impl fmt::Debug for Reports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reports").finish_non_exhaustive()
    }
}

pub(super) fn start(
    root: Arc<Root>,
    jobs: Receiver<Job>,
    reports: Reports,
) -> io::Result<JoinHandle<()>> {
    thread::Builder::new()
        .name("committer".into())
        .spawn(move || {
            let mut block = bulk::block();
            while let Ok(first) = jobs.recv() {
                let rest = std::iter::from_fn(|| jobs.try_recv().ok());
                let mut batch: Vec<Job> =
                    std::iter::once(first).chain(rest.take(BATCH - 1)).collect();
                let results = commit(&root, &mut batch, &mut block);
                // First, so that a report finds the descriptors free and failed files gone.
                drop(batch);
                reports.send(results);
            }
        })
}

/// Commits a batch. Each upload fails for itself, but for the folder's sync, which is everyone's.
fn commit(root: &Root, batch: &mut [Job], block: &mut [u8]) -> Vec<Done> {
    if root.durable && batch.len() > 1 {
        // The disk gets all of it to do before it is waited for.
        for job in batch.iter().filter(|job| !job.synced) {
            writeback::start(&job.unfinished.file, 0, 0);
        }
    }
    let safe: Vec<_> = batch
        .iter_mut()
        .map(|job| job.make_safe(root, block))
        .collect();
    let mut results: Vec<_> = batch
        .iter()
        .zip(safe)
        .map(|(job, safe)| safe.and_then(|()| job.place(root, block)))
        .collect();
    if root.durable {
        sync_names(root, batch, &mut results);
    }
    batch
        .iter()
        .zip(results)
        .map(|(job, result)| Done::Stored(job.key, result))
        .collect()
}

/// Makes the names that a batch was given survive a power cut. Who has a name, but not for certain,
/// is told so.
fn sync_names(root: &Root, batch: &[Job], results: &mut [Result<Receipt, Error>]) {
    for (job, result) in batch.iter().zip(results.iter_mut()) {
        if result.is_ok()
            && let Err(error) = root.sync_link(&job.unfinished)
        {
            root.set_failed();
            *result = Err(Error::Unknown(error));
        }
    }
    if results.iter().any(Result::is_ok)
        && let Err(error) = root.sync()
    {
        root.set_failed();
        for result in results.iter_mut().filter(|result| result.is_ok()) {
            *result = Err(Error::Unknown(copy(&error)));
        }
    }
}

fn copy(error: &io::Error) -> io::Error {
    error
        .raw_os_error()
        .map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}
