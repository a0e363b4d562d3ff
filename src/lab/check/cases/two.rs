//! Task 2: the same for many at once.

use super::super::bench::Bench;
use super::super::case::{Case, always};
use super::super::verdict::Outcome;
use super::{one, resting};

/// Connections that are open at once.
const CROWD: usize = 100;

/// In the order in which they are run.
pub(super) const CASES: &[Case] = &[
    Case {
        id: "2.1",
        title: "a connection is accepted, and ended by the server without a byte",
        why: "the sheet's server prints the address, closes the socket and sends nothing",
        mistake: "the socket is never closed, or the thread waits for the client to speak",
        asked: always,
        run: one::ends_at_once,
    },
    Case {
        id: "2.2",
        title: "a second connection is served like the first",
        why: "a server runs until somebody ends it",
        mistake: "bound to the port again on each connection, or the loop around accept is missing",
        asked: always,
        run: one::two_in_a_row,
    },
    Case {
        id: "2.3",
        title: "fifty connections in a row are served",
        why: "what is opened for a connection must be closed with it",
        mistake: "threads or sockets are kept for ever",
        asked: always,
        run: one::fifty_in_a_row,
    },
    Case {
        id: "2.4",
        title: "a client that stands still keeps nobody waiting",
        why: "that is what the threads are for",
        mistake: "a second client waits for the first: the thread is joined where it was started, or its function is called instead of handed over",
        asked: always,
        run: one::two_at_once,
    },
    Case {
        id: "2.5",
        title: "a hundred clients at once are all served",
        why: "many is more than two: a queue of one or a handful of workers is soon full",
        mistake: "listen with a tiny backlog while accept is busy, or workers that never come back",
        asked: always,
        run: crowd,
    },
    Case {
        id: "2.6",
        title: "a client that goes at once is forgotten, and the next is served",
        why: "the server's close, or its question for the address, can find the client gone",
        mistake: "an exception of one connection ends the loop around accept",
        asked: always,
        run: one::goes_at_once,
    },
    Case {
        id: "2.7",
        title: "a client that resets its connection is forgotten, and the next is served",
        why: "programs die and cables are pulled; calls on the socket then raise an exception",
        mistake: "ConnectionResetError ends the loop around accept",
        asked: always,
        run: one::resets,
    },
    Case {
        id: "2.8",
        title: "a client that speaks gets no answer, and the next is served",
        why: "the server does nothing with received data and sends nothing back",
        mistake: "a reply sent where none is due, or an exception because of bytes that nobody reads",
        asked: always,
        run: one::speaks,
    },
    Case {
        id: "2.9",
        title: "a server whose clients have all gone takes no processor time",
        why: "waiting is free; a thread that asks again and again is not, and here there may be many",
        mistake: "a loop without a call that waits, or recv on a stream that has ended",
        asked: always,
        run: resting::after_bare_connections,
    },
];

fn crowd(bench: &mut Bench) -> Outcome {
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        crowd.push(bench.connect()?);
    }
    // The last one first: it must not depend on those before it.
    while let Some(mut probe) = crowd.pop() {
        let state = format!("{} other connections are open", crowd.len());
        probe
            .expect_end(0)
            .map_err(|verdict| verdict.state(state))?;
    }
    Ok(())
}
