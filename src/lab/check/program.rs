//! The server under test as a program of ours: started, watched, started again, and killed.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tempfile::TempDir;
use thiserror::Error;

use super::proc;
use super::watch::Watch;
use crate::net::{Address, Endpoint};
use crate::proto::text::escaped;

/// How long a server may take until it listens.
const START_MOST: Duration = Duration::from_secs(10);
/// How long the port of a server may stay taken after its end: TIME_WAIT, and a little.
const PORT_FREE_MOST: Duration = Duration::from_secs(65);
/// How long a server that is asked to end may take, before it is killed.
const STOP_MOST: Duration = Duration::from_millis(500);
/// Bytes of its output that are looked at, at most.
const PRINTED_MOST: u64 = 64 << 10;
/// Lines of its output that are shown when it is dead.
const TAIL: usize = 8;

/// Why the server can't be started.
#[derive(Debug, Error)]
pub enum StartError {
    /// Somebody else has its address.
    #[error(
        "somebody listens at {0} already, so it would not be the started server that is checked; stop that program, or leave --start out"
    )]
    Taken(Endpoint),
    /// The shell can't be run, or a folder for it can't be made.
    #[error("can't start `{0}`: {1}")]
    System(String, io::Error),
    /// It ended before it listened.
    #[error("`{command}` ended with {status} before it listened at {address}{hint}{tail}")]
    Ended {
        /// What was run.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// Where it should have listened.
        address: Endpoint,
        /// What would help, where that is known.
        hint: &'static str,
        /// The last that it printed.
        tail: String,
    },
    /// It runs and doesn't listen.
    #[error("`{command}` runs, but doesn't listen at {address} after {} s; does it use another port?{tail}", START_MOST.as_secs())]
    Deaf {
        /// What was run.
        command: String,
        /// Where it should listen.
        address: Endpoint,
        /// The last that it printed.
        tail: String,
    },
    /// A signal came meanwhile.
    #[error("interrupted")]
    Interrupted,
}

/// A server that runs as a child.
#[derive(Debug)]
pub struct Program {
    command: String,
    folder: PathBuf,
    endpoint: Endpoint,
    address: Address,
    child: Child,
    /// Holds the file with all that it prints.
    output: TempDir,
    /// How much of that is older than the last start.
    printed_before: u64,
    watch: Watch,
}

impl Program {
    /// Runs a command in a folder and waits until it listens at an address.
    pub fn start(
        command: &str,
        folder: &Path,
        endpoint: &Endpoint,
        address: &Address,
        watch: Watch,
    ) -> Result<Program, StartError> {
        let system = |error| StartError::System(command.to_owned(), error);
        if listens(address) {
            return Err(StartError::Taken(endpoint.clone()));
        }
        let output = tempfile::Builder::new()
            .prefix("piecemeal-check-")
            .tempdir()
            .map_err(system)?;
        let child = spawn(command, folder, output.path()).map_err(system)?;
        let mut program = Program {
            command: command.to_owned(),
            folder: folder.to_owned(),
            endpoint: endpoint.clone(),
            address: address.clone(),
            child,
            output,
            printed_before: 0,
            watch,
        };
        let tried = program.wait_until_it_listens();
        program.once_the_port_is_free(tried)?;
        Ok(program)
    }

    /// Ends what still runs of it and starts it anew.
    pub fn restart(&mut self) -> Result<(), StartError> {
        self.stop();
        let tried = self.start_again();
        self.once_the_port_is_free(tried)
    }

    /// Tries again where the port is taken: the connections of a server before this one hold it for
    /// a minute, unless SO_REUSEADDR is set. That one may have been of another run.
    fn once_the_port_is_free(
        &mut self,
        mut tried: Result<(), StartError>,
    ) -> Result<(), StartError> {
        let mut told = false;
        let until = Instant::now() + PORT_FREE_MOST;
        while matches!(&tried, Err(StartError::Ended { .. }))
            && self.printed_since_start().contains("in use")
            && Instant::now() < until
            && !self.watch.interrupted()
        {
            if !told {
                told = true;
                // Nobody may read it, which is no reason to fail.
                let _ = writeln!(
                    io::stderr().lock(),
                    "piecemeal: waiting for {}, which an earlier server's connections still hold, for at most {} s; with SO_REUSEADDR it would be free at once",
                    self.endpoint,
                    PORT_FREE_MOST.as_secs()
                );
            }
            thread::sleep(Duration::from_secs(1));
            tried = self.start_again();
        }
        tried
    }

    fn start_again(&mut self) -> Result<(), StartError> {
        self.printed_before = fs::metadata(self.output()).map_or(0, |about| about.len());
        self.child = spawn(&self.command, &self.folder, self.output.path())
            .map_err(|error| StartError::System(self.command.clone(), error))?;
        self.wait_until_it_listens()
    }

