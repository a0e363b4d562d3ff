//! What memory the server needs: for each of 9,900 connections that stand idle at its default
//! limits, and for one file that is larger than any memory should be.
//!
//! The server is the real program in a process of its own, so that the figures are its own. They
//! are printed and not judged; that uploads end well is.

mod common;

use std::fmt::Display;
use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use piecemeal::proto::announce::Put;
use piecemeal::proto::reply::Answer;
use piecemeal::proto::{Kind, header};
use piecemeal::server::raise_descriptor_limit;

use common::Server;

/// Just below what a server takes where a process may have 20,000 descriptors: two for each.
const IDLE: usize = 9_900;
/// Bytes of the large file, in GiB, where the environment doesn't say.
const LARGE_GIB: u64 = 5;
/// Room that is left on the disk besides a large file.
const SPARE_GIB: u64 = 7;
const BLOCK: usize = 1 << 20;

fn main() -> io::Result<()> {
    // `cargo test --benches` starts it too, without this argument.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    raise_descriptor_limit();
    idle_connections()?;
    large_file()
}

fn idle_connections() -> io::Result<()> {
    let server = start(&[])?;
    // The first upload has it make what all later ones share.
    store_one(&server, "warm-up.txt")?;
    let (before, anonymous_before) = (server.figure("VmRSS"), server.figure("RssAnon"));
    let mut connections = Vec::new();
    for _ in 0..IDLE {
        match TcpStream::connect(&server.address) {
            Ok(connection) => connections.push(connection),
            Err(error) => {
                say(format_args!(
                    "idle: only {} connections, {error}",
                    connections.len()
                ));
                break;
            }
        }
    }
    let count = connections.len();
    let per_connection = |what: &str| {
        let (now, anonymous) = (server.figure("VmRSS"), server.figure("RssAnon"));
        let each = |now: u64, before: u64| 1024 * now.saturating_sub(before) / count.max(1) as u64;
        say(format_args!(
            "idle, {what}: {count} connections, VmRSS {now} KiB, {} bytes each; RssAnon {anonymous} KiB, {} bytes each",
            each(now, before),
            each(anonymous, anonymous_before),
        ));
    };
    // Each connection is served once the last one is.
    store_one(&server, "after-connecting.txt")?;
    per_connection("just connected");
    // An END that ends nothing: it costs no file, and its answer makes the connection wait for a
    // next message, which it may do for minutes.
    let mut end = Vec::new();
    header::write(Kind::End, 0, &mut end);
    for connection in &mut connections {
        connection.write_all(&end)?;
    }
    for connection in &mut connections {
        assert!(matches!(read_answer(connection)?, Answer::Refused(_)));
    }
    per_connection("each after a message");
    let start = Instant::now();
    store_one(&server, "among-idle.txt")?;
    say(format_args!(
        "idle: a new upload among them took {:?}",
        start.elapsed()
    ));
    Ok(())
}

fn large_file() -> io::Result<()> {
    let asked = std::env::var("PIECEMEAL_BENCH_GIB").ok();
    let gib = asked.map_or(LARGE_GIB, |gib| gib.parse().expect("a number of GiB"));
    let server = start(&["--durability", "none"])?;
    let disk = rustix::fs::statvfs(server.folder.path())?;
    if disk.f_bavail * disk.f_frsize < (gib + SPARE_GIB) << 30 {
        say(format_args!(
            "large file: skipped, {} GiB are not free",
            gib + SPARE_GIB
        ));
        return Ok(());
    }
    let size = gib << 30;
    let before = server.figure("VmHWM");
    let mut connection = TcpStream::connect(&server.address)?;
    announce(&mut connection, "large.bin", size)?;
    // The widest length there is, so that the whole file is one message.
    let widest = Kind::data_for(u64::MAX);
    let mut bytes = Vec::new();
    header::write(widest, size, &mut bytes);
    let start = Instant::now();
    connection.write_all(&bytes)?;
    let mut block = vec![0; BLOCK];
    let mut state = 1u32;
    block.fill_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    });
    for _ in 0..size / BLOCK as u64 {
        connection.write_all(&block)?;
    }
    expect_receipt(&mut connection, "large.bin", size)?;
    let time = start.elapsed();
    let stored = fs::metadata(server.folder.path().join("large.bin"))?.len();
    assert_eq!(stored, size, "the file has the size that was sent");
    let rate = size as f64 / time.as_secs_f64() / 1e6;
    say(format_args!(
        "large file: {gib} GiB in {:.1} s, {rate:.0} MB/s, server CPU {:.2} s; peak VmHWM {} KiB, {before} KiB before",
        time.as_secs_f64(),
        server.cpu().as_secs_f64(),
        server.figure("VmHWM"),
    ));
    Ok(())
}

fn start(arguments: &[&str]) -> io::Result<Server> {
    let arguments = [&["serve", "--quiet"], arguments].concat();
    let within = Path::new(env!("CARGO_TARGET_TMPDIR"));
    Server::start(&arguments, within, Stdio::null())
}

/// Stores a few bytes over a new connection.
fn store_one(server: &Server, name: &str) -> io::Result<()> {
    let mut connection = TcpStream::connect(&server.address)?;
    let body = b"a few bytes";
    let size = body.len() as u64;
    announce(&mut connection, name, size)?;
    let mut bytes = Vec::new();
    header::write(Kind::data_for(size), size, &mut bytes);
    bytes.extend_from_slice(body);
    connection.write_all(&bytes)?;
    expect_receipt(&mut connection, name, size)
}

/// Sends a PUT, and waits until the server agrees.
fn announce(connection: &mut TcpStream, name: &str, size: u64) -> io::Result<()> {
    let put = Put {
        name: name.to_owned(),
        size: Some(size),
        ..Put::default()
    };
    let text = put.to_string();
    let mut bytes = Vec::new();
    header::write(Kind::Put, text.len() as u64, &mut bytes);
    bytes.extend_from_slice(text.as_bytes());
    connection.write_all(&bytes)?;
    match read_answer(connection)? {
        Answer::Ok {
            offset: Some(0), ..
        } => Ok(()),
        other => panic!("the server answers a PUT with {other:?}"),
    }
}

fn expect_receipt(connection: &mut TcpStream, name: &str, size: u64) -> io::Result<()> {
    match read_answer(connection)? {
        Answer::Ok {
            receipt: Some(receipt),
            ..
        } if receipt.name == name && receipt.size == size => Ok(()),
        other => panic!("no receipt for {size} bytes of {name}: {other:?}"),
    }
}

fn read_answer(connection: &mut TcpStream) -> io::Result<Answer> {
    // A server that doesn't answer ends the bench, instead of hanging it.
    connection.set_read_timeout(Some(Duration::from_secs(120)))?;
    let mut head = [0; 3];
    connection.read_exact(&mut head)?;
    assert_eq!(head[0], Kind::String.to_byte(), "replies are strings");
    let mut text = vec![0; usize::from(u16::from_le_bytes([head[1], head[2]]))];
    connection.read_exact(&mut text)?;
    Ok(Answer::parse(
        str::from_utf8(&text).expect("replies are text"),
    ))
}

fn say(line: impl Display) {
    // A reader that has gone away is no reason to fail.
    let _ = writeln!(io::stdout(), "memory/{line}");
}
