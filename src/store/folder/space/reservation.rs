//! The space that is reserved for one upload.

use std::sync::Arc;
use std::time::Instant;

use super::Space;
use crate::store::Error;

/// Space that is reserved for one upload. Dropped, it is given back.
#[derive(Debug)]
pub(in crate::store::folder) struct Reservation {
    pub(super) space: Arc<Space>,
    pub(super) bytes: u64,
    /// Those that are not on the disk, as far as is known.
    pub(super) unwritten: u64,
    /// Whether the file system has reserved the blocks too.
    pub(super) allocated: bool,
}

impl Reservation {
    /// How many bytes they are.
    pub(in crate::store::folder) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes sure of at least `need` bytes in all, and tries to get `wish`. Returns how many there
    /// are now.
    pub(in crate::store::folder) fn grow(&mut self, need: u64, wish: u64) -> Result<u64, Error> {
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
    pub(in crate::store::folder) fn is_written(&mut self, written: u64) {
        if !self.allocated {
            self.settle(self.bytes.saturating_sub(written));
        }
    }

    /// The file system has reserved the blocks, so they are no longer free.
    pub(in crate::store::folder) fn is_allocated(&mut self) {
        self.allocated = true;
        self.settle(0);
    }

    /// The file has a name, and so many bytes.
    pub(in crate::store::folder) fn becomes_stored(mut self, size: u64) {
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
