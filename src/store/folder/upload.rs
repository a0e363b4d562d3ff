//! An upload on its way into a folder, as the loop's thread has it.

use std::fmt::Display;
use std::io::{self, Write};
use std::os::fd::BorrowedFd;
use std::sync::{Arc, OnceLock, Weak};

use rustix::io::Errno;
use rustix::pipe::SpliceFlags;

use super::Queues;
use super::bulk::{Discard, Kept, Task, Unclaimed};
use super::committer::Job;
use super::digest::Chase;
use super::partials::Claim;
use super::resume::Opened;
use super::root::Root;
use super::unfinished::Unfinished;
use crate::proto::{Conflict, Metadata, Name, Order, Seal};
use crate::store::{Error, IN_ORDER_SIZE, Key, Reserved};

/// A bulk worker hears of a growing file whenever it has grown by so much; so do the folder's
/// limits, if it has any.
const STEP: u64 = 8 << 20;
/// Space is reserved from this size on; for less, the first write says as much.
pub(super) const RESERVE_FROM: u64 = 1 << 20;
/// From this size on a worker does it: 1 GiB takes some 4 ms, and 50 GiB some 70.
const RESERVE_LATER_FROM: u64 = 64 << 20;

/// An upload that is being written.
#[derive(Debug)]
pub struct FolderUpload {
    /// `None` only while it is taken apart.
    unfinished: Option<Arc<Unfinished>>,
    name: Option<Name>,
    conflict: Conflict,
    /// What it is to be given besides its bytes.
    pub(super) metadata: Metadata,
    written: u64,
    reserved: u64,
    /// Up to which size the folder's limits need not be asked.
    room: u64,
    /// What a bulk worker does for it meanwhile, once it has grown large.
    chase: Option<Arc<Chase>>,
    told: u64,
    wants_digest: bool,
    /// Who sends it, where that is written down.
    peer: Option<Box<str>>,
    /// The store's threads, as long as the store is there.
    queues: Weak<Queues>,
    resumable: Option<Box<Resumable>>,
}

/// What an upload has besides that can be resumed.
#[derive(Debug)]
struct Resumable {
    claim: Claim,
    /// Its file, once that is open; and then the upload takes it from here.
    opened: Arc<OnceLock<Opened>>,
    /// The bytes that it had when its session heard that it is taken over. Not when it was: what
    /// came before may not have been seen yet, where another thread has taken it.
    taken_at: Option<u64>,
    /// Whether it is not to be kept after all.
    is_discarded: bool,
}

impl FolderUpload {
    pub(super) fn create(root: &Root, order: &Order, queues: Weak<Queues>) -> Result<Self, Error> {
        let reservation = root.reserve(order.size)?;
        let unfinished = root.create()?.with_reservation(reservation);
        let room = unfinished.room();
        let mut upload = FolderUpload::new(Some(Arc::new(unfinished)), order, queues, None);
        upload.room = room.map_or(u64::MAX, |room| room.min(STEP));
        Ok(upload)
    }

    /// An upload that waits for its file, and the place that the file is to be put into.
    pub(super) fn resume(
        order: &Order,
        queues: Weak<Queues>,
        claim: Claim,
    ) -> (Self, Weak<OnceLock<Opened>>) {
        let opened = Arc::default();
        let place = Arc::downgrade(&opened);
        let resumable = Resumable {
            claim,
            opened,
            taken_at: None,
            is_discarded: false,
        };
        let upload = FolderUpload::new(None, order, queues, Some(Box::new(resumable)));
        (upload, place)
    }

    fn new(
        unfinished: Option<Arc<Unfinished>>,
        order: &Order,
        queues: Weak<Queues>,
        resumable: Option<Box<Resumable>>,
    ) -> FolderUpload {
        FolderUpload {
            unfinished,
            name: order.name.clone(),
            conflict: order.conflict,
            metadata: Metadata::default(),
            written: 0,
            reserved: 0,
            room: 0,
            chase: None,
            told: 0,
            wants_digest: order.digest.is_some() || order.digest_follows,
            peer: None,
            queues,
            resumable,
        }
    }

    /// Bytes written so far, on earlier connections too.
    pub(super) fn written(&mut self) -> u64 {
        self.adopt();
        self.written
    }

    /// Looks whether another connection has asked for it.
    pub(super) fn hear_taken(&mut self) {
        let written = self.written();
        if let Some(resumable) = &mut self.resumable
            && resumable.claim.is_taken()
        {
            resumable.taken_at.get_or_insert(written);
        }
    }

    /// How many bytes it has got since that was heard.
    pub(super) fn taken(&self) -> Option<u64> {
        let taken_at = self.resumable.as_ref()?.taken_at?;
        Some(self.written.saturating_sub(taken_at))
    }

    /// Throws it away, even if it could be resumed.
    pub(super) fn discard(mut self) {
        if let Some(resumable) = &mut self.resumable {
            resumable.is_discarded = true;
        }
    }

    /// Takes its file, once that is open.
    fn adopt(&mut self) {
        if self.unfinished.is_none()
            && let Some(resumable) = &self.resumable
            && let Some(Opened { unfinished, offset }) = resumable.opened.get()
        {
            self.unfinished = Some(Arc::clone(unfinished));
            self.written = *offset;
            self.reserved = *offset;
            self.room = unfinished.room().unwrap_or(u64::MAX);
        }
    }

