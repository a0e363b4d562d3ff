//! The work folder, `.piecemeal`: where files are that need a name before they are whole.
//!
//! It is made when it is first needed, and goes when nobody needs it. `*.part` is a file under way,
//! with a name that nobody else has. `ID.upload` and `ID.record` are an upload that can be resumed,
//! under way or abandoned. `*.held` is a stored file that was replaced, until the disk knows (see
//! [`replaced`](super::replaced)). Several servers may share it: each holds a shared lock on it, and
//! an exclusive one on each file of its own that is in it. Those that are held aren't a server's own,
//! and would cost it a descriptor each: they stay as long as anybody uses the folder.
//!
//! **Names linger** on the disk where no journal holds a folder and its files together (see
//! [`journal`](super::journal)): one that was taken away is still there until the folder itself is
//! written, while its file's inode is free at once, and the next to use it may be a folder that
//! somebody's upload goes into. After a power cut that folder has two names. The check lets it keep
//! the one that it meets first, and takes the other away with all that was promised to be there. Seen
//! with real power cuts: `.piecemeal/x.record` led to `b/c`. So where names linger, what they lead to
//! stays open, and its inode in use, until the disk knows that they are gone.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, Stat};
use rustix::io::Errno;
use rustix::path::Arg;

use super::beneath;
use super::record::{RECORD, UPLOAD};
use crate::proto::name::RESERVED;
use crate::store::random_letters;

/// What the name of a file ends in that was replaced.
pub(super) const HELD: &str = ".held";

/// How often, and how long, a work folder that is being taken away is waited for.
const LOCK_TRIES: u32 = 50;
const LOCK_WAIT: Duration = Duration::from_millis(10);

/// Files that a sweep keeps open at most until the disk knows that their names are gone.
const SWEPT_MOST: usize = 16;

/// The work folder, open and in use.
#[derive(Debug)]
pub(super) struct Work {
    folder: OwnedFd,
    names_linger: bool,
    /// Whether a file was moved elsewhere, and the disk may not know yet.
    moved: AtomicBool,
    /// Whether its own sync has failed, or that of a record in it.
    failed: AtomicBool,
}

impl Work {
    /// Makes the work folder where it is missing, and opens it.
    pub(super) fn make(folder: &OwnedFd, names_linger: bool) -> Result<Work, Errno> {
        Ok(Work {
            folder: make(folder)?,
            names_linger,
            moved: AtomicBool::new(false),
            failed: AtomicBool::new(false),
        })
    }

    /// Whether a name that is taken away has to be off the disk before its file is free.
    pub(super) fn names_linger(&self) -> bool {
        self.names_linger
    }

    /// Takes names away, those that are there. Where names linger, their files are free only when
    /// the disk knows.
    ///
    /// # Errors
    /// What the last name that can't be taken away, or else the folder's sync, has failed with.
    pub(super) fn take_away<N: AsRef<str>>(&self, names: &[N]) -> Result<(), Errno> {
        let held: Vec<_> = names.iter().map(|name| self.hold(name.as_ref())).collect();
        let mut done = Ok(());
        for name in names {
            match rustix::fs::unlinkat(&self.folder, name.as_ref(), AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => done = Err(error),
            }
        }
        if held.iter().any(Option::is_some) {
            done = done.and(self.sync());
        }
        done
    }

    /// Moves a file to another name in here, in place of the file that has it. `durably`, its name
    /// survives a power cut.
    pub(super) fn rename(&self, from: &str, to: &str, durably: bool) -> Result<(), Errno> {
        let held = self.hold(to);
        rustix::fs::renameat(&self.folder, from, &self.folder, to)?;
        match durably || held.is_some() {
            true => self.sync(),
            false => Ok(()),
        }
    }

    /// What is called so, open, so that it isn't freed. `None` where there is no need.
    fn hold(&self, name: &str) -> Option<OwnedFd> {
        let hold = || hold(&self.folder, name);
        self.names_linger.then(hold).flatten()
    }

    /// A file that was in here has its name elsewhere now.
    pub(super) fn has_moved(&self) {
        self.moved.store(true, Ordering::Relaxed);
    }

    /// Where names linger, makes the disk know of what was moved: whoever has such a file by then may
    /// remove it.
    ///
    /// # Errors
    /// Where it fails, and where any sync of this folder has: one that nobody waited for may have been
    /// of these moves too.
    pub(super) fn sync_moves(&self) -> Result<(), Errno> {
        match self.names_linger && self.moved.load(Ordering::Relaxed) {
            _ if self.has_failed() => Err(Errno::IO),
            true => self.sync(),
            false => Ok(()),
        }
    }

    fn sync(&self) -> Result<(), Errno> {
        // Before it: what is moved meanwhile may come too late for it.
        self.moved.store(false, Ordering::Relaxed);
        beneath::sync(&self.folder).map_err(|error| {
            self.set_failed();
            Errno::from_io_error(&error).unwrap_or(Errno::IO)
        })
    }

