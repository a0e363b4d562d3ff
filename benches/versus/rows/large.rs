//! Large files, and small ones beside them.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{Row, contender};
use crate::measured::{Sample, Target, Unit};
use crate::peers::{self, Stores};
use crate::statistics::percentile;
use crate::{Bench, loads, raw};

const STREAMS: u32 = 16;
/// What a file of 1 GiB needs, and some more for what it is sent and stored with.
const STREAM_MEMORY: u64 = 1200 << 20;
/// A hundred small files a second.
const TICK: Duration = Duration::from_millis(10);
const SMALL: usize = 4 << 10;
/// How long the bulk streams run before the first small file.
const HEAD_START: Duration = Duration::from_millis(200);

const RAW: &str = "the bench's own sender, sendfile";
const NONE: [&str; 2] = ["--durability", "none"];

pub(super) fn one_stream() -> Row {
    Row {
        key: "bulk",
        title: "1 GiB, one stream, page cache".to_owned(),
        unit: Unit::GigabytesPerSecond,
        contenders: vec![
            contender("piecemeal", RAW, |bench| {
                one_upload(bench, &peers::piecemeal(bench, &NONE)?)
            }),
            contender("piecemeal from send", "piecemeal send", |bench| {
                one_sending(bench, &["--connections", "1"])
            }),
            contender("threads", RAW, |bench| {
                one_upload(bench, &peers::threads(bench)?)
            }),
            contender("nginx, larger buffer", RAW, |bench| {
                one_upload(bench, &peers::nginx(bench, peers::TUNED)?)
            }),
            contender("nginx from curl", "curl -T", |bench| {
                let nginx = peers::nginx(bench, peers::STOCK)?;
                let url = format!("http://{}/bulk", nginx.server.address());
                let sample = loads::curl(bench, &nginx.server, &url)?;
                remove_all(&nginx.folder);
                Ok(sample)
            }),
            contender("iperf3", "iperf3 -c", |bench| {
                loads::iperf(bench, &peers::iperf(bench)?, 1, bench.source.size)
            }),
            contender("rsync daemon", "rsync --whole-file", |bench| {
                let (server, folder) = peers::rsync(bench)?;
                let mut command = loads::rsync(bench, server.port)?;
                let sample = loads::sending(bench, &server, &mut command)?;
                remove_all(&folder);
                Ok(sample)
            }),
            contender("vsftpd", "curl -T", |bench| {
                let (server, folder) = peers::vsftpd(bench)?;
                let url = format!("ftp://{}/bulk", server.address());
                let sample = loads::curl(bench, &server, &url)?;
                remove_all(&folder);
                Ok(sample)
            }),
        ],
        targets: vec![
            Target::AtLeast(1.0, "piecemeal", "iperf3"),
            Target::AtLeast(3.0, "piecemeal", "nginx from curl"),
            Target::CpuAtMost(0.55, "piecemeal", "nginx from curl"),
        ],
        limit: Some(("iperf3", "piecemeal")),
        note: "From the first byte to the receipt, of a file that is in memory, into a new file \
               with no sync. iperf3 writes no file; it is the loopback's own rate. nginx is as it comes, and \
               beside it with client_body_buffer_size 256k and the same sender as piecemeal.",
        touched: STREAM_MEMORY,
    }
}

pub(super) fn sixteen_streams() -> Row {
    Row {
        key: "streams",
        title: "16 streams of 256 MiB".to_owned(),
        unit: Unit::GigabytesPerSecond,
        contenders: vec![
            contender("piecemeal", RAW, |bench| {
                many_uploads(bench, &peers::piecemeal(bench, &NONE)?)
            }),
            contender("piecemeal, one stream", RAW, |bench| {
                one_upload(bench, &peers::piecemeal(bench, &NONE)?)
            }),
            contender("threads", RAW, |bench| {
                many_uploads(bench, &peers::threads(bench)?)
            }),
            contender("iperf3, 16 streams", "iperf3 -c -P 16", |bench| {
                let bytes = bench.scale.stream * u64::from(STREAMS);
                loads::iperf(bench, &peers::iperf(bench)?, STREAMS, bytes)
            }),
        ],
        targets: vec![Target::AtLeast(0.9, "piecemeal", "piecemeal, one stream")],
        limit: Some(("iperf3, 16 streams", "piecemeal")),
        note: "In sum, from the first byte of the first to the last receipt. One stream is the \
               1 GiB of the row above, run beside it.",
        touched: 4 * STREAM_MEMORY,
    }
}

pub(super) fn verified() -> Row {
    Row {
        key: "verified",
        title: "the same 1 GiB, verified end to end".to_owned(),
        unit: Unit::GigabytesPerSecond,
        contenders: vec![
            contender("piecemeal", "piecemeal send", |bench| {
                one_sending(bench, &[])
            }),
            contender("unverified", "piecemeal send --no-verify", |bench| {
                one_sending(bench, &["--no-verify"])
            }),
        ],
        targets: vec![Target::AtLeast(0.7, "piecemeal", "unverified")],
        limit: Some(("unverified", "piecemeal")),
        note: "The whole run of the client, its start included. Both sides take the digest of \
               what they read from their disks, and the receipt has the server's.",
        touched: STREAM_MEMORY,
    }
}

