//! A file that has not got its name yet.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, FallocateFlags, FileType, FlockOperation};
use rustix::io::Errno;

use super::record::{Facts, State};
use super::space::Reservation;
use super::work::Work;
use crate::store::Error;

/// What a file's blocks are counted in, whatever the file system's own are.
const BLOCK: u64 = 512;

/// What is wrong with a file that is not the one that was written.
const OTHER: &str = "somebody else has put another one in its place";

/// A file that has not got its name yet. Dropped, it is gone, unless it can be resumed.
#[derive(Debug)]
pub(super) struct Unfinished {
    pub(super) file: File,
    /// Its name in the work folder, where it needs one. Such a file is locked, so that another
    /// server's sweep leaves it alone.
    partial: Mutex<Option<Partial>>,
    is_resumable: bool,
    /// Its space, where the folder has limits. Boxed: most folders have none.
    reservation: Mutex<Option<Box<Reservation>>>,
}

#[derive(Debug)]
pub(super) struct Partial {
    pub(super) work: Arc<Work>,
    pub(super) name: String,
    /// What its record says, where it can be resumed.
    pub(super) facts: Option<Box<Facts>>,
}

impl Unfinished {
    /// A file that was just made, with its name in the work folder, if it has one.
    pub(super) fn new(file: File, partial: Option<Partial>) -> Unfinished {
        let facts = partial.as_ref().and_then(|partial| partial.facts.as_ref());
        Unfinished {
            file,
            is_resumable: facts.is_some(),
            partial: Mutex::new(partial),
            reservation: Mutex::default(),
        }
    }

    /// Whether it is kept when it is dropped.
    pub(super) fn is_resumable(&self) -> bool {
        self.is_resumable
    }

    /// The same, with the space that was reserved for it.
    pub(super) fn with_reservation(self, reservation: Option<Reservation>) -> Unfinished {
        *self.reservation() = reservation.map(Box::new);
        self
    }

    /// The bytes that are reserved for it; `None` where space is not limited.
    pub(super) fn room(&self) -> Option<u64> {
        let reservation = self.reservation();
        reservation.as_ref().map(|reservation| reservation.bytes())
    }

    /// Makes sure that it may have `need` bytes in all, of which some are written, and tries to get
    /// `wish`. Returns up to which size nothing needs to be asked again.
    pub(super) fn grow(&self, written: u64, need: u64, wish: u64) -> Result<u64, Error> {
        match &mut *self.reservation() {
            Some(reservation) => {
                reservation.is_written(written);
                reservation.grow(need, wish)
            }
            None => Ok(u64::MAX),
        }
    }

    /// It was given a name, so its space is taken for good.
    pub(super) fn becomes_stored(&self) {
        if let Some(reservation) = self.reservation().take() {
            let size = self.file.metadata().map_or(0, |facts| facts.len());
            reservation.becomes_stored(size);
        }
    }

    /// It will get no name: its space is anybody's, also while its blocks are still being freed.
    pub(super) fn give_back(&self) {
        drop(self.reservation().take());
    }

    fn reservation(&self) -> MutexGuard<'_, Option<Box<Reservation>>> {
        self.reservation
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that it belongs to a server that runs. Returns whether nobody else has a lock on it.
    pub(super) fn lock(&self) -> Result<bool, Error> {
        match rustix::fs::flock(&self.file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(Error::from_call("lock a file", error)),
        }
    }

    /// The same, and that nobody has swept it before.
    pub(super) fn is_mine(&self) -> Result<bool, Error> {
        Ok(self.lock()? && self.has_link().unwrap_or(false))
    }

    fn has_link(&self) -> Result<bool, Errno> {
        Ok(rustix::fs::fstat(&self.file)?.st_nlink > 0)
    }

    /// Reserves space for `total` bytes.
    pub(super) fn reserve(&self, total: u64) -> Result<(), Error> {
        self.check_free(total)?;
        // The size stays what was written, so that a hole is never taken for data.
        let mode = FallocateFlags::KEEP_SIZE;
        let fallocate = || rustix::fs::fallocate(&self.file, mode, 0, total);
        // tmpfs gives up whenever a signal comes, be it one that only asks for a reread.
        match rustix::io::retry_on_intr(fallocate) {
            Ok(()) => {
                if let Some(reservation) = &mut *self.reservation() {
                    reservation.is_allocated();
                }
                Ok(())
            }
            // A file system that can't reserve says so; the writes will tell.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
            Err(Errno::FBIG) => Err(Error::TooBig),
            Err(error) => Err(Error::from_call("reserve space", error)),
        }
    }

    /// Refuses what the file system hasn't got. Asked to reserve it all the same, some of them find
    /// out by giving away all that is free, and everybody else's writes fail until it is given back.
    fn check_free(&self, total: u64) -> Result<(), Error> {
        let (Ok(space), Ok(facts)) = (rustix::fs::fstatvfs(&self.file), self.file.metadata())
        else {
            return Ok(());
        };
        let free = space.f_bavail.saturating_mul(space.f_frsize);
        let allocated = facts.blocks().saturating_mul(BLOCK);
        // What a file system keeps back for root is for the system, also where this server is run
        // by root: uploads are refused it.
        match is_too_much(total, space.f_blocks, free.saturating_add(allocated)) {
            true => Err(Error::Full(Errno::NOSPC.into())),
            false => Ok(()),
        }
    }

