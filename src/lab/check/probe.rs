//! One connection to the server under test, and a transcript of all that is said on it.
//!
//! Sending never fails a case by itself: a server may have every reason to close. What came of it
//! is seen by reading, where each wait has an end.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use super::console::Console;
use super::message::Message;
use super::proc;
use super::shown::{bytes, quoted, seconds};
use super::transcript::{Mark, Side, Transcript};
use super::verdict::{Finding, Outcome, Verdict};
use super::watch::Watch;
use crate::net::Address;

/// How long a piece waits for the server to have read the one before it. A raw text ends where its
/// sender pauses for some 50 ms, so this is well below.
const PACE_MOST: Duration = Duration::from_millis(15);
/// Pieces of one message that are waited for so. Looking takes milliseconds, and a server that has
/// taken so many pieces one by one has shown what it does with them.
const LOOKS: usize = 12;
/// A pause that may end a raw text.
const PAUSE: Duration = Duration::from_millis(40);
/// The least pause between two pieces: most servers have read the first one by then.
const PACE_BLIND: Duration = Duration::from_millis(1);
/// One wait of a read; between two of them an interrupt is noticed.
const SLICE: Duration = Duration::from_millis(100);
/// What is kept of what a server sends.
const RECEIVED_MOST: usize = 1 << 20;

/// The words for what came where not a byte did.
pub const NOTHING: &str = "nothing";
/// How the words for what came go on where the connection stays.
const OPEN: &str = ", and the connection stays open";
/// The same where the server ended it.
pub const ENDED: &str = ", and the end of the connection";
/// The same where it was cut off.
pub const CUT: &str = ", and a reset of the connection";

/// How the server's side of a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It may send more.
    Open,
    /// It has ended in good order.
    End,
    /// It was cut off by a reset.
    Reset,
}

/// One connection.
#[derive(Debug)]
pub struct Probe {
    socket: Socket,
    /// All that was said.
    pub transcript: Transcript,
    /// What a started server prints.
    pub console: Option<Arc<Console>>,
    received: Vec<u8>,
    ending: Ending,
    half_closed: bool,
    ends: Option<(SocketAddr, SocketAddr)>,
    watch: Watch,
    /// The longest pause between two pieces of a message.
    longest_gap: Duration,
}

impl Probe {
    /// Connects, within the patience of `watch`.
    pub fn connect(name: &str, address: &Address, watch: Watch) -> io::Result<Probe> {
        let (domain, target) = match address {
            Address::Tcp(address) => (Domain::for_address(*address), SockAddr::from(*address)),
            Address::Unix(path) => (Domain::UNIX, SockAddr::unix(path)?),
        };
        let socket = Socket::new(domain, Type::STREAM, None)?;
        let mut transcript = Transcript::new(name);
        socket.connect_timeout(&target, watch.patience())?;
        let ends = match address {
            Address::Tcp(theirs) => {
                // Each piece is to travel in a segment of its own.
                socket.set_tcp_nodelay(true)?;
                let ours = socket.local_addr()?.as_socket();
                ours.map(|ours| (ours, *theirs))
            }
            Address::Unix(_) => None,
        };
        socket.set_write_timeout(Some(SLICE))?;
        transcript.note("we connect");
        Ok(Probe {
            socket,
            transcript,
            console: None,
            received: Vec::new(),
            ending: Ending::Open,
            half_closed: false,
            ends,
            watch,
            longest_gap: Duration::ZERO,
        })
    }

    /// Sends a message in one go: one segment, unless it is longer than a segment can be.
    pub fn send(&mut self, message: &Message) {
        self.send_cut(message, &[]);
    }

    /// Sends it with its fields in segments of their own.
    pub fn send_apart(&mut self, message: &Message) {
        self.send_cut(message, &message.seams());
    }

    /// Sends each byte in a segment of its own.
    pub fn send_bytewise(&mut self, message: &Message) {
        let cuts: Vec<usize> = message.cuts().collect();
        self.send_cut(message, &cuts);
    }

