//! A thread a connection against the reactor: the lab's task 6 server, started both ways in turn,
//! with 10, 1,000 and 9,000 connections that each have sent a file and are kept for the next.
//!
//! Eight client threads in this process share the connections and load the server in three ways;
//! see [`Load`]. Each figure is the median of the rounds. They are printed, as tables for
//! docs/BENCHMARKS.md, and not judged; that each file is stored whole is.
//!
//! The server tells of each file in two lines, and another thread writes them. Here nobody reads
//! them, so that thread ends and isn't measured; with `PIECEMEAL_BENCH_LINES` set it is.

mod common;

use std::fmt::Display;
use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use piecemeal::lab::Grammar;
use piecemeal::server::raise_descriptor_limit;

use common::{Server, figure};

const CONNECTIONS: [usize; 3] = [10, 1_000, 9_000];
const CLIENTS: usize = 8;
const FILE: [u8; 1024] = [b'x'; 1024];
/// Each load lasts this long, and as much longer as its last pass takes.
const LOAD: Duration = Duration::from_secs(1);
/// A server that is silent for so long ends the measurement, instead of hanging it.
const PATIENCE: Duration = Duration::from_secs(20);
const ROUNDS: usize = 5;
/// Set, the server's lines are written.
const LINES: &str = "PIECEMEAL_BENCH_LINES";

/// How the server drives its connections.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Reactor,
    Threads,
}

/// Which connections upload, and how many files are under way.
#[derive(Clone, Copy, PartialEq)]
enum Load {
    /// Each client uses one connection again and again. The others stand idle.
    Few,
    /// Each client goes round its share of all of them, one after the other.
    InTurn,
    /// Each client begins a file on all of its share before it finishes the first.
    AtOnce,
}

const LOADS: [(Load, &str); 3] = [
    (Load::Few, "8 connections upload, the others stand idle"),
    (Load::InTurn, "all upload, 8 at a time"),
    (Load::AtOnce, "all upload at the same time"),
];

/// What one server cost while its connections stood idle. Sizes are in KiB.
struct Idle {
    threads: u64,
    resident: u64,
    grown: u64,
    page_tables: u64,
    kernel_stacks: u64,
    address_space: u64,
}

/// What one load came to.
struct Sample {
    files_per_s: f64,
    /// From a name's sending to its OK, which follows the storing of the connection's last file.
    wait_median_us: f64,
    wait_p99_us: f64,
    cpu_us: f64,
    /// Context switches a file: those where a thread had to wait, and those where it was put off.
    voluntary: f64,
    involuntary: f64,
}

/// One server's run, with a sample a load.
struct Run {
    kind: Kind,
    connections: usize,
    idle: Idle,
    samples: Vec<Sample>,
}

fn main() -> io::Result<()> {
    // `cargo test --benches` starts it too, without this argument.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    raise_descriptor_limit();
    let within = folder_for_files();
    say(format_args!(
        "{} processors, Linux {}; files of {} bytes go to {}; medians of {ROUNDS} rounds",
        thread::available_parallelism()?,
        fs::read_to_string("/proc/sys/kernel/osrelease")?.trim(),
        FILE.len(),
        within.display(),
    ));
    let (mut runs, mut impossible) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        for connections in CONNECTIONS {
            let mut kinds = [Kind::Reactor, Kind::Threads];
            // Whoever comes second may find a warmer or a busier machine.
            kinds.rotate_left(round % 2);
            for kind in kinds {
                if impossible.contains(&(kind, connections)) {
                    continue;
                }
                match measure(kind, connections, within) {
                    Ok(run) => runs.push(run),
                    // Not every machine lets a process have 9,000 threads or descriptors. Another
                    // round would only lose time.
                    Err(error) => {
                        impossible.push((kind, connections));
                        let server = name(kind);
                        say(format_args!(
                            "not measured: {server}, {connections} connections: {error}"
                        ));
                    }
                }
            }
        }
    }
    print_tables(&runs);
    Ok(())
}

/// Memory, where there is a folder in it: a disk would add its own moods to both servers.
fn folder_for_files() -> &'static Path {
    let memory = Path::new("/dev/shm");
    let is_usable = tempfile::TempDir::new_in(memory).is_ok();
    if is_usable {
        memory
    } else {
        Path::new(env!("CARGO_TARGET_TMPDIR"))
    }
}

