//! `piecemeal serve`, started for one test and killed with it.

use std::ffi::OsString;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt, FdMapping};
use rustix::process::{Pid, Signal};
use tempfile::TempDir;

use super::{Client, Lines, PROGRAM, comes_true, command, signal, skipped};

/// How long a server whose lines are counted has to end by itself.
const COUNTING: Duration = Duration::from_secs(5);

/// How a server is to be started.
#[derive(Debug)]
pub(crate) struct Starter {
    before: Vec<OsString>,
    subcommand: &'static [&'static str],
    arguments: Vec<OsString>,
    variables: Vec<(String, String)>,
    collect_stdout: bool,
    /// Descriptors that it is to inherit, from 3 on.
    inherited: Vec<OwnedFd>,
    says_where: bool,
    /// Holds the server's folder, and whatever else a test needs beside it.
    home: TempDir,
}

/// A running server, with a folder of its own.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    addresses: Vec<String>,
    /// Whether it was started under a tracer.
    is_traced: bool,
    home: TempDir,
    pub(crate) out: Lines,
    pub(crate) err: Lines,
}

impl Starter {
    pub(crate) fn new(arguments: &[&str]) -> Starter {
        let home = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(home.path().join("stored")).expect("it is new");
        Starter {
            before: Vec::new(),
            subcommand: &["serve"],
            arguments: arguments.iter().map(OsString::from).collect(),
            variables: Vec::new(),
            collect_stdout: true,
            inherited: Vec::new(),
            says_where: true,
            home,
        }
    }

    /// The server of one of the lab's tasks.
    pub(crate) fn lab(task: &str, arguments: &[&str]) -> Starter {
        let mut starter = Starter::new(&["--task", task]);
        starter
            .arguments
            .extend(arguments.iter().map(OsString::from));
        starter.subcommand = &["lab", "serve"];
        starter
    }

    /// Further arguments.
    pub(crate) fn with(mut self, arguments: &[&str]) -> Starter {
        self.arguments.extend(arguments.iter().map(OsString::from));
        self
    }

    /// The folder that the server's own is in, and nothing else yet.
    pub(crate) fn home(&self) -> PathBuf {
        self.home.path().to_owned()
    }

    /// Runs it under another program, which is to end by becoming it, or what it is under next.
    pub(crate) fn under(mut self, program: &[&str]) -> Starter {
        self.before.extend(program.iter().map(OsString::from));
        self
    }

    /// Gives it a folder that is a small disk of its own, made with these options, which nobody else sees
    /// and which goes with it. Where none can be made, that is said.
    pub(crate) fn on_small_disk(self, options: &str) -> Option<Starter> {
        const UNSHARE: [&str; 4] = ["unshare", "-rm", "sh", "-c"];
        static CAN: OnceLock<bool> = OnceLock::new();
        let can = CAN.get_or_init(|| {
            let tried = command(UNSHARE[0])
                .args(&UNSHARE[1..])
                .arg("mount -t tmpfs -o size=1m tmpfs /mnt")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            tried.is_ok_and(|status| status.success())
        });
        if !can {
            skipped("no small disk can be made here");
            return None;
        }
        let folder = self.home().join("stored");
        let folder = folder.display();
        let script = format!("mount -t tmpfs -o {options} tmpfs '{folder}' && exec \"$0\" \"$@\"");
        Some(self.under(&[&UNSHARE[..], &[&script]].concat()))
    }

    /// Runs it with a limit, as `ulimit` takes it.
    pub(crate) fn limited(self, limit: &str) -> Starter {
        let script = format!("ulimit {limit} && exec \"$0\" \"$@\"");
        // What it has run may not fit, and half of it is worse than nothing.
        let starter = match is_counted() {
            true => self.variable("LLVM_PROFILE_FILE", "/dev/null"),
            false => self,
        };
        starter.under(&["sh", "-c", &script])
    }

