//! The `piecemeal` command: arguments → configuration → exit code.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
