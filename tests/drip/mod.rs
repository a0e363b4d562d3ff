//! Very many clients that send as little as they can, driven by one thread in turn.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{GUARD, Reply, data_header, string};

/// In how many parts the crowd is visited: each has a byte due at another time.
const PARTS: usize = 50;

/// Clients of these kinds, so many in all, each of which sends a byte each so often.
pub(crate) struct Drip<'a> {
    pub(crate) kinds: &'a [Kind],
    pub(crate) count: usize,
    pub(crate) each: Duration,
    /// How long they take to come. All at once they would fill the queue of those who wait to be
    /// accepted, again each time that their deadline passes, and that would be what is measured.
    pub(crate) within: Duration,
}

/// What a client is slow in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It connects and says nothing.
    Silent,
    /// The nine bytes of a header.
    Header,
    /// The text of a name.
    Text,
    /// The bytes of a file.
    Body,
    /// It sends the first bytes of a file and no more.
    Stalled,
}

/// One that was told to go, or that was closed.
#[derive(Debug)]
pub(crate) struct Gone {
    pub(crate) kind: Kind,
    /// Its age when it was last found to be there, and when it was found to be gone.
    pub(crate) age: (Duration, Duration),
    pub(crate) replies: Vec<Reply>,
}

#[derive(Debug)]
struct Dripper {
    kind: Kind,
    stream: TcpStream,
    since: Instant,
    seen: Instant,
    sent: usize,
    heard: Vec<u8>,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Silent => "silent",
            Kind::Header => "a header",
            Kind::Text => "a name",
            Kind::Body => "a body",
            Kind::Stalled => "stalled",
        }
    }

    /// What a server says that it timed out in.
    pub(crate) fn what(self) -> &'static str {
        match self {
            Kind::Silent | Kind::Header => "header",
            Kind::Text | Kind::Body | Kind::Stalled => "body",
        }
    }

    /// What it sends at once.
    fn begins_with(self) -> Vec<u8> {
        match self {
            Kind::Silent => Vec::new(),
            Kind::Header => vec![9],
            Kind::Text => string([b'a'; 200])[..3].to_vec(),
            Kind::Body | Kind::Stalled => [string("slow"), data_header(4, 1 << 20)].concat(),
        }
    }

    /// The byte that comes after so many, if any is to come.
    fn byte(self, sent: usize) -> Option<u8> {
        match self {
            Kind::Silent | Kind::Stalled => None,
            // The header's last byte never comes.
            Kind::Header => (sent < 7).then_some(0),
            Kind::Text | Kind::Body => Some(b'a'),
        }
    }
}

impl Drip<'_> {
    /// Connects them all and lets them drip until each was told to go. As long as it is to go on,
    /// another comes for each that is gone; then it waits for the others. `standing` is how many are
    /// there, once all are.
    pub(crate) fn run(&self, to: &str, go_on: &AtomicBool, standing: &AtomicUsize) -> Vec<Gone> {
        let kind = |number: usize| self.kinds[number % self.kinds.len()];
        let pause = self.within / u32::try_from(self.count).expect("not so many");
        let connect = |number| {
            thread::sleep(pause);
            Some(Dripper::connect(to, kind(number)))
        };
        let mut drippers: Vec<Option<Dripper>> = (0..self.count).map(connect).collect();
        let mut gone = Vec::new();
        let mut heard_of_last = Instant::now();
        standing.store(self.count, Ordering::Relaxed);
        for part in (0..PARTS).cycle() {
            let began = Instant::now();
            for place in drippers.iter_mut().skip(part).step_by(PARTS) {
                let Some(dripper) = place else { continue };
                if dripper.goes_on() {
                    continue;
                }
                heard_of_last = began;
                let next = go_on.load(Ordering::Relaxed).then_some(dripper.kind);
                let next = next.map(|kind| Dripper::connect(to, kind));
                gone.extend(std::mem::replace(place, next).map(Dripper::gone));
            }
            if drippers.iter().all(Option::is_none) {
                return gone;
            }
            assert!(
                heard_of_last.elapsed() < GUARD,
                "some were never told to go"
            );
            // They are slow: that is what they are for.
            let pause = self.each / u32::try_from(PARTS).expect("a small number");
            thread::sleep(pause.saturating_sub(began.elapsed()));
        }
        gone
    }
}

impl Dripper {
    fn connect(to: &str, kind: Kind) -> Dripper {
        let mut stream = TcpStream::connect(to).expect("the server listens");
        let begin = kind.begins_with();
        stream.write_all(&begin).expect("it has just connected");
        stream.set_nonblocking(true).expect("a socket");
        let since = Instant::now();
        Dripper {
            kind,
            stream,
            since,
            seen: since,
            sent: 0,
            heard: Vec::new(),
        }
    }

    /// Sends a byte and hears what there is. `false` is the end.
    fn goes_on(&mut self) -> bool {
        match self.stream.read_to_end(&mut self.heard) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.seen = Instant::now(),
            Ok(_) => return false,
            Err(error) => panic!("{:?} got {error} and no end", self.kind),
        }
        if let Some(byte) = self.kind.byte(self.sent) {
            // A server that has had enough says so to the next read.
            let _ = self.stream.write(&[byte]);
            self.sent += 1;
        }
        true
    }

    fn gone(self) -> Gone {
        Gone {
            kind: self.kind,
            age: (self.seen - self.since, self.since.elapsed()),
            replies: Reply::all_in(&self.heard),
        }
    }
}
