//! One sync for a whole batch.
//!
//! A sync of each file flushes the disk's cache once a file, and those flushes are nearly all of
//! what a durable small file costs. `syncfs` writes all that the file system has in memory, and
//! flushes once. Three things speak against it, and where one is true each file is synced by
//! itself:
//!
//! - It writes everybody's data. Beside a stranger's gigabytes it would take seconds, so it is used
//!   only while there is little to be written on the whole machine.
//! - Its error can't be pinned on one file, so all of the batch fail. Before Linux 5.8 it reports
//!   no error at all.
//! - For a single file it is no faster.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// From so many files on: measured, two clients get half as many files again, eight twice as many.
const FROM: usize = 2;
/// Bytes that may wait to be written on the whole machine, those of the batch included: what a disk
/// takes in some ten milliseconds, as long as a batch's own syncs would need.
const CALM: u64 = 16 << 20;
/// The first Linux whose `syncfs` reports that data was lost.
const REPORTS_SINCE: (u32, u32) = (5, 8);
/// What is read of the kernel's table, which has some 60 lines of 28 bytes.
const TABLE: usize = 4 << 10;

/// A system whose `syncfs` can be trusted.
#[derive(Debug)]
pub(super) struct Together {
    /// What waits on the whole machine. It stays open: a server that has given up the right to open
    /// files elsewhere can still read it, and a batch has two calls less.
    table: File,
}

impl Together {
    /// `None` where a batch is better synced file by file, however large it is.
    pub(super) fn open() -> Option<Together> {
        let table = is_trusted(version()).then(|| File::open("/proc/meminfo").ok());
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

/// Whether the `syncfs` of a kernel reports that data was lost.
fn is_trusted(version: Option<(u32, u32)>) -> bool {
    cfg!(target_os = "linux") && version.is_some_and(|version| version >= REPORTS_SINCE)
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
        let together = Together::open().expect("this system has one");
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
    fn only_a_kernel_that_tells_of_lost_data_is_trusted() {
        let versions = [
            None,
            Some((4, 99)),
            Some((5, 7)),
            Some((5, 8)),
            Some((6, 0)),
        ];
        let is_linux = cfg!(target_os = "linux");
        let expected = [false, false, false, is_linux, is_linux];
        assert_eq!(versions.map(is_trusted), expected);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_running_kernel_has_a_version() {
        assert!(version().is_some_and(|version| version > (2, 6)));
    }
}