    /// Replaces its record, as long as it can be resumed and has no name yet.
    pub(super) fn write_record(&self, state: State, durably: bool) -> io::Result<()> {
        match &*self.partial() {
            Some(Partial {
                work,
                facts: Some(facts),
                ..
            }) => facts.write(work, state, durably),
            _ => Ok(()),
        }
    }

    /// Whether to throw it away may take long: its record may just be on its way to the disk, or its
    /// name have to be off the disk before its file is.
    pub(super) fn takes_long_to_discard(&self) -> bool {
        let is_lingering = |partial: &Partial| partial.work.names_linger();
        self.is_resumable || self.partial().as_ref().is_some_and(is_lingering)
    }

    /// Throws it away, even if it could be resumed, unless it has its name.
    pub(super) fn discard(&self) {
        if let Some(partial) = self.partial().take() {
            let record = partial.facts.map(|facts| facts.record_name());
            let names: Vec<_> = [partial.name].into_iter().chain(record).collect();
            // What stays is swept.
            let _ = partial.work.take_away(&names);
        }
    }

    /// Makes sure that nobody has put another file over its partial, which would be moved to its name
    /// then. Asked before the move: behind it, one that has no link may have been replaced.
    pub(super) fn expect_link(&self) -> Result<(), Error> {
        let failed = |error: io::Error| Error::from_call("give a file its name", error);
        match self.has_link() {
            Ok(true) => Ok(()),
            Ok(false) => Err(failed(io::Error::other(OTHER))),
            Err(error) => Err(failed(error.into())),
        }
    }

    /// Makes sure that what has a name is this file. One that another upload replaced at once had
    /// the name before, and so had one that somebody who waits for files has taken away already.
    pub(super) fn expect_at(&self, folder: &OwnedFd, name: &str) -> io::Result<()> {
        let named = match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(()),
            named => named?,
        };
        // Looked at last: whatever had replaced it by then has left it without a link.
        let own = rustix::fs::fstat(&self.file)?;
        let is_plain = FileType::from_raw_mode(named.st_mode) == FileType::RegularFile;
        let is_it = (own.st_dev, own.st_ino) == (named.st_dev, named.st_ino);
        if is_it || own.st_nlink == 0 && is_plain {
            return Ok(());
        }
        Err(io::Error::other(OTHER))
    }

    pub(super) fn partial(&self) -> MutexGuard<'_, Option<Partial>> {
        self.partial.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether so many bytes are more than a file can have on a file system of that size. Some say
/// nothing of their size.
fn is_too_much(total: u64, size: u64, available: u64) -> bool {
    size > 0 && total > available
}

impl Partial {
    /// It was moved to its name: there is nothing left to resume.
    pub(super) fn has_moved(self) {
        self.work.has_moved();
        if let Some(facts) = self.facts {
            // One that stays is swept.
            let _ = self.work.take_away(&[facts.record_name()]);
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_resumable {
            self.discard();
        } else if self.partial().is_some() {
            // It stays where it is, and so does its space.
            self.becomes_stored();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn another_ones_file_is_not_taken_for_what_got_the_name() {
        let home = tempfile::tempdir().expect("a folder");
        let folder = OwnedFd::from(File::open(home.path()).expect("it is there"));
        let (a, b) = (home.path().join("a"), home.path().join("b"));
        let unfinished = Unfinished::new(File::create(&a).expect("created"), None);
        let is_at = |name| unfinished.expect_at(&folder, name).is_ok();
        assert!(is_at("a"));
        fs::write(&b, "another").expect("written");
        assert!(!is_at("b"));
        // Somebody waits for files, and moves each elsewhere as soon as it is there.
        assert!(is_at("c"));
        // Another upload gets the same name.
        fs::rename(&b, &a).expect("moved");
        assert!(is_at("a"));
        fs::remove_file(&a).expect("removed");
        assert!(is_at("a"));
        symlink("b", &a).expect("linked");
        assert!(!is_at("a"));
    }

    #[test]
    fn a_size_that_the_file_system_has_not_got_is_refused_before_it_is_asked_for_it() {
        let unfinished = Unfinished::new(tempfile::tempfile().expect("a file"), None);
        unfinished.check_free(1).expect("there is a byte");
        let refused = unfinished.check_free(1 << 60);
        assert!(matches!(refused, Err(Error::Full(_))), "{refused:?}");
        let is_too_much = |size| [6, 7, 8].map(|total| is_too_much(total, size, 7));
        assert_eq!(is_too_much(1), [false, false, true]);
        assert_eq!(is_too_much(0), [false; 3], "not known is not full");
    }
}
