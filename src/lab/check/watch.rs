//! How long the checker waits, and whether it still should.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long a server may take for an answer, an end or a stored file, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(3);
/// The same for a server that has failed several times: what never answers is not worth minutes.
pub const PATIENCE_SPENT: Duration = Duration::from_millis(1500);

/// Shared by all that waits.
#[derive(Clone, Debug)]
pub struct Watch {
    /// The number of the signal that came, or 0.
    signal: Arc<AtomicUsize>,
    patience_ms: Arc<AtomicU64>,
    /// Whether the server has ever sent or ended anything.
    heard: Arc<AtomicBool>,
    /// Whether it has ever sent a byte.
    answered: Arc<AtomicBool>,
}

impl Watch {
    /// One that ends all waiting when `signal` becomes anything but 0.
    pub fn new(signal: Arc<AtomicUsize>) -> Watch {
        let patience_ms = Arc::new(AtomicU64::new(0));
        let watch = Watch {
            signal,
            patience_ms,
            heard: Arc::default(),
            answered: Arc::default(),
        };
        watch.set_patience(PATIENCE);
        watch
    }

    /// Whether somebody wants all this to end.
    pub fn interrupted(&self) -> bool {
        self.signal.load(Ordering::Relaxed) != 0
    }

    /// How long to wait for something that is due.
    pub fn patience(&self) -> Duration {
        Duration::from_millis(self.patience_ms.load(Ordering::Relaxed))
    }

    /// Changes that.
    pub fn set_patience(&self, patience: Duration) {
        let millis = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        self.patience_ms.store(millis, Ordering::Relaxed);
    }

    /// Remembers that the server has sent something, or ended a connection.
    pub fn hear(&self) {
        self.heard.store(true, Ordering::Relaxed);
    }

    /// Remembers that the server has sent something.
    pub fn hear_bytes(&self) {
        self.hear();
        self.answered.store(true, Ordering::Relaxed);
    }

    /// Whether it has ever sent a byte.
    pub fn has_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// Whether it has ever sent a byte or ended a connection.
    pub fn has_heard(&self) -> bool {
        self.heard.load(Ordering::Relaxed)
    }

    /// Asks again and again until there is an answer, for at most `within`.
    pub fn poll<T>(&self, within: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
        let until = Instant::now() + within;
        loop {
            let answer = ask();
            if answer.is_some() || self.interrupted() || Instant::now() >= until {
                return answer;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}
