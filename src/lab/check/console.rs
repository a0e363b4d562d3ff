//! What a started server prints while a case runs: the reason of a failure often stands there.
//!
//! An exception ends the thread that serves a connection, and the connection stays open behind it.
//! From outside that looks like a server that waits; only its console tells.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::proto::text::escaped;

/// Bytes of output that are looked at, at most: the last ones.
const MOST: u64 = 64 << 10;
/// What stands before each line of a server's that is shown.
pub const LINE: &str = "\n    | ";
/// Lines that are shown.
const TAIL: usize = 8;

/// A server's output from the beginning of a case on.
#[derive(Debug)]
pub struct Console {
    file: PathBuf,
    from: u64,
    /// What it had printed when a connection that stays open was found wanting. What comes later
    /// may be about our own leaving.
    kept: Mutex<Option<String>>,
}

impl Console {
    /// The output that is written to a file, from now on.
    pub fn new(file: PathBuf) -> Console {
        let from = file.metadata().map_or(0, |about| about.len());
        Console {
            file,
            from,
            kept: Mutex::new(None),
        }
    }

    /// Remembers what has been printed by now, as the reason of a failure.
    pub fn keep(&self) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.now());
    }

    /// Forgets it: the failure is one that may be told by what is still to be printed.
    pub fn keep_nothing(&self) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// What was printed until the failure. Bytes that are no text, or can't be read, are left out.
    pub fn printed(&self) -> String {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clone().unwrap_or_else(|| self.now())
    }

    fn now(&self) -> String {
        let read = || {
            let mut file = File::open(&self.file)?;
            let end = file.metadata()?.len();
            file.seek(SeekFrom::Start(self.from.max(end.saturating_sub(MOST))))?;
            let mut printed = Vec::new();
            file.take(MOST).read_to_end(&mut printed)?;
            std::io::Result::Ok(printed)
        };
        String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
    }
}

/// The last lines, for people: each on a line of its own, escaped.
pub fn tail(printed: &str) -> String {
    let lines: Vec<&str> = printed.lines().collect();
    let last = lines.iter().skip(lines.len().saturating_sub(TAIL));
    last.map(|line| format!("{LINE}{}", escaped(line)))
        .collect()
}

/// The line that names the last exception, escaped, where there is one: the line behind a Python
/// traceback, or one like `SomeError: what is wrong`.
pub fn exception(printed: &str) -> Option<String> {
    let mut found = None;
    let mut in_traceback = false;
    for line in printed.lines() {
        if line.starts_with("Traceback (most recent call last)") {
            in_traceback = true;
            found = Some(line);
        } else if in_traceback {
            // What belongs to the traceback is indented; the first line that isn't ends it.
            if !line.is_empty() && !line.starts_with(char::is_whitespace) {
                in_traceback = false;
                found = Some(line);
            }
        } else if names_an_error(line) {
            found = Some(line);
        }
    }
    found.map(|line| escaped(line).to_string())
}

/// Whether an exception says no more than that a client is gone. Where a case fails, that mostly
/// follows from the failure.
pub fn peer_has_left(exception: &str) -> bool {
    let kinds = [
        "ConnectionResetError",
        "BrokenPipeError",
        "ConnectionAbortedError",
    ];
    kinds.iter().any(|kind| exception.starts_with(kind))
}

fn names_an_error(line: &str) -> bool {
    let Some((name, _)) = line.split_once(": ") else {
        return false;
    };
    let name = name.rsplit(' ').next().unwrap_or_default();
    name.ends_with("Error") || name.ends_with("Exception")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACEBACK: &str = "listening\nException in thread Thread-1 (serve):\n\
        Traceback (most recent call last):\n  File \"s.py\", line 3, in serve\n    \
        n, = struct.unpack(\"<H\", data)\n        ^^^^\n\
        struct.error: unpack requires a buffer of 2 bytes\n";

    #[test]
    fn an_exception_is_named_by_the_line_behind_its_traceback_or_by_its_own_name() {
        let named = "struct.error: unpack requires a buffer of 2 bytes";
        assert_eq!(exception(TRACEBACK).as_deref(), Some(named));
        let later = format!("{TRACEBACK}sent a.txt\n");
        assert_eq!(exception(&later).as_deref(), Some(named));
        assert_eq!(
            exception("oops: ValueError: \x1b[2J\n").as_deref(),
            None,
            "what stands before the first colon names it"
        );
        assert_eq!(
            exception("ValueError: \x1b\n").as_deref(),
            Some("ValueError: \\u{1b}")
        );
        assert_eq!(exception("127.0.0.1 sent errors.txt\n"), None);
    }

    #[test]
    fn only_what_is_printed_after_the_beginning_and_before_the_failure_counts() {
        let temporary = tempfile::tempdir().unwrap();
        let file = temporary.path().join("output");
        std::fs::write(&file, "before\n").unwrap();
        let console = Console::new(file.clone());
        assert_eq!(console.printed(), "");
        std::fs::write(&file, "before\nmeanwhile\n").unwrap();
        assert_eq!(console.printed(), "meanwhile\n");
        console.keep();
        std::fs::write(&file, "before\nmeanwhile\nafter\n").unwrap();
        assert_eq!(console.printed(), "meanwhile\n");
        console.keep_nothing();
        assert_eq!(tail(&console.printed()), "\n    | meanwhile\n    | after");
    }
}
