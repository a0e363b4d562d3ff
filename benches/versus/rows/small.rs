//! Many small files: kept connections, new connections, and with syncs.

use std::fs;
use std::time::Duration;

use super::{Contender, Row, contender};
use crate::bare::{Sync, make_files};
use crate::measured::{Sample, Target, Unit};
use crate::peers::{self, Stores};
use crate::{Bench, loads};

const SIZE: usize = 4 << 10;
const TINY: usize = 1 << 10;
/// As many as there are connections.
const GROUP: usize = 64;
const CURVE: [usize; 4] = [1, 8, 64, 256];

const NONE: [&str; 2] = ["--durability", "none"];
const WRK: &str = "wrk -t 1 -c 64, PUT";
const FILES: Unit = Unit::EachPerSecond("files");

pub(super) fn kept_connections() -> Row {
    Row {
        key: "small",
        title: "4 KiB files, 64 kept connections, no durability".to_owned(),
        unit: FILES,
        contenders: vec![
            contender("piecemeal", "piecemeal bench, pipeline 16", |bench| {
                let server = peers::piecemeal(bench, &NONE)?;
                files(bench, &server, &["--size", "4KiB", "--pipeline", "16"])
            }),
            contender("piecemeal, pipeline 1", "piecemeal bench", |bench| {
                let server = peers::piecemeal(bench, &NONE)?;
                files(bench, &server, &["--size", "4KiB"])
            }),
            contender("nginx", WRK, |bench| {
                let nginx = peers::nginx(bench, peers::TUNED)?;
                let load = bench.scale.load;
                counted(&nginx, loads::wrk(bench, &nginx, 64, SIZE, load)?)
            }),
            contender("threads", "piecemeal bench, pipeline 16", |bench| {
                let server = peers::threads(bench)?;
                files(bench, &server, &["--size", "4KiB", "--pipeline", "16"])
            }),
            contender(
                "bare loop",
                "one thread: open, write, link, close",
                |bench| make_files(&bench.place.fresh()?, SIZE, bench.scale.load, Sync::Nothing),
            ),
        ],
        targets: vec![
            Target::AtLeast(2.0, "piecemeal", "nginx"),
            Target::AtLeast(0.7, "piecemeal", "bare loop"),
        ],
        limit: Some(("bare loop", "piecemeal")),
        note: "For the same time each, so whoever is faster fills a larger folder. wrk doesn't \
               pipeline; piecemeal without pipelining is there to compare.",
        touched: 0,
    }
}

pub(super) fn durable() -> Row {
    Row {
        key: "durable",
        title: "4 KiB files, full durability, 64 connections".to_owned(),
        unit: FILES,
        contenders: vec![
            contender("piecemeal", "piecemeal bench", |bench| {
                let server = peers::piecemeal(bench, &[])?;
                files(bench, &server, &["--size", "4KiB"])
            }),
            contender(
                "fsync each in turn",
                "one thread: open, write, fsync, link, fsync of the folder, close",
                |bench| make_files(&bench.place.fresh()?, SIZE, bench.scale.load, Sync::Each),
            ),
            contender(
                "groups of 64",
                "one thread: 64 files, one syncfs before their links and one behind",
                |bench| {
                    let sync = Sync::Together(GROUP);
                    make_files(&bench.place.fresh()?, SIZE, bench.scale.load, sync)
                },
            ),
        ],
        targets: vec![Target::AtLeast(4.0, "piecemeal", "fsync each in turn")],
        limit: Some(("groups of 64", "piecemeal")),
        note: "Without a journal piecemeal syncs each file once more, behind its link, which the \
               first loop doesn't.",
        touched: 0,
    }
}

/// All of them are this machine.
const HOSTS: [&str; 4] = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"];

