//! The lines that a program prints, collected while it runs.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::GUARD;

/// Lines of one stream of a program; a thread reads them as they come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    so_far: Mutex<SoFar>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct SoFar {
    lines: Vec<String>,
    /// The same, byte for byte.
    raw: Vec<u8>,
    ended: bool,
}

impl Lines {
    /// Begins to collect. What is no UTF-8 shows as such and doesn't end the collecting.
    pub(crate) fn of(stream: impl Read + Send + 'static) -> Lines {
        let lines = Lines::default();
        let collected = lines.clone();
        thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n') {
                let Ok(line) = line else { break };
                let text = String::from_utf8_lossy(&line).into_owned();
                let mut so_far = collected.lock();
                so_far.lines.push(text);
                so_far.raw.extend(line);
                so_far.raw.push(b'\n');
                drop(so_far);
                collected.0.changed.notify_all();
            }
            collected.lock().ended = true;
            collected.0.changed.notify_all();
        });
        lines
    }

    /// What there is so far.
    pub(crate) fn so_far(&self) -> Vec<String> {
        self.lock().lines.clone()
    }

    /// Waits for the first line that fits.
    pub(crate) fn wait_for(&self, fits: impl Fn(&str) -> bool) -> String {
        self.wait_for_many(1, fits).remove(0)
    }

    /// Waits for so many lines that fit.
    pub(crate) fn wait_for_many(&self, count: usize, fits: impl Fn(&str) -> bool) -> Vec<String> {
        let fitting = |so_far: &SoFar| -> Vec<String> {
            let lines = so_far.lines.iter().filter(|line| fits(line));
            lines.take(count).cloned().collect()
        };
        let waits = |so_far: &mut SoFar| !so_far.ended && fitting(so_far).len() < count;
        let (so_far, _) = (self.0.changed)
            .wait_timeout_while(self.lock(), GUARD, waits)
            .unwrap_or_else(PoisonError::into_inner);
        let found = fitting(&so_far);
        assert!(
            found.len() == count,
            "{} of {count} lines came; all that came: {:#?}",
            found.len(),
            so_far.lines
        );
        found
    }

    /// Waits for the stream's end, and gives all lines.
    pub(crate) fn to_end(&self) -> Vec<String> {
        let (so_far, _) = (self.0.changed)
            .wait_timeout_while(self.lock(), GUARD, |so_far| !so_far.ended)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(so_far.ended, "no end came after {:#?}", so_far.lines);
        so_far.lines.clone()
    }

    /// Waits for the stream's end, and gives all that came, byte for byte; its last line has an end.
    pub(crate) fn raw_to_end(&self) -> Vec<u8> {
        self.to_end();
        self.lock().raw.clone()
    }

    fn lock(&self) -> MutexGuard<'_, SoFar> {
        self.0.so_far.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
