//! The server in a machine of its own, as far as it can tell: one that was started anew after each
//! cut, and whose disk is calm or busy as the trial wants it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;

use crate::common::{Lines, PROGRAM, command, signal};

/// A server on a disk.
#[derive(Debug)]
pub(super) struct Machine {
    child: Child,
    pub(super) address: String,
    err: Lines,
}

/// How one is started.
#[derive(Clone, Debug)]
pub(super) struct Boot {
    /// Where its small files of its own are.
    pub(super) home: PathBuf,
    pub(super) arguments: Vec<String>,
    /// Whether it sees that hardly anything waits for the disk, so that a batch is synced together.
    pub(super) is_calm: bool,
    /// Whether its syncs do nothing, and say that all went well.
    pub(super) lies: bool,
}

/// What changes some of the kernel's files for one program: the start of the machine has another
/// name each time, and what waits for the disk is what it is told.
const DISGUISE: &str = "mount --bind \"$1\" /proc/meminfo && \
    mount --bind \"$2\" /proc/sys/kernel/random/boot_id && shift 2 && exec \"$@\"";

/// What runs the program that is given to it next in a machine of its own.
fn disguised(home: &Path, is_calm: bool, number: u64) -> io::Result<Command> {
    let memory = home.join("meminfo");
    let dirty = if is_calm { 64 } else { 1 << 20 };
    fs::write(&memory, format!("Dirty: {dirty} kB\nWriteback: 0 kB\n"))?;
    let id = home.join("boot_id");
    fs::write(&id, format!("00000000-0000-4000-8000-{number:012}\n"))?;
    // Whatever becomes of the trial, its servers don't outlive it.
    let mut command = command("setpriv");
    command.args([
        "--pdeathsig",
        "KILL",
        "unshare",
        "-m",
        "sh",
        "-c",
        DISGUISE,
        "sh",
    ]);
    command.args([&memory, &id]);
    Ok(command)
}

/// An error says that no such machine can be made here.
pub(super) fn try_out(home: &Path) -> io::Result<()> {
    let output = disguised(home, true, 0)?.arg("true").output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(io::Error::other(
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )),
    }
}

impl Machine {
    pub(super) fn start(boot: &Boot, mounted: &Path, number: u64) -> io::Result<Machine> {
        let mut command = disguised(&boot.home, boot.is_calm, number)?;
        if boot.lies {
            let syncs = "fsync,fdatasync,syncfs";
            command.args(["strace", "-D", "-f", "-qq", "-o", "/dev/null"]);
            command.args(["-e", &format!("trace={syncs}")]);
            command.args(["-e", &format!("inject={syncs}:retval=0")]);
        }
        // Another build, such as one that was broken on purpose, can be tried too.
        let program = std::env::var("PIECEMEAL_CUTS_PROGRAM").unwrap_or(PROGRAM.to_owned());
        command.args([&program, "serve", "-q", "--bind", "127.0.0.1:0", "--dir"]);
        command.arg(mounted.join("stored")).args(&boot.arguments);
        if boot
            .arguments
            .iter()
            .any(|argument| argument == "--journal")
        {
            fs::create_dir_all(mounted.join("beside"))?;
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let err = Lines::of(child.stderr.take().expect("it is a pipe"));
        let line = err.wait_for(|line| line.starts_with("listening on "));
        let address = line.trim_start_matches("listening on ").to_owned();
        Ok(Machine {
            child,
            address,
            err,
        })
    }

    /// It has no power any more. What it said.
    pub(super) fn dies(mut self) -> Vec<String> {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.err.to_end()
    }

    /// Asks it to stop. Its exit code.
    pub(super) fn stops(mut self) -> io::Result<Option<i32>> {
        signal(&self.child, Signal::TERM);
        self.err.to_end();
        Ok(self.child.wait()?.code())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It has ended, unless the trial failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
