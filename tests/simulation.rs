//! Many small worlds, each from one seed: whatever happens to wire, disk and power, an OK holds.

#[path = "simulation/mod.rs"]
mod world;

/// How many seeds are run; PIECEMEAL_SIMULATION_SEEDS sets another number, and
/// PIECEMEAL_SIMULATION_SEED runs one alone.
const SEEDS: u64 = 2_000;

#[test]
fn an_ok_holds_whatever_happens() {
    let set = |name| {
        std::env::var(name)
            .ok()
            .and_then(|value| value.parse::<u64>().ok())
    };
    let seeds = match set("PIECEMEAL_SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..set("PIECEMEAL_SIMULATION_SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds {
        if let Err(why) = world::run(seed) {
            panic!("{why}");
        }
    }
}
