//! A world: clients, a server, a disk, and a clock that goes on when nobody can. In each round
//! everyone who can do something does some of it, in an order that chance gives.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use piecemeal::proto::{Moment, Rules};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::checks::Checks;
use super::client::{Client, Net};
use super::disk::{Disk, Failures};
use super::faults::Fault;
use super::figures::Figures;
use super::plan::{Does, Plan};
use super::server::{Phase, Server, Setting};
use super::wire::Wire;

/// Rounds after which all must be done. A megabyte through the narrowest link takes tens of
/// thousands.
const ROUNDS_MOST: u32 = 500_000;

pub(crate) struct World {
    pub(super) now: Moment,
    pub(super) round: u32,
    pub(super) rng: SmallRng,
    pub(super) clients: Vec<Client>,
    pub(super) wires: Vec<Rc<RefCell<Wire>>>,
    pub(super) disk: Rc<RefCell<Disk>>,
    pub(super) server: Option<Server>,
    pub(super) setting: Setting,
    pub(super) is_durable: bool,
    /// When the next server starts, and when somebody sees that this one's disk has failed.
    pub(super) starts_at: Moment,
    pub(super) seen_at: Option<Moment>,
    pub(super) full_until: u32,
    faults: VecDeque<Fault>,
    is_calm: bool,
    /// The server, its store, and the clients, in the order of this round.
    order: Vec<usize>,
    pub(super) checks: Rc<RefCell<Checks>>,
}

impl World {
    pub(crate) fn new(plan: &Plan, tells: bool) -> World {
        let disk = Rc::new(RefCell::new(Disk::default()));
        let may_overwrite = plan.conflict == piecemeal::proto::Conflict::Overwrite;
        let mut checks = Checks::new(Rc::clone(&disk), plan.is_durable, may_overwrite);
        checks.story = tells.then(Vec::new);
        for client in &plan.clients {
            match &client.does {
                Does::Send(files) => {
                    let good = files.iter().filter(|file| !file.has_bad_name());
                    good.for_each(|it| checks.know(it.content.digest, it.content.size));
                }
                Does::Script(items) => {
                    let good = items.iter().filter(|item| item.kind.may_be_stored());
                    good.for_each(|it| checks.know(it.content.digest, it.content.size));
                }
            }
        }
        let rules = Rules {
            conflict: plan.conflict,
            deadlines: plan.deadlines,
            ..Rules::default()
        };
        World {
            now: Moment::START,
            round: 0,
            rng: SmallRng::seed_from_u64(plan.seed),
            clients: (plan.clients.iter())
                .map(|client| Client::new(client, Moment::START))
                .collect(),
            wires: Vec::new(),
            disk,
            server: None,
            setting: Setting {
                rules: Arc::new(rules),
                descriptors: plan.descriptors,
                rate: plan.rate,
            },
            is_durable: plan.is_durable,
            starts_at: Moment::START,
            seen_at: None,
            full_until: 0,
            faults: plan.faults.iter().copied().collect(),
            is_calm: false,
            order: (0..plan.clients.len() + 2).collect(),
            checks: Rc::new(RefCell::new(checks)),
        }
    }

