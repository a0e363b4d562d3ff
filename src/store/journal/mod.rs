//! The journal: a file with a line for each file that was stored.
//!
//! A line is written and synced before its OK is sent, so that whoever has an OK is in the
//! journal. The other way round there is no such promise: a server that is killed between a file's
//! name and its line leaves a file that nobody was told of; its sender asks again, and then gets
//! both.
//!
//! ```text
//!   make_room    before any file of a batch gets its name: the file system reserves the blocks
//!                that their lines can need; where it has none, the batch is refused
//!   (names, and the sync of their folder)
//!   append       the lines of those that got a name, in one write, and one sync
//! ```
//!
//! So a full disk shows while an upload can still be refused. An append that fails all the same
//! (a disk that dies, a file system that can't reserve) makes the batch's answer `unknown`, and
//! nothing is stored any more until the journal was opened anew.
//!
//! Several stores may share a journal. It never knows what they do with files. (The journal that
//! a *file system* keeps is the business of `folder/journal.rs`.)

pub mod entry;
mod file;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::proto::{Digest, Receipt};
pub use entry::Entry;
pub use file::end_last_line;

/// Files whose lines are remembered, so that one that is sent again gets no second line. When
/// there are more, all are forgotten, and a second line does no harm.
const REMEMBERED: usize = 4096;

/// A file that lines are appended to. To be shared.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    state: Mutex<State>,
    /// Held while the lines are synced. The kernel tells of lost lines once, whoever asks: the
    /// others are to find the journal failed.
    syncing: Mutex<()>,
    /// Whether a line could not be written, so that nothing may be stored.
    failed: AtomicBool,
}

#[derive(Debug)]
struct State {
    file: Arc<File>,
    reserved: file::Reserved,
    /// Bytes that were promised and not yet used.
    promised: u64,
    recent: HashSet<(String, [u8; 32])>,
    /// Up to where the file is known to be as it was written. What stands behind was promised to
    /// nobody.
    whole: u64,
    /// How often lines were lost. Who appended before a loss can't know that it isn't theirs.
    losses: u32,
}

/// Lines that stand in the file, and may be lost yet.
#[derive(Debug)]
struct Appended {
    file: Arc<File>,
    /// Where they end.
    end: u64,
    /// How often lines were lost before.
    losses: u32,
}

/// That the journal can be written to again.
#[derive(Debug)]
struct Reopened {
    /// Why lost lines could not be cut off a file that was renamed. They may be zeros by now.
    uncut: Option<io::Error>,
}

/// Room for a batch's lines. What isn't used when it is dropped is given back.
#[derive(Debug)]
pub(super) struct Room<'a> {
    journal: &'a Journal,
    bytes: u64,
}

impl State {
    /// Up to these lines the file is as it was written, unless it was opened anew meanwhile.
    fn is_whole(&mut self, appended: &Appended) {
        if Arc::ptr_eq(&self.file, &appended.file) {
            self.whole = self.whole.max(appended.end);
        }
    }
}

impl Journal {
    /// Opens a journal, and makes it where it is missing. A last line that a crash has cut off
    /// gets its end, so that the next one stands alone.
    ///
    /// # Errors
    /// Where it can't be opened, is no plain file, or is another server's; the error names it.
    pub fn open(path: &Path) -> io::Result<Arc<Journal>> {
        let (file, whole) = file::open(path)?;
        Ok(Arc::new(Journal {
            path: path.to_owned(),
            state: Mutex::new(State {
                file: Arc::new(file),
                reserved: file::Reserved::default(),
                promised: 0,
                recent: HashSet::new(),
                whole,
                losses: 0,
            }),
            syncing: Mutex::default(),
            failed: AtomicBool::new(false),
        }))
    }

    /// Opens the path anew, on a thread of its own: after the file was renamed, the lines that
    /// follow go to a new one. Where that fails, the old one stays and the log says why. Lines that
    /// were lost are cut off first: the kernel may show them, and not have them on the disk.
    pub fn reopen_soon(self: &Arc<Journal>) {
        let journal = Arc::clone(self);
        let run = move || match journal.reopen() {
            Ok(Reopened { uncut }) => {
                if let Some(error) = uncut {
                    log::warn!("the old journal ends in lines that may be lost: {error}");
                }
                log::info!("the journal was opened anew");
            }
            Err(error) => log::error!("{error}; the old one is written to as before"),
        };
        if let Err(error) = thread::Builder::new().name("journal".into()).spawn(run) {
            log::error!("can't open the journal anew: {error}");
        }
    }

