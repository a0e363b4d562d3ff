//! The event loop: one thread, one poll, a slab of entries, and a handler that is called for them.
//!
//! The reactor knows nothing of protocols, sockets' addresses or files. It keeps for every entry
//! a [`Token`], a readable and a writable bit, and a deadline; it decides who is visited next,
//! and the [`Handler`] decides what a visit does.
//!
//! ```text
//!   poll ──> set bits, queue the entry ──┐
//!    ^                                   v
//!    │       deadlines that passed ──> ready queue ──> Handler::visit ──> Wait | Again | Close
//!    │                                   ^                                        │
//!    └── nothing left in this round      └────────────────── Again ───────────────┘
//! ```
//!
//! mio is edge-triggered: a socket that becomes readable gets one event, and no second one until
//! it was read empty. So a bit, once set, stays until the handler has seen `WouldBlock`; and who
//! stops earlier, because its budget is spent, says [`Visit::Again`] and stands in the queue.
//! `examples/echo.rs` is a whole server on it.

mod clock;
mod ready;
mod token;
mod waker;
mod wheel;

use std::io;
use std::time::Duration;

use mio::event::Source;
use mio::{Events, Interest, Poll};
use slab::Slab;

use crate::proto::Moment;
use clock::Clock;
pub use ready::Readiness;
use ready::ReadyQueue;
pub use token::Token;
pub use waker::Waker;
use wheel::Wheel;

/// Events fetched by one poll. A poll that fills it is followed by another soon.
const EVENTS: usize = 1024;

/// What the reactor calls.
pub trait Handler<T> {
    /// Something happened to an entry: see the bits, or its deadline has passed. Go on until
    /// `WouldBlock`, clearing the bit, or until a budget is spent.
    fn visit(
        &mut self,
        reactor: &mut Reactor<T>,
        token: Token,
        entry: &mut T,
        ready: &mut Readiness,
    ) -> Visit;

    /// Another thread has called [`Waker::wake`].
    fn woken(&mut self, reactor: &mut Reactor<T>) {
        let _ = reactor;
    }

    /// An entry is gone: its source is deregistered, and it is about to be dropped.
    fn closed(&mut self, reactor: &mut Reactor<T>, token: Token, entry: T) {
        let _ = (reactor, token, entry);
    }
}

/// What is to become of an entry after a visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visit {
    /// It waits for an event, or for its deadline.
    Wait(Option<Moment>),
    /// It could go on at once, but it is another's turn.
    Again(Option<Moment>),
    /// It is removed.
    Close,
}

/// A poll and the entries that are registered with it.
#[derive(Debug)]
pub struct Reactor<T> {
    poll: Poll,
    events: Option<Events>,
    waker: Waker,
    slots: Slab<Slot<T>>,
    generation: u32,
    queue: ReadyQueue,
    wheel: Wheel,
    /// Keys whose timers are due; kept for its memory.
    due: Vec<usize>,
    clock: Clock,
    now: Moment,
}

/// One entry, with what the reactor knows of it.
#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    ready: Readiness,
    queued: bool,
    deadline: Option<Moment>,
    /// Taken out while it is visited. Boxed, so that a slab that grows moves pointers only, and
    /// a free slot costs next to nothing.
    entry: Option<Box<T>>,
}

