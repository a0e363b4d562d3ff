//! A client of either kind, and what both have: a connection that things happen to.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use piecemeal::proto::Moment;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::checks::Checks;
use super::faults::What;
use super::plan::{ClientPlan, Does};
use super::script::Script;
use super::sending::Sending;
use super::wire::Wire;

/// After so long without a byte, a client gives up: longer than a queue of others who are silent
/// until the server's deadlines pass, so that who waits so long waits in vain.
pub(super) const PATIENCE: Duration = Duration::from_secs(10_000);

/// What a client can reach.
pub(super) struct Net<'a> {
    pub(super) now: Moment,
    /// Who waits to be accepted, while there is a server.
    pub(super) backlog: Option<&'a mut VecDeque<Rc<RefCell<Wire>>>>,
    pub(super) wires: &'a mut Vec<Rc<RefCell<Wire>>>,
    pub(super) checks: &'a mut Checks,
    pub(super) rules: &'a piecemeal::proto::Rules,
}

/// A client's side of its connection.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: usize,
    delay: u64,
    window: usize,
    pub(super) rng: SmallRng,
    pub(super) wire: Option<Rc<RefCell<Wire>>>,
    /// Connections that it has given up without a word.
    abandoned: Vec<Rc<RefCell<Wire>>>,
    pub(super) has_abandoned: bool,
    silent_until: Moment,
    deaf_until: Moment,
    /// It does not connect before.
    pub(super) wait_until: Moment,
}

#[derive(Debug)]
pub(super) enum Client {
    Sending(Box<Sending>),
    Script(Box<Script>),
}

impl Link {
    fn new(plan: &ClientPlan) -> Link {
        Link {
            id: plan.id,
            delay: plan.delay,
            window: plan.window,
            rng: SmallRng::seed_from_u64(plan.seed),
            wire: None,
            abandoned: Vec::new(),
            has_abandoned: false,
            silent_until: Moment::START,
            deaf_until: Moment::START,
            wait_until: Moment::START,
        }
    }

    /// Connects; returns whether there is anybody.
    pub(super) fn connect(&mut self, net: &mut Net<'_>) -> bool {
        if self.wait_until > net.now {
            return false;
        }
        let Some(backlog) = &mut net.backlog else {
            self.wait_until = net.now + Duration::from_secs(1);
            return false;
        };
        let rng = SmallRng::seed_from_u64(self.rng.random());
        let mut wire = Wire::new(self.id, net.now, (self.delay, self.window), rng);
        wire.is_disturbed = self.silent_until > net.now || self.deaf_until > net.now;
        let wire = Rc::new(RefCell::new(wire));
        backlog.push_back(Rc::clone(&wire));
        net.wires.push(Rc::clone(&wire));
        net.checks.figures.add("connections", 1);
        self.wire = Some(wire);
        true
    }

    /// How many bytes it reads or writes next.
    pub(super) fn amount(&mut self) -> usize {
        let bits = self.rng.random_range(0..20);
        self.rng.random_range(1..=1 << bits)
    }

    pub(super) fn send(&mut self, bytes: &[u8], now: Moment) -> usize {
        let may_send = self.silent_until <= now;
        match &self.wire {
            Some(wire) if may_send => wire.borrow_mut().send(bytes),
            _ => 0,
        }
    }

    pub(super) fn receive(&mut self, into: &mut [u8], now: Moment) -> usize {
        match &self.wire {
            Some(wire) if self.deaf_until <= now => wire.borrow_mut().receive(into),
            _ => 0,
        }
    }

    /// Whether nothing more will be heard.
    pub(super) fn is_over(&self) -> bool {
        self.wire
            .as_ref()
            .is_some_and(|wire| wire.borrow().is_over())
    }

    pub(super) fn is_ending(&self) -> bool {
        (self.wire.as_ref()).is_some_and(|wire| wire.borrow().up.is_ending())
    }

