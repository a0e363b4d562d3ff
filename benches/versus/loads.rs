//! The programs that load a server, and what they say of it.

use std::fs;
use std::process::Command;
use std::time::Duration;

use super::measured::Sample;
use super::peers::{CURL, IPERF, REDIS_BENCHMARK, RSYNC, Stores, WRK};
use super::process::{Server, run};
use super::{Bench, printed};

/// No load takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// `piecemeal bench` with these arguments. Its figures go into a sample, with the processor time
/// of the server.
pub(crate) fn piecemeal_bench(
    bench: &Bench,
    server: &Server,
    arguments: &[&str],
) -> Result<Sample, String> {
    let mut command = Command::new(&bench.program);
    command
        .args(["bench", "--json", "--to", &server.address()])
        .args(arguments);
    let before = server.process.cpu_s();
    let ended = run(&mut command, &bench.place.logs, PATIENCE)?;
    let cpu_s = server.process.cpu_s() - before;
    Ok(Sample {
        server_cpu_s: Some(cpu_s),
        ..printed::piecemeal(&ended.said)?
    })
}

/// `wrk` with one thread and PUTs of this size, each under a new name.
pub(crate) fn wrk(
    bench: &Bench,
    nginx: &Stores,
    connections: usize,
    size: usize,
    load: Duration,
) -> Result<Sample, String> {
    let script = bench.place.path().join("put.lua");
    fs::write(&script, WRK_SCRIPT.replace("SIZE", &size.to_string()))
        .map_err(|error| error.to_string())?;
    let mut command = WRK.command()?;
    command
        .args(["-t", "1", "-c", &connections.to_string()])
        // It knows whole seconds only.
        .args(["-d", &format!("{}s", load.as_secs().max(1)), "-s"])
        .arg(script)
        .arg(format!("http://{}/", nginx.server.address()));
    let before = nginx.server.process.cpu_s();
    let ended = run(&mut command, &bench.place.logs, PATIENCE)?;
    let cpu_s = nginx.server.process.cpu_s() - before;
    let sample = printed::wrk(&ended.said, size as f64)?;
    Ok(Sample {
        server_cpu_s: Some(cpu_s),
        ..sample
    })
}

/// The message is made whole before it is sent: `wrk.format` would cost as much as the request.
const WRK_SCRIPT: &str = r#"
local body = string.rep("x", SIZE)
local n = 0
function request()
  n = n + 1
  return "PUT /" .. n .. " HTTP/1.1\r\nHost: localhost\r\nContent-Length: SIZE\r\n\r\n" .. body
end
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("\nversus %d %d %d %f %f %f\n", summary.requests, summary.duration,
    e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(99), latency.max))
end
"#;

/// `redis-benchmark` with PINGs over 64 connections.
pub(crate) fn redis_benchmark(
    bench: &Bench,
    redis: &Server,
    pipeline: u32,
    count: u32,
) -> Result<Sample, String> {
    let mut command = REDIS_BENCHMARK.command()?;
    command
        .args([
            "-p",
            &redis.port.to_string(),
            "-c",
            "64",
            "-t",
            "ping_mbulk",
        ])
        .args(["-P", &pipeline.to_string(), "-n", &count.to_string()])
        .arg("--csv");
    let before = redis.process.cpu_s();
    let ended = run(&mut command, &bench.place.logs, PATIENCE)?;
    let cpu_s = redis.process.cpu_s() - before;
    Ok(Sample {
        count: f64::from(count),
        server_cpu_s: Some(cpu_s),
        ..printed::redis(&ended.said)?
    })
}

/// `iperf3` sends so many bytes over so many streams.
pub(crate) fn iperf(
    bench: &Bench,
    server: &Server,
    streams: u32,
    bytes: u64,
) -> Result<Sample, String> {
    let mut command = IPERF.command()?;
    command
        .args(["-c", "127.0.0.1", "-p", &server.port.to_string(), "-J"])
        .args(["-n", &bytes.to_string(), "-P", &streams.to_string()]);
    let before = server.process.cpu_s();
    let ended = run(&mut command, &bench.place.logs, PATIENCE)?;
    let cpu_s = server.process.cpu_s() - before;
    Ok(Sample {
        server_cpu_s: Some(cpu_s),
        ..printed::iperf(&ended.said)?
    })
}

/// `curl -T` of the bench's file to a URL. Its own time counts, so its start doesn't.
pub(crate) fn curl(bench: &Bench, server: &Server, url: &str) -> Result<Sample, String> {
    let mut command = CURL.command()?;
    command
        .args(["-sS", "--fail", "-o", "/dev/null"])
        .args(["-w", "\nversus %{time_total}\n"])
        // It would wait for leave to send.
        .args(["-H", "Expect:", "-T"])
        .arg(&bench.source.path)
        .arg(url);
    let before = server.process.cpu_s();
    let ended = run(&mut command, &bench.place.logs, PATIENCE)?;
    let cpu_s = server.process.cpu_s() - before;
    let mut lines = ended.said.lines();
    let time = lines.find_map(|line| line.strip_prefix("versus ")?.parse::<f64>().ok());
    let time = time.ok_or("curl printed no time")?;
    Ok(bulk(bench.source.size, time, cpu_s))
}

/// A program that sends the bench's file: `rsync`, `piecemeal send`. Its start counts.
pub(crate) fn sending(
    bench: &Bench,
    server: &Server,
    command: &mut Command,
) -> Result<Sample, String> {
    let before = server.process.cpu_s();
    let ended = run(command, &bench.place.logs, PATIENCE)?;
    let cpu_s = server.process.cpu_s() - before;
    Ok(bulk(bench.source.size, ended.took.as_secs_f64(), cpu_s))
}

pub(crate) fn rsync(bench: &Bench, port: u16) -> Result<Command, String> {
    let mut command = RSYNC.command()?;
    command
        .arg("--whole-file")
        .arg(&bench.source.path)
        .arg(format!("rsync://127.0.0.1:{port}/files/"));
    Ok(command)
}

/// The sample of one large body.
pub(crate) fn bulk(bytes: u64, seconds: f64, cpu_s: f64) -> Sample {
    Sample {
        figure: bytes as f64 / seconds / 1e9,
        bytes: bytes as f64,
        count: 1.0,
        server_cpu_s: Some(cpu_s),
        ..Sample::default()
    }
}
