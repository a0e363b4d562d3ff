//! Power cuts for real: real file systems, the real server, and disks that lose what wasn't kept.
//!
//! Needs root, loop devices, and the file systems' own tools. Nothing is left behind: the mounts are
//! this program's own, and end with it.
//!
//! ```text
//! PIECEMEAL_CUTS=1000 cargo test --release --test power_cuts -- --ignored --nocapture
//! ```
//!
//! PIECEMEAL_CUTS_ROW picks the rows whose names have that in them; PIECEMEAL_CUTS_FROM is the first
//! seed, and PIECEMEAL_CUTS_PROGRAM another build to be tried. In the folder PIECEMEAL_CUTS_KEEP the
//! disks that lost something are kept as the cut left them.

mod common;
#[path = "cuts/mod.rs"]
mod cuts;
#[path = "load/mod.rs"]
mod load;

use std::collections::BTreeMap;

use cuts::rows::{ROWS, Row};
use cuts::tally::Tally;
use cuts::{Home, Place};

/// Cuts of each row where nothing else is said, and of each row in the suite.
const CUTS: u64 = 100;
const FEW: u64 = 2;
/// So many of all rows together that some uploads certainly were gone on with.
const MANY: u64 = 100;
/// How many findings of one cut are shown, and after how many cuts it is said how things stand.
const SHOWN: usize = 5;
const SAID: u64 = 100;

#[test]
fn a_few_cuts_of_each_kind_lose_nothing() {
    trial(FEW, |row| !row.is_control);
}

#[test]
#[ignore = "a thousand cuts take five minutes or so, and root"]
fn no_power_cut_loses_what_was_acknowledged() {
    trial(set("PIECEMEAL_CUTS").unwrap_or(CUTS), |row| !row.is_control);
}

#[test]
#[ignore = "a hundred cuts take half a minute, and root"]
fn the_cuts_do_lose_what_was_not_synced() {
    trial(set("PIECEMEAL_CUTS").unwrap_or(CUTS), |row| row.is_control);
}

fn set(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[expect(
    clippy::print_stderr,
    reason = "whoever runs it wants to see the table"
)]
fn trial(cuts: u64, wanted: impl Fn(&Row) -> bool) {
    let only = std::env::var("PIECEMEAL_CUTS_ROW").unwrap_or_default();
    let from = set("PIECEMEAL_CUTS_FROM").unwrap_or(0);
    let home = match Home::new() {
        Ok(home) => home,
        Err(error) => {
            return common::skipped(&format!("no disk can be mounted and cut off here: {error}"));
        }
    };
    let mut rows: Vec<(&str, Tally)> = Vec::new();
    let mut features: BTreeMap<&str, Tally> = BTreeMap::new();
    let mut failures = Vec::new();
    let chosen = |row: &&Row| wanted(row) && row.name.contains(&only);
    for row in ROWS.iter().filter(chosen) {
        let mut place = match Place::new(&home, row) {
            Ok(place) => place,
            Err(error) => {
                common::skipped(&format!("{}: {error}", row.name));
                continue;
            }
        };
        let mut tally = Tally::default();
        for seed in from..from + cuts {
            let outcome = place.cut(row, seed);
            let outcome = outcome.unwrap_or_else(|why| panic!("{}, seed {seed}: {why}", row.name));
            tally.add(&outcome);
            for feature in outcome.features.iter().chain([&outcome.cut]) {
                features.entry(feature).or_default().add(&outcome);
            }
            let shown: Vec<_> = outcome.found.faults().take(SHOWN).collect();
            if !row.is_control && !shown.is_empty() {
                let what = format!("{}, seed {seed}, {}", row.name, outcome.cut);
                eprintln!("{what}, {:?}: {shown:#?}", outcome.features);
                failures.push(what);
            }
            if tally.cuts % SAID == 0 {
                eprintln!("{}: {tally}", row.name);
            }
        }
        if row.is_control && tally.lost == 0 {
            failures.push(format!("{}: nothing was lost", row.name));
        }
        rows.push((row.name, tally));
    }
    let sum = |part: fn(&Tally) -> usize| rows.iter().map(|(_, tally)| part(tally)).sum::<usize>();
    let (acknowledged, resumed) = (sum(|row| row.acknowledged), sum(|row| row.resumed));
    let all: u64 = rows.iter().map(|(_, tally)| tally.cuts).sum();
    for (name, tally) in rows.into_iter().chain(features) {
        eprintln!("{name:45} | {tally}");
    }
    assert!(failures.is_empty(), "{failures:#?}");
    // One by itself may come before anything was promised.
    assert!(
        all < 2 * FEW || acknowledged > 0,
        "nothing was ever promised"
    );
    assert!(all < MANY || resumed > 0, "nothing was ever gone on with");
}
