//! Which folders are synced for a batch, and what becomes of one that can't be.

use super::*;
use crate::store::folder::root::Naming;
use crate::store::folder::tests::{durable, unfit};
use crate::store::folder::{Durability, Space};
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
