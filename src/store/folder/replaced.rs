//! Replacing a file where no journal holds both ends of a link together (see [`journal`]).
//!
//! There, the name in the folder and the count of links in the file reach the disk each by itself.
//! A power cut can leave the name with the old file, whose count says 0 already since it was
//! replaced; or with the new one, whose count says 0 still. The check then throws the name away, and
//! with it a file that somebody was promised. Seen with real power cuts.
//!
//! So the new file has its link on the disk before the name leads to it; and the old one has a second
//! name, in the work folder, until the disk has the name leading to the new one. Another server that
//! starts meanwhile leaves that alone, though nobody holds a lock on the file: see [`work`].
//!
//! [`journal`]: super::journal

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::root::{Root, plain_size_of};
use super::work::{self, Work};
use crate::store::Error;

/// Second names that are taken away at once: each takes a descriptor for a moment.
const TOGETHER: usize = 16;

/// The files that were replaced, until the disk knows.
#[derive(Debug, Default)]
pub(super) struct Replaced(Mutex<Vec<Held>>);

/// A file's second name.
#[derive(Debug)]
pub(super) struct Held {
    work: Arc<Work>,
    name: String,
    size: u64,
}

impl Root {
    /// Gives what has a name in a folder a second one, before it is replaced. `None` where there is
    /// no need.
    pub(super) fn keep_replaced(
        &self,
        folder: &OwnedFd,
        name: &str,
    ) -> Result<Option<Held>, Error> {
        if !self.syncing.links_need_it {
            return Ok(None);
        }
        let Some(size) = plain_size_of(folder, name) else {
            // Nobody was promised a link or a pipe.
            return Ok(None);
        };
        let (work, held) = (self.shared_work()?, work::held_name());
        match rustix::fs::linkat(folder, name, &work, &held, AtFlags::empty()) {
            Ok(()) => Ok(Some(Held {
                work,
                name: held,
                size,
            })),
            // It is gone; or another user's, of which the system allows no second name.
            Err(Errno::NOENT | Errno::PERM) => Ok(None),
            Err(error) => Err(Error::from_call("keep what is replaced", error)),
        }
    }

    /// The disk has all names that were given, so what they led to before can go.
    pub(super) fn let_go(&self) {
        let held = std::mem::take(&mut *self.replaced.held());
        for held in held.chunks(TOGETHER) {
            let names: Vec<_> = held.iter().map(|held| &held.name).collect();
            // What stays is swept at the next start. All are in the one work folder.
            let _ = held[0].work.take_away(&names);
            held.iter().for_each(|held| self.is_freed(held.size));
        }
    }
}

impl Replaced {
    /// Holds a file that is replaced by now until the disk knows.
    pub(super) fn hold(&self, held: Held) {
        self.held().push(held);
    }

    fn held(&self) -> MutexGuard<'_, Vec<Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Takes the second name away.
    pub(super) fn remove(self) {
        // One that stays is swept at the next start.
        let _ = self.work.take_away(&[self.name]);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::MetadataExt;

    use super::super::Space;
    use super::super::folders::Folders;
    use super::super::tests::durable;
    use super::super::unfinished::Partial;
    use super::*;

    /// A root as on a file system without a journal.
    fn root_in(home: &tempfile::TempDir) -> Root {
        let mut root = durable(home);
        root.syncing.links_need_it = true;
        root
    }

    #[test]
    fn a_file_that_is_replaced_keeps_a_link_until_the_disk_has_its_successors() {
        let home = tempfile::tempdir().expect("a folder");
        let root = root_in(&home);
        let mut folders = Folders::new(2);
        let path = home.path().join("a.txt");
        fs::write(&path, "old").expect("written");
        let old = File::open(&path).expect("it is there");
        let links = || old.metadata().expect("it is open").nlink();
        let unfinished = root.create().expect("a file");
        folders
            .replace(&root, &unfinished, "a.txt")
            .expect("replaced");
        assert_eq!(fs::read(&path).expect("it is there"), b"");
        assert_eq!(links(), 1);
        // Another server starts, and sweeps what it takes for a killed one's.
        let other = root_in(&home);
        assert_eq!(links(), 1);
        folders.sync(&root).expect("synced");
        assert_eq!(links(), 0);
        drop((unfinished, root, other));
        assert!(!home.path().join(".piecemeal").exists());
    }

    #[test]
    fn what_a_killed_server_held_is_swept_when_nobody_else_runs() {
        let home = tempfile::tempdir().expect("a folder");
        let work = home.path().join(".piecemeal");
        fs::create_dir(&work).expect("made");
        fs::write(work.join(work::held_name()), "old").expect("written");
        drop(root_in(&home));
        assert!(!work.exists());
    }

    #[test]
    fn a_file_that_is_replaced_counts_as_long_as_it_is_held_and_where_it_stays_after_all() {
        for stays in [false, true] {
            let home = tempfile::tempdir().expect("a folder");
            let path = home.path().join("a.txt");
            fs::write(&path, "old").expect("written");
            let root = root_in(&home);
            let count = || {
                let folder = root.folder.try_clone().expect("a descriptor");
                Space::open(folder, Some(100), None).expect("it is counted")
            };
            let space = count();
            root.limit(Arc::clone(&space));
            let mut folders = Folders::new(2);
            let unfinished = root.create().expect("a file");
            if stays {
                // A folder has been put in its place, and can't replace a file.
                let work = root.shared_work().expect("it can be made");
                fs::create_dir(home.path().join(".piecemeal/folder")).expect("made");
                *unfinished.partial() = Some(Partial {
                    work,
                    name: "folder".into(),
                    facts: None,
                });
            }
            let replaced = folders.replace(&root, &unfinished, "a.txt");
            assert_eq!(replaced.is_err(), stays, "{replaced:?}");
            assert_eq!([space.used(), count().used()], [3; 2]);
            folders.sync(&root).expect("synced");
            let left = if stays { 3 } else { 0 };
            assert_eq!([space.used(), count().used()], [left; 2]);
        }
    }

    #[test]
    fn a_folder_that_is_to_be_replaced_is_in_the_way_as_ever() {
        let home = tempfile::tempdir().expect("a folder");
        let root = root_in(&home);
        fs::create_dir(home.path().join("a.txt")).expect("made");
        let unfinished = root.create().expect("a file");
        let replaced = Folders::new(2).replace(&root, &unfinished, "a.txt");
        assert!(matches!(replaced, Err(Error::Exists)), "{replaced:?}");
    }
}
