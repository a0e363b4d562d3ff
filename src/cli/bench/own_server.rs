//! A server that bench starts for itself: another process of the same program, and a folder, both
//! of which are gone afterwards whatever happens.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use piecemeal::net::{Address, Endpoint};
use piecemeal::proto::text::escaped;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::Arguments;
use crate::cli::tell;

/// So long it may take to say where it listens.
const START_TIME: Duration = Duration::from_secs(10);
/// So long it may take to stop, before it is killed.
const STOP_TIME: Duration = Duration::from_secs(3);
/// Addresses that it listens at where each file has a connection of its own: those to one address
/// run out of ports at some 14,000 a second.
const MORE: usize = 4;
/// How often it is looked whether something has happened meanwhile.
const LOOK: Duration = Duration::from_millis(10);
/// Clock ticks of `/proc/PID/stat` in a second: fixed by the kernel's interface.
const TICKS_PER_S: f64 = 100.0;

/// A server in a process of its own. Dropping it kills it.
#[derive(Debug)]
pub(super) struct OwnServer {
    child: Child,
    endpoints: Vec<Endpoint>,
    /// Behind the child: it goes when nobody writes to it any more.
    folder: Option<TempDir>,
}

impl OwnServer {
    /// Starts it and waits until it listens, or `is_over`.
    ///
    /// # Errors
    /// A line for a person. Nothing is left then.
    pub(super) fn start(
        arguments: &Arguments,
        is_over: &dyn Fn() -> bool,
    ) -> Result<OwnServer, String> {
        let mut prefix = tempfile::Builder::new();
        prefix.prefix("piecemeal-bench-");
        let folder = match &arguments.temp_dir {
            Some(within) => prefix.tempdir_in(within),
            None => prefix.tempdir(),
        };
        let folder = folder.map_err(|error| {
            format!("can't make a folder for the server: {error}; --temp-dir says where")
        })?;
        let program = std::env::current_exe()
            .map_err(|error| format!("can't find this program's file: {error}"))?;
        let addresses = if arguments.reconnect { MORE } else { 1 };
        let mut command = Command::new(program);
        command
            .args(["serve", "--quiet", "--bind"])
            .arg(vec!["127.0.0.1:0"; addresses].join(","))
            .args(["--shutdown-timeout", "1s"])
            .args(["--durability", arguments.durability().as_str()])
            .args(["--strings", if arguments.say { "message" } else { "name" }])
            .arg("--dir")
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // A Ctrl-C is for bench, which then stops it.
            .process_group(0);
        for (name, _) in std::env::vars_os() {
            // What a person has set for a server of theirs isn't meant for this one.
            let text = name.to_string_lossy();
            if text.starts_with("PIECEMEAL_") || text.starts_with("RUST_LOG") {
                command.env_remove(&name);
            }
        }
        let child = command
            .spawn()
            .map_err(|error| format!("can't start the server: {error}"))?;
        let mut server = OwnServer {
            child,
            endpoints: Vec::new(),
            folder: Some(folder),
        };
        let lines = server.hear()?;
        for _ in 0..addresses {
            let address = server.wait_for_address(&lines, is_over)?;
            server.endpoints.push(address.into());
        }
        // It is read on, so that it never waits for a reader, and shown.
        thread::spawn(move || {
            for line in lines {
                tell(format_args!("server: {}", escaped(&line)));
            }
        });
        Ok(server)
    }

    pub(super) fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Processor time that it has used, in seconds, where the system tells.
    pub(super) fn cpu_s(&self) -> Option<f64> {
        cpu_s(&self.child.id().to_string())
    }

    /// Stops it, and removes its folder.
    pub(super) fn stop(mut self) -> Result<(), String> {
        self.end();
        let Some(folder) = self.folder.take() else {
            return Ok(());
        };
        let path = escaped(folder.path().as_os_str().as_encoded_bytes()).to_string();
        folder
            .close()
            .map_err(|error| format!("can't remove {path}: {error}"))
    }

    /// Lines of its standard error, read by a thread.
    fn hear(&mut self) -> Result<Receiver<String>, String> {
        let stderr = self.child.stderr.take().expect("it was asked for");
        let (send, lines) = channel();
        thread::Builder::new()
            .name("server's lines".into())
            .spawn(move || forward(stderr, &send))
            .map_err(|error| format!("can't start a thread: {error}"))?;
        Ok(lines)
    }

    fn wait_for_address(
        &self,
        lines: &Receiver<String>,
        is_over: &dyn Fn() -> bool,
    ) -> Result<Address, String> {
        let started = Instant::now();
        let mut said = Vec::new();
        while !is_over() && started.elapsed() < START_TIME {
            match lines.recv_timeout(LOOK) {
                Ok(line) => match line.strip_prefix("listening on ") {
                    Some(address) => {
                        return address
                            .parse()
                            .map_err(|_| "the server listens nowhere".to_owned());
                    }
                    None => {
                        let line = line.strip_prefix("piecemeal: ").unwrap_or(&line);
                        said.push(escaped(line).to_string());
                    }
                },
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let why = match said.last() {
            Some(last) => format!(": {last}"),
            None => String::new(),
        };
        Err(format!("the server didn't start{why}"))
    }

    /// Ends the process: asks it to, and kills it when that doesn't help.
    fn end(&mut self) {
        let asked = Instant::now();
        let mut is_asked = false;
        while let Ok(None) = self.child.try_wait() {
            if !is_asked {
                is_asked = true;
                let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
            } else if asked.elapsed() > STOP_TIME {
                // It can't refuse, so that the wait ends.
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            thread::sleep(LOOK);
        }
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        self.end();
    }
}

fn forward(stderr: impl Read, lines: &Sender<String>) {
    for line in BufReader::new(stderr).split(b'\n') {
        let Ok(line) = line else { return };
        // Read on even where nobody hears it.
        let _ = lines.send(String::from_utf8_lossy(&line).into_owned());
    }
}

/// Processor time of a process and all its threads, in seconds; none where there is no `/proc`.
pub(super) fn cpu_s(process: &str) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name, in brackets, may have spaces; what follows it has none.
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u32>().ok().map(f64::from);
    Some((ticks()? + ticks()?) / TICKS_PER_S)
}