pub(super) fn beside_bulk() -> Row {
    let by_hand = "the bench's own sender, 100 files a second; bulk by sendfile";
    Row {
        key: "beside",
        title: "4 KiB uploads beside two bulk streams".to_owned(),
        unit: Unit::Milliseconds,
        contenders: vec![
            contender("piecemeal", by_hand, |bench| {
                small_beside_bulk(bench, &peers::piecemeal(bench, &NONE)?, 2)
            }),
            contender("piecemeal, alone", by_hand, |bench| {
                small_beside_bulk(bench, &peers::piecemeal(bench, &NONE)?, 0)
            }),
            contender("piecemeal, durable", by_hand, |bench| {
                small_beside_bulk(bench, &peers::piecemeal(bench, &[])?, 2)
            }),
            contender("nginx", by_hand, |bench| {
                small_beside_bulk(bench, &peers::nginx(bench, peers::TUNED)?, 2)
            }),
            contender("threads", by_hand, |bench| {
                small_beside_bulk(bench, &peers::threads(bench)?, 2)
            }),
        ],
        targets: vec![Target::AtMost(5.0, "piecemeal")],
        limit: None,
        note: "A time begins when a file is due, not when it is sent, so that a delay counts for \
               all whom it delays. The streams send 1 GiB after 1 GiB; no syncs, except where it \
               says durable. Two senders and a server share two processors.",
        touched: 2 * STREAM_MEMORY,
    }
}

fn one_upload(bench: &Bench, stores: &Stores) -> Result<Sample, String> {
    let mut stream = raw::connect(stores.server.port)?;
    let (file, size) = (&bench.source.file, bench.source.size);
    let before = stores.server.process.cpu_s();
    let took = raw::send_file(&mut stream, stores.speech, "bulk", file, size)?;
    let cpu_s = stores.server.process.cpu_s() - before;
    check_size(&stores.folder.join("bulk"), size)?;
    remove_all(&stores.folder);
    Ok(loads::bulk(size, took.as_secs_f64(), cpu_s))
}

/// By `piecemeal send`, with these arguments.
fn one_sending(bench: &Bench, arguments: &[&str]) -> Result<Sample, String> {
    let stores = peers::piecemeal(bench, &NONE)?;
    let mut command = Command::new(&bench.program);
    command
        .args([
            "send",
            "--progress",
            "none",
            "--to",
            &stores.server.address(),
        ])
        .args(arguments)
        .arg(&bench.source.path);
    let sample = loads::sending(bench, &stores.server, &mut command)?;
    remove_all(&stores.folder);
    Ok(sample)
}

fn many_uploads(bench: &Bench, stores: &Stores) -> Result<Sample, String> {
    let size = bench.scale.stream;
    let before = stores.server.process.cpu_s();
    let start = Instant::now();
    thread::scope(|scope| {
        let send = |number: u32| {
            let mut stream = raw::connect(stores.server.port)?;
            let name = format!("bulk-{number}");
            raw::send_file(&mut stream, stores.speech, &name, &bench.source.file, size)
        };
        let threads: Vec<_> = (0..STREAMS)
            .map(|number| scope.spawn(move || send(number)))
            .collect();
        for thread in threads {
            thread.join().expect("a sender doesn't panic")?;
        }
        Ok::<_, String>(())
    })?;
    let took = start.elapsed().as_secs_f64();
    let cpu_s = stores.server.process.cpu_s() - before;
    for number in 0..STREAMS {
        check_size(&stores.folder.join(format!("bulk-{number}")), size)?;
    }
    remove_all(&stores.folder);
    Ok(loads::bulk(size * u64::from(STREAMS), took, cpu_s))
}

/// The bytes and the processor time are those of the bulk streams and the small files together.
fn small_beside_bulk(bench: &Bench, stores: &Stores, streams: u32) -> Result<Sample, String> {
    let (is_over, moved) = (AtomicBool::new(false), AtomicU64::new(0));
    let before = stores.server.process.cpu_s();
    let (speech, port) = (stores.speech, stores.server.port);
    let pour = |stream: u32| {
        let mut connection = raw::connect(port)?;
        let (file, size) = (&bench.source.file, bench.source.size);
        let names = (0..).map(|number| format!("bulk-{stream}-{number}"));
        for name in names.take_while(|_| !is_over.load(Ordering::Relaxed)) {
            raw::send_file(&mut connection, speech, &name, file, size)?;
            moved.fetch_add(size, Ordering::Relaxed);
            // At once, so that the disk isn't asked to keep up with the network.
            let _ = fs::remove_file(stores.folder.join(name));
        }
        Ok::<_, String>(())
    };
    let times = thread::scope(|scope| {
        let pour = &pour;
        let threads: Vec<_> = (0..streams)
            .map(|stream| scope.spawn(move || pour(stream)))
            .collect();
        thread::sleep(HEAD_START);
        let body = [b'x'; SMALL];
        let times = raw::send_steadily(port, speech, &body, TICK, bench.scale.steady);
        is_over.store(true, Ordering::Relaxed);
        for thread in threads {
            thread.join().expect("a sender doesn't panic")?;
        }
        times
    })?;
    let cpu_s = stores.server.process.cpu_s() - before;
    let bytes = moved.into_inner() as f64 + times.len() as f64 * SMALL as f64;
    Ok(Sample {
        figure: percentile(&times, 99) / 1000.0,
        bytes,
        // Most of the time is the bulk's, so it is told by the GiB alone.
        count: 0.0,
        server_cpu_s: Some(cpu_s),
        p50_us: Some(percentile(&times, 50)),
        p99_us: Some(percentile(&times, 99)),
        max_us: times.last().copied(),
    })
}

/// A server that only says it has stored a file would be the fastest.
fn check_size(path: &Path, size: u64) -> Result<(), String> {
    match fs::metadata(path) {
        Ok(file) if file.len() == size => Ok(()),
        Ok(file) => Err(format!("stored {} of {size} bytes", file.len())),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

/// Removes the files of a folder: the disk would fill, and their memory is used again so.
fn remove_all(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let _ = fs::remove_file(entry.path());
    }
}
