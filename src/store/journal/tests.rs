//! The journal alone: what stands in it after a crash, a rotation, and where there is no room.

use std::fs;
use std::os::unix::fs::MetadataExt;

use rustix::fs::{MemfdFlags, SealFlags};

use super::*;

const LINE: &str = "{\"a line\":1}\n";

fn append(journal: &Journal, line: &str) {
    let room = journal.make_room(line.len() as u64).expect("room");
    room.append(line, [], true).expect("it is written");
}

fn fail(journal: &Journal) {
    let error = io::Error::other("a disk that dies");
    journal.fail(&mut journal.lock(), &error);
}

#[test]
fn a_last_line_that_was_cut_off_gets_its_end_and_nothing_is_lost() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let path = home.path().join("journal");
    for (before, after) in [
        ("", LINE.to_owned()),
        ("whole\n", format!("whole\n{LINE}")),
        ("whole\ntorn", format!("whole\ntorn\n{LINE}")),
    ] {
        fs::write(&path, before).expect("a file");
        append(&Journal::open(&path).expect("opened"), LINE);
        assert_eq!(fs::read_to_string(&path).expect("text"), after);
    }
}

#[test]
fn a_journal_has_one_writer_and_is_a_plain_file() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let path = home.path().join("journal");
    let first = Journal::open(&path).expect("opened");
    let second = Journal::open(&path).expect_err("it is locked").to_string();
    assert!(second.contains("another server") && second.contains("journal"));
    drop(first);
    Journal::open(&path).expect("nobody has it any more");
    let folder = Journal::open(home.path()).expect_err("a folder");
    assert!(folder.to_string().contains("can't use the journal"));
    let device = Journal::open(Path::new("/dev/null")).expect_err("a device");
    assert!(device.to_string().contains("no plain file"), "{device}");
}

#[test]
fn a_renamed_journal_is_complete_and_the_next_line_begins_another() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let (path, old) = (home.path().join("journal"), home.path().join("journal.1"));
    let journal = Journal::open(&path).expect("opened");
    append(&journal, LINE);
    // A signal without a rename changes nothing.
    journal.reopen().expect("the same file");
    fs::rename(&path, &old).expect("renamed");
    append(&journal, "behind the rename\n");
    // Somebody has been promised room meanwhile, and it has to be in the new file.
    let room = journal.make_room(100).expect("room");
    journal.reopen().expect("a new file");
    room.append("new\n", [], true).expect("it is written");
    let old = fs::read_to_string(&old).expect("text");
    assert_eq!(old, format!("{LINE}behind the rename\n"));
    assert_eq!(fs::read_to_string(&path).expect("text"), "new\n");
}

#[test]
fn it_is_told_where_lost_lines_can_not_be_cut_off_a_renamed_journal() {
    for is_lost in [true, false] {
        let home = tempfile::tempdir().expect("a temporary folder");
        let (path, old) = (home.path().join("journal"), home.path().join("journal.1"));
        let journal = Journal::open(&path).expect("opened");
        journal.write("lost\n", true).expect("written");
        // It can be read, and neither written to nor cut.
        journal.lock().file = Arc::new(File::open(&path).expect("it is there"));
        if is_lost {
            fail(&journal);
            journal
                .reopen()
                .expect_err("the same file, with what was lost");
        }
        fs::rename(&path, &old).expect("renamed");
        let reopened = journal.reopen().expect("a new file");
        assert_eq!(reopened.uncut.is_some(), is_lost, "{reopened:?}");
        append(&journal, LINE);
    }
}

#[test]
fn a_journal_that_can_not_be_opened_anew_stays_as_it_is() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let (path, old) = (home.path().join("journal"), home.path().join("journal.1"));
    let journal = Journal::open(&path).expect("opened");
    fs::rename(&path, &old).expect("renamed");
    fs::create_dir(&path).expect("something in its way");
    journal.reopen().expect_err("a folder is there");
    append(&journal, LINE);
    assert_eq!(fs::read_to_string(&old).expect("text"), LINE);
}

#[test]
fn after_a_line_that_could_not_be_written_there_is_no_room_until_it_is_opened_anew() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let path = home.path().join("journal");
    let journal = Journal::open(&path).expect("opened");
    fail(&journal);
    let refused = journal.make_room(1).expect_err("it has failed");
    assert!(refused.to_string().contains("SIGHUP"), "{refused}");
    journal.reopen().expect("the same file");
    append(&journal, LINE);
}

