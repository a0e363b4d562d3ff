//! Settings: a flag, over its environment variable, over `--config FILE`, over the default.
//!
//! A key of the file is a flag's long name, and a table is named for its command: `[serve]`,
//! `[lab.check]`. So clap's description of the commands is the only list of settings there is, and
//! a command that has flags gets `--config` and `--print-config` by itself. What the file says
//! takes the place of its flag's default; that it has less weight than all else follows.
//!
//! `file.rs` reads, `known.rs` says which keys there are, `print.rs` writes. None of them knows
//! what a setting means.

mod file;
mod known;
mod print;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::usage;
use file::{File, Setting};

const CONFIG: &str = "config";
const PRINT_CONFIG: &str = "print-config";

/// A command line that was understood.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) matches: ArgMatches,
    pub(super) settings: Settings,
}

/// Why there is nothing to run.
#[derive(Debug)]
pub(super) enum Stop {
    /// The command line is wrong, or asks for help.
    Usage(clap::Error),
    /// The file can't be used; a line for a person.
    Fault(String),
    /// The settings were to be printed: these.
    Print(String),
}

impl From<clap::Error> for Stop {
    fn from(error: clap::Error) -> Stop {
        Stop::Usage(usage::shown(error))
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::Usage(error) => error.fmt(f),
            Stop::Fault(text) | Stop::Print(text) => f.write_str(text),
        }
    }
}

/// The settings that a command came to, whoever gave them.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// The file that some may be from.
    pub(super) file: Option<PathBuf>,
    /// By key.
    values: Vec<(String, Vec<OsString>)>,
}

impl Settings {
    /// The keys whose values others are not.
    pub(super) fn differing<'a>(&'a self, others: &'a Settings) -> impl Iterator<Item = &'a str> {
        let pairs = self.values.iter().zip(&others.values);
        pairs
            .filter(|(own, other)| own != other)
            .map(|((key, _), _)| key.as_str())
    }

    /// Takes over the values that others have for some keys.
    pub(super) fn take(&mut self, others: &Settings, keys: &[String]) {
        for (own, other) in self.values.iter_mut().zip(&others.values) {
            if keys.contains(&own.0) {
                own.clone_from(other);
            }
        }
    }
}

/// Gives every command that has settings the two flags of this module.
pub(super) fn complete(command: Command) -> Command {
    let has_settings = known::settings(&command).next().is_some();
    let command = command.mut_subcommands(complete);
    if !has_settings {
        return command;
    }
    let heading = "Configuration";
    let config = Arg::new(CONFIG)
        .long(CONFIG)
        .env("PIECEMEAL_CONFIG")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help_heading(heading)
        .help(
            "Take settings from this TOML file: a flag's long name is a key, in a table named for \
             the command. Flags and variables go before it; a fault in it is wrong usage",
        );
    let print = Arg::new(PRINT_CONFIG)
        .long(PRINT_CONFIG)
        .env("PIECEMEAL_PRINT_CONFIG")
        .action(ArgAction::SetTrue)
        .value_parser(FalseyValueParser::new())
        .help_heading(heading)
        .help("Print the settings as such a file, with where each comes from, and do nothing else");
    let command = command.args([config, print]);
    command.mut_args(usage::with_plain_help)
}

/// Makes sense of a command line, and of the file that it names.
///
/// # Errors
/// See [`Stop`].
pub(super) fn parse(command: &Command, words: &[OsString]) -> Result<Parsed, Stop> {
    // What is wrong is told below: the file may yet give what seems to be missing here.
    let looked = command
        .clone()
        .ignore_errors(true)
        .try_get_matches_from(words)?;
    let (table, called) = called(&looked);
    let path = called.try_get_one::<PathBuf>(CONFIG).ok().flatten();
    let file = path.map(|path| File::read(path)).transpose();
    let file = file.map_err(Stop::Fault)?;
    let from_file = file.as_ref().map(|file| file.settings(command, &table));
    let from_file = from_file.transpose().map_err(Stop::Fault)?;
    let from_file = from_file.unwrap_or_default();
    // clap puts what is changed last, so whoever lists settings takes the commands as they were.
    let described = known::find(command, &table).expect("clap has found it");
    let command = with_defaults(command.clone(), &table, &from_file);

    let wants_print = called.try_get_one::<bool>(PRINT_CONFIG);
    let wants_print = wants_print.ok().flatten().is_some_and(|wants| *wants);
    let mut matched = command.clone().try_get_matches_from(words);
    if let Err(error) = &matched
        && wants_print
        && error.kind() == ErrorKind::MissingRequiredArgument
    {
        // All else was right, and settings can be shown without a file to send.
        matched = command
            .clone()
            .ignore_errors(true)
            .try_get_matches_from(words);
    }
    let matches = matched?;
    let (_, called) = self::called(&matches);
    if wants_print {
        let printed = print::print(described, &table, called, file.as_ref(), &from_file);
        return Err(printed.map_or_else(Stop::Fault, Stop::Print));
    }
    let values = known::settings(described).map(|arg| {
        let values = called.get_raw(arg.get_id().as_str());
        let values = values.map(|values| values.map(ToOwned::to_owned).collect());
        (known::key(arg).to_owned(), values.unwrap_or_default())
    });
    let settings = Settings {
        file: file.map(|file| file.path),
        values: values.collect(),
    };
    Ok(Parsed { matches, settings })
}

/// The command that was called: its names below the program's, and what was said to it.
fn called(matches: &ArgMatches) -> (Vec<String>, &ArgMatches) {
    let (mut names, mut called) = (Vec::new(), matches);
    while let Some((name, below)) = called.subcommand() {
        names.push(name.to_owned());
        called = below;
    }
    (names, called)
}

/// The commands, with the settings of one of them as its defaults.
fn with_defaults(command: Command, table: &[String], settings: &[Setting]) -> Command {
    match table {
        [] => settings.iter().fold(command, |command, setting| {
            command.mut_arg(&setting.id, |arg| {
                let mut values = setting.values.iter();
                let plain = values.all(|value| usage::is_shown_as_it_is(value.as_ref()));
                arg.default_values(&setting.values)
                    .hide_default_value(!plain)
                    .required(false)
            })
        }),
        [name, rest @ ..] => {
            command.mut_subcommand(name, |below| with_defaults(below, rest, settings))
        }
    }
}
