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
    let mut builder = Builder::new();
    if std::env::var_os("RUST_LOG").is_some() {
        // It speaks for all modules, this program's included.
        builder.filter_level(level).parse_env(Env::default());
    } else {
        // The steps of the libraries below are nobody's business here.
        builder
            .filter_level(level.min(LevelFilter::Warn))
            .filter_module("piecemeal", level);
    }
    builder.target(Target::Pipe(Box::new(lines))).init();
}
