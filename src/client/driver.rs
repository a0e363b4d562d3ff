//! Sends a list of files, or a stream, over a few connections, and gives each exactly one outcome.

mod connecting;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::available_parallelism;

use rustix::process::{Resource, getrlimit};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;

use super::connection::{Connection, Work};
use super::hashing::Hashing;
use super::identity::upload_id;
use super::jobs::{Jobs, Start};
use super::retries::{Retries, is_worth_another_try};
use super::source::Sources;
use super::stream::{Feed, Input};
use super::throttling::Rate;
use super::{Item, Options, Progress, Report, Why};
use crate::net::Address;
use crate::proto::sender::{Event, Upload};
use crate::proto::{Code, Metadata, Moment};
use crate::reactor::{Handler, Reactor, Readiness, Token, Visit};

/// Descriptors kept for all else: standard streams, poll, waker, signals, a file whose digest is
/// taken again.
const RESERVE: usize = 16;

/// Sends files, and returns when each has an outcome. Blocks the calling thread; `progress` is
/// called on it.
///
/// # Errors
/// Where nothing could be tried at all: the host has no address, or the system has no poll. What
/// goes wrong with single files, or with connections, is in the report.
pub fn send(
    options: &Options,
    items: Vec<Item>,
    progress: &mut dyn Progress,
) -> Result<Report, Why> {
    run(options, items, None, progress)
}

/// Sends a stream whose size nobody knows beforehand, under the item's name; nothing is stored
/// before its end is known to be a good one. It is tried again like a file as long as nothing of
/// it was read; after that a lost connection is the end of it. Otherwise like [`send`].
///
/// # Errors
/// Those of [`send`].
pub fn send_stream(
    options: &Options,
    item: Item,
    input: Input,
    progress: &mut dyn Progress,
) -> Result<Report, Why> {
    run(options, vec![item], Some(input), progress)
}

fn run(
    options: &Options,
    items: Vec<Item>,
    input: Option<Input>,
    progress: &mut dyn Progress,
) -> Result<Report, Why> {
    let addresses = options.to.resolve().map_err(|error| Why::Resolve {
        to: options.to.clone(),
        error: error.to_string(),
    })?;
    let mut reactor = Reactor::new()?;
    if options.signals {
        let ending = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // The order matters: the first signal finds the flag unset, and sets it; the second
            // ends the program, even one that hangs in writing its report.
            signal_hook::flag::register_conditional_default(signal, Arc::clone(&ending))?;
            signal_hook::flag::register(signal, Arc::clone(&ending))?;
        }
        reactor.insert(Signals::new([SIGINT, SIGTERM])?, Entry::Signals)?;
    }
    let most = items.len().min(affordable_connections()).max(1);
    let wanted = options.connections.clamp(1, most);
    let processors = available_parallelism().map_or(1, usize::from);
    let stream = input.map(|input| Feed::new(input, options.verify, reactor.waker()));
    let sources = Sources {
        hashing: Hashing::new(wanted.min(processors), reactor.waker()),
        verify: options.verify,
        sendfile: options.sendfile,
        stream: stream.clone(),
    };
    let jobs = Jobs::new(items, progress, sources);
    let mut driver = Driver {
        options,
        addresses,
        jobs,
        wanted,
        open: 0,
        rate: Rate::new(options.limit_rate, reactor.now()),
        retries: Retries::new(options.retries),
    };
    driver.connect_more(&mut reactor);
    let turned = loop {
        if driver.jobs.is_signalled() || (driver.open == 0 && driver.jobs.are_all_begun()) {
            break Ok(());
        }
        let turn = driver.rate.give_turns(&mut reactor);
        let retry = driver
            .retries
            .until()
            .map(|until| until.since(reactor.now()));
        let wait = [turn, retry].into_iter().flatten().min();
        if let Err(error) = reactor.turn(&mut driver, wait) {
            break Err(error);
        }
        if driver.retries.begins(reactor.now()) {
            driver.connect_more(&mut reactor);
        }
    };
    // The server is to see the stream end before the command does: nobody takes that for a success.
    drop(reactor);
    if let Some(stream) = stream {
        stream.finish();
    }
    turned?;
    Ok(driver.jobs.finish())
}

