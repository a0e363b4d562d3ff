//! What the reactor calls: it lets sessions work, hands the store's news to them, and tells people.
//! How it takes connections is in `accepting.rs`, how it ends in `stopping.rs`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;

use super::accepting::Kind;
use super::changing::Slot;
use super::descriptors::Connections;
use super::per_ip::PerIp;
use super::stopping::{Followers, Following, Phase};
use super::{Config, Ended, Event, Protocol, Stopper, Summary};
use crate::net::{Listener, Throttle};
use crate::observe::{Counters, Tracer};
use crate::proto::Moment;
use crate::reactor::{Handler, Reactor, Readiness, Token, Visit};
use crate::session::{BUDGET, CLAIM, Note, Session, Splice, Surroundings};
use crate::store::{Done, Store};

/// What the reactor keeps for the server. Nearly all are sessions, so their size is the enum's.
pub(super) enum Entry<P: Protocol, S: Store> {
    Listener(Listener),
    Session(Session<P::Machine, S>, Kind),
    Signals(Signals),
}

/// What all of a server's connections share.
pub(super) struct Hub<P: Protocol, S: Store> {
    pub(super) store: S,
    pub(super) protocol: P,
    pub(super) listeners: Vec<Token>,
    pub(super) connections: Connections,
    /// How many connections there are descriptors for, whatever was asked for.
    pub(super) possible: usize,
    /// Descriptors that nobody has a claim to.
    pub(super) spare: usize,
    pub(super) taken: usize,
    pub(super) refused: usize,
    /// The connections of each address, if they are limited.
    pub(super) per_ip: Option<PerIp>,
    /// Whether a listener stopped because there was no room.
    pub(super) accepting_rests: bool,
    pub(super) scratch: Box<[u8]>,
    pub(super) splice: Splice,
    /// The rate that all connections share, if it is limited.
    pub(super) throttle: Option<Box<Throttle<Token>>>,
    pub(super) notes: Vec<Note>,
    pub(super) counters: Arc<Counters>,
    pub(super) hear: Option<Hear>,
    pub(super) tracer: Option<Tracer>,
    /// Called for each SIGHUP.
    pub(super) hangups: Vec<Box<dyn FnMut() + Send>>,
    pub(super) slot: Slot,
    pub(super) stopper: Stopper,
    pub(super) followers: Followers,
    pub(super) shutdown_timeout: Option<Duration>,
    pub(super) phase: Phase,
    /// Where this server is a follower itself. The last of all, so that it goes when the store has
    /// gone.
    pub(super) following: Option<Following>,
}

