//! How a server is told to stop, what it does then, and why it has ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::hub::{Entry, Hub};
use super::{Event, Protocol};
use crate::proto::{Moment, Stop};
use crate::reactor::{Reactor, Waker};
use crate::store::Store;

/// How long a stop waits, once nothing is under way, for peers to read their last reply.
const LAST_WORDS: Duration = Duration::from_millis(250);
/// How often it is looked whether the store has put everything away, behind that.
const STORE_POLL: Duration = Duration::from_millis(20);

/// Stops a server from any thread. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Stopper {
    wanted: Arc<AtomicBool>,
    waker: Waker,
}

impl Stopper {
    pub(super) fn new(waker: Waker) -> Stopper {
        Stopper {
            wanted: Arc::default(),
            waker,
        }
    }

    /// Lets it finish what is under way and end, within its shutdown timeout.
    pub fn stop(&self) {
        self.wanted.store(true, Ordering::Release);
        self.waker.wake();
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Acquire)
    }
}

/// Servers that stop when this one does. It waits for them, since it is the one that hears of
/// signals: a second one may come after its own work is done.
#[derive(Debug, Default)]
pub(super) struct Followers {
    stoppers: Vec<Stopper>,
    running: Arc<AtomicUsize>,
}

/// What a follower has for as long as it is there.
#[derive(Debug)]
pub(super) struct Following {
    running: Arc<AtomicUsize>,
    leader: Waker,
}

impl Followers {
    /// One more, of the server that the other stopper is for.
    pub(super) fn add(&mut self, follower: Stopper, leader: &Stopper) -> Following {
        self.stoppers.push(follower);
        self.running.fetch_add(1, Ordering::Relaxed);
        Following {
            running: Arc::clone(&self.running),
            leader: leader.waker.clone(),
        }
    }

    fn stop(&self) {
        for follower in &self.stoppers {
            follower.stop();
        }
    }

    pub(super) fn are_running(&self) -> bool {
        self.running.load(Ordering::Acquire) > 0
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.running.fetch_sub(1, Ordering::Release);
        self.leader.wake();
    }
}

/// Why a server's run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was stopped, and what was under way is finished or was given its time.
    Stopped,
    /// A second signal of this number ended it at once.
    Forced(i32),
}

/// How far a server's life has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Serving,
    /// What is under way is being finished, until the moment, if there is one.
    Stopping(Option<Moment>),
    /// Time was up; this many connections were cut off.
    CutOff(usize),
    /// A second signal of this number came.
    Forced(i32),
}

impl<P: Protocol, S: Store> Hub<P, S> {
    /// Begins to stop: nobody is accepted any more, and nothing new is begun.
    pub(super) fn stop(&mut self, reactor: &mut Reactor<Entry<P, S>>) {
        let until = self.shutdown_timeout.map(|timeout| reactor.now() + timeout);
        self.phase = Phase::Stopping(until);
        for listener in std::mem::take(&mut self.listeners) {
            reactor.queue(listener);
        }
        self.followers.stop();
        self.stop_sessions(reactor, Stop::Soon);
        let under_way = self.busy(reactor);
        if let Some(hear) = &mut self.hear {
            hear(Event::Stopping { under_way });
        }
    }

    fn stop_sessions(&self, reactor: &mut Reactor<Entry<P, S>>, stop: Stop) {
        let now = reactor.now();
        for token in reactor.tokens() {
            if let Some(Entry::Session(session, _)) = reactor.get_mut(token) {
                session.stop(stop, now);
                reactor.queue(token);
            }
        }
    }

