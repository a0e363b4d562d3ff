//! What the program says of its own work: `RUST_LOG`, else `-v` and `-q`.

use env_logger::{Builder, Env, Target};
use log::LevelFilter;
use piecemeal::observe::LineSender;

/// Sends the log through `lines`, so that a reader who stalls stalls nobody else.
pub(super) fn start(quiet: bool, verbose: u8, lines: LineSender) {
    let level = match (quiet, verbose) {
        (true, _) => LevelFilter::Error,
        (false, 0) => LevelFilter::Warn,
        (false, 1) => LevelFilter::Debug,
        (false, _) => LevelFilter::Trace,
    };
    Builder::new()
        .filter_level(level.min(LevelFilter::Warn))
        // The steps of the libraries below are nobody's business here.
        .filter_module("piecemeal", level)
        .parse_env(Env::default())
        .target(Target::Pipe(Box::new(lines)))
        .init();
}
