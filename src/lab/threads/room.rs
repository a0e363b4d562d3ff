//! How many threads there may be. Whoever takes a connection takes a place first, and waits where
//! none is free; so what is too much waits in the system's queue, and nothing that runs is harmed.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Most threads for connections at once. Each takes four of the 65,530 mappings that Linux gives a
/// process by default: its stack, another for the report of an overflow, and their guard pages.
/// Without the last of them a thread doesn't fail to start: it aborts the whole process.
pub const THREADS_MOST: usize = 10_000;

/// Room for a number of connections, which all listeners share.
#[derive(Debug)]
pub struct Room {
    free: Mutex<usize>,
    freed: Condvar,
}

/// One connection's place, given back when it is dropped.
pub(super) struct Place(Arc<Room>);

impl Room {
    /// Room for so many, but never for more than [`THREADS_MOST`].
    pub fn new(connections: usize) -> Arc<Room> {
        Arc::new(Room {
            free: Mutex::new(connections.min(THREADS_MOST)),
            freed: Condvar::new(),
        })
    }

    /// Waits until there is a place.
    pub(super) fn enter(self: &Arc<Room>) -> Place {
        let full = |free: &mut usize| *free == 0;
        let free = self.freed.wait_while(self.lock(), full);
        *free.unwrap_or_else(PoisonError::into_inner) -= 1;
        Place(Arc::clone(self))
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        // A number is never left half-changed.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *self.0.lock() += 1;
        self.0.freed.notify_one();
    }
}
