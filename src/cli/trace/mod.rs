//! `piecemeal trace`: draws what `--trace-file` has written.
//!
//! `read.rs` makes records of the file, `timeline.rs` what is to be drawn of one connection's,
//! `scale.rs` says where on the axis a moment is; `terminal.rs` and `svg.rs` draw. None of them
//! knows a protocol: states are names, and get colours in the order in which they are met.

mod condense;
mod read;
mod scale;
mod shapes;
mod svg;
mod terminal;
mod timeline;
mod words;

use std::fs::{self, File};
use std::io::{BufReader, IsTerminal, stdout};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use clap::Args;
use piecemeal::proto::text::escaped;

use super::exit::Exit;
use super::units::show_count;
use super::{print, tell};
use read::Trace;
use timeline::Timeline;

/// Columns of a drawing that goes to no terminal.
const WIDTH: usize = 100;
/// The widest drawing; what is wider is hard to follow.
const WIDTH_MOST: usize = 400;

#[derive(Debug, Args)]
#[command(after_help = super::exit::TRACE_HELP)]
pub(super) struct Arguments {
    /// The trace, as --trace-file wrote it
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Which connection to draw, by its number; the one that most is told of otherwise
    #[arg(long, env = "PIECEMEAL_CONNECTION", value_name = "N")]
    connection: Option<u64>,

    /// Write the drawing to this file too, as SVG for a browser; a file of this name is replaced
    #[arg(long, env = "PIECEMEAL_SVG", value_name = "FILE")]
    svg: Option<PathBuf>,

    /// Columns of the drawing; the terminal's otherwise, or 100
    #[arg(long, env = "PIECEMEAL_WIDTH", value_name = "COLUMNS", value_parser = clap::value_parser!(u16).range(50..=400))]
    width: Option<u16>,
}

pub(super) fn run(arguments: Arguments) -> Exit {
    match draw(&arguments) {
        Ok(()) => Exit::Success,
        Err((exit, text)) => {
            tell(format!("piecemeal: {text}"));
            exit
        }
    }
}

fn draw(arguments: &Arguments) -> Result<(), (Exit, String)> {
    let shown = |path: &Path| escaped(path.as_os_str().as_encoded_bytes()).to_string();
    let file = shown(&arguments.file);
    if let Some(svg) = arguments.svg.as_deref()
        && is_same_file(&arguments.file, svg)
    {
        let text =
            format!("{file} is the trace itself, and --svg would replace it: name another file");
        return Err((Exit::Usage, text));
    }
    let opened = File::open(&arguments.file)
        .map_err(|error| (Exit::Local, format!("can't read {file}: {error}")))?;
    let trace = Trace::read(BufReader::new(opened))
        .map_err(|why| (Exit::Local, format!("can't draw {file}: {why}")))?;
    let drawn = arguments.connection.or(trace.busiest());
    let records = drawn.and_then(|number| trace.connections.get(&number));
    let Some(records) = records else {
        let there = trace.numbers(None);
        let text = format!("that connection is not in {file}; these are: {there}");
        return Err((Exit::Other, text));
    };
    let timeline = Timeline::of(records);
    // Drawn first: an SVG that can't be written is no reason to show nothing.
    print(terminal::draw(&timeline, width(arguments), wants_colours()).trim_end());
    tell_what_else(&trace, drawn);
    if let Some(path) = &arguments.svg {
        svg::write(&timeline, path)
            .map_err(|error| (Exit::Other, format!("can't write {}: {error}", shown(path))))?;
        tell(format!("wrote {}", shown(path)));
    }
    Ok(())
}

/// Whether two paths lead to one file, over links and by other names too. A drawing over the trace
/// would cost what it was drawn from.
fn is_same_file(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| {
        let about = fs::metadata(path).ok()?;
        Some((about.dev(), about.ino()))
    };
    identity(one).is_some_and(|one| identity(other) == Some(one))
}

/// What the drawing doesn't show.
fn tell_what_else(trace: &Trace, drawn: Option<u64>) {
    if trace.connections.len() > 1 {
        let others = trace.numbers(drawn);
        tell(format!(
            "other connections, drawn with --connection N: {others}"
        ));
    }
    if trace.missing > 0 {
        tell(format!(
            "{} missing: more happened than the server could write",
            show_count(trace.missing, "record")
        ));
    }
    if trace.is_cut_off {
        tell(
            "the last line is half a record, and was left out: the server still runs, or was killed",
        );
    }
}

fn width(arguments: &Arguments) -> usize {
    let asked = arguments.width.map(usize::from);
    asked.unwrap_or_else(|| {
        let size = rustix::termios::tcgetwinsize(stdout());
        let columns = size.map_or(0, |size| usize::from(size.ws_col));
        // Some terminals don't know how wide they are.
        let columns = if columns == 0 { WIDTH } else { columns };
        columns.clamp(terminal::WIDTH_LEAST, WIDTH_MOST)
    })
}

/// As <https://no-color.org> asks, and never into a file.
fn wants_colours() -> bool {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    stdout().is_terminal()
        && set("NO_COLOR").is_none()
        && set("TERM").is_none_or(|term| term != "dumb")
}