impl<T> Reactor<T> {
    /// An empty reactor.
    pub fn new() -> io::Result<Reactor<T>> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry())?;
        let clock = Clock::start();
        Ok(Reactor {
            poll,
            events: Some(Events::with_capacity(EVENTS)),
            waker,
            slots: Slab::new(),
            generation: 0,
            queue: ReadyQueue::default(),
            wheel: Wheel::new(),
            due: Vec::new(),
            now: clock.now(),
            clock,
        })
    }

    /// The time of this turn of the loop. It is read once a turn.
    pub fn now(&self) -> Moment {
        self.now
    }

    /// What other threads wake this loop with.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Registers a source, once and for both directions, and keeps what `wrap` makes of it. The
    /// first visit comes at once: an accepted socket often has bytes already.
    pub fn insert<S: Source>(
        &mut self,
        mut source: S,
        wrap: impl FnOnce(S) -> T,
    ) -> io::Result<Token> {
        self.generation = self.generation.wrapping_add(1);
        let vacant = self.slots.vacant_entry();
        let token = Token::new(vacant.key(), self.generation);
        self.poll.registry().register(
            &mut source,
            token.to_mio(),
            Interest::READABLE | Interest::WRITABLE,
        )?;
        vacant.insert(Slot {
            generation: self.generation,
            ready: Readiness::default(),
            queued: false,
            deadline: None,
            entry: Some(Box::new(wrap(source))),
        });
        self.queue(token);
        Ok(token)
    }

    /// The entry that a token names, if it is still that one and isn't being visited.
    pub fn get_mut(&mut self, token: Token) -> Option<&mut T> {
        self.slot(token)?.entry.as_deref_mut()
    }

    /// Has an entry visited soon. A token that is no longer valid is ignored.
    pub fn queue(&mut self, token: Token) {
        if let Some(slot) = self.slot(token)
            && !slot.queued
        {
            slot.queued = true;
            self.queue.push(token);
        }
    }

    /// The tokens of all entries, in no particular order.
    pub fn tokens(&self) -> Vec<Token> {
        self.slots
            .iter()
            .map(|(key, slot)| Token::new(key, slot.generation))
            .collect()
    }

    /// One turn: waits for events, at most `most`, and visits everyone who has a reason. What
    /// stays in the ready queue is visited in the next turn, after a look at new events.
    pub fn turn(
        &mut self,
        handler: &mut impl Handler<T>,
        most: Option<Duration>,
    ) -> io::Result<()> {
        let mut events = self.events.take().expect("turns don't nest");
        let patience = self.patience(most);
        // A deadline has passed only when a poll after it has shown that nothing came before it:
        // a loop that was late must not blame those who waited for it.
        let asked = self.clock.now();
        let polled = self.poll.poll(&mut events, patience);
        self.now = self.clock.now();
        let mut woken = false;
        for event in &events {
            match Token::from_mio(event.token()) {
                None => woken = true,
                Some(token) => self.add(token, event.into()),
            }
        }
        self.events = Some(events);
        match polled {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            polled => polled?,
        }
        if woken {
            self.waker.answer();
        }
        self.work(handler, woken, asked);
        Ok(())
    }

    /// A turn whose events somebody else has: a trial that makes up sockets and the time. Between
    /// `asked` and `now` it looked for events, and these are all that there were.
    pub fn turn_with(
        &mut self,
        handler: &mut impl Handler<T>,
        events: impl IntoIterator<Item = (Token, Readiness)>,
        woken: bool,
        (asked, now): (Moment, Moment),
    ) {
        self.now = now;
        for (token, ready) in events {
            self.add(token, ready);
        }
        self.work(handler, woken, asked);
    }

    /// When the next turn is due though no event comes: at once, at a deadline, or never.
    pub fn next_turn(&self) -> Option<Moment> {
        match self.queue.is_empty() {
            true => self.wheel.next(),
            false => Some(self.now),
        }
    }

    /// What follows on a poll.
    fn work(&mut self, handler: &mut impl Handler<T>, woken: bool, asked: Moment) {
        if woken {
            handler.woken(self);
        }
        self.visit_ready(handler);
        self.visit_expired(handler, asked);
    }

    /// How long a poll may wait: not at all while somebody stands in the queue.
    fn patience(&self, most: Option<Duration>) -> Option<Duration> {
        if !self.queue.is_empty() {
            return Some(Duration::ZERO);
        }
        let now = self.clock.now();
        let next = self.wheel.next().map(|next| next.since(now));
        match (next, most) {
            (Some(next), Some(most)) => Some(next.min(most)),
            (next, most) => next.or(most),
        }
    }

    fn add(&mut self, token: Token, ready: Readiness) {
        if let Some(slot) = self.slot(token) {
            slot.ready.add(ready);
            self.queue(token);
        }
    }

    fn visit_ready(&mut self, handler: &mut impl Handler<T>) {
        // Who joins the queue now waits for the next round, so that new events come first.
        for _ in 0..self.queue.len() {
            let Some(token) = self.queue.pop() else { break };
            if let Some(slot) = self.slot(token) {
                slot.queued = false;
                self.visit(handler, token);
            }
        }
    }

    /// Visits those whose deadline had passed at that moment. A deadline that was put off meanwhile
    /// is only armed anew: that is cheaper than moving it in the wheel with each byte.
    fn visit_expired(&mut self, handler: &mut impl Handler<T>, now: Moment) {
        self.wheel.advance(now);
        let mut due = std::mem::take(&mut self.due);
        self.wheel.take_due(&mut due);
        for key in due.drain(..) {
            let Some(slot) = self.slots.get(key) else {
                continue;
            };
            match slot.deadline {
                Some(deadline) if deadline <= now => {
                    let token = Token::new(key, slot.generation);
                    self.visit(handler, token);
                }
                Some(deadline) => self.wheel.arm(key, deadline),
                None => {}
            }
        }
        self.due = due;
    }

    fn visit(&mut self, handler: &mut impl Handler<T>, token: Token) {
        let Some(slot) = self.slot(token) else { return };
        let Some(mut entry) = slot.entry.take() else {
            return;
        };
        let mut ready = slot.ready;
        let visit = handler.visit(self, token, &mut entry, &mut ready);
        let Some(slot) = self.slot(token) else { return };
        slot.ready = ready;
        match visit {
            Visit::Wait(deadline) | Visit::Again(deadline) => {
                slot.deadline = deadline;
                slot.entry = Some(entry);
                if let Some(deadline) = deadline {
                    self.wheel.arm_earlier(token.key(), deadline);
                }
                if matches!(visit, Visit::Again(_)) {
                    self.queue(token);
                }
            }
            Visit::Close => {
                self.slots.remove(token.key());
                self.wheel.disarm(token.key());
                // Dropping the source closes its descriptor, which takes it out of the poll.
                handler.closed(self, token, *entry);
            }
        }
    }

    /// The slot that a token names, unless another entry has it by now.
    fn slot(&mut self, token: Token) -> Option<&mut Slot<T>> {
        self.slots
            .get_mut(token.key())
            .filter(|slot| slot.generation == token.generation())
    }
}

#[cfg(test)]
mod tests;
