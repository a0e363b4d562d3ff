//! Connections are made, started together, and made anew when they are over.

use std::io;
use std::time::{Duration, Instant};

use super::connection::Connection;
use super::driver::{Driver, TICK};
use super::misfit::{Manner, Misfit};
use crate::client::Why;
use crate::net::{Address, Endpoint, Stream, Tuning};
use crate::proto::Moment;
use crate::reactor::{Reactor, Readiness, Visit};

/// So long it waits for a port, or for room in a listening queue.
pub(super) const SHORTAGE: Duration = Duration::from_millis(10);

/// Which part a connection plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Worker,
    Misfit(Manner),
}

/// One connection.
pub(super) struct Entry {
    pub(super) stream: Stream,
    pub(super) stage: Stage,
    pub(super) role: Role,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stage {
    /// It is being made.
    Connecting {
        place: Place,
        until: Moment,
    },
    Open,
}

/// Which address a connection is made to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    target: usize,
    index: usize,
}

/// Where connections go.
#[derive(Debug)]
pub(super) struct Target {
    to: Endpoint,
    addresses: Vec<Address>,
    /// The one to connect to: the first that hasn't failed.
    index: usize,
}

impl Target {
    pub(super) fn find(to: &Endpoint) -> Result<Target, Why> {
        let addresses = to.resolve().map_err(|error| Why::Resolve {
            to: to.clone(),
            error: error.to_string(),
        })?;
        Ok(Target {
            to: to.clone(),
            addresses,
            index: 0,
        })
    }
}

/// Who is at work on it.
pub(super) enum Role {
    Worker(Connection),
    Misfit(Misfit),
}

impl Role {
    fn part(&self) -> Part {
        match self {
            Role::Worker(_) => Part::Worker,
            Role::Misfit(misfit) => Part::Misfit(misfit.manner),
        }
    }
}

/// A connection that is to be made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    pub(super) at: Moment,
    pub(super) part: Part,
    /// Since when something is short, if that is why it waits.
    pub(super) short_since: Option<Moment>,
}

