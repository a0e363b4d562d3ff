//! Who holds which upload that can be resumed.
//!
//! One connection at a time writes a partial: whoever announces it last. In one process that is
//! arranged here, whichever loop the connections belong to: the one before is told that it has lost
//! the upload, its session closes, and when its file is closed the lock on it is free. Between
//! processes only that lock speaks, so there the one before keeps the upload until it is done.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::record::Facts;
use super::reports::Reports;
use super::syncing::Failures;
use crate::proto::UploadId;
use crate::store::{Done, Error, Key, OTHER_NAME, OTHER_SIZE};

/// How long an abandoned upload is kept where nothing else was said.
pub const PARTIAL_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// The uploads that can be resumed, as all stores of one folder in one process know them; and
/// whether a sync has failed for one of these. Clones are the same.
#[derive(Clone)]
pub struct Partials(Arc<Shared>);

struct Shared {
    ttl: Option<Duration>,
    held: Mutex<HashMap<UploadId, Holder>>,
    failures: Arc<Failures>,
}

/// Who announced an upload last.
struct Holder {
    facts: Facts,
    taken: Arc<AtomicBool>,
    key: Key,
    reports: Reports,
}

/// The right to write a partial, until somebody else claims it. Dropped, it is nobody's.
#[derive(Debug)]
pub(super) struct Claim {
    id: UploadId,
    taken: Arc<AtomicBool>,
    partials: Partials,
}

impl Partials {
    /// Uploads that are kept for so long after the last byte; `None` is not at all.
    pub fn kept_for(ttl: Option<Duration>) -> Partials {
        Partials(Arc::new(Shared {
            ttl,
            held: Mutex::default(),
            failures: Arc::default(),
        }))
    }

    /// Whether any sync has failed, as [`syncing`](super::syncing) has it.
    pub(super) fn failures(&self) -> Arc<Failures> {
        Arc::clone(&self.0.failures)
    }

    /// How long they are kept.
    pub(super) fn ttl(&self) -> Option<Duration> {
        self.0.ttl
    }

    /// Claims an upload, and tells whoever holds it now. One that was announced otherwise is left
    /// in peace.
    pub(super) fn claim(&self, facts: &Facts, key: Key, reports: &Reports) -> Result<Claim, Error> {
        let taken = Arc::new(AtomicBool::new(false));
        let mut held = self.held();
        if let Some(holder) = held.get(&facts.id) {
            if holder.facts.name != facts.name {
                return Err(Error::Differs(OTHER_NAME));
            }
            if holder.facts.size != facts.size {
                return Err(Error::Differs(OTHER_SIZE));
            }
            holder.taken.store(true, Ordering::Release);
            holder.reports.send([Done::Taken(holder.key)]);
        }
        let holder = Holder {
            facts: facts.clone(),
            taken: Arc::clone(&taken),
            key,
            reports: reports.clone(),
        };
        held.insert(facts.id.clone(), holder);
        Ok(Claim {
            id: facts.id.clone(),
            taken,
            partials: self.clone(),
        })
    }

    fn held(&self) -> MutexGuard<'_, HashMap<UploadId, Holder>> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim {
    /// Whether somebody has claimed the upload after this.
    pub(super) fn is_taken(&self) -> bool {
        self.taken.load(Ordering::Acquire)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut held = self.partials.held();
        let is_mine = |holder: &Holder| Arc::ptr_eq(&holder.taken, &self.taken);
        if held.get(&self.id).is_some_and(is_mine) {
            held.remove(&self.id);
        }
    }
}

impl Default for Partials {
    fn default() -> Partials {
        Partials::kept_for(Some(PARTIAL_TTL))
    }
}

impl fmt::Debug for Partials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Partials")
            .field("ttl", &self.0.ttl)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::proto::Name;

    /// A session hears of it later than it happens.
    #[test]
    fn an_upload_is_lost_to_another_also_when_that_one_is_gone_before_it_is_heard_of() {
        let (queue, news) = mpsc::channel();
        let (partials, reports) = (Partials::default(), Reports::new(queue));
        let facts = Facts {
            id: UploadId::parse("a").expect("an id"),
            name: Name::parse("a", Default::default()).expect("a name"),
            size: None,
        };
        let claim = |connection| {
            let key = Key {
                connection,
                ticket: 0,
            };
            partials.claim(&facts, key, &reports).expect("it matches")
        };
        let first = claim(1);
        drop(claim(2));
        assert!(matches!(news.try_recv(), Ok(Done::Taken(key)) if key.connection == 1));
        assert!(first.is_taken());
        let third = claim(3);
        drop(first);
        assert!(partials.held().contains_key(&facts.id) && !third.is_taken());
    }
}
