//! What clap says of a command line, with nothing in it that isn't plain.
//!
//! Somebody who types `piecemeal send *` passes on whatever the files there are called, and one of
//! them may be called `--` and an escape sequence. clap shows a word that it doesn't know as it is.

use std::ffi::OsStr;

use clap::Arg;
use clap::error::{ContextKind, ContextValue, Error};
use piecemeal::proto::text::{escaped, is_plain};

/// The same error, with the words in it escaped where they aren't plain text.
pub(super) fn shown(mut error: Error) -> Error {
    let context: Vec<_> = error
        .context()
        .filter_map(|(kind, value)| Some((kind, plain_value(value)?)))
        .collect();
    if !context.is_empty() {
        // It is about the same word, and has clap's styles around it.
        error.remove(ContextKind::Suggested);
    }
    for (kind, value) in context {
        error.insert(kind, value);
    }
    error
}

/// Leaves a variable's value out of the help, where it could do something to a terminal.
pub(super) fn with_plain_help(arg: Arg) -> Arg {
    let value = arg.get_env().and_then(std::env::var_os);
    let hides = value.is_some_and(|value| !is_shown_as_it_is(&value));
    arg.hide_env_values(hides)
}

/// Whether nothing of a word would have to be escaped.
pub(super) fn is_shown_as_it_is(word: &OsStr) -> bool {
    word.to_str().is_some_and(|word| word.chars().all(is_plain))
}

/// What is to stand in place of a value that isn't plain. What clap wrote itself, lines and styles,
/// is.
fn plain_value(value: &ContextValue) -> Option<ContextValue> {
    let is_shown = |word: &str| word.chars().all(is_plain);
    let shown = |word: &String| escaped(word).to_string();
    match value {
        ContextValue::String(word) if !is_shown(word) => Some(ContextValue::String(shown(word))),
        ContextValue::Strings(words) if !words.iter().all(|word| is_shown(word)) => {
            Some(ContextValue::Strings(words.iter().map(shown).collect()))
        }
        _ => None,
    }
}
