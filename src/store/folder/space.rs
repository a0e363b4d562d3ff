//! What a folder may take up: `--quota` and `--min-free`.
//!
//! [`Space`] keeps the ledger: bytes that are stored, and bytes that are reserved for uploads under
//! way. Whatever an upload will take is reserved before it is written, so the sum of both never
//! passes the quota, however many arrive at once. A [`Reservation`] lives in the unfinished file
//! that it is for: it becomes part of what is stored when the file gets a name, and is given back
//! when the file goes without one, whichever way that happens.
//!
//! What others do in the folder isn't seen until it is counted again. That is done by a thread when
//! the quota refuses something, and not again too soon; so whoever makes room is served again
//! within a second or a little more.
//!
//! The ledger is locked for a few additions at a time. The free space of a file system is asked for
//! on the loop's thread, once a second or in 64 MiB while uploads come: a call that only fills in
//! numbers which the kernel has.

mod reservation;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::count;
use crate::store::Error;
pub(super) use reservation::Reservation;

/// The free space is asked for again when it is known for so long, or when so much was admitted.
const LOOK_AFTER: Duration = Duration::from_secs(1);
const LOOK_EACH: u64 = 64 << 20;
/// Shortest time between two counts. Besides, counting takes no more than a tenth of the time.
const COUNT_REST: Duration = Duration::from_secs(1);
const COUNT_SHARE: u32 = 10;
/// How often an operator is told that uploads are refused.
const TELL_REST: Duration = Duration::from_secs(60);

/// What a folder may take up. Shared by all stores of one folder.
#[derive(Debug)]
pub struct Space {
    quota: Option<u64>,
    min_free: Option<u64>,
    folder: OwnedFd,
    ledger: Mutex<Ledger>,
    /// Held while a file gets its name, and until that is counted: only what was counted is given back,
    /// and once.
    naming: Mutex<()>,
    /// Has the folder counted again.
    recount: SyncSender<()>,
}

#[derive(Debug)]
struct Ledger {
    /// Bytes of files that have their names, or wait in the work folder to be resumed.
    stored: u64,
    /// Bytes that uploads under way have or will have.
    reserved: u64,
    /// Those of them that the disk doesn't have yet.
    unwritten: u64,
    /// Whether the folder is being counted, and what was stored since that began: the count may
    /// have missed it.
    counting: bool,
    fresh: u64,
    count_after: Instant,
    /// The free space when it was last asked for, and what has to be taken off it.
    free: u64,
    owed: u64,
    admitted: u64,
    looked: Option<Instant>,
    told: Option<Instant>,
}

impl Space {
    /// The limits of a folder, which is counted now if it has a quota. `None` where there are no
    /// limits.
    pub(super) fn open(
        folder: OwnedFd,
        quota: Option<u64>,
        min_free: Option<u64>,
    ) -> io::Result<Arc<Space>> {
        let began = Instant::now();
        let stored = match quota {
            Some(_) => count::bytes_in(&folder, &mut count::tell_if_long(began))?,
            None => 0,
        };
        let (recount, asked) = sync_channel(1);
        let space = Arc::new(Space {
            quota,
            min_free,
            folder,
            naming: Mutex::default(),
            ledger: Mutex::new(Ledger {
                stored,
                reserved: 0,
                unwritten: 0,
                counting: false,
                fresh: 0,
                count_after: began + rest_after(began.elapsed()),
                free: 0,
                owed: 0,
                admitted: 0,
                looked: None,
                told: None,
            }),
            recount,
        });
        if quota.is_some() {
            let counted = Arc::downgrade(&space);
            let count_when_asked = move |asked: Receiver<()>| {
                while asked.recv().is_ok()
                    && let Some(space) = counted.upgrade()
                {
                    space.count();
                }
            };
            thread::Builder::new()
                .name("count".into())
                .spawn(move || count_when_asked(asked))?;
        }
        Ok(space)
    }

    /// Bytes that are stored, as far as is known, and that are reserved. Without a quota, what was
    /// there before isn't known.
    pub fn used(&self) -> u64 {
        let ledger = self.ledger();
        ledger.stored.saturating_add(ledger.reserved)
    }

    /// Reserves space for an upload, as far as its size is known.
    pub(super) fn reserve(self: &Arc<Space>, bytes: u64) -> Result<Reservation, Error> {
        self.admit(bytes, bytes)?;
        Ok(Reservation {
            space: Arc::clone(self),
            bytes,
            unwritten: bytes,
            allocated: false,
        })
    }

    /// The same for an upload that is gone on with: `resting` bytes of it lie in the work folder,
    /// and count as stored up to now.
    pub(super) fn resume(
        self: &Arc<Space>,
        resting: u64,
        total: u64,
    ) -> Result<Reservation, Error> {
        let more = total.saturating_sub(resting);
        let mut ledger = self.ledger();
        self.admit_to(&mut ledger, more, more)?;
        ledger.reserved = ledger.reserved.saturating_add(resting);
        ledger.frees(resting);
        Ok(Reservation {
            space: Arc::clone(self),
            bytes: resting + more,
            unwritten: more,
            allocated: false,
        })
    }

