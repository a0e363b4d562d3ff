//! The process that runs hooks: this program once more, started before the server gives up its
//! right to run others, and connected to it by a socket.
//!
//! ```text
//!   server                                     broker
//!   dispatcher ── {"Run": …}, {"Kill": …} ──>  starts a program, kills its group
//!   reader     <── {"connection": …} ────────  a thread for each run waits until it ends
//! ```
//!
//! Both ways go lines of JSON. A run is known by its connection, since each has one at a time. What
//! is to run, how long, and how many at once is the dispatcher's business.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use piecemeal::proto::name::{Name, NameRules};
use serde::{Deserialize, Serialize};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::facts::Told;
use super::process::{self, Group, Outcome};
use super::queue::Plan;
use crate::cli::Exit;

/// What the program is called with, to be this.
const CALL: &str = "--run-hooks";

/// What the broker is told.
#[derive(Debug, Serialize, Deserialize)]
enum Order {
    Run { connection: usize, file: Told },
    Kill { connection: usize },
}

/// What it answers once a run has ended.
#[derive(Debug, Serialize, Deserialize)]
struct Ended {
    connection: usize,
    outcome: Outcome,
}

/// The server's end.
#[derive(Debug)]
pub(super) struct Broker {
    /// None where a test speaks for it.
    child: Option<Child>,
    socket: UnixStream,
}

impl Broker {
    /// Starts the process. It has the rights that this one has now.
    pub(super) fn start(plan: &Plan) -> io::Result<Broker> {
        // By way of /proc, it is this very file, also where its path can't be walked any more.
        let program = match cfg!(target_os = "linux") {
            true => PathBuf::from("/proc/self/exe"),
            false => std::env::current_exe()?,
        };
        let (socket, theirs) = UnixStream::pair()?;
        let child = Command::new(program)
            .arg0("piecemeal")
            .arg(CALL)
            .args([plan.dir.as_os_str(), plan.program.as_os_str()])
            .args(&plan.arguments)
            // What the service manager hears is the server's to say.
            .env_remove("NOTIFY_SOCKET")
            // What a terminal sends to the server isn't for it: it ends with the server.
            .process_group(0)
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Broker {
            child: Some(child),
            socket,
        })
    }

    /// Has `hear` called for each run that has ended, on a thread of its own, and at the end with
    /// `None`.
    pub(super) fn listen(
        &self,
        hear: impl Fn(Option<(usize, Outcome)>) + Send + 'static,
    ) -> io::Result<()> {
        let answers = BufReader::new(self.socket.try_clone()?);
        let listen = move || {
            for answer in answers.lines().map_while(Result::ok) {
                if let Ok(Ended {
                    connection,
                    outcome,
                }) = serde_json::from_str(&answer)
                {
                    hear(Some((connection, outcome)));
                }
            }
            hear(None);
        };
        thread::Builder::new()
            .name("hooks' ends".into())
            .spawn(listen)?;
        Ok(())
    }

    /// Has the hook run for a file of a connection, which has none that runs.
    pub(super) fn run(&self, connection: usize, file: Told) -> io::Result<()> {
        send(&self.socket, &Order::Run { connection, file })
            .map_err(|error| io::Error::other(format!("the process for hooks is gone: {error}")))
    }

    /// Kills what runs for a connection, and all that it has started.
    pub(super) fn kill(&self, connection: usize) {
        // Where the process is gone, the listener is told.
        let _ = send(&self.socket, &Order::Kill { connection });
    }

    /// Ends the process.
    pub(super) fn end(mut self) {
        let _ = self.socket.shutdown(Shutdown::Both);
        if let Some(child) = &mut self.child {
            let _ = child.wait();
        }
    }

    /// One that a test speaks for, and the test's end.
    #[cfg(test)]
    pub(super) fn spoken_for() -> (Broker, UnixStream) {
        let (socket, theirs) = UnixStream::pair().expect("sockets");
        let child = None;
        (Broker { child, socket }, theirs)
    }
}

/// What the program was called with, if it is to be a broker.
pub(in crate::cli) fn called() -> Option<Called> {
    let mut words = std::env::args_os().skip(1);
    let called = words.next().is_some_and(|word| word == CALL);
    let (dir, program) = (words.next()?, words.next()?);
    called.then(|| Called {
        dir: dir.into(),
        program: program.into(),
        arguments: words.collect(),
    })
}

