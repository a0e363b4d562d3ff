//! Clients that send uploads of every kind until their server is gone, and the book of what they
//! were promised. What ends the server, and what is checked then, is others' business:
//! `power_cuts.rs` and `kills.rs`.

#![allow(dead_code, unused_imports, reason = "each trial uses its own part")]

mod again;
mod book;
mod client;
mod look;
mod wire;

use rand::RngExt;
use rand::rngs::SmallRng;

pub(crate) use again::{Again, go_on};
pub(crate) use book::{Book, Partial};
pub(crate) use client::run;
pub(crate) use look::{Found, files_in};
pub(crate) use wire::Wire;

/// What a load consists of. All of it follows from one seed, though not in which order the threads
/// get their turns.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) clients: u64,
    /// Most bytes of a file.
    pub(crate) most: usize,
    pub(crate) conflict: &'static str,
    /// Names go into folders, some of which are made on the way.
    pub(crate) folders: bool,
    /// Some uploads have an id, are broken off, and go on.
    pub(crate) partials: bool,
    pub(crate) journal: bool,
    pub(crate) splice: bool,
    pub(crate) workers: u32,
}

impl Plan {
    /// Chance decides what isn't said.
    pub(crate) fn new(seed: u64, random: &mut SmallRng, clients: u64, most: usize) -> Plan {
        Plan {
            seed,
            clients,
            most,
            conflict: ["error", "rename", "overwrite"][random.random_range(0..3)],
            folders: random.random(),
            partials: random.random(),
            journal: random.random(),
            splice: random.random_ratio(1, 3),
            workers: [1, 1, 1, 2][random.random_range(0..4)],
        }
    }

    /// What the server is told of it, but for the journal's place.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let splice = if self.splice { "always" } else { "auto" };
        let workers = self.workers.to_string();
        [
            "--on-conflict",
            self.conflict,
            "--splice",
            splice,
            "--workers",
            &workers,
        ]
        .map(str::to_owned)
        .to_vec()
    }

    /// Its parts, for a table of which were tried how often.
    pub(crate) fn features(&self) -> Vec<&'static str> {
        let all = [
            (self.conflict == "error", "conflict error"),
            (self.conflict == "rename", "conflict rename"),
            (self.conflict == "overwrite", "conflict overwrite"),
            (self.folders, "folders made on the way"),
            (self.partials, "uploads with an id"),
            (self.journal, "--journal"),
            (self.splice, "--splice always"),
            (self.workers > 1, "--workers 2"),
        ];
        let all = all.into_iter().filter(|(is_so, _)| *is_so);
        all.map(|(_, feature)| feature).collect()
    }
}

/// Bytes that only this upload has.
pub(crate) fn content(seed: u64, number: u64, size: usize) -> Vec<u8> {
    use rand::{Rng, SeedableRng};
    let mut bytes = vec![0; size];
    let seed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number;
    SmallRng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}
