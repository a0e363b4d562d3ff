//! What the tests of the whole program share: the real binary, real sockets, and no clocks.
//!
//! Nothing here waits for a time. A test waits for a line, a reply or the end of a stream, and
//! [`GUARD`] only keeps one that waits in vain from hanging.

#![allow(dead_code, unused_imports, reason = "each test file uses its own part")]

mod bench;
mod client;
mod crowd;
mod fake;
mod lines;
mod messages;
mod proxy;
mod server;
mod tools;
mod watching;

use std::time::Duration;

pub(crate) use bench::{NUMBERS, bench, errors, figures, number};
pub(crate) use client::{Client, Reply};
pub(crate) use crowd::{Crowd, Told};
pub(crate) use fake::{Fake, Peer};
pub(crate) use lines::Lines;
pub(crate) use messages::{data, data_eof, data_header, digest, end, put, string};
pub(crate) use proxy::{Cut, Proxy};
pub(crate) use server::{Server, Starter};
pub(crate) use tools::{
    ClosedPort, OnDrop, Ran, can_trace, command, piecemeal, piecemeal_with_input, signal, skipped,
};
pub(crate) use watching::{comes_true, wait_until};

/// The program.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_piecemeal");

/// After so long, what a test waits for is taken to never come. No test that passes waits so
/// long, however busy the machine is.
pub(crate) const GUARD: Duration = Duration::from_secs(60);
