//! The model socket. It tells of what happens as a kernel does at the very least: once when bytes
//! come to a reader that had found none, once when there is room for a writer that had found none.
//! A session that goes away with bytes unread, and without saying so, is never told again.

use std::cell::RefCell;
use std::io::{self, ErrorKind, Read, Write};
use std::rc::Rc;

use mio::event::Source;
use mio::{Interest, Registry};
use piecemeal::net::Duplex;
use piecemeal::proto::Moment;
use piecemeal::reactor::{Readiness, Token};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::link::Pipe;

/// A connection, as both of its ends see it.
#[derive(Debug)]
pub(crate) struct Wire {
    rng: SmallRng,
    pub(crate) now: Moment,
    pub(crate) client: usize,
    /// From the client to the server, and back.
    pub(crate) up: Pipe,
    pub(crate) down: Pipe,
    pub(crate) token: Option<Token>,
    /// Milliseconds that bytes take at most.
    pub(crate) delay: u64,
    /// Neither end hears of the other any more.
    pub(crate) is_reset: bool,
    /// The server has closed its end.
    pub(crate) is_closed: bool,
    /// Something was done to it, so that it may time out or end.
    pub(crate) is_disturbed: bool,
    /// Nothing was wrong with it when the server was told to stop.
    pub(crate) is_to_be_told: bool,
    /// It had an upload under way then, which has had no outcome yet.
    pub(crate) is_owed: bool,
    /// After so many more bytes from the client it is cut: reset, or ended.
    pub(crate) cut: Option<(u64, bool)>,
    news: Option<Readiness>,
    /// Whether the server's next event of each kind is due: it has found nothing to read, or no room.
    tells_readable: bool,
    tells_writable: bool,
    /// What the server wrote and nobody looked at yet.
    pub(crate) written: Vec<u8>,
    /// How many replies that made.
    pub(crate) replies: u64,
}

impl Wire {
    pub(crate) fn new(
        client: usize,
        now: Moment,
        (delay, window): (u64, usize),
        mut rng: SmallRng,
    ) -> Wire {
        let up = Pipe::new(window);
        let down = Pipe::new(1 << rng.random_range(4..14));
        Wire {
            rng: SmallRng::seed_from_u64(rng.random()),
            now,
            client,
            up,
            down,
            token: None,
            delay,
            is_reset: false,
            is_closed: false,
            is_disturbed: false,
            is_to_be_told: false,
            is_owed: false,
            cut: None,
            news: None,
            tells_readable: false,
            tells_writable: false,
            written: Vec::new(),
            replies: 0,
        }
    }

    /// The server has it now. It is told what a poll tells of a new socket.
    pub(crate) fn register(&mut self) {
        let readable = self.up.arrived() > 0 || self.up.has_ended;
        let read_closed = self.up.has_ended;
        self.tells_readable = !readable;
        self.tell(readable, true, read_closed);
    }

    fn tell(&mut self, readable: bool, writable: bool, read_closed: bool) {
        let news = self.news.get_or_insert_default();
        news.readable |= readable;
        news.writable |= writable;
        news.read_closed |= read_closed;
    }

    /// What the server is to be told.
    pub(crate) fn take_news(&mut self) -> Option<(Token, Readiness)> {
        Some((self.token?, self.news.take()?))
    }

    pub(crate) fn has_news(&self) -> bool {
        self.token.is_some() && self.news.is_some() && !self.is_closed
    }