    /// Sends it in pieces that end at `cuts`. Each waits for the server to have read the one
    /// before, so that a cut is one for the server too.
    pub fn send_cut(&mut self, message: &Message, cuts: &[usize]) {
        self.transcript
            .sent(&message.bytes, message.fields.clone(), cuts);
        let mut from = 0;
        self.longest_gap = Duration::ZERO;
        for (piece, to) in cuts
            .iter()
            .copied()
            .chain([message.bytes.len()])
            .enumerate()
        {
            let before = Instant::now();
            match piece {
                0 => {}
                1..=LOOKS => self.pace(),
                _ => thread::sleep(PACE_BLIND),
            }
            let sent = self.write(&message.bytes[from..to]);
            if from > 0 {
                self.longest_gap = self.longest_gap.max(before.elapsed());
            }
            if !sent {
                break;
            }
            from = to;
        }
    }

    /// Whether the last message had a pause between its pieces that a server may take for the end
    /// of a raw text. That happens where this machine is busy, and is not the server's fault.
    pub fn paused(&self) -> bool {
        self.longest_gap > PAUSE
    }

    /// Sends bytes that nobody wants to see again; whether they all went.
    pub fn send_unseen(&mut self, bytes: &[u8]) -> bool {
        self.write(bytes)
    }

    fn write(&mut self, mut rest: &[u8]) -> bool {
        let until = Instant::now() + self.watch.patience();
        while !rest.is_empty() {
            match self.socket.write(rest) {
                Ok(sent) => rest = &rest[sent..],
                Err(error) if waits(&error) => {
                    if Instant::now() >= until || self.watch.interrupted() {
                        let left = bytes(rest.len());
                        let text = format!("the server reads no more; {left} could not be sent");
                        self.transcript.note(text);
                        return false;
                    }
                }
                Err(error) => {
                    self.transcript.note(format!("sending fails: {error}"));
                    return false;
                }
            }
        }
        true
    }

    /// Doesn't look any more whether a piece was read before the next is sent. Looking takes
    /// milliseconds, and on a busy machine too many of them for a raw text.
    pub fn pace_blindly(&mut self) {
        self.ends = None;
    }

    /// Waits until the server has read what was sent, but not for long.
    pub fn pace(&self) {
        thread::sleep(PACE_BLIND);
        let Some((ours, theirs)) = self.ends else {
            return;
        };
        let until = Instant::now() + PACE_MOST;
        loop {
            match proc::unread(ours, theirs) {
                None | Some(0) => return,
                Some(_) if Instant::now() >= until => return,
                Some(_) => thread::sleep(Duration::from_micros(200)),
            }
        }
    }

    /// Tells the server that nothing more will come, and goes on reading.
    pub fn half_close(&mut self) {
        self.half_closed = true;
        self.transcript.note("we end our side of the stream");
        // Fails only where the connection is gone, and reading says so.
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// Ends the connection by a reset, as the death of a program or a cable does.
    pub fn reset(mut self) {
        self.transcript.note("we reset the connection");
        // A socket that refuses to linger just ends, which tests less but says nothing wrong.
        let _ = self.socket.set_linger(Some(Duration::ZERO));
        // So that dropping doesn't choose another way.
        self.half_closed = true;
    }

    /// Reads until `enough`, the end, or until `within` has passed.
    pub fn read_until(&mut self, within: Duration, enough: impl Fn(&[u8]) -> bool) -> Ending {
        let until = Instant::now() + within;
        let mut buffer = [0; 16 << 10];
        while self.ending == Ending::Open && !enough(&self.received) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || self.watch.interrupted() {
                break;
            }
            // Zero would mean no timeout at all.
            let slice = left.clamp(Duration::from_millis(1), SLICE);
            let read = self
                .socket
                .set_read_timeout(Some(slice))
                .and_then(|()| self.socket.read(&mut buffer));
            match read {
                Ok(0) => {
                    self.transcript.note("the server ends the connection");
                    self.ending = Ending::End;
                    self.watch.hear();
                }
                Ok(got) => {
                    self.transcript.received(&buffer[..got]);
                    self.watch.hear_bytes();
                    let room = RECEIVED_MOST.saturating_sub(self.received.len());
                    self.received.extend_from_slice(&buffer[..got.min(room)]);
                    if room == 0 {
                        break;
                    }
                }
                Err(error) if waits(&error) => {}
                Err(error) => {
                    self.transcript
                        .note(format!("the connection is cut off: {error}"));
                    self.ending = Ending::Reset;
                }
            }
        }
        self.ending
    }

