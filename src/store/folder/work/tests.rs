//! The work folder where others come and go, and what is swept out of it.

use super::*;
use rustix::fs::{CWD, FileType};
use std::cell::Cell;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A folder, and how it is to be opened.
fn home() -> (tempfile::TempDir, OwnedFd) {
    let home = tempfile::tempdir().expect("a folder");
    let folder = File::open(home.path()).expect("it is there").into();
    (home, folder)
}

/// The work folder as somebody else has it who is about to take it away.
fn held(home: &tempfile::TempDir) -> File {
    let work = home.path().join(RESERVED);
    fs::create_dir_all(&work).expect("made");
    let work = File::open(work).expect("it is there");
    rustix::fs::flock(&work, FlockOperation::NonBlockingLockExclusive).expect("nobody has it");
    work
}

#[test]
fn a_work_folder_that_another_server_is_taking_away_is_waited_for_and_made_anew() {
    for is_removed in [true, false] {
        let (home, folder) = home();
        let path = home.path().join(RESERVED);
        let mut other = Some(held(&home));
        let mut waits = 0;
        let work = make_waiting(&folder, || {
            waits += 1;
            if waits == LOCK_TRIES {
                if is_removed {
                    fs::remove_dir(&path).expect("it is empty");
                }
                other = None;
            }
        });
        let work = File::from(work.expect("it is free in the end"));
        assert_eq!(waits, LOCK_TRIES);
        let (has, is_there) = (work.metadata(), fs::metadata(&path));
        let (has, is_there) = (has.expect("open"), is_there.expect("there"));
        assert_eq!((has.dev(), has.ino()), (is_there.dev(), is_there.ino()));
        // It is in use from now on.
        let again = File::open(&path).expect("there");
        let taken = rustix::fs::flock(&again, FlockOperation::NonBlockingLockExclusive);
        assert_eq!(taken, Err(Errno::WOULDBLOCK));
    }
}

#[test]
fn a_work_folder_that_somebody_holds_for_long_is_given_up() {
    let (home, folder) = home();
    let _other = held(&home);
    let mut waits = 0;
    let work = make_waiting(&folder, || {
        waits += 1;
        assert!(waits <= LOCK_TRIES, "it is waited for without end");
    });
    assert_eq!(work.expect_err("it is held"), Errno::WOULDBLOCK);
    assert_eq!(waits, LOCK_TRIES);
}

#[test]
fn a_work_folder_that_was_taken_away_before_it_was_locked_is_not_in_use() {
    let (home, folder) = home();
    fs::create_dir(home.path().join(RESERVED)).expect("made");
    let [first, second] = [(); 2].map(|()| open(&folder).expect("there"));
    assert_eq!(is_in_use(&first), Ok(true));
    fs::remove_dir(home.path().join(RESERVED)).expect("it is empty");
    assert_eq!(is_in_use(&second), Ok(false));
}

/// What stands in the way of a work folder is no work folder, whatever it is.
#[test]
fn a_file_or_a_link_in_the_work_folders_place_is_not_taken_for_it() {
    let (home, folder) = home();
    let path = home.path().join(RESERVED);
    fs::write(&path, "mine").expect("written");
    make(&folder).expect_err("a file is in its place");
    fs::remove_file(&path).expect("there");
    symlink(".", &path).expect("linked");
    make(&folder).expect_err("a link is in its place");
}

/// The work folder, open in this way.
fn open_at(folder: &OwnedFd, access: OFlags) -> OwnedFd {
    let flags = access | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(folder, RESERVED, flags, Mode::empty()).expect("it is there")
}

/// A work folder with these files in it, an hour old where that is said.
fn filled(home: &tempfile::TempDir, names: &[&str], is_old: bool) -> PathBuf {
    let work = home.path().join(RESERVED);
    fs::create_dir_all(&work).expect("made");
    for name in names {
        fs::write(work.join(name), "").expect("written");
        if is_old {
            let then = SystemTime::now() - Duration::from_secs(3600);
            let file = File::open(work.join(name)).expect("there");
            file.set_modified(then).expect("ours");
        }
    }
    work
}

fn names_in(work: &Path) -> Vec<String> {
    let entries = fs::read_dir(work).expect("it is there").flatten();
    let mut names: Vec<_> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    names
}

const MINUTE: Option<Duration> = Some(Duration::from_secs(60));

#[test]
fn what_is_swept_depends_on_what_it_is_on_its_age_and_on_when_that_is() {
    let all = ["a.part", "b.upload", "c.record", "d.upload", "d.record"];
    let young_at_the_start = ["b.upload", "d.record", "d.upload"];
    for (is_old, when, left) in [
        (false, Sweep::Start, &young_at_the_start[..]),
        (true, Sweep::Start, &[]),
        (
            false,
            Sweep::Running,
            &["a.part", "b.upload", "c.record", "d.record", "d.upload"],
        ),
        (true, Sweep::Running, &["a.part"]),
    ] {
        let (home, folder) = home();
        let work = filled(&home, &all, is_old);
        sweep(&folder, when, MINUTE, None).expect("swept");
        assert_eq!(names_in(&work), left, "{is_old} {when:?}");
    }
}

