//! `piecemeal send`.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::builder::FalseyValueParser;
use clap::{ArgAction, Args, ValueEnum};
use piecemeal::client::{self, Failure, Item, Options, Progress, Quiet, Report, Why};
use piecemeal::net::Endpoint;
use piecemeal::proto::Code;
use piecemeal::proto::text::escaped;
use piecemeal::server::raise_descriptor_limit;

use super::json::{self, JsonArgument};
use super::progress::{Bar, Plain};
use super::receipts::{ReceiptsArgument, Several};
use super::serve::OnConflict;
use super::units::{Limit, duration, show_count, show_size};
use super::{Exit, tell};

#[derive(Debug, Args)]
#[command(after_help = super::exit::SEND_HELP)]
pub(super) struct Arguments {
    /// The server: HOST:PORT, [IPv6]:PORT or unix:PATH
    #[arg(
        long,
        env = "PIECEMEAL_TO",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:9000"
    )]
    to: Endpoint,

    /// What the file is to be called there; for one file only
    #[arg(long, env = "PIECEMEAL_NAME", value_name = "NAME")]
    name: Option<String>,

    /// Connections to send over
    #[arg(short = 'j', long, env = "PIECEMEAL_CONNECTIONS", value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,

    /// What to do when a file of the same name is there, where the server lets clients choose
    #[arg(long, env = "PIECEMEAL_ON_CONFLICT", value_name = "POLICY")]
    on_conflict: Option<OnConflict>,

    /// Give up when nothing moves for so long; 0 never does
    #[arg(long, env = "PIECEMEAL_TIMEOUT", value_name = "TIME", value_parser = duration, default_value = "2m")]
    timeout: Limit<Duration>,

    /// Give no digests: less work at both ends, but damage on the way, or a file that changes while
    /// it is sent, goes unnoticed
    #[arg(long, env = "PIECEMEAL_NO_VERIFY", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    no_verify: bool,

    /// Read and write every file, where the system could move it into the socket by itself
    /// (sendfile): for file systems and drivers that do it badly
    #[arg(long, env = "PIECEMEAL_NO_SENDFILE", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    no_sendfile: bool,

    /// How progress is shown
    #[arg(
        long,
        env = "PIECEMEAL_PROGRESS",
        value_name = "HOW",
        default_value = "auto"
    )]
    progress: ProgressArgument,

    /// The files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    #[command(flatten)]
    json: JsonArgument,

    #[command(flatten)]
    receipts: ReceiptsArgument,

    #[command(flatten)]
    pieces: super::pieces::PiecesArguments,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ProgressArgument {
    /// A bar on a terminal, lines elsewhere
    Auto,
    /// A bar with speed and time left
    Bar,
    /// A line for each file
    Plain,
    /// Only failures
    None,
}

pub(super) fn run(arguments: Arguments) -> Exit {
    if arguments.name.is_some() && arguments.files.len() > 1 {
        tell(
            "piecemeal: --name is for one file; leave it out to send several under their own names",
        );
        return Exit::Usage;
    }
    if arguments.name.as_deref() == Some("") {
        tell("piecemeal: --name is empty; leave it out to send the file under its own name");
        return Exit::Usage;
    }
    let options = Options {
        connections: usize::from(arguments.connections),
        conflict: arguments.on_conflict.map(Into::into),
        timeout: arguments.timeout.0,
        signals: true,
        verify: !arguments.no_verify,
        sendfile: !arguments.no_sendfile,
        pieces: arguments.pieces.plan(),
        ..Options::to(arguments.to.clone())
    };
    raise_descriptor_limit();
    let items = arguments.items();
    let show = match arguments.progress {
        ProgressArgument::Auto if std::io::stderr().is_terminal() => ProgressArgument::Bar,
        ProgressArgument::Auto if arguments.json.json => ProgressArgument::None,
        ProgressArgument::Auto => ProgressArgument::Plain,
        asked => asked,
    };
    let mut progress: Box<dyn Progress> = match show {
        ProgressArgument::Auto | ProgressArgument::Bar => Box::new(Bar::new(&items)),
        ProgressArgument::Plain => Box::new(Plain),
        ProgressArgument::None => Box::new(Quiet),
    };
    let mut receipts = match arguments.receipts.open(&arguments.to) {
        Ok(receipts) => receipts,
        Err(error) => {
            tell(format_args!("piecemeal: {error}"));
            return Exit::Local;
        }
    };
    let mut told = arguments.json.json.then_some(json::send::JsonProgress);
    let mut several = Several(vec![&mut *progress]);
    if let Some(receipts) = &mut receipts {
        several.0.push(receipts);
    }
    if let Some(told) = &mut told {
        several.0.push(told);
    }
    let started = Instant::now();
    let sent = client::send(&options, items, &mut several);
    // A bar is taken away before anything else is written.
    drop(progress);
    let report = match sent {
        Ok(report) => report,
        Err(why) => {
            if arguments.json.json {
                json::send::failed(&why);
            }
            tell(format_args!("piecemeal: {why}{}", hint(&why)));
            return Exit::of(&why);
        }
    };
    for line in failure_lines(&report.failures) {
        tell(line);
    }
    if show != ProgressArgument::None {
        tell(summary(&report, started.elapsed()));
    }
    let mut exit = Exit::of_report(&report);
    if let Some(Err(error)) = receipts.map(super::receipts::Receipts::finish) {
        tell(format_args!("piecemeal: {error}"));
        if exit == Exit::Success {
            exit = Exit::Local;
        }
    }
    if arguments.json.json {
        json::send::summary(&report, started.elapsed(), exit.code());
    }
    exit
}

