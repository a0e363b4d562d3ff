//! Runs the clients of clients.py against a lab server, and looks at what came of it.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use serde::Deserialize;
use tempfile::TempDir;

use crate::common::{Server, Starter, skipped, wait_until};

/// Types of data whose length has one to four bytes, and the first size that is too large for each.
pub(crate) const TYPES: [(&str, u64); 4] = [
    ("2", 1 << 8),
    ("3", 1 << 16),
    ("4", 1 << 24),
    ("5", 1 << 32),
];

/// What a client saw of its one connection.
#[derive(Debug, Deserialize)]
pub(crate) struct Saw {
    /// Its own address, as the server is to print it.
    pub(crate) me: String,
    /// What the server sent, a character a byte.
    pub(crate) got: String,
    /// `end`, `reset` or `left without looking`.
    pub(crate) end: String,
}

impl Saw {
    /// The answer as text.
    pub(crate) fn text(&self) -> String {
        let bytes = self.got.chars().map(|c| u8::try_from(u32::from(c)));
        let bytes: Result<Vec<u8>, _> = bytes.collect();
        String::from_utf8(bytes.expect("a character is a byte")).expect("the answer is text")
    }

    /// The server ended its side in order, as far as the client looked, and sent just this.
    #[track_caller]
    pub(crate) fn got(&self, expected: &str) -> &Saw {
        assert_eq!(self.text(), expected, "{self:?}");
        assert_ne!(self.end, "reset", "{self:?}");
        self
    }
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Outcome {
    Saw(Saw),
    Failed { failed: String },
}

/// A lab server, and a folder of files for clients to send.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) server: Server,
    files: TempDir,
    /// Kept, since Python takes longer to start than to be a client.
    idle: Mutex<Vec<Python>>,
}

/// A running clients.py, which is one client after the other.
#[derive(Debug)]
struct Python {
    child: Child,
    clients: ChildStdin,
    seen: BufReader<ChildStdout>,
}

