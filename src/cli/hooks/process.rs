//! One run of a hook: a program with its facts, a process group of its own, and output that can
//! neither block it nor fill the memory.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, PipeReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use piecemeal::proto::text::escaped;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

/// The last bytes of the output that are looked at for what it was about.
const TAIL: usize = 64 << 10;
/// Of its last line so much is shown.
const LINE_MOST: usize = 300;
/// How long the output may go on after the program has ended: something that it has left in the
/// background may hold it open.
const AFTERWARDS: Duration = Duration::from_secs(1);

/// A program that runs.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    group: Group,
    /// What it is told.
    input: Vec<u8>,
    output: Receiver<String>,
}

/// How a run ended; where not well, for a person.
pub(super) type Outcome = Result<(), String>;

/// A process group that can be killed as long as it is this one: its number is given to another
/// once its first process was waited for.
#[derive(Clone, Debug)]
pub(super) struct Group(Arc<Mutex<Option<Pid>>>);

impl Group {
    fn of(child: &Child) -> Group {
        Group(Arc::new(Mutex::new(Some(Pid::from_child(child)))))
    }

    /// Kills all of it.
    pub(super) fn kill(&self) {
        let number = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = *number {
            let _ = kill_process_group(number, Signal::KILL);
        }
    }

    /// Its number may be given to another from now on.
    fn forget(&self) {
        let mut number = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *number = None;
    }
}

/// Starts a program. It gets this process's environment and these variables, and nothing that it
/// has open.
pub(super) fn start(
    program: &Path,
    arguments: &[OsString],
    variables: Vec<(&'static str, OsString)>,
    input: Vec<u8>,
) -> io::Result<Running> {
    let (output, into) = io::pipe()?;
    let (send, last_line) = channel();
    let drain = move || {
        // Nobody waits for a line that comes too late.
        let _ = send.send(last_line_of(output));
    };
    // First, since a program that was started would have to be stopped. It ends with the pipe.
    thread::Builder::new()
        .name("hook output".into())
        .spawn(drain)?;
    let child = Command::new(program)
        .args(arguments)
        .envs(variables)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(into.try_clone()?)
        .stderr(into)
        .spawn()?;
    Ok(Running {
        group: Group::of(&child),
        child,
        input,
        output: last_line,
    })
}

impl Running {
    pub(super) fn group(&self) -> Group {
        self.group.clone()
    }

    /// Tells it the facts, and waits until it has ended.
    pub(super) fn wait(mut self) -> Outcome {
        if let Some(mut stdin) = self.child.stdin.take() {
            // Who doesn't read them has the variables. It can't block for longer than the program
            // runs, and that has an end.
            let _ = stdin.write_all(&self.input);
        }
        // The process stays, and its number with it, until the group is forgotten.
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let _ =
            rustix::io::retry_on_intr(|| waitid(WaitId::Pid(Pid::from_child(&self.child)), ended));
        self.group.forget();
        let status = self.child.wait().map_err(|error| error.to_string())?;
        if status.success() {
            return Ok(());
        }
        let how = how_it_ended(status);
        match self.output.recv_timeout(AFTERWARDS) {
            Ok(last) if !last.is_empty() => Err(format!("{how}; it said last: {last}")),
            _ => Err(how),
        }
    }
}

fn how_it_ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => status.to_string(),
    }
}

/// Reads to the end, and gives the last line that has something in it, as plain text.
fn last_line_of(mut output: PipeReader) -> String {
    let mut tail = VecDeque::new();
    let mut block = [0; 8 << 10];
    loop {
        match output.read(&mut block) {
            Ok(0) => break,
            Ok(got) => {
                tail.extend(&block[..got]);
                tail.drain(..tail.len().saturating_sub(TAIL));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    last_line(&Vec::from(tail))
}

fn last_line(text: &[u8]) -> String {
    let mut lines = text.trim_ascii_end().rsplit(|byte| *byte == b'\n');
    let last = lines.next().unwrap_or_default().trim_ascii();
    let shown = &last[..last.len().min(LINE_MOST)];
    let more = if shown.len() < last.len() { "…" } else { "" };
    format!("{}{more}", escaped(shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_said_last_is_one_short_plain_line() {
        for (text, last) in [
            (&b""[..], ""),
            (b"\n\n", ""),
            (b"first\nlast\n\n", "last"),
            (b"first\r\nlast \r\n", "last"),
            (b"\x1b[2Jcleared", "\\u{1b}[2Jcleared"),
            (b"\xff", "\\xff"),
        ] {
            assert_eq!(last_line(text), last, "{text:?}");
        }
        assert_eq!(last_line(&[b'x'; 1000]).len(), LINE_MOST + "…".len());
    }
}
