//! What the reactor calls: it accepts, lets sessions work, hands the store's news to them, and
//! stops.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;

use super::descriptors::{self, Connections};
use super::{Config, Ended, Event, Protocol, Stopper, Summary};
use crate::net::{Accepted, Address, Listener, Stream};
use crate::observe::Counters;
use crate::proto::{Moment, Stop};
use crate::reactor::{Handler, Reactor, Readiness, Token, Visit};
use crate::session::{BUDGET, CLAIM, Note, Session, Surroundings};
use crate::store::{Done, Store};

/// Connections accepted in one visit of a listener, before it is another's turn.
const ACCEPTS: usize = 64;
/// How long accepting rests where there is no descriptor, unless one comes free before.
const ACCEPT_REST: Duration = Duration::from_millis(500);
/// Connections that may be told that there are too many, at once; further ones wait.
const REFUSED_MOST: usize = 256;
/// How long a stop waits, once nothing is under way, for peers to read their last reply.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// What the reactor keeps for the server. Nearly all are sessions, so their size is the enum's.
pub(super) enum Entry<P: Protocol, S: Store> {
    Listener(Listener),
    Session(Session<P::Machine, S>, Kind),
    Signals(Signals),
}

/// Whether a session was taken, or is being turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Taken,
    Refused,
}

impl Kind {
    /// Descriptors that are counted for it.
    fn descriptors(self) -> usize {
        match self {
            Kind::Taken => CLAIM,
            Kind::Refused => 1,
        }
    }
}

/// What all of a server's connections share.
pub(super) struct Hub<P: Protocol, S: Store> {
    store: S,
    protocol: P,
    listeners: Vec<Token>,
    connections: Connections,
    /// Descriptors that nobody has a claim to.
    spare: usize,
    taken: usize,
    refused: usize,
    /// Whether a listener stopped because there was no room.
    accepting_rests: bool,
    scratch: Box<[u8]>,
    notes: Vec<Note>,
    counters: Arc<Counters>,
    hear: Option<Hear>,
    stopper: Stopper,
    shutdown_timeout: Option<Duration>,
    phase: Phase,
}

pub(super) type Hear = Box<dyn FnMut(Event<'_>) + Send>;

/// How far a server's life has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Serving,
    /// What is under way is being finished, until the moment, if there is one.
    Stopping(Option<Moment>),
    /// Time was up; this many connections were cut off.
    CutOff(usize),
    /// A second signal of this number came.
    Forced(i32),
}

impl<P: Protocol, S: Store> Hub<P, S> {
    pub(super) fn new(
        reactor: &mut Reactor<Entry<P, S>>,
        config: &Config,
        listeners: Vec<Listener>,
        protocol: P,
        store: S,
        stopper: Stopper,
    ) -> io::Result<Hub<P, S>> {
        if config.signals {
            reactor.insert(Signals::new([SIGINT, SIGTERM])?, Entry::Signals)?;
        }
        let listeners = listeners
            .into_iter()
            .map(|listener| reactor.insert(listener, Entry::Listener))
            .collect::<io::Result<_>>()?;
        let (spare, connections) = descriptors::share(config.max_connections);
        Ok(Hub {
            store,
            protocol,
            listeners,
            connections,
            spare,
            taken: 0,
            refused: 0,
            accepting_rests: false,
            scratch: vec![0; BUDGET].into_boxed_slice(),
            notes: Vec::new(),
            counters: Arc::default(),
            hear: None,
            stopper,
            shutdown_timeout: config.shutdown_timeout,
            phase: Phase::Serving,
        })
    }

    pub(super) fn connections(&self) -> Connections {
        self.connections
    }

    pub(super) fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    pub(super) fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    pub(super) fn on_event(&mut self, hear: Hear) {
        self.hear = Some(hear);
    }

