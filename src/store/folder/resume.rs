//! Opening uploads that can be resumed, on a thread of its own: it takes system calls that may
//! wait for the disk, and a lock that may have to be waited for.
//!
//! A partial is trusted as far as its record says, see [`record`](super::record). Anything that
//! looks wrong is thrown away, and the upload begins at 0: that costs its client time, and nobody
//! a wrong file. What is offered was synced before.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::keep::put_away;
use super::look::Look;
use super::record::{self, Facts, State};
use super::reports::Reports;
use super::root::Root;
use super::unfinished::{Partial, Unfinished};
use super::upload::RESERVE_FROM;
use super::work::{self, Work};
use crate::proto::Digest;
use crate::store::{Done, Error, Key, OTHER_NAME, OTHER_SIZE};

/// How often a lock is tried that another connection, or another server, still holds.
const RETRY: Duration = Duration::from_millis(20);
/// How long it is waited for. A connection of this process lets go at once, but what it wrote has
/// to be synced first; another server's may hold it for hours.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);
/// How often the partial is opened anew, because it was replaced between two calls.
const TRIES: u32 = 100;
/// Old partials are looked for so many times in their lifetime, within these bounds.
const SWEEPS: u32 = 8;
const SWEEP_PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(600));

/// An upload that is to be opened.
#[derive(Debug)]
pub(super) struct Resume {
    pub(super) facts: Facts,
    /// Its digest, where that was announced.
    pub(super) digest: Option<Digest>,
    pub(super) key: Key,
    /// Where the upload waits for its file. Gone, nobody wants it any more.
    pub(super) opened: Weak<OnceLock<Opened>>,
    /// Since when its lock is waited for.
    pub(super) waits_since: Option<Instant>,
}

/// An upload's file, open and locked, at the offset that it goes on from.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) unfinished: Arc<Unfinished>,
    pub(super) offset: u64,
}

/// How one try went.
enum Tried {
    Opened(Opened),
    /// Somebody else holds it.
    Held,
    /// It was waited for, and has got its name meanwhile, or was thrown away.
    Gone,
}

/// The thread's own things.
struct Opener {
    root: Arc<Root>,
    looks: Sender<Look>,
    reports: Reports,
    /// Those who wait for a lock.
    waiting: Vec<Resume>,
}

/// Starts the thread. It also sweeps partials that were abandoned for longer than `ttl`.
pub(super) fn start(
    root: Arc<Root>,
    ttl: Option<Duration>,
    resumes: Receiver<Resume>,
    looks: Sender<Look>,
    reports: Reports,
) -> io::Result<JoinHandle<()>> {
    let mut opener = Opener {
        root,
        looks,
        reports,
        waiting: Vec::new(),
    };
    let run = move || opener.run(ttl, &resumes);
    thread::Builder::new().name("resume".into()).spawn(run)
}

impl Opener {
    fn run(&mut self, ttl: Option<Duration>, resumes: &Receiver<Resume>) {
        let (least, most) = SWEEP_PAUSE;
        let pause = ttl.map_or(most, |ttl| (ttl / SWEEPS).clamp(least, most));
        let (mut sweep_at, mut retry_at) = (Instant::now() + pause, Instant::now());
        loop {
            let until = match self.waiting.is_empty() {
                true => sweep_at,
                false => retry_at.min(sweep_at),
            };
            match resumes.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(resume) => self.open(resume),
                Err(RecvTimeoutError::Timeout) => {}
                // The store is gone, and so are those who wait.
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let now = Instant::now();
            if retry_at <= now {
                for resume in std::mem::take(&mut self.waiting) {
                    self.open(resume);
                }
                retry_at = now + RETRY;
            }
            if sweep_at <= now {
                if let Err(error) = self.root.sweep_partials(ttl) {
                    log::warn!("can't sweep .piecemeal: {error}");
                }
                sweep_at = now + pause;
            }
        }
    }

    /// Opens an upload and tells; or lets it wait.
    fn open(&mut self, mut resume: Resume) {
        if resume.opened.strong_count() == 0 {
            return;
        }
        let tried = match try_open(&self.root, &resume) {
            Err(error @ Error::Io { .. }) => plain(&self.root, resume.facts.size, error),
            tried => tried,
        };
        let resumed = match tried {
            Ok(Tried::Opened(opened)) => {
                let offset = opened.offset;
                hand_over(&self.root, &resume.opened, opened);
                Ok(offset)
            }
            Ok(Tried::Gone) => return self.look(&resume),
            Ok(Tried::Held) => {
                let since = *resume.waits_since.get_or_insert_with(Instant::now);
                if since.elapsed() < PATIENCE {
                    return self.waiting.push(resume);
                }
                Err(Error::Held)
            }
            Err(error) => Err(error),
        };
        self.reports.send([Done::Resumed(resume.key, resumed)]);
    }