    /// The client sends; returns how many bytes went on their way.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> usize {
        if self.is_reset || self.is_closed || self.up.is_ending() {
            return 0;
        }
        let mut most = bytes.len().min(self.up.room());
        let cut = match self.cut {
            Some((left, _)) if left <= most as u64 => {
                most = usize::try_from(left).expect("less than a usize");
                true
            }
            _ => false,
        };
        let comes = self.comes();
        if most > 0 {
            self.up.send(&bytes[..most], comes);
        }
        if let Some((left, _)) = &mut self.cut {
            *left -= most as u64;
        }
        if cut && let Some((_, resets)) = self.cut.take() {
            self.is_disturbed = true;
            match resets {
                true => self.reset(),
                false => self.up.end(comes),
            }
        }
        most
    }

    fn comes(&mut self) -> Moment {
        let late = self.rng.random_range(0..=self.delay * 1000);
        self.now + std::time::Duration::from_micros(late)
    }

    /// The client ends its stream.
    pub(crate) fn end(&mut self) {
        let comes = self.comes();
        self.up.end(comes);
    }

    /// The connection breaks.
    pub(crate) fn reset(&mut self) {
        self.is_reset = true;
        self.up.clear();
        self.down.clear();
        self.tell(true, true, true);
    }

    /// The client reads.
    pub(crate) fn receive(&mut self, into: &mut [u8]) -> usize {
        let got = self.down.read(into);
        if self.tells_writable && self.down.room() > 0 {
            self.tells_writable = false;
            self.tell(false, true, false);
        }
        got
    }

    /// What is due arrives. Returns whether anything did.
    pub(crate) fn deliver(&mut self, now: Moment) -> bool {
        self.now = now;
        if self.is_reset {
            return false;
        }
        let (bytes, end) = self.up.deliver(now);
        if bytes && (self.tells_readable || self.rng.random_range(0..8) == 0) {
            self.tells_readable = false;
            self.tell(true, false, false);
        }
        if end {
            self.tell(true, false, true);
        }
        let (more, last) = self.down.deliver(now);
        bytes || end || more || last
    }

    pub(crate) fn next(&self) -> Option<Moment> {
        if self.is_reset {
            return None;
        }
        self.up.next().into_iter().chain(self.down.next()).min()
    }

    /// Whether the server has stopped before its time, though an upload was under way.
    pub(crate) fn was_cut_off(&self) -> bool {
        self.is_owed && !self.is_reset && !self.up.has_ended
    }

    /// Whether the server has stopped without a word to a client that would have read it.
    pub(crate) fn was_forgotten(&self) -> bool {
        let could_hear = !self.is_reset && !self.has_news() && self.down.is_empty();
        self.is_to_be_told && could_hear && !self.down.is_ending() && !self.up.has_ended
    }

    /// Whether the client will hear nothing more.
    pub(crate) fn is_over(&self) -> bool {
        self.is_reset || (self.down.has_ended && self.down.is_empty())
    }
}

/// The server's end.
#[derive(Debug)]
pub(crate) struct Socket(pub(crate) Rc<RefCell<Wire>>);

impl Read for Socket {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let wire = &mut *self.0.borrow_mut();
        if wire.is_reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        if wire.rng.random_range(0..64) == 0 {
            return Err(ErrorKind::Interrupted.into());
        }
        let got = wire.up.read(into);
        let is_empty = wire.up.arrived() == 0;
        if is_empty && !wire.up.has_ended {
            wire.tells_readable = true;
        }
        match got {
            0 if !into.is_empty() && !wire.up.has_ended => Err(ErrorKind::WouldBlock.into()),
            got => Ok(got),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let wire = &mut *self.0.borrow_mut();
        if wire.is_reset {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let most = bytes.len().min(wire.down.room());
        if most == 0 {
            wire.tells_writable = true;
            return Err(ErrorKind::WouldBlock.into());
        }
        let most = match wire.rng.random_range(0..4) {
            0 => wire.rng.random_range(1..=most),
            _ => most,
        };
        let comes = wire.comes();
        wire.down.send(&bytes[..most], comes);
        wire.written.extend_from_slice(&bytes[..most]);
        Ok(most)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Duplex for Socket {
    fn finish_sending(&self) -> io::Result<()> {
        let wire = &mut *self.0.borrow_mut();
        let comes = wire.comes();
        wire.down.end(comes);
        Ok(())
    }
}

impl Drop for Socket {
    /// Closed with bytes unread, a connection is reset, and its last replies are lost.
    fn drop(&mut self) {
        let wire = &mut *self.0.borrow_mut();
        wire.is_closed = true;
        match wire.up.is_empty() {
            true => {
                let comes = wire.comes();
                wire.down.end(comes);
            }
            false => wire.reset(),
        }
    }
}

impl Source for Socket {
    fn register(&mut self, _: &Registry, _: mio::Token, _: Interest) -> io::Result<()> {
        Ok(())
    }

    fn reregister(&mut self, _: &Registry, _: mio::Token, _: Interest) -> io::Result<()> {
        Ok(())
    }

    fn deregister(&mut self, _: &Registry) -> io::Result<()> {
        Ok(())
    }
}
