//! Sends a list of files over a few connections, and gives each file exactly one outcome.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::available_parallelism;

use rustix::process::{Resource, getrlimit};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;

use super::connection::{BUDGET, Connection, Work};
use super::hashing::Hashing;
use super::jobs::Jobs;
use super::source::Sources;
use super::{Item, Options, Progress, Report, Why};
use crate::net::{Address, Stream, Tuning};
use crate::proto::sender::{Event, Sender, Upload};
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
    let sources = Sources {
        hashing: Hashing::new(wanted.min(processors), reactor.waker()),
        verify: options.verify,
        sendfile: options.sendfile,
    };
    let jobs = Jobs::new(items, progress, sources);
    let mut driver = Driver {
        options,
        addresses,
        jobs,
        wanted,
        open: 0,
    };
    driver.connect_more(&mut reactor);
    while !driver.jobs.is_signalled() && (driver.open > 0 || !driver.jobs.are_all_begun()) {
        reactor.turn(&mut driver, None)?;
    }
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
}

impl Driver<'_> {
    /// Makes connections until there are as many as are wanted and of use.
    fn connect_more(&mut self, reactor: &mut Reactor<Entry>) {
        while self.open < self.wanted.min(self.jobs.queued()) {
            if !self.connect(reactor, 0, None) {
                return;
            }
        }
    }

    /// Begins to connect to the first address that allows it, from an index on. Where none is
    /// left and no other connection either, every file fails.
    fn connect(
        &mut self,
        reactor: &mut Reactor<Entry>,
        from: usize,
        last: Option<io::Error>,
    ) -> bool {
        let mut last = last;
        for index in from..self.addresses.len() {
            let tuning = Tuning {
                unacknowledged: self.options.timeout,
            };
            let now = reactor.now();
            let sender = Sender::new(self.options.timeout, now);
            let until = self.options.connect_timeout.map(|timeout| now + timeout);
            let inserted = Stream::connect(&self.addresses[index], tuning).and_then(|stream| {
                reactor.insert(stream, |stream| {
                    Entry::Connection(
                        Connection::new(stream, sender, self.options.pieces.as_ref()),
                        Stage::Connecting { index, until },
                    )
                })
            });
            match inserted {
                Ok(_) => {
                    self.open += 1;
                    return true;
                }
                Err(error) => last = Some(error),
            }
        }
        if self.open == 0 {
            let error = last.map_or_else(|| "no address".to_owned(), |error| error.to_string());
            self.jobs.fail_queued(&Why::Connect {
                to: self.options.to.clone(),
                error,
            });
        }
        false
    }

    /// Begins the next upload, if the connection has room for it.
    fn begin_upload(&mut self, connection: &mut Connection, now: Moment) {
        loop {
            connection.close_what_is_sent();
            if !connection.has_room() {
                return;
            }
            let Some((id, item, source)) = self.jobs.begin() else {
                return;
            };
            let upload = Upload {
                id,
                name: item.name,
                size: source.size(),
                digest: source.check(),
                conflict: self.options.conflict,
                metadata: if self.options.keep_metadata {
                    source.metadata()
                } else {
                    Metadata::default()
                },
            };
            connection.source = Some(source);
            connection.sender.begin(upload, now);
        }
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
                    self.jobs.again(id);
                    over = Some(Why::Refused(refusal));
                }
                Event::Refused(id, refusal) => {
                    *stage = Stage::Fruitful;
                    self.jobs.refused(id, refusal);
                }
                Event::TurnedAway(refusal) => over = Some(Why::Refused(refusal)),
                Event::Said(..) => {}
            }
        }
        over
    }

    /// A connection is over: whatever it has not answered is lost. The files that it had not
    /// begun go to others, or to a new one, unless this one was good for nothing.
    fn over(
        &mut self,
        reactor: &mut Reactor<Entry>,
        connection: &Connection,
        stage: Stage,
        why: &Why,
    ) -> Visit {
        let turned_away = matches!(why, Why::Refused(_));
        for id in connection.sender.unanswered() {
            if turned_away {
                self.jobs.again(id);
            } else {
                self.jobs.lost(id, why.clone());
            }
        }
        self.open -= 1;
        if matches!(stage, Stage::Fruitful) {
            self.connect_more(reactor);
        } else if self.open == 0 {
            self.jobs.fail_queued(why);
        } else if turned_away {
            for token in reactor.tokens() {
                reactor.queue(token);
            }
        }
        Visit::Close
    }

    /// Looks whether a connection is made. If it can't be, the next address is tried.
    fn visit_connecting(
        &mut self,
        reactor: &mut Reactor<Entry>,
        connection: &Connection,
        stage: &mut Stage,
        ready: Readiness,
    ) -> Option<Visit> {
        let Stage::Connecting { index, until } = *stage else {
            return None;
        };
        let failed = match connection.connected() {
            Ok(true) => {
                self.jobs.connected(&self.addresses[index]);
                *stage = Stage::Open;
                return None;
            }
            Ok(false) if !ready.read_closed && until.is_none_or(|until| reactor.now() < until) => {
                return Some(Visit::Wait(until));
            }
            Ok(false) => io::ErrorKind::TimedOut.into(),
            Err(error) => error,
        };
        self.open -= 1;
        self.connect(reactor, index + 1, Some(failed));
        Some(Visit::Close)
    }

    fn visit_open(
        &mut self,
        reactor: &mut Reactor<Entry>,
        connection: &mut Connection,
        stage: &mut Stage,
        ready: &mut Readiness,
    ) -> Visit {
        let now = reactor.now();
        let received = connection.receive(ready, now);
        if let Some(why) = self.hear(connection, stage) {
            return self.over(reactor, connection, Stage::Open, &why);
        }
        if let Work::Over(why) = received {
            return self.over(reactor, connection, *stage, &why);
        }
        if connection.is_overdue(now) {
            return self.over(reactor, connection, Stage::Open, &Why::TimedOut);
        }
        let more = match self.send_files(connection, stage, ready, now) {
            // Nothing is wrong with the server, so what is left is sent over other connections.
            Work::Over(why) => return self.over(reactor, connection, Stage::Fruitful, &why),
            work => matches!(work, Work::More),
        };
        if self.jobs.are_all_begun() && connection.sender.is_idle() {
            self.open -= 1;
            return Visit::Close;
        }
        let deadline = connection.deadline();
        if more {
            Visit::Again(deadline)
        } else {
            Visit::Wait(deadline)
        }
    }

    /// Begins and sends files until the socket blocks, the server's answers are due, the budget is
    /// spent ([`Work::More`]), or the connection is to be cut.
    fn send_files(
        &mut self,
        connection: &mut Connection,
        stage: &mut Stage,
        ready: &mut Readiness,
        now: Moment,
    ) -> Work {
        let mut budget = BUDGET;
        loop {
            self.begin_upload(connection, now);
            let jobs = &mut self.jobs;
            match connection.send(ready, &mut budget, now, &mut |bytes| jobs.moved(bytes)) {
                Work::SourceFailed(error) => {
                    let sent = connection.sender.body().map(|(id, _, _)| id);
                    let id = sent.or_else(|| connection.sender.wants_digest());
                    connection.cut(&error);
                    if let Some(id) = id {
                        self.jobs.lost(id, Why::Local(error.to_string()));
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
        _: Token,
        entry: &mut Entry,
        ready: &mut Readiness,
    ) -> Visit {
        match entry {
            Entry::Connection(connection, stage) => {
                let waits = self.visit_connecting(reactor, connection, stage, *ready);
                let visit =
                    waits.unwrap_or_else(|| self.visit_open(reactor, connection, stage, ready));
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

    fn woken(&mut self, reactor: &mut Reactor<Entry>) {
        self.jobs.collect_rehashed();
        for token in reactor.tokens() {
            reactor.queue(token);
        }
        self.connect_more(reactor);
    }
}
