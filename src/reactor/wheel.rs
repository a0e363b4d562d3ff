//! Deadlines: a hierarchical timing wheel.
//!
//! Level 0 has 64 slots of a millisecond, level 1 has 64 slots of 64 ms, and so on: each level's
//! slot is as long as the whole level below. A deadline lies on the level where its distance
//! fits, and moves to a finer one when the wheel has turned up to its slot. So arming, disarming
//! and a tick cost the same with ten timers and with ten thousand that aren't due, and a poll
//! finds the next deadline from one bitmap a level.
//!
//! ```text
//!  level 2   |----------------|----------------|--      slots of 4096 ms
//!  level 1   |--|--|--|--|--|--|                        slots of 64 ms
//!  level 0   ||||||||||||                               slots of 1 ms
//!            ^ now
//! ```
//!
//! Each entry has at most one timer, named by its slab key; the timers of a slot are a list
//! linked by keys, so that removing one needs no search.

use crate::proto::Moment;

const LEVEL_BITS: u32 = 6;
const SLOTS: usize = 1 << LEVEL_BITS;
/// Enough for every moment that fits 64 bits, so that no deadline is a special case.
const LEVELS: usize = u64::BITS.div_ceil(LEVEL_BITS) as usize;
/// No key.
const NONE: u32 = u32::MAX;

/// Timers by key.
#[derive(Debug)]
pub(super) struct Wheel {
    /// The millisecond up to which everything has expired.
    elapsed: u64,
    /// First timer of each slot, by level.
    heads: Box<[[u32; SLOTS]; LEVELS]>,
    /// Which slots have timers, a bit a slot.
    occupied: [u64; LEVELS],
    /// The timers, by key.
    timers: Vec<Timer>,
    /// First of those that have expired and were not yet taken.
    due: u32,
}

#[derive(Clone, Copy, Debug)]
struct Timer {
    /// When it is due, in milliseconds.
    when: u64,
    previous: u32,
    next: u32,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Unarmed,
    Slot { level: u8, slot: u8 },
    Due,
}

impl Wheel {
    pub(super) fn new() -> Wheel {
        Wheel {
            elapsed: 0,
            heads: Box::new([[NONE; SLOTS]; LEVELS]),
            occupied: [0; LEVELS],
            timers: Vec::new(),
            due: NONE,
        }
    }

    /// Sets a key's timer, in place of any that it has.
    pub(super) fn arm(&mut self, key: usize, at: Moment) {
        self.disarm(key);
        if key >= self.timers.len() {
            let unarmed = Timer {
                when: 0,
                previous: NONE,
                next: NONE,
                place: Place::Unarmed,
            };
            self.timers.resize(key + 1, unarmed);
        }
        // Rounded up: a timer is never early.
        self.timers[key].when = at.as_millis() + 1;
        self.place(index(key));
    }

    /// Sets a key's timer, unless it has one that is due before.
    pub(super) fn arm_earlier(&mut self, key: usize, at: Moment) {
        let armed = self
            .timers
            .get(key)
            .filter(|timer| timer.place != Place::Unarmed);
        if armed.is_none_or(|timer| at.as_millis() + 1 < timer.when) {
            self.arm(key, at);
        }
    }

    /// Removes a key's timer, if it has one.
    pub(super) fn disarm(&mut self, key: usize) {
        if self
            .timers
            .get(key)
            .is_some_and(|timer| timer.place != Place::Unarmed)
        {
            self.unlink(index(key));
        }
    }

    /// When to look next: no timer is due before.
    pub(super) fn next(&self) -> Option<Moment> {
        if self.due != NONE {
            return Some(Moment::START);
        }
        self.next_slot()
            .map(|(start, _, _)| Moment::after_start(std::time::Duration::from_millis(start)))
    }

    /// Turns the wheel up to `now`; those that are due can then be taken.
    pub(super) fn advance(&mut self, now: Moment) {
        let now = now.as_millis();
        while let Some((start, level, slot)) = self.next_slot() {
            if start > now {
                break;
            }
            self.elapsed = self.elapsed.max(start);
            let mut key = self.heads[level][slot];
            self.heads[level][slot] = NONE;
            self.occupied[level] &= !(1 << slot);
            while key != NONE {
                let next = self.timer(key).next;
                self.place(key);
                key = next;
            }
        }
        self.elapsed = self.elapsed.max(now);
    }

    /// Moves the keys that are due into `keys`; they are unarmed then.
    pub(super) fn take_due(&mut self, keys: &mut Vec<usize>) {
        while self.due != NONE {
            let key = self.due;
            self.unlink(key);
            keys.push(key as usize);
        }
    }

    /// The first slot in time that has timers: where it begins, its level and its number.
    fn next_slot(&self) -> Option<(u64, usize, usize)> {
        (0..LEVELS)
            .filter_map(|level| self.next_slot_of(level))
            .min()
    }

    fn next_slot_of(&self, level: usize) -> Option<(u64, usize, usize)> {
        if self.occupied[level] == 0 {
            return None;
        }
        let shift = LEVEL_BITS * u32::try_from(level).expect("few levels");
        let current = self.elapsed >> shift;
        // No slot behind the hand has timers: a deadline beyond the end of this level's turn
        // differs from now in a higher bit, and so lies on a higher level.
        let slot = self.occupied[level].trailing_zeros();
        let turn = current & !(SLOTS as u64 - 1);
        Some(((turn | u64::from(slot)) << shift, level, slot as usize))
    }

