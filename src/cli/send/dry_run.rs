//! `send --dry-run`: lists what would be sent, for people or for programs, and sends nothing.

use std::time::Instant;

use piecemeal::client::{Failure, Found, Item, Report, Why};
use piecemeal::proto::Name;
use piecemeal::proto::name::NameRules;
use piecemeal::proto::text::escaped;

use crate::cli::gather::shown;
use crate::cli::units::{show_count, show_size};
use crate::cli::{Exit, json, print, tell};

/// Lists it. A stream is neither read nor run. `failure_lines` says what is said of the rest.
pub(super) fn run(
    found: Found,
    is_stream: bool,
    as_json: bool,
    failure_lines: impl FnOnce(&[Failure]) -> Vec<String>,
) -> Exit {
    let started = Instant::now();
    let (mut count, mut total) = (0_u64, 0_u64);
    let mut failures = found.failures;
    for item in found.items {
        match size_of(&item, is_stream) {
            Ok(size) => {
                if as_json {
                    json::send::listed(&item, size);
                } else {
                    print(line(&item, size));
                }
                count += 1;
                total = total.saturating_add(size.unwrap_or_default());
            }
            Err(why) => failures.push(Failure { item, why }),
        }
    }
    let files = show_count(count, "file");
    match is_stream {
        true => tell(format_args!("{files} would be sent")),
        false => tell(format_args!("{files} would be sent, {}", show_size(total))),
    }
    failure_lines(&failures).iter().for_each(tell);
    // What would be stored counts here, so that the exit code is that of the sending.
    let would_be = Report {
        stored: usize::try_from(count).unwrap_or(usize::MAX),
        failures,
        ..Report::default()
    };
    let exit = Exit::of_report(&would_be);
    if as_json {
        json::send::failures(&would_be.failures);
        let nothing = Report {
            stored: 0,
            ..would_be
        };
        json::send::summary(&nothing, started.elapsed(), exit.code());
    }
    exit
}

fn line(item: &Item, size: Option<u64>) -> String {
    let (path, name) = (shown(&item.path), escaped(&item.name));
    let size = size.map_or_else(String::new, |size| format!(", {}", show_size(size)));
    format!("{path} → {name}{size}")
}

/// The size of what can be sent, as far as can be told without opening it; a stream has none.
fn size_of(item: &Item, is_stream: bool) -> Result<Option<u64>, Why> {
    let size = if is_stream {
        None
    } else {
        let facts = std::fs::metadata(&item.path).map_err(|error| Why::Local(error.to_string()))?;
        if !facts.is_file() {
            return Err(Why::Local("it is not a plain file".to_owned()));
        }
        Some(facts.len())
    };
    match Name::parse(&item.name, NameRules::LOOSEST) {
        Ok(_) => Ok(size),
        Err(fault) => Err(Why::Name {
            name: item.name.clone(),
            fault,
        }),
    }
}