    /// Serves until it is stopped.
    pub(super) fn run(mut self, reactor: &mut Reactor<Entry<P, S>>) -> io::Result<Summary> {
        while self.phase == Phase::Serving {
            reactor.turn(&mut self, None)?;
        }
        let mut quiet_until = None;
        while !self.advance_stop(reactor, &mut quiet_until) {
            let until = match (self.phase, quiet_until) {
                (Phase::Stopping(until), None) => until,
                (_, until) => until,
            };
            reactor.turn(&mut self, until.map(|until| until.since(reactor.now())))?;
        }
        let (ended, cut_off) = match self.phase {
            Phase::Serving | Phase::Stopping(_) => (Ended::Stopped, 0),
            Phase::CutOff(count) => (Ended::Stopped, count),
            Phase::Forced(signal) => (Ended::Forced(signal), self.busy(reactor)),
        };
        let summary = Summary {
            ended,
            cut_off,
            counts: self.counters.snapshot(),
        };
        if matches!(ended, Ended::Forced(_)) || cut_off > 0 {
            // Dropping the store would wait for its disk, and the time for that is up. What it
            // has not committed has no name, so nothing is left half-written.
            std::mem::forget(self.store);
        }
        Ok(summary)
    }

    /// Begins to stop: nobody is accepted any more, and nothing new is begun.
    fn stop(&mut self, reactor: &mut Reactor<Entry<P, S>>) {
        let until = self.shutdown_timeout.map(|timeout| reactor.now() + timeout);
        self.phase = Phase::Stopping(until);
        for listener in std::mem::take(&mut self.listeners) {
            reactor.queue(listener);
        }
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
    fn advance_stop(
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
                let until = *quiet_until.get_or_insert(reactor.now() + LAST_WORDS);
                self.taken + self.refused == 0 || reactor.now() >= until
            }
        }
    }

    /// Sessions that have something under way.
    fn busy(&self, reactor: &mut Reactor<Entry<P, S>>) -> usize {
        let tokens = reactor.tokens().into_iter();
        let busy = tokens.filter(|token| match reactor.get_mut(*token) {
            Some(Entry::Session(session, _)) => session.is_busy(),
            _ => false,
        });
        busy.count()
    }

    fn accept(
        &mut self,
        reactor: &mut Reactor<Entry<P, S>>,
        listener: &Listener,
        ready: &mut Readiness,
    ) -> Visit {
        for _ in 0..ACCEPTS {
            let Some(kind) = self.room() else {
                return self.rest(reactor);
            };
            match listener.accept() {
                Accepted::Connection(stream, peer) => self.take(reactor, stream, peer, kind),
                Accepted::Nobody => {
                    ready.readable = false;
                    return Visit::Wait(None);
                }
                Accepted::Gone(error) => log::debug!("{}: accept: {error}", listener.address()),
                Accepted::NoRoom(error) => {
                    log::warn!("{}: accept: {error}; others wait", listener.address());
                    return self.rest(reactor);
                }
            }
        }
        Visit::Again(None)
    }

    /// What the next connection would be, or `None` where it has to wait for another to end.
    fn room(&self) -> Option<Kind> {
        let kind = if self.taken < self.connections.most {
            Kind::Taken
        } else if self.connections.as_asked && self.refused < REFUSED_MOST {
            Kind::Refused
        } else {
            return None;
        };
        (self.spare >= kind.descriptors()).then_some(kind)
    }

    /// Stops accepting for a while. The listener's bit stays, so no event is needed to go on.
    fn rest(&mut self, reactor: &Reactor<Entry<P, S>>) -> Visit {
        self.accepting_rests = true;
        Visit::Wait(Some(reactor.now() + ACCEPT_REST))
    }

    /// Lets the listeners go on, if they rest.
    fn accept_again(&mut self, reactor: &mut Reactor<Entry<P, S>>) {
        if std::mem::take(&mut self.accepting_rests) {
            for listener in &self.listeners {
                reactor.queue(*listener);
            }
        }
    }

    fn take(
        &mut self,
        reactor: &mut Reactor<Entry<P, S>>,
        stream: Stream,
        peer: Address,
        kind: Kind,
    ) {
        let now = reactor.now();
        log::debug!("{peer}: connected");
        let machine = match kind {
            Kind::Taken => self.protocol.accepted(now),
            Kind::Refused => self.protocol.turned_away(now),
        };
        let wrap = |stream| Entry::Session(Session::new(stream, peer, machine), kind);
        if let Err(error) = reactor.insert(stream, wrap) {
            return log::warn!("can't register a connection: {error}");
        }
        self.spare -= kind.descriptors();
        match kind {
            Kind::Taken => {
                self.taken += 1;
                self.counters.accepted.add(1);
            }
            Kind::Refused => {
                self.refused += 1;
                self.counters.turned_away.add(1);
            }
        }
    }

    fn signal(
        &mut self,
        reactor: &mut Reactor<Entry<P, S>>,
        signals: &mut Signals,
        ready: &mut Readiness,
    ) -> Visit {
        ready.readable = false;
        for signal in signals.pending() {
            match self.phase {
                Phase::Serving => {
                    self.stop(reactor);
                }
                _ => self.phase = Phase::Forced(signal),
            }
        }
        Visit::Wait(None)
    }

    /// Calls `work` with a session's surroundings, and tells people what came of it.
    fn with_session<R>(
        &mut self,
        session: &mut Session<P::Machine, S>,
        token: Token,
        now: Moment,
        work: impl FnOnce(&mut Session<P::Machine, S>, &mut Surroundings<'_, S>) -> R,
    ) -> R {
        let mut around = Surroundings {
            store: &mut self.store,
            scratch: &mut self.scratch,
            counters: &self.counters,
            spare: &mut self.spare,
            notes: &mut self.notes,
            token,
            now,
        };
        let result = work(session, &mut around);
        for note in self.notes.drain(..) {
            let peer = session.peer();
            let event = match &note {
                Note::Stored(receipt) => Event::Stored { peer, receipt },
                Note::Message(text) => Event::Message { peer, text },
                Note::Failed(why) => Event::Failed { peer, why },
            };
            if let Some(hear) = &mut self.hear {
                hear(event);
            }
        }
        result
    }

    fn deliver(&mut self, reactor: &mut Reactor<Entry<P, S>>, done: Done) {
        let now = reactor.now();
        let token = Token::from_raw(done.key().connection);
        // A session waits for its commits even when its socket is gone, so only an answer that
        // nobody needs any more finds nobody.
        if let Some(Entry::Session(session, _)) = reactor.get_mut(token) {
            self.with_session(session, token, now, |session, around| {
                session.hear(done, around);
            });
            reactor.queue(token);
        }
    }
}

