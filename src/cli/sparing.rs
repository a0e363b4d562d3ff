//! Lines that peers can cause as often as they like, told sparingly.
//!
//! A full disk makes each upload fail, and a peer can try a thousand a second. Were there a line in
//! the log for each, whoever wanted to could fill the disk that the log lies on.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Most lines …
const MOST: u32 = 20;
/// … in so long.
const SPAN: Duration = Duration::from_secs(10);

/// Says which lines are told.
#[derive(Debug, Default)]
pub(super) struct Sparing(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    /// When the span began.
    since: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl Sparing {
    /// Whether one more line is told, and how many before it were not.
    pub(super) fn admit(&self, now: Instant) -> Option<u64> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |since: Instant| now.saturating_duration_since(since) >= SPAN;
        if told.since.is_none_or(is_over) {
            told.since = Some(now);
            told.lines = 0;
        }
        if told.lines == MOST {
            told.left_out += 1;
            return None;
        }
        told.lines += 1;
        Some(std::mem::take(&mut told.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_told_in_a_span_and_of_the_others_how_many_they_were() {
        let (sparing, start) = (Sparing::default(), Instant::now());
        for _ in 0..MOST {
            assert_eq!(sparing.admit(start), Some(0));
        }
        for _ in 0..1000 {
            assert_eq!(sparing.admit(start + SPAN / 2), None);
        }
        assert_eq!(sparing.admit(start + SPAN), Some(1000));
        assert_eq!(sparing.admit(start + SPAN), Some(0));
    }
}
