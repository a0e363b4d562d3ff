//! The `piecemeal` command: arguments → configuration → exit code.

mod cli;
mod demo;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
