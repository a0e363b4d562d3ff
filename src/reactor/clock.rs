//! The one place that reads the clock for the loop.

use std::time::Instant;

use crate::proto::Moment;

/// A monotonic clock that counts from its own start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn start() -> Clock {
        Clock(Instant::now())
    }

    pub(super) fn now(self) -> Moment {
        Moment::after_start(self.0.elapsed())
    }
}