fn measure(kind: Kind, connections: usize, within: &Path) -> io::Result<Run> {
    let mut arguments = vec!["lab", "serve", "--task", "6", "--keep-for", "10m"];
    if kind == Kind::Threads {
        arguments.push("--threads");
    }
    let lines = match std::env::var_os(LINES) {
        Some(_) => Stdio::null(),
        None => Stdio::piped(),
    };
    let server = Server::start(&arguments, within, lines)?;
    // The first upload has it make what all later ones share.
    upload(&mut [Connection::open(&server, 0)?], &mut Vec::new())?;
    settle(&server)?;
    let (before, stacks_before) = (server.figure("VmRSS"), kernel_stacks()?);
    let mut held = Vec::with_capacity(connections);
    for number in 0..connections {
        let mut connection = Connection::open(&server, number)?;
        upload(std::slice::from_mut(&mut connection), &mut Vec::new())?;
        held.push(connection);
    }
    settle(&server)?;
    let resident = server.figure("VmRSS");
    let idle = Idle {
        threads: server.figure("Threads"),
        resident,
        grown: resident.saturating_sub(before),
        page_tables: server.figure("VmPTE"),
        kernel_stacks: kernel_stacks()?.saturating_sub(stacks_before),
        address_space: server.figure("VmSize"),
    };
    let samples = LOADS.map(|(load, _)| run_load(&server, &mut held, load));
    for file in fs::read_dir(server.folder.path())? {
        assert_eq!(file?.metadata()?.len(), FILE.len() as u64, "a whole file");
    }
    Ok(Run {
        kind,
        connections,
        idle,
        samples: samples.into_iter().collect::<io::Result<_>>()?,
    })
}

/// A connection, and the name under which its files are stored, each in place of the last.
struct Connection {
    stream: TcpStream,
    name: Vec<u8>,
}

impl Connection {
    fn open(server: &Server, number: usize) -> io::Result<Connection> {
        let stream = TcpStream::connect(&server.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        // Nothing answers a file, so the next name would wait for the acknowledgement of its
        // bytes, which the other side's system puts off.
        stream.set_nodelay(true)?;
        // Names with a length: one without would cost the server's quiet moment each time.
        let name = Grammar::U2.name(format!("{number}.bin").as_bytes());
        Ok(Connection {
            stream,
            name: name.expect("it is short"),
        })
    }
}

/// Uploads a file on each of some connections: all names, then each file behind its OK.
fn upload(connections: &mut [Connection], waits: &mut Vec<Duration>) -> io::Result<()> {
    let header = Grammar::U2.file_header(FILE.len() as u64);
    let file = [&header.expect("it is short")[..], &FILE].concat();
    let mut sent = Vec::with_capacity(connections.len());
    for connection in connections.iter_mut() {
        sent.push(Instant::now());
        connection.stream.write_all(&connection.name)?;
    }
    for (connection, sent) in connections.iter_mut().zip(sent) {
        let mut answer = [0; 2];
        let read = connection.stream.read_exact(&mut answer);
        read.map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => io::Error::other("a name got no answer"),
            io::ErrorKind::UnexpectedEof => io::Error::other("a connection was closed"),
            _ => error,
        })?;
        waits.push(sent.elapsed());
        assert_eq!(&answer, b"OK");
        connection.stream.write_all(&file)?;
    }
    Ok(())
}

