//! `piecemeal demo`: the main job in one command, for somebody who has just cloned.
//!
//! A server in a temporary folder, 62 ordinary clients, one that sends a byte at a time and one
//! that dies in the middle; then every stored file is compared with what was sent.

use std::error::Error;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use piecemeal::client::{self, Item, Options, Quiet, Report};
use piecemeal::net::Address;
use piecemeal::server::{Config, Server, Summary};
use piecemeal::store::FolderStore;
use piecemeal::store::folder::Durability;
use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::{Exit, print, tell};

/// Files that the ordinary clients send; one more comes a byte at a time.
const FILES: usize = 199;
/// Ordinary clients.
const CLIENTS: usize = 62;
/// The largest file.
const LARGEST: u64 = 8 << 20;
/// Sizes at which a length field, or a buffer, changes its width.
const EDGES: [u64; 10] = [
    0,
    1,
    255,
    256,
    4096,
    65_535,
    65_536,
    (1 << 20) - 1,
    1 << 20,
    LARGEST,
];

/// The bytes that come one at a time.
const DRIP: &[u8] = b"sockets hand over only part of a message at a time";

pub(super) fn run() -> Exit {
    match demo() {
        Ok(exit) => exit,
        Err(error) => {
            tell(format_args!("piecemeal: {error}"));
            Exit::Other
        }
    }
}

fn demo() -> Result<Exit, Box<dyn Error>> {
    // Whatever a signal interrupts, the folder is removed.
    let signalled = Arc::new(AtomicUsize::new(0));
    for signal in [SIGINT, SIGTERM] {
        let number = usize::try_from(signal)?;
        signal_hook::flag::register_usize(signal, Arc::clone(&signalled), number)?;
    }
    let interrupted = || match i32::try_from(signalled.load(Ordering::Relaxed)) {
        Ok(signal) if signal != 0 => Some(Exit::Signal(signal)),
        _ => None,
    };
    let folder = tempfile::Builder::new()
        .prefix("piecemeal-demo-")
        .tempdir()?;
    let (sent, stored) = (folder.path().join("sent"), folder.path().join("stored"));
    fs::create_dir(&sent)?;
    let items = make_files(&sent)?;
    if let Some(exit) = interrupted() {
        return Ok(exit);
    }

    let store = FolderStore::open(&stored, Durability::Full)?;
    let bind = vec!["127.0.0.1:0".parse::<Address>()?];
    let server = Server::bind(
        Config {
            bind,
            ..Config::default()
        },
        store,
    )?
    .start()?;
    let address = server.addresses()[0].clone();
    let Address::Tcp(tcp) = address else {
        return Err("the demo listens on TCP".into());
    };
    print(format_args!(
        "a server on {address}, {} clients, {} files …",
        CLIENTS + 2,
        FILES + 1
    ));

    let started = Instant::now();
    let dripping = thread::spawn(move || drip(tcp));
    let dying = thread::spawn(move || die_in_the_middle(tcp));
    let options = Options {
        connections: CLIENTS,
        signals: true,
        ..Options::to(address.into())
    };
    let report = client::send(&options, items.clone(), &mut Quiet)?;
    dripping.join().map_err(|_| "the slow client panicked")??;
    dying.join().map_err(|_| "the dying client panicked")??;
    let seconds = started.elapsed().as_secs_f64();
    let summary = server.stop()?;
    let different = compare(&items, &stored)?;
    if let Some(exit) = interrupted() {
        return Ok(exit);
    }
    print_table(&report, &summary, seconds, different);
    for failure in &report.failures {
        tell(format_args!("  {}: {}", failure.item.name, failure.why));
    }
    Ok(if different == 0 && report.failures.is_empty() {
        Exit::Success
    } else {
        Exit::Other
    })
}

/// Makes files of every edge size and of random ones.
fn make_files(folder: &Path) -> Result<Vec<Item>, Box<dyn Error>> {
    let mut random = SmallRng::seed_from_u64(0x0070_6965_6365);
    let mut bytes = vec![0; usize::try_from(LARGEST)?];
    random.fill_bytes(&mut bytes);
    let mut items = Vec::new();
    for number in 0..FILES {
        let size = EDGES.get(number).copied().unwrap_or_else(|| {
            // As many small ones as large ones, by order of magnitude.
            let most = 1 << random.random_range(8..=23);
            random.random_range(0..most)
        });
        let size = usize::try_from(size)?;
        // Each file begins with its number, so that no two are alike.
        let name = format!("{number:03}.bin");
        let path = folder.join(&name);
        let stamp = number.to_le_bytes();
        let head = stamp.len().min(size);
        let mut file = fs::File::create(&path)?;
        file.write_all(&stamp[..head])?;
        file.write_all(&bytes[head..size])?;
        items.push(Item { path, name });
    }
    Ok(items)
}

/// A client that sends a byte at a time, each in a segment of its own.
fn drip(to: SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_nodelay(true)?;
    let mut message = b"\x01\x08\0drip.txt\x02".to_vec();
    message.push(u8::try_from(DRIP.len()).map_err(std::io::Error::other)?);
    message.extend_from_slice(DRIP);
    for byte in message {
        stream.write_all(&[byte])?;
        thread::yield_now();
    }
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut replies = Vec::new();
    stream.read_to_end(&mut replies)?;
    Ok(())
}

/// A client that announces a thousand bytes, sends half of them, and is gone.
fn die_in_the_middle(to: SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(to)?;
    stream.write_all(b"\x01\x08\0half.txt")?;
    let mut reply = [0; 5];
    stream.read_exact(&mut reply)?;
    stream.write_all(&[3, 0xe8, 0x03])?;
    stream.write_all(&[b'x'; 500])
}

/// How many stored files differ from what was sent, are missing, or should not be there.
fn compare(items: &[Item], stored: &Path) -> std::io::Result<usize> {
    let differs = |item: &&Item| {
        let same = fs::read(&item.path)
            .and_then(|sent| fs::read(stored.join(&item.name)).map(|stored| sent == stored));
        !same.unwrap_or(false)
    };
    let mut different = items.iter().filter(differs).count();
    different += usize::from(fs::read(stored.join("drip.txt")).ok().as_deref() != Some(DRIP));
    let there = fs::read_dir(stored)?.count();
    Ok(different + there.abs_diff(items.len() + 1))
}

fn print_table(report: &Report, summary: &Summary, seconds: f64, different: usize) {
    let counts = &summary.counts;
    let rows = [
        ("files", counts.stored.to_string()),
        ("bytes", counts.stored_bytes.to_string()),
        ("seconds", format!("{seconds:.2}")),
        ("reads", counts.reads.to_string()),
        ("messages", counts.messages.to_string()),
        ("in more than one piece", counts.split_messages.to_string()),
        ("refused", report.failures.len().to_string()),
        ("lost in the middle", counts.failed.to_string()),
        ("different", different.to_string()),
    ];
    for (what, figure) in rows {
        print(format_args!("  {what:<24}{figure:>12}"));
    }
    let verdict = if different == 0 {
        "every file is as it was sent, and the one that was cut off is nowhere"
    } else {
        "SOMETHING IS WRONG: see the line above"
    };
    print(verdict);
}
