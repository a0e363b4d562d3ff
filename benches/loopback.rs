//! Files through real sockets: a server on a thread of its own, and the client that
//! `piecemeal send` is made of, on one machine. Both sides and the disk share its processors.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use criterion::{
    BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use piecemeal::client::{self, Item, Options};
use piecemeal::proto::{Conflict, Rules};
use piecemeal::server::{Config, Running, Server};
use piecemeal::store::folder::Durability;
use piecemeal::store::{FolderStore, MemoryStore};
use tempfile::TempDir;

/// Files of one sending. Enough that making the connections doesn't count for much.
const FILES: usize = 256;
const LARGE: u64 = 64 << 20;

/// Where files land.
#[derive(Clone, Copy)]
enum Where {
    Memory,
    Folder(Durability),
}

const STORES: [(&str, Where); 3] = [
    ("memory", Where::Memory),
    ("durability none", Where::Folder(Durability::None)),
    ("durability full", Where::Folder(Durability::Full)),
];

/// Folders of all benchmarks, deleted at the end: files made right after a deletion are slow.
struct Folders(Vec<TempDir>);

impl Folders {
    fn fresh(&mut self) -> &Path {
        let within = Path::new(env!("CARGO_TARGET_TMPDIR"));
        self.0.push(TempDir::new_in(within).expect("a new folder"));
        self.0.last().expect("it was just made").path()
    }

    fn serve(&mut self, place: Where) -> Running {
        let config = Config {
            bind: vec!["127.0.0.1:0".parse().expect("an address")],
            rules: Rules {
                // The large file replaces itself, or the disk would fill.
                conflict: Conflict::Overwrite,
                ..Rules::default()
            },
            ..Config::default()
        };
        let started = match place {
            Where::Memory => {
                Server::bind(config, MemoryStore::new()).and_then(|server| server.start())
            }
            Where::Folder(durability) => FolderStore::open(self.fresh(), durability)
                .and_then(|store| Server::bind(config, store)?.start()),
        };
        started.expect("a free port and an empty folder")
    }
}

/// Sends the same file under so many names, the first of them `from`, and takes the time.
fn send(server: &Running, path: &Path, from: u64, count: usize, connections: usize) -> Duration {
    let to = server.addresses()[0].to_string();
    let options = Options {
        connections,
        ..Options::to(to.parse().expect("an address is an endpoint"))
    };
    let items: Vec<Item> = (from..)
        .take(count)
        .map(|number| Item {
            path: path.to_owned(),
            name: format!("{number}.dat"),
        })
        .collect();
    let start = Instant::now();
    let report = client::send(&options, items, &mut client::Quiet).expect("a server listens");
    let time = start.elapsed();
    assert_eq!(report.stored, count, "{:?}", report.failures);
    time
}

fn source(folders: &mut Folders, size: u64) -> PathBuf {
    let path = folders.fresh().join("source");
    let block: Vec<u8> = (0..1 << 20).map(|n: u32| n.to_le_bytes()[1]).collect();
    let bytes: Vec<u8> = block
        .into_iter()
        .cycle()
        .take(usize::try_from(size).expect("small"))
        .collect();
    fs::write(&path, bytes).expect("there is room");
    path
}

fn small_files(criterion: &mut Criterion, folders: &mut Folders) {
    for size in [1 << 10, 4 << 10] {
        let path = source(folders, size);
        let mut group = criterion.benchmark_group(format!("loopback/files of {size} B"));
        group
            .sampling_mode(SamplingMode::Flat)
            .throughput(Throughput::Elements(FILES as u64));
        for (place, store) in STORES {
            for connections in [1, 64] {
                let server = folders.serve(store);
                let mut sent = 0;
                let id = BenchmarkId::new(place, format!("{connections} connections"));
                group.bench_function(id, |bencher| {
                    bencher.iter_custom(|turns| {
                        (0..turns)
                            .map(|_| {
                                sent += FILES as u64;
                                send(&server, &path, sent, FILES, connections)
                            })
                            .sum()
                    });
                });
                server.stop().expect("it ran well");
            }
        }
        group.finish();
    }
}

fn large_file(criterion: &mut Criterion, folders: &mut Folders) {
    let path = source(folders, LARGE);
    let mut group = criterion.benchmark_group("loopback/one file of 64 MiB");
    group
        .sampling_mode(SamplingMode::Flat)
        .throughput(Throughput::Bytes(LARGE));
    for (place, store) in STORES {
        let server = folders.serve(store);
        let mut sent = 0;
        group.bench_function(place, |bencher| {
            bencher.iter_custom(|turns| {
                (0..turns)
                    .map(|_| {
                        sent += 1;
                        // Four names in turn, so that neither memory nor disk fills.
                        send(&server, &path, sent % 4, 1, 1)
                    })
                    .sum()
            });
        });
        server.stop().expect("it ran well");
    }
    group.finish();
}

fn loopback(criterion: &mut Criterion) {
    let mut folders = Folders(Vec::new());
    small_files(criterion, &mut folders);
    large_file(criterion, &mut folders);
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .sample_size(10);
    targets = loopback
}
criterion_main!(benches);
