//! Waking the loop from another thread.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::token::WAKER;

/// Wakes the loop from another thread. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Waker(Arc<Alarm>);

#[derive(Debug)]
struct Alarm {
    waker: mio::Waker,
    /// Whether the loop was woken and has not looked yet. Another wake would tell it nothing, and
    /// each is a system call.
    rung: AtomicBool,
}

impl Waker {
    pub(super) fn new(registry: &mio::Registry) -> io::Result<Waker> {
        let waker = mio::Waker::new(registry, WAKER)?;
        let rung = AtomicBool::new(false);
        Ok(Waker(Arc::new(Alarm { waker, rung })))
    }

    /// Makes the loop call [`Handler::woken`](super::Handler::woken) soon. Wakes that come together may count as one.
    pub fn wake(&self) {
        if self.0.rung.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Err(error) = self.0.waker.wake() {
            self.0.rung.store(false, Ordering::Release);
            log::error!("can't wake the event loop: {error}");
        }
    }

    /// The loop is about to look. Whoever found it rung already did its work before, so the loop
    /// sees that work; whoever comes from now on rings anew.
    pub(super) fn answer(&self) {
        self.0.rung.swap(false, Ordering::AcqRel);
    }
}
