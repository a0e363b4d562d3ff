//! A token bucket: how many bytes may move now, so that no more than a rate do in the long run.
//!
//! It earns `rate` bytes a second, holds at most `burst` of them, and is emptied by what moves. It
//! reads no clock. Its level is kept in billionths of a byte, which is what a nanosecond earns at
//! one byte a second, so nothing is rounded and nothing drifts, however often it is asked.

use std::time::Duration;

use crate::proto::Moment;

/// Billionths in a byte, as nanoseconds in a second.
const FINE: i128 = 1_000_000_000;

/// How many bytes may move.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// Bytes earned in a second.
    rate: u64,
    /// Most bytes that it holds.
    burst: u64,
    /// What it holds, in billionths of a byte. Below zero where more was taken than it had.
    level: i128,
    /// The moment up to which it has earned.
    earned: Moment,
}

impl Bucket {
    /// A full bucket. A rate or a burst of 0 is taken for 1: nothing would ever move.
    pub fn new(rate: u64, burst: u64, now: Moment) -> Bucket {
        let burst = burst.max(1);
        Bucket {
            rate: rate.max(1),
            burst,
            level: i128::from(burst) * FINE,
            earned: now,
        }
    }

    /// Whole bytes that may move now.
    pub fn holds(&mut self, now: Moment) -> u64 {
        self.earn(now);
        // It holds no more than `burst`, so it fits.
        u64::try_from(self.level.max(0) / FINE).unwrap_or(u64::MAX)
    }

    /// So many bytes moved. Whoever took more than there were leaves a debt, which is paid off
    /// before anything else moves.
    pub fn take(&mut self, bytes: u64) {
        self.level -= i128::from(bytes) * FINE;
    }

    /// When it will hold so many bytes, or be full if it can't hold them.
    pub fn will_hold(&mut self, bytes: u64, now: Moment) -> Moment {
        self.earn(now);
        let lacking = i128::from(bytes.min(self.burst)) * FINE - self.level;
        let rate = i128::from(self.rate);
        // Rounded up: at that moment it holds them.
        let nanos = (lacking.max(0) + rate - 1) / rate;
        now + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn earn(&mut self, now: Moment) {
        let passed = now.since(self.earned).as_nanos();
        let passed = i128::try_from(passed).unwrap_or(i128::MAX);
        // Saturated far above what any bucket holds.
        let gain = passed.saturating_mul(i128::from(self.rate));
        let most = i128::from(self.burst) * FINE;
        self.level = self.level.saturating_add(gain).min(most);
        self.earned = self.earned.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn after(nanos: u64) -> Moment {
        Moment::START + Duration::from_nanos(nanos)
    }

    #[test]
    fn a_third_of_a_byte_is_earned_thrice_and_not_lost() {
        let mut bucket = Bucket::new(1, 1, Moment::START);
        bucket.take(1);
        for third in 1..3 {
            assert_eq!(bucket.holds(after(third * 333_333_333)), 0);
        }
        assert_eq!(bucket.holds(after(999_999_999)), 0);
        assert_eq!(bucket.holds(after(1_000_000_000)), 1);
    }

    #[test]
    fn a_debt_is_paid_before_anything_moves() {
        let mut bucket = Bucket::new(10, 5, Moment::START);
        bucket.take(25);
        assert_eq!(bucket.will_hold(1, Moment::START), after(2_100_000_000));
        assert_eq!(bucket.holds(after(2_000_000_000)), 0);
        assert_eq!(bucket.holds(after(2_100_000_000)), 1);
    }

    #[test]
    fn the_largest_numbers_wrap_nowhere() {
        let mut bucket = Bucket::new(u64::MAX, u64::MAX, Moment::START);
        bucket.take(u64::MAX);
        bucket.take(u64::MAX);
        assert_eq!(bucket.holds(after(u64::MAX)), u64::MAX);
        assert_eq!(bucket.will_hold(u64::MAX, after(u64::MAX)), after(u64::MAX));
        let mut slow = Bucket::new(1, u64::MAX, Moment::START);
        slow.take(u64::MAX);
        assert_eq!(slow.will_hold(u64::MAX, Moment::START), after(u64::MAX));
    }

    proptest! {
        #[test]
        fn no_more_moves_than_the_rate_and_one_burst(
            rate in 1u64..1 << 40,
            burst in 1u64..1 << 30,
            steps in prop::collection::vec((0u64..1 << 34, 0u64..1 << 32), 1..100),
        ) {
            let mut bucket = Bucket::new(rate, burst, Moment::START);
            let (mut now, mut moved) = (0u64, 0u128);
            for (passed, wanted) in steps {
                now += passed;
                let taken = bucket.holds(after(now)).min(wanted);
                bucket.take(taken);
                moved += u128::from(taken);
                let most = u128::from(rate) * u128::from(now) / 1_000_000_000 + u128::from(burst);
                prop_assert!(moved <= most, "{moved} of {most}");
            }
        }

        #[test]
        fn who_takes_all_as_it_comes_gets_the_whole_rate(
            rate in 1u64..1 << 40,
            steps in prop::collection::vec(0u64..1_000_000_000, 1..200),
        ) {
            // It never overflows, as nobody waits for longer than a second.
            let mut bucket = Bucket::new(rate, rate + 1, Moment::START);
            bucket.take(rate + 1);
            let (mut now, mut moved) = (0u64, 0u128);
            for passed in steps {
                now += passed;
                let taken = bucket.holds(after(now));
                bucket.take(taken);
                moved += u128::from(taken);
            }
            prop_assert_eq!(moved, u128::from(rate) * u128::from(now) / 1_000_000_000);
        }

        #[test]
        fn at_the_moment_that_it_names_it_holds_the_bytes_and_not_before(
            rate in 1u64..1 << 40,
            burst in 1u64..1 << 40,
            taken in 0u64..1 << 41,
            wanted in 1u64..1 << 41,
        ) {
            let mut bucket = Bucket::new(rate, burst, Moment::START);
            bucket.take(taken);
            let wanted = wanted.min(burst);
            let until = bucket.will_hold(wanted, Moment::START);
            let nanos = u64::try_from(until.since(Moment::START).as_nanos()).expect("it fits");
            if nanos > 0 {
                prop_assert!(bucket.clone().holds(after(nanos - 1)) < wanted);
            }
            prop_assert!(bucket.holds(until) >= wanted);
        }
    }
}