/// What a broker runs.
#[derive(Debug)]
pub(in crate::cli) struct Called {
    dir: PathBuf,
    program: PathBuf,
    arguments: Vec<OsString>,
}

impl Called {
    /// Runs hooks until the server closes its end. What runs then is left alone.
    pub(in crate::cli) fn run(self) -> Exit {
        #[cfg(target_os = "linux")]
        let _ = rustix::thread::set_name(c"piecemeal hooks");
        // A manager that stops the server signals this process too, whose hooks have time until the
        // server ends. (Not ignored, since the hooks would inherit that.)
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            let _ = signal_hook::flag::register(signal, Arc::default());
        }
        let Ok(socket) = io::stdin().as_fd().try_clone_to_owned() else {
            return Exit::Other;
        };
        let running = Arc::new(Running {
            groups: Mutex::default(),
            answers: Mutex::new(UnixStream::from(socket)),
        });
        for order in io::stdin().lines().map_while(Result::ok) {
            match serde_json::from_str(&order) {
                Ok(Order::Run { connection, file }) => {
                    if let Err(error) = self.start(connection, &file, &running) {
                        running.ended(connection, Err(error.to_string()));
                    }
                }
                Ok(Order::Kill { connection }) => running.kill(connection),
                Err(_) => return Exit::Other,
            }
        }
        Exit::Success
    }

    fn start(&self, connection: usize, file: &Told, running: &Arc<Running>) -> io::Result<()> {
        // Hooks trust what they are told, and a server that was broken into may tell anything.
        if let Err(fault) = Name::parse(&file.name, NameRules::LOOSEST) {
            return Err(io::Error::other(format!("no file is called so: {fault}")));
        }
        let path = self.dir.join(&file.name);
        let run = process::start(
            &self.program,
            &self.arguments,
            file.variables(&path),
            file.json(&path).into_bytes(),
        )?;
        let group = run.group();
        running.lock().insert(connection, group.clone());
        let ends = Arc::clone(running);
        let wait = move || ends.ended(connection, run.wait());
        if let Err(error) = thread::Builder::new().name("hook".into()).spawn(wait) {
            group.kill();
            return Err(error);
        }
        Ok(())
    }
}

/// What runs, and where its end is told.
struct Running {
    groups: Mutex<HashMap<usize, Group>>,
    answers: Mutex<UnixStream>,
}

impl Running {
    fn kill(&self, connection: usize) {
        if let Some(group) = self.lock().get(&connection) {
            group.kill();
        }
    }

    fn ended(&self, connection: usize, outcome: Outcome) {
        // First, since the next run of the connection may come with the answer.
        self.lock().remove(&connection);
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        // A server that is gone needs none.
        let _ = send(
            &answers,
            &Ended {
                connection,
                outcome,
            },
        );
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<usize, Group>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn send(mut socket: &UnixStream, what: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_string(what).expect("text and numbers are always JSON");
    line.push('\n');
    socket.write_all(line.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_no_stored_file_can_have_starts_no_hook() {
        let called = Called {
            dir: "/".into(),
            program: "/no/such/program".into(),
            arguments: Vec::new(),
        };
        let (answers, _server) = UnixStream::pair().expect("sockets");
        let running = Arc::new(Running {
            groups: Mutex::default(),
            answers: Mutex::new(answers),
        });
        let refusal = |name: &str| {
            let file = serde_json::json!({
                "time": "", "name": name, "size": 5, "durable": true, "peer": "",
            });
            let file = serde_json::from_value(file).expect("what is told of a file");
            let started = called.start(1, &file, &running);
            started.expect_err("there is no such program").to_string()
        };
        for name in [
            "",
            ".",
            "/",
            "a/../b",
            "../a",
            "/etc/passwd",
            "a//b",
            ".piecemeal",
            ".piecemeal/a",
            ".Piecemeal/a",
            "a\nb",
        ] {
            let refusal = refusal(name);
            assert!(
                refusal.contains("no file is called so"),
                "{name}: {refusal}"
            );
        }
        for name in ["a", "a/b", ".a (2).txt"] {
            let refusal = refusal(name);
            assert!(refusal.contains("No such file"), "{name}: {refusal}");
        }
    }
}
