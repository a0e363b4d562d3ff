//! Other programs: started in a process group of their own, bounded in time, and ended with all
//! they have started, whatever happens to the bench.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use piecemeal::proto::text::escaped;
use rustix::process::{Pid, Signal, kill_process_group};

/// So long a server may take until it listens.
const START_TIME: Duration = Duration::from_secs(10);
/// So long it may take to end when it is asked to, before it is killed.
const STOP_TIME: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(1);
/// Somebody else may take a free port before the server does.
const TRIES: usize = 3;
/// Clock ticks of `/proc/PID/stat` in a second: fixed by the kernel's interface.
const TICKS_PER_S: f64 = 100.0;

/// Groups that run.
static GROUPS: Mutex<Vec<Pid>> = Mutex::new(Vec::new());
/// Numbers the files that programs' words go to.
static LOGS: AtomicUsize = AtomicUsize::new(0);

fn groups() -> MutexGuard<'static, Vec<Pid>> {
    GROUPS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Kills all that runs. Nothing more can be started as long as what is returned is kept.
pub(crate) fn kill_all() -> impl Drop {
    let groups = groups();
    for group in groups.iter() {
        let _ = kill_process_group(*group, Signal::KILL);
    }
    groups
}

/// A program that runs. Dropping it ends it.
pub(crate) struct Process {
    child: Child,
    group: Pid,
    /// What it says, on both its outputs.
    log: PathBuf,
}

impl Process {
    /// Starts a program whose words go to a file in this folder.
    pub(crate) fn start(command: &mut Command, folder: &Path) -> Result<Process, String> {
        let name = program(command);
        let number = LOGS.fetch_add(1, Ordering::Relaxed);
        let log = folder.join(format!("{number}.log"));
        let open = || File::create(&log).and_then(|file| Ok((file.try_clone()?, file)));
        let (out, err) = open().map_err(|error| format!("{}: {error}", log.display()))?;
        for (key, _) in std::env::vars_os() {
            // What a person has set for a server of theirs isn't meant for this one.
            if key.as_encoded_bytes().starts_with(b"PIECEMEAL_") {
                command.env_remove(key);
            }
        }
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        let mut groups = groups();
        let child = command.process_group(0).spawn();
        let child = child.map_err(|error| format!("{name} can't be started: {error}"))?;
        let group = Pid::from_child(&child);
        groups.push(group);
        Ok(Process { child, group, log })
    }

    /// All it has said so far.
    pub(crate) fn said(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn last_words(&self) -> String {
        let said = self.said();
        let mut lines = said.lines().filter(|line| !line.trim().is_empty());
        // The one that says so, or the last.
        let is_error = |line: &&str| ["rror", "emerg"].iter().any(|it| line.contains(it));
        let line = lines.clone().find(is_error).or(lines.next_back());
        match line {
            Some(line) => format!(": {}", escaped(line.trim())),
            None => String::new(),
        }
    }

    fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Processor time of all its processes, and of those that they have waited for.
    pub(crate) fn cpu_s(&self) -> f64 {
        self.members().map(|stat| stat.cpu_s).sum()
    }

    /// Memory of all its processes that no file stands for: their own, in bytes.
    pub(crate) fn memory(&self) -> f64 {
        let anonymous = |stat: Stat| {
            let status = fs::read_to_string(format!("/proc/{}/status", stat.process)).ok()?;
            figure(&status, "RssAnon")
        };
        // The kernel tells KiB.
        self.members().filter_map(anonymous).sum::<f64>() * 1024.0
    }

    /// Descriptors that its processes have open.
    pub(crate) fn descriptors(&self) -> usize {
        let open = |stat: Stat| fs::read_dir(format!("/proc/{}/fd", stat.process)).ok();
        self.members().filter_map(open).map(Iterator::count).sum()
    }

    fn members(&self) -> impl Iterator<Item = Stat> {
        let group = self.group.as_raw_nonzero().get();
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let stats = processes.filter_map(|entry| {
            let text = fs::read_to_string(entry.path().join("stat")).ok()?;
            stat(&text)
        });
        stats.filter(move |stat| stat.group == group)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let asked = Instant::now();
        let _ = kill_process_group(self.group, Signal::TERM);
        while !self.has_ended() && asked.elapsed() < STOP_TIME {
            thread::sleep(LOOK);
        }
        // Whoever is left of the group too: a master may end before its workers do.
        let _ = kill_process_group(self.group, Signal::KILL);
        let _ = self.child.wait();
        groups().retain(|group| *group != self.group);
    }
}

/// A server that listens on a port of its own.
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) port: u16,
}

