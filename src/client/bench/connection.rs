//! One connection at work: as many files in flight as its pipeline holds.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use super::answers::Answers;
use super::outcome::Tally;
use super::replies::Replies;
use super::supply::Supply;
use crate::client::Why;
use crate::net::Stream;
use crate::proto::Moment;
use crate::reactor::Readiness;

/// The first bytes of a file are copied behind its header, up to so many, and sent with it: that
/// costs less than another system call. The others are sent from where they lie.
const COPIED_MOST: u64 = 16 << 10;
/// Messages are gathered up to so many bytes before they are written.
const GATHERED_MOST: usize = 256 << 10;
/// Bytes that one visit sends before it is another's turn.
const BUDGET: usize = 1 << 20;
/// Bytes of one read; a receipt has less than a hundred.
pub(super) const READ: usize = 64 << 10;

/// What all connections share.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) supply: Supply,
    pub(super) tally: Tally,
    /// Where reads go.
    pub(super) buffer: Vec<u8>,
    pub(super) pipeline: usize,
    pub(super) reconnect: bool,
    pub(super) timeout: Option<Duration>,
}

/// One connection of those that behave well.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) answers: Answers,
    replies: Replies,
    /// Gathered messages; the first `sent` bytes are gone.
    out: Vec<u8>,
    sent: usize,
    /// A file whose bytes go on behind `out`: which kind, and from where.
    rest: Option<(usize, u64)>,
    /// When a byte last went either way.
    moved: Moment,
    /// With a connection a file: when it was begun.
    connecting_since: Option<Instant>,
    /// How a write failed. The server may have said why, so its answer is still read.
    send_failed: Option<io::Error>,
}

/// What a visit came to.
#[derive(Debug)]
pub(super) enum Step {
    /// The socket blocks, or answers are due.
    Wait,
    /// It could go on.
    Again,
    /// There is nothing more to do here.
    Done,
    /// The connection ended, or the server's last word has come.
    Lost(Why),
    /// It is no server that this is for.
    Hopeless(Why),
}

impl Connection {
    pub(super) fn new(now: Moment, connecting_since: Option<Instant>) -> Connection {
        Connection {
            answers: Answers::default(),
            replies: Replies::default(),
            out: Vec::new(),
            sent: 0,
            rest: None,
            moved: now,
            connecting_since,
            send_failed: None,
        }
    }

    /// Reads what was answered, and begins and sends what there is room for.
    pub(super) fn step(
        &mut self,
        stream: &mut Stream,
        desk: &mut Desk,
        ready: &mut Readiness,
        now: Moment,
    ) -> Step {
        if let Some(step) = self.receive(stream, desk, ready, now) {
            return step;
        }
        if let Some(word) = self.answers.ending {
            return Step::Lost(Why::Lost(format!("the server said {word}")));
        }
        if desk.reconnect && self.answers.count > 0 {
            return Step::Done;
        }
        let more = self.send(stream, desk, ready, now);
        if self.send_failed.is_some() && ready.readable {
            // What it said before it closed may be there already.
            if let Some(step) = self.receive(stream, desk, ready, now) {
                return step;
            }
        }
        if self.is_idle() && !desk.supply.has_more() {
            return Step::Done;
        }
        if self.deadline(desk).is_some_and(|deadline| deadline <= now) {
            return Step::Lost(Why::TimedOut);
        }
        if more { Step::Again } else { Step::Wait }
    }

    /// When nothing will have moved for too long.
    pub(super) fn deadline(&self, desk: &Desk) -> Option<Moment> {
        let timeout = desk.timeout.filter(|_| !self.is_idle());
        timeout.map(|timeout| self.moved + timeout)
    }

    fn is_idle(&self) -> bool {
        self.answers.in_flight() == 0 && self.is_all_sent()
    }

    fn is_all_sent(&self) -> bool {
        self.sent == self.out.len() && self.rest.is_none()
    }

    fn receive(
        &mut self,
        stream: &mut Stream,
        desk: &mut Desk,
        ready: &mut Readiness,
        now: Moment,
    ) -> Option<Step> {
        let Desk {
            supply,
            tally,
            buffer,
            ..
        } = desk;
        while ready.readable {
            match stream.read(buffer) {
                Ok(0) => {
                    let how = match &self.send_failed {
                        Some(error) => error.to_string(),
                        None => "the server closed it".to_owned(),
                    };
                    return Some(Step::Lost(Why::Lost(how)));
                }
                Ok(got) => {
                    self.moved = now;
                    let heard = Instant::now();
                    let answers = &mut self.answers;
                    let taken = self.replies.handle_bytes(&buffer[..got], |text| {
                        answers.take(text, supply, tally, heard)
                    });
                    if let Err(why) = taken {
                        return Some(Step::Hopeless(why));
                    }
                    // Nothing more is there, so the read that would say so is saved.
                    if got < buffer.len() && !ready.read_closed {
                        ready.readable = false;
                    }
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => ready.readable = false,
                    _ => return Some(Step::Lost(Why::Lost(error.to_string()))),
                },
            }
        }
        None
    }

    /// Sends until the socket blocks, answers are due, or the budget is spent: then it returns
    /// true.
    fn send(
        &mut self,
        stream: &mut Stream,
        desk: &mut Desk,
        ready: &mut Readiness,
        now: Moment,
    ) -> bool {
        let mut budget = BUDGET;
        while ready.writable && self.send_failed.is_none() {
            if self.is_all_sent() {
                self.gather(desk);
            }
            let (bytes, is_rest) = match self.rest {
                _ if self.sent < self.out.len() => (&self.out[self.sent..], false),
                Some((kind, offset)) => (desk.supply.payload.piece(kind, offset), true),
                None => return false,
            };
            if budget == 0 {
                return true;
            }
            let most = bytes.len().min(budget);
            match stream.write(&bytes[..most]) {
                Ok(sent) => {
                    self.moved = now;
                    budget -= sent;
                    if is_rest {
                        self.advance_rest(sent as u64, desk);
                    } else {
                        self.sent += sent;
                    }
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => ready.writable = false,
                    _ => {
                        self.send_failed = Some(error);
                        ready.readable = true;
                    }
                },
            }
        }
        false
    }

    /// Writes the messages of as many files as there is room for.
    fn gather(&mut self, desk: &mut Desk) {
        self.out.clear();
        self.sent = 0;
        let most = if desk.reconnect { 1 } else { desk.pipeline };
        if self.answers.in_flight() >= most {
            return;
        }
        let begun = self.connecting_since.unwrap_or_else(Instant::now);
        while self.rest.is_none()
            && self.answers.in_flight() < most
            && self.out.len() < GATHERED_MOST
        {
            let Some(item) = desk.supply.begin(&mut self.out) else {
                return;
            };
            self.answers.expect(item, begun);
            if desk.supply.carries_files() {
                let payload = &desk.supply.payload;
                let copied = payload.append(item.kind, COPIED_MOST, &mut self.out);
                if copied < payload.kind(item.kind).size {
                    self.rest = Some((item.kind, copied));
                }
            }
        }
    }

    fn advance_rest(&mut self, sent: u64, desk: &Desk) {
        self.rest = self.rest.and_then(|(kind, offset)| {
            let offset = offset + sent;
            (offset < desk.supply.payload.kind(kind).size).then_some((kind, offset))
        });
    }
}