    /// Whether it could once not be synced, also where nobody waited for that.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// It, or a record in it, could not be synced.
    pub(super) fn set_failed(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    /// Takes the work folder away where it is empty and nobody else uses it.
    pub(super) fn remove(&self, folder: &OwnedFd) {
        let alone = rustix::fs::flock(&self.folder, FlockOperation::NonBlockingLockExclusive);
        let remove = |()| rustix::fs::unlinkat(folder, RESERVED, AtFlags::REMOVEDIR);
        if alone.and_then(remove).is_ok() && self.names_linger {
            // Where that fails, nothing is promised any more that could be lost by it.
            let _ = beneath::sync(folder);
        }
    }
}

impl AsFd for Work {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }
}

/// Makes and opens the work folder. A shared lock on it says that it is in use, so that
/// another server doesn't take it away.
fn make(folder: &OwnedFd) -> Result<OwnedFd, Errno> {
    make_waiting(folder, || std::thread::sleep(LOCK_WAIT))
}

/// The same; `wait` is called whenever somebody else is just taking it away.
fn make_waiting(folder: &OwnedFd, mut wait: impl FnMut()) -> Result<OwnedFd, Errno> {
    let mut tries = 0;
    loop {
        match rustix::fs::mkdirat(folder, RESERVED, Mode::from_raw_mode(0o700)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
        let work = match open(folder) {
            Err(Errno::NOENT) => continue,
            work => work?,
        };
        match is_in_use(&work) {
            Ok(true) => return Ok(work),
            Ok(false) => {}
            // A server that goes holds it for a moment; nobody holds it for long.
            Err(Errno::WOULDBLOCK) if tries < LOCK_TRIES => {
                tries += 1;
                wait();
            }
            Err(error) => return Err(error),
        }
    }
}

/// Says that an open work folder is in use. `false` where it was taken away before.
fn is_in_use(work: &OwnedFd) -> Result<bool, Errno> {
    rustix::fs::flock(work, FlockOperation::NonBlockingLockShared)?;
    Ok(rustix::fs::fstat(work)?.st_nlink > 0)
}

/// When the work folder is swept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sweep {
    /// At the start: what a killed server left goes, but for what can be resumed.
    Start,
    /// Later: only what was abandoned goes.
    Running,
}

/// Removes what nobody needs from the work folder. A file that is locked belongs to a server that
/// runs. Uploads that can be resumed are kept until they were not changed for `ttl`; without it,
/// they aren't kept. Where names linger, `lingering` is called if the work folder can't be synced.
pub(super) fn sweep(
    folder: &OwnedFd,
    when: Sweep,
    ttl: Option<Duration>,
    lingering: Option<&dyn Fn()>,
) -> io::Result<()> {
    let work = match open(folder) {
        Ok(work) => work,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let mut held = Swept {
        files: Vec::new(),
        folder: lingering.map(|lost| (&work, lost)),
    };
    for entry in rustix::fs::Dir::read_from(&work)? {
        sweep_one(&work, entry?.file_name(), (when, ttl), &mut held)?;
    }
    held.let_go()
}

fn sweep_one(
    work: &OwnedFd,
    name: &CStr,
    (when, ttl): (Sweep, Option<Duration>),
    held: &mut Swept<'_>,
) -> io::Result<()> {
    let bytes = name.to_bytes();
    let is_upload = bytes.ends_with(UPLOAD.as_bytes());
    let is_record = bytes.ends_with(RECORD.as_bytes());
    if bytes.starts_with(b".") || when == Sweep::Running && !is_upload && !is_record {
        return Ok(());
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(work, name, flags, Mode::empty()) {
        // Another server has just finished it.
        Err(Errno::NOENT) => return Ok(()),
        // A link, or a socket. None was made here.
        Err(Errno::LOOP | Errno::NXIO | Errno::MLINK) => return Ok(unlink(work, name)?),
        // It was complete, and has the permissions that its sender chose. If its server is dead,
        // nobody can go on with it.
        Err(Errno::ACCESS) if when == Sweep::Start && !others_use(work) => {
            return take_away(work, name, held);
        }
        Err(Errno::ACCESS) => return Ok(()),
        file => File::from(file?),
    };
    if bytes.ends_with(HELD.as_bytes()) && others_use(work) {
        return Ok(());
    }
    // It goes with its upload, before that, and is removed alone only where it has none. That is
    // a power cut's doing, or another server's that is just removing both.
    if is_record && has_upload(work, bytes) {
        return Ok(());
    }
    let is_useless = match (is_upload, is_record) {
        (true, _) => has_another_name(&file)?,
        (_, true) => when == Sweep::Start,
        _ => true,
    };
    if !is_useless && !is_old(work, &file, record_of(bytes), ttl)? {
        return Ok(());
    }
    if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
        take_away(work, name, held)?;
    }
    Ok(())
}

/// Takes a work file's name away, and that of its record before, if it may have one.
fn take_away(work: &OwnedFd, name: &CStr, held: &mut Swept<'_>) -> io::Result<()> {
    if let Some(record) = record_of(name.to_bytes()) {
        held.add(&*record)?;
        unlink(work, record)?;
    }
    held.add(name)?;
    unlink(work, name)?;
    Ok(())
}

/// Where names linger, the files whose names a sweep takes away.
struct Swept<'a> {
    files: Vec<OwnedFd>,
    /// The work folder, and who is to hear of it if that can't be synced.
    folder: Option<(&'a OwnedFd, &'a dyn Fn())>,
}

