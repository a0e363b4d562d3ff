//! Output for programs: one JSON object a line on standard output, where people get lines.
//!
//! Every object has `event`, which says what it is, and `time`, RFC 3339 in UTC. docs/JSON.md lists
//! the rest; keys and codes stay what they are, and further ones may come. Text of a peer stands in
//! strings, with every character that isn't plain as `\u` and its number.

mod codes;
pub(super) mod send;
pub(super) mod serve;

use clap::builder::FalseyValueParser;
use clap::{ArgAction, Args};
use piecemeal::proto::text::plain_json;
use piecemeal::store::journal::entry::timestamp;
use serde::Serialize;

pub(super) use codes::code_of;

#[derive(Debug, Args)]
pub(super) struct JsonArgument {
    /// Print one JSON object a line, for programs: docs/JSON.md has the keys
    #[arg(long, env = "PIECEMEAL_JSON", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    pub(super) json: bool,
}

/// An object with its time.
#[derive(Serialize)]
struct Timed<E> {
    time: String,
    #[serde(flatten)]
    event: E,
}

/// An event as a line, without its end. The event itself says which it is, by a tag `event`.
pub(super) fn line(event: impl Serialize) -> String {
    let time = timestamp();
    let json = serde_json::to_string(&Timed { time, event });
    plain_json(json.expect("text and numbers are always JSON"))
}
