//! Running commands as a person would.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use rustix::process::{Pid, Signal, kill_process};
use socket2::{Domain, Socket, Type};

use super::{GUARD, PROGRAM};

/// How a command went.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// Expects an exit code, and shows all that was printed if it is another.
    pub(crate) fn exits(self, code: i32) -> Ran {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// The one line of standard error that has all of these in it.
    pub(crate) fn line_with(&self, parts: &[&str]) -> &str {
        let mut lines = self.err.lines();
        let line = lines.find(|line| parts.iter().all(|part| line.contains(part)));
        line.unwrap_or_else(|| panic!("no line has {parts:?}: {self:#?}"))
    }
}

/// A command that sees none of the variables that a tester may have set.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("PIECEMEAL_") || text.starts_with("RUST_LOG") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs the program to its end.
pub(crate) fn piecemeal<A: AsRef<OsStr>>(arguments: &[A]) -> Ran {
    piecemeal_with_input(arguments, b"")
}

/// The same, with something on standard input.
pub(crate) fn piecemeal_with_input<A: AsRef<OsStr>>(arguments: &[A], input: &[u8]) -> Ran {
    let mut command = command(PROGRAM);
    command.args(arguments);
    let output = assert_cmd::Command::from_std(command)
        .write_stdin(input)
        .timeout(GUARD)
        .output()
        .expect("the program starts");
    Ran {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A port that nobody listens at, and that nobody else gets while this is there.
#[derive(Debug)]
pub(crate) struct ClosedPort {
    pub(crate) address: String,
    _bound: Socket,
}

impl ClosedPort {
    pub(crate) fn new() -> ClosedPort {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&any.into()).expect("a free port");
        let bound = socket.local_addr().expect("it is bound");
        ClosedPort {
            address: bound.as_socket().expect("TCP").to_string(),
            _bound: socket,
        }
    }
}

pub(crate) fn signal(child: &Child, which: Signal) {
    kill_process(Pid::from_child(child), which).expect("it runs");
}

/// Whether programs can be run under `strace` here, and their calls made to fail. Where they can't, that
/// is said. It is tried once.
pub(crate) fn can_trace() -> bool {
    static CAN: OnceLock<bool> = OnceLock::new();
    let can = *CAN.get_or_init(|| {
        let inject = "inject=fsync:error=EIO:when=1";
        let tried = command("strace")
            .args(["-f", "-o", "/dev/null", "-e", inject, "true"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        tried.is_ok_and(|status| status.success())
    });
    if !can {
        skipped("strace can't be run here");
    }
    can
}

/// Does something when it goes, also because its test fails: tells threads to end that the test would
/// wait for otherwise.
pub(crate) struct OnDrop<F: Fn()>(pub(crate) F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Says that a test had nothing to test with here.
#[expect(clippy::print_stderr, reason = "whoever runs the tests should know")]
pub(crate) fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}