    fn reopen(&self) -> io::Result<Reopened> {
        let alone = self.syncing.lock();
        let _alone = alone.unwrap_or_else(PoisonError::into_inner);
        let mut state = self.lock();
        let uncut = match self.failed.load(Ordering::Acquire) {
            true => file::cut(&state.file, state.whole).err(),
            false => None,
        };
        if file::is_at(&state.file, &self.path) {
            if let Some(error) = uncut {
                return Err(error);
            }
            self.failed.store(false, Ordering::Release);
            return Ok(Reopened { uncut: None });
        }
        let (opened, whole) = file::open(&self.path)?;
        let mut reserved = file::Reserved::default();
        file::reserve(&opened, &mut reserved, state.promised)?;
        file::give_back(&state.file);
        state.file = Arc::new(opened);
        state.reserved = reserved;
        state.whole = whole;
        self.failed.store(false, Ordering::Release);
        Ok(Reopened { uncut })
    }

    /// An error where a line could not be written, so that nothing may be stored.
    pub(super) fn check(&self) -> io::Result<()> {
        if self.failed.load(Ordering::Acquire) {
            let why = "a line could not be written; SIGHUP or a restart opens it anew";
            return Err(io::Error::other(why));
        }
        Ok(())
    }

    /// Makes sure that so many bytes can be appended.
    pub(super) fn make_room(&self, bytes: u64) -> io::Result<Room<'_>> {
        self.check()?;
        let mut state = self.lock();
        let needed = state.promised + bytes;
        let State { file, reserved, .. } = &mut *state;
        file::reserve(file, reserved, needed)?;
        state.promised = needed;
        Ok(Room {
            journal: self,
            bytes,
        })
    }

    /// A line of a file that was there already, unless it was written lately.
    pub(super) fn record_found(&self, receipt: &Receipt, sync: bool) -> io::Result<()> {
        let is_known = key_of(receipt).is_none_or(|key| self.lock().recent.contains(&key));
        if is_known {
            return Ok(());
        }
        let mut line = String::new();
        let entry = Entry {
            found: true,
            ..Entry::of(receipt)
        };
        entry.write(&mut line);
        let room = self.make_room(line.len() as u64)?;
        room.append(&line, [receipt], sync)
    }

    /// Appends lines. Those that nobody syncs are as safe as they get by that.
    fn write(&self, lines: &str, will_sync: bool) -> io::Result<Appended> {
        let mut state = self.lock();
        // There was room, and others may have lost lines since. Behind those none is safe: the
        // kernel tells of them once, and then calls all of the file synced.
        self.check()?;
        let State { file, reserved, .. } = &mut *state;
        let end = match file::append(file, reserved, lines.as_bytes()) {
            Ok(end) => end,
            Err(error) => {
                self.fail(&mut state, &error);
                return Err(error);
            }
        };
        let appended = Appended {
            file: Arc::clone(&state.file),
            end,
            losses: state.losses,
        };
        if !will_sync {
            state.is_whole(&appended);
        }
        Ok(appended)
    }

    /// Makes what was appended survive a power cut. Others may append meanwhile; their sync covers
    /// them.
    fn sync(&self, appended: &Appended) -> io::Result<()> {
        let alone = self.syncing.lock();
        let _alone = alone.unwrap_or_else(PoisonError::into_inner);
        if self.lock().losses != appended.losses {
            // It may be in use again by now, without this line.
            return Err(io::Error::other("the line was lost with others"));
        }
        appended
            .file
            .sync_data()
            .inspect_err(|error| self.fail(&mut self.lock(), error))?;
        // Before anybody can open it anew, who would cut these lines off.
        self.lock().is_whole(appended);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // What it guards is whole whatever its last user died of.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, state: &mut State, error: &io::Error) {
        state.losses += 1;
        self.failed.store(true, Ordering::Release);
        log::error!(
            "the journal can't be written: {error}; nothing is stored until SIGHUP or a restart"
        );
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        file::give_back(&self.lock().file);
    }
}

impl Room<'_> {
    /// Appends lines, those of these receipts, and makes them survive a power cut if asked to.
    /// After an error the journal takes nothing any more.
    pub(super) fn append<'r>(
        self,
        lines: &str,
        receipts: impl IntoIterator<Item = &'r Receipt>,
        sync: bool,
    ) -> io::Result<()> {
        debug_assert!(lines.len() as u64 <= self.bytes, "room was made for less");
        let journal = self.journal;
        let appended = journal.write(lines, sync)?;
        if sync {
            journal.sync(&appended)?;
        }
        let mut state = journal.lock();
        if state.recent.len() >= REMEMBERED {
            state.recent.clear();
        }
        state.recent.extend(receipts.into_iter().filter_map(key_of));
        drop(state);
        Ok(())
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.journal.lock().promised -= self.bytes;
    }
}

/// What a file is known by: only one with a digest can be told to be the same.
fn key_of(receipt: &Receipt) -> Option<(String, [u8; 32])> {
    let Digest(digest) = receipt.digest?;
    Some((receipt.name.clone(), digest))
}
