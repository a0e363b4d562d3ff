//! Which settings a command has: its long flags.

use clap::{Arg, Command};

use super::{CONFIG, PRINT_CONFIG};

/// How alike two words are at least, from 0 to 1, for one to be taken for the other misspelt; it
/// is what clap asks of flags.
const ALIKE: f64 = 0.7;

/// The flags that a file may set.
pub(super) fn settings(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| {
        let long = arg.get_long();
        long.is_some_and(|long| ![CONFIG, PRINT_CONFIG, "help", "version"].contains(&long))
    })
}

/// What a setting is called.
pub(super) fn key(arg: &Arg) -> &str {
    arg.get_long().expect("settings are long flags")
}

/// Whether a table can have anything in it.
pub(super) fn has_table(command: &Command) -> bool {
    settings(command).next().is_some() || command.get_subcommands().any(has_table)
}

/// A command by its names.
pub(super) fn find<'a>(command: &'a Command, table: &[String]) -> Option<&'a Command> {
    let mut names = table.iter();
    names.try_fold(command, |command, name| command.find_subcommand(name))
}

/// The name that was most likely meant.
pub(super) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let alike = known.iter().map(|known| (strsim::jaro(name, known), known));
    let nearest = alike
        .filter(|(alike, _)| *alike > ALIKE)
        .max_by(|(one, _), (other, _)| one.total_cmp(other));
    nearest.map(|(_, known)| *known)
}
