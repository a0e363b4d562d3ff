//! What the model store's process knows, and what it does while time passes: looking at files,
//! reserving, syncing. It is gone when the process dies; the disk isn't.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use piecemeal::proto::{Moment, Order, Receipt};
use piecemeal::store::{Done, Error, Key};
use rand::RngExt;
use rand::rngs::SmallRng;

use super::committer::{Batch, Job};
use super::disk::Disk;
use super::store::Upload;

/// What the server's process knows: gone when that dies.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) disk: Rc<RefCell<Disk>>,
    pub(crate) rng: SmallRng,
    pub(crate) now: Moment,
    pub(crate) is_durable: bool,
    /// After a failed sync nothing is promised until a new start.
    pub(crate) has_failed: bool,
    /// The process is dead, and what is dropped changes nothing.
    pub(crate) is_dead: bool,
    /// Until then, whatever the disk is asked for takes seconds.
    pub(crate) slow_until: Moment,
    /// Uploads that are open, or being committed.
    pub(crate) open: BTreeMap<u64, Open>,
    pub(super) uploads: u64,
    /// Who announced each upload last that can be resumed.
    pub(crate) claims: BTreeMap<String, (u64, Key)>,
    pub(crate) work: Vec<(Moment, Work)>,
    /// Complete in this turn; waiting for the committer; being committed.
    pub(crate) complete: Vec<Job>,
    pub(crate) waiting: VecDeque<Job>,
    pub(crate) batch: Option<Batch>,
    pub(crate) done: VecDeque<Done>,
    /// The most that was safe of what each connection was offered to go on from.
    pub(crate) safe: BTreeMap<usize, u64>,
    pub(crate) batches: u64,
    pub(crate) taken_over: u64,
}

/// An upload as the store has it.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) order: Order,
    pub(crate) connection: usize,
    /// Whether it is being committed.
    pub(crate) is_complete: bool,
    /// Its file, once that is open.
    pub(crate) inode: Option<usize>,
    pub(crate) written: u64,
    pub(crate) reserved: u64,
    /// Whether another has claimed it since.
    pub(crate) is_taken: bool,
    /// Its bytes when it heard that another goes on with it.
    pub(crate) taken_at: Option<u64>,
}

/// What takes a while.
#[derive(Debug)]
pub(crate) enum Work {
    Look(Order, Key),
    Reserve(Key),
    /// Since when it waits for who has it, if it does.
    Resume(u64, Key, Option<Moment>),
    /// A large file's sync, beside the batches.
    Sync(Job),
}

impl Core {
    /// When something that is asked for now is done.
    pub(crate) fn later(&mut self) -> Moment {
        let most = match self.now < self.slow_until {
            true => 6_000_000,
            false => 12_000,
        };
        self.now + Duration::from_micros(self.rng.random_range(0..most))
    }

    /// When something is done next.
    pub(crate) fn next(&self) -> Option<Moment> {
        let batch = self.batch.as_ref().map(|batch| batch.due);
        let begins = (self.batch.is_none() && !self.waiting.is_empty()).then_some(self.now);
        let work = self.work.iter().map(|(due, _)| *due);
        work.chain(batch).chain(begins).min()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.next().is_none() && self.done.is_empty()
    }

    pub(crate) fn add(&mut self, work: Work) {
        let due = self.later();
        self.work.push((due, work));
    }

    /// Does what is due; returns whether anything was.
    pub(crate) fn step(&mut self, now: Moment) -> bool {
        self.now = now;
        let due = self.work.iter().position(|(due, _)| *due <= now);
        if let Some(at) = due {
            match self.work.swap_remove(at).1 {
                Work::Look(order, key) => {
                    let found = self.look(&order);
                    if let Ok(Some(receipt)) = &found {
                        self.is_safe(key, receipt.size);
                    }
                    self.done.push_back(Done::Looked(key, found));
                }
                Work::Reserve(key) => self.done.push_back(Done::Reserved(key, Ok(()))),
                Work::Resume(number, key, since) => self.resume(number, key, since),
                Work::Sync(job) => self.sync_large(job),
            }
        }
        let has_committed = self.commit_some();
        due.is_some() || has_committed
    }

    pub(crate) fn is_safe(&mut self, key: Key, bytes: u64) {
        let safe = self.safe.entry(key.connection).or_default();
        *safe = bytes.max(*safe);
    }

    /// The receipt of the file that has an order's name, if it is the very one.
    pub(crate) fn look(&mut self, order: &Order) -> Result<Option<Receipt>, Error> {
        let name = order.name.as_ref().map(ToString::to_string);
        let name = name.unwrap_or_default();
        let mut disk = self.disk.borrow_mut();
        let Some(inode) = disk.find(&name) else {
            return Ok(None);
        };
        if order.digest != Some(disk.digest(inode)) {
            return Ok(None);
        }
        let size = disk.length(inode) as u64;
        // Its first sender may not have been told yet: what is said of it must be true now.
        if self.is_durable {
            let synced = disk.sync(inode).and_then(|()| disk.sync_folder());
            if let Err(error) = synced {
                self.has_failed = true;
                return Err(error);
            }
        }
        Ok(Some(Receipt {
            name,
            size,
            digest: order.digest,
            durable: self.is_durable,
        }))
    }

    pub(crate) fn open(&mut self, order: &Order, inode: Option<usize>, key: Key) -> u64 {
        self.uploads += 1;
        let open = Open {
            order: order.clone(),
            connection: key.connection,
            is_complete: false,
            inode,
            written: 0,
            reserved: order.size.unwrap_or(0),
            is_taken: false,
            taken_at: None,
        };
        self.open.insert(self.uploads, open);
        self.uploads
    }

    /// An upload is over. One that can be resumed is kept, if it may be.
    pub(crate) fn close(&mut self, number: u64, keep: bool) {
        let Some(open) = self.open.remove(&number).filter(|_| !self.is_dead) else {
            return;
        };
        let mut disk = self.disk.borrow_mut();
        if let Some(id) = &open.order.upload {
            let id = id.as_str();
            if self.claims.get(id).is_some_and(|(who, _)| *who == number) {
                self.claims.remove(id);
            }
            if let Some(partial) = disk.partials.get_mut(id)
                && partial.holder == Some(number)
            {
                partial.holder = None;
                if keep {
                    return;
                }
                disk.partials.remove(id);
            }
        }
        if let Some(inode) = open.inode {
            disk.free(inode);
        }
    }
}

impl Core {
    /// A connection's uploads, oldest first.
    pub(crate) fn uploads_of(&self, connection: usize) -> impl Iterator<Item = &Open> {
        let open = self.open.values();
        open.filter(move |open| open.connection == connection)
    }

    pub(crate) fn upload(&mut self, upload: &Upload) -> &mut Open {
        let number = upload.number();
        self.open.get_mut(&number).expect("it is open")
    }
}