    /// Takes at least `need` bytes and at most `wish`; returns how many.
    fn admit(&self, need: u64, wish: u64) -> Result<u64, Error> {
        self.admit_to(&mut self.ledger(), need, wish)
    }

    fn admit_to(&self, ledger: &mut Ledger, need: u64, wish: u64) -> Result<u64, Error> {
        let now = Instant::now();
        let mut most = wish;
        if let Some(limit) = self.quota {
            let used = ledger.stored.saturating_add(ledger.reserved);
            match limit.checked_sub(used) {
                Some(left) if left >= need => most = most.min(left),
                _ => {
                    if !ledger.counting && ledger.count_after <= now {
                        ledger.counting = true;
                        ledger.fresh = 0;
                        // The thread lives as long as this, and waits.
                        let _ = self.recount.try_send(());
                    }
                    ledger.tell(now, "the folder has reached its quota");
                    return Err(Error::Quota { limit });
                }
            }
        }
        most = most.min(self.free_for(ledger, need, now)?);
        ledger.reserved = ledger.reserved.saturating_add(most);
        ledger.unwritten = ledger.unwritten.saturating_add(most);
        ledger.owed = ledger.owed.saturating_add(most);
        ledger.admitted = ledger.admitted.saturating_add(most);
        Ok(most)
    }

    /// How many bytes may be written without touching what has to stay free: at least `need`, or
    /// it is an error.
    fn free_for(&self, ledger: &mut Ledger, need: u64, now: Instant) -> Result<u64, Error> {
        let Some(limit) = self.min_free else {
            return Ok(u64::MAX);
        };
        let is_stale = ledger
            .looked
            .is_none_or(|looked| now.duration_since(looked) >= LOOK_AFTER)
            || ledger.admitted >= LOOK_EACH;
        if is_stale {
            self.look(ledger, now)?;
        }
        let mut left = ledger.left(limit);
        if left.is_none_or(|left| left < need) && !is_stale {
            // Nobody is refused for what was true a second ago.
            self.look(ledger, now)?;
            left = ledger.left(limit);
        }
        left.filter(|left| *left >= need).ok_or_else(|| {
            ledger.tell(
                now,
                "the disk has no more than the free space it has to keep",
            );
            Error::MinFree { limit }
        })
    }

    /// A stored file of so many bytes is gone: this program has replaced it or taken it away.
    pub(super) fn is_freed(&self, size: u64) {
        self.ledger().frees(size);
    }

    /// Keeps other stores of the same folder from giving a file a name meanwhile.
    pub(super) fn naming(&self) -> MutexGuard<'_, ()> {
        self.naming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for the free space.
    fn look(&self, ledger: &mut Ledger, now: Instant) -> Result<(), Error> {
        let facts = rustix::fs::fstatvfs(&self.folder)
            .map_err(|error| Error::from_call("ask for the free space", error))?;
        ledger.free = facts.f_bavail.saturating_mul(facts.f_frsize);
        // What was admitted and is not on the disk will come off it.
        ledger.owed = ledger.unwritten;
        ledger.admitted = 0;
        ledger.looked = Some(now);
        Ok(())
    }

    /// Counts the folder again.
    fn count(&self) {
        let began = Instant::now();
        let counted = count::bytes_in(&self.folder, &mut || ());
        let mut ledger = self.ledger();
        match counted {
            // What was stored meanwhile may be counted twice, until the next count. That is better
            // than not at all: the quota holds.
            Ok(bytes) => ledger.stored = bytes.saturating_add(ledger.fresh),
            Err(error) => log::warn!("can't count what the folder holds: {error}"),
        }
        ledger.counting = false;
        ledger.count_after = Instant::now() + rest_after(began.elapsed());
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger {
    /// Bytes that may be taken without touching what has to stay free. `None` where it is touched
    /// already.
    fn left(&self, min_free: u64) -> Option<u64> {
        self.free.checked_sub(min_free)?.checked_sub(self.owed)
    }

    /// So many bytes are stored no longer.
    fn frees(&mut self, size: u64) {
        // A count that is under way may have missed them already.
        if !self.counting {
            self.stored = self.stored.saturating_sub(size);
        }
    }

    fn tell(&mut self, now: Instant, what: &str) {
        let is_new = |told: Instant| now.duration_since(told) >= TELL_REST;
        if self.told.is_none_or(is_new) {
            self.told = Some(now);
            log::warn!("{what}: uploads are refused until somebody makes room");
        }
    }
}

fn rest_after(count: Duration) -> Duration {
    COUNT_REST.max(count * COUNT_SHARE)
}
