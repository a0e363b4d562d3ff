//! piecemeal and its peers at the same work, in turn: `cargo bench --bench versus`
//!
//! Each round runs every contender of a row once, each as a new process with a new folder, and
//! figures of one round are compared with each other, since these machines are noisy. Peers that
//! aren't installed are named with the package that brings them, and the others go on. Everything
//! runs on 127.0.0.1, in one folder, which goes at the end with all that was started.
//!
//! | file | subject |
//! |---|---|
//! | `rows` | the kinds of work, their contenders and targets |
//! | `peers` | the servers |
//! | `loads`, `printed` | the programs that load them, and what those print |
//! | `raw`, `bare` | the bench's own senders; the loop with no server at all |
//! | `process`, `place` | processes and folders, and that they end |
//! | `statistics`, `measured` | medians, ratios, targets |
//! | `table`, `chart`, `page` | what is shown |
//!
//! tests/versus.rs runs the unit tests of these files: a bench without a harness has no others.

#![cfg_attr(
    test,
    allow(
        unused_imports,
        dead_code,
        reason = "tests are left out, but not what is beside them"
    )
)]

mod bare;
mod chart;
mod loads;
mod measured;
mod page;
mod peers;
mod place;
mod printed;
mod process;
mod raw;
mod rows;
mod statistics;
mod table;
#[path = "../../examples/threads.rs"]
#[allow(dead_code, reason = "its main is another program's")]
mod threads;

use std::fmt::Display;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use clap::Parser;
use measured::Measured;
use place::Place;

/// As its first argument it makes this program the server of examples/threads.rs.
const SERVE_THREADS: &str = "serve-threads";
/// No round is begun after so long. Removing millions of files takes minutes more; whatever still
/// runs after that is ended.
const LIMIT: Duration = Duration::from_secs(10 * 60);
const GRACE: Duration = Duration::from_secs(5 * 60);
/// The curve has many points, and is there to be looked at.
const CURVE_ROUNDS: usize = 3;

/// Compares piecemeal with other servers at the same work, on this machine
#[derive(Parser)]
struct Options {
    /// Only this row: bulk, streams, verified, small, durable, reconnect, texts, beside, idle,
    /// memory or curve. May be repeated, or have commas
    #[arg(long, value_name = "ROW", value_delimiter = ',')]
    only: Vec<String>,

    /// How often each is measured
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,

    /// Smaller and shorter, to see that it runs: the figures mean little
    #[arg(long)]
    quick: bool,

    /// Write the tables into docs/BENCHMARKS.md, and charts beside it
    #[arg(long)]
    markdown: bool,

    /// Where the folder for all files is made; the disk below it is measured
    #[arg(long, value_name = "DIR", default_value = env!("CARGO_TARGET_TMPDIR"))]
    dir: PathBuf,

    /// The piecemeal that is measured, and loads the servers
    #[arg(long, value_name = "FILE", default_value = env!("CARGO_BIN_EXE_piecemeal"))]
    piecemeal: PathBuf,

    /// Cargo says so
    #[arg(long, hide = true)]
    bench: bool,
}

/// How much is done in a turn.
struct Scale {
    /// Bytes of each of several streams.
    stream: u64,
    /// How long small files are sent, in whole seconds. Each second makes some ten thousands,
    /// which have to be removed.
    load: Duration,
    idle: usize,
    /// Small files at a steady rate.
    steady: u32,
    texts: u32,
}

impl Scale {
    /// As many more as a pipeline makes faster, about.
    fn texts(&self, pipeline: u32) -> u32 {
        self.texts * if pipeline > 1 { 5 } else { 1 }
    }
}

/// The large file that is sent.
struct Source {
    path: PathBuf,
    file: File,
    size: u64,
}

/// All that a turn needs.
struct Bench {
    place: Place,
    program: PathBuf,
    source: Source,
    scale: Scale,
    is_quick: bool,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(SERVE_THREADS) {
        let (Some(address), Some(folder)) = (arguments.next(), arguments.next()) else {
            return ExitCode::from(2);
        };
        piecemeal::server::raise_descriptor_limit();
        let ended = threads::serve(&address, &folder);
        tell(format_args!("threads: {ended:?}"));
        return ExitCode::FAILURE;
    }
    // `cargo test --benches` starts it too, without this argument.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    match compare(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            tell(format_args!("versus: {why}"));
            ExitCode::FAILURE
        }
    }
}

