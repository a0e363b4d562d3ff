//! A task's machine with all that it needs around it: a socket, a store and a clock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use piecemeal::lab::{LabMachine, Settings};
use piecemeal::proto::{
    Action, Begun, Fault, Machine, Moment, Position, Receipt, Seal, Ticket, Want,
};

use super::super::input;
use super::super::plain::assert_line;

/// More than a machine may ever hold: a file of type 2 in task 4 that is not decided yet.
const HELD_MOST: u64 = (1 << 20) + (16 << 10);
/// More answers are never held for a peer that reads none.
const ANSWERS_MOST: usize = 64 << 10;

/// Where a message is cut.
#[derive(Clone, Copy)]
pub(super) enum Cuts<'a> {
    None,
    At(&'a [u8]),
}

/// A file that is being stored: its ticket, its name and its bytes.
type Commit = (Ticket, String, Vec<u8>);

/// A connection to a task's server, and all that became of it.
pub(super) struct Rig {
    pub(super) machine: LabMachine,
    pub(super) now: Moment,
    quiet: Duration,
    pub(super) store_is_slow: bool,
    pub(super) is_deaf: bool,
    /// Whether the store has not said yet that an upload may begin; and whether anybody still
    /// wants to hear it.
    asked: Option<bool>,
    commits: VecDeque<Commit>,
    /// The name of the open upload, empty where it has none, and its bytes.
    open: Option<(String, Vec<u8>)>,
    pub(super) stored: Vec<(String, Vec<u8>)>,
    pub(super) shown: Vec<String>,
    pub(super) answers: Vec<u8>,
    has_ended: bool,
    /// Bytes that were not wanted yet.
    waiting: Vec<u8>,
}

impl Rig {
    pub(super) fn new(settings: Settings) -> Rig {
        let quiet = settings.quiet;
        let now = Moment::START;
        let mut rig = Rig {
            machine: LabMachine::new(Arc::new(settings), now),
            now,
            quiet,
            store_is_slow: false,
            is_deaf: false,
            asked: None,
            commits: VecDeque::new(),
            open: None,
            stored: Vec::new(),
            shown: Vec::new(),
            answers: Vec::new(),
            has_ended: false,
            waiting: Vec::new(),
        };
        rig.settle();
        rig
    }

    pub(super) fn feed_cut(&mut self, bytes: &[u8], cuts: Cuts<'_>) {
        match cuts {
            Cuts::None => self.feed(bytes),
            Cuts::At(cuts) => {
                for piece in input::pieces(cuts, bytes) {
                    self.feed(piece);
                }
            }
        }
    }

