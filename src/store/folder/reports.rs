//! News on its way from the store's threads to the loop.

use std::fmt;
use std::sync::mpsc::Sender;
use std::sync::{Arc, OnceLock};

use crate::store::{Done, Wake};

/// Where news goes, and who is woken for it.
#[derive(Clone)]
pub(super) struct Reports {
    queue: Sender<Done>,
    wake: Arc<OnceLock<Wake>>,
}

impl Reports {
    pub(super) fn new(queue: Sender<Done>) -> Reports {
        Reports {
            queue,
            wake: Arc::default(),
        }
    }

    pub(super) fn set_wake(&self, wake: Wake) {
        if self.wake.set(wake).is_err() {
            log::error!("a store wakes the loop that it was first given to, and no other");
        }
    }

    /// Sends news, and wakes once for all of it.
    pub(super) fn send(&self, news: impl IntoIterator<Item = Done>) {
        for done in news {
            // Nobody listens any more when the server is gone.
            let _ = self.queue.send(done);
        }
        if let Some(wake) = self.wake.get() {
            wake();
        }
    }
}

impl fmt::Debug for Reports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reports").finish_non_exhaustive()
    }
}
