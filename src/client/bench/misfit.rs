//! Clients that behave badly, on purpose: a server has to serve the others as if they weren't
//! there.
//!
//! They send named files, of at most 64 KiB: it is how they send that counts.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use super::Mix;
use super::outcome::Misbehaved;
use super::replies::Replies;
use super::supply::Supply;
use crate::net::Stream;
use crate::proto::Moment;
use crate::proto::error::Code;
use crate::proto::reply::Answer;
use crate::proto::sender::Broken;
use crate::reactor::Readiness;

/// Largest file of theirs.
const SIZE_MOST: u64 = 64 << 10;
/// A slow one sends a piece this often, …
const PIECE_EVERY: Duration = Duration::from_millis(10);
/// … and a file in about so many pieces: in a second.
const PIECES: usize = 100;

/// In which way a client behaves badly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// It sends its files a few bytes at a time.
    Slow,
    /// It stops in the middle of a file, and stays.
    Stalled,
    /// It resets the connection in the middle of a file.
    Abort,
}

impl Manner {
    pub(super) const ALL: [Manner; 3] = [Manner::Slow, Manner::Stalled, Manner::Abort];

    /// How many of so many connections behave in this way.
    pub(super) fn share(self, mix: Mix, connections: usize) -> usize {
        mix.of(connections)[self as usize]
    }
}

/// One connection of such a client.
#[derive(Debug)]
pub(super) struct Misfit {
    pub(super) manner: Manner,
    replies: Replies,
    /// The file's messages, whole.
    out: Vec<u8>,
    sent: usize,
    /// How many of them may be sent by now.
    allowed: usize,
    /// When a slow one may send more.
    next: Moment,
    begun: Instant,
    size: u64,
    /// Whether the first of the file's two replies has come.
    named: bool,
}

/// What a visit came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It waits, at most until then.
    Wait(Option<Moment>),
    /// The connection is over.
    Over,
}

impl Misfit {
    pub(super) fn new(manner: Manner, now: Moment) -> Misfit {
        Misfit {
            manner,
            replies: Replies::default(),
            out: Vec::new(),
            sent: 0,
            allowed: 0,
            next: now,
            begun: Instant::now(),
            size: 0,
            named: false,
        }
    }

    pub(super) fn step(
        &mut self,
        stream: &mut Stream,
        supply: &mut Supply,
        buffer: &mut [u8],
        side: &mut Misbehaved,
        ready: &mut Readiness,
        now: Moment,
    ) -> Step {
        if self.receive(stream, buffer, side, ready).is_err() {
            side.ended += 1;
            return Step::Over;
        }
        if self.out.is_empty() {
            self.size = supply.write_apart(SIZE_MOST, &mut self.out);
            (self.sent, self.allowed, self.next) = (0, 0, now);
            self.begun = Instant::now();
        }
        // In the middle of the file's bytes, or at least of its messages.
        let middle = self.out.len() - usize::try_from(self.size / 2).unwrap_or(0).max(1);
        match self.manner {
            Manner::Slow if self.next <= now => {
                self.allowed += self.out.len().div_ceil(PIECES);
                self.next = now + PIECE_EVERY;
            }
            Manner::Slow => {}
            Manner::Stalled | Manner::Abort => self.allowed = middle,
        }
        self.allowed = self.allowed.min(self.out.len());
        while ready.writable && self.sent < self.allowed {
            match stream.write(&self.out[self.sent..self.allowed]) {
                Ok(sent) => self.sent += sent,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A connection that broke is readable, and the read says so.
                Err(_) => ready.writable = false,
            }
        }
        match self.manner {
            Manner::Abort if self.sent == self.allowed => {
                // Where it can't be set, the connection just ends.
                let _ = stream.reset_when_closed();
                side.ended += 1;
                Step::Over
            }
            Manner::Slow if self.sent < self.out.len() => Step::Wait(Some(self.next)),
            _ => Step::Wait(None),
        }
    }

    /// Reads what the server says. An error is the connection's end.
    fn receive(
        &mut self,
        stream: &mut Stream,
        buffer: &mut [u8],
        side: &mut Misbehaved,
        ready: &mut Readiness,
    ) -> Result<(), ()> {
        while ready.readable {
            match stream.read(buffer) {
                Ok(0) => return Err(()),
                Ok(got) => {
                    let mut replies = std::mem::take(&mut self.replies);
                    let heard = replies.handle_bytes(&buffer[..got], |text| self.hear(text, side));
                    self.replies = replies;
                    heard.map_err(|_| ())?;
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => ready.readable = false,
                    _ => return Err(()),
                },
            }
        }
        Ok(())
    }

    fn hear(&mut self, text: &[u8], side: &mut Misbehaved) -> Result<(), Broken> {
        let text = str::from_utf8(text).map_err(|_| Broken::NotUtf8)?;
        let answer = Answer::parse(text);
        let refusal = match &answer {
            Answer::Refused(refusal) => Some(refusal),
            Answer::Ok { .. } | Answer::Text(_) => None,
        };
        let closes = refusal.is_some_and(|refusal| refusal.closes());
        if !self.named && !closes {
            self.named = true;
            return Ok(());
        }
        match refusal {
            Some(refusal) => {
                let word = refusal.code.map_or("other", Code::as_str);
                side.tally.failed(word, 1);
            }
            None => side.tally.went_well(self.size, self.begun.elapsed()),
        }
        self.named = false;
        self.out.clear();
        Ok(())
    }
}