impl<P: Protocol, S: Store> Handler<Entry<P, S>> for Hub<P, S> {
    fn visit(
        &mut self,
        reactor: &mut Reactor<Entry<P, S>>,
        token: Token,
        entry: &mut Entry<P, S>,
        ready: &mut Readiness,
    ) -> Visit {
        match entry {
            Entry::Listener(_) if self.phase != Phase::Serving => Visit::Close,
            Entry::Listener(listener) => self.accept(reactor, listener, ready),
            Entry::Signals(signals) => self.signal(reactor, signals, ready),
            Entry::Session(session, _) => {
                let now = reactor.now();
                self.with_session(session, token, now, |session, around| {
                    session.visit(ready, around)
                })
            }
        }
    }

    fn woken(&mut self, reactor: &mut Reactor<Entry<P, S>>) {
        if self.stopper.is_wanted() && self.phase == Phase::Serving {
            self.stop(reactor);
        }
        while let Some(done) = self.store.poll_done() {
            self.deliver(reactor, done);
        }
        // Files that were committed may have made room for those who wait.
        if self.room().is_some() {
            self.accept_again(reactor);
        }
    }

    fn closed(&mut self, reactor: &mut Reactor<Entry<P, S>>, _: Token, entry: Entry<P, S>) {
        let Entry::Session(session, kind) = entry else {
            return;
        };
        log::debug!("{}: closed", session.peer());
        // The descriptors are free once the session is gone.
        drop(session);
        self.spare += kind.descriptors();
        match kind {
            Kind::Taken => self.taken -= 1,
            Kind::Refused => self.refused -= 1,
        }
        self.accept_again(reactor);
    }
}