    fn printed_since_start(&self) -> String {
        self.printed_from(self.printed_before)
    }

    fn wait_until_it_listens(&mut self) -> Result<(), StartError> {
        let watch = self.watch.clone();
        let ended = watch.poll(START_MOST, || match self.child.try_wait() {
            Ok(Some(status)) => Some(Some(status)),
            _ => listens(&self.address).then_some(None),
        });
        match ended {
            Some(None) => Ok(()),
            Some(Some(status)) => {
                let printed = self.printed_since_start();
                let hint = if printed.contains("in use") {
                    "; the port is still held by the connections of a server before it: let it set SO_REUSEADDR before bind, or wait a minute"
                } else if printed.contains("No such file") || status.code() == Some(127) {
                    "; it is run in the folder that files land in, so give paths in full, as in \"python3 $PWD/server.py\", or say --dir . to run it here"
                } else {
                    ""
                };
                Err(StartError::Ended {
                    command: self.command.clone(),
                    status,
                    address: self.endpoint.clone(),
                    hint,
                    tail: self.tail(),
                })
            }
            None if self.watch.interrupted() => Err(StartError::Interrupted),
            None => Err(StartError::Deaf {
                command: self.command.clone(),
                address: self.endpoint.clone(),
                tail: self.tail(),
            }),
        }
    }

    /// Whether it is still there. A shell that has left its server behind counts as gone.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Processor time that it has taken so far, with all its processes.
    pub fn cpu_time(&self) -> Option<Duration> {
        proc::cpu_time(self.child.id())
    }

    /// Whether one of its threads runs at this moment, or would if a core were free.
    pub fn wants_a_core(&self) -> Option<bool> {
        proc::wants_a_core(self.child.id())
    }

    /// Memory of its own that it holds now, with all its processes, in bytes.
    pub fn memory(&self) -> Option<u64> {
        proc::memory(self.child.id())
    }

    /// The file that all its output goes to.
    pub fn output(&self) -> PathBuf {
        self.output.path().join("output")
    }

    /// What it has printed so far; of much, the last 64 KiB. A server may print without end, and
    /// this is asked often.
    pub fn printed(&self) -> String {
        self.printed_from(0)
    }

    /// The last of what it has printed behind a place in the file.
    fn printed_from(&self, place: u64) -> String {
        let read = || {
            let mut file = File::open(self.output())?;
            let place = place.max(file.metadata()?.len().saturating_sub(PRINTED_MOST));
            file.seek(SeekFrom::Start(place))?;
            let mut printed = Vec::new();
            // It may grow meanwhile.
            file.take(PRINTED_MOST).read_to_end(&mut printed)?;
            io::Result::Ok(printed)
        };
        String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
    }

    /// The last lines that it printed, for people: each on a line of its own, escaped.
    pub fn tail(&self) -> String {
        let printed = self.printed();
        let lines: Vec<&str> = printed.lines().collect();
        let last = lines.iter().skip(lines.len().saturating_sub(TAIL));
        last.map(|line| format!("\n    | {}", escaped(line)))
            .collect()
    }

    fn stop(&mut self) {
        let group = Pid::from_child(&self.child);
        // Fails where nobody is left in the group, which is what is wanted.
        let _ = kill_process_group(group, Signal::TERM);
        let ended = |child: &mut Child| matches!(child.try_wait(), Ok(Some(_)) | Err(_));
        // An interrupt is no reason to leave it behind, so this doesn't ask the watch.
        let until = Instant::now() + STOP_MOST;
        while !ended(&mut self.child) && Instant::now() < until {
            thread::sleep(Duration::from_millis(5));
        }
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.child.wait();
        // Only the shell has been waited for. What it started dies a moment later, and holds the
        // port until then.
        let until = Instant::now() + STOP_MOST;
        while test_kill_process_group(group).is_ok()
            && listens(&self.address)
            && Instant::now() < until
        {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Whether somebody listens there. Where only connecting would tell, it is done: a server that
/// can't bear it will be told so by a case.
fn listens(address: &Address) -> bool {
    if let Address::Tcp(address) = address
        && let Some(listens) = proc::listens(*address)
    {
        return listens;
    }
    let watch = Watch::new(std::sync::Arc::default());
    super::probe::Probe::connect("", address, watch).is_ok()
}

fn spawn(command: &str, folder: &Path, output: &Path) -> io::Result<Child> {
    let printed = File::options()
        .create(true)
        .append(true)
        .open(output.join("output"))?;
    Command::new("sh")
        .args(["-c", command])
        .current_dir(folder)
        // What it prints is looked at while it runs, and Python keeps it back otherwise.
        .env("PYTHONUNBUFFERED", "1")
        .stdin(Stdio::null())
        .stdout(printed.try_clone()?)
        .stderr(printed)
        // A group of its own, so that all it starts can be ended with it.
        .process_group(0)
        .spawn()
}
