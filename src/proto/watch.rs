//! How long a peer has stood still, and when that becomes too long.

use std::time::Duration;

use super::limits::{Deadlines, RATE_WINDOW};
use super::moment::Moment;

/// The times that a machine's deadlines are counted from.
#[derive(Debug)]
pub struct Watch {
    /// When the state was entered, or last moved a byte.
    moved: Moment,
    /// When the state was entered.
    entered: Moment,
    /// Where the window over which the rate is measured begins, and the bytes moved in it.
    window: Moment,
    window_bytes: u64,
    /// Since when there are replies that the peer didn't read; moves on with each byte it reads.
    unread: Option<Moment>,
}

impl Watch {
    /// A watch that starts now.
    pub fn started(now: Moment) -> Watch {
        Watch {
            moved: now,
            entered: now,
            window: now,
            window_bytes: 0,
            unread: None,
        }
    }

    /// A new state was entered.
    pub fn enter(&mut self, now: Moment) {
        let unread = self.unread;
        *self = Watch {
            unread,
            ..Watch::started(now)
        };
    }

    /// Bytes moved.
    pub fn handle_moved(&mut self, bytes: u64, now: Moment) {
        self.moved = now;
        self.window_bytes = self.window_bytes.saturating_add(bytes);
    }

    /// The peer was kept waiting for so long: nothing that is measured of it goes on meanwhile.
    pub fn handle_own_pause(&mut self, paused: Duration) {
        for since in [&mut self.moved, &mut self.entered, &mut self.window] {
            *since = *since + paused;
        }
    }

    /// Replies were written or sent; `any` are left, and `some_sent` of them just now.
    pub fn handle_replies(&mut self, any: bool, some_sent: bool, now: Moment) {
        match (any, self.unread) {
            (false, _) => self.unread = None,
            (true, None) => self.unread = Some(now),
            (true, Some(_)) if some_sent => self.unread = Some(now),
            (true, Some(_)) => {}
        }
    }

    /// When the state will have stood still for `most`.
    pub fn still_for(&self, most: Option<Duration>) -> Option<Moment> {
        most.map(|most| self.moved + most)
    }

    /// When the state will have lasted for `most`.
    pub fn lasts_for(&self, most: Duration) -> Moment {
        self.entered + most
    }

    /// When the peer will have left its replies unread for too long.
    pub fn unread_until(&self, deadlines: &Deadlines) -> Option<Moment> {
        Some(self.unread? + deadlines.stall?)
    }

    /// The earlier of the two moments that a body's progress is checked at.
    pub fn body_until(&self, deadlines: &Deadlines) -> Option<Moment> {
        let window = (deadlines.min_rate > 0).then(|| self.window + RATE_WINDOW);
        earlier(self.still_for(deadlines.stall), window)
    }

    /// Whether a body has stood still, or came too slowly in the window that ends now. A window
    /// that was fast enough is followed by a new one.
    pub fn body_too_slow(&mut self, deadlines: &Deadlines, now: Moment) -> bool {
        if self
            .still_for(deadlines.stall)
            .is_some_and(|until| until <= now)
        {
            return true;
        }
        if deadlines.min_rate == 0 || now < self.window + RATE_WINDOW {
            return false;
        }
        let too_slow = self.window_bytes < deadlines.min_rate.saturating_mul(RATE_WINDOW.as_secs());
        self.window = now;
        self.window_bytes = 0;
        too_slow
    }
}

/// The earlier of two moments, where a missing one is never.
pub fn earlier(one: Option<Moment>, other: Option<Moment>) -> Option<Moment> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, None) => one,
        (None, other) => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::START + Duration::from_secs(seconds)
    }

    #[test]
    fn a_slow_body_is_found_at_the_end_of_a_window_and_a_fast_one_gets_another() {
        let deadlines = Deadlines {
            stall: None,
            min_rate: 500,
            ..Deadlines::default()
        };
        let mut watch = Watch::started(at(0));
        watch.handle_moved(150_000, at(1));
        assert_eq!(watch.body_until(&deadlines), Some(at(30)));
        assert!(!watch.body_too_slow(&deadlines, at(30)));
        // What came before it doesn't count.
        watch.handle_moved(14_999, at(59));
        assert!(!watch.body_too_slow(&deadlines, at(59)));
        assert!(watch.body_too_slow(&deadlines, at(60)));
        watch.handle_moved(15_000, at(61));
        assert!(!watch.body_too_slow(&deadlines, at(90)), "just enough");
    }

    #[test]
    fn a_byte_puts_the_stall_off_but_not_the_rate() {
        let deadlines = Deadlines {
            stall: Some(Duration::from_secs(60)),
            min_rate: 0,
            ..Deadlines::default()
        };
        let mut watch = Watch::started(at(0));
        watch.handle_moved(1, at(50));
        assert_eq!(watch.body_until(&deadlines), Some(at(110)));
        assert!(!watch.body_too_slow(&deadlines, at(109)));
        assert!(watch.body_too_slow(&deadlines, at(110)));
    }

    #[test]
    fn a_pause_of_our_own_puts_everything_off_but_the_reading_of_replies() {
        let deadlines = Deadlines::default();
        let mut watch = Watch::started(at(0));
        watch.handle_replies(true, false, at(0));
        watch.handle_own_pause(Duration::from_secs(100));
        assert_eq!(watch.still_for(deadlines.stall), Some(at(160)));
        assert_eq!(watch.lasts_for(Duration::from_secs(10)), at(110));
        assert_eq!(watch.body_until(&deadlines), Some(at(130)));
        assert!(!watch.body_too_slow(&deadlines, at(129)));
        assert!(watch.body_too_slow(&deadlines, at(130)));
        assert_eq!(watch.unread_until(&deadlines), Some(at(60)));
    }

    #[test]
    fn unread_replies_are_counted_from_the_last_byte_that_was_read() {
        let deadlines = Deadlines::default();
        let mut watch = Watch::started(at(0));
        assert_eq!(watch.unread_until(&deadlines), None);
        watch.handle_replies(true, false, at(1));
        watch.handle_replies(true, false, at(2));
        assert_eq!(watch.unread_until(&deadlines), Some(at(61)));
        watch.handle_replies(true, true, at(3));
        watch.enter(at(4));
        assert_eq!(watch.unread_until(&deadlines), Some(at(63)));
        watch.handle_replies(false, true, at(5));
        assert_eq!(watch.unread_until(&deadlines), None);
    }
}