    /// What was waited for is gone. Was it stored, then it is what this client wants to send: it
    /// has the announced name and digest now.
    fn look(&self, resume: &Resume) {
        let Some(digest) = resume.digest else {
            return self.reports.send([Done::Looked(resume.key, Ok(None))]);
        };
        // The other thread ends after this one.
        let _ = self.looks.send(Look {
            name: resume.facts.name.clone(),
            digest,
            key: resume.key,
        });
    }
}

/// An upload that begins at 0 and is not kept, where there can be no partials: a file system without
/// locks, or a work folder that is somebody else's.
fn plain(root: &Root, size: Option<u64>, error: Error) -> Result<Tried, Error> {
    if root.has_failed() {
        return Err(error);
    }
    log::warn!("an upload can't be kept to be resumed: {error}");
    let reservation = root.reserve(size)?;
    Ok(Tried::Opened(Opened {
        unfinished: Arc::new(root.create()?.with_reservation(reservation)),
        offset: 0,
    }))
}

/// Gives the file to the upload that waits for it, if that is still there.
fn hand_over(root: &Root, waits: &Weak<OnceLock<Opened>>, opened: Opened) {
    match waits.upgrade() {
        Some(place) => put_into(root, place, opened),
        None => put_away(root, &opened.unfinished, opened.offset),
    }
}

/// The same; it may go at this very moment, and leave its file here.
fn put_into(root: &Root, place: Arc<OnceLock<Opened>>, opened: Opened) {
    let filled = place.set(opened);
    debug_assert!(filled.is_ok(), "an upload is opened once");
    if let Some(left) = Arc::into_inner(place).and_then(OnceLock::into_inner) {
        put_away(root, &left.unfinished, left.offset);
    }
}

fn try_open(root: &Root, resume: &Resume) -> Result<Tried, Error> {
    if root.has_failed() {
        return Err(Error::Failed);
    }
    let facts = &resume.facts;
    let work = root.shared_work()?;
    let name = facts.upload_name();
    let mut waited = resume.waits_since.is_some();
    for _ in 0..TRIES {
        let (unfinished, is_new) = match open_or_make(&work, &name, waited) {
            Ok(Some((file, is_new))) => (with_name(file, &work, facts), is_new),
            Ok(None) => return Ok(Tried::Gone),
            // Somebody else was faster, or has taken it away.
            Err(Errno::EXIST | Errno::NOENT) => continue,
            Err(error) => return Err(Error::from_call("open a partial upload", error)),
        };
        if !unfinished.lock()? {
            return Ok(Tried::Held);
        }
        // It may have got its name, or have been swept, before it was locked.
        if !still_has_name(&unfinished.file, &work, &name)? {
            waited = true;
            continue;
        }
        let resting = unfinished.file.metadata().map_or(0, |facts| facts.len());
        let offset = match is_new {
            true => 0,
            false => match trusted(&unfinished.file, &work, facts)? {
                // The one link that it has is this name.
                offset if offset > 0 && still_has_name(&unfinished.file, &work, &name)? => offset,
                // Made anew, since nothing is known of this one: it could be another file's link.
                _ => {
                    unfinished.discard();
                    root.is_freed(resting);
                    continue;
                }
            },
        };
        // Refused, it rests on: there may be room another day.
        let unfinished = match root.resume(resting, facts.size) {
            Ok(reservation) => unfinished.with_reservation(reservation),
            Err(error) => {
                if is_new {
                    unfinished.discard();
                }
                return Err(error);
            }
        };
        let prepared = prepare(root, &unfinished, facts.size, offset);
        return match prepared {
            Ok(()) => Ok(Tried::Opened(Opened {
                unfinished: Arc::new(unfinished),
                offset,
            })),
            Err(error) => {
                put_away(root, &unfinished, offset);
                Err(error)
            }
        };
    }
    Ok(Tried::Held)
}

