//! What of a folder counts against its quota.

use super::*;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// The bytes of a folder, and how often the count says that it goes on.
fn count(path: &Path) -> (u64, u32) {
    let folder = OwnedFd::from(File::open(path).expect("it is there"));
    let mut steps = 0;
    let bytes = count::bytes_in(&folder, &mut || steps += 1);
    (bytes.expect("it can be read"), steps)
}

fn write(path: &Path, bytes: usize) {
    fs::write(path, vec![1; bytes]).expect("written");
}

#[test]
fn each_thousandth_file_is_told_so_that_a_long_count_can_be_heard_of() {
    let home = tempfile::tempdir().expect("a folder");
    fs::create_dir(home.path().join("a")).expect("made");
    for (files, steps) in [(999, 0), (1000, 1), (1999, 1), (2000, 2)] {
        for number in 0..files {
            let folder = if number % 2 == 0 { "" } else { "a" };
            let path = home.path().join(folder).join(number.to_string());
            if !path.exists() {
                write(&path, 1);
            }
        }
        assert_eq!(count(home.path()), (files, steps));
    }
}

#[test]
fn of_the_work_folder_only_uploads_count_that_rest() {
    let home = tempfile::tempdir().expect("a folder");
    let work = home.path().join(".piecemeal");
    fs::create_dir(&work).expect("made");
    for (name, bytes) in [("a.upload", 1), ("b.upload", 20), ("c.part", 300)] {
        write(&work.join(name), bytes);
    }
    write(&home.path().join("stored"), 4000);
    fs::create_dir(work.join("d.upload")).expect("made");
    symlink("../stored", work.join("e.upload")).expect("linked");
    assert_eq!(count(home.path()).0, 4021);
    let held = File::open(work.join("b.upload")).expect("there");
    let lock = rustix::fs::FlockOperation::NonBlockingLockExclusive;
    rustix::fs::flock(&held, lock).expect("free");
    assert_eq!(count(home.path()).0, 4001, "one is under way");
    // Of that name, only the one in the folder itself is a work folder.
    fs::create_dir_all(home.path().join("f/.piecemeal")).expect("made");
    write(&home.path().join("f/.piecemeal/c.part"), 50_000);
    assert_eq!(count(home.path()).0, 54_001);
}

#[test]
fn a_folder_counts_down_to_a_depth_that_no_upload_reaches() {
    let home = tempfile::tempdir().expect("a folder");
    let deep = |depth: usize| home.path().join(vec!["d"; depth].join("/"));
    fs::create_dir_all(deep(65)).expect("made");
    write(&deep(64).join("file"), 1);
    write(&deep(65).join("file"), 20);
    assert_eq!(count(home.path()).0, 1);
}

#[test]
fn what_is_no_plain_file_does_not_count_and_nobody_waits_for_it() {
    let home = tempfile::tempdir().expect("a folder");
    write(&home.path().join("a"), 7);
    symlink("a", home.path().join("link")).expect("linked");
    symlink("..", home.path().join("up")).expect("linked");
    let socket = std::os::unix::net::UnixListener::bind(home.path().join("socket"));
    socket.expect("bound");
    assert_eq!(count(home.path()).0, 7);
}

#[test]
fn a_folder_that_may_not_be_read_is_no_reason_not_to_serve() {
    let home = tempfile::tempdir().expect("a folder");
    let closed = home.path().join("closed");
    fs::create_dir(&closed).expect("made");
    write(&closed.join("a"), 20);
    write(&home.path().join("b"), 1);
    let mode = |mode| fs::set_permissions(&closed, fs::Permissions::from_mode(mode));
    mode(0o000).expect("ours");
    // Some users may read everything.
    let expected = if fs::read_dir(&closed).is_ok() { 21 } else { 1 };
    let counted = count(home.path()).0;
    mode(0o700).expect("ours");
    assert_eq!(counted, expected);
}

#[test]
fn a_count_that_takes_long_is_told_of_at_most_once() {
    let long_ago = std::time::Instant::now().checked_sub(Duration::from_secs(60));
    let mut step = count::tell_if_long(long_ago.expect("the machine runs longer"));
    // What it says goes to the log.
    step();
    step();
}

/// Each of them would find the size of the same old file.
#[test]
fn what_two_stores_replace_at_once_is_given_back_once() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = fs::File::open(home.path()).expect("it is there");
    let size = 1 << 12;
    fs::write(home.path().join("a"), vec![0; size]).expect("written");
    let space = Space::open(folder.into(), Some(1 << 30), None).expect("it is counted");
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                let root = Root::open(home.path(), Durability::None, Naming::Partial, None);
                let root = root.expect("it opens");
                root.limit(Arc::clone(&space));
                for length in 0..500 {
                    let reserved = root.reserve(Some(0)).expect("there is room");
                    let unfinished = root.create().expect("a file").with_reservation(reserved);
                    let length = if length % 2 == 0 { size } else { 0 };
                    unfinished.file.set_len(length as u64).expect("room");
                    root.replace(&unfinished, &root.folder, "a")
                        .expect("replaced");
                }
            });
        }
    });
    let left = fs::metadata(home.path().join("a")).expect("it is there");
    assert_eq!(space.used(), left.len());
}
