//! What the program says of its own work: `RUST_LOG`, else `-v` and `-q`.

use std::io::Write;

use clap::ValueEnum;
use env_logger::{Builder, Target};
use log::LevelFilter;
use piecemeal::observe::LineSender;
use piecemeal::proto::text::{is_plain, plain_json};
use piecemeal::store::journal::entry::timestamp;
use serde::Serialize;

/// How the lines on standard error are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// As people read them
    Text,
    /// One JSON object each: time, level, target, message
    Json,
}

/// A line for programs.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    level: &'a str,
    target: &'a str,
    message: &'a str,
}

impl Line<'_> {
    fn written(&self) -> String {
        let json = serde_json::to_string(self);
        plain_json(json.expect("text is always JSON"))
    }
}

impl LogFormat {
    /// Lines for people in this format.
    pub(super) fn of_lines(self, lines: LineSender) -> LineSender {
        match self {
            LogFormat::Text => lines,
            LogFormat::Json => lines.shaped(|message| {
                let line = Line {
                    time: timestamp(),
                    level: "info",
                    target: "piecemeal",
                    message,
                };
                line.written()
            }),
        }
    }
}

/// Sends the log through `lines`, so that a reader who stalls stalls nobody else.
pub(super) fn start(quiet: bool, verbose: u8, lines: LineSender) {
    start_as(LogFormat::Text, quiet, verbose, lines);
}

/// The same in a format.
pub(super) fn start_as(format: LogFormat, quiet: bool, verbose: u8, lines: LineSender) {
    let level = match (quiet, verbose) {
        (true, _) => LevelFilter::Error,
        (false, 0) => LevelFilter::Warn,
        (false, 1) => LevelFilter::Debug,
        (false, _) => LevelFilter::Trace,
    };
    let mut builder = Builder::new();
    if std::env::var_os("RUST_LOG").is_some() {
        // It speaks for all modules, this program's included.
        builder.filter_level(level);
        parse_variable(&mut builder);
    } else {
        // The steps of the libraries below are nobody's business here.
        builder
            .filter_level(level.min(LevelFilter::Warn))
            .filter_module("piecemeal", level);
    }
    if format == LogFormat::Json {
        builder.format(|out, record| {
            let line = Line {
                time: timestamp(),
                level: &record.level().as_str().to_lowercase(),
                target: record.target(),
                message: &record.args().to_string(),
            };
            writeln!(out, "{}", line.written())
        });
    }
    builder.target(Target::Pipe(Box::new(lines))).init();
}

/// Does what `RUST_LOG` says. What the logger can't read in it, it shows as it is.
fn parse_variable(builder: &mut Builder) {
    match std::env::var("RUST_LOG") {
        Ok(filters) if filters.chars().all(is_plain) => {
            builder.parse_filters(&filters);
        }
        _ => super::tell("piecemeal: RUST_LOG has what is no plain text, and is ignored"),
    }
}