impl Arguments {
    fn items(&self) -> Vec<Item> {
        let name_of = |path: &Path| match (&self.name, path.file_name()) {
            (Some(name), _) => name.clone(),
            // A name that is none is told from the path; see `reason`.
            (None, Some(name)) => name.to_str().unwrap_or_default().to_owned(),
            (None, None) => String::new(),
        };
        self.files
            .iter()
            .map(|path| Item {
                name: name_of(path),
                path: path.clone(),
            })
            .collect()
    }
}

/// What is said of the files that failed, in their order. What has nothing to do with the file is
/// said once, of all that it befell.
fn failure_lines(failures: &[Failure]) -> Vec<String> {
    let mut groups: Vec<(String, &Failure, u64)> = Vec::new();
    for failure in failures {
        let why = reason(failure);
        let group = groups
            .iter_mut()
            .find(|(text, _, _)| *text == why && is_about_no_file(&failure.why));
        match group {
            Some((_, _, count)) => *count += 1,
            None => groups.push((why, failure, 1)),
        }
    }
    let lines = groups.into_iter().map(|(why, first, count)| {
        let path = escaped(first.item.path.as_os_str().as_encoded_bytes());
        match count {
            1 => format!("piecemeal: {path}: {why}"),
            count => format!("piecemeal: {count} files, from {path} on: {why}"),
        }
    });
    lines.collect()
}

/// Why a file failed, and what would help.
fn reason(failure: &Failure) -> String {
    let path = &failure.item.path;
    if failure.item.name.is_empty() {
        // It was never given one: its path has none, or none that is text.
        return if path.is_dir() {
            "it is a folder; name the files in it".to_owned()
        } else if path.file_name().is_some() {
            "its name is not UTF-8; --name gives it another".to_owned()
        } else {
            "it has no name; --name gives it one".to_owned()
        };
    }
    format!("{}{}", failure.why, hint(&failure.why))
}

/// Whether any file would have failed of it.
fn is_about_no_file(why: &Why) -> bool {
    match why {
        Why::Signal | Why::Cut(_) | Why::Connect { .. } | Why::Resolve { .. } | Why::TimedOut => {
            true
        }
        Why::Refused(refusal) => matches!(refusal.code, Some(Code::Busy | Code::Shutdown)),
        _ => false,
    }
}

fn summary(report: &Report, took: Duration) -> String {
    let seconds = took.as_secs_f64();
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate for people"
    )]
    let rate = (report.stored_bytes as f64 / seconds.max(1e-6)) as u64;
    let failed = match report.failures.len() {
        0 => String::new(),
        count => format!("; {} failed", show_count(count as u64, "file")),
    };
    let (stored, bytes) = (
        show_count(report.stored as u64, "file"),
        show_size(report.stored_bytes),
    );
    format!(
        "{stored} stored, {bytes} in {seconds:.2} s ({}/s){failed}",
        show_size(rate)
    )
}

/// What would help, where that is known.
fn hint(why: &Why) -> &'static str {
    match why {
        Why::Resolve { .. } => "; is the name right?",
        Why::Connect { .. } => "; is the server running? `piecemeal serve` starts one",
        Why::Lost(_) => "; send it again: what was stored already is recognised",
        Why::Changed(_) => "; send it again once nobody writes to it",
        Why::Cut(_)
        | Why::Local(_)
        | Why::TakenForName
        | Why::TakenForText
        | Why::Broken(_)
        | Why::Signal
        | Why::System(_) => "",
        Why::TimedOut => "; --timeout sets how long it may be silent",
        Why::Name { .. } => "; --name gives it another",
        Why::Refused(refusal) => match refusal.code {
            Some(Code::Exists) => "; --name or --on-conflict rename gives it another name",
            Some(Code::BadName) => "; --name gives it another",
            Some(Code::TooLarge) => "; a larger --max-size there would take it",
            Some(Code::NoSpace) => "; somebody has to make room there",
            Some(Code::Digest) => "; it changed while it was sent, or on its way: send it again",
            // It says itself when.
            Some(Code::Busy) if refusal.retry.is_some() => "",
            Some(Code::Busy | Code::Shutdown | Code::Timeout) => "; try again later",
            Some(Code::Io) => "; the server's log says more",
            Some(Code::Unknown) => "; send it again: what was stored already is recognised",
            _ => "",
        },
    }
}