    pub(crate) fn variable(mut self, name: &str, value: &str) -> Starter {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Hands descriptors over, as a service manager does.
    pub(crate) fn inheriting(self, inherited: Vec<OwnedFd>) -> Starter {
        let script = "export LISTEN_PID=$$; exec \"$0\" \"$@\"";
        let count = inherited.len().to_string();
        let mut starter = self.variable("LISTEN_FDS", &count);
        starter.inherited = inherited;
        starter.under(&["sh", "-c", script])
    }

    /// Leaves standard output to the test, which may close it or not read it.
    pub(crate) fn with_own_stdout(mut self) -> Starter {
        self.collect_stdout = false;
        self
    }

    /// Its lines are not those for people, so it is not waited for until it says where it listens.
    pub(crate) fn unsaid(mut self) -> Starter {
        self.says_where = false;
        self
    }

    /// Starts it, and waits until it says where it listens.
    pub(crate) fn start(self) -> Server {
        let given: Vec<String> = self
            .arguments
            .iter()
            .map(|argument| argument.to_string_lossy().into_owned())
            .collect();
        let given = given.windows(2).filter(|pair| pair[0] == "--bind");
        let binds = given.map(|pair| pair[1].split(',').count()).sum::<usize>();
        let from_variable = self
            .variables
            .iter()
            .any(|(name, _)| name.ends_with("BIND"));
        let mut words = self.before.clone();
        words.push(PROGRAM.into());
        words.extend(self.subcommand.iter().map(OsString::from));
        words.extend(["--dir".into(), self.home.path().join("stored").into()]);
        if binds == 0 && !from_variable {
            words.extend(["--bind".into(), "127.0.0.1:0".into()]);
        }
        words.extend(self.arguments);
        let mut command = command(&words[0]);
        // So that the whole suite can be run with bodies spliced, or not at all; a test's own flag
        // goes before.
        if let Some(when) = std::env::var_os("SUITE_SPLICE") {
            command.env("PIECEMEAL_SPLICE", when);
        }
        // And so that what it runs can be counted: a server writes that down where it was built,
        // which its sandbox forbids.
        if is_counted() {
            command.env("PIECEMEAL_SANDBOX", "off");
        }
        command.args(&words[1..]).envs(self.variables);
        let binds = binds.max(self.inherited.len());
        let numbered = (3..).zip(self.inherited);
        let mappings = numbered.map(|(child_fd, parent_fd)| FdMapping {
            parent_fd,
            child_fd,
        });
        let mapped = command.fd_mappings(mappings.collect());
        mapped.expect("each has its own number");
        let mut child = spawn(command);
        let out = match child.stdout.take() {
            Some(stdout) if self.collect_stdout => Lines::of(stdout),
            stdout => {
                child.stdout = stdout;
                Lines::default()
            }
        };
        let err = Lines::of(child.stderr.take().expect("it is a pipe"));
        let mut tracers = self.before.iter();
        let mut server = Server {
            child,
            addresses: Vec::new(),
            is_traced: tracers.any(|word| word.to_string_lossy().contains("strace")),
            home: self.home,
            out,
            err,
        };
        if !self.says_where {
            return server;
        }
        let said = |line: &str| line.starts_with("listening on ");
        let lines = server.err.wait_for_many(binds.max(1), said);
        let addresses = lines
            .iter()
            .filter_map(|line| line.strip_prefix("listening on "));
        server.addresses = addresses.map(str::to_owned).collect();
        server
    }
}

impl Server {
    /// A server on a free port of 127.0.0.1, with further arguments.
    pub(crate) fn start(arguments: &[&str]) -> Server {
        Starter::new(arguments).start()
    }

    /// Where it listens: what `--to` takes.
    pub(crate) fn address(&self) -> &str {
        &self.addresses[0]
    }

    /// The same, for each `--bind`.
    pub(crate) fn addresses(&self) -> &[String] {
        &self.addresses
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address())
    }

    /// The folder that its folder is in.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// A path in its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join("stored").join(name)
    }

    /// A stored file's bytes.
    pub(crate) fn stored(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).expect("the file is there")
    }

    /// The names in its folder, sorted, without its own work folder.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("")).expect("the folder is there");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").file_name())
            .map(|name| name.to_string_lossy().into_owned())
            .filter(|name| name != ".piecemeal")
            .collect();
        names.sort_unstable();
        names
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn signal(&self, which: Signal) {
        signal(&self.child, which);
    }

    /// Has its tracer let it go, wherever it is held at that moment.
    pub(crate) fn end_tracing(&self) {
        assert!(self.is_let_go(), "its tracer holds it still");
    }

    fn is_let_go(&self) -> bool {
        let tracer = || {
            let status = format!("/proc/{}/status", self.pid().as_raw_nonzero());
            let status = fs::read_to_string(status).ok()?;
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("TracerPid:"));
            Pid::from_raw(line?.trim().parse().ok()?)
        };
        if let Some(tracer) = tracer() {
            // It may have ended by itself, which is as good.
            let _ = rustix::process::kill_process(tracer, Signal::KILL);
        }
        comes_true(|| tracer().is_none())
    }

    /// Waits until it has ended by itself. Its standard error ends then, which the guard of
    /// [`Lines`] is on.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.err.to_end();
        self.child.wait().expect("it is our child")
    }

    /// Asks it to end by itself, as only then what it has run is written down. It may be held up
    /// by a peer, or stopped, and then it is not waited for any longer.
    fn end_in_time(&mut self) {
        // It may have ended already, which is no failure.
        let _ = rustix::process::kill_process(self.pid(), Signal::TERM);
        let until = Instant::now() + COUNTING;
        while self.child.try_wait().is_ok_and(|ended| ended.is_none()) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Kills it, and gives what starts the next one in its folder.
    pub(crate) fn killed(mut self, arguments: &[&str]) -> Starter {
        // It may have ended already, which is no failure.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let next = Starter::new(arguments);
        Starter {
            home: std::mem::replace(&mut self.home, next.home),
            ..next
        }
    }

    /// Asks it to stop, and expects it to end well.
    pub(crate) fn stop(&mut self) {
        self.signal(Signal::TERM);
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "{:#?}", self.err.so_far());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // What a tracer holds doesn't even hear of its death. Somebody else's, who may be looking at
        // the whole suite, is left alone.
        if self.is_traced {
            self.is_let_go();
        }
        if is_counted() {
            self.end_in_time();
        }
        // It may have ended already, which is no failure.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether `SUITE_COVERAGE` asks for servers that can be counted: see docs/RELIABILITY.md.
fn is_counted() -> bool {
    std::env::var_os("SUITE_COVERAGE").is_some()
}

fn spawn(mut command: Command) -> Child {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts")
}
