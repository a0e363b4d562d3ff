//! A file of settings: read, and held against the commands. Every fault names the file and the
//! line, and what would do instead.

use std::error::Error;
use std::fs;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgAction, Command};
use piecemeal::proto::text::escaped;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::known;

/// A file of settings has some hundred bytes; what is larger than this is another kind of file.
const BYTES_MOST: u64 = 1 << 20;

/// A file that was read.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
    text: String,
}

/// One setting of the command that was called.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Setting {
    /// What clap calls the flag.
    pub(super) id: String,
    /// As they could have been typed.
    pub(super) values: Vec<String>,
    /// Where it stands.
    pub(super) line: usize,
}

impl File {
    /// # Errors
    /// Where it can't be read, or is no text, as a line for a person.
    pub(super) fn read(path: &Path) -> Result<File, String> {
        let shown = escaped(path.as_os_str().as_encoded_bytes());
        let mut bytes = Vec::new();
        let opened = fs::File::open(path);
        let read = opened.and_then(|file| file.take(BYTES_MOST + 1).read_to_end(&mut bytes));
        read.map_err(|error| {
            format!("can't read the settings in {shown}: {error}; --config names a TOML file")
        })?;
        if bytes.len() as u64 > BYTES_MOST {
            return Err(format!("{shown} is too large to be a file of settings"));
        }
        let text = String::from_utf8(bytes)
            .map_err(|_| format!("{shown} is no UTF-8 text, and a TOML file has to be"))?;
        let path = path.to_owned();
        Ok(File { path, text })
    }

    #[cfg(test)]
    pub(super) fn of(text: &str) -> File {
        File {
            path: "test.toml".into(),
            text: text.to_owned(),
        }
    }

    /// What it says to one command. All other tables have to have good names, too: a name that is
    /// misspelt sets nothing, wherever it stands.
    ///
    /// # Errors
    /// The first fault, as a line for a person.
    pub(super) fn settings(
        &self,
        commands: &Command,
        wanted: &[String],
    ) -> Result<Vec<Setting>, String> {
        let root = DeTable::parse(&self.text).map_err(|error| {
            let at = error.span().unwrap_or(0..0);
            self.fault(&at, escaped(error.message()))
        })?;
        let mut found = Vec::new();
        self.walk(
            commands,
            root.get_ref(),
            &mut Vec::new(),
            wanted,
            &mut found,
        )?;
        Ok(found)
    }

    /// Goes through the table of one command, and those of the commands below it.
    fn walk(
        &self,
        command: &Command,
        table: &DeTable<'_>,
        names: &mut Vec<String>,
        wanted: &[String],
        found: &mut Vec<Setting>,
    ) -> Result<(), String> {
        let mut entries: Vec<_> = table.iter().collect();
        // In the order of the file, so that its first fault is the one that is told.
        entries.sort_by_key(|(name, _)| name.span().start);
        for (name, value) in entries {
            let key: &str = name.get_ref();
            let below = command.find_subcommand(key);
            let setting = known::settings(command).find(|arg| known::key(arg) == key);
            match (
                value.get_ref(),
                below.filter(|c| known::has_table(c)),
                setting,
            ) {
                (DeValue::Table(table), Some(below), _) => {
                    names.push(key.to_owned());
                    self.walk(below, table, names, wanted, found)?;
                    names.pop();
                }
                (DeValue::Table(_), None, Some(_)) => {
                    let text = format!("{} is a key and no table", full(names, key));
                    return Err(self.fault(&name.span(), text));
                }
                (_, _, Some(arg)) if names == wanted => {
                    found.push(self.setting(arg, name, value, names)?);
                }
                (_, None, Some(_)) => {}
                (_, Some(_), _) => {
                    let text = format!("{0} is a table: write [{0}]", full(names, key));
                    return Err(self.fault(&name.span(), text));
                }
                (value, None, None) => {
                    let text = unknown(command, names, key, value.is_table());
                    return Err(self.fault(&name.span(), text));
                }
            }
        }
        Ok(())
    }

    /// One setting, once its value is known to be a good one.
    fn setting(
        &self,
        arg: &Arg,
        name: &Spanned<DeString<'_>>,
        value: &Spanned<DeValue<'_>>,
        names: &[String],
    ) -> Result<Setting, String> {
        let values = values(arg, value.get_ref());
        let checked = values.and_then(|values| check(arg, &values).map(|()| values));
        let values = checked.map_err(|why| {
            let written = self.text.get(value.span()).unwrap_or_default();
            let key = full(names, name.get_ref());
            let text = format!("{key} = {}: {why}", escaped(written));
            self.fault(&value.span(), text)
        })?;
        Ok(Setting {
            id: arg.get_id().to_string(),
            values,
            line: self.line(&name.span()),
        })
    }

