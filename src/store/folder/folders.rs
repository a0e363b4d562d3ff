//! The folders beneath the root, as the committer has them: made where they are missing, opened
//! once a batch, and synced once a batch.
//!
//! ```text
//!   a/b/c.txt    a, a/b   synced by this server before:  one openat2 finds a/b
//!                         else, from the root down:      mkdirat, openat, one step at a time,
//!                                                        and whoever got an entry is to be synced
//! ```
//!
//! What is open stays open until the batch is synced, so that the sync is of the very folder that
//! the file went into, whatever it is called by then. A folder that somebody moves away meanwhile
//! takes its new files along, just as if they had been there before; one that somebody removes is
//! made anew.
//!
//! That a folder is there doesn't say that it would survive a power cut: an upload that failed, a
//! server that was killed, or another one at work, may have made it and not synced it. So those
//! that this server knows to be kept are remembered, and any other is synced into the folder above
//! it, up to the root, when it is first used.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::beneath::{self, FOLDER, parts};
use super::root::Root;
use super::unfinished::Unfinished;
use crate::store::Error;

/// How often a folder that somebody removes is made anew for one file.
const TRIES: u32 = 16;
/// Folders that are remembered as kept. When there are more, all are forgotten.
const REMEMBERED: usize = 1024;

/// The folders that a batch's files go into.
#[derive(Debug)]
pub(super) struct Folders {
    /// By their paths beneath the root.
    open: HashMap<Box<str>, Open>,
    /// Most of them at once: each is a descriptor.
    most: usize,
    /// Whether the root itself has a new entry that isn't synced.
    root_changed: bool,
    /// Folders that have one, but are not what their path means any more.
    astray: Vec<Arc<OwnedFd>>,
    /// Those whose entries, from the root down, are on the disk.
    kept: HashSet<Box<str>>,
    /// Those whose entries will be with the next sync.
    reached: Vec<Box<str>>,
    /// How a sync has failed. No later one makes up for it.
    failed: Option<io::Error>,
}

#[derive(Debug)]
struct Open {
    folder: Arc<OwnedFd>,
    /// Whether it has a new entry that isn't synced.
    changed: bool,
}

impl Folders {
    /// None so far. It may have `most` of them open at once, and a few more for a moment.
    pub(super) fn new(most: usize) -> Folders {
        Folders {
            open: HashMap::new(),
            most,
            root_changed: false,
            astray: Vec::new(),
            kept: HashSet::new(),
            reached: Vec::new(),
            failed: None,
        }
    }

    /// Gives a file its name, unless that is taken. Folders that are missing are made.
    pub(super) fn place(
        &mut self,
        root: &Root,
        unfinished: &Unfinished,
        name: &str,
    ) -> Result<(), Error> {
        self.within(root, name, |folder, file| {
            root.place(unfinished, folder, file)
        })
    }

    /// Gives a file its name, in place of whatever file has it. Folders that are missing are made.
    pub(super) fn replace(
        &mut self,
        root: &Root,
        unfinished: &Unfinished,
        name: &str,
    ) -> Result<(), Error> {
        self.within(root, name, |folder, file| {
            root.replace(unfinished, folder, file)
        })
    }

    /// Makes every entry that was made survive a power cut, and closes the folders. Once that has
    /// failed, it fails for good.
    pub(super) fn sync(&mut self, root: &Root) -> io::Result<()> {
        self.sync_by(root, false)
    }

    /// The same by syncing all that the file system has.
    pub(super) fn sync_with_all(&mut self, root: &Root) -> io::Result<()> {
        self.sync_by(root, true)
    }

    fn sync_by(&mut self, root: &Root, all_at_once: bool) -> io::Result<()> {
        if self.failed.is_none() {
            self.failed = self.try_sync(root, all_at_once).err();
        }
        match &self.failed {
            None => Ok(()),
            Some(error) => {
                root.set_folder_failed();
                Err(copy(error))
            }
        }
    }

    fn try_sync(&mut self, root: &Root, all_at_once: bool) -> io::Result<()> {
        let open = std::mem::take(&mut self.open).into_values();
        let changed = open.filter(|open| open.changed).map(|open| open.folder);
        let astray = std::mem::take(&mut self.astray);
        let root_changed = std::mem::take(&mut self.root_changed);
        let reached = std::mem::take(&mut self.reached);
        if !root.durable {
            return Ok(());
        }
        if all_at_once {
            root.sync_all()?;
        } else {
            for folder in changed.chain(astray) {
                beneath::sync(&folder)?;
            }
            if root_changed {
                root.sync()?;
            }
        }
        root.expect_folders()?;
        root.let_go();
        root.sync_moves()?;
        if self.kept.len() + reached.len() > REMEMBERED {
            self.kept.clear();
        }
        self.kept.extend(reached);
        Ok(())
    }

