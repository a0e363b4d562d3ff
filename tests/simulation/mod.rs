//! The whole server in one thread: the real reactor, sessions and machines, with model clients, a
//! model network, store and disk under a virtual clock. All chance comes from one seed, and what
//! is promised is checked after every step.
//!
//! A seed makes a [`Plan`]; a [`World`] plays it. A plan that fails is made smaller and told.

mod checks;
mod client;
mod committer;
mod content;
mod core;
mod disk;
mod faults;
mod figures;
mod hub;
mod link;
mod lives;
mod outcomes;
mod partials;
mod plan;
mod script;
mod sending;
mod server;
mod shrink;
mod store;
mod telling;
mod wire;
mod world;

use std::cell::RefCell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

pub(crate) use figures::Figures;
use plan::Plan;
use world::World;

/// Lines of a story that are told, its last ones.
const LINES: usize = 120;

thread_local! {
    /// What a world panicked with, while one is played.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Plays the worlds of many seeds on so many threads, and calls `done` now and then with how many
/// were played. Returns what they consisted of, and what went wrong first.
pub(crate) fn run_all(
    seeds: Range<u64>,
    jobs: usize,
    done: impl Fn(u64) + Sync,
) -> (Figures, Result<(), String>) {
    let next = AtomicU64::new(seeds.start);
    let play = || {
        let mut figures = Figures::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return (figures, Ok(()));
            }
            match run(seed) {
                Ok(more) => figures.merge(&more),
                Err(why) => {
                    next.store(seeds.end, Ordering::Relaxed);
                    return (figures, Err(why));
                }
            }
            done(seed + 1 - seeds.start);
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs).map(|_| scope.spawn(play)).collect();
        let mut all = (Figures::default(), Ok(()));
        for thread in threads {
            let (figures, result) = thread.join().expect("what a world panics with is caught");
            all.0.merge(&figures);
            all.1 = all.1.and(result);
        }
        all
    })
}

/// Plays one seed's world. What went wrong is told as shortly as could be found.
pub(crate) fn run(seed: u64) -> Result<Figures, String> {
    let plan = Plan::from_seed(seed);
    let why = match play(&plan, false) {
        (figures, _, Ok(())) => return Ok(figures),
        (_, _, Err(why)) => why,
    };
    let plan = shrink::smallest(plan, |plan| play(plan, false).2.is_err());
    let (_, story, shortest) = play(&plan, true);
    let shortest = shortest.err().unwrap_or_default();
    let story = &story[story.len().saturating_sub(LINES)..];
    Err(format!(
        "seed {seed}: {why}\n\nThe smallest world found that fails: {plan}\n\n{}\n\n{shortest}\n\nagain: PIECEMEAL_SIMULATION_SEED={seed} cargo test --test simulation",
        story.join("\n")
    ))
}

fn play(plan: &Plan, tells: bool) -> (Figures, Vec<String>, Result<(), String>) {
    keep_panics();
    PANIC.set(Some(String::new()));
    let mut world = World::new(plan, tells);
    let played = catch_unwind(AssertUnwindSafe(|| world.run()));
    let panic = PANIC.take().unwrap_or_default();
    let result = played.unwrap_or(Err(panic));
    if result.is_err() {
        // What is half-way through a step may panic once more when it is dropped.
        let told = world.told();
        std::mem::forget(world);
        return (told.0, told.1, result);
    }
    let (mut figures, story) = world.told();
    figures.add("worlds", 1);
    (figures, story, result)
}

/// While a world is played, a panic's words are kept for its story, and not printed.
fn keep_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let kept = PANIC.with_borrow_mut(|panic| {
                let is_played = panic.is_some();
                if is_played {
                    *panic = Some(info.to_string());
                }
                is_played
            });
            if !kept {
                before(info);
            }
        }));
    });
}
