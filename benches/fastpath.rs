//! Copied bodies and spliced ones, by their size: the same uploads over one kept connection, to a
//! server on a thread of its own whose folder is not synced.
//!
//! `session/splice.rs` has the size from which bodies are spliced by default; it comes from here.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{
    BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use piecemeal::proto::{Conflict, Kind, Rules, header};
use piecemeal::server::{Config, Running, Server, Splicing};
use piecemeal::store::FolderStore;
use piecemeal::store::folder::Durability;
use tempfile::TempDir;

const SIZES: [usize; 7] = [
    4 << 10,
    16 << 10,
    64 << 10,
    256 << 10,
    1 << 20,
    16 << 20,
    128 << 20,
];

const WAYS: [(&str, Splicing); 2] = [("copy", Splicing::Never), ("splice", Splicing::Always)];

fn serve(folder: &Path, splicing: Splicing) -> Running {
    let config = Config {
        bind: vec!["127.0.0.1:0".parse().expect("an address")],
        rules: Rules {
            // Each upload takes the place of the last, or the disk would fill.
            conflict: Conflict::Overwrite,
            ..Rules::default()
        },
        splicing,
        ..Config::default()
    };
    let store = FolderStore::open(folder, Durability::None).expect("an empty folder");
    let server = Server::bind(config, store).expect("a free port");
    server.start().expect("a thread")
}

/// A name, and a file of so many bytes, as one run of bytes.
fn upload(size: usize) -> Vec<u8> {
    let mut message = b"\x01\x04\0file".to_vec();
    header::write(Kind::data_for(size as u64), size as u64, &mut message);
    message.resize(message.len() + size, 7);
    message
}

/// Reads one reply, which has to be good.
fn reply(stream: &mut TcpStream) {
    let mut header = [0; 3];
    stream.read_exact(&mut header).expect("a reply");
    let mut text = vec![0; usize::from(u16::from_le_bytes([header[1], header[2]]))];
    stream.read_exact(&mut text).expect("the whole reply");
    assert!(
        text.starts_with(b"OK"),
        "{}",
        String::from_utf8_lossy(&text)
    );
}

fn fastpath(criterion: &mut Criterion) {
    let within = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = TempDir::new_in(within).expect("a new folder");
    for size in SIZES {
        let mut group = criterion.benchmark_group("fastpath");
        group.sampling_mode(SamplingMode::Flat);
        group.throughput(Throughput::Bytes(size as u64));
        let message = upload(size);
        for (name, splicing) in WAYS {
            let server = serve(&folder.path().join(name), splicing);
            let mut stream =
                TcpStream::connect(server.addresses()[0].to_string()).expect("it listens");
            stream.set_nodelay(true).expect("a socket");
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                bencher.iter_custom(|turns| {
                    let start = Instant::now();
                    for _ in 0..turns {
                        stream.write_all(&message).expect("it takes bytes");
                        reply(&mut stream);
                        reply(&mut stream);
                    }
                    start.elapsed()
                });
            });
            drop(stream);
            server.stop().expect("it stops");
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1500))
        .sample_size(10);
    targets = fastpath
}
criterion_main!(benches);
