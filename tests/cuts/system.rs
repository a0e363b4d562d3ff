//! What the trial asks of the system that no crate here wraps.

#![expect(
    unsafe_code,
    reason = "no crate here has safe wrappers of these three calls"
)]

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Command, Stdio};

/// `FS_IOC_SHUTDOWN`, and its flag that leaves the log in memory where it is.
const SHUTDOWN: libc::Ioctl = 0x8004_587d;
const WITHOUT_LOG: u32 = 2;

/// Gives this thread, and all that it starts, mounts of its own. Nobody else sees them, and they
/// end with the last of those, however that ends.
pub(super) fn own_mounts() -> io::Result<()> {
    // SAFETY: no memory is passed; the other threads keep what they have.
    let done = unsafe { libc::unshare(libc::CLONE_NEWNS) };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    run("mount", ["--make-rprivate", "/"])
}

/// Ends a file system: nothing that it has not written yet is written any more.
pub(super) fn shut_down(folder: &Path) -> io::Result<()> {
    let folder = File::open(folder)?;
    let flags = WITHOUT_LOG;
    // SAFETY: the call reads one u32, which lives until it has returned.
    let done = unsafe { libc::ioctl(folder.as_raw_fd(), SHUTDOWN, &raw const flags) };
    match done {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Writes some of what is waiting in memory, as a disk's cache may at any moment.
pub(super) fn write_part(file: &File, offset: i64, length: i64) {
    let how = libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    // SAFETY: the descriptor is open as long as `file` is borrowed, and no memory is passed.
    unsafe { libc::sync_file_range(file.as_raw_fd(), offset, length, how) };
}

/// Runs a command, which has to go well.
pub(super) fn run<A: AsRef<OsStr>>(
    program: &str,
    arguments: impl IntoIterator<Item = A>,
) -> io::Result<()> {
    match code(program, arguments)? {
        (0, _) => Ok(()),
        (code, said) => Err(io::Error::other(format!(
            "{program} ended with {code}: {said}"
        ))),
    }
}

/// Runs a command; its exit code, and what it said.
pub(super) fn code<A: AsRef<OsStr>>(
    program: &str,
    arguments: impl IntoIterator<Item = A>,
) -> io::Result<(i32, String)> {
    // mkfs.xfs makes no small ones unless it takes itself to be tested.
    let output = Command::new(program)
        .args(arguments)
        .envs([("TEST_DIR", "1"), ("TEST_DEV", "1"), ("QA_CHECK_FS", "1")])
        .stdin(Stdio::null())
        .output()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    Ok((output.status.code().unwrap_or(-1), said))
}
