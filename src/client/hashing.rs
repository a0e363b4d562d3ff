//! Digests of large files, taken on threads of their own while the loop sends the files.
//!
//! ```text
//!  loop     ── sent 4 MiB ── sent 8 MiB ── … ── sent all ─────────> END
//!                    \             \                \            ↗ waker
//!  threads            └── 4 MiB ────└── 4 MiB ── … ──└── digest ┘
//! ```
//!
//! A digest chases the sending: no byte is taken into it before it was sent. So the disk is read
//! once, by whoever sends, and the thread finds the bytes in the page cache. Files take turns, a
//! slice each, so that one that is huge doesn't keep the others from their ends.
//!
//! Of a file that is resumed, the bytes that the server has are taken in first. The sending
//! doesn't wait for that: it may be most of a huge file, and the server would give up a body that
//! stands still. It waits at the end instead, where it can show the server that it lives.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::mem;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};

use crate::proto::Digest;
use crate::reactor::Waker;

/// Bytes of one read. They are still in the processor's cache when they are hashed.
const BLOCK: usize = 256 << 10;
/// A thread hears of a file whenever so much more of it was sent. The wakes of
/// smaller steps cost more: at 256 KiB, an eighth of the client's processor time.
const STEP: u64 = 4 << 20;
/// Bytes of one file that a thread takes before it is another's turn.
const SLICE: u64 = 8 << 20;
/// How far the sending may be ahead of the digest. That much stays in the page cache, and END
/// follows the last byte within a second or so; a server that waits for it would give up.
const LEAD_MOST: u64 = 256 << 20;

// A sending that waits for the lead to become less has told of enough for a turn.
const _: () = assert!(LEAD_MOST > STEP && SLICE >= STEP);

/// The threads that take digests. They end when it is dropped.
#[derive(Debug)]
pub(super) struct Hashing {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    most: usize,
}

/// A file whose digest is being taken. The threads forget it when nobody else has it any more.
#[derive(Debug)]
pub(super) struct Chase {
    size: u64,
    progress: Mutex<Progress>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Progress {
    /// The bytes before this offset may be taken in.
    allowed: u64,
    /// The bytes before this one were.
    taken: u64,
    /// What goes on with it; `None` while a thread has it, and once the outcome is there.
    work: Option<Work>,
    /// Whether an earlier try has sent some of it.
    is_resumed: bool,
    /// Whether a thread has it, or will.
    is_queued: bool,
    /// Whether the loop waits for the lead to become less.
    is_awaited: bool,
    outcome: Option<Result<Digest, String>>,
}

/// A file and the digest of its bytes so far.
#[derive(Debug)]
struct Work {
    file: Arc<File>,
    hasher: Box<blake3::Hasher>,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    filled: Condvar,
    waker: Waker,
}

#[derive(Debug, Default)]
struct Queue {
    chases: VecDeque<Weak<Chase>>,
    is_closed: bool,
}

impl Hashing {
    /// Takes digests on at most so many threads, which are started as files come. The loop is
    /// woken when a digest is there.
    pub(super) fn new(most: usize, waker: Waker) -> Hashing {
        let shared = Shared {
            queue: Mutex::default(),
            filled: Condvar::new(),
            waker,
        };
        Hashing {
            shared: Arc::new(shared),
            threads: Vec::new(),
            most,
        }
    }

    /// Wakes the loop, which then looks for digests.
    pub(super) fn wake(&self) {
        self.shared.waker.wake();
    }

    /// Begins to take a file's digest. Fails where there is no thread for it.
    pub(super) fn begin(&mut self, file: Arc<File>, size: u64) -> io::Result<Arc<Chase>> {
        if self.threads.len() < self.most.max(1) {
            let shared = Arc::clone(&self.shared);
            let builder = thread::Builder::new().name("digest".to_owned());
            match builder.spawn(move || take_turns(&shared)) {
                Ok(thread) => self.threads.push(thread),
                Err(error) if self.threads.is_empty() => return Err(error),
                Err(_) => {}
            }
        }
        let hasher = Box::default();
        let progress = Progress {
            allowed: 0,
            taken: 0,
            work: Some(Work { file, hasher }),
            is_resumed: false,
            is_queued: false,
            is_awaited: false,
            outcome: None,
        };
        Ok(Arc::new(Chase {
            size,
            progress: Mutex::new(progress),
            shared: Arc::clone(&self.shared),
        }))
    }
}

impl Drop for Hashing {
    /// Nobody waits for the threads: one may hang in a disk that has died.
    fn drop(&mut self) {
        self.shared.queue().is_closed = true;
        self.shared.filled.notify_all();
    }
}

impl Chase {
    /// The bytes before this offset were sent.
    pub(super) fn follow(self: &Arc<Chase>, sent: u64) {
        let mut progress = self.progress();
        progress.allowed = progress.allowed.max(sent);
        if !progress.is_queued && progress.is_worth_a_turn(self.size) {
            progress.is_queued = true;
            drop(progress);
            self.shared.push(Arc::downgrade(self));
        }
    }

