//! The line that shows how it goes, on a terminal only.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use piecemeal::client::bench::{Tally, Watch};

use super::Signals;
use super::figures::{percentile, time};
use crate::cli::units::show_size;

/// Looks on for people, and for signals.
pub(super) struct Live<'a> {
    signals: &'a Signals,
    bar: Option<ProgressBar>,
    duration: Option<Duration>,
    /// What the last look saw: rates are of the time since.
    last: (Duration, u64, u64),
}

impl Live<'_> {
    pub(super) fn new(signals: &Signals, duration: Option<Duration>) -> Live<'_> {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{msg}") {
                bar.set_style(style);
            }
            bar
        });
        Live {
            signals,
            bar,
            duration,
            last: (Duration::ZERO, 0, 0),
        }
    }
}

impl Watch for Live<'_> {
    fn look(&mut self, so_far: &Tally, since_start: Duration) {
        let Some(bar) = &self.bar else { return };
        let (before, files, bytes) = self.last;
        let rate = |count: u64| {
            let millis = (since_start - before).as_millis().max(1);
            u64::try_from(u128::from(count) * 1000 / millis).unwrap_or(u64::MAX)
        };
        let of = self
            .duration
            .map_or_else(String::new, |all| format!(" of {} s", all.as_secs()));
        let errors = match so_far.failures() {
            0 => String::new(),
            count => format!(", {count} errors"),
        };
        bar.set_message(format!(
            "{:.1} s{of}: {}/s, {}/s, p99 {}{errors}",
            since_start.as_secs_f64(),
            rate(so_far.done - files),
            show_size(rate(so_far.bytes - bytes)),
            time(percentile(so_far, 99.0)),
        ));
        self.last = (since_start, so_far.done, so_far.bytes);
    }

    fn is_over(&self) -> bool {
        self.signals.signal().is_some()
    }
}

impl Drop for Live<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
