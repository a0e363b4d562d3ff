//! Which folders are synced for a batch, and what becomes of one that can't be.

use super::*;
use crate::store::folder::root::Naming;
use crate::store::folder::tests::{durable, unfit};
use crate::store::folder::{Durability, Space};
use std::cell::Cell;
use std::fs;
use std::io::Write;

fn place(folders: &mut Folders, root: &Root, name: &str) -> Result<(), Error> {
    let unfinished = root.create().expect("a file");
    folders.place(root, &unfinished, name)
}

#[test]
fn a_sync_that_has_failed_once_is_never_made_up_for_not_even_in_the_middle_of_a_batch() {
    let home = tempfile::tempdir().expect("a folder");
    let root = durable(&home);
    let mut folders = Folders::new(2);
    place(&mut folders, &root, "a/1").expect("placed");
    let (folder, changed) = (Arc::new(unfit(&root, "a")), true);
    folders.open.insert("a".into(), Open { folder, changed });
    place(&mut folders, &root, "b/2").expect("there is room for two");
    let third = place(&mut folders, &root, "c/3");
    assert!(matches!(third, Err(Error::Io { .. })), "{third:?}");
    assert!(root.has_failed() && folders.sync(&root).is_err());
    assert!(folders.sync(&root).is_err());
}

#[test]
fn a_name_that_was_given_in_a_folder_that_can_not_be_synced_is_not_kept() {
    let home = tempfile::tempdir().expect("a folder");
    for path in ["1", "a/1"] {
        let mut root = durable(&home);
        let mut folders = Folders::new(2);
        std::fs::create_dir_all(home.path().join("a")).expect("made");
        if path == "1" {
            root.folder = unfit(&root, ".");
        } else {
            let (folder, changed) = (Arc::new(unfit(&root, "a")), false);
            folders.open.insert("a".into(), Open { folder, changed });
        }
        place(&mut folders, &root, path).expect("placed");
        folders.sync(&root).expect_err("its folder is not synced");
        assert!(root.has_failed());
    }
}

/// Somebody moves the file elsewhere as soon as it has its name, and another one takes that.
#[test]
fn what_is_not_seen_behind_its_move_is_unknown_and_its_folder_is_synced_all_the_same() {
    for path in ["1", "a/1"] {
        let home = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(home.path().join("a")).expect("made");
        let root = Root::open(home.path(), Durability::Full, Naming::Partial, None);
        let mut root = root.expect("it opens");
        let folder = root.folder.try_clone().expect("a descriptor");
        let space = Space::open(folder, Some(100), None).expect("it is counted");
        root.limit(Arc::clone(&space));
        let reserved = root.reserve(Some(5)).expect("there is room");
        let unfinished = root.create().expect("a file").with_reservation(reserved);
        (&unfinished.file).write_all(b"12345").expect("written");
        let work = home.path().join(".piecemeal");
        let hidden = work.join(&unfinished.partial().as_ref().expect("it has one").name);
        std::fs::rename(&hidden, work.join("elsewhere")).expect("moved");
        std::fs::write(&hidden, "another").expect("written");

        let mut folders = Folders::new(2);
        if path == "1" {
            root.folder = unfit(&root, ".");
        } else {
            let (folder, changed) = (Arc::new(unfit(&root, "a")), false);
            folders.open.insert("a".into(), Open { folder, changed });
        }
        let placed = folders.place(&root, &unfinished, path);
        assert!(matches!(placed, Err(Error::Unknown(_))), "{placed:?}");
        drop(unfinished);
        assert_eq!(space.used(), 5, "nothing is given back");
        folders.sync(&root).expect_err("its folder is not synced");
    }
}

#[test]
fn a_folder_that_somebody_else_has_made_is_synced_into_the_root_once() {
    let home = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(home.path().join("a")).expect("made");
    let mut root = durable(&home);
    let broken = unfit(&root, ".");
    let mut folders = Folders::new(2);
    // Another one that has to sync it as well: it can't know that it is kept.
    let mut later = Folders::new(2);
    place(&mut folders, &root, "a/1").expect("placed");
    folders.sync(&root).expect("all of it can be synced");
    root.folder = broken;
    place(&mut folders, &root, "a/2").expect("placed");
    folders
        .sync(&root)
        .expect("only the folder itself is synced");
    place(&mut later, &root, "a/3").expect("placed");
    later.sync(&root).expect_err("the root must be synced too");
}

#[test]
fn a_common_sync_that_has_failed_is_never_made_up_for_by_one_of_the_folders() {
    let home = tempfile::tempdir().expect("a folder");
    let mut root = durable(&home);
    let mut folders = Folders::new(2);
    place(&mut folders, &root, "a/1").expect("placed");
    folders.sync_with_all(&root).expect("all can be synced");
    let broken = unfit(&root, ".");
    let good = std::mem::replace(&mut root.folder, broken);
    place(&mut folders, &root, "a/2").expect("placed");
    folders
        .sync_with_all(&root)
        .expect_err("it can't be synced");
    root.folder = good;
    folders.sync(&root).expect_err("it has failed for good");
    assert!(root.has_failed());
}

/// What putting a file into a folder ends with when the way there fails so often, and how often
/// it was tried. Whether anything was synced in between is told by how the root can be synced.
fn put_failing(folders: &mut Folders, root: &Root, error: Errno, times: u32) -> (bool, u32) {
    let tries = Cell::new(0);
    let put = |_: &OwnedFd, _: &str| {
        tries.set(tries.get() + 1);
        match tries.get() <= times {
            true => Err(Error::from_call("try", error)),
            false => Ok(()),
        }
    };
    let done = folders.within(root, "a/b/file", put).is_ok();
    (done, tries.get())
}

