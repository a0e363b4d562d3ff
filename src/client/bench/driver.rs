//! All connections on a reactor: visited, counted, and ended.

use std::time::{Duration, Instant};

use super::connecting::{Due, Entry, Part, Role, SHORTAGE, Target};
use super::connection::{Connection, Desk, READ, Step};
use super::misfit::{self, Manner, Misfit};
use super::outcome::{Misbehaved, Outcome, Tally};
use super::supply::Supply;
use super::{Plan, Watch};
use crate::client::Why;
use crate::net::Stream;
use crate::proto::Moment;
use crate::reactor::{Handler, Reactor, Readiness, Token, Visit};

/// How often somebody may look on, and the clock is looked at.
pub(super) const TICK: Duration = Duration::from_millis(250);
/// A connection that was of no use is followed by another only after so long: a server that turns
/// everybody away isn't asked in a circle.
const PAUSE: Duration = Duration::from_millis(100);

/// Runs a plan to its end. Blocks the calling thread; `watch` is called on it.
///
/// # Errors
/// Where nothing could be measured at all: the host has no address, or the system has no poll.
/// What ends a run early is in its outcome.
pub fn run(plan: &Plan, watch: &mut dyn Watch) -> Result<Outcome, Why> {
    let targets = plan.to.iter().map(Target::find).collect::<Result<_, _>>()?;
    let mut reactor = Reactor::new()?;
    let mut driver = Driver::new(plan, targets, reactor.now());
    driver.connect_all(&mut reactor);
    let mut looked = Instant::now();
    while !driver.is_over() && !watch.is_over() {
        let patience = driver.patience();
        reactor.turn(&mut driver, Some(patience))?;
        driver.go_on(&mut reactor);
        if let Some(started) = driver.started
            && looked.elapsed() >= TICK
        {
            looked = Instant::now();
            watch.look(&driver.desk.tally, started.elapsed());
        }
    }
    Ok(driver.finish())
}

/// A run: its connections, and what has come of them.
pub(super) struct Driver<'a> {
    pub(super) plan: &'a Plan,
    pub(super) targets: Vec<Target>,
    /// Connections that were begun: whose turn it is.
    pub(super) begun: usize,
    pub(super) desk: Desk,
    /// By manner.
    pub(super) misfits: [Misbehaved; 3],
    /// How many workers there were at first.
    pub(super) connections: usize,
    /// Workers that are there, or due.
    pub(super) workers: usize,
    /// Connections that are being made.
    pub(super) connecting: usize,
    /// Connections that were made so far.
    pub(super) made: u64,
    /// Those that are to be made later.
    pub(super) due: Vec<Due>,
    /// When the clock began to run.
    pub(super) started: Option<Instant>,
    /// The last answer to any worker, or the start, by the loop's clock: for deadlines.
    pub(super) heard: Moment,
    /// The last answer to any worker, to the microsecond: for rates.
    pub(super) heard_at: Option<Instant>,
    /// What ended it early.
    pub(super) ended: Option<Why>,
}

