//! An echo server on the bare reactor: `cargo run --example echo -- 127.0.0.1:9000`
//!
//! The reactor says whose turn it is; this file says what a turn does: go on until `WouldBlock`,
//! stop when the budget is spent, and let no connection's error reach the others.

use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

use piecemeal::net::{Accepted, Listener, Stream, Tuning};
use piecemeal::reactor::{Handler, Reactor, Readiness, Token, Visit};

/// Connections accepted, or blocks moved, in one visit; then it is another's turn.
const BUDGET: usize = 16;

type Loop = Reactor<Entry>;
enum Entry {
    Listener(Listener),
    /// A stream, and what was read from it and not yet sent back.
    Connection(Stream, Vec<u8>),
}

fn accept(at: &mut Loop, listener: &Listener, ready: &mut Readiness) -> Visit {
    for _ in 0..BUDGET {
        match listener.accept() {
            Accepted::Nobody => {
                ready.readable = false;
                return Visit::Wait(None);
            }
            // One that can't be registered is dropped, which closes it.
            Accepted::Connection(it, _) => drop(at.insert(it, |it| Entry::Connection(it, vec![]))),
            Accepted::Gone(_) => {}
            // Those who wait for a descriptor make no new event, so a deadline brings us back.
            Accepted::NoRoom(_) => return Visit::Wait(Some(at.now() + Duration::from_millis(500))),
        }
    }
    Visit::Again(None)
}

fn echo(stream: &mut Stream, unsent: &mut Vec<u8>, ready: &mut Readiness) -> Visit {
    let mut block = [0; 16 << 10];
    for _ in 0..BUDGET {
        // All of it goes back before more is read, so one block at most is kept of a client.
        let sending = !unsent.is_empty();
        let (bit, moved) = match sending {
            true if ready.writable => (&mut ready.writable, stream.write(unsent)),
            false if ready.readable => (&mut ready.readable, stream.read(&mut block)),
            _ => return Visit::Wait(None),
        };
        match moved {
            Err(error) if error.kind() == ErrorKind::WouldBlock => *bit = false,
            Ok(0) | Err(_) => return Visit::Close,
            Ok(sent) if sending => drop(unsent.drain(..sent)),
            Ok(got) => unsent.extend_from_slice(&block[..got]),
        }
    }
    Visit::Again(None)
}

struct Echo;

impl Handler<Entry> for Echo {
    fn visit(&mut self, at: &mut Loop, _: Token, it: &mut Entry, bits: &mut Readiness) -> Visit {
        match it {
            Entry::Listener(listener) => accept(at, listener, bits),
            Entry::Connection(stream, unsent) => echo(stream, unsent, bits),
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:9000".into());
    let listener = Listener::bind(&address.parse()?, Tuning::default())?;
    writeln!(io::stdout(), "listening on {}", listener.address())?;
    let mut reactor = Reactor::new()?;
    reactor.insert(listener, Entry::Listener)?;
    loop {
        reactor.turn(&mut Echo, None)?;
    }
}