    /// The bytes before this offset were sent by an earlier try. From here on the sending may be
    /// as far ahead as it will.
    pub(super) fn resume_from(self: &Arc<Chase>, offset: u64) {
        self.progress().is_resumed = true;
        self.follow(offset);
    }

    /// Whether bytes from this offset on may be sent already. If not, the loop is woken when they
    /// may.
    ///
    /// # Errors
    /// The file can't be read, so its digest will never be there.
    pub(super) fn allows(&self, offset: u64) -> io::Result<bool> {
        let mut progress = self.progress();
        match &progress.outcome {
            Some(outcome) => outcome.clone().map(|_| true).map_err(io::Error::other),
            None => {
                let lead = offset.saturating_sub(progress.taken);
                progress.is_awaited = !progress.is_resumed && lead > LEAD_MOST;
                Ok(!progress.is_awaited)
            }
        }
    }

    /// The digest of the whole file, once it is there.
    pub(super) fn digest(&self) -> io::Result<Option<Digest>> {
        let outcome = self.progress().outcome.clone();
        outcome.transpose().map_err(io::Error::other)
    }

    /// Takes in what may be taken in, but no more than is one turn.
    fn take_turn(self: &Arc<Chase>, block: &mut [u8]) {
        let mut progress = self.progress();
        let Some(mut work) = progress.work.take() else {
            return;
        };
        let mut at = progress.taken;
        let until = progress.allowed.min(at + SLICE);
        drop(progress);
        // A file that nobody sends any more is let go of early: others may need its descriptor.
        let is_wanted = || Arc::strong_count(self) > 1;
        let mut result = Ok(());
        while result.is_ok() && at < until && is_wanted() {
            let length = usize::try_from(until - at).unwrap_or(usize::MAX);
            let part = &mut block[..length.min(BLOCK)];
            result = work.file.read_exact_at(part, at).map_err(unreadable);
            if result.is_ok() {
                work.hasher.update(part);
                at += part.len() as u64;
            }
        }
        let outcome = match result {
            Err(error) => Some(Err(error.to_string())),
            Ok(()) if at == self.size => Some(Ok(Digest(work.hasher.finalize().into()))),
            Ok(()) => None,
        };
        // The file is closed before anybody hears of its digest.
        let work = Some(work).filter(|_| outcome.is_none());
        let mut progress = self.progress();
        progress.taken = at;
        progress.work = work;
        progress.outcome = outcome;
        progress.is_queued = progress.is_worth_a_turn(self.size);
        let is_awaited = mem::take(&mut progress.is_awaited) || progress.outcome.is_some();
        let is_queued = progress.is_queued;
        drop(progress);
        if is_queued {
            self.shared.push(Arc::downgrade(self));
        }
        if is_awaited {
            self.shared.waker.wake();
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    fn is_worth_a_turn(&self, size: u64) -> bool {
        let is_due = self.allowed == size || self.allowed - self.taken >= STEP;
        is_due && self.outcome.is_none()
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, chase: Weak<Chase>) {
        self.queue().chases.push_back(chase);
        self.filled.notify_one();
    }

    /// The next whose turn it is; `None` at the end.
    fn next(&self) -> Option<Weak<Chase>> {
        let empty = |queue: &mut Queue| queue.chases.is_empty() && !queue.is_closed;
        let queue = self.filled.wait_while(self.queue(), empty);
        let mut queue = queue.unwrap_or_else(PoisonError::into_inner);
        if queue.is_closed {
            return None;
        }
        queue.chases.pop_front()
    }
}

fn take_turns(shared: &Shared) {
    let mut block = vec![0; BLOCK];
    while let Some(chase) = shared.next() {
        if let Some(chase) = chase.upgrade() {
            chase.take_turn(&mut block);
        }
    }
}

/// How a file that is being sent can't be read.
pub(super) fn unreadable(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => io::Error::other("it shrank while it was sent"),
        _ => error,
    }
}

#[cfg(test)]
mod tests;