impl<'a> Driver<'a> {
    fn new(plan: &'a Plan, targets: Vec<Target>, now: Moment) -> Driver<'a> {
        let misfits = Manner::ALL.map(|manner| Misbehaved {
            connections: manner.share(plan.mix, plan.connections),
            ..Misbehaved::default()
        });
        let bad: usize = misfits.iter().map(|side| side.connections).sum();
        // No more than there are files: a connection that has none says nothing.
        let files = usize::try_from(plan.files.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
        Driver {
            plan,
            targets,
            begun: 0,
            desk: Desk {
                supply: Supply::new(plan),
                tally: Tally::default(),
                buffer: vec![0; READ],
                pipeline: plan.pipeline,
                reconnect: plan.reconnect,
                timeout: plan.timeout,
            },
            misfits,
            connections: plan.connections.saturating_sub(bad).min(files).max(1),
            workers: 0,
            connecting: 0,
            made: 0,
            due: Vec::new(),
            started: None,
            heard: now,
            heard_at: None,
            ended: None,
        }
    }

    fn is_over(&self) -> bool {
        self.ended.is_some() || self.workers == 0
    }

    fn visit_worker(
        &mut self,
        reactor: &mut Reactor<Entry>,
        stream: &mut Stream,
        connection: &mut Connection,
        ready: &mut Readiness,
    ) -> Visit {
        let (now, before) = (reactor.now(), connection.answers.count);
        let step = connection.step(stream, &mut self.desk, ready, now);
        if connection.answers.count > before {
            self.heard = now;
            self.heard_at = Some(Instant::now());
        }
        match step {
            Step::Wait => Visit::Wait(connection.deadline(&self.desk)),
            Step::Again => Visit::Again(connection.deadline(&self.desk)),
            Step::Done => {
                self.follow(reactor, Duration::ZERO);
                Visit::Close
            }
            Step::Hopeless(why) => {
                connection.answers.lose_all("lost", &mut self.desk.tally);
                self.end(why);
                Visit::Close
            }
            Step::Lost(why) => {
                self.lost(reactor, connection, why);
                Visit::Close
            }
        }
    }

    /// A connection ended with files in flight, or before it had any.
    fn lost(&mut self, reactor: &mut Reactor<Entry>, connection: &mut Connection, why: Why) {
        let timed_out = matches!(why, Why::TimedOut);
        let word = if timed_out { "silent" } else { "lost" };
        let answers = &mut connection.answers;
        answers.lose_all(word, &mut self.desk.tally);
        let silence = reactor.now().since(self.heard);
        let all_are_silent = timed_out && self.plan.timeout.is_some_and(|most| silence >= most);
        // A server that has never said a word, and hangs up, is none.
        let is_mute = self.heard_at.is_none() && answers.ending.is_none();
        if all_are_silent || is_mute {
            self.end(why);
        }
        let pause = if answers.count == 0 || answers.ending.is_some() {
            PAUSE
        } else {
            Duration::ZERO
        };
        self.follow(reactor, pause);
    }

    fn visit_misfit(
        &mut self,
        reactor: &mut Reactor<Entry>,
        stream: &mut Stream,
        misfit: &mut Misfit,
        ready: &mut Readiness,
    ) -> Visit {
        let side = &mut self.misfits[misfit.manner as usize];
        let Desk { supply, buffer, .. } = &mut self.desk;
        match misfit.step(stream, supply, buffer, side, ready, reactor.now()) {
            misfit::Step::Wait(until) => Visit::Wait(until),
            misfit::Step::Over => {
                let pause = if misfit.manner == Manner::Abort {
                    SHORTAGE
                } else {
                    PAUSE
                };
                self.due.push(Due {
                    at: reactor.now() + pause,
                    part: Part::Misfit(misfit.manner),
                    short_since: None,
                });
                Visit::Close
            }
        }
    }

    pub(super) fn end(&mut self, why: Why) {
        self.ended.get_or_insert(why);
    }

    fn finish(self) -> Outcome {
        let took = self.heard_at.zip(self.started);
        let [slow, stalled, abort] = self.misfits;
        Outcome {
            connections: self.connections,
            tally: self.desk.tally,
            took: took.map_or(Duration::ZERO, |(last, first)| last - first),
            slow,
            stalled,
            abort,
            ended: self.ended,
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
        if let Some(visit) = self.visit_connecting(reactor, entry, *ready) {
            return visit;
        }
        if self.started.is_none() {
            // All begin together.
            return Visit::Wait(None);
        }
        match &mut entry.role {
            Role::Worker(connection) => {
                self.visit_worker(reactor, &mut entry.stream, connection, ready)
            }
            Role::Misfit(misfit) => self.visit_misfit(reactor, &mut entry.stream, misfit, ready),
        }
    }
}
