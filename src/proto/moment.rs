//! A point in time, as the machines see it.
//!
//! A machine that read a clock could not be replayed. So the loop reads the clock once a turn
//! and hands a [`Moment`] to whoever needs it; a test makes up its own.

use std::ops::Add;
use std::time::Duration;

/// Nanoseconds since some start that only the caller knows; never goes backwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// The start: the moment before which nothing happened.
    pub const START: Moment = Moment(0);

    /// The moment that lies `passed` after the start. Clamped after about 584 years.
    pub fn after_start(passed: Duration) -> Moment {
        Moment(u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX))
    }

    /// How long ago `earlier` was; zero where it lies in the future.
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Whole milliseconds since the start, rounded down.
    pub fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }
}

impl Add<Duration> for Moment {
    type Output = Moment;

    fn add(self, later: Duration) -> Moment {
        let nanos = u64::try_from(later.as_nanos()).unwrap_or(u64::MAX);
        Moment(self.0.saturating_add(nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adding_and_subtracting_never_wrap() {
        let early = Moment::START + Duration::from_secs(1);
        assert_eq!(early.since(Moment::START), Duration::from_secs(1));
        assert_eq!(Moment::START.since(early), Duration::ZERO);
        assert!(early + Duration::MAX > early);
        assert_eq!(early.as_millis(), 1000);
        assert_eq!(Moment::after_start(Duration::from_secs(1)), early);
    }
}
