//! When a server is tried again: how often, and after what wait.
//!
//! The wait doubles with each try that came to nothing, up to a limit, and of that a random part
//! is waited ("full jitter"): thousands of clients that lost a server together don't come back
//! together. Whatever moves anything forward makes the count start anew, so a large file gets
//! through over a line that breaks all the time.
//!
//! Connections that break together are one failure: each connection knows the round of tries in
//! which it was begun, and only the first failure of a round counts.

use std::time::Duration;

use crate::proto::{Code, Moment};

use super::Why;

/// The longest wait before the first try …
const BASE: Duration = Duration::from_millis(200);
/// … and before any. A server that is full may ask for more.
const MOST: Duration = Duration::from_secs(10);
/// The most that is made of what a server asks for.
const ASKED_MOST: Duration = Duration::from_secs(300);

/// The tries of one sending.
#[derive(Debug)]
pub(super) struct Retries {
    most: u32,
    /// Rounds in a row that moved nothing.
    failed: u32,
    round: u32,
    /// When the next round begins, while it is waited for.
    until: Option<Moment>,
}

/// What follows a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Another round, after this wait.
    Wait(Duration),
    /// Nothing new: another connection's failure was counted for this one.
    Counted,
    /// Nothing more is tried.
    GiveUp,
}

impl Retries {
    /// At most so many tries in a row that move nothing, after the first one.
    pub(super) fn new(most: u32) -> Retries {
        Retries {
            most,
            failed: 0,
            round: 0,
            until: None,
        }
    }

    /// Tries that may follow a first one.
    pub(super) fn most(&self) -> u32 {
        self.most
    }

    /// How many rounds in a row have moved nothing.
    pub(super) fn failed(&self) -> u32 {
        self.failed
    }

    /// The round that a new connection belongs to.
    pub(super) fn round(&self) -> u32 {
        self.round
    }

    /// A connection of this round has failed. `draw` lies between 0 and 1, and says how much of
    /// the longest wait there is to be.
    pub(super) fn failed_in(&mut self, round: u32, why: &Why, draw: f64, now: Moment) -> Next {
        if round != self.round {
            return Next::Counted;
        }
        self.failed = self.failed.saturating_add(1);
        if self.failed > self.most {
            return Next::GiveUp;
        }
        self.round = self.round.wrapping_add(1);
        let wait = asked_wait(why) + wait(self.failed - 1, draw);
        self.until = Some(now + wait);
        Next::Wait(wait)
    }

    /// Something was moved forward. Returns whether that ends a time of failures.
    pub(super) fn moved_on(&mut self) -> bool {
        std::mem::take(&mut self.failed) > 0
    }

    /// When the next round begins, while it is waited for.
    pub(super) fn until(&self) -> Option<Moment> {
        self.until
    }

    /// Whether a round that was waited for begins now. Says so once.
    pub(super) fn begins(&mut self, now: Moment) -> bool {
        self.until.take_if(|until| *until <= now).is_some()
    }
}

/// Whether a failure may be gone at another try.
pub(super) fn is_worth_another_try(why: &Why) -> bool {
    match why {
        Why::Connect { .. } | Why::Lost(_) | Why::TimedOut => true,
        Why::Refused(refusal) => matches!(
            refusal.code,
            Some(
                Code::Busy | Code::Shutdown | Code::Unknown | Code::Timeout | Code::Incomplete // the server saw our end of a line that broke
            )
        ),
        _ => false,
    }
}

/// The wait before a try, `nth` counted from 0, of which `draw` is taken.
fn wait(nth: u32, draw: f64) -> Duration {
    let factor = 1_u32.checked_shl(nth).unwrap_or(u32::MAX);
    BASE.saturating_mul(factor)
        .min(MOST)
        .mul_f64(draw.clamp(0.0, 1.0))
}

