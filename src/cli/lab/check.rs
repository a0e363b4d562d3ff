//! `piecemeal lab check`.

use std::fmt::Display;
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::builder::FalseyValueParser;
use clap::builder::styling::{AnsiColor, Style};
use clap::{ArgAction, Args};
use piecemeal::lab::check::report::text::{self, Paint, Plain};
use piecemeal::lab::check::report::{json, junit};
use piecemeal::lab::check::{self, CheckError, Checked, Settings, Tally, Verdict};
use piecemeal::lab::{Grammar, Task};
use piecemeal::net::Endpoint;
use piecemeal::proto::text::escaped;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

use crate::cli::exit::{self, Exit};
use crate::cli::{print, tell};

#[derive(Debug, Args)]
#[command(after_help = exit::CHECK_HELP)]
pub(super) struct Arguments {
    /// Which task the server is for: hello, or 1 to 6
    #[arg(long, env = "PIECEMEAL_LAB_TASK", value_name = "TASK")]
    task: Task,

    /// The server: HOST:PORT, [IPv6]:PORT or unix:PATH
    #[arg(value_name = "ADDR", default_value = "127.0.0.1:9000")]
    address: Endpoint,

    /// The folder that the server stores files into, to see whether they are right; it is looked
    /// through with all its folders. What the check itself named there is removed at the end;
    /// files that the server named, as in tasks 4 and 5, are left
    #[arg(long, env = "PIECEMEAL_LAB_DIR", value_name = "DIR")]
    dir: Option<PathBuf>,

    /// Start the server by this command, in DIR or in a fresh folder, watch its memory and
    /// processor time, and start it again when a case kills it
    #[arg(long, env = "PIECEMEAL_LAB_START", value_name = "COMMAND")]
    start: Option<String>,

    /// How messages are laid out: u1 (also called raw), u2, u3, u4 or framed
    #[arg(long, env = "PIECEMEAL_LAB_GRAMMAR", value_name = "GRAMMAR", value_parser = grammar, default_value = "u1")]
    grammar: Grammar,

    /// Run only these cases, like 6.4; may be repeated, or have commas
    #[arg(
        long,
        env = "PIECEMEAL_LAB_ONLY",
        value_name = "CASE",
        value_delimiter = ','
    )]
    only: Vec<String>,

    /// List the cases that would be run in this grammar, and run none
    #[arg(long, env = "PIECEMEAL_LAB_LIST", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    list: bool,

    /// Print one JSON document instead of text
    #[arg(long, env = "PIECEMEAL_LAB_JSON", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    json: bool,

    /// Also write a JUnit report to this file
    #[arg(long, env = "PIECEMEAL_LAB_JUNIT", value_name = "FILE")]
    junit: Option<PathBuf>,
}

/// Reads a grammar; `raw` is what most programs speak.
fn grammar(text: &str) -> Result<Grammar, String> {
    if text == "raw" {
        return Ok(Grammar::U1);
    }
    text.parse()
        .map_err(|error| format!("{error}; raw is another word for u1"))
}

pub(super) fn run(arguments: Arguments) -> Exit {
    if arguments.list {
        return list(&arguments);
    }
    // Made before the run: nobody shall take an old report for this run's, nor wait minutes to
    // learn that there is no place for one.
    let junit = match arguments.junit.as_deref().map(Junit::create).transpose() {
        Ok(junit) => junit,
        Err(error) => {
            tell(format_args!("piecemeal: {error}"));
            return Exit::Usage;
        }
    };
    let signal = Arc::new(AtomicUsize::new(0));
    // All that a terminal sends is among them: whatever ends the check ends the server with it.
    for number in [SIGHUP, SIGINT, SIGQUIT, SIGTERM] {
        let flag = usize::try_from(number).unwrap_or(1);
        // A second one ends the program at once, as if nobody had listened for the first.
        let registered = signal_hook::flag::register_usize(number, Arc::clone(&signal), flag);
        if let Err(error) = registered {
            tell(format_args!("piecemeal: can't listen for signals: {error}"));
            return Exit::Other;
        }
    }
    let settings = Settings {
        task: arguments.task,
        grammar: arguments.grammar,
        endpoint: arguments.address,
        folder: arguments.dir,
        start: arguments.start,
        only: arguments.only,
        signal: Arc::clone(&signal),
    };
    let paint = paint();
    let mut tally = Tally::default();
    let ran = check::run(&settings, &mut |checked: &Checked| {
        tally.count(&checked.verdict);
        if !arguments.json {
            write(&text::case(&settings, checked, paint.as_ref()));
        }
    });
    let all = match ran {
        Ok(all) => all,
        Err(error) => {
            tell(format_args!("piecemeal: {error}"));
            let exit = failed(&error, &signal);
            if let Err(error) = give_up(&settings, &error, exit, arguments.json, junit) {
                tell(format_args!("piecemeal: {error}"));
            }
            return exit;
        }
    };
    if let Err(error) = finish(&settings, &all, &tally, arguments.json, junit) {
        tell(format_args!("piecemeal: {error}"));
        return Exit::Other;
    }
    signalled(&signal).unwrap_or(Exit::Checked(tally.exit_code()))
}

