//! A blocking connection: short writes are finished, every wait has an end, and what is sent can
//! be cut up at will.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use super::{ANSWER_MOST, Failure, Settings};
use crate::net::{Address, Pieces, Turn};
use crate::proto::Moment;

/// Bytes that are read from a file, and written, at a time.
const BLOCK: usize = 64 << 10;

/// Bytes that the system may hold for a server that is slow to read. With more, the writes would
/// be over long before the server has the file, and its reading would look like silence.
const SEND_BUFFER: usize = 64 << 10;

/// A connection to somebody's server.
#[derive(Debug)]
pub(super) struct Wire {
    socket: Socket,
    to: Address,
    timeout: Option<Duration>,
    pieces: Option<Pieces>,
    /// What the pieces' moments are counted from.
    started: Instant,
    /// What the server has said and nobody has taken yet.
    pub(super) heard: Vec<u8>,
}

/// What a wait for the server came to.
#[derive(Debug)]
pub(super) enum Heard {
    /// It said something.
    Bytes,
    /// Its stream has ended.
    End,
    /// The time was up.
    Nothing,
    /// It has said as much as is kept.
    TooMuch,
    /// The connection is broken.
    Broken(String),
}

impl Wire {
    /// Connects to the first address that answers.
    pub(super) fn connect(settings: &Settings) -> Result<Wire, Failure> {
        let to = || settings.to.clone();
        let addresses = settings.to.resolve().map_err(|error| Failure::Resolve {
            to: to(),
            error: error.to_string(),
        })?;
        let mut last = "no address".to_owned();
        for address in addresses {
            match connect(&address, settings.timeout) {
                Ok(socket) => {
                    return Ok(Wire {
                        socket,
                        to: address,
                        timeout: settings.timeout,
                        pieces: settings.pieces.clone(),
                        started: Instant::now(),
                        heard: Vec::new(),
                    });
                }
                Err(error) => last = error.to_string(),
            }
        }
        Err(Failure::Connect {
            to: to(),
            error: last,
        })
    }

    /// Where it goes to, and where it comes from, if that has an address.
    pub(super) fn ends(&self) -> (Address, Option<Address>) {
        let from = self.socket.local_addr().ok();
        let from = from.and_then(|from| from.as_socket()).map(Address::Tcp);
        (self.to.clone(), from)
    }

    /// Sends all that the source has, and returns how many bytes that were. What is at hand is
    /// put into one write, as far as no plan says otherwise.
    pub(super) fn send(&mut self, mut source: impl Read) -> Result<u64, Failure> {
        let mut block = Block::default();
        let mut sent = 0;
        loop {
            let most = match self.turn() {
                Turn::Write(most) => usize::try_from(most).unwrap_or(usize::MAX).min(BLOCK),
                Turn::Cut(after) => {
                    // Only a connection that is gone can't be ended, and that is as good.
                    let _ = self.socket.shutdown(Shutdown::Write);
                    return Err(Failure::Cut(after));
                }
                Turn::Wait(until) => {
                    block.fill(1, &mut source)?;
                    if block.bytes().is_empty() {
                        return Ok(sent);
                    }
                    thread::sleep(until.since(self.now()));
                    continue;
                }
            };
            block.fill(most, &mut source)?;
            let bytes = block.bytes();
            if bytes.is_empty() {
                return Ok(sent);
            }
            match (&self.socket).write(&bytes[..bytes.len().min(most)]) {
                Ok(wrote) => {
                    block.start += wrote;
                    sent += wrote as u64;
                    let now = self.now();
                    if let Some(pieces) = &mut self.pieces {
                        pieces.handle_written(wrote as u64, now);
                    }
                }
                Err(error) => self.write_failed(&error)?,
            }
        }
    }

