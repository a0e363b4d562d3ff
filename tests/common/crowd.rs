//! Very many clients of one server, driven by one thread.
//!
//! Each is the simplest that there is: it sends all it has, then ends its stream, and only then
//! reads what it was told. So what a reset takes away of a reply is missing, and isn't made up for
//! by a client that happened to read in time.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::{GUARD, Reply};

/// What every client's body is made of.
static FILLING: [u8; 64 << 10] = [0; 64 << 10];

/// Clients that are connected, or about to be.
#[derive(Debug)]
pub(crate) struct Crowd {
    poll: Poll,
    members: Vec<Member>,
}

/// How it went for one of them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) replies: Vec<Reply>,
    /// Why its stream ended, if not in order.
    pub(crate) broken: Option<ErrorKind>,
}

#[derive(Debug)]
struct Member {
    stream: Option<TcpStream>,
    begin: Vec<u8>,
    /// Bytes of filling that follow.
    filling: usize,
    sent: usize,
    has_finished: bool,
    heard: Vec<u8>,
    broken: Option<ErrorKind>,
}

impl Crowd {
    /// So many clients, each of which sends some bytes, and then so many more of no meaning.
    pub(crate) fn new(to: &str, count: usize, says: impl Fn(usize) -> (Vec<u8>, usize)) -> Crowd {
        let to: SocketAddr = to.parse().expect("an address");
        let connect = |_| TcpStream::connect(to).expect("a descriptor and a port");
        Crowd::with((0..count).map(connect), says)
    }

    /// The same of connections that are made already.
    pub(crate) fn of(
        connected: Vec<std::net::TcpStream>,
        says: impl Fn(usize) -> (Vec<u8>, usize),
    ) -> Crowd {
        let turned = |stream: std::net::TcpStream| {
            stream.set_nonblocking(true).expect("a socket");
            TcpStream::from_std(stream)
        };
        Crowd::with(connected.into_iter().map(turned), says)
    }

    fn with(
        streams: impl Iterator<Item = TcpStream>,
        says: impl Fn(usize) -> (Vec<u8>, usize),
    ) -> Crowd {
        let poll = Poll::new().expect("a poll");
        let register = |(number, mut stream)| {
            let both = Interest::READABLE | Interest::WRITABLE;
            let registered = (poll.registry()).register(&mut stream, Token(number), both);
            registered.expect("a socket");
            let (begin, filling) = says(number);
            Member {
                stream: Some(stream),
                begin,
                filling,
                sent: 0,
                has_finished: false,
                heard: Vec::new(),
                broken: None,
            }
        };
        let members = streams.enumerate().map(register).collect();
        Crowd { poll, members }
    }

    /// Lets each of them send all and read to the end.
    pub(crate) fn run(mut self) -> Vec<Told> {
        let mut open = self.members.len();
        let mut events = Events::with_capacity(1024);
        while open > 0 {
            match self.poll.poll(&mut events, Some(GUARD)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                polled => polled.expect("a poll"),
            }
            assert!(!events.is_empty(), "nothing came, and {open} are left");
            for event in &events {
                let member = &mut self.members[event.token().0];
                if member.stream.is_some() && member.has_ended() {
                    member.stream = None;
                    open -= 1;
                }
            }
        }
        self.members.into_iter().map(Member::told).collect()
    }
}

impl Member {
    /// Goes on until the socket blocks; says whether the connection has ended.
    fn has_ended(&mut self) -> bool {
        match self.send() {
            Ok(()) if !self.has_finished => {
                self.has_finished = true;
                let stream = self.stream.as_ref().expect("it is asked while it is open");
                // Who can't be told any more has ended already, and the read says so.
                let _ = stream.shutdown(Shutdown::Write);
            }
            Ok(()) => {}
            Err(error) if waits(&error) => return false,
            // What the server had to say may be there all the same.
            Err(error) => self.broken = Some(error.kind()),
        }
        match self.read() {
            Ok(()) => true,
            Err(error) if waits(&error) => false,
            Err(error) => {
                self.broken = Some(error.kind());
                true
            }
        }
    }

    fn send(&mut self) -> io::Result<()> {
        let stream = self.stream.as_mut().expect("it is asked while it is open");
        while self.broken.is_none() {
            let filled = self.sent.saturating_sub(self.begin.len());
            let rest = match self.begin.get(self.sent..) {
                Some(rest) if !rest.is_empty() => rest,
                _ => &FILLING[..FILLING.len().min(self.filling - filled)],
            };
            if rest.is_empty() {
                break;
            }
            match stream.write(rest) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                sent => self.sent += sent?,
            }
        }
        Ok(())
    }

    fn read(&mut self) -> io::Result<()> {
        let stream = self.stream.as_mut().expect("it is asked while it is open");
        stream.read_to_end(&mut self.heard).map(drop)
    }

    fn told(self) -> Told {
        Told {
            replies: Reply::all_in(&self.heard),
            broken: self.broken,
        }
    }
}

/// Whether a call is to be made again later. A connection that isn't made yet counts as one.
fn waits(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::NotConnected
    )
}
