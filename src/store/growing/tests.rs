//! Files that grow: what is seen of them, and who may replace which.

use super::*;
use std::fs;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU32, Ordering};

const KEY: Key = Key {
    connection: 0,
    ticket: 0,
};

fn order(name: &str, conflict: Conflict) -> Order {
    Order {
        name: Name::parse(name, Default::default()).ok(),
        conflict,
        ..Order::default()
    }
}

fn begin(store: &mut GrowingStore, order: &Order) -> Result<GrowingUpload, Error> {
    match store.begin(order, KEY)? {
        Opening::Open(upload) => Ok(upload),
        other => panic!("{other:?}"),
    }
}

fn store(store: &mut GrowingStore, order: &Order, bytes: &[u8]) -> Result<String, Error> {
    let mut upload = begin(store, order)?;
    store.write(&mut upload, bytes)?;
    let size = bytes.len() as u64;
    store.commit(upload, Seal { size, digest: None }, KEY);
    match store.poll_done() {
        Some(Done::Stored(_, stored)) => stored.map(|receipt| receipt.name),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_is_seen_to_grow_and_has_its_name_only_when_it_is_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut growing = GrowingStore::open(folder.path()).expect("it opens");
    let order = order("a.txt", Conflict::Overwrite);
    fs::write(folder.path().join("a.txt"), "old").expect("a file");

    let mut upload = begin(&mut growing, &order).expect("it begins");
    let part = folder.path().join("a.txt.part");
    assert_eq!(fs::read(&part).expect("it is there"), b"");
    growing.write(&mut upload, b"ne").expect("it is written");
    assert_eq!(fs::read(&part).expect("it is there"), b"ne");
    growing.write(&mut upload, b"w").expect("it is written");
    assert_eq!(
        fs::read(folder.path().join("a.txt")).expect("there"),
        b"old"
    );
    let (size, digest) = (3, None);
    growing.commit(upload, Seal { size, digest }, KEY);
    assert_eq!(
        fs::read(folder.path().join("a.txt")).expect("there"),
        b"new"
    );
    assert!(!part.exists());
}

#[test]
fn one_that_is_given_up_leaves_nothing_and_a_dead_servers_is_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut growing = GrowingStore::open(folder.path()).expect("it opens");
    let order = order("a", Conflict::Overwrite);
    let upload = begin(&mut growing, &order).expect("it begins");
    let mut other = growing.clone();
    assert!(matches!(begin(&mut other, &order), Err(Error::UnderWay)));
    // As a server that is killed does: the lock goes, the file stays.
    let part = folder.path().join("a.part");
    let kept = folder.path().join("kept");
    fs::rename(&part, &kept).expect("it is there");
    drop(upload);
    fs::rename(&kept, &part).expect("it is there");
    let upload = begin(&mut growing, &order).expect("nobody holds the old one");
    drop(upload);
    assert_eq!(fs::read_dir(folder.path()).expect("there").count(), 0);
    assert_eq!(store(&mut other, &order, b"1").expect("stored"), "a");
}

#[test]
fn a_part_that_is_somebodys_own_is_never_touched() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut growing = GrowingStore::open(folder.path()).expect("it opens");
    let part = folder.path().join("a.part");
    fs::write(&part, "mine").expect("a file");
    let named = |name| order(name, Conflict::Overwrite);
    assert!(matches!(
        begin(&mut growing, &named("a")),
        Err(Error::Exists)
    ));
    assert!(matches!(
        begin(&mut growing, &named("a.part")),
        Err(Error::Reserved)
    ));
    assert_eq!(fs::read(&part).expect("there"), b"mine");
}

#[test]
fn each_policy_does_what_it_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut growing = GrowingStore::open(folder.path()).expect("it opens");
    let mut put = |conflict, bytes: &[u8]| store(&mut growing, &order("a.b", conflict), bytes);
    assert_eq!(put(Conflict::Error, b"1").expect("stored"), "a.b");
    assert!(matches!(put(Conflict::Error, b"2"), Err(Error::Exists)));
    assert_eq!(put(Conflict::Rename, b"3").expect("stored"), "a (2).b");
    assert_eq!(put(Conflict::Overwrite, b"4").expect("stored"), "a.b");
    let folder_of_that_name = folder.path().join("folder");
    fs::create_dir(&folder_of_that_name).expect("a folder");
    let over = order("folder", Conflict::Overwrite);
    assert!(matches!(begin(&mut growing, &over), Err(Error::Exists)));
    fs::remove_dir(folder_of_that_name).expect("it is empty");
    assert_eq!(fs::read(folder.path().join("a.b")).expect("there"), b"4");
    let unnamed = store(&mut growing, &Order::default(), b"5").expect("stored");
    assert!(unnamed.len() == 12 && unnamed.ends_with(".bin"));
    assert_eq!(fs::read_dir(folder.path()).expect("there").count(), 3);
}