    /// Takes the steps of a stop that are due; returns whether it has come to its end.
    pub(super) fn advance_stop(
        &mut self,
        reactor: &mut Reactor<Entry<P, S>>,
        quiet_until: &mut Option<Moment>,
    ) -> bool {
        let busy = self.busy(reactor);
        match self.phase {
            Phase::Serving => false,
            Phase::Forced(_) => true,
            Phase::Stopping(Some(until)) if busy > 0 && reactor.now() >= until => {
                self.phase = Phase::CutOff(busy);
                self.stop_sessions(reactor, Stop::Now);
                *quiet_until = Some(reactor.now() + LAST_WORDS);
                false
            }
            Phase::Stopping(_) if busy > 0 => false,
            Phase::Stopping(_) | Phase::CutOff(_) => {
                let now = reactor.now();
                let until = *quiet_until.get_or_insert(now + LAST_WORDS);
                let is_quiet = self.taken + self.refused == 0 || now >= until;
                if is_quiet && self.awaits_store(now) {
                    *quiet_until = Some(now + STORE_POLL);
                    return false;
                }
                is_quiet
            }
        }
    }

    /// Whether the store is still putting uploads away, and has the time for it. To drop it would wait
    /// for that, however long it takes, and hear no signal meanwhile.
    fn awaits_store(&self, now: Moment) -> bool {
        match self.phase {
            Phase::Stopping(until) => {
                until.is_none_or(|until| now < until) && self.store.unclaimed() > 0
            }
            _ => false,
        }
    }

    /// Sessions that have something under way.
    pub(super) fn busy(&self, reactor: &mut Reactor<Entry<P, S>>) -> usize {
        let tokens = reactor.tokens().into_iter();
        let busy = tokens.filter(|token| match reactor.get_mut(*token) {
            Some(Entry::Session(session, _)) => session.is_busy(),
            _ => false,
        });
        busy.count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{Order, Seal};
    use crate::server::{Config, Server};
    use crate::store::memory::MemoryUpload;
    use crate::store::{Done, Error, Key, MemoryStore, Opening, Reserved, Wake};

    /// A store that is still putting an upload away when it is asked so often.
    struct Busy {
        inner: MemoryStore,
        left: Arc<AtomicUsize>,
        is_dropped: Arc<AtomicBool>,
    }

    impl Store for Busy {
        type Upload = MemoryUpload;

        fn set_wake(&mut self, wake: Wake) {
            self.inner.set_wake(wake);
        }

        fn begin(&mut self, order: &Order, key: Key) -> Result<Opening<MemoryUpload>, Error> {
            self.inner.begin(order, key)
        }

        fn reserve(&mut self, of: &mut MemoryUpload, to: u64, key: Key) -> Result<Reserved, Error> {
            self.inner.reserve(of, to, key)
        }

        fn write(&mut self, upload: &mut MemoryUpload, bytes: &[u8]) -> Result<(), Error> {
            self.inner.write(upload, bytes)
        }

        fn commit(&mut self, upload: MemoryUpload, seal: Seal, key: Key) {
            self.inner.commit(upload, seal, key);
        }

        fn unclaimed(&self) -> usize {
            let less = |left: usize| Some(left.saturating_sub(1));
            let left = (self.left).fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
            left.unwrap_or(0)
        }

        fn poll_done(&mut self) -> Option<Done> {
            self.inner.poll_done()
        }
    }

    impl Drop for Busy {
        fn drop(&mut self) {
            self.is_dropped.store(true, Ordering::Relaxed);
        }
    }

    /// To drop it would wait for its disk.
    #[test]
    fn a_store_that_puts_uploads_away_has_its_time_and_is_left_behind_when_that_is_up() {
        for (left, timeout, is_waited_for) in [
            (5, None, true),
            (usize::MAX, Some(Duration::from_millis(50)), false),
        ] {
            let (left, is_dropped) = (Arc::new(AtomicUsize::new(left)), Arc::default());
            let store = Busy {
                inner: MemoryStore::default(),
                left: Arc::clone(&left),
                is_dropped: Arc::clone(&is_dropped),
            };
            let config = Config {
                bind: vec!["127.0.0.1:0".parse().expect("an address")],
                shutdown_timeout: timeout,
                ..Config::default()
            };
            let server = Server::bind(config, store).expect("a free port");
            let summary = server.start().expect("a thread").stop().expect("it ends");
            assert_eq!((summary.ended, summary.cut_off), (Ended::Stopped, 0));
            assert_eq!(is_dropped.load(Ordering::Relaxed), is_waited_for);
            assert_eq!(left.load(Ordering::Relaxed) == 0, is_waited_for);
        }
    }
}
