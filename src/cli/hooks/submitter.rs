//! The loop's end of the hooks: what was stored goes to the dispatcher, and the loop goes on.
//!
//! To submit is to send a message over a channel without bound; what bounds it is a count. So the
//! loop never waits here, whatever the hooks do. It wakes the dispatcher only where that could start
//! something: while as many run as may, what is submitted is left lying until one of them ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::mpsc::Sender;

use super::facts::Facts;
use super::queue::Message;

/// Hooks that may wait, at some hundred bytes each. For a further file none is run.
pub(super) const QUEUE: usize = 10_000;

/// Submits hooks. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Submitter {
    pub(super) stored: Sender<(usize, Facts)>,
    pub(super) messages: Sender<Message>,
    /// Whether the dispatcher wants to hear of the next file.
    pub(super) idle: Arc<AtomicBool>,
    pub(super) waiting: Arc<AtomicUsize>,
    pub(super) missed: Arc<AtomicUsize>,
}

impl Submitter {
    /// Has the hook run for a file. Never blocks. Where too many wait, this one is not run, which
    /// the log says.
    pub(super) fn submit(&self, connection: usize, facts: Facts) {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= QUEUE {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            self.missed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        // The dispatcher outlives the server.
        let _ = self.stored.send((connection, facts));
        // Either this sees that it is idle, or it sees the file before it rests.
        fence(Ordering::SeqCst);
        if self.idle.load(Ordering::Relaxed) && self.idle.swap(false, Ordering::Relaxed) {
            let _ = self.messages.send(Message::Wake);
        }
    }
}
