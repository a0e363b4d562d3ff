//! `--print-config`: what a command's settings came to, as a file that would set them again.

use std::ffi::OsStr;
use std::fmt::Write;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use piecemeal::proto::text::{escaped, is_plain};
use toml::Value;

use super::file::{File, Setting};
use super::known;

/// The settings of one command, each with where it is from.
///
/// # Errors
/// Where one is no text, which TOML can't hold; as a line for a person.
pub(super) fn print(
    command: &Command,
    table: &[String],
    matches: &ArgMatches,
    file: Option<&File>,
    from_file: &[Setting],
) -> Result<String, String> {
    let names = table.join(".");
    let spaced = table.join(" ");
    let mut text = format!("# What `piecemeal {spaced}` runs with; --config takes this back.\n");
    let _ = writeln!(text, "[{names}]");
    for arg in known::settings(command) {
        let key = known::key(arg);
        let _ = match value(arg, matches)? {
            Some(value) => {
                let source = source(arg, matches, file, from_file);
                writeln!(text, "{key} = {}  # {source}", shown(&value))
            }
            None => writeln!(text, "# {key} is not set"),
        };
    }
    Ok(text)
}

fn value(arg: &Arg, matches: &ArgMatches) -> Result<Option<Value>, String> {
    let id = arg.get_id().as_str();
    // What clap has read of a variable or of repetitions stands for something else.
    match arg.get_action() {
        ArgAction::SetTrue | ArgAction::SetFalse => {
            return Ok(Some(Value::Boolean(matches.get_flag(id))));
        }
        ArgAction::Count => return Ok(Some(Value::Integer(matches.get_count(id).into()))),
        _ => {}
    }
    let Some(raw) = matches.get_raw(id) else {
        return Ok(None);
    };
    let scalar = |text: &OsStr| match text.to_str() {
        Some(text) => Ok(scalar(text)),
        None => Err(format!(
            "--{} is no text, so it can't stand in a file of settings",
            known::key(arg)
        )),
    };
    let mut values = raw.map(scalar).collect::<Result<Vec<_>, _>>()?;
    Ok(match arg.get_action() {
        ArgAction::Append => Some(Value::Array(values)),
        _ => values.pop(),
    })
}

/// A value as TOML, in one line and with nothing in it that isn't plain.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) if !text.chars().all(is_plain) => basic_string(text),
        Value::Array(values) => {
            let values: Vec<_> = values.iter().map(shown).collect();
            format!("[{}]", values.join(", "))
        }
        value => value.to_string(),
    }
}

/// The one kind of TOML's strings in which every character can be written by its number.
fn basic_string(text: &str) -> String {
    let mut string = String::from('"');
    for c in text.chars() {
        let _ = match c {
            '"' | '\\' => write!(string, "\\{c}"),
            c if is_plain(c) => write!(string, "{c}"),
            c => write!(string, "\\U{:08x}", u32::from(c)),
        };
    }
    string + "\""
}

/// A plain number is written as one.
fn scalar(text: &str) -> Value {
    match text.parse::<i64>() {
        Ok(number) if number.to_string() == text => Value::Integer(number),
        _ => Value::String(text.to_owned()),
    }
}

fn source(arg: &Arg, matches: &ArgMatches, file: Option<&File>, from_file: &[Setting]) -> String {
    let id = arg.get_id().as_str();
    let set = from_file.iter().find(|setting| setting.id == id);
    match (matches.value_source(id), file.zip(set), arg.get_env()) {
        (Some(ValueSource::CommandLine), _, _) => "from the flag".to_owned(),
        (Some(ValueSource::EnvVariable), _, Some(variable)) => {
            format!("from the variable {}", variable.to_string_lossy())
        }
        (_, Some((file, set)), _) => {
            let path = escaped(file.path.as_os_str().as_encoded_bytes());
            format!("from {path}:{}", set.line)
        }
        _ => "default".to_owned(),
    }
}
