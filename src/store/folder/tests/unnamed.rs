//! Files that have no name yet: what is known of each, and what becomes of one that somebody
//! meddles with.

use super::resuming::{FILE, RECORD, new_shelf, resumable};
use super::unfinished::{Partial, Unfinished};
use super::*;
use crate::store::folder::work::Work;
use rustix::fs::{FlockOperation, OFlags};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};

/// A folder, and an open one of the same.
fn home() -> (tempfile::TempDir, OwnedFd) {
    let home = tempfile::tempdir().expect("a folder");
    let folder = File::open(home.path()).expect("it is there").into();
    (home, folder)
}

fn facts() -> Facts {
    let order = resumable("a", Some(6));
    Facts {
        id: order.upload.expect("it has one"),
        name: order.name.expect("it has one"),
        size: order.size,
    }
}

#[test]
fn an_unfinished_file_is_ones_own_only_while_it_has_a_name_and_nobody_else_a_lock() {
    let home = tempfile::tempdir().expect("a folder");
    let path = home.path().join("a.part");
    let made = Unfinished::new(File::create(&path).expect("made"), None);
    let other = File::open(&path).expect("there");
    rustix::fs::flock(&other, FlockOperation::NonBlockingLockExclusive).expect("free");
    assert!(!made.is_mine().expect("it can be asked"), "it is another's");
    drop(other);
    assert!(made.is_mine().expect("it can be asked"));
    fs::remove_file(&path).expect("there");
    assert!(!made.is_mine().expect("it can be asked"), "it was swept");
}

#[test]
fn an_unfinished_file_stays_when_it_is_dropped_where_it_can_be_resumed() {
    let (home, folder) = home();
    let work = Arc::new(Work::make(&folder, false).expect("it can be made"));
    for is_resumable in [true, false] {
        let path = home.path().join(".piecemeal/a.part");
        let file = File::create(&path).expect("made");
        let partial = Partial {
            work: Arc::clone(&work),
            name: "a.part".into(),
            facts: is_resumable.then(|| Box::new(facts())),
        };
        let unfinished = Unfinished::new(file, Some(partial));
        assert_eq!(unfinished.is_resumable(), is_resumable);
        // Its record may be on its way to the disk, and whoever writes that isn't waited for.
        assert_eq!(unfinished.takes_long_to_discard(), is_resumable);
        drop(unfinished);
        assert_eq!(path.exists(), is_resumable);
    }
    let nameless = Unfinished::new(tempfile::tempfile().expect("a file"), None);
    assert!(!nameless.is_resumable());
}

#[test]
fn the_room_of_an_unfinished_file_is_what_was_reserved_for_it() {
    let (_home, folder) = home();
    let space = Space::open(folder, Some(100), None).expect("it is counted");
    let file = || Unfinished::new(tempfile::tempfile().expect("a file"), None);
    assert_eq!(file().room(), None);
    for bytes in [0, 1, 7] {
        let reserved = space.reserve(bytes).expect("it fits");
        let unfinished = file().with_reservation(Some(reserved));
        assert_eq!(unfinished.room(), Some(bytes));
        unfinished.give_back();
        assert_eq!((unfinished.room(), space.used()), (None, 0));
    }
}

#[test]
fn of_no_bytes_none_is_reserved_and_that_is_no_failure() {
    // The system takes this for nonsense, as it does what a file system can't do at all.
    let unfinished = Unfinished::new(tempfile::tempfile().expect("a file"), None);
    unfinished.reserve(0).expect("the writes will tell");
}

#[test]
fn a_partial_that_somebody_exchanges_does_not_get_the_name() {
    let mut shelf = Shelf::new(Durability::Full, Naming::Partial);
    let upload = shelf.begin(&named("a")).expect("it begins");
    let work = shelf.folder.path().join(".piecemeal");
    let partial = fs::read_dir(&work).expect("there").flatten().next();
    let partial = partial.expect("one is there").path();
    fs::rename(&partial, work.join("kept")).expect("moved");
    fs::write(&partial, "another").expect("written");
    shelf.store.commit(upload, Seal::default(), KEY);
    match shelf.done() {
        Done::Stored(KEY, Err(_)) => {}
        done => panic!("nobody has an OK for it: {done:?}"),
    }
}

#[test]
fn what_got_its_name_has_no_record_any_more_and_its_space_is_taken_for_good() {
    let mut shelf = new_shelf();
    let space = shelf.store.limit(Some(100), None).expect("it is counted");
    let root = &shelf.store.root;
    let work = root.shared_work().expect("it can be made");
    let file = File::create(shelf.work().join(FILE)).expect("made");
    let partial = Partial {
        work,
        name: FILE.into(),
        facts: Some(Box::new(facts())),
    };
    let reserved = root.reserve(Some(6)).expect("it fits");
    let unfinished = Unfinished::new(file, Some(partial)).with_reservation(reserved);
    (&unfinished.file).write_all(b"123456").expect("written");
    let state = record::State::open(0);
    unfinished.write_record(state, false).expect("written");
    assert!(shelf.work().join(RECORD).exists());
    root.place(&unfinished, &root.folder, "a").expect("placed");
    assert!(unfinished.partial().is_none() && unfinished.room().is_none());
    assert_eq!((shelf.in_work().len(), space.used()), (0, 6));
    drop(unfinished);
    assert_eq!(shelf.files()["a"], b"123456");
}

