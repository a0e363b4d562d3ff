//! The committer: group commit of whatever waits.
//!
//! An fsync of the folder costs milliseconds, whether it makes one name durable or a hundred. So
//! the committer takes every upload that is waiting, makes each file safe, gives each its name,
//! syncs the folder once, and then reports them all. Those that arrive meanwhile are the next
//! batch.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread::{self, JoinHandle};

use super::digest::Chase;
use super::reports::Reports;
use super::root::Root;
use super::unfinished::Unfinished;
use super::{digest, look, recording, writeback};
use crate::proto::{Conflict, Digest, Name, Receipt, Seal};
use crate::store::{Done, Error, IN_ORDER_SIZE, Key, random_name};

/// So many uploads are a full batch, so that the first of them doesn't wait for very many.
const BATCH: usize = 256;
/// How often another number, or another random name, is tried.
const TRIES: u32 = 10_000;
/// Names whose last numbers are remembered. When there are more, all are forgotten.
const NUMBERS: usize = 1024;

/// An upload that is complete and waits to be made safe.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) unfinished: Arc<Unfinished>,
    pub(super) name: Option<Name>,
    pub(super) conflict: Conflict,
    pub(super) written: u64,
    pub(super) chase: Option<Arc<Chase>>,
    /// Whether its bytes are on the disk and their digest was checked.
    pub(super) synced: bool,
    /// Who sent it, where that is written down.
    pub(super) peer: Option<Box<str>>,
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

    /// Gives the file its name.
    fn place(&self, root: &Root, numbers: &mut Numbers, block: &mut [u8]) -> Result<Placed, Error> {
        let place = |name: &str| root.place(&self.unfinished, name);
        let name = match &self.name {
            None => first_free((0..TRIES).map(|_| random_name()), place)?,
            Some(name) if self.conflict == Conflict::Overwrite => {
                root.replace(&self.unfinished, name.as_str())?;
                name.to_string()
            }
            Some(name) => match place(name.as_str()) {
                Ok(()) => name.to_string(),
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

/// The first of many names that is free.
fn first_free(
    names: impl Iterator<Item = String>,
    place: impl Fn(&str) -> Result<(), Error>,
) -> Result<String, Error> {
    for name in names {
        match place(&name) {
            Ok(()) => return Ok(name),
            Err(Error::Exists) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::Exists)
}

/// The numbers that names were given last, so that the thousandth `report.pdf` doesn't try the
/// first 999 again.
#[derive(Debug, Default)]
struct Numbers(HashMap<Name, u32>);

impl Numbers {
    fn first_free(
        &mut self,
        name: &Name,
        place: impl Fn(&str) -> Result<(), Error>,
    ) -> Result<String, Error> {
        let first = self.0.get(name).copied().unwrap_or(2);
        let mut next = first;
        // Lower numbers may have come free; they are tried last.
        let numbered = (first..TRIES).chain(2..first).map(|number| {
            next = number + 1;
            name.numbered(number).to_string()
        });
        let found = first_free(numbered, place);
        if self.0.len() >= NUMBERS {
            self.0.clear();
        }
        self.0.insert(name.clone(), next);
        found
    }
}

pub(super) fn start(
    root: Arc<Root>,
    jobs: Receiver<Vec<Job>>,
    reports: Reports,
) -> io::Result<JoinHandle<()>> {
    thread::Builder::new()
        .name("committer".into())
        .spawn(move || {
            let mut block = digest::block();
            let mut numbers = Numbers::default();
            while let Ok(mut batch) = jobs.recv() {
                while batch.len() < BATCH
                    && let Ok(more) = jobs.try_recv()
                {
                    batch.extend(more);
                }
                let results = commit(&root, &mut batch, &mut numbers, &mut block);
                // First, so that a report finds the descriptors free and failed files gone.
                drop(batch);
                reports.send(results);
            }
        })
}

/// Commits a batch. Each upload fails for itself, but for the folder's sync, which is everyone's.
fn commit(root: &Root, batch: &mut [Job], numbers: &mut Numbers, block: &mut [u8]) -> Vec<Done> {
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
    let (room, safe) = recording::make_room(root, batch, safe);
    let mut results: Vec<_> = batch
        .iter()
        .zip(safe)
        .map(|(job, safe)| safe.and_then(|()| job.place(root, numbers, block)))
        .collect();
    if root.durable {
        sync_names(root, batch, &mut results);
    }
    if let Some(room) = room {
        recording::record(root, room, batch, &mut results);
    }
    let done = |(job, result): (&Job, _)| match result {
        Ok(Placed::Found(receipt)) => Done::Found(job.key, receipt),
        Ok(Placed::New(receipt)) => Done::Stored(job.key, Ok(receipt)),
        Err(error) => Done::Stored(job.key, Err(error)),
    };
    batch.iter().zip(results).map(done).collect()
}

/// Makes the names that a batch was given survive a power cut. Who has a name, but not for certain,
/// is told so.
fn sync_names(root: &Root, batch: &[Job], results: &mut [Result<Placed, Error>]) {
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

/// An error that befell several.
pub(super) fn copy(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(
        || io::Error::new(error.kind(), error.to_string()),
        io::Error::from_raw_os_error,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::collections::HashSet;

    #[test]
    fn numbers_that_came_free_are_used_again_when_the_others_are_used_up() {
        let mut numbers = Numbers::default();
        let name = Name::parse("a", Default::default()).expect("a good name");
        let tries = RefCell::new(0);
        let taken = RefCell::new(HashSet::new());
        let place = |name: &str| {
            *tries.borrow_mut() += 1;
            let is_new = taken.borrow_mut().insert(name.to_owned());
            if is_new { Ok(()) } else { Err(Error::Exists) }
        };
        for number in 2..TRIES {
            let given = numbers.first_free(&name, place).expect("one is free");
            assert_eq!(given, format!("a ({number})"));
        }
        assert_eq!(*tries.borrow(), TRIES - 2, "none is tried twice");
        assert!(matches!(
            numbers.first_free(&name, place),
            Err(Error::Exists)
        ));
        taken.borrow_mut().remove("a (7)");
        assert_eq!(
            numbers.first_free(&name, place).expect("one is free"),
            "a (7)"
        );
        taken.borrow_mut().clear();
        assert_eq!(
            numbers.first_free(&name, place).expect("all are free"),
            "a (8)"
        );
    }
}