    /// Hands over bytes as one read brings them.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        if !self.has_ended {
            self.waiting.extend_from_slice(bytes);
            self.pump();
        }
    }

    /// The peer ends its stream.
    pub(super) fn end(&mut self) {
        self.has_ended = true;
        self.pump();
    }

    /// Hands over what is wanted; the rest waits in the socket, and the end of the stream behind it.
    pub(super) fn pump(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        let mut at = 0;
        loop {
            let rest = &waiting[at..];
            let fits = |left: u64| usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
            let took = match self.machine.want() {
                Want::Wait | Want::Close => break,
                _ if rest.is_empty() && !self.has_ended => break,
                _ if rest.is_empty() => {
                    self.machine.handle_end(self.now);
                    0
                }
                Want::Bytes => self.machine.handle_bytes(rest, self.now),
                Want::Body(left) => {
                    let part = &rest[..fits(left)];
                    self.machine_body(part);
                    part.len()
                }
                Want::Discard(left) => {
                    self.machine.handle_moved(fits(left) as u64, self.now);
                    fits(left)
                }
            };
            at += took;
            self.settle();
        }
        waiting.drain(..at);
        self.waiting = waiting;
    }

    fn machine_body(&mut self, part: &[u8]) {
        let (_, open) = self.open.as_mut().expect("a body goes into an open upload");
        open.extend_from_slice(part);
        self.machine.handle_moved(part.len() as u64, self.now);
    }

    /// The same byte many times over.
    pub(super) fn repeat(&mut self, byte: u8, count: u64) {
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(2048);
        self.feed(&vec![byte; count]);
    }

    pub(super) fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
        self.machine.handle_deadline(self.now);
        self.settle();
        self.pump();
        let deadline = self.machine.deadline();
        assert!(
            deadline.is_none_or(|deadline| deadline >= self.now),
            "a deadline that has passed was dealt with"
        );
    }

    /// Lets the quiet moment pass.
    pub(super) fn silence(&mut self) {
        self.wait(self.quiet);
    }

    pub(super) fn fail_to_write(&mut self) {
        if let Want::Body(_) = self.machine.want()
            && self.open.take().is_some()
        {
            self.machine.handle_write_failed(Fault::NoSpace, self.now);
            self.machine.handle_moved(1, self.now);
            self.settle();
            self.pump();
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.machine.want() == Want::Close
    }

    /// Whatever came: once the store answers and the time passes, the connection ends by itself.
    pub(super) fn close(&mut self) {
        self.store_is_slow = false;
        self.is_deaf = false;
        for _ in 0..200 {
            self.settle();
            self.pump();
            if self.is_closed() {
                break;
            }
            if self.asked.is_some() || !self.commits.is_empty() {
                self.answer(7);
            } else {
                self.wait(Duration::from_secs(3600));
            }
            self.look();
        }
        assert!(self.is_closed(), "{:?}", self.machine.position());
        while self.machine.poll_step().is_some() {}
        assert_eq!(self.machine.poll_action(), None);
        assert_eq!(self.machine.deadline(), None);
    }

    pub(super) fn settle(&mut self) {
        loop {
            if let Some(action) = self.machine.poll_action() {
                self.act(action);
            } else if !self.machine.output().is_empty() && !self.is_deaf {
                let output = self.machine.output();
                self.answers.extend_from_slice(output);
                let sent = output.len();
                self.machine.handle_sent(sent, self.now);
            } else {
                return;
            }
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Begin(order) => {
                assert_ne!(self.asked, Some(true), "it is asked one thing at a time");
                let name = order.name.map(|name| name.to_string());
                self.open = Some((name.unwrap_or_default(), Vec::new()));
                self.asked = Some(true);
            }
            Action::Reserve(_) => self.asked = Some(true),
            Action::Write(bytes) => {
                let (_, open) = self.open.as_mut().expect("bytes go into an open upload");
                open.extend_from_slice(&bytes);
            }
            Action::Commit(ticket, Seal { size, .. }) => {
                let (name, bytes) = self.open.take().expect("what is committed is open");
                assert_eq!(size, bytes.len() as u64, "it is sealed with what it has");
                self.commits.push_back((ticket, name, bytes));
            }
            Action::Abort | Action::Discard | Action::FinishSending => {
                self.open = None;
                self.asked = self.asked.map(|_| false);
            }
            Action::Show(text) => self.shown.push(text),
            Action::Remark(text) => assert_line(&text),
        }
        if !self.store_is_slow {
            self.answer(7);
        }
    }

    /// The store answers what it was asked: mostly well.
    pub(super) fn answer(&mut self, how: u8) {
        if let Some(is_wanted) = self.asked.take() {
            let begun = if how & 7 == 0 && is_wanted {
                self.open = None;
                Err(Fault::NoSpace)
            } else {
                Ok(Begun::Open)
            };
            self.machine.handle_begun(begun, self.now);
        } else if let Some((ticket, name, bytes)) = self.commits.pop_front() {
            let stored = match how & 7 {
                1 => Err(Fault::Io),
                _ => Ok(Receipt {
                    name: name.clone(),
                    size: bytes.len() as u64,
                    digest: None,
                    durable: false,
                }),
            };
            if stored.is_ok() {
                self.stored.push((name, bytes));
            }
            self.machine.handle_stored(ticket, stored, self.now);
        }
    }

    /// What holds at any time.
    pub(super) fn look(&self) {
        let Position { state, have, need } = self.machine.position();
        assert!(need.is_some() || state == "ReadBody" || have <= HELD_MOST);
        assert!(self.machine.output().len() <= ANSWERS_MOST);
    }

    pub(super) fn assert_same(&self, other: &Rig) {
        assert_eq!(self.stored, other.stored);
        assert_eq!(self.shown, other.shown);
        assert_eq!(self.answers, other.answers);
    }
}
