//! What the reactor calls: it lets sessions work, hands the store's news to them, and has each
//! looked at afterwards. `src/server/hub.rs` and `src/server/accepting.rs` are what it stands for.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use piecemeal::net::{Address, Throttle};
use piecemeal::observe::Counters;
use piecemeal::proto::{Moment, Receiver};
use piecemeal::reactor::{Handler, Readiness, Token, Visit};
use piecemeal::session::{CLAIM, Note, Session, Splice, Surroundings};
use piecemeal::store::{Done, Store};

use super::checks::{Checks, Visited};
use super::server::{Entry, Loop, Phase, Setting, Talk};
use super::store::ModelStore;
use super::wire::{Socket, Wire};

pub(crate) struct Hub {
    pub(super) store: ModelStore,
    pub(super) setting: Setting,
    pub(super) scratch: Vec<u8>,
    pub(super) splice: Splice,
    pub(super) counters: Counters,
    pub(super) spare: usize,
    pub(super) notes: Vec<Note>,
    pub(super) throttle: Option<Throttle<Token>>,
    pub(super) phase: Phase,
    pub(super) quiet_until: Option<Moment>,
    /// Who waits to be accepted, and who was.
    pub(super) backlog: VecDeque<Rc<RefCell<Wire>>>,
    pub(super) wires: Vec<Rc<RefCell<Wire>>>,
    /// A connection that is gone: an event may still come for it.
    pub(super) gone: Option<Token>,
    /// What each session waits for at the longest.
    pub(super) deadlines: BTreeMap<usize, Moment>,
    /// Bytes that were read since the start.
    pub(super) read: u64,
    pub(super) started: Moment,
    pub(super) checks: Rc<RefCell<Checks>>,
}

impl Hub {
    pub(super) fn has_room(&self) -> bool {
        self.phase == Phase::Serving && self.spare >= CLAIM
    }

    pub(super) fn accept(&mut self, reactor: &mut Loop, now: Moment) {
        while self.has_room()
            && let Some(wire) = self.backlog.pop_front()
        {
            let machine = Receiver::new(Arc::clone(&self.setting.rules), now);
            let address: Address = "unix:model".parse().expect("an address");
            let wrap = |socket| {
                let session = Session::new(socket, address, machine);
                Entry(session, Rc::clone(&wire))
            };
            let token = reactor.insert(Socket(Rc::clone(&wire)), wrap);
            let token = token.expect("a model socket needs no poll");
            wire.borrow_mut().token = Some(token);
            wire.borrow_mut().register();
            self.wires.push(wire);
            self.spare -= CLAIM;
        }
    }

    fn with_session<R>(
        &mut self,
        Entry(session, wire): &mut Entry,
        token: Token,
        now: Moment,
        work: impl FnOnce(&mut Talk, &mut Surroundings<'_, ModelStore>) -> R,
    ) -> R {
        let before = wire.borrow().up.read;
        let began = self.counters.snapshot().messages;
        let mut around = Surroundings {
            store: &mut self.store,
            scratch: &mut self.scratch,
            splice: &mut self.splice,
            counters: &self.counters,
            spare: &mut self.spare,
            notes: &mut self.notes,
            throttle: self.throttle.as_mut(),
            trace: None,
            token,
            now,
        };
        let result = work(session, &mut around);
        self.notes.clear();
        let moved = wire.borrow().up.read - before;
        let visit = Visited {
            moved,
            messages: self.counters.snapshot().messages - began,
            held: session.held(),
            is_busy: session.is_busy(),
        };
        let core = &mut *self.store.0.borrow_mut();
        let checks = &mut *self.checks.borrow_mut();
        self.read += moved;
        if let Some(rate) = self.setting.rate {
            // What an eighth of a second may bring at once, and what the time since the start may.
            let passed = u64::try_from(now.since(self.started).as_millis()).unwrap_or(u64::MAX);
            let most = rate / 8 + (rate * (passed + 1)).div_ceil(1000);
            if self.read > most {
                let read = self.read;
                checks.fail(format!("{read} bytes were read where {most} may be"));
            }
        }
        let used = self.setting.descriptors - self.spare;
        let files = used - self.wires.len();
        checks.visited(&mut wire.borrow_mut(), core, visit, files);
        result
    }

    pub(super) fn hear_store(&mut self, reactor: &mut Loop) {
        while let Some(done) = self.store.poll_done() {
            self.deliver(reactor, done);
        }
    }

    fn deliver(&mut self, reactor: &mut Loop, done: Done) {
        let now = reactor.now();
        let token = Token::from_raw(done.key().connection);
        if let Some(entry) = reactor.get_mut(token) {
            self.with_session(entry, token, now, |session, around| {
                session.hear(done, around);
            });
            reactor.queue(token);
        }
    }
}

impl Handler<Entry> for Hub {
    fn visit(
        &mut self,
        reactor: &mut Loop,
        token: Token,
        entry: &mut Entry,
        ready: &mut Readiness,
    ) -> Visit {
        let now = reactor.now();
        let visit = self.with_session(entry, token, now, |session, around| {
            session.visit(ready, around)
        });
        match visit {
            Visit::Wait(Some(until)) => self.deadlines.insert(token.to_raw(), until),
            _ => self.deadlines.remove(&token.to_raw()),
        };
        visit
    }

    fn woken(&mut self, reactor: &mut Loop) {
        self.hear_store(reactor);
    }

    fn closed(&mut self, _: &mut Loop, token: Token, Entry(session, wire): Entry) {
        if let Some(throttle) = &mut self.throttle {
            throttle.leave(token);
        }
        drop(session);
        self.deadlines.remove(&token.to_raw());
        self.spare += CLAIM;
        self.gone = Some(token);
        self.wires.retain(|other| !Rc::ptr_eq(other, &wire));
    }
}
