//! Which hook runs when: so many at once, those of one connection one after another, each for so
//! long.
//!
//! ```text
//!   loop's thread            dispatcher                         the process for hooks
//!   ─────────────            ──────────                         ─────────────────────
//!   submit ── a message ──>  a queue for each connection
//!                            ready connections, in turn ──────> run it, tell it, wait for its end
//!                            deadlines ───────────────────────> kill its group
//!                            the connection is ready again <─── it has ended
//! ```

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::broker::Broker;
use super::facts::Facts;
use super::process::Outcome;
use super::submitter::{QUEUE, Submitter};
use crate::cli::log_rate_limit::LogRateLimit;

/// How hooks are run.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
    /// The folder that files are stored into, as an absolute path.
    pub(super) dir: PathBuf,
    /// How many run at once.
    pub(super) jobs: usize,
    /// How long each may run.
    pub(super) timeout: Option<Duration>,
}

/// What the dispatcher is told.
#[derive(Debug)]
pub(super) enum Message {
    /// There are files, and it has said that it could start a hook.
    Wake,
    /// The hook of a connection's file has ended.
    Ended(usize, Outcome),
    /// The process that runs them has: nothing runs any more.
    Gone,
    /// Nothing more is stored; what has not ended by then is killed, and what waits is left.
    Finish(Option<Instant>),
}

/// The thread that runs hooks.
#[derive(Debug)]
pub(super) struct Dispatcher {
    submitter: Submitter,
    thread: JoinHandle<usize>,
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
}

impl Dispatcher {
    /// Starts the thread. The process that it has hooks run by is there.
    pub(super) fn start(plan: Plan, broker: Broker) -> io::Result<Dispatcher> {
        let (messages, received) = channel();
        let (runs, ended) = channel::<()>();
        let (stored, files) = channel();
        let submitter = Submitter {
            stored,
            messages,
            idle: Arc::default(),
            waiting: Arc::default(),
            missed: Arc::default(),
        };
        let answers = submitter.messages.clone();
        broker.listen(move |ended| {
            let message = ended.map_or(Message::Gone, |(connection, outcome)| {
                Message::Ended(connection, outcome)
            });
            // Nobody waits for what ends last.
            let _ = answers.send(message);
        })?;
        let work = Work {
            plan,
            broker: Some(broker),
            submitter: submitter.clone(),
            files,
            queues: HashMap::new(),
            ready: VecDeque::new(),
            running: HashMap::new(),
            until: None,
            missed: 0,
            failures: LogRateLimit::default(),
        };
        let thread = thread::Builder::new().name("hooks".into()).spawn(move || {
            let left = work.run(&received);
            drop(runs);
            left
        })?;
        Ok(Dispatcher {
            submitter,
            thread,
            ended,
        })
    }

    pub(super) fn submitter(&self) -> Submitter {
        self.submitter.clone()
    }

    /// Has all that waits run until then, and kills what still runs. To be said once more to end
    /// sooner.
    pub(super) fn finish(&self, until: Option<Instant>) {
        let _ = self.submitter.messages.send(Message::Finish(until));
    }

    /// Waits a while; returns whether it has ended.
    pub(super) fn ends_within(&self, time: Duration) -> bool {
        // Nothing is ever sent: this ends with the thread, or with the time.
        self.ended.recv_timeout(time) == Err(RecvTimeoutError::Disconnected)
    }

    /// Waits until it has ended; returns how many hooks were not run, or not to their end.
    pub(super) fn join(self) -> usize {
        self.thread.join().unwrap_or_default()
    }
}

/// A hook that runs.
#[derive(Debug)]
struct Run {
    facts: Facts,
    until: Option<Instant>,
    /// Whether it was killed, and is still to end.
    killed: bool,
}