    pub(super) fn is_disturbed(&self) -> bool {
        (self.wire.as_ref()).is_some_and(|wire| wire.borrow().is_disturbed)
    }

    /// Ends its stream; returns whether it hadn't.
    pub(super) fn end(&mut self) -> bool {
        match &self.wire {
            Some(wire) if !wire.borrow().up.is_ending() => {
                wire.borrow_mut().end();
                true
            }
            _ => false,
        }
    }

    /// Closes its connection.
    pub(super) fn close(&mut self) {
        if let Some(wire) = self.wire.take() {
            let mut wire = wire.borrow_mut();
            if !wire.is_over() {
                wire.is_disturbed = true;
                wire.reset();
            }
        }
    }

    /// It has nothing more to do: what it forgot to close is closed.
    pub(super) fn leave(&mut self) {
        self.close();
        for wire in self.abandoned.drain(..) {
            wire.borrow_mut().reset();
        }
    }

    /// When it can go on that did nothing, or stood still.
    fn next(&self, now: Moment) -> Option<Moment> {
        let waits = self.wire.is_none().then_some(self.wait_until);
        let pauses = [self.silent_until, self.deaf_until].into_iter();
        pauses.chain(waits).filter(|at| *at > now).min()
    }

    fn suffer(&mut self, what: What, now: Moment) {
        let ms = Duration::from_millis;
        match what {
            What::Silent(_, seconds) => self.silent_until = now + ms(1000 * seconds),
            What::Deaf(_, seconds) => self.deaf_until = now + ms(1000 * seconds),
            _ => {}
        }
        let Some(shared) = self.wire.clone() else {
            return;
        };
        let mut wire = shared.borrow_mut();
        wire.is_disturbed |= !matches!(what, What::CutAfter(..));
        match what {
            What::Reset(_) => wire.reset(),
            What::CutAfter(_, bytes, resets) => wire.cut = Some((bytes, resets)),
            What::End(_) => wire.end(),
            What::Hold(_, time) => {
                wire.up.hold(now + ms(time));
                wire.down.hold(now + ms(time));
            }
            What::Abandon(_) => {
                drop(wire);
                self.abandoned.extend(self.wire.take());
                self.has_abandoned = true;
            }
            _ => {}
        }
    }
}

impl Client {
    pub(super) fn new(plan: &ClientPlan, now: Moment) -> Client {
        let link = Link::new(plan);
        match &plan.does {
            Does::Send(files) => Client::Sending(Box::new(Sending::new(link, files, now))),
            Does::Script(items) => Client::Script(Box::new(Script::new(link, items))),
        }
    }

    fn link(&self) -> &Link {
        match self {
            Client::Sending(client) => &client.link,
            Client::Script(client) => &client.link,
        }
    }

    fn link_mut(&mut self) -> &mut Link {
        match self {
            Client::Sending(client) => &mut client.link,
            Client::Script(client) => &mut client.link,
        }
    }

    pub(super) fn id(&self) -> usize {
        self.link().id
    }

    /// Does some of what it can do now; returns whether that was anything.
    pub(super) fn act(&mut self, net: &mut Net<'_>) -> Result<bool, String> {
        let did = match self {
            Client::Sending(client) => client.act(net),
            Client::Script(client) => client.act(net),
        };
        if self.is_done() {
            self.link_mut().leave();
        }
        did
    }

    pub(super) fn is_done(&self) -> bool {
        match self {
            Client::Sending(client) => client.is_done(),
            Client::Script(client) => client.is_done(),
        }
    }

    /// When it has something to do though nothing comes.
    pub(super) fn next(&self, now: Moment) -> Option<Moment> {
        if self.is_done() {
            return None;
        }
        let own = match self {
            Client::Sending(client) => client.next(),
            Client::Script(client) => client.next(),
        };
        self.link().next(now).into_iter().chain(own).min()
    }

    pub(super) fn suffer(&mut self, what: What, now: Moment) {
        self.link_mut().suffer(what, now);
    }
}