pub(super) type Hear = Box<dyn FnMut(Event<'_>) + Send>;

impl<P: Protocol, S: Store> Hub<P, S> {
    pub(super) fn new(
        reactor: &mut Reactor<Entry<P, S>>,
        config: &Config,
        listeners: Vec<Listener>,
        (protocol, store): (P, S),
        stopper: Stopper,
        (spare, connections): (usize, Connections),
    ) -> io::Result<Hub<P, S>> {
        if config.signals {
            reactor.insert(Signals::new([SIGINT, SIGTERM])?, Entry::Signals)?;
        }
        let listeners = listeners
            .into_iter()
            .map(|listener| reactor.insert(listener, Entry::Listener))
            .collect::<io::Result<_>>()?;
        Ok(Hub {
            store,
            protocol,
            listeners,
            connections,
            possible: spare / CLAIM,
            spare,
            taken: 0,
            refused: 0,
            per_ip: config.max_per_ip.map(PerIp::new),
            accepting_rests: false,
            scratch: vec![0; BUDGET].into_boxed_slice(),
            splice: Splice::new(config.splicing),
            throttle: (config.limit_rate).map(|rate| Box::new(Throttle::new(rate, reactor.now()))),
            notes: Vec::new(),
            counters: Arc::default(),
            hear: None,
            tracer: None,
            hangups: Vec::new(),
            slot: Slot::new(reactor.waker()),
            stopper,
            followers: Followers::default(),
            shutdown_timeout: config.shutdown_timeout,
            phase: Phase::Serving,
            following: None,
        })
    }

    /// Serves until it is stopped.
    pub(super) fn run(mut self, reactor: &mut Reactor<Entry<P, S>>) -> io::Result<Summary> {
        while self.phase == Phase::Serving {
            let most = self.give_turns(reactor);
            reactor.turn(&mut self, most)?;
            self.settle(reactor);
        }
        let mut quiet_until = None;
        while !self.advance_stop(reactor, &mut quiet_until) {
            let until = match (self.phase, quiet_until) {
                (Phase::Stopping(until), None) => until,
                (_, until) => until,
            };
            let until = until.map(|until| until.since(reactor.now()));
            let most = [self.give_turns(reactor), until]
                .into_iter()
                .flatten()
                .min();
            reactor.turn(&mut self, most)?;
            self.settle(reactor);
        }
        // What is left to be finished is others', but a signal would be heard by nobody else.
        while self.followers.are_running() && !matches!(self.phase, Phase::Forced(_)) {
            let most = self.give_turns(reactor);
            reactor.turn(&mut self, most)?;
            self.settle(reactor);
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
        if matches!(ended, Ended::Forced(_)) || cut_off > 0 || self.store.unclaimed() > 0 {
            // Dropping the store would wait for its disk, and the time for that is up. What it
            // has not committed has no name, so nothing is left half-written; what it has not put
            // away is as a killed server leaves it.
            std::mem::forget(self.store);
        }
        Ok(summary)
    }

    /// Lets those go on whose turn at the limited rate has come; returns how soon the next one's
    /// comes, if anybody waits.
    fn give_turns(&mut self, reactor: &mut Reactor<Entry<P, S>>) -> Option<Duration> {
        let throttle = self.throttle.as_mut()?;
        let now = reactor.now();
        while let Some(token) = throttle.poll_turn(now) {
            reactor.queue(token);
        }
        throttle.next(now).map(|next| next.since(now))
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
                _ if signal == SIGHUP => self.hangups.iter_mut().for_each(|hear| hear()),
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
            splice: &mut self.splice,
            counters: &self.counters,
            spare: &mut self.spare,
            notes: &mut self.notes,
            throttle: self.throttle.as_deref_mut(),
            trace: (self.tracer.as_mut()).and_then(|tracer| tracer.of(token.to_raw())),
            token,
            now,
        };
        let result = work(session, &mut around);
        for note in self.notes.drain(..) {
            let peer = session.peer();
            let event = match &note {
                Note::Stored(receipt) => Event::Stored {
                    peer,
                    receipt,
                    connection: token.to_raw(),
                },
                Note::Message(text) => Event::Message { peer, text },
                Note::Remark(text) => Event::Remark { peer, text },
                Note::Refused(fault) => Event::Refused { peer, fault },
                Note::Failed(code, why) => Event::Failed {
                    peer,
                    code: *code,
                    why,
                },
            };
            if let Some(hear) = &mut self.hear {
                hear(event);
            }
        }
        result
    }

    /// A turn is over: the store gets what was completed in it, and may have news at once.
    fn settle(&mut self, reactor: &mut Reactor<Entry<P, S>>) {
        self.store.flush();
        self.hear_store(reactor);
    }

    fn hear_store(&mut self, reactor: &mut Reactor<Entry<P, S>>) {
        let mut news = false;
        while let Some(done) = self.store.poll_done() {
            news = true;
            self.deliver(reactor, done);
        }
        // Files that were committed may have made room for those who wait.
        if news && self.room().is_some() {
            self.accept_again(reactor);
        }
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
        self.change(reactor);
        self.hear_store(reactor);
        // New limits may have made room for those who wait.
        if self.room().is_some() {
            self.accept_again(reactor);
        }
    }

    fn closed(&mut self, reactor: &mut Reactor<Entry<P, S>>, token: Token, entry: Entry<P, S>) {
        let Entry::Session(session, kind) = entry else {
            return;
        };
        log::debug!("{}: closed", session.peer());
        if let Some(tracer) = &mut self.tracer {
            tracer.closed(token.to_raw(), reactor.now());
        }
        if let Some(throttle) = &mut self.throttle {
            throttle.leave(token);
        }
        if let (Some(per_ip), Kind::Taken) = (&self.per_ip, kind) {
            per_ip.leave(session.peer());
        }
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