/// The dispatcher's own state.
struct Work {
    plan: Plan,
    /// None once its process has died: then none is run any more.
    broker: Option<Broker>,
    submitter: Submitter,
    /// Files that were stored, and the connections that they came over.
    files: Receiver<(usize, Facts)>,
    /// What waits, by connection. One that is here has something waiting, or running.
    queues: HashMap<usize, VecDeque<Facts>>,
    /// Connections that have something waiting and nothing running.
    ready: VecDeque<usize>,
    running: HashMap<usize, Run>,
    /// Once it is to end: when, at the latest; `None` there is when all is done.
    until: Option<Option<Instant>>,
    /// Files for whose hook there was no room, or nobody to run it.
    missed: usize,
    /// Which failures are told: peers can cause them without end.
    failures: LogRateLimit,
}

impl Work {
    fn run(mut self, messages: &Receiver<Message>) -> usize {
        loop {
            self.collect();
            self.start_what_can_start();
            if self.until.is_some() && self.running.is_empty() {
                let left = self.queues.values().map(VecDeque::len).sum::<usize>();
                if let Some(broker) = self.broker {
                    broker.end();
                }
                tell_left_out(self.failures.left_out());
                return left + self.missed;
            }
            if self.has_room() && !self.rests() {
                continue;
            }
            let message = match self.next_deadline() {
                None => messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => messages.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            self.count_missed();
            match message {
                Ok(Message::Wake) => {}
                Ok(Message::Ended(connection, outcome)) => self.ended(connection, outcome),
                Ok(Message::Gone) => self.all_ended(),
                Ok(Message::Finish(until)) => self.until = Some(until),
                Err(RecvTimeoutError::Timeout) => self.kill_overdue(),
                // It has a sender of its own.
                Err(RecvTimeoutError::Disconnected) => return 0,
            }
        }
    }

    /// Takes over what was submitted; returns whether there was anything.
    fn collect(&mut self) -> bool {
        let mut any = false;
        while let Ok((connection, facts)) = self.files.try_recv() {
            any = true;
            if self.broker.is_some() {
                self.stored(connection, facts);
            } else {
                self.submitter.waiting.fetch_sub(1, Ordering::Relaxed);
                self.missed += 1;
            }
        }
        any
    }

    /// Says that the next file is to wake it, unless one has come by now.
    fn rests(&mut self) -> bool {
        self.submitter.idle.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let rests = !self.collect();
        if !rests {
            self.submitter.idle.store(false, Ordering::Relaxed);
        }
        rests
    }

    fn has_room(&self) -> bool {
        self.running.len() < self.plan.jobs && !self.is_over()
    }

    fn stored(&mut self, connection: usize, facts: Facts) {
        let queue = self.queues.entry(connection).or_default();
        queue.push_back(facts);
        if queue.len() == 1 && !self.running.contains_key(&connection) {
            self.ready.push_back(connection);
        }
    }

    fn start_what_can_start(&mut self) {
        while self.has_room() {
            let Some(connection) = self.ready.pop_front() else {
                return;
            };
            let Some(facts) = self
                .queues
                .get_mut(&connection)
                .and_then(VecDeque::pop_front)
            else {
                continue;
            };
            self.submitter.waiting.fetch_sub(1, Ordering::Relaxed);
            self.start(connection, facts);
        }
    }

    fn start(&mut self, connection: usize, facts: Facts) {
        let Some(broker) = &self.broker else {
            self.missed += 1;
            return;
        };
        let started = broker.run(connection, facts.told());
        let timeout = self.plan.timeout;
        let run = Run {
            facts,
            until: timeout.and_then(|timeout| Instant::now().checked_add(timeout)),
            killed: false,
        };
        self.running.insert(connection, run);
        if let Err(error) = started {
            self.ended(connection, Err(error.to_string()));
        }
    }

    /// The hook of a connection's file has ended, or could not be started.
    fn ended(&mut self, connection: usize, outcome: Outcome) {
        let Some(run) = self.running.remove(&connection) else {
            return;
        };
        if let Err(why) = outcome {
            let late = run.until.is_some_and(|until| until <= Instant::now());
            let late = if late { ", after --hook-timeout" } else { "" };
            if let Some(left_out) = self.failures.admit(Instant::now()) {
                tell_left_out(left_out);
                let name = run.facts.shown_name();
                log::warn!("the hook for {name} failed: {why}{late}");
            }
        }
        match self.queues.get(&connection) {
            Some(queue) if !queue.is_empty() => self.ready.push_back(connection),
            _ => {
                self.queues.remove(&connection);
            }
        }
    }

    /// The process that runs them is gone. What it ran may go on, and nobody hears of its end; what
    /// waits, or comes, is only counted.
    fn all_ended(&mut self) {
        log::error!("the process that runs hooks has died: none is run until a restart");
        if let Some(broker) = self.broker.take() {
            broker.end();
        }
        let waiting = self.queues.values().map(VecDeque::len).sum::<usize>();
        self.submitter.waiting.fetch_sub(waiting, Ordering::Relaxed);
        self.missed += waiting;
        self.queues.clear();
        self.ready.clear();
        let running: Vec<_> = self.running.keys().copied().collect();
        for connection in running {
            self.ended(connection, Err("nobody can tell how it ended".into()));
        }
    }

    /// Whether its own time is up.
    fn is_over(&self) -> bool {
        let until = self.until.flatten();
        until.is_some_and(|until| until <= Instant::now())
    }

    fn next_deadline(&self) -> Option<Instant> {
        let runs = self.running.values().filter(|run| !run.killed);
        let deadlines = runs.filter_map(|run| match (run.until, self.until.flatten()) {
            (Some(run), Some(end)) => Some(run.min(end)),
            (run, end) => run.or(end),
        });
        deadlines.min()
    }

    fn kill_overdue(&mut self) {
        let (now, over) = (Instant::now(), self.is_over());
        for (connection, run) in &mut self.running {
            if over || run.until.is_some_and(|until| until <= now) {
                run.killed = true;
                if let Some(broker) = &self.broker {
                    broker.kill(*connection);
                }
            }
        }
    }

    /// Says for how many files there was no room.
    fn count_missed(&mut self) {
        let missed = self.submitter.missed.swap(0, Ordering::Relaxed);
        if missed > 0 {
            log::warn!("{missed} files were stored without their hook: {QUEUE} were waiting");
            self.missed += missed;
        }
    }
}

/// Says how many failures had no line of their own.
fn tell_left_out(failures: u64) {
    if failures > 0 {
        log::warn!("{failures} more hooks failed, and were not told one by one");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};

    use piecemeal::net::Address;
    use piecemeal::proto::Receipt;

    #[test]
    fn what_there_is_no_room_for_is_counted_and_nothing_waits_for_a_hook_that_hangs() {
        let plan = Plan {
            program: "/no/program".into(),
            arguments: Vec::new(),
            dir: "/".into(),
            jobs: 4,
            timeout: None,
        };
        let (broker, theirs) = Broker::spoken_for();
        let dispatcher = Dispatcher::start(plan, broker).expect("a thread");
        let submitter = dispatcher.submitter();
        let receipt = Receipt {
            name: "a.txt".into(),
            size: 5,
            digest: None,
            durable: true,
        };
        let peer: Address = "127.0.0.1:1".parse().expect("an address");
        let files = QUEUE + 100;
        for _ in 0..files {
            // One connection, so that only its first hook runs.
            submitter.submit(7, Facts::of(&receipt, &peer));
        }
        assert!(submitter.waiting.load(Ordering::Relaxed) <= QUEUE);
        let mut orders = BufReader::new(theirs).lines();
        let order = orders.next().expect("it is run").expect("a line");
        assert!(order.contains("Run"), "{order}");
        dispatcher.finish(Some(Instant::now()));
        let order = orders.next().expect("it is killed").expect("a line");
        assert!(order.contains("Kill"), "{order}");
        // Its end is that of the process which would have told of it.
        drop(orders);
        assert_eq!(dispatcher.join(), files - 1);
    }
}