impl Driver<'_> {
    /// Begins to make every connection that the plan has.
    pub(super) fn connect_all(&mut self, reactor: &mut Reactor<Entry>) {
        let workers = (0..self.connections).map(|_| Part::Worker);
        let sides = Manner::ALL.into_iter().zip(&self.misfits);
        let misfits = sides
            .flat_map(|(manner, side)| std::iter::repeat_n(Part::Misfit(manner), side.connections));
        let parts: Vec<Part> = workers.chain(misfits).collect();
        self.workers = self.connections;
        if self.plan.reconnect {
            // Connecting is part of what is measured.
            self.started = Some(Instant::now());
        }
        for part in parts {
            self.connect(reactor, part, None);
        }
    }

    /// How long the loop may wait: somebody may want to look, and connections may be due.
    pub(super) fn patience(&self) -> Duration {
        if self.due.is_empty() { TICK } else { SHORTAGE }
    }

    /// What is done once a turn.
    pub(super) fn go_on(&mut self, reactor: &mut Reactor<Entry>) {
        let now = reactor.now();
        if self.started.is_none() && self.connecting == 0 && self.due.is_empty() {
            self.started = Some(Instant::now());
            self.heard = now;
            for token in reactor.tokens() {
                reactor.queue(token);
            }
        }
        let ran_for = self.started.map(|started| started.elapsed());
        if let (Some(duration), Some(ran_for)) = (self.plan.duration, ran_for)
            && ran_for >= duration
        {
            self.desk.supply.close();
        }
        if !self.due.iter().any(|due| due.at <= now) {
            return;
        }
        for due in std::mem::take(&mut self.due) {
            if due.at > now {
                self.due.push(due);
            } else if due.part != Part::Worker || self.desk.supply.has_more() {
                self.connect(reactor, due.part, due.short_since);
            } else {
                self.workers -= 1;
            }
        }
    }

    /// Begins to make a connection, to whichever target's turn it is.
    fn connect(&mut self, reactor: &mut Reactor<Entry>, part: Part, short_since: Option<Moment>) {
        let target = self.begun % self.targets.len();
        self.begun += 1;
        self.connect_to(reactor, target, part, short_since);
    }

    fn connect_to(
        &mut self,
        reactor: &mut Reactor<Entry>,
        target: usize,
        part: Part,
        short_since: Option<Moment>,
    ) {
        let now = reactor.now();
        let index = self.targets[target].index;
        let place = Place { target, index };
        let Err(error) = self.try_connect(reactor, part, place) else {
            return;
        };
        let since = short_since.unwrap_or(now);
        if is_shortage(&error) && now.since(since) < self.plan.connect_timeout {
            self.due.push(Due {
                at: now + SHORTAGE,
                part,
                short_since: Some(since),
            });
        } else {
            self.cant_connect(reactor, part, place, &error);
        }
    }

    fn try_connect(
        &mut self,
        reactor: &mut Reactor<Entry>,
        part: Part,
        place: Place,
    ) -> io::Result<()> {
        let tuning = Tuning {
            unacknowledged: self.plan.timeout,
            brief: self.plan.reconnect,
        };
        let now = reactor.now();
        let since = self.plan.reconnect.then(Instant::now);
        let stream = Stream::connect(&self.targets[place.target].addresses[place.index], tuning)?;
        let until = now + self.plan.connect_timeout;
        let role = match part {
            Part::Worker => Role::Worker(Connection::new(now, since)),
            Part::Misfit(manner) => Role::Misfit(Misfit::new(manner, now)),
        };
        let stage = Stage::Connecting { place, until };
        reactor.insert(stream, |stream| Entry {
            stream,
            stage,
            role,
        })?;
        self.connecting += 1;
        Ok(())
    }

    /// An address doesn't take a connection. Before the start there may be another one; later it
    /// is the end of the run.
    fn cant_connect(
        &mut self,
        reactor: &mut Reactor<Entry>,
        part: Part,
        place: Place,
        error: &io::Error,
    ) {
        let next = place.index + 1;
        let target = &mut self.targets[place.target];
        if self.heard_at.is_none() && next < target.addresses.len() {
            target.index = target.index.max(next);
            return self.connect_to(reactor, place.target, part, None);
        }
        // A server that is there may be full, which looks the same but for this.
        let error = match self.made {
            0 => error.to_string(),
            made => format!("{error}, after {made} connections were made"),
        };
        self.end(Why::Connect {
            to: self.targets[place.target].to.clone(),
            error,
        });
    }

    /// Looks whether a connection is made. If so, it returns none.
    pub(super) fn visit_connecting(
        &mut self,
        reactor: &mut Reactor<Entry>,
        entry: &mut Entry,
        ready: Readiness,
    ) -> Option<Visit> {
        let Stage::Connecting { place, until } = entry.stage else {
            return None;
        };
        let failed: io::Error = match entry.stream.connected() {
            Ok(true) => {
                self.connecting -= 1;
                self.made += 1;
                entry.stage = Stage::Open;
                return None;
            }
            Ok(false) if !ready.read_closed && reactor.now() < until => {
                return Some(Visit::Wait(Some(until)));
            }
            Ok(false) => io::ErrorKind::TimedOut.into(),
            Err(error) => error,
        };
        self.connecting -= 1;
        self.cant_connect(reactor, entry.role.part(), place, &failed);
        Some(Visit::Close)
    }

    /// A worker's connection is over, and another takes its place if there is work for it.
    pub(super) fn follow(&mut self, reactor: &mut Reactor<Entry>, pause: Duration) {
        if self.ended.is_some() || !self.desk.supply.has_more() {
            self.workers -= 1;
        } else if pause.is_zero() {
            self.connect(reactor, Part::Worker, None);
        } else {
            self.due.push(Due {
                at: reactor.now() + pause,
                part: Part::Worker,
                short_since: None,
            });
        }
    }
}

/// Whether a connection can't be begun only for the moment: all local ports rest for a while after
/// their last use, or a Unix socket's listening queue is full.
fn is_shortage(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::WouldBlock
    )
}
