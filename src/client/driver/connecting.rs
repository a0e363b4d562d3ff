//! How connections come about, what is done when one is over, and when another is tried.

use std::io;

use super::{Driver, Entry, Stage};
use crate::client::connection::Connection;
use crate::client::retries::{Next, is_worth_another_try};
use crate::client::{Item, Retry, Why};
use crate::net::{Stream, Tuning};
use crate::proto::sender::Sender;
use crate::reactor::{Reactor, Readiness, Visit};

impl Driver<'_> {
    /// Makes connections until there are as many as are wanted and of use. After a failure it is
    /// only one, until something has moved forward again.
    pub(super) fn connect_more(&mut self, reactor: &mut Reactor<Entry>) {
        if self.retries.until().is_some() {
            return;
        }
        while self.open < self.wanted.min(self.jobs.queued()) {
            if !self.connect(reactor, 0, None) || self.retries.failed() > 0 {
                return;
            }
        }
    }

    /// Begins to connect to the first address that allows it, from an index on. Where none is
    /// left and no other connection either, that is tried again later, or every file fails.
    fn connect(
        &mut self,
        reactor: &mut Reactor<Entry>,
        from: usize,
        last: Option<io::Error>,
    ) -> bool {
        let mut last = last;
        let round = self.retries.round();
        for index in from..self.addresses.len() {
            let tuning = Tuning {
                unacknowledged: self.options.timeout,
                brief: false,
            };
            let now = reactor.now();
            let sender = Sender::new(self.options.timeout, now);
            let until = self.options.connect_timeout.map(|timeout| now + timeout);
            let inserted = Stream::connect(&self.addresses[index], tuning).and_then(|stream| {
                reactor.insert(stream, |stream| {
                    let pieces = self.options.pieces.as_ref();
                    let mut connection = Connection::new(stream, sender, pieces);
                    connection.round = round;
                    Entry::Connection(connection, Stage::Connecting { index, until })
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
            let why = Why::Connect {
                to: self.options.to.clone(),
                error,
            };
            self.try_again(reactor, round, None, &why);
        }
        false
    }

    /// Looks whether a connection is made. If it can't be, the next address is tried.
    pub(super) fn visit_connecting(
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

    /// A connection is over: whatever it has not answered is lost, or begun again on another one.
    /// So are the files that it had not begun, unless it was good for nothing.
    pub(super) fn over(
        &mut self,
        reactor: &mut Reactor<Entry>,
        connection: &Connection,
        stage: Stage,
        why: &Why,
    ) -> Visit {
        let mut unanswered = connection.sender.unanswered();
        unanswered.retain(|id| self.jobs.is_under_way(*id));
        let item = self.jobs.the_only_one(&unanswered);
        let has_lost_nothing = unanswered.is_empty();
        let turned_away = matches!(why, Why::Refused(_));
        let is_tried_again = self.options.retries > 0 && is_worth_another_try(why);
        if turned_away {
            for id in unanswered {
                self.jobs.again(id, why);
            }
        } else if is_tried_again {
            // The server was at the first of them, so that is the one which may be to blame: it
            // is put behind the others, and its tries are counted.
            for &id in unanswered.iter().skip(1) {
                self.jobs.again(id, why);
            }
            if let Some(&id) = unanswered.first() {
                let sealed = connection.sender.sealed(id);
                (self.jobs).lost_on_the_way(id, sealed, self.options.retries, why);
            }
        } else {
            for id in unanswered {
                self.jobs.lost(id, why.clone());
            }
        }
        self.open -= 1;
        let others_may_go_on = turned_away && self.open > 0;
        // A server may close behind an answer; what it hasn't begun loses nothing by that.
        let is_no_loss = has_lost_nothing && matches!(stage, Stage::Fruitful);
        if is_tried_again && !others_may_go_on && !is_no_loss {
            self.try_again(reactor, connection.round, item.as_ref(), why);
        } else if matches!(stage, Stage::Fruitful) {
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

    /// What is queued is tried again after a wait, or has failed with the last connection.
    fn try_again(&mut self, reactor: &Reactor<Entry>, round: u32, item: Option<&Item>, why: &Why) {
        if self.jobs.are_all_begun() {
            return;
        }
        // Where nothing is under way any more, not even a wait, every failure counts.
        let is_last = self.open == 0 && self.retries.until().is_none();
        let round = if is_last { self.retries.round() } else { round };
        let draw = rand::random_range(0.0..=1.0);
        match self.retries.failed_in(round, why, draw, reactor.now()) {
            Next::Wait(wait) => self.jobs.retrying(&Retry {
                item,
                why,
                wait,
                number: self.retries.failed(),
                of: self.retries.most(),
            }),
            Next::Counted => {}
            Next::GiveUp if self.open == 0 => self.jobs.fail_queued(why),
            Next::GiveUp => {}
        }
    }
}