impl Swept<'_> {
    /// Keeps what is called so from being freed.
    fn add(&mut self, name: impl Arg) -> io::Result<()> {
        let Some((folder, _)) = self.folder else {
            return Ok(());
        };
        if self.files.len() >= SWEPT_MOST {
            self.let_go()?;
        }
        self.files.extend(hold(folder, name));
        Ok(())
    }

    /// Lets them be freed, once the disk knows.
    fn let_go(&mut self) -> io::Result<()> {
        if let (Some((folder, lost)), false) = (self.folder, self.files.is_empty()) {
            beneath::sync(folder).inspect_err(|_| lost())?;
        }
        self.files.clear();
        Ok(())
    }
}

/// Opens what has a name, whatever it is, only for it to be open.
fn hold(folder: &OwnedFd, name: impl Arg) -> Option<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(folder, name, flags, Mode::empty()).ok()
}

/// A folder is left alone: none was made here, but a power cut can leave a name that leads to one.
fn unlink(work: &OwnedFd, name: impl Arg) -> Result<(), Errno> {
    match rustix::fs::unlinkat(work, name, AtFlags::empty()) {
        Err(Errno::NOENT | Errno::ISDIR) => Ok(()),
        removed => removed,
    }
}

/// Whether anybody else uses the work folder.
fn others_use(work: &OwnedFd) -> bool {
    let alone = rustix::fs::flock(work, FlockOperation::NonBlockingLockExclusive);
    // Who comes from now on has nothing in it that is there already.
    let unlocked = alone.and_then(|()| rustix::fs::flock(work, FlockOperation::Unlock));
    unlocked.is_err()
}

/// Whether a file was not changed for `ttl`, or need not be kept at all; and its record, if it has
/// one: the file may have its sender's time already, which can be any.
fn is_old(
    work: &OwnedFd,
    file: &File,
    record: Option<Vec<u8>>,
    ttl: Option<Duration>,
) -> io::Result<bool> {
    let Some(ttl) = ttl else { return Ok(true) };
    let stat = |name: Vec<u8>| rustix::fs::statat(work, name, AtFlags::SYMLINK_NOFOLLOW).ok();
    let of_record = record
        .and_then(stat)
        .map_or(Duration::MAX, |facts| age(&facts));
    Ok(age(&rustix::fs::fstat(file)?).min(of_record) >= ttl)
}

/// How long ago a file was changed. A time in the future is its sender's; that of its inode is nobody's.
fn age(facts: &Stat) -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.unwrap_or_default();
    // What is before 1970 was long ago.
    let since =
        |seconds: i64| now.checked_sub(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
    since(facts.st_mtime)
        .or_else(|| since(facts.st_ctime))
        .unwrap_or_default()
}

/// Whether a file has a name elsewhere. A power cut can leave both where a file system without a
/// journal was moving it to the name that its client chose: it was stored, and nobody goes on with
/// it.
fn has_another_name(file: &File) -> io::Result<bool> {
    Ok(rustix::fs::fstat(file)?.st_nlink > 1)
}

fn has_upload(work: &OwnedFd, record: &[u8]) -> bool {
    let upload = other_name(record, RECORD, UPLOAD);
    rustix::fs::statat(work, upload, AtFlags::SYMLINK_NOFOLLOW).is_ok()
}

/// What the record of an upload is called, where that is one.
fn record_of(name: &[u8]) -> Option<Vec<u8>> {
    name.ends_with(UPLOAD.as_bytes())
        .then(|| other_name(name, UPLOAD, RECORD))
}

/// A name with another ending.
fn other_name(name: &[u8], ending: &str, other: &str) -> Vec<u8> {
    let stem = name.strip_suffix(ending.as_bytes()).unwrap_or(name);
    [stem, other.as_bytes()].concat()
}

/// A name for a file in the work folder.
pub(super) fn part_name() -> String {
    format!("{}.part", random_letters(16))
}

/// A name for one that is replaced.
pub(super) fn held_name() -> String {
    format!("{}{HELD}", random_letters(16))
}

fn open(folder: &OwnedFd) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(folder, RESERVED, flags, Mode::empty())
}

#[cfg(test)]
mod tests;
