//! The real program as a server in a process of its own, and what the kernel says of it. What a
//! bench shows of it is the server's alone, without the clients that load it.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// A server, and a folder for it; both go when it is dropped.
pub(crate) struct Server {
    process: Child,
    /// Where it listens.
    pub(crate) address: String,
    /// Where files land.
    pub(crate) folder: TempDir,
}

impl Server {
    /// Starts `piecemeal` with these arguments on a free port, and a fresh folder within another.
    /// What it tells people goes to `lines`; of a pipe nobody reads, so it soon tells no more.
    pub(crate) fn start(arguments: &[&str], within: &Path, lines: Stdio) -> io::Result<Server> {
        let folder = TempDir::new_in(within)?;
        let mut process = Command::new(env!("CARGO_BIN_EXE_piecemeal"))
            .args(arguments)
            .args(["--bind", "127.0.0.1:0", "--dir"])
            .arg(folder.path())
            .stdout(lines)
            .stderr(Stdio::piped())
            .spawn()?;
        drop(process.stdout.take());
        let err = process.stderr.take().expect("it was piped");
        // Made first, so that a server that says something else is stopped too.
        let mut server = Server {
            process,
            address: String::new(),
            folder,
        };
        let mut line = String::new();
        BufReader::new(err).read_line(&mut line)?;
        let address = line.trim_end().strip_prefix("listening on ");
        let address = address.unwrap_or_else(|| panic!("no server: {line:?}"));
        server.address = address.to_owned();
        Ok(server)
    }

    /// Its folder under /proc.
    pub(crate) fn proc(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.process.id())
    }

    /// A figure of the kernel's about the process: a count, or KiB.
    pub(crate) fn figure(&self, key: &str) -> u64 {
        let status = fs::read_to_string(self.proc("status")).expect("the server runs on Linux");
        figure(&status, key).expect("the kernel says it")
    }

    /// Processor time that it has taken.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(self.proc("stat")).expect("the server runs on Linux");
        // Fields are counted from behind the program's name, which may have spaces.
        let fields = stat.rsplit(')').next().expect("there is a last piece");
        let ticks = fields.split_whitespace().skip(11).take(2);
        // The kernel shows hundredths of a second here, whatever its own tick is.
        Duration::from_millis(
            10 * ticks
                .map(|ticks| ticks.parse::<u64>().unwrap_or(0))
                .sum::<u64>(),
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The number on a line `key: number` of one of the kernel's files.
pub(crate) fn figure(text: &str, key: &str) -> Option<u64> {
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    value.split_whitespace().next()?.parse().ok()
}
