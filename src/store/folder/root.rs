//! The folder itself: every name is resolved beneath its one open descriptor, and no string is
//! ever joined to a path.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::replaced::Replaced;
use super::space::{Reservation, Space};
use super::syncing::Syncing;
use super::unfinished::{Partial, Unfinished};
use super::work::{Sweep, Work};
use super::{Durability, beneath, journal, record, work};
use crate::store::error::at_path;
use crate::store::place::move_to_free_name;
use crate::store::{Error, Journal, make_folders};

/// Which kind of unfinished files to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    /// Nameless ones where the file system has them: a crash leaves nothing behind.
    Best,
    /// Partial ones with names of their own, as where there is nothing better.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the tests go both ways on one system")
    )]
    Partial,
}

/// An open folder.
#[derive(Debug)]
pub(super) struct Root {
    /// The folder itself.
    pub(super) folder: OwnedFd,
    /// The folder `.piecemeal` in it, once it was needed.
    work: OnceLock<Arc<Work>>,
    /// Whether names that are taken away stay on the disk for a while: see [`work`].
    pub(super) names_linger: bool,
    nameless: bool,
    pub(super) syncing: Syncing,
    pub(super) durable: bool,
    /// What the folder may take up, if that is limited.
    space: OnceLock<Arc<Space>>,
    /// What was replaced and waits for the sync of a folder.
    pub(super) replaced: Replaced,
    closing: AtomicBool,
    /// Where each stored file gets a line, if anywhere.
    pub(super) record: OnceLock<Arc<Journal>>,
}

impl Root {
    /// Opens a folder, making it where it is missing, and finds out what its file system can do.
    /// Uploads that were abandoned for longer than `ttl` are removed.
    pub(super) fn open(
        path: &Path,
        durability: Durability,
        naming: Naming,
        ttl: Option<Duration>,
    ) -> io::Result<Root> {
        Root::open_on(path, durability, naming, ttl, journal::keeps_links)
    }