impl Server {
    /// Starts a server on a free port, and waits until it listens.
    pub(crate) fn start(
        logs: &Path,
        mut command: impl FnMut(u16) -> Result<Command, String>,
    ) -> Result<Server, String> {
        let mut why = String::new();
        for _ in 0..TRIES {
            let port = free_port()?;
            let mut command = command(port)?;
            let name = program(&command);
            let mut process = Process::start(&mut command, logs)?;
            let started = Instant::now();
            while !process.has_ended() && started.elapsed() < START_TIME {
                // Looked up, not tried: some servers take a first connection for a client.
                if is_listening(port) {
                    return Ok(Server { process, port });
                }
                thread::sleep(LOOK);
            }
            why = format!("{name} doesn't start{}", process.last_words());
        }
        Err(why)
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

/// What a program that has ended well said, and how long it took.
pub(crate) struct Ended {
    pub(crate) said: String,
    pub(crate) took: Duration,
}

/// Runs a program to its end, or kills it when it takes too long.
pub(crate) fn run(command: &mut Command, logs: &Path, patience: Duration) -> Result<Ended, String> {
    let name = program(command);
    let start = Instant::now();
    let mut process = Process::start(command, logs)?;
    while !process.has_ended() {
        if start.elapsed() > patience {
            return Err(format!("{name} takes longer than {patience:?}"));
        }
        thread::sleep(LOOK);
    }
    let took = start.elapsed();
    let status = process.child.wait().map_err(|error| error.to_string())?;
    if !status.success() {
        return Err(format!("{name}: {status}{}", process.last_words()));
    }
    let said = process.said();
    let _ = fs::remove_file(&process.log);
    Ok(Ended { said, took })
}

/// Whether a program of this name is installed. Debian keeps servers where not everybody looks.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from);
    let folders = std::env::split_paths(&path).chain(more);
    let mut paths = folders.map(|folder| folder.join(name));
    paths.find(|path| path.is_file())
}

fn program(command: &Command) -> String {
    let path = Path::new(command.get_program());
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

fn free_port() -> Result<u16, String> {
    let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let address = address.map_err(|error| format!("no free port: {error}"))?;
    Ok(address.port())
}

fn is_listening(port: u16) -> bool {
    let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    has_listener(&table, port)
}

/// Whether the kernel's table of sockets has a listener (state 0A) on this port of 127.0.0.1 or
/// of all addresses.
fn has_listener(table: &str, port: u16) -> bool {
    let mut rows = table.lines().map(|line| line.split_whitespace());
    rows.any(|mut row| {
        let (local, _, state) = (row.nth(1), row.next(), row.next());
        let places = ["0100007F", "00000000"].map(|place| format!("{place}:{port:04X}"));
        state == Some("0A") && places.iter().any(|place| local == Some(place))
    })
}

/// What `/proc/PID/stat` says of a process.
#[derive(Debug, PartialEq)]
struct Stat {
    process: i32,
    group: i32,
    cpu_s: f64,
}

fn stat(text: &str) -> Option<Stat> {
    // Fields are counted from behind the program's name, which may have spaces.
    let (before, fields) = text.rsplit_once(')')?;
    let process = before.split_whitespace().next()?.parse().ok()?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let group = fields.get(2)?.parse().ok()?;
    // Its own time in user and kernel mode, and that of children it has waited for.
    let ticks = fields.get(11..15)?.iter().map(|ticks| ticks.parse::<f64>());
    let ticks = ticks.sum::<Result<f64, _>>().ok()?;
    Some(Stat {
        process,
        group,
        cpu_s: ticks / TICKS_PER_S,
    })
}

/// The number on a line `key: number` of one of the kernel's files.
pub(crate) fn figure(text: &str, key: &str) -> Option<f64> {
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    value.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name_is() {
        let text = "12 (a ) b) S 1 77 77 0 -1 0 1 2 3 4 100 50 25 25 20 0 1 0 5";
        let read = Stat {
            process: 12,
            group: 77,
            cpu_s: 2.0,
        };
        assert_eq!(stat(text), Some(read));
        assert_eq!(stat("12 (a"), None);
        assert_eq!(stat("12 (a) S 1 77"), None);
    }

    #[test]
    fn only_a_listener_on_the_port_counts() {
        let table = "  sl  local_address rem_address   st tx_queue\n\
                     0: 0100007F:1F90 00000000:0000 0A 0:0\n\
                     1: 0100007F:1F91 0100007F:9C40 01 0:0\n\
                     2: 00000000:1F92 00000000:0000 0A 0:0\n";
        assert!(has_listener(table, 8080));
        assert!(!has_listener(table, 8081), "connected, not listening");
        assert!(has_listener(table, 8082));
        assert!(!has_listener(table, 8083));
    }

    #[test]
    fn a_figure_is_found_by_its_whole_key() {
        let text = "VmRSS:\t  12 kB\nRssAnon:\t 7 kB\n";
        assert_eq!(figure(text, "RssAnon"), Some(7.0));
        assert_eq!(figure(text, "Rss"), None);
    }
}
