//! A rate that many streams share: each gets its turn, and nobody more than the rate allows.
//!
//! Whoever finds bytes to be had and nobody waiting takes them at once. When there are none left,
//! one joins the line, and is given a quantum when its turn comes. So a single stream moves in
//! large steps, a thousand take turns in small ones, and one that is greedy stands behind all the
//! others again after each quantum.
//!
//! ```text
//!   allowance ──> bytes to be had, nobody in line ──> moves up to that
//!       │
//!       └──> joins the line ──> poll_turn names it ──> moves up to a quantum ──> end_visit
//! ```
//!
//! It reads no clock and knows no loop: the time is an argument, and a stream is whatever `K`
//! names. Its owner asks [`Throttle::poll_turn`] again and again, and comes back at
//! [`Throttle::next`] at the latest.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use super::Bucket;
use crate::proto::Moment;

/// Bytes of a turn: few, so that a thousand streams at 10 MB/s get theirs within two seconds.
const QUANTUM: u64 = 16 << 10;
/// The part of a second whose bytes may move at once: long enough that a loop which is late loses
/// none of the rate.
const BURST: u64 = 8;

/// A rate that many streams share.
#[derive(Debug)]
pub struct Throttle<K> {
    bucket: Bucket,
    quantum: u64,
    /// Bytes of turns that were given and not used yet.
    promised: u64,
    /// Who waits, first come, first served. Those that have left are passed over.
    line: VecDeque<K>,
    places: HashMap<K, Place>,
}

/// A stream that waits, or whose turn it is.
#[derive(Debug)]
struct Place {
    since: Moment,
    /// Bytes left of its turn; `None` while it waits.
    turn: Option<u64>,
}

impl<K: Copy + Eq + Hash> Throttle<K> {
    /// So many bytes a second in all.
    pub fn new(rate: u64, now: Moment) -> Throttle<K> {
        let burst = (rate / BURST).max(1);
        Throttle {
            bucket: Bucket::new(rate, burst, now),
            quantum: QUANTUM.min(burst),
            promised: 0,
            line: VecDeque::new(),
            places: HashMap::new(),
        }
    }

    /// How many bytes a stream that has some may move now, at most `most`. With `None` it stands
    /// in line: nothing is asked of it until its turn comes.
    pub fn allowance(&mut self, who: K, most: u64, now: Moment) -> Option<u64> {
        match self.places.get(&who).map(|place| place.turn) {
            Some(None) => return None,
            Some(Some(left)) if left > 0 => return Some(left.min(most)),
            _ => {}
        }
        let free = self.free(now);
        if self.line.is_empty() && free > 0 {
            return Some(free.min(most));
        }
        self.line.push_back(who);
        let place = Place {
            since: now,
            turn: None,
        };
        self.places.insert(who, place);
        None
    }

    /// A stream has moved so many bytes.
    pub fn moved(&mut self, who: K, bytes: u64) {
        self.bucket.take(bytes);
        if let Some(left) = self
            .places
            .get_mut(&who)
            .and_then(|place| place.turn.as_mut())
        {
            let used = bytes.min(*left);
            *left -= used;
            self.promised -= used;
        }
    }

    /// Whether a stream stands in line.
    pub fn holds(&self, who: K) -> bool {
        self.places
            .get(&who)
            .is_some_and(|place| place.turn.is_none())
    }

    /// How long a stream whose turn has come has waited for it: that is nobody's silence.
    pub fn waited(&self, who: K, now: Moment) -> Option<Duration> {
        let place = self.places.get(&who)?;
        place.turn.map(|_| now.since(place.since))
    }

    /// A stream has used as much of its turn as it can.
    pub fn end_visit(&mut self, who: K) {
        if !self.holds(who) {
            self.leave(who);
        }
    }

    /// A stream is gone.
    pub fn leave(&mut self, who: K) {
        if let Some(Place {
            turn: Some(left), ..
        }) = self.places.remove(&who)
        {
            self.promised -= left;
        }
    }

    /// Whose turn has come now, if it is anybody's.
    pub fn poll_turn(&mut self, now: Moment) -> Option<K> {
        let who = self.first()?;
        if self.free(now) < self.quantum {
            return None;
        }
        self.line.pop_front();
        self.promised += self.quantum;
        if let Some(place) = self.places.get_mut(&who) {
            place.turn = Some(self.quantum);
        }
        Some(who)
    }

    /// When the next one's turn comes, if anybody waits.
    pub fn next(&mut self, now: Moment) -> Option<Moment> {
        self.first()?;
        let needed = self.quantum.saturating_add(self.promised);
        Some(self.bucket.will_hold(needed, now))
    }

