//! The bare loop: what making files costs with no network, protocol or server around it. One
//! thread, a fresh folder, and as in the server's store each file is nameless until it is whole.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, openat, syncfs};

use super::measured::Sample;

/// Of these it is seen what a file costs.
const PROBES: u32 = 64;

/// What is synced.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sync {
    Nothing,
    /// Each file before its link, the folder behind it: durable, one after the other.
    Each,
    /// So many files are written, synced by one call with all else on the disk, and linked;
    /// another call follows.
    Together(usize),
}

/// Makes files of this size for so long.
pub(crate) fn make_files(
    within: &Path,
    size: usize,
    load: Duration,
    sync: Sync,
) -> Result<Sample, String> {
    let start = Instant::now();
    let made = make(within, size, sync, |_| start.elapsed() >= load);
    let (count, seconds, cpu_s) = made.map_err(|error| format!("the bare loop: {error}"))?;
    Ok(Sample {
        figure: count / seconds,
        bytes: count * size as f64,
        count,
        server_cpu_s: Some(cpu_s),
        ..Sample::default()
    })
}

/// What a file takes of the processor's time here: ten or twenty times more than usual where many
/// were removed lately, since the file system then looks for places that weren't in use.
pub(crate) fn price_of_a_file(within: &Path) -> io::Result<Duration> {
    let (count, _, cpu_s) = make(within, 1, Sync::Nothing, |made| made >= PROBES)?;
    Ok(Duration::from_secs_f64(cpu_s / count))
}

/// Makes files until it is enough of them. Gives how many, the seconds, and those of the processor.
fn make(
    within: &Path,
    size: usize,
    sync: Sync,
    is_enough: impl Fn(u32) -> bool,
) -> io::Result<(f64, f64, f64)> {
    let folder = File::open(within)?;
    let body = vec![b'x'; size];
    let group = match sync {
        Sync::Together(group) => group,
        Sync::Nothing | Sync::Each => 1,
    };
    let (start, before) = (Instant::now(), own_cpu_s());
    let mut made = 0_u32;
    let mut files = Vec::with_capacity(group);
    while !is_enough(made) {
        for _ in 0..group {
            let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::TMPFILE;
            let file = openat(&folder, ".", flags, Mode::from_raw_mode(0o644))?;
            rustix::io::write(&file, &body)?;
            if sync == Sync::Each {
                rustix::fs::fsync(&file)?;
            }
            files.push(file);
        }
        if matches!(sync, Sync::Together(_)) {
            syncfs(folder.as_fd())?;
        }
        for file in files.drain(..) {
            made += 1;
            let nameless = format!("/proc/self/fd/{}", file.as_raw_fd());
            let name = made.to_string();
            linkat(CWD, nameless, &folder, name, AtFlags::SYMLINK_FOLLOW)?;
        }
        match sync {
            Sync::Nothing => {}
            Sync::Each => rustix::fs::fsync(&folder)?,
            Sync::Together(_) => syncfs(folder.as_fd())?,
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    Ok((f64::from(made), seconds, own_cpu_s() - before))
}

/// Processor time of this thread.
fn own_cpu_s() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|first| first.parse().ok());
    nanoseconds.map_or(0.0, |nanoseconds: f64| nanoseconds / 1e9)
}
