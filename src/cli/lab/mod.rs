//! `piecemeal lab`: the course's tasks.

mod check;
mod client;
mod input;
mod serve;

use clap::{Args, Subcommand};

use super::exit::Exit;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a task's server
    Serve(serve::Arguments),
    /// Run a task's client
    Client(client::Arguments),
    /// Check somebody's server, in any language
    Check(check::Arguments),
}

pub(super) fn run(arguments: Arguments) -> Exit {
    match arguments.command {
        Command::Serve(arguments) => serve::run(arguments),
        Command::Client(arguments) => client::run(arguments),
        Command::Check(arguments) => check::run(arguments),
    }
}
