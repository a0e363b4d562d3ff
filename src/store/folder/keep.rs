//! Putting an upload away that was cut off, so that it can be gone on with.

use std::io;
use std::os::unix::fs::MetadataExt;

use super::record::State;
use super::root::Root;
use super::unfinished::Unfinished;

/// Puts a partial of so many bytes away. Waits for the disk. One that can't be put away is thrown
/// away.
pub(super) fn put_away(root: &Root, unfinished: &Unfinished, length: u64) {
    if length == 0 || root.has_failed() || !unfinished.is_resumable() {
        return unfinished.discard();
    }
    if let Err(error) = sync(root, unfinished, length) {
        log::warn!("an upload that was cut off can't be kept: {error}");
        unfinished.discard();
    }
}

fn sync(root: &Root, unfinished: &Unfinished, length: u64) -> io::Result<()> {
    let file = &unfinished.file;
    if file.metadata()?.len() != length {
        return Err(io::Error::other("somebody else has changed its length"));
    }
    // Gives back what was reserved behind the end: an upload that was announced with 50 GiB and
    // abandoned after one must not keep 49 from the others.
    file.set_len(length)?;
    file.sync_all().inspect_err(|_| root.set_failed())?;
    let facts = file.metadata()?;
    let state = State::Closed {
        length,
        modified: (facts.mtime(), facts.mtime_nsec()),
    };
    unfinished.write_record(state, true)?;
    // The work folder itself may be new.
    root.sync()
}