    /// Does something with the folder that a name says, and what the file is called in it.
    fn within(
        &mut self,
        root: &Root,
        name: &str,
        put: impl Fn(&OwnedFd, &str) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (Some(path), file) = parts(name) else {
            let done = put(&root.folder, name);
            self.root_changed |= has_entry(&done);
            return done;
        };
        let mut tries = 0;
        loop {
            tries += 1;
            let folder = self.folder(root, path).map_err(Error::from_way);
            match folder.and_then(|folder| put(&folder, file)) {
                Err(Error::Io { error, .. }) if is_missing(&error) && tries < TRIES => {
                    self.forget(path);
                }
                // Other uploads need the descriptors that are left, and these can be opened again.
                Err(Error::Io { error, .. }) if is_short(&error) && tries < TRIES => {
                    self.sync_early(root)?;
                }
                done => {
                    if has_entry(&done) {
                        self.has_changed(Some(path));
                    }
                    return done;
                }
            }
        }
    }

    /// A folder beneath the root, made where it is missing. [`Errno::NOENT`] is somebody's doing
    /// who removes folders meanwhile.
    fn folder(&mut self, root: &Root, path: &str) -> Result<Arc<OwnedFd>, Errno> {
        if let Some(open) = self.open.get(path) {
            return Ok(Arc::clone(&open.folder));
        }
        if !root.durable || self.kept.contains(path) {
            match beneath::open(&root.folder, path, FOLDER) {
                Err(Errno::NOENT) => {}
                opened => return self.keep_open(root, path, opened?),
            }
        }
        let (above, last) = parts(path);
        let above_it = above.map(|above| self.folder(root, above)).transpose()?;
        let above_it: &OwnedFd = above_it.as_deref().unwrap_or(&root.folder);
        match rustix::fs::mkdirat(above_it, last, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(Errno::EXIST) => self.has_changed(above),
            Err(error) => return Err(error),
        }
        let flags = FOLDER | OFlags::NOFOLLOW;
        let folder = rustix::fs::openat(above_it, last, flags, Mode::empty())?;
        self.reached.push(path.into());
        self.keep_open(root, path, folder)
    }

    fn keep_open(
        &mut self,
        root: &Root,
        path: &str,
        folder: OwnedFd,
    ) -> Result<Arc<OwnedFd>, Errno> {
        if self.open.len() >= self.most {
            self.sync_early(root).map_err(|_| Errno::IO)?;
        }
        let folder = Arc::new(folder);
        let open = Open {
            folder: Arc::clone(&folder),
            changed: false,
        };
        self.open.insert(path.into(), open);
        Ok(folder)
    }

    /// Syncs in the middle of a batch, since there are too many folders for one sync at its end.
    fn sync_early(&mut self, root: &Root) -> Result<(), Error> {
        self.sync(root)
            .map_err(|error| Error::from_call("sync a folder", error))
    }

    /// A folder, or the root, has a new entry; or one that may not be on the disk.
    fn has_changed(&mut self, path: Option<&str>) {
        let Some(path) = path else {
            self.root_changed = true;
            return;
        };
        let open = self.open.get_mut(path);
        open.expect("it was opened, and stays so until the next one is")
            .changed = true;
    }

    /// A path, or part of it, doesn't mean the folder any more that it meant.
    fn forget(&mut self, path: &str) {
        let mut way = Some(path);
        while let Some(path) = way {
            self.kept.remove(path);
            self.reached.retain(|reached| **reached != *path);
            if let Some(Open {
                folder,
                changed: true,
            }) = self.open.remove(path)
            {
                self.astray.push(folder);
            }
            way = parts(path).0;
        }
    }
}

/// An error that befell several.
pub(super) fn copy(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(
        || io::Error::new(error.kind(), error.to_string()),
        io::Error::from_raw_os_error,
    )
}

/// Whether a file has got its name, and be it that nobody knows whether it still has it.
fn has_entry(done: &Result<(), Error>) -> bool {
    matches!(done, Ok(()) | Err(Error::Unknown(_)))
}

fn is_missing(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::NOENT)
}

/// Whether no descriptor is left.
fn is_short(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE)
    )
}

#[cfg(test)]
mod tests;