    fn fault(&self, at: &Range<usize>, text: impl std::fmt::Display) -> String {
        let path = escaped(self.path.as_os_str().as_encoded_bytes());
        format!("{path}:{}: {text}", self.line(at))
    }

    fn line(&self, at: &Range<usize>) -> usize {
        let before = self.text.as_bytes().get(..at.start).unwrap_or_default();
        1 + before.iter().filter(|byte| **byte == b'\n').count()
    }
}

/// A name with those of the tables that it stands in.
fn full(names: &[String], key: &str) -> String {
    let names = names.iter().map(String::as_str).chain([key]);
    escaped(&names.collect::<Vec<_>>().join(".")).to_string()
}

/// What to say of a name that means nothing where it stands.
fn unknown(command: &Command, names: &[String], key: &str, is_table: bool) -> String {
    let shown = full(names, key);
    let tables: Vec<&str> = (command.get_subcommands())
        .filter(|below| known::has_table(below))
        .map(Command::get_name)
        .collect();
    let keys: Vec<&str> = known::settings(command).map(known::key).collect();
    let bracketed = |table: &&str| format!("[{}]", full(names, table));
    let all_tables = tables.iter().map(bracketed).collect::<Vec<_>>().join(", ");
    if is_table {
        return match known::nearest(key, &tables) {
            Some(meant) => format!(
                "there is no table [{shown}]: did you mean {}?",
                bracketed(&meant)
            ),
            None if tables.is_empty() => format!("there is no table [{shown}]"),
            None => format!("there is no table [{shown}]: there are {all_tables}"),
        };
    }
    if keys.is_empty() {
        return format!("{shown} stands in no table that has keys: those are {all_tables}");
    }
    let instead = match known::nearest(key, &keys) {
        Some(meant) => format!("did you mean {meant}?"),
        None => format!("there are {}", keys.join(", ")),
    };
    format!(
        "[{}] has no key {}: {instead}",
        names.join("."),
        escaped(key)
    )
}

/// A value's texts, as they would have been typed; a switch is `true` or `false`.
fn values(arg: &Arg, value: &DeValue<'_>) -> Result<Vec<String>, String> {
    match (arg.get_action(), value) {
        (ArgAction::SetTrue | ArgAction::SetFalse, DeValue::Boolean(on)) => {
            Ok(vec![on.to_string()])
        }
        (ArgAction::SetTrue | ArgAction::SetFalse, _) => Err("it takes true or false".into()),
        (ArgAction::Append, DeValue::Array(list)) if list.is_empty() => {
            Err("an empty list sets nothing; leave the key out".into())
        }
        (ArgAction::Append, DeValue::Array(list)) => {
            list.iter().map(|value| text(value.get_ref())).collect()
        }
        (_, value) => text(value).map(|text| vec![text]),
    }
}

fn text(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) => {
            let read = i128::from_str_radix(number.as_str(), number.radix());
            let read = read.map_err(|_| "it is too large a number".to_owned())?;
            Ok(read.to_string())
        }
        DeValue::Float(number) => Ok(number.as_str().to_owned()),
        DeValue::Boolean(_) => Err("it takes a text or a number, and no switch".into()),
        DeValue::Datetime(_) => Err("it takes a text: put it in quotes".into()),
        DeValue::Array(_) => Err("it takes one value, and no list".into()),
        DeValue::Table(_) => Err("it takes values, and no tables".into()),
    }
}

/// Whether the flag would have taken these values, had they been typed.
fn check(arg: &Arg, values: &[String]) -> Result<(), String> {
    if matches!(arg.get_action(), ArgAction::SetTrue | ArgAction::SetFalse) {
        return Ok(());
    }
    // Apart from its command, whose other flags have no part in this.
    let mut probe = Arg::new("value")
        .long("value")
        .action(ArgAction::Append)
        .value_parser(arg.get_value_parser().clone());
    if let Some(delimiter) = arg.get_value_delimiter() {
        probe = probe.value_delimiter(delimiter);
    }
    let command = Command::new("probe").no_binary_name(true).arg(probe);
    let words = values.iter().map(|value| format!("--value={value}"));
    let tried = command.try_get_matches_from(words);
    tried.map(|_| ()).map_err(|error| reason(&error, values))
}

/// Why clap doesn't take a value, and what it would take.
fn reason(error: &clap::Error, values: &[String]) -> String {
    if let Some(source) = error.source() {
        return source.to_string();
    }
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(valid)) if !valid.is_empty() => {
            format!("it is one of {}", valid.join(", "))
        }
        _ if values.iter().any(String::is_empty) => "it is empty; leave the key out".to_owned(),
        _ => "it is no good value".to_owned(),
    }
}