#[test]
fn where_nothing_is_kept_all_goes_that_nobody_holds() {
    let (home, folder) = home();
    let work = filled(
        &home,
        &["a.upload", "a.record", "b.upload", "c.part"],
        false,
    );
    let held = ["b.upload", "c.part"].map(|name| {
        let file = File::open(work.join(name)).expect("there");
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).expect("free");
        file
    });
    sweep(&folder, Sweep::Start, None, None).expect("swept");
    assert_eq!(names_in(&work), ["b.upload", "c.part"]);
    drop(held);
    sweep(&folder, Sweep::Start, None, None).expect("swept");
    assert!(names_in(&work).is_empty());
}

#[test]
fn links_pipes_and_sockets_are_taken_away_and_neither_followed_nor_waited_for() {
    let (home, folder) = home();
    let work = filled(&home, &[], false);
    fs::write(home.path().join("mine"), "mine").expect("written");
    symlink("../mine", work.join("link.upload")).expect("linked");
    let pipe = work.join("pipe.part");
    let mode = Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, mode, 0).expect("made");
    let _socket = UnixListener::bind(work.join("socket.part")).expect("bound");
    sweep(&folder, Sweep::Start, MINUTE, None).expect("swept");
    assert!(names_in(&work).is_empty());
    assert_eq!(fs::read(home.path().join("mine")).expect("there"), b"mine");
}

#[test]
fn a_file_that_another_server_has_finished_meanwhile_is_no_failure() {
    let (home, folder) = home();
    filled(&home, &[], false);
    let work = open(&folder).expect("there");
    let mut held = Swept {
        files: Vec::new(),
        folder: Some((&work, &|| {})),
    };
    for name in [c"a.part", c"a.upload", c"a.record"] {
        sweep_one(&work, name, (Sweep::Start, None), &mut held)
            .expect("it is gone, which is as good");
        unlink(&work, name).expect("it is gone, which is as good");
    }
}

#[test]
fn a_file_that_was_changed_in_the_future_is_young() {
    let (home, folder) = home();
    let work = filled(&home, &["a.upload"], false);
    let file = File::open(work.join("a.upload")).expect("there");
    let then = SystemTime::now() + Duration::from_secs(3600);
    file.set_modified(then).expect("ours");
    sweep(&folder, Sweep::Running, MINUTE, None).expect("swept");
    assert_eq!(names_in(&work), ["a.upload"]);
}

#[test]
fn a_work_folder_that_can_not_be_synced_says_so_later_too() {
    let (home, folder) = home();
    for names_linger in [false, true] {
        let mut work = Work::make(&folder, names_linger).expect("it can be made");
        fs::write(home.path().join(".piecemeal/a"), "").expect("written");
        // A descriptor of this kind can't be synced.
        work.folder = open_at(&folder, OFlags::PATH);
        let taken = work.take_away(&["a"]);
        assert_eq!(taken.is_err(), names_linger, "{taken:?}");
        assert_eq!(work.has_failed(), names_linger);
        // Whoever waits for the moves before it hears of that.
        assert_eq!(work.sync_moves().is_err(), names_linger);
        // Gone it is all the same, and what isn't there needs no sync.
        assert!(!home.path().join(".piecemeal/a").exists());
        work.take_away(&["a"]).expect("it isn't there");
    }
}

#[test]
fn names_that_a_sweep_takes_away_and_can_not_be_synced_are_told_as_a_failure() {
    let (home, folder) = home();
    filled(&home, &["a.part"], false);
    let unfit = open_at(&folder, OFlags::PATH);
    let told = Cell::new(false);
    let lost = || told.set(true);
    let mut held = Swept {
        files: Vec::new(),
        folder: Some((&unfit, &lost)),
    };
    held.let_go().expect("there is nothing to be synced");
    held.add("a.part").expect("it is held");
    held.let_go().expect_err("it can't be synced");
    assert!(told.get());
}

/// Its sender may give it any time when it is complete, and a server may die then.
#[test]
fn how_old_an_upload_is_says_its_record_where_its_own_time_is_its_senders() {
    let (home, folder) = home();
    let work = filled(&home, &["a.upload", "b.upload"], true);
    filled(&home, &["a.record"], false);
    sweep(&folder, Sweep::Running, MINUTE, None).expect("swept");
    assert_eq!(names_in(&work), ["a.record", "a.upload"]);
    // One that is never old would stay for ever.
    let mut facts = rustix::fs::statat(&folder, RESERVED, AtFlags::empty()).expect("there");
    let now = facts.st_ctime;
    let aged = |facts: &Stat| age(facts).as_secs() / 100;
    for (modified, changed, hundreds) in [
        (now - 550, now, 5),
        (now + 1_000_000, now - 850, 8),
        (now + 1_000_000, now + 1_000_000, 0),
    ] {
        (facts.st_mtime, facts.st_ctime) = (modified, changed);
        assert_eq!(aged(&facts), hundreds, "{modified} {changed}");
    }
}