impl Python {
    fn start(address: &str) -> Python {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/clients.py");
        let mut child = Command::new("python3")
            // Nothing is to be written beside the script, and texts are UTF-8 everywhere.
            .args(["-B", "-X", "utf8"])
            .arg(script)
            .args([address, "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 runs");
        Python {
            clients: child.stdin.take().expect("it is a pipe"),
            seen: BufReader::new(child.stdout.take().expect("it is a pipe")),
            child,
        }
    }

    fn run(&mut self, words: &[&str]) -> Outcome {
        let words = serde_json::to_string(words).expect("texts");
        writeln!(self.clients, "{words}").expect("it listens");
        let mut line = String::new();
        self.seen.read_line(&mut line).expect("it prints text");
        serde_json::from_str(&line).expect("it prints what it saw")
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // It may have ended already, which is no failure.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Room {
    /// A task's server, with nothing said to it but the task. `None` where there is no Python,
    /// which is said.
    pub(crate) fn of_task(task: &str) -> Option<Room> {
        Room::with(task, &[])
    }

    pub(crate) fn with(task: &str, arguments: &[&str]) -> Option<Room> {
        let there = Command::new("python3").arg("--version").output();
        if !there.is_ok_and(|there| there.status.success()) {
            skipped("no python3 here: the clients in Python were not run");
            return None;
        }
        Some(Room {
            server: Starter::lab(task, arguments).start(),
            files: tempfile::tempdir().expect("a temporary folder"),
            idle: Mutex::default(),
        })
    }

    /// A file for a client to send.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.files.path().join(name);
        fs::write(&path, bytes).expect("the folder is there");
        path.into_os_string().into_string().expect("a plain path")
    }

    /// Runs one client to its end.
    #[track_caller]
    pub(crate) fn run(&self, style: &str, arguments: &[&str]) -> Saw {
        let idle = self.lock().pop();
        let mut python = idle.unwrap_or_else(|| Python::start(self.server.address()));
        match python.run(&[&[style], arguments].concat()) {
            Outcome::Saw(saw) => {
                self.lock().push(python);
                saw
            }
            Outcome::Failed { failed } => panic!("{style} {arguments:?}: {failed}"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Python>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The line of standard output that has a client's address and this text in it.
    #[track_caller]
    pub(crate) fn line(&self, saw: &Saw, text: &str) -> String {
        let fits = |line: &str| has_address(line, &saw.me) && line.contains(text);
        self.server.out.wait_for(fits)
    }

    /// Waits until a file of this name is there. It has to be whole from the first moment.
    #[track_caller]
    pub(crate) fn stored(&self, name: &str, bytes: &[u8]) {
        let path = self.server.path(name);
        wait_until(name, || path.exists());
        assert_same(name, &fs::read(&path).expect("it is there"), bytes);
    }

    /// Waits until there is a file of eight random characters that wasn't there before, and
    /// expects these bytes in it.
    #[track_caller]
    pub(crate) fn stored_unnamed(&self, known: &mut Vec<String>, bytes: &[u8]) {
        wait_until("a file with a random name", || new(self, known).is_some());
        let name = new(self, known).expect("it was there");
        assert_same(&name, &self.server.stored(&name), bytes);
        known.push(name);
    }

    /// Runs these styles at once, each with one file of these sizes, and expects all the files,
    /// whatever they are called, and nothing sent back.
    #[track_caller]
    pub(crate) fn stores_unnamed_at_once(&self, styles: &[&str], sizes: &[usize]) {
        let each = || {
            sizes
                .iter()
                .flat_map(|size| styles.iter().map(move |style| (*style, *size)))
        };
        thread::scope(|at_once| {
            for (style, size) in each() {
                let path = self.file(&format!("{style}-{size}"), &noise(20, size));
                at_once.spawn(move || {
                    let saw = self.run(style, &[&path]);
                    saw.got("");
                    assert_ne!(saw.end, "reset", "{style} {size}");
                });
            }
        });
        let mut expected: Vec<usize> = each().map(|(_, size)| size).collect();
        wait_until("all the files", || {
            self.server.names().len() == expected.len()
        });
        let stored = self.server.names();
        let stored = stored.iter().map(|name| self.server.stored(name));
        let mut stored: Vec<Vec<u8>> = stored.collect();
        stored.sort_by_key(Vec::len);
        expected.sort_unstable();
        for (stored, size) in stored.iter().zip(expected) {
            assert_same("a file with a random name", stored, &noise(20, size));
        }
    }

    /// Waits until exactly these are in the server's folder.
    #[track_caller]
    pub(crate) fn holds(&self, names: &[&str]) {
        let mut names: Vec<&str> = names.to_vec();
        names.sort_unstable();
        wait_until(&format!("{names:?} in the folder, and no more"), || {
            self.server.names() == names
        });
    }

    /// Stops the server, which has to end well, and expects exactly these in its folder.
    #[track_caller]
    pub(crate) fn ends_with(mut self, names: &[&str]) {
        self.holds(names);
        self.server.stop();
        // Not even what only the end of the server let happen.
        self.holds(names);
    }
}

/// The name of a finished file that isn't known yet.
fn new(room: &Room, known: &[String]) -> Option<String> {
    let finished = |name: &String| {
        let stem = name.strip_suffix(".bin").unwrap_or_default();
        stem.len() == 8 && stem.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    let names = room.server.names().into_iter();
    names.filter(finished).find(|name| !known.contains(name))
}

/// Whether a line names an address, and not one that only begins so.
fn has_address(line: &str, address: &str) -> bool {
    let after = line
        .match_indices(address)
        .map(|(at, _)| at + address.len());
    let digit = |at| line[at..].starts_with(|c: char| c.is_ascii_digit());
    after.into_iter().any(|at| !digit(at))
}

/// Compares without printing a megabyte.
#[track_caller]
fn assert_same(name: &str, got: &[u8], expected: &[u8]) {
    let same = got.iter().zip(expected).take_while(|(a, b)| a == b).count();
    assert!(
        got == expected,
        "{name}: {} bytes instead of {}, the first {same} the same; then {:?} instead of {:?}",
        got.len(),
        expected.len(),
        &got[same..got.len().min(same + 16)],
        &expected[same..expected.len().min(same + 16)],
    );
}

/// Bytes without a pattern, the same ones for the same seed.
pub(crate) fn noise(seed: u64, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}

/// Text of so many bytes, with characters of one to four bytes.
pub(crate) fn prose(count: usize) -> Vec<u8> {
    "Blåbærgrød, 2 €, og en 🐟. "
        .bytes()
        .cycle()
        .take(count)
        .collect()
}
