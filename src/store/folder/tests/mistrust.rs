//! Partials that are not what their records say, or whose records say little.

use super::resuming::{FILE, ID, RECORD, new_shelf, resumable};
use super::*;
use std::os::unix::fs::{FileExt, symlink};
use std::time::SystemTime;

#[test]
fn a_killed_servers_partial_is_offered_by_the_next() {
    let mut shelf = new_shelf();
    let order = resumable("a", Some(6));
    let (mut upload, _) = shelf.resume(&order).expect("it begins");
    shelf.store.write(&mut upload, b"123").expect("room");
    // What a kill leaves is what is there now.
    let copy = tempfile::tempdir().expect("a folder");
    copy_of(&shelf, &copy);
    drop(upload);
    drop(shelf);
    let mut next = resuming::shelf(copy, Naming::Best);
    let (mut upload, offset) = next.resume(&order).expect("it goes on");
    assert_eq!(offset, 3);
    next.store.write(&mut upload, b"456").expect("room");
    next.commit(upload, 6, None).expect("stored");
    assert_eq!(next.files()["a"], b"123456");
}

#[test]
fn after_a_power_cut_only_what_was_synced_is_offered() {
    let mut shelf = new_shelf();
    let order = resumable("a", Some(9));
    let (mut upload, _) = shelf.resume(&order).expect("it begins");
    shelf.store.write(&mut upload, b"123456").expect("room");
    let copy = tempfile::tempdir().expect("a folder");
    copy_of(&shelf, &copy);
    let record = copy.path().join(".piecemeal").join(RECORD);
    let text = fs::read_to_string(&record).expect("there is one");
    assert!(text.contains("state=open\nsynced=0\n"), "{text}");
    let boot = record::boot().unwrap_or("none");
    let text = text
        .replace("synced=0", "synced=4")
        .replace(boot, "another");
    fs::write(&record, text).expect("written");
    let mut next = resuming::shelf(copy, Naming::Best);
    let (mut upload, offset) = next.resume(&order).expect("it goes on");
    assert_eq!(upload.written(), 4);
    assert_eq!(
        (offset, upload.facts().len()),
        (4, 4),
        "the rest is cut off"
    );
}

#[test]
fn a_power_cut_while_an_upload_is_opened_again_takes_nothing_of_it() {
    let mut shelf = new_shelf();
    let order = resumable("a", Some(6));
    shelf.leave(&order, b"123");
    let mut shelf = shelf.restarted();
    let closed = fs::read(shelf.work().join(RECORD)).expect("it is put away");
    let (_upload, offset) = shelf.resume(&order).expect("it goes on");
    assert_eq!(offset, 3);
    // The cut comes when the file is ready and its new record isn't there yet.
    let copy = tempfile::tempdir().expect("a folder");
    copy_of(&shelf, &copy);
    let work = copy.path().join(".piecemeal");
    fs::write(work.join(RECORD), closed).expect("written");
    let facts = fs::metadata(shelf.work().join(FILE)).expect("it is there");
    let file = fs::File::open(work.join(FILE)).expect("a copy");
    file.set_modified(facts.modified().expect("it has a time"))
        .expect("ours");
    let mut next = resuming::shelf(copy, Naming::Best);
    let (_upload, offset) = next.resume(&order).expect("it goes on");
    assert_eq!(offset, 3);
}

#[test]
fn what_a_power_cut_left_of_a_move_to_its_name_is_swept_at_the_next_start() {
    let mut shelf = new_shelf();
    shelf.leave(&resumable("a", Some(6)), b"123");
    let shelf = shelf.restarted();
    let stored = shelf.folder.path().join("a");
    fs::hard_link(shelf.work().join(FILE), stored).expect("linked");
    let shelf = shelf.restarted();
    assert_eq!(shelf.in_work(), [""; 0]);
    assert_eq!(shelf.files()["a"], b"123");
}

