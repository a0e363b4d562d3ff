//! One sync for a whole batch.
//!
//! A sync of each file flushes the disk's cache once a file, and those flushes are nearly all of
//! what a durable small file costs. `syncfs` writes all that the file system has in memory, and
//! flushes once. Four things speak against it, and where one is true each file is synced by itself:
//!
//! - What it is worth is the file system's affair. FUSE, by which many others are made, lets its
//!   server hear nothing of it; network file systems send what they have and ask for no flush;
//!   overlayfs may not hear of what the one below it has lost. So it is asked only of those that were
//!   tried.
//! - It writes everybody's data. Beside a stranger's gigabytes it would take seconds, so it is used
//!   only while there is little to be written on the whole machine.
//! - Its error can't be pinned on one file, so all of the batch fail. Before Linux 5.8 it reports
//!   no bytes that were lost, and before 5.17 no failure of the file system's own part.
//! - For a single file it is no faster.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use rustix::fs::FsWord;

use super::journal::{BTRFS, EXT, XFS, magic_of};

/// From so many files on: measured, two clients get half as many files again, eight twice as many.
const FROM: usize = 2;
/// Bytes that may wait to be written on the whole machine, those of the batch included: what a disk
/// takes in some ten milliseconds, as long as a batch's own syncs would need.
const CALM: u64 = 16 << 20;
/// The first Linux whose `syncfs` reports all that went wrong.
const REPORTS_SINCE: (u32, u32) = (5, 17);
/// The file systems whose `syncfs` was tried by power cuts.
const TRIED: [FsWord; 3] = [EXT, XFS, BTRFS];
/// What is read of the kernel's table, which has some 60 lines of 28 bytes.
const TABLE: usize = 4 << 10;

/// A file system whose `syncfs` can be trusted.
#[derive(Debug)]
pub(super) struct Together {
    /// What waits on the whole machine. It stays open: a server that has given up the right to open
    /// files elsewhere can still read it, and a batch has two calls less.
    table: File,
}

impl Together {
    /// `None` where a batch is better synced file by file, however large it is.
    pub(super) fn open(folder: &OwnedFd) -> Option<Together> {
        let table =
            is_trusted(version(), magic_of(folder)).then(|| File::open("/proc/meminfo").ok());
        table.flatten().map(|table| Together { table })
    }

    /// One that takes a file for the kernel's table, so that a test decides how calm it is.
    #[cfg(test)]
    pub(super) fn reading(table: File) -> Together {
        Together { table }
    }

    /// Whether a batch of so many files is synced sooner by one call.
    pub(super) fn is_sooner(&self, files: usize) -> bool {
        files >= FROM && self.waiting().is_some_and(|bytes| bytes <= CALM)
    }

    fn waiting(&self) -> Option<u64> {
        let mut table = [0; TABLE];
        let length = self.table.read_at(&mut table, 0).ok()?;
        waiting(std::str::from_utf8(&table[..length]).ok()?)
    }
}

/// Bytes that the kernel has yet to write, or is writing.
fn waiting(table: &str) -> Option<u64> {
    let kib = |key: &str| -> Option<u64> {
        let line = table.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim().strip_suffix("kB")?.trim().parse().ok()
    };
    Some((kib("Dirty:")? + kib("Writeback:")?) << 10)
}

/// Whether `syncfs` syncs what is on such a file system, and reports where it can't.
fn is_trusted(version: Option<(u32, u32)>, magic: Option<FsWord>) -> bool {
    let reports = version.is_some_and(|version| version >= REPORTS_SINCE);
    cfg!(target_os = "linux") && reports && magic.is_some_and(|magic| TRIED.contains(&magic))
}

/// The kernel's version, as far as it matters.
fn version() -> Option<(u32, u32)> {
    let name = rustix::system::uname();
    let mut numbers = name.release().to_str().ok()?.split(['.', '-']);
    let mut next = || numbers.next()?.parse::<u32>().ok();
    Some((next()?, next()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn what_waits_is_read_from_the_kernels_table() {
        let table = "MemFree:  7 kB\nDirty:     12 kB\nWriteback:    3 kB\nWritebackTmp: 9 kB\n";
        assert_eq!(waiting(table), Some(15 << 10));
        assert_eq!(waiting("Dirty: 12 kB\n"), None);
        assert_eq!(waiting("Dirty: x\nWriteback: 1 kB\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_table_is_read_anew_each_time_and_a_single_file_is_never_worth_it() {
        let together = Together::reading(File::open("/proc/meminfo").expect("it is there"));
        assert!(together.waiting().is_some() && together.waiting().is_some());
        assert!(!together.is_sooner(1));
    }

    #[test]
    fn a_batch_is_synced_by_one_call_while_no_more_than_a_little_waits_on_the_machine() {
        let sooner = |table: &str, files: usize| {
            let mut file = tempfile::tempfile().expect("a file");
            file.write_all(table.as_bytes()).expect("written");
            Together::reading(file).is_sooner(files)
        };
        let most = CALM >> 10;
        let just = format!("Dirty: {} kB\nWriteback: 7 kB\n", most - 7);
        assert_eq!(
            [1, 2, 200].map(|files| sooner(&just, files)),
            [false, true, true]
        );
        let over = format!("Dirty: {} kB\nWriteback: 7 kB\n", most - 6);
        assert!(!sooner(&over, 200));
        assert!(
            !sooner("nothing that is known", 200),
            "not known is not calm"
        );
    }

    #[test]
    fn only_a_kernel_that_tells_of_all_that_is_lost_is_trusted() {
        let versions = [
            None,
            Some((4, 99)),
            Some((5, 16)),
            Some((5, 17)),
            Some((6, 0)),
        ];
        let is_linux = cfg!(target_os = "linux");
        let expected = [false, false, false, is_linux, is_linux];
        assert_eq!(
            versions.map(|version| is_trusted(version, Some(XFS))),
            expected
        );
    }

    /// FUSE says that all is well, and its server has heard nothing.
    #[test]
    fn only_file_systems_that_were_tried_are_synced_as_a_whole() {
        let (fuse, overlay, nfs, memory) = (0x6573_5546, 0x794c_7630, 0x6969, 0x0102_1994);
        let trusted = |magic| is_trusted(Some((6, 0)), magic);
        for magic in [EXT, XFS, BTRFS] {
            assert_eq!(trusted(Some(magic)), cfg!(target_os = "linux"));
        }
        for magic in [fuse, overlay, nfs, memory] {
            assert!(!trusted(Some(magic)), "{magic:x}");
        }
        assert!(!trusted(None), "not known is not tried");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_running_kernel_has_a_version() {
        assert!(version().is_some_and(|version| version > (2, 6)));
    }
}
