//! From which size on an upload is reserved for, by whom, and who hears how it grows.

mod dropped;

use super::*;
use crate::store::folder::Space;
use crate::store::folder::tests::durable;
use std::sync::mpsc::{Receiver, channel};

const KEY: Key = Key {
    connection: 1,
    ticket: 1,
};

/// A folder, and the bulk workers' tasks, which nobody does.
struct Bench {
    root: Root,
    queues: Arc<Queues>,
    tasks: Receiver<Task>,
    discards: Receiver<Discard>,
    home: tempfile::TempDir,
}

impl Bench {
    fn new() -> Bench {
        let home = tempfile::tempdir().expect("a folder");
        let (task, tasks) = channel();
        let (discard, discards) = channel();
        let queues = Queues {
            jobs: channel().0,
            tasks: task,
            looks: channel().0,
            resumes: channel().0,
            discards: discard,
            unclaimed: Arc::default(),
        };
        Bench {
            root: durable(&home),
            queues: Arc::new(queues),
            tasks,
            discards,
            home,
        }
    }

    /// The same with so many bytes for all.
    fn limited(quota: u64) -> (Bench, Arc<Space>) {
        let bench = Bench::new();
        let folder = bench.root.folder.try_clone().expect("a descriptor");
        let space = Space::open(folder, Some(quota), None).expect("it is counted");
        bench.root.limit(Arc::clone(&space));
        (bench, space)
    }

    fn upload(&self) -> FolderUpload {
        let queues = Arc::downgrade(&self.queues);
        FolderUpload::create(&self.root, &Order::default(), queues).expect("a file")
    }
}

/// The bytes that a file has got of the file system.
fn allocated(upload: &FolderUpload) -> u64 {
    use std::os::unix::fs::MetadataExt;
    upload.facts().blocks() * 512
}

#[test]
fn a_small_size_is_left_to_the_writes_a_larger_one_is_reserved_at_once_and_a_huge_one_later() {
    let bench = Bench::new();
    for (total, expected, has) in [
        (RESERVE_FROM - 1, Reserved::Now, 0),
        (RESERVE_FROM, Reserved::Now, RESERVE_FROM),
        (
            RESERVE_LATER_FROM - 1,
            Reserved::Now,
            RESERVE_LATER_FROM - 1,
        ),
        (RESERVE_LATER_FROM, Reserved::Later, 0),
    ] {
        let mut upload = bench.upload();
        let reserved = upload.reserve(total, KEY).expect("there is room");
        assert_eq!(reserved, expected, "{total}");
        assert_eq!(allocated(&upload) >= total, has > 0, "{total}");
        let told = bench.tasks.try_recv().ok();
        let is_told = matches!(told, Some(Task::Reserve { total: told, .. }) if told == total);
        assert_eq!(is_told, expected == Reserved::Later, "{total}: {told:?}");
    }
}

#[test]
fn a_size_that_is_told_late_is_refused_where_the_limits_have_no_room_for_it() {
    let (bench, space) = Bench::limited(100);
    let mut upload = bench.upload();
    assert!(matches!(upload.reserve(101, KEY), Err(Error::Quota { .. })));
    upload.reserve(100, KEY).expect("it just fits");
    assert_eq!(space.used(), 100);
    upload.write(&[1; 100]).expect("it is reserved");
    assert!(upload.write(&[1]).is_err());
}

#[test]
fn a_stream_takes_no_more_in_advance_before_it_needs_it() {
    let (bench, space) = Bench::limited(STEP * 4);
    let mut upload = bench.upload();
    upload.write(&[1]).expect("there is room");
    let taken = 1 + STEP;
    assert_eq!(space.used(), taken);
    upload
        .write(&vec![1; 8 << 20])
        .expect("it was taken before");
    assert_eq!(space.used(), taken, "to the last byte");
    upload.write(&[1]).expect("there is room");
    assert_eq!(space.used(), taken + 1 + STEP);
}

#[test]
fn the_bulk_workers_hear_of_a_large_upload_now_and_then_and_of_a_small_one_never() {
    let bench = Bench::new();
    let mut upload = bench.upload();
    let heard = || match bench.tasks.try_recv() {
        Ok(Task::Follow(_, bytes)) => Some(bytes),
        _ => None,
    };
    upload.write(&vec![1; 8 << 20]).expect("there is room");
    assert_eq!(heard(), None, "as large as a small one may be");
    upload.write(&[1]).expect("there is room");
    assert_eq!(heard(), Some(IN_ORDER_SIZE + 1));
    upload
        .write(&vec![1; (8 << 20) - 1])
        .expect("there is room");
    assert_eq!(heard(), None, "a byte less than a step");
    upload.write(&[1]).expect("there is room");
    assert_eq!(heard(), Some(IN_ORDER_SIZE + 1 + STEP));
    assert_eq!(heard(), None, "each is told once");
}