    /// Tells the server that nothing more will come from here.
    pub(super) fn finish(&mut self) {
        // This fails where the connection is gone already, which the next read tells better.
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// Closes with a reset, so that nobody takes what came for the whole.
    pub(super) fn abort(self) {
        // Where this fails, it is an ordinary end.
        let _ = self.socket.set_linger(Some(Duration::ZERO));
    }

    /// Waits until the server says something more, its stream ends, or it has been silent for so
    /// long from now on; `None` waits for ever. What is there already is heard in any case.
    pub(super) fn hear(&mut self, silence: Option<Duration>) -> Heard {
        if self.heard.len() >= ANSWER_MOST {
            return Heard::TooMuch;
        }
        // A silence that no clock can count to the end of is for ever.
        let until = silence.and_then(|silence| Instant::now().checked_add(silence));
        let mut buffer = [0; 4096];
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let read = self
                .socket
                .set_read_timeout(left.map(at_least))
                .and_then(|()| (&self.socket).read(&mut buffer));
            match read {
                Ok(0) => return Heard::End,
                Ok(got) => {
                    self.heard.extend_from_slice(&buffer[..got]);
                    return Heard::Bytes;
                }
                Err(error) if is_patience(&error) => {
                    // If the time is not up, the clock is coarse, or a signal came.
                    if until.is_some_and(|until| until <= Instant::now()) {
                        return Heard::Nothing;
                    }
                }
                Err(error) => return Heard::Broken(error.to_string()),
            }
        }
    }

    /// For how long a server may be silent or take nothing, for people.
    pub(super) fn patience(&self) -> Duration {
        self.timeout.unwrap_or(Duration::MAX)
    }

    fn turn(&self) -> Turn {
        let pieces = self.pieces.as_ref();
        pieces.map_or(Turn::Write(u64::MAX), |pieces| pieces.poll(self.now()))
    }

    fn now(&self) -> Moment {
        Moment::after_start(self.started.elapsed())
    }

    /// A write has failed. The server may have said why before it went, so that is looked for.
    fn write_failed(&mut self, error: &io::Error) -> Result<(), Failure> {
        if error.kind() == io::ErrorKind::Interrupted {
            return Ok(());
        }
        if is_patience(error) {
            return Err(Failure::Stalled(self.patience()));
        }
        let moment = Some(Duration::from_millis(500));
        while matches!(self.hear(moment), Heard::Bytes) {}
        Err(Failure::Lost {
            how: error.to_string(),
            said: std::mem::take(&mut self.heard),
        })
    }
}

fn connect(address: &Address, timeout: Option<Duration>) -> io::Result<Socket> {
    let (domain, target) = match address {
        Address::Tcp(address) => (Domain::for_address(*address), SockAddr::from(*address)),
        Address::Unix(path) => (Domain::UNIX, SockAddr::unix(path)?),
    };
    let socket = Socket::new(domain, Type::STREAM, None)?;
    if matches!(address, Address::Tcp(_)) {
        // Each piece is to leave at once.
        socket.set_tcp_nodelay(true)?;
    }
    match timeout {
        Some(timeout) => socket.connect_timeout(&target, timeout)?,
        None => socket.connect(&target)?,
    }
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.set_write_timeout(timeout.map(at_least))?;
    Ok(socket)
}

/// The system takes a time below a microsecond for none at all, which would be for ever.
fn at_least(timeout: Duration) -> Duration {
    timeout.max(Duration::from_millis(1))
}

/// Whether a blocking call ended because it had waited for as long as it was told to, or for less.
fn is_patience(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), Interrupted | TimedOut | WouldBlock)
}

/// Bytes that were read from a source and are to be written.
#[derive(Debug, Default)]
struct Block {
    bytes: Vec<u8>,
    start: usize,
}

impl Block {
    fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Makes sure that there are so many bytes, as long as the source has them. It is read as far
    /// as there is room, so that this is rarely needed.
    fn fill(&mut self, most: usize, source: &mut impl Read) -> Result<(), Failure> {
        if self.bytes().len() >= most {
            return Ok(());
        }
        self.bytes.drain(..self.start);
        self.start = 0;
        let room = (BLOCK - self.bytes.len()) as u64;
        source
            .take(room)
            .read_to_end(&mut self.bytes)
            .map(|_| ())
            .map_err(|error| Failure::Local(error.to_string()))
    }
}
