//! A server's life: the real reactor, without its poll, calls the real sessions. What stands here is
//! what `src/server/hub.rs` does around them: accepting, the store's news, and a stop.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use piecemeal::net::Throttle;
use piecemeal::observe::Counters;
use piecemeal::proto::{Moment, Receiver, Rules, Stop};
use piecemeal::reactor::{Reactor, Readiness, Token};
use piecemeal::session::{BUDGET, Session, Splice, Splicing};
use piecemeal::store::Store;

use super::checks::Checks;
use super::hub::Hub;
use super::store::ModelStore;
use super::wire::{Socket, Wire};

/// How long a stopping server gives its peers to read their last reply.
const LAST_WORDS: Duration = Duration::from_millis(250);

pub(crate) type Talk = Session<Receiver, ModelStore, Socket>;
pub(crate) type Loop = Reactor<Entry>;

/// A connection, and the wire to look at what was said over it.
pub(crate) struct Entry(pub(crate) Talk, pub(crate) Rc<RefCell<Wire>>);

/// What a server is started with.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) rules: Arc<Rules>,
    pub(crate) descriptors: usize,
    pub(crate) rate: Option<u64>,
}

/// How far its life has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Serving,
    Stopping(Moment),
    CutOff,
    Stopped,
}

pub(crate) struct Server {
    reactor: Loop,
    pub(crate) hub: Hub,
}

