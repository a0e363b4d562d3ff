//! `piecemeal send`.

mod dry_run;
mod stream;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::builder::FalseyValueParser;
use clap::{ArgAction, Args, ValueEnum};
use piecemeal::client::{self, Failure, Found, Options, Progress, Report, Why};
use piecemeal::net::Endpoint;
use piecemeal::proto::Code;
use piecemeal::server::raise_descriptor_limit;

use super::gather::{self, GatherArguments};
use super::json::{self, JsonArgument};
use super::progress::{Bar, OnlyTrouble, Plain};
use super::receipts::{ReceiptsArgument, Several};
use super::serve::OnConflict;
use super::units::{Limit, duration, rate, show_count, show_size};
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

    /// What the file, or the folder, is to be called there; for one only
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

    /// Try again so many times in a row when a connection is lost or can't be made, or the server is
    /// full or stopping, and nothing has moved forward since; 0 fails at once
    #[arg(long, env = "PIECEMEAL_RETRIES", value_name = "N", default_value = "5")]
    retries: u32,

    /// Send a file whose connection was lost from its start, and not from where the server has it
    #[arg(long, env = "PIECEMEAL_NO_RESUME", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    no_resume: bool,

    /// Run a command, and send what it writes to its standard output; it is stored only if the
    /// command ends with 0. Give the command behind `--`, in the place of files
    #[arg(long, env = "PIECEMEAL_EXEC", requires = "name", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    exec: bool,

    /// Most bytes a second over all connections together, like 10MB or 512KiB; 0 is no limit
    #[arg(long, env = "PIECEMEAL_LIMIT_RATE", value_name = "RATE", value_parser = rate, default_value = "0")]
    limit_rate: Limit<u64>,
    /// Tell the server each file's permissions and time of last change; it keeps them where it runs
    /// with --keep-metadata itself
    #[arg(long, env = "PIECEMEAL_KEEP_METADATA", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    keep_metadata: bool,

    /// How progress is shown
    #[arg(
        long,
        env = "PIECEMEAL_PROGRESS",
        value_name = "HOW",
        default_value = "auto"
    )]
    progress: ProgressArgument,

    /// The files, and folders, or `-` for standard input, which needs a --name. What is in a folder
    /// is named for it: `send photos` stores photos/a/b.jpg
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    #[command(flatten)]
    gather: GatherArguments,

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
    /// Only failures, and what is tried again
    None,
}