    /// Lets it go on until all is done, or something is wrong.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        for round in 0..ROUNDS_MOST {
            self.round = round;
            self.be_struck();
            let did = self.go_round()?;
            let mut checks = self.checks.borrow_mut();
            checks.nothing_partial_is_seen();
            if let Some(why) = checks.wrong.take() {
                return Err(why);
            }
            drop(checks);
            if self.clients.iter().all(Client::is_done) && self.is_over() {
                return self.end();
            }
            self.go_on(did)?;
        }
        Err("no end is in sight".to_owned())
    }

    /// What goes wrong in this round goes wrong; when all has, what is broken is mended.
    fn be_struck(&mut self) {
        while let Some(fault) = self.faults.front().copied()
            && fault.round <= self.round
        {
            self.faults.pop_front();
            self.suffer(fault);
        }
        if self.round == self.full_until {
            self.disk.borrow_mut().failing.is_full = false;
        }
        if !self.is_calm && self.faults.is_empty() && self.round > self.full_until {
            self.is_calm = true;
            self.disk.borrow_mut().failing = Failures::default();
        }
    }

    /// Returns whether anything happened.
    fn go_round(&mut self) -> Result<bool, String> {
        self.checks.borrow_mut().now = self.now;
        let mut did = self.deliver();
        did |= self.run_servers();
        let everyone: bool = self.rng.random();
        let mut left_out = Vec::new();
        self.shuffle();
        for at in 0..self.order.len() {
            let who = self.order[at];
            if !everyone && self.rng.random_range(0..3) == 0 {
                left_out.push(who);
                continue;
            }
            did |= self.act(who)?;
        }
        // Who was left out of a round in which nothing happened may be the one who can.
        if !did {
            for who in left_out {
                did |= self.act(who)?;
            }
        }
        Ok(did)
    }

    /// Changes the order that all act in: one draw is enough for them, since they are few.
    fn shuffle(&mut self) {
        let mut draw = self.rng.random::<u32>() as usize;
        for last in (1..self.order.len()).rev() {
            self.order.swap(last, draw % (last + 1));
            draw /= last + 1;
        }
    }

    fn act(&mut self, who: usize) -> Result<bool, String> {
        match who.checked_sub(2) {
            Some(client) => self.client(client),
            None if who == 0 => Ok(self.serve()),
            None => {
                let now = self.now;
                let server = self.server.as_mut();
                Ok(server.is_some_and(|it| it.hub.store.0.borrow_mut().step(now)))
            }
        }
    }

    fn deliver(&mut self) -> bool {
        let now = self.now;
        let checks = &self.checks;
        self.wires.retain(|wire| {
            let is_used = Rc::strong_count(wire) > 1;
            if !is_used {
                let figures = &mut checks.borrow_mut().figures;
                figures.add("bytes that servers read", wire.borrow().up.read);
            }
            is_used
        });
        let mut did = false;
        for wire in &self.wires {
            did |= wire.borrow_mut().deliver(now);
        }
        did
    }

    fn client(&mut self, which: usize) -> Result<bool, String> {
        let mut net = Net {
            now: self.now,
            backlog: self.server.as_mut().map(|server| &mut server.hub.backlog),
            wires: &mut self.wires,
            checks: &mut self.checks.borrow_mut(),
            rules: &self.setting.rules,
        };
        self.clients[which].act(&mut net)
    }

    fn serve(&mut self) -> bool {
        let now = self.now;
        let has_come = self.deliver();
        let Some(server) = &mut self.server else {
            return has_come;
        };
        let has_work = server.next(now).is_some_and(|next| next <= now);
        if has_work {
            server.turn(now);
        }
        has_work
    }

    /// Whether the server has seen that everyone is gone.
    fn is_over(&self) -> bool {
        self.server.as_ref().is_some_and(|server| {
            let is_idle = server.connections() == 0 && server.hub.backlog.is_empty();
            is_idle && server.hub.phase == Phase::Serving && server.hub.store.0.borrow().is_idle()
        })
    }

    /// All has come back, and after the worst all that was promised is there.
    fn end(&mut self) -> Result<(), String> {
        if let Some(server) = &self.server {
            server.is_at_rest()?;
        }
        match self.is_durable {
            true => self.cut_power(Duration::ZERO),
            false => self.kill(Duration::ZERO),
        }
        let mut checks = self.checks.borrow_mut();
        checks.figures.add("rounds", self.round.into());
        checks
            .figures
            .add("seconds of the worlds' own", self.now.as_millis() / 1000);
        checks.promises_are_kept();
        checks.wrong.take().map_or(Ok(()), Err)
    }

    /// Time passes: a little, or up to when somebody can do something.
    fn go_on(&mut self, did: bool) -> Result<(), String> {
        let little = Duration::from_micros(self.rng.random_range(0..500));
        if did {
            self.now = self.now + little;
            return Ok(());
        }
        if let Some(server) = &self.server {
            server.is_punctual()?;
        }
        let now = self.now;
        let wires = self.wires.iter().filter_map(|wire| wire.borrow().next());
        let clients = self.clients.iter().filter_map(|client| client.next(now));
        let server = self.server.as_mut().and_then(|server| server.next(now));
        let store = self.server.as_ref();
        let store = store.and_then(|server| server.hub.store.0.borrow().next());
        let starts = self.server.is_none().then_some(self.starts_at);
        let next = (wires.chain(clients).chain(server).chain(store))
            .chain(self.seen_at)
            .chain(starts)
            .min();
        match next {
            Some(next) => self.now = next.max(now + little),
            None => {
                let server = self.server.as_ref();
                let held = server.map_or(Ok(()), Server::is_at_rest);
                let held = held.err().unwrap_or_default();
                return Err(format!("nothing will ever happen again: {held}"));
            }
        }
        Ok(())
    }

    /// What it consisted of, and its story.
    pub(crate) fn told(&self) -> (Figures, Vec<String>) {
        let checks = self.checks.borrow();
        (
            checks.figures.clone(),
            checks.story.clone().unwrap_or_default(),
        )
    }
}
