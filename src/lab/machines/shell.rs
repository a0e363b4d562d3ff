//! What every task's machine has around it: answers on their way out, the store's word awaited,
//! silence measured, and an end that lets the peer read its answer.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Settings;
use super::desk::{Asked, Desk};
use super::reader::Reader;
use crate::proto::limits::{LINGER_IDLE, LINGER_MOST, UNREAD_MOST};
use crate::proto::{
    Action, Begun, Fault, Machine, Moment, Position, Progress, Receipt, Step, Stop, Ticket, Want,
};

/// A task's machine.
#[derive(Debug)]
pub(super) struct Shell {
    settings: Arc<Settings>,
    reader: Box<dyn Reader>,
    desk: Desk,
    phase: Phase,
    /// Whether the peer has ended its stream, and whether the task knows.
    ended: bool,
    told_end: bool,
    /// When a byte last moved.
    moved: Moment,
    stopping: bool,
    steps: VecDeque<Step>,
}

/// How far the connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The task is at work.
    Open,
    /// Answers go out; then the sending side is shut down, and the peer is listened to until it
    /// has read them. A plain close with unread bytes would be a reset, and take them with it.
    Draining { since: Moment, shut: bool },
    /// Over.
    Closed,
}

impl Shell {
    pub(super) fn new(settings: Arc<Settings>, reader: Box<dyn Reader>, now: Moment) -> Shell {
        let mut shell = Shell {
            settings,
            reader,
            desk: Desk::default(),
            phase: Phase::Open,
            ended: false,
            told_end: false,
            moved: now,
            stopping: false,
            steps: VecDeque::new(),
        };
        shell.task("Start", now, |reader, desk| reader.handle_start(desk));
        shell
    }

    /// Lets the task hear of something, and takes the steps that follow from it.
    fn task(
        &mut self,
        cause: &'static str,
        now: Moment,
        hear: impl FnOnce(&mut dyn Reader, &mut Desk),
    ) {
        let before = self.position().state;
        if self.phase == Phase::Open {
            hear(&mut *self.reader, &mut self.desk);
        }
        self.step(cause, before);
        while self.phase == Phase::Open && self.desk.asked.is_none() && !self.desk.finishing {
            let before = self.position().state;
            if !self.desk.put_back.is_empty() {
                self.feed_back();
                self.step("Bytes", before);
            } else if self.ended && !self.told_end {
                self.told_end = true;
                self.reader.handle_end(&mut self.desk);
                self.step("End", before);
            } else if self.ended || (self.stopping && self.reader.is_idle()) {
                self.desk.finish();
            } else {
                return;
            }
        }
        self.wind_up(now);
    }

    /// Hands over once more what the task has put back.
    fn feed_back(&mut self) {
        let mut bytes = std::mem::take(&mut self.desk.put_back);
        match self.reader.want() {
            Want::Body(most) => {
                let most = usize::try_from(most).unwrap_or(usize::MAX);
                let rest = bytes.split_off(most.min(bytes.len()));
                let count = bytes.len() as u64;
                self.desk.write(bytes);
                self.desk.put_back = rest;
                self.reader.handle_moved(count, &mut self.desk);
            }
            _ => {
                let took = self.reader.handle_bytes(&bytes, &mut self.desk);
                // What it puts back itself came before what it didn't take.
                self.desk.put_back.extend_from_slice(&bytes[took..]);
            }
        }
    }

    /// Comes closer to the end, once the task has finished.
    fn wind_up(&mut self, now: Moment) {
        if self.phase == Phase::Open && self.desk.finishing && self.desk.asked.is_none() {
            let before = self.position().state;
            let (since, shut) = (now, false);
            self.phase = Phase::Draining { since, shut };
            self.desk.put_back = Vec::new();
            self.step("Finish", before);
        }
        if let Phase::Draining { since, shut } = self.phase
            && self.output().is_empty()
        {
            if self.ended {
                self.close("Sent");
            } else if !shut {
                self.phase = Phase::Draining { since, shut: true };
                self.moved = now;
                self.desk.actions.push_back(Action::FinishSending);
            }
        }
    }

    /// Tells a person of a message that is lost, if one is under way.
    fn complain(&mut self, why: &str) {
        if self.phase == Phase::Open && !self.reader.is_idle() {
            let Position { state, have, .. } = self.reader.position();
            let remark = format!("{why} in {state}, bytes so far: {have}; nothing is kept");
            self.desk.remark(remark);
        }
    }

    fn close(&mut self, cause: &'static str) {
        let before = self.position().state;
        self.phase = Phase::Closed;
        self.step(cause, before);
    }

