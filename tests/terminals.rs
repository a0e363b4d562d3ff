//! Whoever sends what, nothing reaches a terminal but lines of plain text: no escape sequence, no
//! control character, nothing that turns the direction of a line or begins a new one.
//!
//! Every Unicode scalar and every byte goes through each place where a peer's text, a file's name,
//! a setting or an argument is shown. `PIECEMEAL_TERMINALS=all` takes every scalar also where a
//! process has to be started for each few; without it, those have one of each kind.

#[path = "terminals/clients.rs"]
mod clients;
#[path = "terminals/commands.rs"]
mod commands;
mod common;
#[path = "terminals/evil.rs"]
mod evil;
#[path = "terminals/files.rs"]
mod files;
#[path = "terminals/hostile.rs"]
mod hostile;
#[path = "terminals/lab.rs"]
mod lab;
#[path = "terminals/screen.rs"]
mod screen;
#[path = "terminals/servers.rs"]
mod servers;
#[path = "names/text.rs"]
mod text;

use std::ffi::{OsStr, OsString};
use std::process::Stdio;

use common::{GUARD, PROGRAM, command};

/// How a program ends that has panicked.
const PANICKED: i32 = 101;

/// What a run printed, byte for byte.
#[derive(Debug)]
struct Printed {
    code: Option<i32>,
    out: Vec<u8>,
    err: Vec<u8>,
}

impl Printed {
    /// Expects that there was something to look at.
    #[track_caller]
    fn is_something(&self, what: &str) {
        let shown = self.out.len() + self.err.len();
        assert!(shown > 0, "{what}: nothing was shown");
    }
}

/// Runs the program with further variables, and something on standard input. It ends by itself, and doesn't
/// panic.
#[track_caller]
fn run<A: AsRef<OsStr>>(arguments: &[A], variables: &[(&str, &OsStr)], input: &[u8]) -> Printed {
    let mut command = command(PROGRAM);
    command.args(arguments).envs(variables.iter().copied());
    let mut command = assert_cmd::Command::from_std(command);
    printed(command.write_stdin(input))
}

#[track_caller]
fn printed(command: &mut assert_cmd::Command) -> Printed {
    let output = command.timeout(GUARD).output();
    let output = output.expect("the program starts");
    let printed = Printed {
        code: output.status.code(),
        out: output.stdout,
        err: output.stderr,
    };
    let has_ended = !matches!(printed.code, None | Some(PANICKED));
    assert!(has_ended, "it panicked, or had to be ended: {printed:?}");
    printed
}

/// Runs the program on a terminal, and gives all that came there. `None` where there is no
/// `script` to make one.
#[track_caller]
fn run_on_terminal(arguments: &[OsString]) -> Option<Vec<u8>> {
    let there = command("script")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    if !there.is_ok_and(|status| status.success()) {
        common::skipped("no script here: nothing was shown on a terminal");
        return None;
    }
    // The words go by the environment: those of a shell's line would need quoting.
    let mut script = command("script");
    let words: Vec<String> = (0..arguments.len())
        .map(|number| format!("\"$WORD_{number}\""))
        .collect();
    let line = format!("exec '{PROGRAM}' {}", words.join(" "));
    let names = (0..arguments.len()).map(|number| format!("WORD_{number}"));
    script
        .args(["-q", "-e", "-c", &line, "/dev/null"])
        .envs(names.zip(arguments))
        .env("TERM", "xterm");
    Some(printed(&mut assert_cmd::Command::from_std(script)).out)
}

/// Whether every scalar is to be tried wherever that is possible.
fn takes_all() -> bool {
    std::env::var_os("PIECEMEAL_TERMINALS").is_some_and(|what| what == "all")
}

/// Texts for places that each need a process: all scalars in as few texts as fit, or the tricks.
fn texts_for_arguments() -> Vec<String> {
    let mut texts = evil::tricks();
    if takes_all() {
        let without_nul = evil::scalars(60_000)
            .into_iter()
            .map(|text| text.replace('\0', ""));
        texts.extend(without_nul);
    }
    texts.push(evil::forgery());
    texts
}