    /// Puts an unlinked timer where its distance from now belongs.
    fn place(&mut self, key: u32) {
        let when = self.timer(key).when;
        if when <= self.elapsed {
            return self.link(key, Place::Due);
        }
        // The level of the highest bit in which the two differ; the lower bits are that level's
        // business only when the hand gets there.
        let differ = (when ^ self.elapsed) | (SLOTS as u64 - 1);
        let level = (u64::BITS - 1 - differ.leading_zeros()) / LEVEL_BITS;
        let slot = (when >> (LEVEL_BITS * level)) % SLOTS as u64;
        let (level, slot) = (u8::try_from(level), u8::try_from(slot));
        let place = Place::Slot {
            level: level.expect("below LEVELS"),
            slot: slot.expect("below SLOTS"),
        };
        self.link(key, place);
    }

    fn link(&mut self, key: u32, place: Place) {
        let head = match place {
            Place::Unarmed => return,
            Place::Due => &mut self.due,
            Place::Slot { level, slot } => {
                self.occupied[usize::from(level)] |= 1 << slot;
                &mut self.heads[usize::from(level)][usize::from(slot)]
            }
        };
        let next = std::mem::replace(head, key);
        if next != NONE {
            self.timer(next).previous = key;
        }
        let timer = self.timer(key);
        (timer.previous, timer.next, timer.place) = (NONE, next, place);
    }

    fn unlink(&mut self, key: u32) {
        let Timer {
            previous,
            next,
            place,
            ..
        } = *self.timer(key);
        if next != NONE {
            self.timer(next).previous = previous;
        }
        if previous != NONE {
            self.timer(previous).next = next;
        } else {
            match place {
                Place::Unarmed => {}
                Place::Due => self.due = next,
                Place::Slot { level, slot } => {
                    self.heads[usize::from(level)][usize::from(slot)] = next;
                    if next == NONE {
                        self.occupied[usize::from(level)] &= !(1 << slot);
                    }
                }
            }
        }
        self.timer(key).place = Place::Unarmed;
    }

    fn timer(&mut self, key: u32) -> &mut Timer {
        &mut self.timers[key as usize]
    }
}

fn index(key: usize) -> u32 {
    u32::try_from(key)
        .ok()
        .filter(|key| *key != NONE)
        .expect("a slab has fewer entries")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::time::Duration;

    fn at(ms: u64) -> Moment {
        Moment::START + Duration::from_millis(ms)
    }

    fn take(wheel: &mut Wheel) -> Vec<usize> {
        let mut keys = Vec::new();
        wheel.take_due(&mut keys);
        keys.sort_unstable();
        keys
    }

    #[test]
    fn a_timer_is_due_just_after_its_moment_on_every_level() {
        for distance in [0, 1, 63, 64, 65, 4095, 4096, 300_000, 1 << 40] {
            let mut wheel = Wheel::new();
            wheel.advance(at(12_345));
            wheel.arm(3, at(12_345 + distance));
            wheel.advance(at(12_345 + distance));
            assert!(take(&mut wheel).is_empty(), "{distance} early");
            wheel.advance(at(12_345 + distance + 1));
            assert_eq!(take(&mut wheel), [3], "{distance} late");
        }
    }

    #[test]
    fn ten_thousand_idle_timers_dont_make_the_next_moment_earlier() {
        let mut wheel = Wheel::new();
        for key in 0..10_000 {
            wheel.arm(key, at(300_000));
        }
        wheel.arm(10_000, at(50));
        wheel.advance(at(51));
        assert_eq!(take(&mut wheel), [10_000]);
        // The slot in which the others lie begins long before they are due, but far from now.
        assert!(wheel.next().expect("they are armed") > at(200_000));
    }

    proptest! {
        /// Against the plainest model: a map from key to moment.
        #[test]
        fn it_does_what_a_sorted_map_does(
            steps in proptest::collection::vec((0usize..20, 0u64..400_000, 0u8..4), 1..200)
        ) {
            let mut wheel = Wheel::new();
            let mut model = BTreeMap::new();
            let mut now = 0;
            for (key, ms, what) in steps {
                match what {
                    0 => { wheel.disarm(key); model.remove(&key); }
                    1 => {
                        now += ms / 4;
                        if let Some(next) = wheel.next() {
                            let first = model.values().min().copied().unwrap_or(u64::MAX);
                            prop_assert!(next.as_millis() <= first + 1);
                        }
                        wheel.advance(at(now));
                        let due: Vec<_> = model.iter().filter(|(_, when)| **when < now).map(|(key, _)| *key).collect();
                        model.retain(|_, when| *when >= now);
                        prop_assert_eq!(take(&mut wheel), due);
                    }
                    2 => {
                        wheel.arm_earlier(key, at(now + ms));
                        let when = model.entry(key).or_insert(now + ms);
                        *when = (*when).min(now + ms);
                    }
                    _ => { wheel.arm(key, at(now + ms)); model.insert(key, now + ms); }
                }
                prop_assert_eq!(wheel.next().is_some(), !model.is_empty());
            }
        }
    }
}