    fn step(&mut self, cause: &'static str, from: &'static str) {
        let to = self.position().state;
        if self.settings.trace && from != to {
            self.steps.push_back(Step { from, cause, to });
        }
    }
}

impl Machine for Shell {
    fn handle_bytes(&mut self, bytes: &[u8], now: Moment) -> usize {
        self.moved = now;
        let mut took = 0;
        self.task("Bytes", now, |reader, desk| {
            took = reader.handle_bytes(bytes, desk)
        });
        took
    }

    fn handle_moved(&mut self, bytes: u64, now: Moment) {
        self.moved = now;
        self.task("Body", now, |reader, desk| reader.handle_moved(bytes, desk));
    }

    fn handle_end(&mut self, now: Moment) {
        self.ended = true;
        self.task("End", now, |_, _| {});
    }

    fn handle_lost(&mut self, _: Moment) {
        self.complain("connection lost");
        self.desk.out = Vec::new();
        self.desk.sent = 0;
        self.desk.actions.push_back(Action::Abort);
        if self.desk.asked == Some(Asked::Begin) {
            self.desk.asked = None;
        }
        self.close("Lost");
    }

    fn handle_begun(&mut self, begun: Result<Begun, Fault>, now: Moment) {
        self.desk.asked = None;
        // If the end came first, it means something new now that the upload is open.
        self.told_end = false;
        let begun = begun.map(|_| ());
        self.task("Answer", now, |reader, desk| {
            reader.handle_begun(begun, desk)
        });
    }

    fn handle_write_failed(&mut self, fault: Fault, now: Moment) {
        // What was to follow the bytes has lost its file.
        self.desk.actions.clear();
        self.desk.asked = None;
        self.task("Refused", now, |_, desk| {
            desk.remark(format!("not stored: {fault}"));
            desk.finish();
        });
    }

    fn handle_stored(&mut self, _: Ticket, stored: Result<Receipt, Fault>, now: Moment) {
        self.desk.asked = None;
        self.moved = now;
        self.task("Stored", now, |reader, desk| {
            reader.handle_stored(stored, desk)
        });
    }

    fn handle_sent(&mut self, bytes: usize, now: Moment) {
        self.desk.sent += bytes;
        if self.output().is_empty() {
            self.desk.out = Vec::new();
            self.desk.sent = 0;
        }
        self.moved = now;
        self.wind_up(now);
    }

    fn handle_deadline(&mut self, now: Moment) {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        self.moved = now;
        match self.phase {
            Phase::Open => {
                self.task("Silence", now, |reader, desk| reader.handle_silence(desk));
            }
            Phase::Draining { .. } => self.close("Deadline"),
            Phase::Closed => {}
        }
    }

    fn handle_stop(&mut self, stop: Stop, now: Moment) {
        self.stopping = true;
        if stop == Stop::Now {
            self.complain("cut off by the stop");
        }
        self.task("Stop", now, |_, desk| {
            if stop == Stop::Now {
                desk.abort();
                // What was given up is answered by nobody.
                desk.asked = desk.asked.filter(|asked| *asked != Asked::Begin);
                desk.finish();
            }
        });
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.desk.actions.pop_front()
    }

    fn poll_step(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    fn output(&self) -> &[u8] {
        &self.desk.out[self.desk.sent..]
    }

    fn want(&self) -> Want {
        match self.phase {
            Phase::Closed if self.desk.asked.is_some() => Want::Wait,
            Phase::Closed => Want::Close,
            Phase::Draining { .. } if !self.ended => Want::Discard(u64::MAX),
            Phase::Draining { .. } => Want::Wait,
            Phase::Open if self.desk.asked.is_some() || self.desk.finishing || self.ended => {
                Want::Wait
            }
            Phase::Open if self.output().len() > UNREAD_MOST => Want::Wait,
            Phase::Open => self.reader.want(),
        }
    }

    fn deadline(&self) -> Option<Moment> {
        match self.phase {
            Phase::Open if self.desk.asked.is_some() => None,
            Phase::Open => Some(self.moved + self.reader.patience(&self.settings)),
            Phase::Draining { since, .. } => {
                Some((self.moved + LINGER_IDLE).min(since + LINGER_MOST))
            }
            Phase::Closed => None,
        }
    }

    fn progress(&self) -> Progress {
        let within_message = self.phase == Phase::Open && !self.reader.is_idle();
        Progress {
            begun: self.desk.begun,
            within_message,
            under_way: within_message || self.desk.asked.is_some(),
        }
    }

    fn position(&self) -> Position {
        let (state, have, need) = match self.phase {
            Phase::Open => return self.reader.position(),
            Phase::Draining { .. } => ("Drain", 0, None),
            Phase::Closed => ("Closed", 0, None),
        };
        Position { state, have, need }
    }
}
