//! Making what is in the folder survive a power cut, and remembering that it once could not be done.
//!
//! A sync that fails is never repeated: the kernel has dropped what it could not write, and would
//! find nothing to do and report success. It tells of that once for each descriptor, too, and
//! nothing by one that is opened when somebody has been told. So whoever hears of it has to see to it
//! that all others do; and where threads share a descriptor, or open one of their own, what tells
//! that all is well is [`Root::has_failed`], asked behind the sync.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::io::Errno;

use super::beneath;
use super::root::Root;
use super::together::Together;
use super::unfinished::Unfinished;
use crate::store::Error;

/// What a stored file survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// A power cut in the microsecond after its OK.
    #[default]
    Full,
    /// The death of the server, but not that of the machine.
    None,
}

/// How a folder is synced, and whether that has failed.
#[derive(Debug, Default)]
pub(super) struct Syncing {
    /// Whether a file must be synced once more after it was linked.
    pub(super) links_need_it: bool,
    /// Where one call may sync all that the file system has.
    pub(super) together: Option<Together>,
    /// Shared with other stores of the same folder.
    failures: Arc<Failures>,
    /// Held while the folder itself is synced: its threads share a descriptor, and whoever waits here
    /// for another's sync is told how that has ended.
    folder: Mutex<()>,
}

/// Which syncs have failed, of all stores of a folder.
#[derive(Debug, Default)]
pub(super) struct Failures {
    /// Any, after which nothing is begun any more.
    any: AtomicBool,
    /// One of a folder, after which no name is certain: it may be on the way to any file.
    folder: AtomicBool,
}

impl Syncing {
    /// What a folder's file system needs, and can do.
    pub(super) fn of(root: &Root) -> Syncing {
        Syncing {
            links_need_it: root.names_linger && root.is_nameless(),
            together: root.durable.then(|| Together::open(&root.folder)).flatten(),
            ..Syncing::default()
        }
    }
}

impl Root {
    /// Whether a sync has failed, after which nothing can be promised.
    pub(super) fn has_failed(&self) -> bool {
        if self.has_failed_in_work() {
            // For the other stores too.
            self.set_failed();
        }
        self.syncing.failures.any.load(Ordering::Relaxed)
    }

    /// From now on shares that with other stores.
    pub(super) fn share_failures(&mut self, failures: Arc<Failures>) {
        self.syncing.failures = failures;
    }

    pub(super) fn set_failed(&self) {
        self.syncing.failures.any.store(true, Ordering::Relaxed);
    }

    /// A folder's sync has failed.
    pub(super) fn set_folder_failed(&self) {
        self.syncing.failures.folder.store(true, Ordering::Relaxed);
        self.set_failed();
    }

    /// Asked behind a sync of folders that has succeeded: one that failed for somebody else may have
    /// been of one of these, and the kernel has told only them.
    ///
    /// # Errors
    /// Where a folder's sync has failed, whoever asked for it.
    pub(super) fn expect_folders(&self) -> io::Result<()> {
        match self.syncing.failures.folder.load(Ordering::Relaxed) {
            true => Err(io::Error::other("a folder failed to sync earlier")),
            false => Ok(()),
        }
    }

    /// Makes the link from a name to a file survive a power cut, as far as the folder's own sync
    /// doesn't: see [`journal`].
    pub(super) fn sync_link(&self, unfinished: &Unfinished) -> io::Result<()> {
        if self.syncing.links_need_it {
            let synced = unfinished.file.sync_all();
            synced.inspect_err(|_| self.set_failed())
        } else {
            Ok(())
        }
    }

    /// Whether so many files are better synced by one [`Root::sync_all`] than each by itself.
    pub(super) fn is_to_sync_together(&self, files: usize) -> bool {
        let together = self.syncing.together.as_ref();
        together.is_some_and(|together| together.is_sooner(files))
    }

    /// Syncs all that the file system has. Only one thread does.
    pub(super) fn sync_all(&self) -> io::Result<()> {
        let synced = rustix::io::retry_on_intr(|| rustix::fs::syncfs(&self.folder));
        Ok(synced.inspect_err(|_| self.set_failed())?)
    }

    /// Makes the names that were given in the folder itself survive a power cut. Once that has
    /// failed for one thread, it fails for all.
    pub(super) fn sync(&self) -> io::Result<()> {
        let held = self.syncing.folder.lock();
        let _held = held.unwrap_or_else(PoisonError::into_inner);
        self.expect_folders()?;
        beneath::sync(&self.folder).inspect_err(|_| self.set_folder_failed())
    }

