//! The work folder, `.piecemeal`: where files are that need a name before they are whole.
//!
//! It is made when it is first needed, and goes when nobody needs it. `*.part` is a file under way,
//! with a name that nobody else has. `ID.upload` and `ID.record` are an upload that can be resumed,
//! under way or abandoned. Several servers may share
//! it: each holds a shared lock on it, and an exclusive one on each file of its own that is in it.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::record::{RECORD, UPLOAD};
use crate::proto::name::RESERVED;
use crate::store::random_letters;

/// How often, and how long, a work folder that is being taken away is waited for.
const LOCK_TRIES: u32 = 50;
const LOCK_WAIT: Duration = Duration::from_millis(10);

/// Makes and opens the work folder. A shared lock on it says that it is in use, so that
/// another server doesn't take it away.
pub(super) fn make(folder: &OwnedFd) -> Result<OwnedFd, Errno> {
    make_waiting(folder, || std::thread::sleep(LOCK_WAIT))
}

/// The same; `wait` is called whenever somebody else is just taking it away.
fn make_waiting(folder: &OwnedFd, mut wait: impl FnMut()) -> Result<OwnedFd, Errno> {
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
        match is_in_use(&work) {
            Ok(true) => return Ok(work),
            Ok(false) => {}
            // A server that goes holds it for a moment; nobody holds it for long.
            Err(Errno::WOULDBLOCK) if tries < LOCK_TRIES => {
                tries += 1;
                wait();
            }
            Err(error) => return Err(error),
        }
    }
}

/// Says that an open work folder is in use. `false` where it was taken away before.
fn is_in_use(work: &OwnedFd) -> Result<bool, Errno> {
    rustix::fs::flock(work, FlockOperation::NonBlockingLockShared)?;
    Ok(rustix::fs::fstat(work)?.st_nlink > 0)
}

/// Takes the work folder away where it is empty and nobody else uses it.
pub(super) fn remove(folder: &OwnedFd, work: &OwnedFd) {
    if rustix::fs::flock(work, FlockOperation::NonBlockingLockExclusive).is_ok() {
        let _ = rustix::fs::unlinkat(folder, RESERVED, AtFlags::REMOVEDIR);
    }
}

/// When the work folder is swept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sweep {
    /// At the start: what a killed server left goes, but for what can be resumed.
    Start,
    /// Later: only what was abandoned goes.
    Running,
}

/// Removes what nobody needs from the work folder. A file that is locked belongs to a server that
/// runs. Uploads that can be resumed are kept until they were not changed for `ttl`; without it,
/// they aren't kept.
pub(super) fn sweep(folder: &OwnedFd, when: Sweep, ttl: Option<Duration>) -> io::Result<()> {
    let work = match open(folder) {
        Ok(work) => work,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    for entry in rustix::fs::Dir::read_from(&work)? {
        sweep_one(&work, entry?.file_name(), when, ttl)?;
    }
    Ok(())
}

fn sweep_one(work: &OwnedFd, name: &CStr, when: Sweep, ttl: Option<Duration>) -> io::Result<()> {
    let bytes = name.to_bytes();
    let is_upload = bytes.ends_with(UPLOAD.as_bytes());
    let is_record = bytes.ends_with(RECORD.as_bytes());
    if bytes.starts_with(b".") || when == Sweep::Running && !is_upload && !is_record {
        return Ok(());
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(work, name, flags, Mode::empty()) {
        // Another server has just finished it.
        Err(Errno::NOENT) => return Ok(()),
        // A link, or a socket. None was made here.
        Err(Errno::LOOP | Errno::NXIO | Errno::MLINK) => return Ok(unlink(work, name)?),
        file => File::from(file?),
    };
    // It goes with its upload, before that, and is removed alone only where it has none. That is
    // a power cut's doing, or another server's that is just removing both.
    if is_record && has_upload(work, bytes) {
        return Ok(());
    }
    let is_useless = match (is_upload, is_record) {
        (true, _) => has_another_name(&file)?,
        (_, true) => when == Sweep::Start,
        _ => true,
    };
    if !is_useless && !is_old(&file, ttl)? {
        return Ok(());
    }
    if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
        if is_upload {
            unlink(work, other_name(bytes, UPLOAD, RECORD))?;
        }
        unlink(work, name)?;
    }
    Ok(())
}

/// A folder is left alone: none was made here, but a power cut can leave a name that leads to one.
fn unlink(work: &OwnedFd, name: impl rustix::path::Arg) -> Result<(), Errno> {
    match rustix::fs::unlinkat(work, name, AtFlags::empty()) {
        Err(Errno::NOENT | Errno::ISDIR) => Ok(()),
        removed => removed,
    }
}

/// Whether a file was not changed for `ttl`, or need not be kept at all.
fn is_old(file: &File, ttl: Option<Duration>) -> io::Result<bool> {
    let Some(ttl) = ttl else { return Ok(true) };
    // A time in the future is no age.
    let age = file.metadata()?.modified()?.elapsed().unwrap_or_default();
    Ok(age >= ttl)
}

/// Whether a file has a name elsewhere. A power cut can leave both where a file system without a
/// journal was moving it to the name that its client chose: it was stored, and nobody goes on with
/// it.
fn has_another_name(file: &File) -> io::Result<bool> {
    Ok(rustix::fs::fstat(file)?.st_nlink > 1)
}

fn has_upload(work: &OwnedFd, record: &[u8]) -> bool {
    let upload = other_name(record, RECORD, UPLOAD);
    rustix::fs::statat(work, upload, AtFlags::SYMLINK_NOFOLLOW).is_ok()
}

/// A name with another ending.
fn other_name(name: &[u8], ending: &str, other: &str) -> Vec<u8> {
    let stem = name.strip_suffix(ending.as_bytes()).unwrap_or(name);
    [stem, other.as_bytes()].concat()
}

/// A name for a file in the work folder.
pub(super) fn part_name() -> String {
    format!("{}.part", random_letters(16))
}

fn open(folder: &OwnedFd) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(folder, RESERVED, flags, Mode::empty())
}

#[cfg(test)]
mod tests;
