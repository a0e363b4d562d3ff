//! How a running server is given other rules. Connections that are there keep the rules that they
//! were accepted with, so nobody's upload fails of a limit that wasn't there when it began.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::hub::{Entry, Hub};
use super::{Config, Protocol, descriptors};
use crate::net::Tuning;
use crate::proto::Rules;
use crate::reactor::{Reactor, Waker};
use crate::store::Store;

/// Changes what running servers take, from any thread. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Changer(pub(super) Vec<Slot>);

impl Changer {
    /// Connections that are accepted from now on get these [`Config::rules`], and there are at
    /// most [`Config::max_connections`]; who is connected stays. The rest of a configuration
    /// can't be changed while a server runs.
    pub fn change(&self, config: &Config) {
        let servers = self.0.len();
        let change = Change {
            rules: config.rules,
            max_connections: config.max_connections.map(|most| most.div_ceil(servers)),
        };
        for slot in &self.0 {
            slot.put(change.clone());
        }
    }
}

#[derive(Clone, Debug)]
struct Change {
    rules: Rules,
    max_connections: Option<usize>,
}

/// Where one server finds what it is to change.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    change: Arc<Mutex<Option<Change>>>,
    /// So that a loop that is woken for other reasons, as it is for each batch of files, looks at
    /// one bit.
    is_full: Arc<AtomicBool>,
    waker: Waker,
}

impl Slot {
    pub(super) fn new(waker: Waker) -> Slot {
        Slot {
            change: Arc::default(),
            is_full: Arc::default(),
            waker,
        }
    }

    fn put(&self, change: Change) {
        *self.change.lock().unwrap_or_else(PoisonError::into_inner) = Some(change);
        self.is_full.store(true, Ordering::Release);
        self.waker.wake();
    }

    fn take(&self) -> Option<Change> {
        if !self.is_full.load(Ordering::Relaxed) || !self.is_full.swap(false, Ordering::Acquire) {
            return None;
        }
        // It is never held for longer than an assignment takes.
        let mut change = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        change.take()
    }
}

impl<P: Protocol, S: Store> Hub<P, S> {
    /// Changes what is to be changed, if anything is.
    pub(super) fn change(&mut self, reactor: &mut Reactor<Entry<P, S>>) {
        let Some(change) = self.slot.take() else {
            return;
        };
        self.protocol.change_rules(change.rules);
        let tuning = Tuning {
            unacknowledged: change.rules.deadlines.stall,
            brief: false,
        };
        for token in &self.listeners {
            if let Some(Entry::Listener(listener)) = reactor.get_mut(*token)
                && let Err(error) = listener.tune(tuning)
            {
                log::warn!("{}: {error}", listener.address());
            }
        }
        let descriptors = self.connections.descriptors;
        self.connections =
            descriptors::connections(change.max_connections, self.possible, descriptors);
        self.accept_again(reactor);
    }
}
