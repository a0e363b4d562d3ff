//! How many bytes a folder holds, by a walk through it.
//!
//! What counts is the length of each plain file, in this folder and those below it. Links are not
//! followed. A file that is being uploaded has no name, or is locked in the work folder, and isn't
//! counted: space is reserved for it. One that waits there to be resumed is counted, and so is one
//! that was replaced and isn't gone yet.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::record::UPLOAD;
use super::work::HELD;
use crate::proto::name::RESERVED;

/// Folders below folders: uploads make fewer, and each level costs two descriptors.
const DEPTH: usize = 64;
/// A count that takes longer is worth a line, since nobody is served meanwhile.
const LONG: Duration = Duration::from_secs(2);

/// Says once that a count takes its time.
pub(super) fn tell_if_long(began: Instant) -> impl FnMut() {
    let mut told = false;
    move || {
        if !told && began.elapsed() >= LONG {
            told = true;
            log::warn!("counting what the folder holds, before anybody is served");
        }
    }
}

/// The bytes of all files in a folder. `step` is called with each thousandth file.
pub(super) fn bytes_in(folder: &OwnedFd, step: &mut dyn FnMut()) -> io::Result<u64> {
    let mut sum = 0u64;
    let mut left = 1000u32;
    walk(folder, DEPTH, &mut |size| {
        sum = sum.saturating_add(size);
        left -= 1;
        if left == 0 {
            left = 1000;
            step();
        }
    })?;
    Ok(sum)
}

fn walk(folder: &OwnedFd, depth: usize, hear: &mut dyn FnMut(u64)) -> io::Result<()> {
    let is_root = depth == DEPTH;
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        // Some file systems don't say what an entry is.
        let stat = match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            // Whoever has taken it away has made room.
            Err(Errno::NOENT) => continue,
            Err(error) => return Err(error.into()),
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => hear(u64::try_from(stat.st_size).unwrap_or(0)),
            FileType::Directory if is_root && name.to_bytes() == RESERVED.as_bytes() => {
                if let Some(work) = enter(folder, name)? {
                    count_resting(&work, hear)?;
                }
            }
            FileType::Directory if depth > 0 => {
                if let Some(below) = enter(folder, name)? {
                    walk(&below, depth - 1, hear)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Opens a folder that is there. One that may not be read is passed over: it can't be helped, and
/// is no reason not to serve.
fn enter(folder: &OwnedFd, name: &CStr) -> io::Result<Option<OwnedFd>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(folder, name, flags, Mode::empty()) {
        Ok(below) => Ok(Some(below)),
        Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => Ok(None),
        Err(Errno::ACCESS | Errno::PERM) => {
            let shown = crate::proto::text::escaped(name.to_bytes()).to_string();
            log::warn!("the folder {shown} may not be read, so the quota leaves it out");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Uploads that wait in the work folder to be resumed, and files that were replaced a moment ago.
/// Those that are under way are locked.
fn count_resting(work: &OwnedFd, hear: &mut dyn FnMut(u64)) -> io::Result<()> {
    for entry in Dir::read_from(work)? {
        let entry = entry?;
        let is_a = |ending: &str| entry.file_name().to_bytes().ends_with(ending.as_bytes());
        if !is_a(UPLOAD) && !is_a(HELD) {
            continue;
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(file) = rustix::fs::openat(work, entry.file_name(), flags, Mode::empty()) else {
            continue;
        };
        let rests = || {
            let lock = FlockOperation::NonBlockingLockShared;
            rustix::fs::flock(file.as_fd(), lock).is_ok()
        };
        let stat = rustix::fs::fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && rests() {
            hear(u64::try_from(stat.st_size).unwrap_or(0));
        }
    }
    Ok(())
}