fn compare(options: &Options) -> Result<(), String> {
    let mut rows = rows::all();
    let keys: Vec<&str> = rows.iter().map(|row| row.key).collect();
    if let Some(other) = options.only.iter().find(|key| !keys.contains(&&***key)) {
        return Err(format!("--only {other}: there are {}", keys.join(", ")));
    }
    let is_asked = |key: &str| options.only.is_empty() || options.only.iter().any(|it| it == key);
    rows.retain(|row| is_asked(row.key));
    // Raised for the idle connections; what is started inherits it.
    piecemeal::server::raise_descriptor_limit();
    let place = Place::make(&options.dir)
        .map_err(|error| format!("--dir {}: {error}", options.dir.display()))?;
    place::end_all_in_time(&place, LIMIT + GRACE).map_err(|error| error.to_string())?;
    let bench = Bench::make(options, place)?;
    let machine = describe(&bench, options);
    tell(&machine);

    let start = Instant::now();
    rows.sort_by_key(|row| row.touched > 0);
    let mut measured: Vec<Measured> = Vec::new();
    let mut left = rows.len();
    for row in rows {
        if bench.place.make_room() {
            tell("there was little room on the disk: older files were removed");
        }
        let time = LIMIT.saturating_sub(start.elapsed());
        if time.is_zero() {
            tell(format_args!("{}: no time is left for it", row.key));
            continue;
        }
        // Rows differ, so one may have some of what others leave.
        let share = time * 2 / u32::try_from(left).expect("there are few");
        left -= 1;
        let rounds = match row.key {
            "curve" => CURVE_ROUNDS.min(options.rounds.into()),
            _ => options.rounds.into(),
        };
        measured.push(row.measure(&bench, rounds, share.min(time)));
    }
    measured.sort_by_key(|row| keys.iter().position(|key| *key == row.key));
    let mut text = format!("{machine}\n\n{}", table::summary(&measured));
    for row in &measured {
        let _ = write!(text, "\n{}", table::details(row));
    }
    writeln!(io::stdout(), "{text}").map_err(|error| error.to_string())?;
    if options.markdown {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
        page::write(&docs, &text, &measured)
            .map_err(|error| format!("{}: {error}", docs.display()))?;
        tell(format_args!("written into {}", docs.display()));
    }
    tell("removing what was stored");
    bench.place.remove();
    tell("done");
    Ok(())
}

impl Bench {
    fn make(options: &Options, place: Place) -> Result<Bench, String> {
        let scale = if options.quick {
            Scale {
                stream: 16 << 20,
                load: Duration::from_secs(1),
                idle: 1000,
                steady: 100,
                texts: 50_000,
            }
        } else {
            Scale {
                stream: 256 << 20,
                load: Duration::from_secs(1),
                idle: 9000,
                steady: 400,
                texts: 200_000,
            }
        };
        let size = if options.quick { 128 << 20 } else { 1 << 30 };
        let path = place.path().join("source");
        let source =
            make_source(&path, size).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Bench {
            place,
            program: options.piecemeal.clone(),
            source,
            scale,
            is_quick: options.quick,
        })
    }

    fn touch_memory(&self, bytes: u64) {
        place::touch_memory(if self.is_quick { bytes / 8 } else { bytes });
    }
}

/// On the disk, so that it isn't written back while it is sent, and in memory, to be sent.
fn make_source(path: &Path, size: u64) -> io::Result<Source> {
    let mut file = File::create(path)?;
    let block: Vec<u8> = (0..1_u32 << 18).flat_map(u32::to_le_bytes).collect();
    for _ in 0..size / block.len() as u64 {
        file.write_all(&block)?;
    }
    file.sync_all()?;
    Ok(Source {
        path: path.to_owned(),
        file: File::open(path)?,
        size,
    })
}

/// The machine and what is missing, for the head of the tables.
fn describe(bench: &Bench, options: &Options) -> String {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let today = humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string();
    let today = today.split('T').next().unwrap_or_default();
    let mut text = format!(
        "{today}: {processors} processors, Linux {}, {}; {} rounds at most, each contender once a \
         round{}.",
        kernel.trim(),
        file_system(bench.place.path()),
        options.rounds,
        if options.quick {
            "; **`--quick`: an eighth of the sizes, and figures that mean little**"
        } else {
            ""
        }
    );
    let missing: Vec<String> = peers::ALL
        .iter()
        .filter(|program| process::find(program.0).is_none())
        .map(|peers::Program(name, package)| format!("{name} (apt-get install {package})"))
        .collect();
    if !missing.is_empty() {
        let _ = write!(text, " Not installed: {}.", missing.join(", "));
    }
    text
}

/// What the folder lies on: the kind of the mount that is nearest above it.
fn file_system(path: &Path) -> String {
    let path = path.canonicalize().unwrap_or_default();
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (at, kind) = (fields.next()?, fields.next()?);
        path.starts_with(at).then_some((at.len(), kind))
    });
    // Of several at one place the last is on top.
    let nearest = mounts.max_by_key(|(length, _)| *length);
    nearest
        .map_or("an unknown file system", |(_, kind)| kind)
        .to_owned()
}

/// A line about the run, for whoever waits for it.
fn tell(line: impl Display) {
    static START: OnceLock<Instant> = OnceLock::new();
    let seconds = START.get_or_init(Instant::now).elapsed().as_secs();
    // A reader that has gone away is no reason to fail.
    let _ = writeln!(io::stderr(), "{seconds:>4} s  {line}");
}
