//! What is reported: counts, rates, and how long things took.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::client::Why;

/// The longest latency that is told from a longer one.
const LONGEST: Duration = Duration::from_secs(3600);
/// Digits of a latency that can be relied on.
const DIGITS: u8 = 3;

/// How a run went.
#[derive(Debug)]
pub struct Outcome {
    /// Connections of those that behave well.
    pub connections: usize,
    /// What came of their files.
    pub tally: Tally,
    /// From the first file's begin to the last one's answer.
    pub took: Duration,
    /// Those that send a few bytes at a time.
    pub slow: Misbehaved,
    /// Those that stop in the middle and stay.
    pub stalled: Misbehaved,
    /// Those that reset their connections.
    pub abort: Misbehaved,
    /// What ended it early, where something did.
    pub ended: Option<Why>,
}

/// What came of clients that behave badly, all of one manner.
#[derive(Debug, Default)]
pub struct Misbehaved {
    /// How many there are at once.
    pub connections: usize,
    /// What came of their files.
    pub tally: Tally,
    /// How often one of their connections ended, whichever side ended it.
    pub ended: u64,
}

/// Files, or texts, that were answered.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// How many went well.
    pub done: u64,
    /// Their bytes, without headers and names.
    pub bytes: u64,
    /// The others: the server's code, or a word for what the client saw (`lost`, `silent`,
    /// `wrong-answer`, `other`), and how many.
    pub errors: BTreeMap<&'static str, u64>,
    /// How long those took that went well.
    pub latency: Latency,
}

/// How long things took, as a histogram: every value is right to three digits, however many there
/// are.
#[derive(Clone, Debug)]
pub struct Latency(Histogram<u64>);

impl Default for Latency {
    fn default() -> Latency {
        let longest = u64::try_from(LONGEST.as_nanos()).unwrap_or(u64::MAX);
        let histogram = Histogram::new_with_bounds(1, longest, DIGITS);
        Latency(histogram.expect("the bounds are good for any histogram"))
    }
}

impl Latency {
    pub(super) fn record(&mut self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.0.saturating_record(nanos);
    }

    /// So many percent took no longer than this; zero where there was nothing.
    pub fn percentile(&self, percent: f64) -> Duration {
        Duration::from_nanos(self.0.value_at_percentile(percent))
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.0.max())
    }
}

impl Tally {
    pub(super) fn went_well(&mut self, bytes: u64, took: Duration) {
        self.done += 1;
        self.bytes += bytes;
        self.latency.record(took);
    }

    pub(super) fn failed(&mut self, word: &'static str, count: u64) {
        if count > 0 {
            *self.errors.entry(word).or_default() += count;
        }
    }

    /// How many did not go well.
    pub fn failures(&self) -> u64 {
        self.errors.values().sum()
    }
}

impl Outcome {
    /// Files that went well, a second.
    pub fn files_per_s(&self) -> f64 {
        per_second(self.tally.done, self.took)
    }

    /// Their bytes, a second.
    pub fn bytes_per_s(&self) -> f64 {
        per_second(self.tally.bytes, self.took)
    }
}

/// A rate; none where no time has passed.
#[expect(clippy::cast_precision_loss, reason = "a rate has no 50 digits")]
fn per_second(count: u64, time: Duration) -> f64 {
    if time.is_zero() {
        return 0.0;
    }
    count as f64 / time.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_right_to_three_digits() {
        let mut latency = Latency::default();
        for micros in 1..=10_000 {
            latency.record(Duration::from_micros(micros));
        }
        for (percent, micros) in [(50.0, 5_000), (90.0, 9_000), (99.9, 9_990)] {
            let off = latency
                .percentile(percent)
                .abs_diff(Duration::from_micros(micros));
            assert!(off <= Duration::from_micros(micros / 1000), "{off:?}");
        }
        assert!(latency.max() >= Duration::from_millis(10));
    }

    #[test]
    fn nothing_has_no_latency_and_no_rate_and_hours_are_not_lost() {
        assert_eq!(Latency::default().percentile(99.0), Duration::ZERO);
        assert_eq!(per_second(0, Duration::ZERO).to_bits(), 0.0_f64.to_bits());
        let mut latency = Latency::default();
        latency.record(LONGEST * 5);
        assert!(latency.max() >= LONGEST);
    }
}
