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

use std::io;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::count;
use crate::store::Error;

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

/// Space that is reserved for one upload. Dropped, it is given back.
#[derive(Debug)]
pub(super) struct Reservation {
    space: Arc<Space>,
    bytes: u64,
    /// Those that are not on the disk, as far as is known.
    unwritten: u64,
    /// Whether the file system has reserved the blocks too.
    allocated: bool,
}

impl Reservation {
    /// How many bytes they are.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes sure of at least `need` bytes in all, and tries to get `wish`. Returns how many there
    /// are now.
    pub(super) fn grow(&mut self, need: u64, wish: u64) -> Result<u64, Error> {
        let need = need.saturating_sub(self.bytes);
        if need == 0 {
            // What was promised isn't taken back for the quota's sake; but others may have filled
            // the disk meanwhile.
            if !self.allocated {
                let mut ledger = self.space.ledger();
                self.space.free_for(&mut ledger, 0, Instant::now())?;
            }
            return Ok(self.bytes);
        }
        let more = self.space.admit(need, wish.saturating_sub(self.bytes))?;
        self.bytes += more;
        self.unwritten += more;
        self.allocated = false;
        Ok(self.bytes)
    }

    /// So many bytes are on the disk by now, or in the page cache, where they count as well.
    pub(super) fn is_written(&mut self, written: u64) {
        if !self.allocated {
            self.settle(self.bytes.saturating_sub(written));
        }
    }

    /// The file system has reserved the blocks, so they are no longer free.
    pub(super) fn is_allocated(&mut self) {
        self.allocated = true;
        self.settle(0);
    }

    /// The file has a name, and so many bytes.
    pub(super) fn becomes_stored(mut self, size: u64) {
        let mut ledger = self.space.ledger();
        ledger.stored = ledger.stored.saturating_add(size);
        if ledger.counting {
            ledger.fresh = ledger.fresh.saturating_add(size);
        }
        ledger.reserved -= self.bytes;
        ledger.unwritten -= self.unwritten;
        drop(ledger);
        (self.bytes, self.unwritten) = (0, 0);
    }

    fn settle(&mut self, unwritten: u64) {
        let less = self.unwritten.saturating_sub(unwritten);
        self.unwritten -= less;
        self.space.ledger().unwritten -= less;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut ledger = self.space.ledger();
        ledger.reserved -= self.bytes;
        ledger.unwritten -= self.unwritten;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs::File;

    fn space(folder: &tempfile::TempDir, quota: Option<u64>) -> Arc<Space> {
        let folder = File::open(folder.path()).expect("it is there");
        Space::open(folder.into(), quota, None).expect("it is counted")
    }

    #[test]
    fn room_that_others_make_is_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let full = folder.path().join("full");
        std::fs::write(&full, [1; 100]).expect("it is new");
        let space = space(&folder, Some(100));
        assert!(space.reserve(1).is_err());
        std::fs::remove_file(full).expect("it is there");
        assert!(space.reserve(1).is_err(), "it is not counted so soon");
        space.ledger().count_after = Instant::now();
        assert!(space.reserve(1).is_err(), "it is counted from now on");
        while space.reserve(100).is_err() {
            thread::yield_now();
        }
        assert_eq!(space.used(), 0);
    }

    #[test]
    fn what_is_stored_while_the_folder_is_counted_is_not_lost() {
        let folder = tempfile::tempdir().expect("a folder");
        let space = space(&folder, Some(100));
        let upload = space.reserve(30).expect("it fits");
        space.ledger().counting = true;
        upload.becomes_stored(30);
        space.is_freed(30);
        // This walk has seen nothing of it.
        space.count();
        assert_eq!(space.used(), 30);
    }

    #[test]
    fn what_is_admitted_comes_off_the_free_space_until_the_disk_has_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let space = space(&folder, None);
        let mut one = space.reserve(1000).expect("no limit");
        let mut other = space.reserve(500).expect("no limit");
        assert_eq!(space.ledger().unwritten, 1500);
        one.is_written(400);
        assert_eq!(space.ledger().unwritten, 1100);
        other.is_allocated();
        assert_eq!(space.ledger().unwritten, 600);
        other.grow(700, 800).expect("no limit");
        assert_eq!(space.ledger().unwritten, 900);
        one.becomes_stored(1000);
        drop(other);
        let ledger = space.ledger();
        assert_eq!((ledger.unwritten, ledger.reserved), (0, 0));
    }

    proptest! {
        #[test]
        fn whatever_uploads_do_the_quota_holds_and_nothing_leaks(
            steps in prop::collection::vec((0u8..5, 0usize..8, 0u64..500, 0u64..500), 1..100),
        ) {
            const QUOTA: u64 = 1000;
            let folder = tempfile::tempdir().expect("a folder");
            let space = space(&folder, Some(QUOTA));
            let mut open = Vec::new();
            let mut stored = 0;
            for (what, which, some, more) in steps {
                let which = if open.is_empty() { 0 } else { which % open.len() };
                match what {
                    0 => {
                        let held: u64 = open.iter().map(|one: &Reservation| one.bytes).sum();
                        let reserved = space.reserve(some);
                        prop_assert_eq!(reserved.is_ok(), stored + held + some <= QUOTA);
                        open.extend(reserved.ok());
                    }
                    _ if open.is_empty() => {}
                    1 => {
                        let bytes = open[which].bytes;
                        if let Ok(now) = open[which].grow(bytes + some, bytes + some + more) {
                            prop_assert!((bytes + some..=bytes + some + more).contains(&now));
                        }
                    }
                    2 => drop(open.swap_remove(which)),
                    3 => {
                        let upload = open.swap_remove(which);
                        // A stream may have taken more in advance than it needed.
                        let size = upload.bytes.saturating_sub(some);
                        upload.becomes_stored(size);
                        stored += size;
                    }
                    _ => open[which].is_written(some),
                }
                let held: u64 = open.iter().map(|one| one.bytes).sum();
                prop_assert_eq!(space.used(), stored + held);
                prop_assert!(space.used() <= QUOTA);
                let unwritten: u64 = open.iter().map(|one| one.unwritten).sum();
                prop_assert_eq!(space.ledger().unwritten, unwritten);
            }
            open.clear();
            prop_assert_eq!(space.used(), stored);
        }
    }
}