#[test]
fn a_folder_that_goes_and_descriptors_that_end_are_tried_again_and_not_for_ever() {
    let home = tempfile::tempdir().expect("a folder");
    let root = durable(&home);
    for error in [Errno::NOENT, Errno::MFILE, Errno::NFILE] {
        for (times, expected) in [
            (0, (true, 1)),
            (1, (true, 2)),
            (TRIES - 1, (true, TRIES)),
            (TRIES, (false, TRIES)),
        ] {
            let mut folders = Folders::new(2);
            assert_eq!(
                put_failing(&mut folders, &root, error, times),
                expected,
                "{error} {times} times"
            );
            folders.sync(&root).expect("synced");
        }
    }
    let other = put_failing(&mut Folders::new(2), &root, Errno::IO, 1);
    assert_eq!(other, (false, 1), "what is no shortage fails at once");
}

#[test]
fn where_descriptors_end_in_the_middle_of_a_batch_its_folders_are_synced_and_closed() {
    let home = tempfile::tempdir().expect("a folder");
    fs::create_dir(home.path().join("c")).expect("made");
    for is_fit in [true, false] {
        let root = durable(&home);
        let mut folders = Folders::new(8);
        place(&mut folders, &root, &format!("c/{is_fit}")).expect("placed");
        if !is_fit {
            let folder = Arc::new(unfit(&root, "c"));
            let changed = true;
            folders.open.insert("c".into(), Open { folder, changed });
        }
        let (done, tries) = put_failing(&mut folders, &root, Errno::MFILE, 1);
        // What can't be synced then is not made up for by a second try.
        assert_eq!((done, tries), (is_fit, 1 + u32::from(is_fit)));
        assert_eq!(root.has_failed(), !is_fit);
        assert!(!folders.open.contains_key("c"), "it is closed");
    }
}

#[test]
fn what_went_into_a_folder_that_somebody_moves_away_is_synced_there() {
    let home = tempfile::tempdir().expect("a folder");
    let root = durable(&home);
    let mut folders = Folders::new(2);
    place(&mut folders, &root, "a/1").expect("placed");
    // The folder that it went into can't be synced, and its path means another one.
    let folder = Arc::new(unfit(&root, "a"));
    let changed = true;
    folders.open.insert("a".into(), Open { folder, changed });
    folders.forget("a");
    place(&mut folders, &root, "a/2").expect("placed");
    folders.sync(&root).expect_err("the first is not safe");
}

#[test]
fn a_folder_that_has_no_new_entry_is_not_synced() {
    let home = tempfile::tempdir().expect("a folder");
    let root = durable(&home);
    let mut folders = Folders::new(4);
    place(&mut folders, &root, "a/b/1").expect("placed");
    folders.sync(&root).expect("synced");
    let (folder, changed) = (Arc::new(unfit(&root, "a")), false);
    folders.open.insert("a".into(), Open { folder, changed });
    place(&mut folders, &root, "a/b/2").expect("placed");
    folders.sync(&root).expect("the one above has nothing new");
}

#[test]
fn folders_are_remembered_as_kept_until_there_are_too_many() {
    let home = tempfile::tempdir().expect("a folder");
    let root = durable(&home);
    let mut folders = Folders::new(8);
    let kept = |folders: &Folders| folders.kept.len();
    let names = (1..REMEMBERED).map(|number| number.to_string().into());
    folders.kept.extend(names);
    place(&mut folders, &root, "a/1").expect("placed");
    folders.sync(&root).expect("synced");
    assert_eq!(kept(&folders), REMEMBERED);
    place(&mut folders, &root, "b/1").expect("placed");
    folders.sync(&root).expect("synced");
    assert_eq!(kept(&folders), 1, "all but the last are forgotten");
}

#[test]
fn no_more_folders_are_open_at_once_than_may_be() {
    let home = tempfile::tempdir().expect("a folder");
    let root = durable(&home);
    let mut folders = Folders::new(2);
    for (name, open) in [("a/1", 1), ("b/1", 2), ("c/1", 1), ("a/2", 2), ("b/2", 1)] {
        place(&mut folders, &root, name).expect("placed");
        assert_eq!(folders.open.len(), open, "{name}");
    }
}

#[test]
fn where_nothing_is_promised_of_a_power_cut_no_folder_is_synced_and_none_is_kept_open() {
    let home = tempfile::tempdir().expect("a folder");
    let root = Root::open(home.path(), Durability::None, Naming::Best, None).expect("it opens");
    let mut folders = Folders::new(2);
    place(&mut folders, &root, "a/1").expect("placed");
    let (folder, changed) = (Arc::new(unfit(&root, "a")), true);
    folders.open.insert("a".into(), Open { folder, changed });
    folders.sync(&root).expect("nobody syncs it");
    assert!(folders.open.is_empty() && !root.has_failed());
}

#[test]
fn an_error_that_befell_several_is_the_same_for_each() {
    let call = io::Error::from_raw_os_error(28);
    assert_eq!(copy(&call).raw_os_error(), Some(28));
    let said = copy(&io::Error::other("so"));
    assert_eq!(
        (said.kind(), said.to_string()),
        (io::ErrorKind::Other, "so".into())
    );
}

#[test]
fn a_folder_that_went_before_it_was_synced_is_not_taken_to_be_kept_and_the_others_are() {
    let home = tempfile::tempdir().expect("a folder");
    let root = durable(&home);
    let mut folders = Folders::new(8);
    for name in ["a/b/1", "c/1"] {
        place(&mut folders, &root, name).expect("placed");
    }
    folders.forget("a/b");
    folders.sync(&root).expect("synced");
    let kept: Vec<_> = folders.kept.iter().map(|path| &**path).collect();
    assert_eq!(kept, ["c"]);
}
