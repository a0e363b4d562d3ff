//! The command line. Each command turns its arguments into the library's configuration, and what
//! came of it into an [`Exit`].

mod bench;
mod config;
mod demo;
mod exit;
mod gather;
mod hooks;
mod journal;
mod json;
mod lab;
mod log_rate_limit;
mod logging;
mod manager;
mod pages;
mod pieces;
mod progress;
mod receipts;
mod reread;
mod say;
mod send;
mod serve;
mod teller;
mod trace;
mod tracing;
mod units;
mod usage;
mod verify;

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

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
    /// Print a script that completes this program's commands and flags in a shell
    Completions(pages::CompletionsArguments),
    /// Print this program's manual page, or write one for each command
    Man(pages::ManArguments),
}

/// Runs the command that the program was called with.
pub(crate) fn run() -> ExitCode {
    if let Some(hooks) = hooks::broker::called() {
        return hooks.run().into();
    }
    let (arguments, settings) = match parse() {
        Ok(parsed) => parsed,
        Err(config::Stop::Usage(error)) => error.exit(),
        Err(config::Stop::Fault(text)) => {
            tell(format_args!("piecemeal: {text}"));
            return Exit::Usage.into();
        }
        Err(config::Stop::Print(text)) => return pages::emit(&text).into(),
    };
    let exit = match arguments.command {
        Command::Serve(arguments) => match reread::Origin::new(settings) {
            Ok(origin) => serve::run(arguments, origin),
            Err(error) => {
                tell(format_args!("piecemeal: {error}"));
                Exit::Other
            }
        },
        Command::Send(arguments) => send::run(arguments),
        Command::Say(arguments) => say::run(arguments),
        Command::Lab(arguments) => lab::run(arguments),
        Command::Bench(arguments) => bench::run(*arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Trace(arguments) => trace::run(arguments),
        Command::Demo => demo::run(),
        Command::Completions(arguments) => pages::completions(&arguments, commands()),
        Command::Man(arguments) => pages::man(&arguments, commands()),
    };
    exit.into()
}

/// All commands, as clap knows them.
fn commands() -> clap::Command {
    config::complete(Arguments::command())
}

/// What the program was called with, and the settings of the command that it names. A server asks
/// again when it is to reread its file.
fn parse() -> Result<(Arguments, config::Settings), config::Stop> {
    let words: Vec<_> = std::env::args_os().collect();
    let mut commands = commands();
    let parsed = config::parse(&commands, &words)?;
    let arguments = Arguments::from_arg_matches(&parsed.matches);
    let arguments = arguments.map_err(|error| error.format(&mut commands))?;
    Ok((arguments, parsed.settings))
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

    #[test]
    fn every_flag_has_an_environment_variable_of_its_name() {
        commands().debug_assert();
        let mut commands = vec![(commands(), false)];
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
                let shared = [
                    "TRACE",
                    "TRACE_FILE",
                    "DRIBBLE",
                    "PIECES",
                    "CUT_AFTER",
                    "CONFIG",
                    "PRINT_CONFIG",
                ]
                .contains(&long.as_str());
                let prefix = if in_lab && !shared { "LAB_" } else { "" };
                assert_eq!(variable, format!("PIECEMEAL_{prefix}{long}"));
                // Those are a hook's facts; it may well call this program.
                assert!(!variable.starts_with("PIECEMEAL_STORED_"));
            }
        }
    }
}