    /// Reads to the server's end, within its patience.
    pub fn read_to_end(&mut self) -> Ending {
        let patience = self.watch.patience();
        let ending = self.read_until(patience, |_| false);
        if ending == Ending::Open {
            let text = format!("the server is silent for {}", seconds(patience));
            self.transcript.note(text);
        }
        ending
    }

    /// Reads until so many bytes have come in all, and takes what else is there already.
    pub fn read_count(&mut self, count: usize) -> Ending {
        let patience = self.watch.patience();
        let ending = self.read_until(patience, |received| received.len() >= count);
        if ending == Ending::Open && self.received.len() < count {
            let text = format!("the server is silent for {}", seconds(patience));
            self.transcript.note(text);
        }
        ending
    }

    /// Whether the server may send more.
    pub fn is_open(&self) -> bool {
        self.ending == Ending::Open
    }

    /// All that the server has sent.
    pub fn received(&self) -> &[u8] {
        &self.received
    }

    /// What it sent, and how it stands, in words.
    pub fn got(&self) -> String {
        let what = if self.received.is_empty() {
            NOTHING.to_owned()
        } else {
            quoted(&self.received)
        };
        match self.ending {
            Ending::Open => format!("{what}{OPEN}"),
            Ending::End => format!("{what}{ENDED}"),
            Ending::Reset => format!("{what}{CUT}"),
        }
    }

    /// A failure that is about no byte in particular.
    pub fn fail(&self, expected: impl Into<String>, got: impl Into<String>) -> Verdict {
        self.finding(None, expected.into(), got.into())
    }

    /// A failure at a certain byte.
    pub fn fail_at(
        &self,
        mark: &Mark,
        expected: impl Into<String>,
        got: impl Into<String>,
    ) -> Verdict {
        self.finding(Some(mark), expected.into(), got.into())
    }

    /// A failure where the last byte was sent: the server should have gone on from there.
    pub fn fail_here(&self, word: &str, expected: impl Into<String>) -> Verdict {
        let mark = Mark::new(Side::Sent, self.transcript.sent_so_far(), word);
        self.fail_at(&mark, expected, self.got())
    }

    fn finding(&self, mark: Option<&Mark>, expected: String, got: String) -> Verdict {
        let http = self.received.starts_with(b"HTTP/");
        match (&self.console, self.ending) {
            (None, _) => {}
            // When this connection is dropped, the server may print what our leaving makes of it.
            (Some(console), Ending::Open) => console.keep(),
            // Here it has ended itself, and may print a moment later why.
            (Some(console), _) => console.keep_nothing(),
        }
        Verdict::Fail(Box::new(Finding {
            expected,
            got,
            state: None,
            mistake: http.then(|| "this is a web server, none of the course's".to_owned()),
            talk: self.transcript.lines(mark),
        }))
    }

    /// Expects that the server ends the connection in good order, and that only what was taken
    /// into account has come: `known` bytes in all.
    pub fn expect_end(&mut self, known: usize) -> Outcome {
        let ending = self.read_to_end();
        if self.received.len() > known {
            let mark = Mark::new(Side::Received, known, "nothing is due from here on");
            let extra = quoted(&self.received[known..]);
            let verdict =
                self.fail_at(&mark, "the end of the connection, and no more bytes", extra);
            return Err(verdict.mistake("a reply is sent where none is due: the client takes it for the answer to something else"));
        }
        match ending {
            Ending::End => Ok(()),
            Ending::Reset => Err(self
                .fail_here("here it is cut off", "the end of the connection in good order")
                .mistake(
                    "a reset instead of an end: the socket is closed while bytes that the client sent lie unread in it, or with SO_LINGER 0",
                )),
            Ending::Open => Err(self
                .fail_here("here our stream ends", "the end of the connection")
                .mistake(
                    "the end of the stream is not noticed: recv() returned b'' and the server asks again, or the socket is never closed",
                )),
        }
    }
}

fn waits(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

impl Drop for Probe {
    fn drop(&mut self) {
        // A server that closes first would keep its port in TIME_WAIT for a minute, and one
        // without SO_REUSEADDR could not be started again: our reset spares it that.
        if self.ending == Ending::End && !self.half_closed {
            let _ = self.socket.set_linger(Some(Duration::ZERO));
        }
    }
}
