//! Whether the sync of a folder is enough to keep a file that was just linked into it.
//!
//! A nameless file is synced while it has no link, so the disk has it with a link count of 0. The
//! link makes that 1. A file system with a journal writes both ends of the link together, and the
//! folder's sync brings both to the disk. ext2, and ext4 without a journal, write the folder alone;
//! after a power cut the check then finds a name whose file has no links, and throws it away. Seen
//! on an image of such a file system that was copied in mid-air: 6 of 20 files were gone.
//!
//! There, and where it isn't known, a file is synced once more after it was linked. Elsewhere that
//! would cost a flush of the disk a file.

use std::fs;
use std::os::fd::OwnedFd;

use rustix::fs::FsWord;

/// The magic number that ext2, ext3 and ext4 share; and those of others.
pub(super) const EXT: FsWord = 0xef53;
pub(super) const XFS: FsWord = 0x5846_5342;
pub(super) const BTRFS: FsWord = 0x9123_683e;
const F2FS: FsWord = 0xf2f5_2010;
const TMPFS: FsWord = 0x0102_1994;
/// File systems whose folders bring their links along; and tmpfs, which keeps nothing anyway. Btrfs
/// should be one, and isn't where two threads store into one folder: the sync of a folder may find
/// nothing to do, though the name that was just given isn't in its log. Seen on images of such disks
/// (Linux 6.18), once in some five hundred power cuts: a batch of 3 files, and one of 4, were gone.
const KEEPING: [FsWord; 3] = [XFS, F2FS, TMPFS];

/// What says which kind of file system a folder is on, if that can be found out.
#[cfg(target_os = "linux")]
pub(super) fn magic_of(folder: &OwnedFd) -> Option<FsWord> {
    rustix::fs::fstatfs(folder).ok().map(|facts| facts.f_type)
}

/// Other systems have names for that.
#[cfg(not(target_os = "linux"))]
pub(super) fn magic_of(_: &OwnedFd) -> Option<FsWord> {
    None
}

/// Whether a link survives with its folder's sync. Where that can't be found out, it is taken
/// not to.
#[cfg(target_os = "linux")]
pub(super) fn keeps_links(folder: &OwnedFd) -> bool {
    match magic_of(folder) {
        Some(EXT) => device_of(folder).is_some_and(|device| has_journal(&device)),
        Some(magic) => KEEPING.contains(&magic),
        None => false,
    }
}

/// What other systems do is not known.
#[cfg(not(target_os = "linux"))]
pub(super) fn keeps_links(_: &OwnedFd) -> bool {
    false
}

/// The name of the block device that a folder is on.
#[cfg(target_os = "linux")]
fn device_of(folder: &OwnedFd) -> Option<String> {
    let device = rustix::fs::fstat(folder).ok()?.st_dev;
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let link = fs::read_link(format!("/sys/dev/block/{major}:{minor}")).ok()?;
    Some(link.file_name()?.to_str()?.to_owned())
}

/// Whether the kernel keeps a journal for a device. Each has a folder there, named for the device
/// and, behind a dash, for the journal's place on it.
#[cfg(target_os = "linux")]
fn has_journal(device: &str) -> bool {
    let Ok(journals) = fs::read_dir("/proc/fs/jbd2") else {
        return false;
    };
    let of_device = |name: &str| name.rsplit_once('-').is_some_and(|(of, _)| of == device);
    journals
        .flatten()
        .any(|journal| journal.file_name().to_str().is_some_and(of_device))
}
