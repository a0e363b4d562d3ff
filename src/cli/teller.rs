//! What happens at a server, as lines for people.

use std::time::Instant;

use piecemeal::observe::LineSender;
use piecemeal::proto::text::escaped;
use piecemeal::server::Event;

use super::log_rate_limit::LogRateLimit;
use super::manager;

/// Tells people what happens.
pub(super) struct Teller {
    pub(super) out: LineSender,
    pub(super) err: LineSender,
    pub(super) quiet: bool,
    /// How long a stop waits, as people read it.
    pub(super) patience: String,
    /// Which failures are told: peers can cause them without end.
    pub(super) failures: LogRateLimit,
}

impl Teller {
    /// Nothing of a peer's stands raw in what is told.
    pub(super) fn tell(&self, event: &Event<'_>) {
        if let Event::Stopping { .. } = event {
            manager::stopping();
        }
        match event {
            Event::Failed { peer, why, .. } => {
                let Some(left_out) = self.failures.admit(Instant::now()) else {
                    return;
                };
                tell_left_out(left_out);
                log::warn!("{peer}: {why}");
            }
            // Programs get to hear of it; for people it is the client's business.
            Event::Refused { .. } => {}
            _ if self.quiet => {}
            Event::Stored { peer, receipt, .. } => {
                let (name, size) = (escaped(&receipt.name), receipt.size);
                self.out
                    .line(format!("stored {name} ({size} bytes) from {peer}"));
            }
            Event::Message { peer, text } => {
                self.out
                    .line(format!("message from {peer}: {}", escaped(*text)));
            }
            Event::Remark { peer, text } => self.out.line(format!("{peer}: {text}")),
            Event::Stopping { under_way: 0 } => {}
            Event::Stopping { under_way } => self.err.line(format!(
                "stopping; connections with something under way: {under_way}; time for them: {}; \
                 a second signal ends at once",
                self.patience
            )),
        }
    }

    /// Says what is left to be said once nothing happens any more.
    pub(super) fn finish(&self) {
        tell_left_out(self.failures.left_out());
    }
}

/// Says how many failures had no line of their own.
fn tell_left_out(failures: u64) {
    if failures > 0 {
        log::warn!("{failures} more failures were not told, as they were so many");
    }
}
