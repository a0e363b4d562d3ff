//! A command whose output is the stream: how it is started, waited for and ended.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use super::{Broken, Shared};

/// How long a command that was asked to end is given for it.
const GRACE: Duration = Duration::from_secs(2);
/// How often it is looked whether it has.
const LOOK: Duration = Duration::from_millis(5);

/// A command that runs, and that nobody has waited for yet: its number is its own.
#[derive(Debug)]
pub(super) struct Running(Child);

impl Running {
    /// Starts it; returns its output too.
    pub(super) fn start(mut command: Command) -> Result<(Running, ChildStdout), Broken> {
        let spawned = command.stdout(Stdio::piped()).spawn();
        let mut child =
            spawned.map_err(|error| Broken::Command(format!("can't be run: {error}")))?;
        let output = child.stdout.take().expect("it is a pipe");
        Ok((Running(child), output))
    }

    /// Ends it, and waits until it has ended.
    pub(super) fn end(mut self) {
        let asked = Instant::now();
        // Fails only where it has ended already.
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        while asked.elapsed() < GRACE {
            match self.0.try_wait() {
                Ok(None) => sleep(LOOK),
                Ok(Some(_)) | Err(_) => return,
            }
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until the command, where there is one, has ended, and with 0.
pub(super) fn wait_for_success(shared: &Shared) -> Result<(), Broken> {
    let Some(pid) = shared.command() else {
        return Ok(());
    };
    // It is left to be waited for again: until that is done its number can't be another's, and
    // whoever wants to end the command can do so meanwhile.
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while let Err(Errno::INTR) = waitid(WaitId::Pid(pid), options) {}
    let Some(Running(mut child)) = shared.lock().running.take() else {
        return Err(Broken::Command("was ended".to_owned()));
    };
    match child.wait() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Broken::Command(how(status))),
        Err(error) => Err(Broken::Command(format!("can't be waited for: {error}"))),
    }
}

impl Shared {
    fn command(&self) -> Option<Pid> {
        let state = self.lock();
        let running = state.running.as_ref();
        running.map(|Running(child)| Pid::from_child(child))
    }
}

/// How a command has failed, for a person.
fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => match signal_hook::low_level::signal_name(signal) {
            Some(name) => format!("was killed by signal {signal} ({name})"),
            None => format!("was killed by signal {signal}"),
        },
        (None, None) => "failed".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_by_its_code_or_its_signal() {
        assert_eq!(how(ExitStatus::from_raw(3 << 8)), "ended with exit code 3");
        assert_eq!(
            how(ExitStatus::from_raw(9)),
            "was killed by signal 9 (SIGKILL)"
        );
    }

    #[test]
    fn a_command_that_does_not_listen_is_killed() {
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' TERM; echo ready; while :; do sleep 1; done"]);
        let (running, mut output) = Running::start(command).expect("there is a shell");
        let mut ready = [0; 6];
        std::io::Read::read_exact(&mut output, &mut ready).expect("it says so");
        let pid = Pid::from_child(&running.0);
        running.end();
        assert_eq!(
            rustix::process::test_kill_process(pid),
            Err(Errno::SRCH),
            "it is gone, and was waited for"
        );
    }
}