/// Waits until no file is under way. Nothing answers the last one of a connection, but each name
/// that was answered has its `.part` until its file is whole.
fn settle(server: &Server) -> io::Result<()> {
    let start = Instant::now();
    loop {
        let mut names = fs::read_dir(server.folder.path())?;
        let is_part = |name: &std::ffi::OsStr| name.as_encoded_bytes().ends_with(b".part");
        if !names.any(|entry| entry.is_ok_and(|entry| is_part(&entry.file_name()))) {
            return Ok(());
        }
        if start.elapsed() > PATIENCE {
            return Err(io::Error::other("files are not stored"));
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn run_load(server: &Server, held: &mut [Connection], load: Load) -> io::Result<Sample> {
    let (cpu, switches) = (server.cpu(), Switches::of(server)?);
    let start = Instant::now();
    let mut waits = Vec::new();
    thread::scope(|scope| {
        let (mut clients, mut rest) = (Vec::new(), held);
        for left in (1..=CLIENTS).rev() {
            let (share, others) = rest.split_at_mut(rest.len() / left);
            rest = others;
            clients.push(scope.spawn(move || run_client(share, load, start)));
        }
        for client in clients {
            waits.extend(client.join().expect("a client doesn't panic")?);
        }
        io::Result::Ok(())
    })?;
    settle(server)?;
    let time = start.elapsed();
    let (cpu, switches) = (server.cpu() - cpu, Switches::of(server)?.since(&switches));
    waits.sort_unstable();
    let files = waits.len() as f64;
    let wait_us = |part: usize| waits[(waits.len() - 1) * part / 100].as_secs_f64() * 1e6;
    Ok(Sample {
        files_per_s: files / time.as_secs_f64(),
        wait_median_us: wait_us(50),
        wait_p99_us: wait_us(99),
        cpu_us: cpu.as_secs_f64() * 1e6 / files,
        voluntary: switches.voluntary as f64 / files,
        involuntary: switches.involuntary as f64 / files,
    })
}

/// Returns how long each OK took.
fn run_client(share: &mut [Connection], load: Load, start: Instant) -> io::Result<Vec<Duration>> {
    let mut waits = Vec::new();
    let used = if load == Load::Few { 1 } else { share.len() };
    let at_once = if load == Load::AtOnce { used } else { 1 };
    while start.elapsed() < LOAD {
        for connections in share[..used].chunks_mut(at_once) {
            upload(connections, &mut waits)?;
        }
    }
    Ok(waits)
}

/// Context switches of all of a process's threads.
struct Switches {
    voluntary: u64,
    involuntary: u64,
}

impl Switches {
    fn of(server: &Server) -> io::Result<Switches> {
        let (mut voluntary, mut involuntary) = (0, 0);
        for task in fs::read_dir(server.proc("task"))? {
            let status = fs::read_to_string(task?.path().join("status"))?;
            voluntary += figure(&status, "voluntary_ctxt_switches").unwrap_or(0);
            involuntary += figure(&status, "nonvoluntary_ctxt_switches").unwrap_or(0);
        }
        Ok(Switches {
            voluntary,
            involuntary,
        })
    }

    fn since(&self, before: &Switches) -> Switches {
        Switches {
            voluntary: self.voluntary.saturating_sub(before.voluntary),
            involuntary: self.involuntary.saturating_sub(before.involuntary),
        }
    }
}

/// The stacks that the kernel keeps for all threads of the machine, in KiB.
fn kernel_stacks() -> io::Result<u64> {
    let all = fs::read_to_string("/proc/meminfo")?;
    Ok(figure(&all, "KernelStack").unwrap_or(0))
}

fn print_tables(runs: &[Run]) {
    say("\nEach connection has sent a file; all stand idle:\n");
    say(
        "| connections | server | threads | resident | of it a connection | page tables | kernel's stacks | address space |",
    );
    say("|---|---|---|---|---|---|---|---|");
    for_each_row(runs, |row, runs| {
        let mib = |of: fn(&Idle) -> u64| median(runs, |run| of(&run.idle) as f64) / 1024.0;
        say(format_args!(
            "{row} {} | {:.1} MiB | {:.1} KiB | {:.1} MiB | {:.1} MiB | {:.0} MiB |",
            median(runs, |run| run.idle.threads as f64),
            mib(|idle| idle.resident),
            median(runs, |run| run.idle.grown as f64 / run.connections as f64),
            mib(|idle| idle.page_tables),
            mib(|idle| idle.kernel_stacks),
            mib(|idle| idle.address_space),
        ));
    });
    for (number, (_, title)) in LOADS.iter().enumerate() {
        say(format_args!("\n{title}:\n"));
        say(
            "| connections | server | uploads a second | wait for an OK, median / 99 % | CPU an upload | switches an upload | of them involuntary |",
        );
        say("|---|---|---|---|---|---|---|");
        for_each_row(runs, |row, runs| {
            let of = |value: fn(&Sample) -> f64| median(runs, |run| value(&run.samples[number]));
            say(format_args!(
                "{row} {:.0} | {:.0} µs / {:.0} µs | {:.1} µs | {:.2} | {:.2} |",
                of(|sample| sample.files_per_s),
                of(|sample| sample.wait_median_us),
                of(|sample| sample.wait_p99_us),
                of(|sample| sample.cpu_us),
                of(|sample| sample.voluntary + sample.involuntary),
                of(|sample| sample.involuntary),
            ));
        });
    }
}

/// Calls with the beginning of each row and the runs that it sums up, where there are any.
fn for_each_row(runs: &[Run], mut print: impl FnMut(String, &[&Run])) {
    for connections in CONNECTIONS {
        for kind in [Kind::Reactor, Kind::Threads] {
            let mine = |run: &&Run| run.kind == kind && run.connections == connections;
            let mine: Vec<&Run> = runs.iter().filter(mine).collect();
            if !mine.is_empty() {
                print(format!("| {connections} | {} |", name(kind)), &mine);
            }
        }
    }
}

fn median(runs: &[&Run], value: impl Fn(&Run) -> f64) -> f64 {
    let mut values: Vec<f64> = runs.iter().map(|run| value(run)).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Reactor => "reactor",
        Kind::Threads => "threads",
    }
}

fn say(line: impl Display) {
    // A reader that has gone away is no reason to fail.
    let _ = writeln!(io::stdout(), "{line}");
}
