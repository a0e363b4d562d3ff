//! The command line. Each command turns its arguments into the library's configuration, and what
//! came of it into an [`Exit`].

mod bench;
mod demo;
mod exit;
mod hooks;
mod journal;
mod json;
mod lab;
mod logging;
mod pieces;
mod progress;
mod receipts;
mod say;
mod send;
mod serve;
mod teller;
mod trace;
mod tracing;
mod units;
mod verify;

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use exit::Exit;

#[derive(Debug, Parser)]
#[command(
    name = "piecemeal",
    version,
    about = "Receives and sends files; an OK means that the file is safe",
    after_help = exit::SEND_HELP,
    max_term_width = 100,
    arg_required_else_help = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Receive files into a folder
    Serve(serve::Arguments),
    /// Send files to a server
    Send(send::Arguments),
    /// Send text to a server that runs with --strings message
    Say(say::Arguments),
    /// The tasks of a first course on sockets: their servers, their clients, and a checker
    Lab(lab::Arguments),
    /// Measure how fast a server is: one of its own, or another
    Bench(Box<bench::Arguments>),
    /// Check a folder against a server's journal or a client's receipts
    Verify(verify::Arguments),
    /// Draw what a traced connection did
    Trace(trace::Arguments),
    /// Show the whole thing at work: a server, 64 clients, 200 files
    #[command(after_help = exit::DEMO_HELP)]
    Demo,
}

/// Runs the command that the program was called with.
pub(crate) fn run() -> ExitCode {
    let exit = match Arguments::parse().command {
        Command::Serve(arguments) => serve::run(arguments),
        Command::Send(arguments) => send::run(arguments),
        Command::Say(arguments) => say::run(arguments),
        Command::Lab(arguments) => lab::run(arguments),
        Command::Bench(arguments) => bench::run(*arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Trace(arguments) => trace::run(arguments),
        Command::Demo => demo::run(),
    };
    exit.into()
}

/// Writes a line to standard error. Nobody may read it, which is no reason to fail.
fn tell(line: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Writes a line to standard output, likewise.
fn print(line: impl Display) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn every_flag_has_an_environment_variable_of_its_name() {
        Arguments::command().debug_assert();
        let mut commands = vec![(Arguments::command(), false)];
        while let Some((command, in_lab)) = commands.pop() {
            let below = command.get_subcommands().cloned();
            commands.extend(below.map(|below| (below, in_lab || command.get_name() == "lab")));
            let flags = command
                .get_arguments()
                .filter(|flag| flag.get_long().is_some());
            for flag in flags.filter(|flag| !["help", "version"].contains(&flag.get_id().as_str()))
            {
                let long = flag.get_long().expect("it was filtered").replace('-', "_");
                let variable = flag
                    .get_env()
                    .expect("a flag has a variable")
                    .to_string_lossy();
                let long = long.to_uppercase();
                // The lab's own flags mean other things than another command's of that name: the
                // folder of `serve` is no place for what a checker sends.
                let shared = ["TRACE", "TRACE_FILE", "DRIBBLE", "PIECES", "CUT_AFTER"]
                    .contains(&long.as_str());
                let prefix = if in_lab && !shared { "LAB_" } else { "" };
                assert_eq!(variable, format!("PIECEMEAL_{prefix}{long}"));
                // Those are a hook's facts; it may well call this program.
                assert!(!variable.starts_with("PIECEMEAL_STORED_"));
            }
        }
    }
}
