//! How a server is told to stop, and why it did.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::reactor::Waker;

/// Stops a server from any thread. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Stopper {
    wanted: Arc<AtomicBool>,
    waker: Waker,
}

impl Stopper {
    pub(super) fn new(waker: Waker) -> Stopper {
        Stopper {
            wanted: Arc::default(),
            waker,
        }
    }

    /// Lets it finish what is under way and end, within its shutdown timeout.
    pub fn stop(&self) {
        self.wanted.store(true, Ordering::Release);
        self.waker.wake();
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Acquire)
    }
}

/// Why a server's run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was stopped, and what was under way is finished or was given its time.
    Stopped,
    /// A second signal of this number ended it at once.
    Forced(i32),
}
