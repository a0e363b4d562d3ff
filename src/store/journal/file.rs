//! The journal's file: opening it whole, reserving its blocks, appending all or nothing.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FallocateFlags, FlockOperation};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use crate::store::error::at_path;

/// Blocks are reserved so much at a time: some five thousand lines.
const STEP: u64 = 1 << 20;

/// Opens a journal for one writer, with its last line ended. Returns its length too.
pub(super) fn open(path: &Path) -> io::Result<(File, u64)> {
    open_whole(path).map_err(|error| at_path("use the journal", path, error))
}

fn open_whole(path: &Path) -> io::Result<(File, u64)> {
    // Without O_NONBLOCK, a pipe without a reader would be waited for.
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o640)
        .custom_flags(nonblocking)
        .open(path)?;
    let facts = file.metadata()?;
    if !facts.is_file() {
        return Err(io::Error::other("it is no plain file"));
    }
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            return Err(io::Error::other("another server writes to it"));
        }
        Err(error) => return Err(error.into()),
    }
    end_last_line(&file)?;
    // A file that is new must survive what its lines survive.
    file.sync_all()?;
    // Where the path is a link, the new name is in the folder that it leads to.
    let real = path.canonicalize()?;
    File::open(real.parent().unwrap_or(&real))?.sync_all()?;
    let length = file.metadata()?.len();
    Ok((file, length))
}

/// Gives a last line its end that a crash has cut off, so that the next one stands alone.
///
/// # Errors
/// Where the file can't be read or written.
pub fn end_last_line(mut file: &File) -> io::Result<()> {
    let length = file.metadata()?.len();
    let Some(last) = length.checked_sub(1) else {
        return Ok(());
    };
    let mut byte = [0];
    file.read_exact_at(&mut byte, last)?;
    if byte != *b"\n" {
        log::warn!("a last line was cut off; the next one begins behind it");
        file.write_all(b"\n")?;
    }
    Ok(())
}

/// Whether a file is the one that a path leads to.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(file), Ok(there)) => (file.dev(), file.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

/// Blocks that are reserved behind a journal's end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reserved {
    /// Where they end.
    until: u64,
    /// How long the file was last, as far as this program knows.
    length: u64,
}

/// Makes sure that so many bytes can be appended.
pub(super) fn reserve(file: &File, reserved: &mut Reserved, bytes: u64) -> io::Result<()> {
    let length = file.metadata()?.len();
    let needed = length.saturating_add(bytes);
    // The system's limit on the size of files says nothing about reserved blocks.
    let limit = getrlimit(Resource::Fsize).current;
    if limit.is_some_and(|limit| needed > limit) {
        return Err(Errno::FBIG.into());
    }
    if length < reserved.length {
        // Somebody has cut the file off, and the blocks behind its end with it.
        *reserved = Reserved::default();
    }
    reserved.length = length;
    if needed <= reserved.until {
        return Ok(());
    }
    // A whole step where there is room for it, and else just what is needed.
    let fallocate = |bytes| {
        let mode = FallocateFlags::KEEP_SIZE;
        let once = || rustix::fs::fallocate(file, mode, length, bytes);
        rustix::io::retry_on_intr(once).map(|()| length.saturating_add(bytes))
    };
    reserved.until = match fallocate(bytes.max(STEP)).or_else(|_| fallocate(bytes)) {
        Ok(until) => until,
        // A file system that can't reserve: the append will tell.
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => u64::MAX,
        Err(error) => return Err(error.into()),
    };
    Ok(())
}

/// Appends all of it, or leaves the file as it was, if it can. Returns where the lines end.
pub(super) fn append(mut file: &File, reserved: &mut Reserved, lines: &[u8]) -> io::Result<u64> {
    let length = file.metadata()?.len();
    file.write_all(lines).inspect_err(|_| {
        // The lock says that nobody else appends.
        let _ = file.set_len(length);
        // With what stood behind its end, the blocks there are gone.
        *reserved = Reserved::default();
    })?;
    reserved.length = length.saturating_add(lines.len() as u64);
    Ok(reserved.length)
}

/// Takes off what stands behind these bytes, and makes sure of the rest.
pub(super) fn cut(file: &File, whole: u64) -> io::Result<()> {
    if file.metadata()?.len() > whole {
        file.set_len(whole)?;
    }
    file.sync_all()
}

/// Gives back the blocks behind the last line.
pub(super) fn give_back(file: &File) {
    if let Ok(facts) = file.metadata() {
        let _ = file.set_len(facts.len());
    }
}
