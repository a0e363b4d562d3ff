//! Servers that are killed, and servers that are told to stop, at any moment of any load.
//!
//! ```text
//! PIECEMEAL_KILLS=1000 cargo test --release --test kills -- --nocapture
//! ```
//!
//! PIECEMEAL_KILLS_FROM is the first seed.

mod common;
#[path = "load/mod.rs"]
mod load;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::{Lines, PROGRAM, command, signal, wait_until};
use load::{Book, Found, Plan, files_in, go_on};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rustix::process::Signal;

/// Rounds where nothing else is said.
const KILLS: u64 = 12;
/// So many that some of them certainly leave uploads of every kind open.
const MANY: u64 = 100;
/// The longest that a load goes on behind the first promise.
const LOAD: Duration = Duration::from_millis(500);

/// How a server is ended, and how it may end.
struct Ending {
    signals: &'static [Signal],
    /// What `--shutdown-timeout` is.
    timeout: &'static str,
    codes: &'static [Option<i32>],
    /// Whether it takes its time: every client hears of it, and all that is left is what can be gone on
    /// with. Where time is up, the last word stands behind a receipt that may wait for the disk for longer
    /// than the server does, and whatever the store is at is left to the next start.
    is_orderly: bool,
}

const KILLED: Ending = Ending {
    signals: &[Signal::KILL],
    timeout: "10s",
    codes: &[None],
    is_orderly: false,
};

/// Stops that leave time, little of it, and none; and one by a second signal, which a server that
/// was quicker doesn't hear.
const STOPS: [Ending; 4] = [
    stop("10s"),
    Ending {
        is_orderly: false,
        ..stop("20ms")
    },
    Ending {
        is_orderly: false,
        ..stop("1ms")
    },
    Ending {
        signals: &[Signal::TERM, Signal::TERM],
        codes: &[Some(143), Some(0)],
        is_orderly: false,
        ..stop("10s")
    },
];

const fn stop(timeout: &'static str) -> Ending {
    Ending {
        signals: &[Signal::TERM],
        timeout,
        codes: &[Some(0)],
        is_orderly: true,
    }
}

/// What all rounds have come to.
#[derive(Debug, Default)]
struct Sum {
    rounds: u64,
    acknowledged: usize,
    resumed: usize,
    set_back: usize,
    retried: usize,
    /// Rounds after which something lay in the work folder, which the next start took away.
    swept: u64,
    longest: Duration,
}

#[test]
fn a_kill_at_any_moment_loses_nothing_that_was_answered_and_shows_nothing_unfinished() {
    rounds("kill -9", |_| &KILLED);
}

#[test]
fn a_stop_at_any_moment_loses_nothing_and_everybody_hears_of_it() {
    rounds("SIGTERM", |random| {
        &STOPS[random.random_range(0..STOPS.len())]
    });
}

#[expect(clippy::print_stderr, reason = "whoever runs it wants to see the sum")]
fn rounds(what: &str, ending: impl Fn(&mut SmallRng) -> &'static Ending) {
    let set = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let from = set("PIECEMEAL_KILLS_FROM").unwrap_or(0);
    let mut sum = Sum::default();
    for seed in from..from + set("PIECEMEAL_KILLS").unwrap_or(KILLS) {
        let mut random = SmallRng::seed_from_u64(seed);
        let ending = ending(&mut random);
        let wrong = round(seed, &mut random, ending, &mut sum);
        assert!(wrong.is_empty(), "{what}, seed {seed}: {wrong:#?}");
        if sum.rounds % 100 == 0 {
            eprintln!("{what}: {sum:?}");
        }
    }
    eprintln!("{what}: {sum:?}");
    // A single round may end before anything was promised, and of a few none may leave anything open.
    if sum.rounds >= KILLS {
        assert!(sum.acknowledged > 0, "nothing was ever promised");
    }
    if sum.rounds >= MANY {
        assert!(sum.resumed > 0 && sum.retried > 0, "nothing was left open");
    }
}

