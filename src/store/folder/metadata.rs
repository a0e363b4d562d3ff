//! A file's permissions and time, as its sender gave them.

use std::fs::File;
use std::io;

use rustix::fs::{Mode, Timespec, Timestamps, UTIME_OMIT};

use super::root::Root;
use crate::proto::Metadata;
use crate::store::Error;

/// The permissions that a file in this folder may have: those that the umask, or the folder's own
/// rules, leave to one that is made with all of them.
pub(super) fn permissions(root: &Root) -> io::Result<u16> {
    let probe = root.create_with(0o777).map_err(io::Error::other)?;
    let mode = rustix::fs::fstat(&probe.file)?.st_mode & 0o777;
    Ok(u16::try_from(mode).unwrap_or(0))
}

/// Gives a file what is known of it. Nothing is asked of the system where nothing is known.
pub(super) fn apply(file: &File, metadata: Metadata) -> Result<(), Error> {
    let failed = |error| Error::from_call("set a file's mode or time", error);
    if let Some(mode) = metadata.mode {
        let mode = Mode::from_raw_mode(mode.into());
        rustix::fs::fchmod(file, mode).map_err(failed)?;
    }
    if let Some(seconds) = metadata.mtime {
        let times = Timestamps {
            last_access: Timespec {
                tv_sec: 0,
                tv_nsec: UTIME_OMIT,
            },
            last_modification: Timespec {
                tv_sec: seconds,
                tv_nsec: 0,
            },
        };
        rustix::fs::futimens(file, &times).map_err(failed)?;
    }
    Ok(())
}