#[test]
fn a_record_whose_upload_a_power_cut_took_is_swept_at_the_next_start_however_young() {
    let mut shelf = new_shelf();
    shelf.leave(&resumable("a", Some(6)), b"123");
    let shelf = shelf.restarted();
    fs::remove_file(shelf.work().join(FILE)).expect("it is there");
    let shelf = shelf.restarted();
    assert_eq!(shelf.in_work(), [""; 0]);
}

/// A power cut can leave a work file's name leading to a folder, and a server that could not start
/// for it.
#[test]
fn a_folder_among_the_work_files_is_left_alone_whatever_its_name() {
    let shelf = new_shelf();
    for name in ["a.part", "b.upload", RECORD] {
        fs::create_dir_all(shelf.work().join(name)).expect("made");
    }
    fs::write(shelf.work().join(FILE), "123").expect("written");
    let shelf = shelf.restarted();
    shelf.store.root.sweep_partials(None).expect("swept");
    assert_eq!(shelf.in_work(), [RECORD, "a.part", "b.upload"]);
}

/// Copies the work folder as it is now.
fn copy_of(shelf: &Shelf, to: &tempfile::TempDir) {
    let work = to.path().join(".piecemeal");
    fs::create_dir(&work).expect("it is new");
    for name in shelf.in_work() {
        fs::copy(shelf.work().join(&name), work.join(&name)).expect("copied");
    }
}

#[test]
fn a_partial_that_was_meddled_with_is_begun_anew_and_nothing_else_is_touched() {
    type Meddle = fn(&std::path::Path);
    let meddles: [(&str, Meddle); 12] = [
        ("shrank", |work| open(work).set_len(3).expect("cut")),
        ("grew", |work| open(work).set_len(8).expect("grown")),
        ("is empty", |work| open(work).set_len(0).expect("cut")),
        ("was written to", |work| {
            let file = open(work);
            file.write_all_at(b"x", 1).expect("written");
            file.set_modified(SystemTime::UNIX_EPOCH).expect("set");
        }),
        ("vanished", |work| {
            fs::remove_file(work.join(FILE)).expect("there")
        }),
        ("lost its record", |work| {
            fs::remove_file(work.join(RECORD)).expect("there")
        }),
        ("has nonsense for a record", |work| {
            fs::write(work.join(RECORD), "\0\u{fffd}=").expect("written")
        }),
        ("has an empty record", |work| {
            fs::write(work.join(RECORD), "").expect("written")
        }),
        ("has another's record", |work| {
            let record = fs::read_to_string(work.join(RECORD)).expect("there");
            fs::write(work.join(RECORD), record.replace(ID, "other")).expect("written");
        }),
        ("is a link to another file", |work| {
            fs::remove_file(work.join(FILE)).expect("there");
            symlink("../mine", work.join(FILE)).expect("linked");
        }),
        ("has a second name", |work| {
            fs::hard_link(work.join(FILE), work.join("../mine too")).expect("linked");
        }),
        ("is a folder", |work| {
            fs::remove_file(work.join(FILE)).expect("there");
            fs::create_dir_all(work.join(FILE).join("in it")).expect("made");
        }),
    ];
    for (how, meddle) in meddles {
        let mut shelf = new_shelf();
        let mine = shelf.folder.path().join("mine");
        fs::write(&mine, "mine").expect("written");
        let order = resumable("a", Some(6));
        shelf.leave(&order, b"12345");
        let mut shelf = shelf.restarted();
        meddle(&shelf.work());
        let (mut upload, offset) = shelf.resume(&order).expect("it begins");
        assert_eq!(offset, 0, "one that {how}");
        shelf.store.write(&mut upload, b"abcdef").expect("room");
        shelf.commit(upload, 6, None).expect("it is stored");
        let read = |name: &str| fs::read(shelf.folder.path().join(name)).expect("a file");
        assert_eq!(read("a"), b"abcdef", "one that {how}");
        assert_eq!(read("mine"), b"mine");
        if how == "has a second name" {
            assert_eq!(read("mine too"), b"12345");
        }
    }
}

fn open(work: &std::path::Path) -> fs::File {
    let mut options = fs::OpenOptions::new();
    options
        .read(true)
        .write(true)
        .open(work.join(FILE))
        .expect("there")
}
