//! The parts of `cargo bench --bench versus` that need no other program. A bench without a harness
//! has no tests of its own, so they are run here.

#![allow(dead_code, reason = "much is used by the bench alone")]

#[path = "../benches/versus/chart.rs"]
mod chart;
#[path = "../benches/versus/measured.rs"]
mod measured;
#[path = "../benches/versus/page.rs"]
mod page;
#[path = "../benches/versus/printed.rs"]
mod printed;
#[path = "../benches/versus/process.rs"]
mod process;
#[path = "../benches/versus/raw.rs"]
mod raw;
#[path = "../benches/versus/statistics.rs"]
mod statistics;
#[path = "../benches/versus/table.rs"]
mod table;