    /// The first in line who is still there.
    fn first(&mut self) -> Option<K> {
        while let Some(who) = self.line.front().copied() {
            if self.holds(who) {
                return Some(who);
            }
            self.line.pop_front();
        }
        None
    }

    fn free(&mut self, now: Moment) -> u64 {
        self.bucket.holds(now).saturating_sub(self.promised)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn after(millis: u64) -> Moment {
        Moment::START + Duration::from_millis(millis)
    }

    /// Whoever's turn it is moves as much as it may.
    fn take_turns(throttle: &mut Throttle<u32>, now: Moment, moved: &mut [u64]) {
        while let Some(who) = throttle.poll_turn(now) {
            while let Some(bytes) = throttle.allowance(who, u64::MAX, now) {
                throttle.moved(who, bytes);
                moved[who as usize] += bytes;
            }
            throttle.end_visit(who);
        }
    }

    #[test]
    fn who_is_alone_takes_what_there_is_and_then_waits() {
        let mut throttle = Throttle::new(8_000_000, Moment::START);
        assert_eq!(throttle.allowance(0, 100, Moment::START), Some(100));
        throttle.moved(0, 100);
        assert_eq!(
            throttle.allowance(0, u64::MAX, Moment::START),
            Some(999_900)
        );
        throttle.moved(0, 999_900);
        assert_eq!(throttle.next(Moment::START), None, "nobody waits");
        assert_eq!(throttle.allowance(0, 1, Moment::START), None);
        throttle.end_visit(0);
        assert!(throttle.holds(0));
        let next = throttle.next(Moment::START).expect("it waits");
        assert_eq!(throttle.poll_turn(after(2)), None);
        assert_eq!(throttle.poll_turn(next), Some(0));
        assert_eq!(throttle.waited(0, after(7)), Some(Duration::from_millis(7)));
        assert_eq!(throttle.allowance(0, u64::MAX, next), Some(QUANTUM));
    }

    #[test]
    fn the_greedy_stand_behind_the_modest() {
        let mut throttle = Throttle::new(1_000_000, Moment::START);
        let mut moved = [0; 3];
        for who in [0, 1, 2] {
            // The first has emptied it before the others come.
            while let Some(bytes) = throttle.allowance(who, u64::MAX, Moment::START) {
                throttle.moved(who, bytes);
            }
        }
        for millis in (0..3000).step_by(10) {
            take_turns(&mut throttle, after(millis), &mut moved);
        }
        let (least, most) = (moved.iter().min().unwrap(), moved.iter().max().unwrap());
        assert!(most - least <= QUANTUM, "{moved:?}");
        assert!(moved.iter().sum::<u64>() > 2_900_000, "{moved:?}");
    }

    #[test]
    fn a_turn_that_is_not_used_is_the_next_ones() {
        let mut throttle = Throttle::new(8 * QUANTUM, Moment::START);
        throttle.moved(9, QUANTUM);
        for who in [0, 1, 2] {
            assert_eq!(throttle.allowance(who, 1, Moment::START), None);
        }
        throttle.leave(0);
        assert_eq!(throttle.poll_turn(after(125)), Some(1));
        assert_eq!(throttle.poll_turn(after(125)), None, "that is promised");
        throttle.end_visit(1);
        assert_eq!(throttle.poll_turn(after(125)), Some(2));
        throttle.leave(2);
        assert!(throttle.places.is_empty() && throttle.promised == 0);
        assert_eq!(throttle.next(after(125)), None);
    }

    proptest! {
        #[test]
        fn however_they_come_and_go_the_rate_is_kept_and_nobody_is_forgotten(
            rate in 1u64..10_000_000,
            steps in prop::collection::vec((0u64..200, 0u32..5, 1u64..1 << 20, 0u8..10), 1..200),
        ) {
            let mut throttle = Throttle::new(rate, Moment::START);
            let (mut millis, mut total) = (0, 0);
            for (passed, who, most, what) in steps {
                millis += passed;
                let now = after(millis);
                if what == 0 {
                    throttle.leave(who);
                    continue;
                }
                let who = throttle.poll_turn(now).unwrap_or(who);
                if let Some(bytes) = throttle.allowance(who, most, now) {
                    prop_assert!(bytes > 0 && bytes <= most);
                    throttle.moved(who, bytes);
                    total += bytes;
                }
                throttle.end_visit(who);
                let burst = (rate / BURST).max(1);
                prop_assert!(u128::from(total) <= u128::from(rate) * u128::from(millis) / 1000 + u128::from(burst));
                prop_assert!(throttle.places.values().all(|place| place.turn.is_none()));
                prop_assert_eq!(throttle.promised, 0);
                prop_assert_eq!(throttle.next(now).is_some(), !throttle.places.is_empty());
            }
        }
    }
}