#[test]
fn a_digest_that_differs_stores_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut growing = GrowingStore::open(folder.path()).expect("it opens");
    for (digest, good) in [(blake3::hash(b"abc"), true), (blake3::hash(b"abd"), false)] {
        let order = Order {
            digest_follows: true,
            ..order("d", Conflict::Overwrite)
        };
        let mut upload = begin(&mut growing, &order).expect("it begins");
        growing.write(&mut upload, b"abc").expect("it is written");
        let digest = Some(Digest(digest.into()));
        growing.commit(upload, Seal { size: 3, digest }, KEY);
        match growing.poll_done() {
            Some(Done::Stored(_, stored)) => assert_eq!(stored.is_ok(), good),
            other => panic!("{other:?}"),
        }
    }
}

/// How often a store wakes its loop.
fn counting(growing: &mut GrowingStore) -> Arc<AtomicU32> {
    let woken = Arc::new(AtomicU32::new(0));
    let wakes = Arc::clone(&woken);
    growing.set_wake(Box::new(move || {
        wakes.fetch_add(1, Ordering::Relaxed);
    }));
    woken
}

#[test]
fn each_commit_wakes_the_loop_and_what_is_of_no_use_here_does_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut growing = GrowingStore::open(folder.path()).expect("it opens");
    let woken = counting(&mut growing);
    let order = order("a", Conflict::Error);
    let mut upload = begin(&mut growing, &order).expect("it begins");
    let reserved = growing.reserve(&mut upload, u64::MAX, KEY);
    assert!(matches!(reserved, Ok(Reserved::Now)));
    growing.set_sender(&mut upload, &"192.0.2.1:1");
    growing.hear_taken(&mut upload);
    assert_eq!(growing.taken(&upload), None);
    let (out, _into) = rustix::pipe::pipe().expect("a pipe");
    let spliced = growing.splice(&mut upload, out.as_fd(), 1);
    assert!(matches!(spliced, Ok(None)), "its bytes are to be copied");
    growing.discard(upload);
    growing.flush();
    assert!(growing.poll_done().is_none());
    assert_eq!(fs::read_dir(folder.path()).expect("there").count(), 0);
    store(&mut growing, &order, b"1").expect("stored");
    assert_eq!(woken.load(Ordering::Relaxed), 1);
    store(&mut growing.clone(), &order, b"1").expect_err("it is there");
    assert_eq!(woken.load(Ordering::Relaxed), 1, "a clone has its own loop");
    assert!(format!("{growing:?}").starts_with("GrowingStore"));
}

#[test]
fn what_turns_up_under_a_name_while_its_file_grows_is_not_replaced_unless_that_was_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a");
    let mut growing = GrowingStore::open(folder.path()).expect("it opens");
    for (conflict, is_folder, expected) in [
        (Conflict::Error, false, None),
        (Conflict::Rename, false, Some("a (2)")),
        (Conflict::Overwrite, false, Some("a")),
        (Conflict::Overwrite, true, None),
    ] {
        let mut upload = begin(&mut growing, &order("a", conflict)).expect("it begins");
        growing.write(&mut upload, b"new").expect("written");
        match is_folder {
            true => fs::create_dir_all(path.join("in it")).expect("made"),
            false => fs::write(&path, "old").expect("written"),
        }
        let (size, digest) = (3, None);
        growing.commit(upload, Seal { size, digest }, KEY);
        let stored = match growing.poll_done() {
            Some(Done::Stored(_, Ok(receipt))) => Some(receipt.name),
            Some(Done::Stored(_, Err(Error::Exists))) => None,
            other => panic!("{other:?}"),
        };
        assert_eq!(stored.as_deref(), expected, "{conflict:?}");
        assert!(!folder.path().join("a.part").exists());
        match is_folder {
            true => assert!(path.join("in it").exists()),
            false => fs::remove_file(&path).expect("there"),
        }
    }
}

#[test]
fn what_is_no_file_of_a_dead_servers_stands_in_the_way_of_a_part() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut growing = GrowingStore::open(folder.path()).expect("it opens");
    let part = folder.path().join("a.part");
    let order = order("a", Conflict::Overwrite);
    std::os::unix::fs::symlink("elsewhere", &part).expect("linked");
    assert!(matches!(begin(&mut growing, &order), Err(Error::Exists)));
    fs::remove_file(&part).expect("there");
    fs::create_dir(&part).expect("made");
    assert!(matches!(begin(&mut growing, &order), Err(Error::Exists)));
    assert!(part.is_dir() && !folder.path().join("elsewhere").exists());
    // Somebody else has just taken it away.
    growing.remove_dead("b.part").expect("it is gone");
}

#[test]
fn a_folder_that_can_not_be_used_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "").expect("written");
    let error = GrowingStore::open(&file).expect_err("it is a file");
    let text = error.to_string();
    assert!(
        text.contains("file") && text.contains("can't store"),
        "{text}"
    );
    // And one that goes is an error of each upload.
    let gone = folder.path().join("gone");
    let mut growing = GrowingStore::open(&gone).expect("it is made");
    fs::remove_dir(&gone).expect("it is empty");
    let refused = begin(&mut growing, &order("a", Conflict::Rename));
    assert!(matches!(refused, Err(Error::Io { .. })), "{refused:?}");
}
