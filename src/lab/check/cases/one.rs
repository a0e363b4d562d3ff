//! Task 1: whoever connects is printed, and the connection ends.

use super::super::bench::Bench;
use super::super::case::{Case, always};
use super::super::message::Message;
use super::super::probe::Ending;
use super::super::verdict::Outcome;
use super::resting;

const WAITS: &str = "a second client waits for the first: the server waits for each to close, its thread is joined where it was started, or the thread's function is called instead of handed over";

/// In the order in which they are run.
pub(super) const CASES: &[Case] = &[
    Case {
        id: "1.1",
        title: "a connection is accepted, and ended by the server without a byte",
        why: "the sheet's server prints the address, closes the socket and sends nothing",
        mistake: "the socket is never closed, or the server waits for the client to speak",
        asked: always,
        run: ends_at_once,
    },
    Case {
        id: "1.2",
        title: "a second connection is served like the first",
        why: "a server runs until somebody ends it",
        mistake: "bound to the port again on each connection, or the loop around accept is missing",
        asked: always,
        run: two_in_a_row,
    },
    Case {
        id: "1.3",
        title: "fifty connections in a row are served",
        why: "what is opened for a connection must be closed with it",
        mistake: "something is kept of each connection, or accept is called once too few",
        asked: always,
        run: fifty_in_a_row,
    },
    Case {
        id: "1.4",
        title: "two connections that are open at once both end",
        why: "the second client may come before the first one has gone",
        mistake: "a second client waits for the first: the server waits for each to close",
        asked: always,
        run: two_at_once,
    },
    Case {
        id: "1.5",
        title: "a client that goes at once is forgotten, and the next is served",
        why: "the server's close, or its question for the address, can find the client gone",
        mistake: "an exception of one connection ends the loop around accept",
        asked: always,
        run: goes_at_once,
    },
    Case {
        id: "1.6",
        title: "a client that resets its connection is forgotten, and the next is served",
        why: "programs die and cables are pulled; calls on the socket then raise an exception",
        mistake: "ConnectionResetError ends the loop around accept",
        asked: always,
        run: resets,
    },
    Case {
        id: "1.7",
        title: "a client that speaks gets no answer, and the next is served",
        why: "the server does nothing with received data and sends nothing back",
        mistake: "a reply sent where none is due, or an exception because of bytes that nobody reads",
        asked: always,
        run: speaks,
    },
    Case {
        id: "1.8",
        title: "a server whose clients have all gone takes no processor time",
        why: "waiting is free; a loop that asks again and again is not",
        mistake: "a loop without a call that waits, or recv on a stream that has ended",
        asked: always,
        run: resting::after_bare_connections,
    },
];

/// One connection: nothing is sent, nothing comes but the end.
pub(super) fn ends_at_once(bench: &mut Bench) -> Outcome {
    let mut probe = bench.connect()?;
    let state = "accept has returned: the address is printed, and the socket closed";
    let mistake = "the connection is not closed until the client speaks or goes: close the socket once the address is printed";
    match probe.expect_end(0) {
        Err(verdict) if probe.read_until(std::time::Duration::ZERO, |_| true) == Ending::Open => {
            Err(verdict.state(state).mistake(mistake))
        }
        outcome => outcome.map_err(|verdict| verdict.state(state)),
    }
}

pub(super) fn two_in_a_row(bench: &mut Bench) -> Outcome {
    ends_at_once(bench)?;
    ends_at_once(bench)
}

pub(super) fn fifty_in_a_row(bench: &mut Bench) -> Outcome {
    for _ in 0..50 {
        ends_at_once(bench)?;
    }
    Ok(())
}

pub(super) fn two_at_once(bench: &mut Bench) -> Outcome {
    let mut first = bench.connect()?;
    let mut second = bench.connect()?;
    let state = "connection A is open and says nothing; B is no business of A's";
    match second.expect_end(0) {
        Err(verdict) if second.read_until(std::time::Duration::ZERO, |_| true) == Ending::Open => {
            Err(verdict.state(state).mistake(WAITS))
        }
        outcome => outcome.map_err(|verdict| verdict.state(state)),
    }?;
    first.expect_end(0)
}

pub(super) fn goes_at_once(bench: &mut Bench) -> Outcome {
    for _ in 0..5 {
        drop(bench.connect()?);
    }
    bench.expect_still_serving("a client that goes at once")
}

pub(super) fn resets(bench: &mut Bench) -> Outcome {
    for _ in 0..5 {
        bench.connect()?.reset();
    }
    bench.expect_still_serving("a client that resets its connection")
}

pub(super) fn speaks(bench: &mut Bench) -> Outcome {
    let mut probe = bench.connect()?;
    probe.send(&Message::of("text", b"status: Enter was hit\n"));
    // Bytes that nobody reads turn the server's close into a reset, which is what the sheet's own
    // server does. So any end will do.
    let ending = probe.read_to_end();
    if !probe.received().is_empty() {
        probe.expect_end(0)?;
    }
    if ending == Ending::Open {
        return Err(probe.fail_here("connected, and something said", "the end of the connection"));
    }
    bench.expect_still_serving("a client that speaks")
}
