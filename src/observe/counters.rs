//! Counts of what has happened; written by the loop, read by anyone.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// What has happened since the start. Each counter is exact; a snapshot of several is
        /// not taken in one moment.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[$doc])* pub $name: Counter,)*
        }

        /// The counters' values.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Snapshot {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            /// The values now.
            pub fn snapshot(&self) -> Snapshot {
                Snapshot { $($name: self.$name.get(),)* }
            }
        }
    };
}

counters! {
    /// Connections accepted.
    accepted,
    /// Connections turned away because there were too many.
    turned_away,
    /// Connections that failed or ended in the middle of a message.
    lost,
    /// Reads from sockets.
    reads,
    /// Bytes of files received, those of uploads that failed included.
    body_bytes,
    /// Those of them that were spliced.
    spliced_bytes,
    /// Messages begun.
    messages,
    /// Messages that arrived in more than one read.
    split_messages,
    /// Files stored.
    stored,
    /// Bytes of the files stored.
    stored_bytes,
    /// Uploads that were refused or failed after they had begun.
    failed,
    /// Lines for people that were dropped because nobody read them.
    dropped_lines,
}

/// One number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// Its value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
