//! `piecemeal trace`.

use std::path::PathBuf;

use clap::Args;

use super::exit::Exit;
use super::tell;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The trace, as --trace-file wrote it
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(super) fn run(arguments: Arguments) -> Exit {
    tell(format!("{} is not read yet", arguments.file.display()));
    Exit::Other
}
