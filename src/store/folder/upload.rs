//! An upload on its way into a folder, as the loop's thread has it.

use std::fmt::Display;
use std::io::{self, Write};
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Weak};

use rustix::io::Errno;
use rustix::pipe::SpliceFlags;

use super::Queues;
use super::bulk::{Discard, Task};
use super::committer::Job;
use super::digest::Chase;
use super::root::Root;
use super::unfinished::Unfinished;
use crate::proto::{Conflict, Name, Order, Seal};
use crate::store::{Error, IN_ORDER_SIZE, Key, Reserved};

/// A bulk worker hears of a growing file whenever it has grown by so much.
const STEP: u64 = 8 << 20;
/// Space is reserved from this size on; for less, the first write says as much.
const RESERVE_FROM: u64 = 1 << 20;
/// From this size on a worker does it: 1 GiB takes some 4 ms, and 50 GiB some 70.
const RESERVE_LATER_FROM: u64 = 64 << 20;

/// An upload that is being written.
#[derive(Debug)]
pub struct FolderUpload {
    /// `None` only while it is taken apart.
    unfinished: Option<Arc<Unfinished>>,
    name: Option<Name>,
    conflict: Conflict,
    written: u64,
    reserved: u64,
    /// What a bulk worker does for it meanwhile, once it has grown large.
    chase: Option<Arc<Chase>>,
    told: u64,
    wants_digest: bool,
    /// Who sends it, where that is written down.
    peer: Option<Box<str>>,
    /// The store's threads, as long as the store is there.
    queues: Weak<Queues>,
}

impl FolderUpload {
    pub(super) fn create(root: &Root, order: &Order, queues: Weak<Queues>) -> Result<Self, Error> {
        Ok(FolderUpload {
            unfinished: Some(Arc::new(root.create()?)),
            name: order.name.clone(),
            conflict: order.conflict,
            written: 0,
            reserved: 0,
            chase: None,
            told: 0,
            wants_digest: order.digest.is_some() || order.digest_follows,
            peer: None,
            queues,
        })
    }

    /// Bytes written so far.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    pub(super) fn reserve(&mut self, total: u64, key: Key) -> Result<Reserved, Error> {
        if i64::try_from(total).is_err() {
            return Err(Error::TooBig);
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

    fn has_grown(&mut self, bytes: usize) {
        self.written += bytes as u64;
        if self.written > IN_ORDER_SIZE && self.written - self.told >= STEP {
            self.told = self.written;
            let chase = Arc::downgrade(self.chase());
            self.tell(Task::Follow(chase, self.written));
        }
    }

    pub(super) fn into_job(mut self, seal: Seal, key: Key) -> Job {
        Job {
            unfinished: self.unfinished.take().expect("it is there until now"),
            name: self.name.take(),
            conflict: self.conflict,
            written: self.written,
            chase: self.chase.take(),
            synced: false,
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
    /// Giving back the blocks of a large file takes time that the loop doesn't have: for 50 GiB
    /// more than a second.
    fn drop(&mut self) {
        let large = self.written.max(self.reserved) > IN_ORDER_SIZE;
        if let Some(queues) = self.queues.upgrade().filter(|_| large)
            && let Some(unfinished) = self.unfinished.take()
        {
            let _ = queues.discards.try_send(Discard {
                _unfinished: unfinished,
                _chase: self.chase.take(),
            });
        }
    }
}