#[test]
fn a_partial_that_is_begun_anew_gives_the_space_of_what_rested_back() {
    let mut shelf = new_shelf();
    let order = resumable("a", Some(800));
    shelf.leave(&order, &[1; 300]);
    let mut shelf = shelf.restarted();
    let space = shelf.store.limit(Some(1000), None).expect("it is counted");
    assert_eq!(space.used(), 300);
    fs::remove_file(shelf.work().join(RECORD)).expect("there");
    let (_upload, offset) = shelf.resume(&order).expect("all of it fits");
    assert_eq!((offset, space.used()), (0, 800));
}

#[test]
fn a_store_that_closes_says_so() {
    let shelf = Shelf::new(Durability::None, Naming::Best);
    assert!(!shelf.store.root.is_closing());
    shelf.store.root.set_closing();
    assert!(shelf.store.root.is_closing());
}

#[test]
fn bytes_are_spliced_wherever_the_file_system_can_and_refused_without_harm_elsewhere() {
    for mut shelf in Shelf::of_each_kind() {
        let (out, into) = rustix::pipe::pipe().expect("a pipe");
        rustix::io::write(&into, b"12345").expect("it fits");
        // Whether it can is asked of another file in the same folder.
        let flags = OFlags::RDWR | OFlags::CREATE;
        let path = shelf.folder.path().join("probe");
        let probe = rustix::fs::open(path, flags, 0o600.into()).expect("made");
        let flags = rustix::pipe::SpliceFlags::MOVE;
        let can = rustix::pipe::splice(&out, None, &probe, None, 1, flags).is_ok();
        let mut upload = shelf.begin(&named("a")).expect("it begins");
        let moved = shelf.store.splice(&mut upload, out.as_fd(), 3);
        assert_eq!(moved.expect("no failure"), can.then_some(3));
        // What is no pipe can't be spliced from by any, and the bytes are to be copied.
        let moved = shelf.store.splice(&mut upload, probe.as_fd(), 1);
        assert_eq!(moved.expect("no failure"), None);
        if can {
            let size = 3;
            shelf.store.commit(upload, Seal { size, digest: None }, KEY);
            assert!(matches!(shelf.done(), Done::Stored(KEY, Ok(_))));
            assert_eq!(shelf.files()["a"], b"234");
        }
    }
}

#[test]
fn what_the_store_has_open_is_closed_for_programs_that_are_started() {
    let is_closed = |fd: &dyn AsFd| {
        let flags = rustix::io::fcntl_getfd(fd.as_fd()).expect("it is open");
        flags.contains(rustix::io::FdFlags::CLOEXEC)
    };
    let is_folder = |fd: &dyn AsFd| {
        let flags = rustix::fs::fcntl_getfl(fd.as_fd()).expect("it is open");
        flags.contains(OFlags::DIRECTORY)
    };
    for shelf in Shelf::of_each_kind() {
        let root = &shelf.store.root;
        let work = root.shared_work().expect("it can be made");
        assert!(is_closed(&root.folder) && is_folder(&root.folder));
        assert!(is_closed(&*work) && is_folder(&*work));
        let unfinished = root.create().expect("a file");
        assert!(is_closed(&unfinished.file));
        root.place(&unfinished, &root.folder, "a").expect("placed");
        let stored = root.open_file("a").expect("no failure").expect("there");
        assert!(is_closed(&stored));
        // Nobody waits for the other end of what turns out to be a pipe.
        let flags = rustix::fs::fcntl_getfl(&stored).expect("it is open");
        assert!(flags.contains(OFlags::NONBLOCK));
    }
}

/// What is moved then would be that other one, and the file that was sent would be gone.
#[test]
fn what_somebody_has_put_over_a_partial_gets_no_name() {
    let shelf = Shelf::new(Durability::Full, Naming::Partial);
    let root = &shelf.store.root;
    fs::write(shelf.folder.path().join("old"), "old").expect("written");
    let make = || {
        let unfinished = root.create().expect("a file");
        fs::write(shelf.work().join("other"), "another's").expect("written");
        let hidden = unfinished
            .partial()
            .as_ref()
            .expect("it has one")
            .name
            .clone();
        fs::rename(shelf.work().join("other"), shelf.work().join(hidden)).expect("moved");
        unfinished
    };
    for name in ["new", "old"] {
        let placed = root.place(&make(), &root.folder, name);
        assert!(
            matches!(placed, Err(Error::Io { .. })),
            "{name}: {placed:?}"
        );
        let replaced = root.replace(&make(), &root.folder, name);
        assert!(
            matches!(replaced, Err(Error::Io { .. })),
            "{name}: {replaced:?}"
        );
        // It may have happened when it was known already that the name is taken.
        let unfinished = make();
        let hidden = unfinished.partial().take().expect("it has one");
        let moved = root.move_over(&unfinished, &hidden, (&root.folder, name));
        assert!(matches!(moved, Err(Error::Io { .. })), "{name}: {moved:?}");
        let _ = hidden.work.take_away(&[hidden.name]);
    }
    assert_eq!(shelf.files(), [("old".into(), b"old".to_vec())].into());
}
