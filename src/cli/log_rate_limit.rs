//! A limit on how fast lines are logged that peers can cause as often as they like.
//!
//! A full disk makes each upload fail, and a peer can try a thousand a second. Were there a line in
//! the log for each, whoever wanted to could fill the disk that the log lies on.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Most lines …
const MOST: u32 = 20;
/// … in so long.
const WINDOW: Duration = Duration::from_secs(10);

/// Says which lines are logged.
#[derive(Debug, Default)]
pub(super) struct LogRateLimit(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    /// When it began.
    since: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl LogRateLimit {
    /// Whether one more line is logged, and how many before it were not.
    pub(super) fn admit(&self, now: Instant) -> Option<u64> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |since: Instant| now.saturating_duration_since(since) >= WINDOW;
        if window.since.is_none_or(is_over) {
            window.since = Some(now);
            window.lines = 0;
        }
        if window.lines == MOST {
            window.left_out += 1;
            return None;
        }
        window.lines += 1;
        Some(std::mem::take(&mut window.left_out))
    }

    /// How many were not logged since the last that was: to be told at the end.
    pub(super) fn left_out(&self) -> u64 {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut window.left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_told_in_a_span_and_of_the_others_how_many_they_were() {
        let (limit, start) = (LogRateLimit::default(), Instant::now());
        for _ in 0..MOST {
            assert_eq!(limit.admit(start), Some(0));
        }
        for _ in 0..1000 {
            assert_eq!(limit.admit(start + WINDOW / 2), None);
        }
        assert_eq!(limit.admit(start + WINDOW), Some(1000));
        assert_eq!(limit.admit(start + WINDOW), Some(0));
        assert_eq!(limit.left_out(), 0);
        for _ in 0..MOST {
            limit.admit(start + WINDOW);
        }
        assert_eq!((limit.left_out(), limit.left_out()), (2, 0));
    }
}
