//! Replacing a file where no journal holds both ends of a link together (see [`journal`]).
//!
//! There, the name in the folder and the count of links in the file reach the disk each by itself.
//! A power cut can leave the name with the old file, whose count says 0 already since it was
//! replaced; or with the new one, whose count says 0 still. The check then throws the name away, and
//! with it a file that somebody was promised. Seen with real power cuts.
//!
//! So the new file has its link on the disk before the name leads to it; and the old one has a second
//! name, in the work folder, until the disk has the name leading to the new one.
//!
//! [`journal`]: super::journal

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::root::{Root, plain_size_of};
use super::work;
use crate::store::Error;

/// The second names of files that were replaced.
#[derive(Debug, Default)]
pub(super) struct Replaced(Mutex<Vec<(Arc<OwnedFd>, String)>>);

impl Root {
    /// Prepares that a file, which has a name in the work folder, replaces what has a name in a
    /// folder.
    pub(super) fn hold_both(&self, file: &File, folder: &OwnedFd, name: &str) -> Result<(), Error> {
        let synced = file.sync_all().inspect_err(|_| self.set_failed());
        synced.map_err(|error| Error::from_call("sync a file", error))?;
        if plain_size_of(folder, name).is_none() {
            // Nobody was promised a link or a pipe.
            return Ok(());
        }
        let (work, held) = (self.shared_work()?, work::part_name());
        match rustix::fs::linkat(folder, name, &work, &held, AtFlags::empty()) {
            Ok(()) => self.replaced.names().push((work, held)),
            // It is gone; or another user's, of which the system allows no second name.
            Err(Errno::NOENT | Errno::PERM) => {}
            Err(error) => return Err(Error::from_call("keep what is replaced", error)),
        }
        Ok(())
    }
}

impl Replaced {
    /// The disk has all names that were given, so what they led to before can go.
    pub(super) fn let_go(&self) {
        for (work, held) in std::mem::take(&mut *self.names()) {
            // One that stays is swept at the next start.
            let _ = rustix::fs::unlinkat(&*work, held, AtFlags::empty());
        }
    }

    fn names(&self) -> MutexGuard<'_, Vec<(Arc<OwnedFd>, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::super::folders::Folders;
    use super::super::root::Naming;
    use super::super::{Durability, Root};
    use super::*;

    #[test]
    fn a_file_that_is_replaced_keeps_a_link_until_the_disk_has_its_successors() {
        let home = tempfile::tempdir().expect("a folder");
        let open = Root::open(home.path(), Durability::Full, Naming::Best, None);
        let mut root = open.expect("it opens");
        root.syncing.links_need_it = true;
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
        folders.sync(&root).expect("synced");
        assert_eq!(links(), 0);
        drop((unfinished, root));
        assert!(!home.path().join(".piecemeal").exists());
    }

    #[test]
    fn a_folder_that_is_to_be_replaced_is_in_the_way_as_ever() {
        let home = tempfile::tempdir().expect("a folder");
        let open = Root::open(home.path(), Durability::Full, Naming::Best, None);
        let mut root = open.expect("it opens");
        root.syncing.links_need_it = true;
        fs::create_dir(home.path().join("a.txt")).expect("made");
        let unfinished = root.create().expect("a file");
        let replaced = Folders::new(2).replace(&root, &unfinished, "a.txt");
        assert!(matches!(replaced, Err(Error::Exists)), "{replaced:?}");
    }
}
