//! An echo server on the bare reactor: `cargo run --example echo -- 127.0.0.1:9000`
//!
//! The reactor says whose turn it is; this file says what a turn does: go on until `WouldBlock`,
//! stop when the budget is spent, keep what can't be sent yet, and let no connection's error
//! reach the others.

use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

use piecemeal::net::{Accepted, Listener, Stream, Tuning};
use piecemeal::reactor::{Handler, Reactor, Readiness, Token, Visit};

/// Connections accepted, or blocks moved, in one visit; then it is another's turn.
const BUDGET: usize = 16;

enum Entry {
    Listener(Listener),
    /// A stream, and what was read from it and not yet sent back.
    Connection(Stream, Vec<u8>),
}

fn accept(reactor: &mut Reactor<Entry>, listener: &Listener, ready: &mut Readiness) -> Visit {
    for _ in 0..BUDGET {
        match listener.accept() {
            // One that can't be registered is dropped, which closes it.
            Accepted::Connection(stream, _) => {
                drop(reactor.insert(stream, |stream| Entry::Connection(stream, Vec::new())));
            }
            Accepted::Gone(_) => {}
            Accepted::Nobody => {
                ready.readable = false;
                return Visit::Wait(None);
            }
            // Those who wait make no new event, so the bit stays, and a deadline brings us back.
            Accepted::NoRoom(_) => {
                return Visit::Wait(Some(reactor.now() + Duration::from_millis(500)));
            }
        }
    }
    Visit::Again(None)
}

fn echo(stream: &mut Stream, unsent: &mut Vec<u8>, ready: &mut Readiness) -> Visit {
    let mut block = [0; 16 << 10];
    for _ in 0..BUDGET {
        // All of it goes back before more is read. So we keep one block at most of a client that
        // sends and never reads, and an end of stream comes when it has everything back.
        let sending = !unsent.is_empty();
        let (bit, moved) = match sending {
            true if ready.writable => (&mut ready.writable, stream.write(unsent)),
            false if ready.readable => (&mut ready.readable, stream.read(&mut block)),
            _ => return Visit::Wait(None),
        };
        match moved {
            Ok(0) => return Visit::Close,
            Ok(sent) if sending => drop(unsent.drain(..sent)),
            Ok(got) => unsent.extend_from_slice(&block[..got]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => *bit = false,
            Err(_) => return Visit::Close,
        }
    }
    Visit::Again(None)
}

struct Echo;

impl Handler<Entry> for Echo {
    fn visit(
        &mut self,
        reactor: &mut Reactor<Entry>,
        _: Token,
        entry: &mut Entry,
        ready: &mut Readiness,
    ) -> Visit {
        match entry {
            Entry::Listener(listener) => accept(reactor, listener, ready),
            Entry::Connection(stream, unsent) => echo(stream, unsent, ready),
        }
    }
    fn woken(&mut self, _: &mut Reactor<Entry>) {}
    fn closed(&mut self, _: &mut Reactor<Entry>, _: Token, _: Entry) {}
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:9000".into());
    let unacknowledged = None;
    let listener = Listener::bind(&address.parse()?, Tuning { unacknowledged })?;
    writeln!(io::stdout(), "listening on {}", listener.address())?;
    let mut reactor = Reactor::new()?;
    reactor.insert(listener, Entry::Listener)?;
    loop {
        reactor.turn(&mut Echo, None)?;
    }
}
