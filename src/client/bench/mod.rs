//! A load generator: a closed loop of uploads, or of texts, over many connections on one thread.
//!
//! It must be faster than what it measures. So it does not drive a
//! [`Sender`](crate::proto::Sender), which announces every file with a PUT, owns its names,
//! sends headers and bytes by separate writes, and hands out each answer as an owned event. Here
//! the payload is made once; each visit writes the messages of all files that are due into one
//! buffer that is sent by one write; and the replies of one read are counted where they lie. A
//! file costs no allocation.
//!
//! | file | subject |
//! |---|---|
//! | `payload` | the bytes, made once |
//! | `supply` | which file is next, and its messages |
//! | `replies` | replies, cut out of what a read brought |
//! | `answers` | what the replies say of the files in flight |
//! | `connection` | one socket at work |
//! | `misfit` | clients that behave badly, on purpose |
//! | `connecting` | connections are made, and made anew |
//! | `driver` | all of them on a reactor |
//! | `outcome` | what is reported |
//!
//! # What is measured
//! The loop is closed: a connection begins a file when one of the `pipeline` places is free, so
//! a slow server is asked less often, and latencies say how the server does at the rate that it
//! can keep. (A generator with a rate of its own would have to count the wait for its turn too,
//! or it would leave out what the server delays; here nobody waits for a turn.) A file's latency
//! lasts from the moment its first byte is due to be written, just before the write, to the read
//! that brings its receipt. With a connection a file it begins with the connecting.
//!
//! It must never know how its figures are shown, nor where a server comes from.

mod answers;
mod connecting;
mod connection;
mod driver;
mod misfit;
mod outcome;
mod payload;
mod replies;
mod supply;

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::net::Endpoint;
pub use driver::run;
pub use outcome::{Latency, Misbehaved, Outcome, Tally};

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The server; at least one address of it. Connections are dealt out among them, since each
    /// pair of addresses has ports of its own, and a port rests for a while after its last use:
    /// with [`Plan::reconnect`] a single pair is used up within seconds.
    pub to: Vec<Endpoint>,
    /// Connections at once; at least one.
    pub connections: usize,
    /// What is sent over them.
    pub work: Work,
    /// Bytes of a file, or of a text; spread evenly where it is more than one size. A text has at
    /// most [`TEXT_MOST`](crate::proto::limits::TEXT_MOST).
    pub sizes: RangeInclusive<u64>,
    /// How many files are begun in all; `None` is no limit.
    pub files: Option<u64>,
    /// After so long no file is begun; `None` is no limit.
    pub duration: Option<Duration>,
    /// Files that one connection has in flight; at least one.
    pub pipeline: usize,
    /// Whether each file has a connection of its own.
    pub reconnect: bool,
    /// Which of the connections behave badly.
    pub mix: Mix,
    /// Where the payload and the order of sizes come from; part of the names.
    pub seed: u64,
    /// What names begin with: they are `PREFIX-SEED-NUMBER`, and end with the manner where a
    /// client behaves badly.
    pub name_prefix: String,
    /// How long no byte may move, either way, while an answer is due; `None` is for ever.
    pub timeout: Option<Duration>,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Named files: STRING, DATA.
    Files,
    /// Announced files with their digest: PUT, DATA. The receipts are compared with what was sent.
    VerifiedFiles,
    /// Texts, which come back.
    Texts,
}

/// How many of a hundred connections behave badly. They are measured apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mix {
    /// They send their files a few bytes at a time.
    pub slow: u8,
    /// They stop in the middle of a file, and stay.
    pub stalled: u8,
    /// They reset the connection in the middle of a file, and come again.
    pub abort: u8,
}

impl Mix {
    /// How many of so many connections are slow, stalled and aborting. Whoever is asked for is
    /// there at least once; the good ones are what is left, which may be none.
    pub fn of(self, connections: usize) -> [usize; 3] {
        [self.slow, self.stalled, self.abort].map(|percent| {
            let share = connections * usize::from(percent) / 100;
            share.max(usize::from(percent > 0))
        })
    }
}

/// Looks on while it runs, on the loop's thread: it must not block.
pub trait Watch {
    /// Called about four times a second, with what has been measured since the start.
    fn look(&mut self, so_far: &Tally, since_start: Duration) {
        let _ = (so_far, since_start);
    }

    /// Whether to end now; asked after each turn of the loop.
    fn is_over(&self) -> bool {
        false
    }
}