    /// The same, with what says whether its file system keeps the links of folders that are synced.
    pub(super) fn open_on(
        path: &Path,
        durability: Durability,
        naming: Naming,
        ttl: Option<Duration>,
        keeps_links: impl Fn(&OwnedFd) -> bool,
    ) -> io::Result<Root> {
        make_folders(path)?;
        // Read now and remembered: later it may be out of reach.
        record::boot();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|error| at_path("open the folder", path, error))?;
        let durable = durability == Durability::Full;
        let names_linger = durable && !keeps_links(&folder);
        let mut root = Root {
            folder,
            work: OnceLock::new(),
            names_linger,
            nameless: false,
            syncing: Syncing::default(),
            durable,
            space: OnceLock::new(),
            replaced: Replaced::default(),
            closing: AtomicBool::new(false),
            record: OnceLock::new(),
        };
        // Who can't sync it doesn't start.
        let lingering = names_linger.then_some(&(|| ()) as &dyn Fn());
        work::sweep(&root.folder, Sweep::Start, ttl, lingering)
            .map_err(|error| at_path("clean up the folder", path, error))?;
        root.nameless = naming == Naming::Best && root.can_be_nameless();
        root.syncing = Syncing::of(&root);
        if !root.nameless {
            // Shows now, rather than with the first upload, that the folder can be written to.
            let created = root.create().map_err(io::Error::other);
            drop(created.map_err(|error| at_path("write in the folder", path, error))?);
        }
        Ok(root)
    }

    /// Removes uploads that were abandoned for longer than `ttl`.
    pub(super) fn sweep_partials(&self, ttl: Option<Duration>) -> io::Result<()> {
        let lost = || self.set_folder_failed();
        let lingering = self.names_linger.then_some(&lost as &dyn Fn());
        work::sweep(&self.folder, Sweep::Running, ttl, lingering)
    }

    /// Whether files have no name until they are whole.
    pub(super) fn is_nameless(&self) -> bool {
        self.nameless
    }

    pub(super) fn description(&self) -> &'static str {
        if self.nameless {
            "files have no name until they are whole"
        } else {
            "files are kept in .piecemeal/ until they are whole"
        }
    }

    /// Whether the store is being dropped, so that nobody wants to know any more what is there.
    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    pub(super) fn set_closing(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// Limits what the folder may take up.
    pub(super) fn limit(&self, space: Arc<Space>) {
        if self.space.set(space).is_err() {
            log::error!("a folder keeps the limits that it was first given");
        }
    }

    /// Reserves space for an upload, as far as its size is known, where space is limited.
    pub(super) fn reserve(&self, size: Option<u64>) -> Result<Option<Reservation>, Error> {
        let space = self.space.get();
        space
            .map(|space| space.reserve(size.unwrap_or(0)))
            .transpose()
    }

    /// The same for an upload of which some bytes rest in the work folder.
    pub(super) fn resume(
        &self,
        resting: u64,
        size: Option<u64>,
    ) -> Result<Option<Reservation>, Error> {
        let space = self.space.get();
        space
            .map(|space| space.resume(resting, size.unwrap_or(resting)))
            .transpose()
    }

    /// A file of so many bytes that was counted is gone.
    pub(super) fn is_freed(&self, size: u64) {
        if let Some(space) = self.space.get() {
            space.is_freed(size);
        }
    }

    /// Makes a file that nobody sees.
    pub(super) fn create(&self) -> Result<Unfinished, Error> {
        self.create_with(0o666)
    }

    /// The same, with these permissions, as far as the umask leaves them.
    pub(super) fn create_with(&self, permissions: u32) -> Result<Unfinished, Error> {
        let access = OFlags::RDWR | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(permissions);
        if self.nameless {
            // Never with O_EXCL, which would forbid the link.
            let file = rustix::fs::openat(&self.folder, ".", access | OFlags::TMPFILE, mode)
                .map_err(|error| Error::from_call("create a file", error))?;
            return Ok(Unfinished::new(file.into(), None));
        }
        let (work, name) = (self.shared_work()?, work::part_name());
        let file: File =
            rustix::fs::openat(&work, &name, access | OFlags::CREATE | OFlags::EXCL, mode)
                .map_err(|error| Error::from_call("create a file", error))?
                .into();
        let unfinished = Unfinished::new(
            file,
            Some(Partial {
                work,
                name,
                facts: None,
            }),
        );
        // Another server's sweep may be here before the lock, or have been.
        match unfinished.is_mine()? {
            true => Ok(unfinished),
            false => self.create_with(permissions),
        }
    }

    /// Gives a file its name in a folder, unless that is taken.
    pub(super) fn place(
        &self,
        unfinished: &Unfinished,
        folder: &OwnedFd,
        name: &str,
    ) -> Result<(), Error> {
        let mut partial = unfinished.partial();
        let _naming = self.space.get().map(|space| space.naming());
        let placed = match &*partial {
            None => self.link_nameless(&unfinished.file, folder, name),
            Some(Partial {
                work, name: hidden, ..
            }) => {
                unfinished.expect_link()?;
                move_to_free_name((&**work, hidden), (folder, name))
            }
        };
        match placed {
            Ok(()) => has_name(unfinished, &mut partial, (folder, name))?,
            Err(Errno::EXIST) => return Err(Error::Exists),
            Err(error) => return Err(Error::from_call("give a file its name", error)),
        }
        Ok(())
    }

    /// Gives a file its name in a folder, in place of whatever file has it.
    pub(super) fn replace(
        &self,
        unfinished: &Unfinished,
        folder: &OwnedFd,
        name: &str,
    ) -> Result<(), Error> {
        match self.place(unfinished, folder, name) {
            Err(Error::Exists) => {}
            placed => return placed,
        }
        let mut partial = unfinished.partial();
        if partial.is_none() {
            // A link can't replace, so the file first gets a name that nobody sees.
            let hidden = Partial {
                work: self.shared_work()?,
                name: work::part_name(),
                facts: None,
            };
            unfinished.lock()?;
            self.link_nameless(&unfinished.file, &hidden.work, &hidden.name)
                .map_err(|error| Error::from_call("give a file a name in .piecemeal", error))?;
            *partial = Some(hidden);
        }
        // Its link is on the disk before the name leads to it.
        let synced = self.sync_link(unfinished);
        synced.map_err(|error| Error::from_call("sync a file", error))?;
        let _naming = self.space.get().map(|space| space.naming());
        if let Some(hidden) = &*partial {
            self.move_over(unfinished, hidden, (folder, name))?;
        }
        has_name(unfinished, &mut partial, (folder, name))
    }

    /// Moves a partial to a name, in place of whatever file has it.
    pub(super) fn move_over(
        &self,
        unfinished: &Unfinished,
        hidden: &Partial,
        (folder, name): (&OwnedFd, &str),
    ) -> Result<(), Error> {
        unfinished.expect_link()?;
        let held = self.keep_replaced(folder, name)?;
        let freed = match (&held, self.space.get()) {
            (None, Some(_)) => plain_size_of(folder, name),
            _ => None,
        };
        if let Err(error) = rustix::fs::renameat(&hidden.work, &hidden.name, folder, name) {
            if let Some(held) = held {
                held.remove();
            }
            return Err(match error {
                // A folder has the name: that is nothing to overwrite.
                Errno::ISDIR | Errno::NOTDIR | Errno::NOTEMPTY | Errno::EXIST => Error::Exists,
                error => Error::from_call("replace a file", error),
            });
        }
        if let Some(held) = held {
            self.replaced.hold(held);
        }
        if let Some(size) = freed {
            self.is_freed(size);
        }
        Ok(())
    }

    /// The size of what has a name, if anything has. What is no plain file has size 0 here, and
    /// is compared with nothing.
    pub(super) fn size_of(&self, name: &str) -> Result<Option<u64>, Error> {
        let stat = match beneath::parts(name) {
            (None, file) => rustix::fs::statat(&self.folder, file, AtFlags::SYMLINK_NOFOLLOW),
            // A stat would follow links among the folders.
            (Some(_), _) => beneath::open(&self.folder, name, OFlags::PATH)
                .and_then(|found| rustix::fs::fstat(&found)),
        };
        match stat {
            Ok(stat) => Ok(Some(u64::try_from(stat.st_size).unwrap_or(0))),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::NOTDIR | Errno::LOOP) => Err(Error::NotFolder),
            Err(error) => Err(Error::from_call("look for a file", error)),
        }
    }

    /// Opens a plain file that is there. `None` for anything else that has the name.
    pub(super) fn open_file(&self, name: &str) -> Result<Option<File>, Error> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let file = match beneath::open(&self.folder, name, flags) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO | Errno::ACCESS) => {
                return Ok(None);
            }
            Err(error) => return Err(Error::from_call("open a file", error)),
        };
        // One that can't be looked at may be the very file that is asked for.
        let facts = file.metadata();
        let facts = facts.map_err(|error| Error::from_call("look at a file", error))?;
        Ok(facts.is_file().then_some(file))
    }

    fn link_nameless(&self, file: &File, folder: impl AsFd, name: &str) -> Result<(), Errno> {
        // Linking by descriptor alone needs a right that a server should not have before Linux
        // 6.10; the way through /proc needs none.
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        rustix::fs::linkat(CWD, path, folder, name, AtFlags::SYMLINK_FOLLOW)
    }

    /// Whether a nameless file can be made here and given a name: tried, not guessed.
    fn can_be_nameless(&self) -> bool {
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::TMPFILE;
        let mode = Mode::from_raw_mode(0o600);
        let Ok(file) = rustix::fs::openat(&self.folder, ".", flags, mode) else {
            return false;
        };
        let Ok(work) = Work::make(&self.folder, self.names_linger) else {
            return false;
        };
        let name = work::part_name();
        let linked = self.link_nameless(&File::from(file), &work, &name).is_ok();
        let _ = work.take_away(&[name]);
        work.remove(&self.folder);
        linked
    }

    /// The work folder; made when it is first needed.
    fn work(&self) -> Result<&Arc<Work>, Errno> {
        if let Some(work) = self.work.get() {
            return Ok(work);
        }
        let work = Work::make(&self.folder, self.names_linger)?;
        Ok(self.work.get_or_init(|| Arc::new(work)))
    }

    pub(super) fn shared_work(&self) -> Result<Arc<Work>, Error> {
        self.work()
            .cloned()
            .map_err(|error| Error::from_call("open .piecemeal", error))
    }

    /// Whether the work folder could once not be synced.
    pub(super) fn has_failed_in_work(&self) -> bool {
        self.work.get().is_some_and(|work| work.has_failed())
    }

    /// Makes the disk know of what was moved out of the work folder, where that matters.
    pub(super) fn sync_moves(&self) -> io::Result<()> {
        let synced = self.work.get().map_or(Ok(()), |work| work.sync_moves());
        Ok(synced.inspect_err(|_| self.set_failed())?)
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        if let Some(work) = self.work.get() {
            work.remove(&self.folder);
        }
    }
}

/// A file has got its name, so its other one is gone. What was moved by that is only as sure to be
/// this file as nobody else has been at work in `.piecemeal`, so it is looked at. What is seen then,
/// or can't be, takes nothing back: [`Error::Unknown`].
fn has_name(
    unfinished: &Unfinished,
    partial: &mut Option<Partial>,
    (folder, name): (&OwnedFd, &str),
) -> Result<(), Error> {
    unfinished.becomes_stored();
    let Some(partial) = partial.take() else {
        return Ok(());
    };
    partial.has_moved();
    let seen = unfinished.expect_at(folder, name);
    seen.map_err(Error::Unknown)
}

/// The size of a plain file, if one has the name in a folder: what counts against a quota.
pub(super) fn plain_size_of(folder: &OwnedFd, name: &str) -> Option<u64> {
    let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    let is_plain = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    is_plain.then(|| u64::try_from(stat.st_size).unwrap_or(0))
}