/// Opens the file of a partial, or makes it, which the answer says. `None` where it isn't there
/// and was, `waited`, expected to be.
fn open_or_make(work: &Work, name: &str, waited: bool) -> Result<Option<(File, bool)>, Errno> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match rustix::fs::openat(work, name, flags, Mode::empty()) {
        Ok(file) => {
            let file = File::from(file);
            if file.metadata().is_ok_and(|facts| facts.is_file()) {
                return Ok(Some((file, false)));
            }
            remove_obstacle(work, name)?;
        }
        Err(Errno::NOENT) if waited => return Ok(None),
        Err(Errno::NOENT) => {}
        // A link, a folder, a socket: nothing that was made here.
        Err(Errno::LOOP | Errno::ISDIR | Errno::NXIO | Errno::MLINK) => {
            remove_obstacle(work, name)?;
        }
        Err(error) => return Err(error),
    }
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let made = rustix::fs::openat(work, name, flags, Mode::from_raw_mode(0o666))?;
    Ok(Some((File::from(made), true)))
}

/// Takes away what has a partial's name and is none. A folder that has something in it is moved
/// out of the way instead.
fn remove_obstacle(work: &Work, name: &str) -> Result<(), Errno> {
    log::warn!(".piecemeal/{name} is no file; it is taken away");
    match work.take_away(&[name]) {
        Ok(()) => Ok(()),
        Err(_) => work.rename(name, &work::part_name(), false),
    }
}

fn with_name(file: File, work: &Arc<Work>, facts: &Facts) -> Unfinished {
    let partial = Partial {
        work: Arc::clone(work),
        name: facts.upload_name(),
        facts: Some(Box::new(facts.clone())),
    };
    Unfinished::new(file, Some(partial))
}

fn still_has_name(file: &File, work: &Work, name: &str) -> Result<bool, Error> {
    let failed = |error| Error::from_call("look at a partial upload", error);
    let open = rustix::fs::fstat(file).map_err(failed)?;
    match rustix::fs::statat(work, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(named) => Ok((open.st_dev, open.st_ino) == (named.st_dev, named.st_ino)),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(failed(error)),
    }
}

/// How many bytes of a partial can be gone on from.
fn trusted(file: &File, work: &Work, facts: &Facts) -> Result<u64, Error> {
    let Some(record) = facts.read(work) else {
        return Ok(0);
    };
    let seen = (file.metadata()).map_err(|error| Error::from_call("look at a file", error))?;
    let is_ours = seen.nlink() == 1 && seen.uid() == rustix::process::geteuid().as_raw();
    let modified = (seen.mtime(), seen.mtime_nsec());
    let offset = match is_ours {
        true => record.trusted(seen.len(), modified, record::boot()),
        false => 0,
    };
    if offset == 0 {
        return Ok(0);
    }
    if record.name != facts.name.as_str() {
        return Err(Error::Differs(OTHER_NAME));
    }
    if record.size != facts.size {
        return Err(Error::Differs(OTHER_SIZE));
    }
    Ok(offset)
}

/// Makes a partial ready to be written from an offset on, with all before it synced.
fn prepare(
    root: &Root,
    unfinished: &Unfinished,
    size: Option<u64>,
    offset: u64,
) -> Result<(), Error> {
    let failed = |doing| move |error: io::Error| Error::from_call(doing, error);
    let mut file = &unfinished.file;
    if offset > 0 {
        // A length that is right is left alone: setting it would change the file's time, and until
        // the new record is there, the old one trusts no file that was changed behind its back.
        let length = file.metadata().map(|facts| facts.len());
        if length.map_err(failed("look at a file"))? != offset {
            file.set_len(offset).map_err(failed("cut a file"))?;
        }
        let synced = file.sync_all().inspect_err(|_| root.set_failed());
        synced.map_err(failed("sync a file"))?;
        // Whose sync of it failed until now has heard of it, and this descriptor doesn't.
        if root.has_failed() {
            return Err(Error::Failed);
        }
        file.seek(SeekFrom::Start(offset))
            .map_err(failed("seek in a file"))?;
    }
    // A new one's may be lost in a power cut: then it begins at 0, which is what it says.
    let recorded = unfinished.write_record(State::open(offset), offset > 0);
    recorded.map_err(failed("write a record"))?;
    // Behind the record: it changes the file's time, as above.
    match size.filter(|size| *size >= RESERVE_FROM) {
        Some(size) => unfinished.reserve(size),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
