//! What it costs to make a file safe: 4 KiB files, committed alone and in groups.
//!
//! A file is begun, written and committed as by the loop, and a group is over when the store has
//! reported the last of it. Alone, a file pays for a sync of its own and one of the folder; in a
//! group the folder's is shared, which is the point of the committer.

use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use criterion::{
    BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use piecemeal::proto::name::NameRules;
use piecemeal::proto::{Name, Order, Seal};
use piecemeal::store::folder::Durability;
use piecemeal::store::{Done, FolderStore, Key, MemoryStore, Opening, Store};
use tempfile::TempDir;

const SIZE: usize = 4 << 10;
const GROUPS: [usize; 4] = [1, 8, 64, 256];

/// A store, and what the loop would know of it.
struct Bench<S> {
    store: S,
    woken: Receiver<()>,
    /// The next file's name.
    number: u64,
}

impl<S: Store> Bench<S> {
    fn new(mut store: S) -> Bench<S> {
        let (wake, woken) = channel();
        store.set_wake(Box::new(move || {
            // Nobody waits any more when the bench is over.
            let _ = wake.send(());
        }));
        Bench {
            store,
            woken,
            number: 0,
        }
    }

    /// Stores a group of files, and waits until all are safe.
    fn group(&mut self, count: usize, bytes: &[u8]) {
        let key = Key {
            connection: 0,
            ticket: 0,
        };
        for _ in 0..count {
            self.number += 1;
            let name = Name::parse(&format!("{}.dat", self.number), NameRules::default());
            let order = Order {
                name: Some(name.expect("a good name")),
                size: Some(bytes.len() as u64),
                ..Order::default()
            };
            let begun = self.store.begin(&order, key).expect("the store is open");
            let Opening::Open(mut upload) = begun else {
                panic!("no digest was given, so there is nothing to compare");
            };
            self.store.write(&mut upload, bytes).expect("there is room");
            let seal = Seal {
                size: bytes.len() as u64,
                digest: None,
            };
            self.store.commit(upload, seal, key);
        }
        // As the loop does at the end of each turn.
        self.store.flush();
        let mut left = count;
        while left > 0 {
            self.woken.recv().expect("the store lives");
            while let Some(Done::Stored(_, stored)) = self.store.poll_done() {
                stored.expect("each name is new");
                left -= 1;
            }
        }
    }
}

fn run<S: Store>(criterion: &mut Criterion, what: &str, mut open: impl FnMut() -> S) {
    let bytes = vec![7; SIZE];
    let mut criterion_group = criterion.benchmark_group(format!("commit/{what}"));
    criterion_group.sampling_mode(SamplingMode::Flat);
    for count in GROUPS {
        let mut bench = Bench::new(open());
        criterion_group.throughput(Throughput::Elements(count as u64));
        criterion_group.bench_function(BenchmarkId::new("group of", count), |bencher| {
            bencher.iter_custom(|turns| {
                let start = Instant::now();
                for _ in 0..turns {
                    bench.group(count, &bytes);
                }
                start.elapsed()
            });
        });
    }
    criterion_group.finish();
}

fn commit(criterion: &mut Criterion) {
    // A folder for each, all deleted at the end: a file system may avoid what was just deleted,
    // and is then many times slower.
    let mut folders: Vec<TempDir> = Vec::new();
    let mut folder = || {
        let within = Path::new(env!("CARGO_TARGET_TMPDIR"));
        folders.push(TempDir::new_in(within).expect("a new folder"));
        folders.last().expect("it was just made").path().to_owned()
    };
    run(criterion, "folder, durability full", || {
        FolderStore::open(&folder(), Durability::Full).expect("an empty folder")
    });
    run(criterion, "folder, durability none", || {
        FolderStore::open(&folder(), Durability::None).expect("an empty folder")
    });
    run(criterion, "memory", MemoryStore::new);
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1500))
        .sample_size(20);
    targets = commit
}
criterion_main!(benches);