pub(super) fn run(arguments: Arguments) -> Exit {
    if arguments.name.is_some() && arguments.files.len() > 1 && !arguments.exec {
        tell(
            "piecemeal: --name is for one file or folder; leave it out to send several under their own names",
        );
        return Exit::Usage;
    }
    if arguments.name.as_deref() == Some("") {
        tell("piecemeal: --name is empty; leave it out to send the file under its own name");
        return Exit::Usage;
    }
    let input = match stream::asked_for(arguments.exec, arguments.name.is_some(), &arguments.files)
    {
        Ok(input) => input,
        Err(why) => {
            tell(why);
            return Exit::Usage;
        }
    };
    let options = Options {
        connections: usize::from(arguments.connections),
        conflict: arguments.on_conflict.map(Into::into),
        timeout: arguments.timeout.0,
        signals: true,
        verify: !arguments.no_verify,
        sendfile: !arguments.no_sendfile,
        limit_rate: arguments.limit_rate.0,
        retries: arguments.retries,
        resume: !arguments.no_resume,
        keep_metadata: arguments.keep_metadata,
        pieces: arguments.pieces.plan(),
        ..Options::to(arguments.to.clone())
    };
    raise_descriptor_limit();
    let found = match &input {
        Some(_) => Found {
            items: vec![stream::item(
                &arguments.files,
                arguments.name.clone().unwrap_or_default(),
            )],
            ..Found::default()
        },
        None => arguments
            .gather
            .gather(&arguments.files, arguments.name.as_deref()),
    };
    if let Some((one, other)) = gather::clash(&found.items)
        && !matches!(arguments.on_conflict, Some(OnConflict::Rename))
    {
        tell(gather::clash_line(one, other));
        return Exit::Usage;
    }
    gather::tell_left_out(&found, arguments.progress == ProgressArgument::None);
    let as_json = arguments.json.json;
    if arguments.gather.dry_run {
        return dry_run::run(found, input.is_some(), as_json, |failures| {
            failure_lines(failures, &arguments.files)
        });
    }
    let Found {
        items, failures, ..
    } = found;
    let show = match arguments.progress {
        // Not between the lines of JSON.
        ProgressArgument::Auto if as_json && std::io::stdout().is_terminal() => {
            ProgressArgument::None
        }
        ProgressArgument::Auto if std::io::stderr().is_terminal() => ProgressArgument::Bar,
        ProgressArgument::Auto if as_json => ProgressArgument::None,
        ProgressArgument::Auto => ProgressArgument::Plain,
        asked => asked,
    };
    let mut progress: Box<dyn Progress> = match show {
        ProgressArgument::Auto | ProgressArgument::Bar if input.is_some() => {
            Box::new(Bar::of_a_stream())
        }
        ProgressArgument::Auto | ProgressArgument::Bar => Box::new(Bar::new(&items)),
        ProgressArgument::Plain => Box::new(Plain),
        ProgressArgument::None => Box::new(OnlyTrouble),
    };
    let mut receipts = match arguments.receipts.open(&arguments.to) {
        Ok(receipts) => receipts,
        Err(error) => {
            tell(format_args!("piecemeal: {error}"));
            return Exit::Local;
        }
    };
    if as_json {
        // The sending itself won't hear of them.
        json::send::failures(&failures);
    }
    let mut told = as_json.then_some(json::send::JsonProgress);
    let mut several = Several(vec![&mut *progress]);
    if let Some(receipts) = &mut receipts {
        several.0.push(receipts);
    }
    if let Some(told) = &mut told {
        several.0.push(told);
    }
    let started = Instant::now();
    let sent = match (input, items.first().cloned()) {
        (Some(input), Some(item)) => client::send_stream(&options, item, input, &mut several),
        _ => client::send(&options, items, &mut several),
    };
    // A bar is taken away before anything else is written.
    drop(progress);
    let report = match sent {
        Ok(mut report) => {
            report.failures.splice(0..0, failures);
            report
        }
        Err(why) => {
            if as_json {
                json::send::failed(&why);
            }
            tell(format_args!("piecemeal: {why}{}", hint(&why)));
            return Exit::of(&why);
        }
    };
    for line in failure_lines(&report.failures, &arguments.files) {
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
    if as_json {
        json::send::summary(&report, started.elapsed(), exit.code());
    }
    exit
}

/// What is said of the files that failed, in their order. What has nothing to do with the file is
/// said once, of all that it befell.
fn failure_lines(failures: &[Failure], named: &[PathBuf]) -> Vec<String> {
    let mut groups: Vec<(String, &Failure, u64)> = Vec::new();
    for failure in failures {
        let why = reason(failure, named);
        let group = groups
            .iter_mut()
            .find(|(text, _, _)| *text == why && is_about_no_file(&failure.why));
        match group {
            Some((_, _, count)) => *count += 1,
            None => groups.push((why, failure, 1)),
        }
    }
    let lines = groups.into_iter().map(|(why, first, count)| {
        let path = gather::shown(&first.item.path);
        match count {
            1 => format!("piecemeal: {path}: {why}"),
            count => format!("piecemeal: {count} files, from {path} on: {why}"),
        }
    });
    lines.collect()
}

/// Why a file failed, and what would help. These paths were named, and the others found in them.
fn reason(failure: &Failure, named: &[PathBuf]) -> String {
    let path = &failure.item.path;
    if failure.item.name.is_empty() && matches!(failure.why, Why::Name { .. }) {
        // It was never given one: its path has none, or none that is text.
        return if path.file_name().is_some() {
            "its name is not UTF-8; --name gives it another".to_owned()
        } else {
            "it has no name; --name gives it one".to_owned()
        };
    }
    // --name names one file, or a whole folder, and none in it.
    let found = failure.item.name.contains('/') && named.first() != Some(path);
    let hint = match hint(&failure.why) {
        hint if found && hint.contains("--name") => "",
        hint => hint,
    };
    format!("{}{hint}", failure.why)
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
        | Why::Command(_)
        | Why::Gone(_)
        | Why::Local(_)
        | Why::TakenForName
        | Why::TakenForText
        | Why::Broken(_)
        | Why::Unnamed(_)
        | Why::Loop { .. }
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