pub(super) fn connection_a_file() -> Row {
    let arguments = ["--size", "1KiB", "--reconnect"];
    Row {
        key: "reconnect",
        title: "a connection a file, 1 KiB, 64 at a time".to_owned(),
        unit: FILES,
        contenders: vec![
            contender("piecemeal", "piecemeal bench --reconnect", move |bench| {
                let server = peers::piecemeal_at(bench, &HOSTS, &NONE)?;
                let others = peers::at_port(&HOSTS[1..], server.server.port);
                files(
                    bench,
                    &server,
                    &[&arguments[..], &["--to", &others]].concat(),
                )
            }),
            contender(
                "nginx",
                "wrk -t 1 -c 64, PUT, keepalive_timeout 0",
                |bench| {
                    let nginx = peers::nginx(bench, peers::CLOSING)?;
                    let load = bench.scale.load;
                    counted(&nginx, loads::wrk(bench, &nginx, 64, TINY, load)?)
                },
            ),
            contender("threads", "piecemeal bench --reconnect", move |bench| {
                let server = peers::threads(bench)?;
                files(bench, &server, &arguments)
            }),
        ],
        targets: vec![Target::AtLeast(1.5, "piecemeal", "nginx")],
        limit: None,
        note: "No durability. A connection is made, brings one file, and is closed. The side that \
               closes keeps the port for a minute: nginx does it itself; a client of piecemeal \
               would run out of ports at some 14,000 a second, so the server has four addresses. \
               threads has one.",
        touched: 0,
    }
}

/// Files a second by connections, for the chart.
pub(super) fn curve() -> Row {
    let contenders = CURVE.into_iter().flat_map(|connections| {
        let count = connections.to_string();
        let arguments = move |bench: &Bench, stores: &Stores| {
            let load = bench.scale.load;
            let options = ["--size", "4KiB", "--connections", &count];
            files_for(bench, stores, &options, load)
        };
        let for_threads = arguments.clone();
        [
            point("piecemeal", "piecemeal bench", connections, move |bench| {
                arguments(bench, &peers::piecemeal(bench, &NONE)?)
            }),
            point("nginx", "wrk -t 1, PUT", connections, move |bench| {
                let nginx = peers::nginx(bench, peers::TUNED)?;
                let load = bench.scale.load;
                counted(&nginx, loads::wrk(bench, &nginx, connections, SIZE, load)?)
            }),
            point("threads", "piecemeal bench", connections, move |bench| {
                for_threads(bench, &peers::threads(bench)?)
            }),
        ]
    });
    Row {
        key: "curve",
        title: "4 KiB files, by connections, no durability".to_owned(),
        unit: FILES,
        contenders: contenders.collect(),
        targets: Vec::new(),
        limit: None,
        note: "Kept connections; each sends a file when it has the receipt of the one before.",
        touched: 0,
    }
}

fn point(
    series: &'static str,
    driver: &'static str,
    connections: usize,
    turn: impl Fn(&Bench) -> Result<Sample, String> + 'static,
) -> Contender {
    let name = format!("{series}, {connections}");
    Contender {
        point: Some((series, connections as f64)),
        ..contender(name, driver, turn)
    }
}

fn files(bench: &Bench, stores: &Stores, arguments: &[&str]) -> Result<Sample, String> {
    files_for(bench, stores, arguments, bench.scale.load)
}

fn files_for(
    bench: &Bench,
    stores: &Stores,
    arguments: &[&str],
    load: Duration,
) -> Result<Sample, String> {
    let duration = format!("{}ms", load.as_millis());
    let arguments = [arguments, &["--duration", &duration]].concat();
    counted(
        stores,
        loads::piecemeal_bench(bench, &stores.server, &arguments)?,
    )
}

/// A server that only says it has stored a file would be the fastest.
fn counted(stores: &Stores, sample: Sample) -> Result<Sample, String> {
    let stored = fs::read_dir(&stores.folder).map_or(0, Iterator::count);
    // More may be there, of requests that were under way at the end.
    if (stored as f64) < sample.count {
        return Err(format!("{stored} of {} files are there", sample.count));
    }
    Ok(sample)
}