/// One life of a server, its end, and the next one's start. What was wrong.
fn round(seed: u64, random: &mut SmallRng, ending: &Ending, sum: &mut Sum) -> Vec<String> {
    let (clients, most) = [(1, 3 << 20), (6, 200_000), (16, 20_000)][random.random_range(0..3)];
    let plan = Plan::new(seed, random, clients, most);
    let home = tempfile::tempdir().expect("a folder");
    let (stored, journal) = (home.path().join("stored"), home.path().join("journal"));
    let mut arguments = plan.arguments();
    arguments.extend(["--shutdown-timeout".to_owned(), ending.timeout.to_owned()]);
    if random.random() {
        arguments.extend(["--durability".to_owned(), "none".to_owned()]);
    }
    if plan.journal {
        arguments.extend([
            "--journal".to_owned(),
            journal.to_string_lossy().into_owned(),
        ]);
    }
    let book = Book::default();
    let process = Process::start(&stored, &arguments);
    let enough = random.random_range(0..100);
    let (code, took) = thread::scope(|scope| {
        // It ends with this closure, also where that fails: the clients go on as long as it is there.
        let mut process = process;
        for client in 0..plan.clients {
            let (address, plan, book) = (process.address.clone(), &plan, &book);
            scope.spawn(move || load::run(&address, plan, client, book));
        }
        let begun = Instant::now();
        wait_until("something is promised", || {
            let promised = book.acknowledged();
            promised >= enough || promised > 0 && begun.elapsed() >= LOAD
        });
        let begun = Instant::now();
        for which in ending.signals {
            process.signal(*which);
        }
        (process.ends(), begun.elapsed())
    });
    sum.rounds += 1;
    sum.longest = sum.longest.max(took);
    let mut wrong = Vec::new();
    if !ending.codes.contains(&code) {
        wrong.push(format!("it ended with {code:?}"));
    }
    if ending.is_orderly && book.left_alone() > 0 {
        wrong.push(format!(
            "{} connections were ended without a word",
            book.left_alone()
        ));
    }
    let look = || {
        let files = files_in(&stored).expect("the folder is there");
        let mut found = Found::of(&files, &book, &plan);
        if plan.journal {
            found.check_journal(&journal, &files, &book);
        }
        found
    };
    let found = look();
    sum.acknowledged += found.acknowledged;
    wrong.extend(found.faults().cloned());
    // What a stop leaves is what can be gone on with.
    let left = in_work(&stored);
    let is_kept = |name: &String| name.ends_with(".upload") || name.ends_with(".record");
    if ending.is_orderly && (!left.iter().all(is_kept) || left.len() > 2 * book.partials().len()) {
        wrong.push(format!("a stop has left {left:?}"));
    }
    sum.swept += u64::from(!left.is_empty());
    let mut next = Process::start(&stored, &arguments);
    let left = in_work(&stored);
    if !left.iter().all(is_kept) {
        wrong.push(format!("the next start has left {left:?}"));
    }
    let again = go_on(&next.address, &stored, &book).expect("the next server answers");
    wrong.extend(again.wrong);
    sum.resumed += again.resumed;
    sum.set_back += again.set_back;
    sum.retried += again.retried;
    next.signal(Signal::TERM);
    let code = next.ends();
    if code != Some(0) {
        wrong.push(format!("the next one ended with {code:?}"));
    }
    if stored.join(".piecemeal").exists() {
        wrong.push(format!("in the end there are {:?}", in_work(&stored)));
    }
    let found = look();
    wrong.extend(found.faults().cloned());
    wrong
}

/// What is in the work folder.
fn in_work(stored: &Path) -> Vec<String> {
    let entries = fs::read_dir(stored.join(".piecemeal"))
        .into_iter()
        .flatten();
    let names = entries.flatten().map(|entry| entry.file_name());
    names
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}

/// A server over a folder that outlives it.
struct Process {
    child: Child,
    address: String,
    err: Lines,
}

impl Process {
    fn start(stored: &PathBuf, arguments: &[String]) -> Process {
        let mut child = command(PROGRAM)
            .args(["serve", "-q", "--bind", "127.0.0.1:0", "--dir"])
            .arg(stored)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let err = Lines::of(child.stderr.take().expect("it is a pipe"));
        let line = err.wait_for(|line| line.starts_with("listening on "));
        let address = line.trim_start_matches("listening on ").to_owned();
        Process {
            child,
            address,
            err,
        }
    }

    fn signal(&self, which: Signal) {
        signal(&self.child, which);
    }

    /// Waits until it has ended. Its exit code.
    fn ends(&mut self) -> Option<i32> {
        self.err.to_end();
        self.child.wait().expect("it is our child").code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended, unless the trial failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