/// What a server that is full asks for.
fn asked_wait(why: &Why) -> Duration {
    match why {
        Why::Refused(refusal) => {
            Duration::from_secs(refusal.retry.unwrap_or_default()).min(ASKED_MOST)
        }
        _ => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::reply::Refusal;
    use proptest::prelude::*;

    const NOW: Moment = Moment::START;

    fn lost() -> Why {
        Why::Lost("it broke".to_owned())
    }

    fn busy(retry: u64) -> Why {
        Why::Refused(Refusal {
            code: Some(Code::Busy),
            word: "busy".to_owned(),
            text: String::new(),
            retry: Some(retry),
        })
    }

    #[test]
    fn the_longest_wait_doubles_up_to_a_limit() {
        let longest = [0, 1, 2, 5, 6, 31, 32, u32::MAX].map(|nth| wait(nth, 1.0).as_millis());
        assert_eq!(
            longest,
            [200, 400, 800, 6_400, 10_000, 10_000, 10_000, 10_000]
        );
        assert_eq!(wait(3, 0.0), Duration::ZERO);
    }

    #[test]
    fn connections_that_break_together_are_one_failure() {
        let mut retries = Retries::new(1);
        let round = retries.round();
        assert!(matches!(
            retries.failed_in(round, &lost(), 1.0, NOW),
            Next::Wait(_)
        ));
        for _ in 0..5 {
            assert_eq!(retries.failed_in(round, &lost(), 1.0, NOW), Next::Counted);
        }
        let next = retries.round();
        assert_eq!(retries.failed_in(next, &lost(), 1.0, NOW), Next::GiveUp);
    }

    #[test]
    fn what_moves_anything_makes_the_count_start_anew() {
        let mut retries = Retries::new(2);
        for _ in 0..100 {
            for _ in 0..2 {
                let next = retries.failed_in(retries.round(), &lost(), 1.0, NOW);
                assert!(matches!(next, Next::Wait(_)));
            }
            assert!(retries.moved_on());
            assert!(!retries.moved_on());
        }
    }

    #[test]
    fn without_retries_nothing_is_tried_again() {
        let mut retries = Retries::new(0);
        assert_eq!(retries.failed_in(0, &lost(), 0.5, NOW), Next::GiveUp);
        assert_eq!(retries.until(), None);
    }

    #[test]
    fn a_server_that_is_full_is_given_the_time_that_it_asks_for() {
        for (asked, least) in [(7, 7), (u64::MAX, 300)] {
            let mut retries = Retries::new(5);
            let Next::Wait(wait) = retries.failed_in(0, &busy(asked), 0.0, NOW) else {
                panic!("it is tried again");
            };
            assert_eq!(wait, Duration::from_secs(least));
            assert!(!retries.begins(NOW + wait.saturating_sub(Duration::from_nanos(1))));
            assert!(retries.begins(NOW + wait), "it is time");
            assert!(!retries.begins(NOW + wait), "that was said already");
        }
    }

    #[test]
    fn what_will_not_change_is_not_tried_again() {
        for code in Code::ALL {
            let why = Why::Refused(Refusal {
                code: Some(code),
                word: code.as_str().to_owned(),
                text: String::new(),
                retry: None,
            });
            let changes = ["incomplete", "timeout", "busy", "shutdown", "unknown"];
            let expected = changes.contains(&code.as_str());
            assert_eq!(is_worth_another_try(&why), expected, "{}", code.as_str());
        }
        assert!(is_worth_another_try(&lost()) && is_worth_another_try(&Why::TimedOut));
        assert!(!is_worth_another_try(&Why::Cut(5)));
        assert!(!is_worth_another_try(&Why::Local("gone".to_owned())));
    }

    proptest! {
        #[test]
        fn a_wait_lies_within_its_bounds(nth in any::<u32>(), draw in 0.0..=1.0_f64) {
            let longest = wait(nth, 1.0);
            prop_assert!((BASE..=MOST).contains(&longest));
            prop_assert!(wait(nth, draw) <= longest);
            prop_assert!(nth == u32::MAX || longest <= wait(nth + 1, 1.0));
        }
    }
}