thread_local! {
    /// What servers read into: one after the other, so one is enough.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Server {
    pub(crate) fn start(
        setting: Setting,
        store: ModelStore,
        checks: Rc<RefCell<Checks>>,
        now: Moment,
    ) -> Server {
        let mut scratch = SCRATCH.take();
        scratch.resize(BUDGET, 0);
        let hub = Hub {
            store,
            scratch,
            splice: Splice::new(Splicing::Never),
            counters: Counters::default(),
            spare: setting.descriptors,
            notes: Vec::new(),
            throttle: setting.rate.map(|rate| Throttle::new(rate, now)),
            setting,
            phase: Phase::Serving,
            quiet_until: None,
            backlog: VecDeque::new(),
            wires: Vec::new(),
            gone: None,
            deadlines: BTreeMap::new(),
            read: 0,
            started: now,
            checks,
        };
        let reactor = Reactor::new().expect("the system has a poll");
        Server { reactor, hub }
    }

    /// When it has something to do though no event comes.
    pub(crate) fn next(&mut self, now: Moment) -> Option<Moment> {
        let hub = &mut self.hub;
        let has_news = hub.wires.iter().any(|wire| wire.borrow().has_news())
            || !hub.store.0.borrow().done.is_empty()
            || (!hub.backlog.is_empty() && hub.has_room());
        let turn = hub.throttle.as_mut().and_then(|line| line.next(now));
        let until = match (hub.phase, hub.quiet_until) {
            (Phase::Stopping(until), None) => Some(until),
            (_, until) => until,
        };
        let due = has_news.then_some(now);
        (due.into_iter().chain(turn).chain(until))
            .chain(self.reactor.next_turn())
            .min()
    }

    /// Whether no session's deadline passes before the next turn; else which.
    pub(crate) fn is_punctual(&self) -> Result<(), String> {
        let next = self.reactor.next_turn();
        let late = |until: Moment| next.is_none_or(|next| next > until + Duration::from_millis(1));
        match self.hub.deadlines.values().find(|until| late(**until)) {
            Some(until) => Err(format!(
                "a deadline passes at {until:?}, and {next:?} is next"
            )),
            None => Ok(()),
        }
    }

    /// One turn of its loop.
    pub(crate) fn turn(&mut self, now: Moment) {
        let Server { reactor, hub } = self;
        hub.store.0.borrow_mut().now = now;
        hub.accept(reactor, now);
        while let Some(throttle) = &mut hub.throttle
            && let Some(token) = throttle.poll_turn(now)
        {
            reactor.queue(token);
        }
        let wires = hub.wires.iter();
        let mut events: Vec<(Token, Readiness)> = wires
            .filter_map(|wire| wire.borrow_mut().take_news())
            .collect();
        let all = Readiness {
            readable: true,
            writable: true,
            read_closed: true,
        };
        events.extend(hub.gone.take().map(|token| (token, all)));
        let woken = !hub.store.0.borrow().done.is_empty();
        // All that has come until now was just told.
        reactor.turn_with(hub, events, woken, (now, now));
        hub.store.flush();
        hub.hear_store(reactor);
        if hub.phase != Phase::Serving {
            self.advance_stop();
        }
    }

    /// Begins to stop, as at a signal.
    pub(crate) fn stop(&mut self, now: Moment, within: Duration) {
        self.hub.phase = Phase::Stopping(now + within);
        let core = self.hub.store.0.borrow();
        for wire in &self.hub.wires {
            let wire = &mut *wire.borrow_mut();
            let uploads = wire
                .token
                .map(|token| core.uploads_of(token.to_raw()).count());
            wire.is_owed = uploads.is_some_and(|count| count > 0);
        }
        drop(core);
        self.stop_sessions(Stop::Soon, now);
    }

    fn stop_sessions(&mut self, stop: Stop, now: Moment) {
        for token in self.reactor.tokens() {
            if let Some(Entry(session, _)) = self.reactor.get_mut(token) {
                session.stop(stop, now);
                self.reactor.queue(token);
            }
        }
    }

    fn advance_stop(&mut self) {
        let now = self.reactor.now();
        let tokens = self.reactor.tokens().into_iter();
        let mut is_busy = |token| (self.reactor.get_mut(token)).is_some_and(|it| it.0.is_busy());
        let busy = tokens.filter(|token| is_busy(*token)).count();
        match self.hub.phase {
            Phase::Stopping(until) if busy > 0 && now >= until => {
                self.hub.phase = Phase::CutOff;
                // Who waits for the disk is told nothing before that has spoken.
                let core = self.hub.store.0.borrow();
                for wire in &self.hub.wires {
                    let wire = &mut *wire.borrow_mut();
                    let token = wire.token.map_or(0, |token| token.to_raw());
                    wire.is_to_be_told &= core.uploads_of(token).all(|it| !it.is_complete);
                    wire.is_owed = false;
                }
                drop(core);
                self.stop_sessions(Stop::Now, now);
                self.hub.quiet_until = Some(now + LAST_WORDS);
            }
            Phase::Stopping(_) | Phase::CutOff if busy == 0 || self.hub.phase == Phase::CutOff => {
                let until = *self.hub.quiet_until.get_or_insert(now + LAST_WORDS);
                if self.reactor.is_empty() || now >= until {
                    self.hub.phase = Phase::Stopped;
                }
            }
            _ => {}
        }
    }

    /// The process is gone, and the system closes what it had open.
    pub(crate) fn kill(self) -> VecDeque<Rc<RefCell<Wire>>> {
        let Server { reactor, hub } = self;
        hub.store.0.borrow_mut().is_dead = true;
        drop(reactor);
        SCRATCH.set(hub.scratch);
        hub.backlog
    }

    /// Whether nobody is connected, and everything has come back; else what has not.
    pub(crate) fn is_at_rest(&self) -> Result<(), String> {
        let (spare, all) = (self.hub.spare, self.hub.setting.descriptors);
        let core = self.hub.store.0.borrow();
        if !self.reactor.is_empty() {
            return Err(format!("{} slots are taken", self.reactor.len()));
        }
        if spare != all {
            return Err(format!("{spare} of {all} descriptors have come back"));
        }
        let reserved: u64 = core.open.values().map(|open| open.reserved).sum();
        if !core.open.is_empty() || !core.claims.is_empty() {
            let (open, claims) = (core.open.len(), core.claims.len());
            return Err(format!(
                "{open} uploads are open, {reserved} bytes reserved, {claims} claimed"
            ));
        }
        Ok(())
    }

    pub(crate) fn messages(&self) -> u64 {
        self.hub.counters.snapshot().messages
    }

    pub(crate) fn connections(&self) -> usize {
        self.reactor.len()
    }
}