/// How many connections there are descriptors for. Each holds two: its socket and its file.
fn affordable_connections() -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    let limit = limit.and_then(|limit| usize::try_from(limit).ok());
    limit.unwrap_or(usize::MAX).saturating_sub(RESERVE) / 2
}

/// What the reactor keeps for the client.
#[expect(
    clippy::large_enum_variant,
    reason = "the reactor boxes its entries already"
)]
enum Entry {
    Connection(Connection, Stage),
    Signals(Signals),
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// It is being made, to the address of this index.
    Connecting { index: usize, until: Option<Moment> },
    /// It is made.
    Open,
    /// The server has answered something on it, so that another like it is worth having.
    Fruitful,
}

struct Driver<'a> {
    options: &'a Options,
    addresses: Vec<Address>,
    jobs: Jobs<'a>,
    /// Connections to have, while there are files for them.
    wanted: usize,
    /// Connections there are, those being made included.
    open: usize,
    rate: Rate,
    retries: Retries,
}

impl Driver<'_> {
    /// Begins the next upload, if the connection has room for it.
    fn begin_upload(&mut self, connection: &mut Connection, now: Moment) {
        loop {
            connection.close_what_is_sent();
            if !connection.has_room() {
                return;
            }
            let Some(start) = self.jobs.begin() else {
                return;
            };
            self.announce(connection, start, now);
        }
    }

    fn announce(&self, connection: &mut Connection, start: Start, now: Moment) {
        let Start {
            id, name, source, ..
        } = start;
        let conflict = self.options.conflict;
        connection.source = Some(source);
        let Some(file) = start.announcement else {
            return connection.sender.begin_stream(id, &name, conflict, now);
        };
        let facts = file.facts.filter(|_| self.options.resume);
        let metadata = if self.options.keep_metadata {
            file.metadata
        } else {
            Metadata::default()
        };
        let resume = facts.map(|facts| upload_id(&name, &facts));
        let upload = Upload {
            id,
            name,
            size: file.size,
            digest: file.check,
            conflict,
            resume,
            metadata,
        };
        connection.sender.begin(upload, now);
    }

    /// Hears what the server has said. Returns why the connection is of no more use, if it said
    /// that.
    fn hear(&mut self, connection: &mut Connection, stage: &mut Stage) -> Option<Why> {
        let mut over = None;
        while let Some(event) = connection.poll_event() {
            match event {
                Event::Stored(id, receipt) => {
                    *stage = Stage::Fruitful;
                    self.jobs.stored(id, &receipt);
                }
                // A server that is full or stopping has taken nothing of the file, and would say
                // the same of the next one here; another connection may have its ear.
                Event::Refused(id, refusal)
                    if matches!(refusal.code, Some(Code::Busy | Code::Shutdown)) =>
                {
                    let why = Why::Refused(refusal);
                    self.jobs.again(id, &why);
                    over = Some(why);
                }
                Event::Refused(id, refusal)
                    if self.options.retries > 0
                        && is_worth_another_try(&Why::Refused(refusal.clone())) =>
                {
                    let sealed = connection.sender.sealed(id);
                    let why = Why::Refused(refusal);
                    (self.jobs).lost_on_the_way(id, sealed, self.options.retries, &why);
                    over = Some(why);
                }
                Event::Refused(id, refusal) => {
                    *stage = Stage::Fruitful;
                    self.jobs.refused(id, refusal);
                }
                Event::TurnedAway(refusal) => over = Some(Why::Refused(refusal)),
                Event::Resumed(id, offset) => {
                    connection.resume_from(offset);
                    if self.jobs.resumed(id, offset) {
                        *stage = Stage::Fruitful;
                    }
                }
                Event::Said(..) => {}
            }
        }
        over
    }

    fn visit_open(
        &mut self,
        reactor: &mut Reactor<Entry>,
        token: Token,
        connection: &mut Connection,
        stage: &mut Stage,
        ready: &mut Readiness,
    ) -> Visit {
        let now = reactor.now();
        let received = connection.receive(ready, now);
        let said = self.hear(connection, stage);
        if matches!(stage, Stage::Fruitful) && self.retries.moved_on() {
            self.connect_more(reactor);
        }
        if let Some(why) = said {
            return self.over(reactor, connection, Stage::Open, &why);
        }
        if connection.is_done_with() {
            self.open -= 1;
            self.connect_more(reactor);
            return Visit::Close;
        }
        let has_more_to_say = match received {
            Work::Over(why) => return self.over(reactor, connection, *stage, &why),
            work => matches!(work, Work::More),
        };
        if connection.is_overdue(now) {
            return self.over(reactor, connection, Stage::Open, &Why::TimedOut);
        }
        let more = match self.send_files(token, connection, stage, ready, now) {
            // Nothing is wrong with the server, so what is left is sent over other connections.
            Work::Over(why) => return self.over(reactor, connection, Stage::Fruitful, &why),
            work => matches!(work, Work::More),
        };
        if self.jobs.are_all_begun() && connection.sender.is_idle() {
            self.open -= 1;
            return Visit::Close;
        }
        let deadline = connection.deadline();
        if more || has_more_to_say {
            Visit::Again(deadline)
        } else {
            Visit::Wait(deadline)
        }
    }

    /// Begins and sends files until the socket blocks, the server's answers are due, the budget is
    /// spent ([`Work::More`]), or the connection is to be cut.
    fn send_files(
        &mut self,
        token: Token,
        connection: &mut Connection,
        stage: &mut Stage,
        ready: &mut Readiness,
        now: Moment,
    ) -> Work {
        self.begin_upload(connection, now);
        let Some(allowed) = self.rate.allowance(token, connection, *ready, now) else {
            return Work::Blocked;
        };
        let mut budget = allowed;
        let work = self.send_within(&mut budget, connection, stage, ready, now);
        self.rate.has_sent(token, allowed - budget);
        work
    }

    fn send_within(
        &mut self,
        budget: &mut usize,
        connection: &mut Connection,
        stage: &mut Stage,
        ready: &mut Readiness,
        now: Moment,
    ) -> Work {
        loop {
            self.begin_upload(connection, now);
            let jobs = &mut self.jobs;
            match connection.send(ready, budget, now, &mut |id, bytes| jobs.moved(id, bytes)) {
                Work::SourceFailed(error) => {
                    let sent = connection.sender.body().map(|(id, _, _)| id);
                    let id = sent
                        .or_else(|| connection.sender.wants_digest())
                        .or_else(|| connection.sender.wants_part());
                    connection.cut(&error);
                    if let Some(id) = id {
                        self.jobs.source_failed(id, &error);
                    }
                    // Nothing is wrong with the server.
                    *stage = Stage::Fruitful;
                }
                work @ (Work::More | Work::Over(_)) => return work,
                Work::Blocked => {}
            }
            // A small file that was sent to its end makes room for the next one.
            if !ready.writable || !connection.has_room() || !self.jobs.can_begin() {
                return Work::Blocked;
            }
        }
    }
}

impl Handler<Entry> for Driver<'_> {
    fn visit(
        &mut self,
        reactor: &mut Reactor<Entry>,
        token: Token,
        entry: &mut Entry,
        ready: &mut Readiness,
    ) -> Visit {
        match entry {
            Entry::Connection(connection, stage) => {
                let waits = self.visit_connecting(reactor, connection, stage, *ready);
                let visit = waits
                    .unwrap_or_else(|| self.visit_open(reactor, token, connection, stage, ready));
                if self.jobs.can_begin_again() {
                    for token in reactor.tokens() {
                        reactor.queue(token);
                    }
                }
                visit
            }
            Entry::Signals(signals) => {
                ready.readable = false;
                if let Some(signal) = signals.pending().last() {
                    self.jobs.signalled(signal);
                }
                Visit::Wait(None)
            }
        }
    }

    fn closed(&mut self, _: &mut Reactor<Entry>, token: Token, _: Entry) {
        self.rate.leave(token);
    }

    fn woken(&mut self, reactor: &mut Reactor<Entry>) {
        self.jobs.collect_rehashed();
        for token in reactor.tokens() {
            reactor.queue(token);
        }
        self.connect_more(reactor);
    }
}