/// Lists the cases that a run with the same arguments would run.
fn list(arguments: &Arguments) -> Exit {
    match check::select(arguments.task, arguments.grammar, &arguments.only) {
        Ok(cases) => {
            cases.iter().for_each(|case| print(text::listed(case)));
            Exit::Success
        }
        Err(error) => {
            tell(format_args!("piecemeal: {error}"));
            Exit::Usage
        }
    }
}

/// Prints what stands at the end, and writes the reports.
fn finish(
    settings: &Settings,
    all: &[Checked],
    tally: &Tally,
    json: bool,
    junit: Option<Junit>,
) -> Result<(), String> {
    if json {
        let document = json::document(settings, all, tally);
        write(&document.map_err(|error| format!("can't write JSON: {error}"))?);
    } else {
        print(text::summary(settings, tally));
    }
    match junit {
        Some(junit) => junit.write(junit::document(settings, all)),
        None => Ok(()),
    }
}

/// Writes the reports of a run that could not begin.
fn give_up(
    settings: &Settings,
    error: &CheckError,
    exit: Exit,
    json: bool,
    junit: Option<Junit>,
) -> Result<(), String> {
    if json {
        let document = json::error(settings, error, exit.code());
        write(&document.map_err(|error| format!("can't write JSON: {error}"))?);
    }
    match junit {
        Some(junit) => junit.write(junit::error(settings, error)),
        None => Ok(()),
    }
}

/// The file of JUnit's report, empty until the end.
struct Junit {
    path: String,
    file: File,
}

impl Junit {
    fn create(path: &Path) -> Result<Junit, String> {
        let shown = escaped(path.as_os_str().as_encoded_bytes()).to_string();
        match File::create(path) {
            Ok(file) => Ok(Junit { path: shown, file }),
            Err(error) => Err(format!(
                "can't write {shown}: {error}; --junit takes the name of a file in a folder that is there"
            )),
        }
    }

    fn write<E: Display>(mut self, document: Result<String, E>) -> Result<(), String> {
        let document = document.map_err(|error| format!("can't write JUnit's XML: {error}"))?;
        let written = self.file.write_all(document.as_bytes());
        written.map_err(|error| format!("can't write {}: {error}", self.path))
    }
}

fn failed(error: &CheckError, signal: &AtomicUsize) -> Exit {
    if let Some(exit) = signalled(signal) {
        return exit;
    }
    match error {
        CheckError::Usage(_) | CheckError::Folder(_) => Exit::Usage,
        _ => Exit::Checked(3),
    }
}

fn signalled(signal: &AtomicUsize) -> Option<Exit> {
    let number = i32::try_from(signal.load(Ordering::Relaxed)).ok()?;
    (number != 0).then_some(Exit::Signal(number))
}

/// Writes to standard output. Nobody may read it, which is no reason to fail.
fn write(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Colours on a terminal, unless NO_COLOR is set to anything.
fn paint() -> Box<dyn Paint> {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if std::io::stdout().is_terminal() && !unwanted {
        Box::new(Colours)
    } else {
        Box::new(Plain)
    }
}

struct Colours;

impl Paint for Colours {
    fn verdict(&self, verdict: &Verdict) -> String {
        let colour = match verdict {
            Verdict::Pass => AnsiColor::Green,
            Verdict::Weak(_) => AnsiColor::Yellow,
            Verdict::Fail(_) => AnsiColor::Red,
            Verdict::CantTell(_) => AnsiColor::Cyan,
        };
        painted(
            Style::new().bold().fg_color(Some(colour.into())),
            verdict.word(),
        )
    }

    fn talk(&self, line: &str) -> String {
        if line.trim_start().starts_with("^^") {
            return painted(
                Style::new().bold().fg_color(Some(AnsiColor::Red.into())),
                line,
            );
        }
        if line.trim_start().starts_with("--") {
            return painted(Style::new().dimmed(), line);
        }
        line.to_owned()
    }
}

fn painted(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_is_the_commonest_raw_grammar() {
        assert_eq!(grammar("raw"), Ok(Grammar::U1));
        assert_eq!(grammar("framed"), Ok(Grammar::Framed));
        assert!(grammar("u9").unwrap_err().contains("u1, u2"));
    }
}