/// The kernel goes on showing what it could not write, and would call it synced the next time.
#[test]
fn lines_whose_sync_failed_are_gone_when_the_journal_is_opened_anew() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let path = home.path().join("journal");
    fs::write(&path, "before\n").expect("a file");
    let journal = Journal::open(&path).expect("opened");
    append(&journal, LINE);
    {
        let mut state = journal.lock();
        let State { file, reserved, .. } = &mut *state;
        file::append(file, reserved, b"not synced, and half a li").expect("it is written");
    }
    fail(&journal);
    journal.reopen().expect("the same file");
    append(&journal, "behind\n");
    let text = fs::read_to_string(&path).expect("text");
    assert_eq!(text, format!("before\n{LINE}behind\n"));
}

#[test]
fn a_line_that_was_lost_with_others_is_not_taken_for_synced_when_the_journal_works_again() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let path = home.path().join("journal");
    let journal = Journal::open(&path).expect("opened");
    let room = journal.make_room(LINE.len() as u64).expect("room");
    let syncing = journal.syncing.lock().expect("nobody has died");
    std::thread::scope(|threads| {
        let second = threads.spawn(|| room.append(LINE, [], true));
        while journal.lock().file.metadata().expect("it is open").len() == 0 {
            std::thread::yield_now();
        }
        // The first one's sync fails, and a signal comes before the second one's turn.
        fail(&journal);
        journal.failed.store(false, Ordering::Release);
        drop(syncing);
        let said = second.join().expect("it ends");
        assert!(said.is_err(), "its line may be lost");
    });
}

#[test]
fn no_line_is_written_behind_lost_ones_even_where_there_was_room_for_it_before() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let path = home.path().join("journal");
    let journal = Journal::open(&path).expect("opened");
    for sync in [true, false] {
        let room = journal.make_room(LINE.len() as u64).expect("room");
        fail(&journal);
        // Its own sync would succeed: the error has been told already.
        let refused = room.append(LINE, [], sync).expect_err("it has failed");
        assert!(refused.to_string().contains("SIGHUP"), "{refused}");
        assert_eq!(fs::read_to_string(&path).expect("text"), "");
        journal.reopen().expect("the same file");
    }
    append(&journal, LINE);
}

/// Another store may lose its lines at any moment, and a signal comes behind that.
#[test]
fn a_line_that_is_as_safe_as_it_gets_is_not_cut_off_with_those_that_were_lost_behind_it() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let path = home.path().join("journal");
    let journal = Journal::open(&path).expect("opened");
    for sync in [true, false] {
        let appended = journal.write(LINE, sync).expect("written");
        if sync {
            journal.sync(&appended).expect("synced");
        }
        // Nobody has been told of it so far.
        journal.write("lost\n", true).expect("written");
        fail(&journal);
        journal.reopen().expect("the same file");
    }
    let text = fs::read_to_string(&path).expect("text");
    assert_eq!(text, [LINE; 2].concat());
}

#[test]
fn a_file_that_is_found_again_has_one_line_as_long_as_it_is_remembered() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let path = home.path().join("journal");
    let receipt = Receipt {
        name: "a.txt".into(),
        size: 5,
        digest: Some(Digest([1; 32])),
        durable: true,
    };
    for lines in 1..=2 {
        let journal = Journal::open(&path).expect("opened");
        for _ in 0..3 {
            journal.record_found(&receipt, true).expect("recorded");
        }
        let text = fs::read_to_string(&path).expect("text");
        assert_eq!(text.lines().count(), lines, "{text}");
        assert!(text.contains("\"found\":true"), "{text}");
    }
}

#[test]
fn a_file_that_was_cut_off_by_others_has_its_blocks_reserved_again() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let path = home.path().join("journal");
    let journal = Journal::open(&path).expect("opened");
    append(&journal, LINE);
    let blocks = |journal: &Journal| {
        let facts = journal.lock().file.metadata();
        facts.expect("it is open").blocks()
    };
    let before = blocks(&journal);
    fs::write(&path, "").expect("cut off");
    append(&journal, LINE);
    assert_eq!(fs::read_to_string(&path).expect("text"), LINE);
    assert_eq!(blocks(&journal), before);
    let file = Arc::clone(&journal.lock().file);
    drop(journal);
    let kept = file.metadata().expect("it is open").blocks();
    assert!(kept <= before, "what was reserved is given back");
}

#[test]
fn what_an_append_that_fails_gives_back_is_reserved_again() {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = File::from(rustix::fs::memfd_create("journal", flags).expect("a file"));
    let blocks = || file.metadata().expect("it is open").blocks();
    let mut reserved = file::Reserved::default();
    file::reserve(&file, &mut reserved, 100).expect("there is room");
    let before = blocks();
    // Nothing can be written to it any more, and all the rest can be done.
    rustix::fs::fcntl_add_seals(&file, SealFlags::WRITE).expect("nobody maps it");
    file::append(&file, &mut reserved, LINE.as_bytes()).expect_err("it is sealed");
    assert!(blocks() < before);
    file::reserve(&file, &mut reserved, 100).expect("there is room");
    assert_eq!(blocks(), before);
}