    /// The same for one name that is there, and for the folders it is in. Returns whether they are
    /// still there.
    pub(super) fn sync_way_to(&self, name: &str) -> Result<bool, Error> {
        let failed = |error: io::Error| {
            self.set_folder_failed();
            Error::from_call("sync a folder", error)
        };
        let mut way = name;
        while let (Some(path), _) = beneath::parts(way) {
            let folder = match beneath::open(&self.folder, path, beneath::FOLDER) {
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(false),
                opened => opened.map_err(Error::from_way)?,
            };
            beneath::sync(&folder).map_err(failed)?;
            way = path;
        }
        self.sync().map_err(failed)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Durability;
    use super::super::journal;
    use super::super::root::Naming;
    use super::super::tests::{durable, unfit};
    use super::*;

    #[test]
    fn a_folder_that_failed_to_sync_for_one_thread_has_failed_for_all() {
        let home = tempfile::tempdir().expect("a folder");
        let mut root = durable(&home);
        root.sync().expect("it can be synced");
        std::fs::create_dir(home.path().join("a")).expect("made");
        let broken = unfit(&root, "a");
        let good = std::mem::replace(&mut root.folder, broken);
        root.sync().expect_err("it can't be synced");
        root.folder = good;
        // Whose sync would succeed now is told of the one that didn't.
        root.sync().expect_err("it has failed");
        assert!(root.has_failed() && root.sync_way_to("name").is_err());
    }

    #[test]
    fn a_common_sync_that_fails_is_told_and_nothing_is_promised_any_more() {
        let home = tempfile::tempdir().expect("a folder");
        let mut root = durable(&home);
        root.sync_all().expect("it can be synced");
        assert!(!root.has_failed());
        root.folder = unfit(&root, ".");
        root.sync_all().expect_err("it can't be synced");
        assert!(root.has_failed());
    }

    #[test]
    fn a_way_that_somebody_has_taken_away_is_no_way_and_no_failure() {
        let home = tempfile::tempdir().expect("a folder");
        let root = durable(&home);
        std::fs::create_dir_all(home.path().join("a/b")).expect("made");
        std::fs::write(home.path().join("a/file"), "").expect("written");
        std::os::unix::fs::symlink("a", home.path().join("link")).expect("linked");
        let way = |name: &str| root.sync_way_to(name).expect("no failure");
        assert_eq!(["1", "a/1", "a/b/1"].map(way), [true; 3]);
        assert_eq!(["b/1", "a/c/1", "a/file/1", "link/1"].map(way), [false; 4]);
        assert!(!root.has_failed());
    }

    #[test]
    fn links_are_synced_only_where_a_file_has_no_name_and_no_journal_keeps_them() {
        for (durability, naming, keeps_links, expected) in [
            (Durability::Full, Naming::Best, false, true),
            (Durability::Full, Naming::Best, true, false),
            (Durability::Full, Naming::Partial, false, false),
            (Durability::Full, Naming::Partial, true, false),
            (Durability::None, Naming::Best, false, false),
            (Durability::None, Naming::Best, true, false),
            (Durability::None, Naming::Partial, false, false),
            (Durability::None, Naming::Partial, true, false),
        ] {
            let home = tempfile::tempdir().expect("a folder");
            let root = Root::open_on(home.path(), durability, naming, None, |_| keeps_links);
            let root = root.expect("it opens");
            if naming == Naming::Best && !root.is_nameless() {
                // This file system has no nameless files.
                continue;
            }
            let needs_it = root.syncing.links_need_it;
            assert_eq!(
                needs_it, expected,
                "{durability:?} {naming:?} {keeps_links}"
            );
        }
    }

    #[test]
    fn a_root_asks_its_own_file_system_whether_that_keeps_links() {
        let here = tempfile::tempdir().expect("a folder");
        let root = durable(&here);
        let is_lost = root.is_nameless() && !journal::keeps_links(&root.folder);
        assert_eq!(root.syncing.links_need_it, is_lost);
        // Memory keeps nothing, and is not asked to.
        if let Ok(memory) = tempfile::tempdir_in("/dev/shm") {
            assert!(!durable(&memory).syncing.links_need_it);
        }
        let none = Root::open(here.path(), Durability::None, Naming::Best, None);
        assert!(none.expect("it opens").syncing.together.is_none());
        let is_tried = Together::open(&root.folder).is_some();
        assert_eq!(root.syncing.together.is_some(), is_tried);
    }
}
