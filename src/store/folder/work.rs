//! The work folder, `.piecemeal`: where files are that need a name before they are whole.
//!
//! It is made when it is first needed, and goes when nobody needs it. Several servers may share
//! it: each holds a shared lock on it, and an exclusive one on each file of its own that is in it.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::proto::name::RESERVED;
use crate::store::random_letters;

/// How often, and how long, a work folder that is being taken away is waited for.
const LOCK_TRIES: u32 = 50;
const LOCK_WAIT: Duration = Duration::from_millis(10);

/// Makes and opens the work folder. A shared lock on it says that it is in use, so that
/// another server doesn't take it away.
pub(super) fn make(folder: &OwnedFd) -> Result<OwnedFd, Errno> {
    let mut tries = 0;
    loop {
        match rustix::fs::mkdirat(folder, RESERVED, Mode::from_raw_mode(0o700)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
        let work = match open(folder) {
            Err(Errno::NOENT) => continue,
            work => work?,
        };
        match rustix::fs::flock(&work, FlockOperation::NonBlockingLockShared) {
            Ok(()) => {}
            // A server that goes holds it for a moment; nobody holds it for long.
            Err(Errno::WOULDBLOCK) if tries < LOCK_TRIES => {
                tries += 1;
                std::thread::sleep(LOCK_WAIT);
                continue;
            }
            Err(error) => return Err(error),
        }
        // It may have been taken away before it was locked.
        if rustix::fs::fstat(&work)?.st_nlink > 0 {
            return Ok(work);
        }
    }
}

/// Takes the work folder away where it is empty and nobody else uses it.
pub(super) fn remove(folder: &OwnedFd, work: &OwnedFd) {
    if rustix::fs::flock(work, FlockOperation::NonBlockingLockExclusive).is_ok() {
        let _ = rustix::fs::unlinkat(folder, RESERVED, AtFlags::REMOVEDIR);
    }
}

/// Removes what a killed server left in the work folder. A file that is locked belongs to one
/// that runs.
pub(super) fn sweep(folder: &OwnedFd) -> io::Result<()> {
    let work = match open(folder) {
        Ok(work) => work,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    for entry in rustix::fs::Dir::read_from(&work)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_bytes().starts_with(b".") || entry.file_type() == FileType::Directory {
            continue;
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&work, name, flags, Mode::empty()) {
            // Another server has just finished it.
            Err(Errno::NOENT) => continue,
            file => file?,
        };
        if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            match rustix::fs::unlinkat(&work, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// A name for a file in the work folder.
pub(super) fn part_name() -> String {
    format!("{}.part", random_letters(16))
}

fn open(folder: &OwnedFd) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(folder, RESERVED, flags, Mode::empty())
}
