//! Texts, which cost nothing but the loop, and connections that only wait.

use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use super::{Contender, Row, contender};
use crate::measured::{Sample, Target, Unit};
use crate::peers::{self, Stores};
use crate::process::Server;
use crate::{Bench, loads, raw};

/// So long a server may take until it has all idle connections.
const PATIENCE: Duration = Duration::from_secs(20);
const AT_ONCE: usize = 100;
/// A connection that says nothing is kept.
const PATIENT: [&str; 6] = [
    "--durability",
    "none",
    "--header-timeout",
    "0",
    "--idle-timeout",
    "0",
];

pub(super) fn texts() -> Row {
    Row {
        key: "texts",
        title: "text round trips, 64 connections".to_owned(),
        unit: Unit::EachPerSecond("round trips"),
        contenders: vec![
            say("piecemeal", 1),
            ping("redis", 1),
            say("piecemeal, pipeline 16", 16),
            ping("redis, pipeline 16", 16),
        ],
        targets: vec![
            Target::AtLeast(1.0, "piecemeal", "redis"),
            Target::AtLeast(1.0, "piecemeal, pipeline 16", "redis, pipeline 16"),
        ],
        limit: None,
        note: "piecemeal runs with --strings message --quiet, and is sent four letters, which it \
               sends back behind its greeting; redis answers PING.",
        touched: 0,
    }
}

fn say(name: &'static str, pipeline: u32) -> Contender {
    contender(name, "piecemeal bench --say", move |bench| {
        let arguments = ["--durability", "none", "--strings", "message"];
        let server = peers::piecemeal(bench, &arguments)?.server;
        let count = bench.scale.texts(pipeline).to_string();
        let pipeline = pipeline.to_string();
        let arguments = ["--say", "--size", "4", "--pipeline", &pipeline];
        let arguments = [&arguments[..], &["--files", &count]].concat();
        let sample = loads::piecemeal_bench(bench, &server, &arguments)?;
        // They go both ways and aren't stored, so time a GiB would compare nothing.
        Ok(Sample {
            bytes: 0.0,
            ..sample
        })
    })
}

fn ping(name: &'static str, pipeline: u32) -> Contender {
    contender(name, "redis-benchmark, PING", move |bench| {
        let redis = peers::redis(bench)?;
        loads::redis_benchmark(bench, &redis, pipeline, bench.scale.texts(pipeline))
    })
}

pub(super) fn beside_idle() -> Row {
    let work = |bench: &Bench, idle: usize| {
        let server = peers::piecemeal(bench, &PATIENT)?.server;
        let _held = hold(&server, idle)?;
        let load = format!("{}ms", bench.scale.load.as_millis());
        let arguments = ["--size", "4KiB", "--duration", &load];
        loads::piecemeal_bench(bench, &server, &arguments)
    };
    Row {
        key: "idle",
        title: "64 active clients beside 9,000 idle ones".to_owned(),
        unit: Unit::EachPerSecond("files"),
        contenders: vec![
            contender("piecemeal", "piecemeal bench, 4 KiB", move |bench| {
                work(bench, bench.scale.idle)
            }),
            contender("without them", "piecemeal bench, 4 KiB", move |bench| {
                work(bench, 0)
            }),
        ],
        targets: vec![Target::AtLeast(0.95, "piecemeal", "without them")],
        limit: None,
        note: "No durability, pipeline 1.",
        touched: 0,
    }
}

pub(super) fn memory() -> Row {
    let idle = "9,000 connections that say nothing";
    Row {
        key: "memory",
        title: "user memory of an idle connection".to_owned(),
        unit: Unit::Bytes,
        contenders: vec![
            contender("piecemeal", idle, |bench| {
                grown(bench, &peers::piecemeal(bench, &PATIENT)?.server)
            }),
            contender("nginx", idle, |bench| {
                let Stores { server, .. } = peers::nginx(bench, peers::TUNED)?;
                grown(bench, &server)
            }),
            contender("redis", idle, |bench| grown(bench, &peers::redis(bench)?)),
            contender("threads", idle, |bench| {
                grown(bench, &peers::threads(bench)?.server)
            }),
        ],
        targets: vec![Target::AtMost(512.0, "piecemeal")],
        limit: None,
        note: "What the server's anonymous resident memory grows by, divided by the connections. \
               The kernel's own for sockets and threads comes on top. nginx has set its places \
               aside beforehand, and touches them as they are used.",
        touched: 0,
    }
}

fn grown(bench: &Bench, server: &Server) -> Result<Sample, String> {
    // The first connection has it make what all later ones share.
    let _first = hold(server, 1)?;
    let before = server.process.memory();
    let count = bench.scale.idle;
    let _held = hold(server, count)?;
    Ok(Sample {
        figure: (server.process.memory() - before) / count as f64,
        ..Sample::default()
    })
}

/// Makes idle connections, and waits until the server has them: some at a time, since a server's
/// queue of those to be accepted may be short, and whoever finds it full tries again a second later.
fn hold(server: &Server, count: usize) -> Result<Vec<TcpStream>, String> {
    let before = server.process.descriptors();
    let mut held = Vec::with_capacity(count);
    let start = Instant::now();
    while held.len() < count {
        let some = AT_ONCE.min(count - held.len());
        held.extend(raw::idle(server.port, some)?);
        while server.process.descriptors().saturating_sub(before) < held.len() {
            if start.elapsed() > PATIENCE {
                return Err(format!("it didn't take {} connections", held.len()));
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
    // The last ones are still being made room for.
    thread::sleep(Duration::from_millis(50));
    Ok(held)
}
