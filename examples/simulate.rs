//! Plays very many small worlds, as tests/simulation.rs does with fewer:
//! `cargo run --release --example simulate -- --seeds 1000000 --jobs 2`
//!
//! `--seed S` plays one alone, `--from K` begins with another than the first. It says how far it is
//! on standard error, and at the end what it all consisted of.

#[path = "../tests/simulation/mod.rs"]
mod simulation;

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;

/// How often it says how far it is.
const EVERY: u64 = 10_000;

#[derive(Parser)]
struct Options {
    /// How many seeds are played
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Plays this one alone
    #[arg(long)]
    seed: Option<u64>,
    /// Threads that play
    #[arg(long, default_value_t = 1)]
    jobs: usize,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let seeds = match options.seed {
        Some(seed) => seed..seed + 1,
        None => options.from..options.from + options.seeds,
    };
    let started = Instant::now();
    let all = seeds.end - seeds.start;
    let (figures, result) = simulation::run_all(seeds, options.jobs, |done| {
        if done % EVERY == 0 {
            let took = started.elapsed().as_secs();
            let _ = writeln!(std::io::stderr(), "{done} of {all} seeds after {took} s");
        }
    });
    let took = started.elapsed().as_secs_f64();
    // Whoever reads this may be gone.
    let rate = figures.get("worlds") as f64 / took;
    let seconds = format!("{took:>14.1}  seconds, {rate:.0} worlds in each");
    let _ = writeln!(std::io::stdout(), "{figures}{seconds}");
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            let _ = writeln!(std::io::stderr(), "{why}");
            ExitCode::FAILURE
        }
    }
}