    pub(super) fn reserve(&mut self, total: u64, key: Key) -> Result<Reserved, Error> {
        if i64::try_from(total).is_err() {
            return Err(Error::TooBig);
        }
        self.adopt();
        if total > self.room {
            self.unfinished().grow(self.written, total, total)?;
            self.room = total.min(self.written.saturating_add(STEP));
        }
        self.reserved = self.reserved.max(total);
        if total >= RESERVE_LATER_FROM {
            let unfinished = Arc::downgrade(self.unfinished());
            self.tell(Task::Reserve {
                unfinished,
                total,
                key,
            });
            return Ok(Reserved::Later);
        }
        if total >= RESERVE_FROM {
            self.unfinished().reserve(total)?;
        }
        Ok(Reserved::Now)
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.adopt();
        self.make_room(bytes.len())?;
        (&self.unfinished().file)
            .write_all(bytes)
            .map_err(|error| Error::from_call("write a file", error))?;
        self.has_grown(bytes.len());
        Ok(())
    }

    /// Appends what waits in a pipe.
    pub(super) fn splice(
        &mut self,
        pipe: BorrowedFd<'_>,
        most: usize,
    ) -> Result<Option<usize>, Error> {
        self.adopt();
        self.make_room(most)?;
        let file = &self.unfinished().file;
        let splice = || rustix::pipe::splice(pipe, None, file, None, most, SpliceFlags::MOVE);
        match rustix::io::retry_on_intr(splice) {
            Ok(0) => Err(Error::Io {
                doing: "splice from a pipe",
                error: io::ErrorKind::UnexpectedEof.into(),
            }),
            Ok(moved) => {
                self.has_grown(moved);
                Ok(Some(moved))
            }
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(None),
            Err(error) => Err(Error::from_call("write a file", error)),
        }
    }

    /// Makes sure that the folder's limits allow so many bytes more. They are asked for some
    /// megabytes at a time, so that most writes cost a comparison.
    fn make_room(&mut self, bytes: usize) -> Result<(), Error> {
        let need = self.written.saturating_add(bytes as u64);
        if need > self.room {
            // No more than was announced, if that is known: others may want it.
            let most = if self.reserved >= need {
                self.reserved
            } else {
                u64::MAX
            };
            let wish = need.saturating_add(STEP).min(most);
            let granted = self.unfinished().grow(self.written, need, wish)?;
            self.room = granted.min(wish);
        }
        Ok(())
    }

    fn has_grown(&mut self, bytes: usize) {
        self.written += bytes as u64;
        if self.written > IN_ORDER_SIZE && self.written - self.told >= STEP {
            self.told = self.written;
            let chase = Arc::downgrade(self.chase());
            self.tell(Task::Follow(chase, self.written));
        }
    }

    pub(super) fn into_job(mut self, seal: Seal, key: Key) -> Job {
        self.adopt();
        // From now on nobody can take it over: whoever asks for it waits until it is done.
        self.resumable = None;
        Job {
            unfinished: self.unfinished.take().expect("it is there until now"),
            name: self.name.take(),
            conflict: self.conflict,
            metadata: self.metadata,
            written: self.written,
            chase: self.chase.take(),
            synced: false,
            compared: false,
            peer: self.peer.take(),
            seal,
            key,
        }
    }

    pub(super) fn set_peer(&mut self, peer: &dyn Display) {
        self.peer = Some(peer.to_string().into());
    }

    /// What the system knows of the file.
    #[cfg(test)]
    pub(super) fn facts(&self) -> std::fs::Metadata {
        self.unfinished().file.metadata().expect("it is open")
    }

    fn unfinished(&self) -> &Arc<Unfinished> {
        self.unfinished
            .as_ref()
            .expect("it is there until it becomes a job or is dropped")
    }

    fn chase(&mut self) -> &Arc<Chase> {
        let unfinished = Arc::clone(self.unfinished());
        let wants_digest = self.wants_digest;
        self.chase
            .get_or_insert_with(|| Arc::new(Chase::new(unfinished, wants_digest)))
    }

    fn tell(&self, task: Task) {
        if let Some(queues) = self.queues.upgrade() {
            // The workers live as long as the queues.
            let _ = queues.tasks.send(task);
        }
    }
}

impl Drop for FolderUpload {
    /// What takes long is a thread's, and none of the loop's: what can be resumed is put away by one,
    /// since that waits for the disk; its lock is free when that is done. Where the store is gone, the
    /// record speaks of a server that died, which is good enough.
    fn drop(&mut self) {
        self.adopt();
        let Some(unfinished) = self.unfinished.take() else {
            return;
        };
        let (queues, chase) = (self.queues.upgrade(), self.chase.take());
        let resumable = self.resumable.take();
        let is_kept = resumable.is_some_and(|resumable| !resumable.is_discarded);
        if let (Some(queues), true) = (&queues, is_kept) {
            if let Some(chase) = &chase {
                chase.give_up();
            }
            // The workers live as long as the queues.
            let _ = queues.tasks.send(Task::Keep(Kept {
                unfinished,
                chase,
                length: self.written,
                _unclaimed: Unclaimed::new(&queues.unclaimed),
            }));
            return;
        }
        unfinished.give_back();
        let is_large = self.written.max(self.reserved) > IN_ORDER_SIZE;
        match queues {
            Some(queues) if is_large || unfinished.takes_long_to_discard() => {
                let _ = queues.discards.send(Discard {
                    unfinished,
                    chase,
                    _unclaimed: Unclaimed::new(&queues.unclaimed),
                });
            }
            _ if !is_kept => unfinished.discard(),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
