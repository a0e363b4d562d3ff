//! Names with folders: made where they are missing, and never left by a link.

use super::super::folders::Folders;
use super::*;
use crate::proto::name::NameRules;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

fn order(name: &str, conflict: Conflict) -> Order {
    let rules = NameRules {
        allow_hidden: false,
        allow_folders: true,
    };
    Order {
        name: Some(Name::parse(name, rules).expect("a good name")),
        conflict,
        ..Order::default()
    }
}

fn plain(name: &str) -> Order {
    order(name, Conflict::Error)
}

/// Every file beneath a folder, by its path from there; folders that are empty, too.
fn tree(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        let inside: Vec<_> = fs::read_dir(&next).expect("readable").flatten().collect();
        let path = |path: &Path| {
            let below = path.strip_prefix(folder).expect("it is beneath");
            below.to_str().expect("text").to_owned()
        };
        if inside.is_empty() && next != *folder {
            found.insert(path(&next) + "/", Vec::new());
        }
        for entry in inside {
            if entry.file_type().expect("known").is_dir() {
                folders.push(entry.path());
            } else {
                let bytes = fs::read(entry.path()).unwrap_or_default();
                found.insert(path(&entry.path()), bytes);
            }
        }
    }
    found.remove(".piecemeal/");
    found
}

#[test]
fn folders_are_made_and_a_second_file_finds_them() {
    for mut shelf in Shelf::of_each_kind() {
        let deep = vec!["d"; 31].join("/") + "/file";
        for name in ["a/b/c.txt", "a/b/d.txt", "a/e", "top", &deep] {
            let receipt = shelf.put(&plain(name), name.as_bytes()).expect("stored");
            assert_eq!(receipt.name, name);
        }
        let stored = tree(shelf.folder.path());
        assert_eq!(stored.len(), 5);
        for (name, bytes) in stored {
            assert_eq!(bytes, name.as_bytes());
        }
    }
}

#[test]
fn each_policy_holds_in_folders_too() {
    for mut shelf in Shelf::of_each_kind() {
        shelf.put(&plain("a/r.pdf"), b"1").expect("stored");
        let again = shelf.put(&plain("a/r.pdf"), b"2");
        assert!(matches!(again, Err(Error::Exists)));
        for (number, name) in [(2, "a/r (2).pdf"), (3, "a/r (3).pdf")] {
            let rename = order("a/r.pdf", Conflict::Rename);
            assert_eq!(shelf.put(&rename, &[number]).expect("stored").name, name);
        }
        let overwrite = order("a/r.pdf", Conflict::Overwrite);
        shelf.put(&overwrite, b"4").expect("stored");
        let overwrite = order("new/r.pdf", Conflict::Overwrite);
        shelf.put(&overwrite, b"5").expect("stored");
        let stored = tree(shelf.folder.path());
        let names: Vec<&str> = stored.keys().map(String::as_str).collect();
        let expected = ["a/r (2).pdf", "a/r (3).pdf", "a/r.pdf", "new/r.pdf"];
        assert_eq!(names, expected);
        assert_eq!(
            (&*stored["a/r.pdf"], &*stored["new/r.pdf"]),
            (&b"4"[..], &b"5"[..])
        );
    }
}

#[test]
fn a_file_in_a_folder_is_recognised_when_it_is_sent_again() {
    for mut shelf in Shelf::of_each_kind() {
        let first = Order {
            digest: Some(Digest(blake3::hash(b"same").into())),
            ..plain("a/b/c")
        };
        shelf.put(&first, b"same").expect("stored");
        shelf
            .put(&first, b"same")
            .expect("the same bytes are no conflict");
        let look = Order {
            look_first: true,
            ..first
        };
        assert!(matches!(
            shelf.store.begin(&look, KEY),
            Ok(Opening::Looking)
        ));
        assert!(matches!(shelf.done(), Done::Looked(KEY, Ok(Some(_)))));
    }
}

#[test]
fn where_a_file_or_a_link_stands_no_folder_is_made_and_no_link_is_followed() {
    let policies = [Conflict::Error, Conflict::Rename, Conflict::Overwrite];
    for mut shelf in Shelf::of_each_kind() {
        let outside = tempfile::tempdir().expect("another folder");
        fs::create_dir(outside.path().join("sub")).expect("made");
        let root = shelf.folder.path().to_owned();
        shelf.put(&plain("file"), b"file").expect("stored");
        shelf.put(&plain("in/file"), b"file").expect("stored");
        symlink(outside.path(), root.join("out")).expect("linked");
        symlink("in", root.join("within")).expect("linked");
        symlink("missing", root.join("in/dangling")).expect("linked");
        for name in [
            "file/x",
            "file/x/y",
            "in/file/x",
            "out/x",
            "out/sub/x",
            "out/new/x",
            "within/x",
            "in/dangling/x",
        ] {
            for policy in policies {
                // Refused at once, so that nobody sends the bytes in vain.
                let begun = shelf.begin(&order(name, policy));
                assert!(matches!(begun, Err(Error::NotFolder)), "{name}: {begun:?}");
            }
        }
        // What is in the way of the commit only counts as well.
        for policy in policies {
            let upload = shelf.begin(&order("late/x", policy)).expect("it begins");
            symlink(outside.path(), root.join("late")).expect("linked");
            shelf.store.commit(upload, Seal::default(), KEY);
            let done = shelf.done();
            assert!(
                matches!(done, Done::Stored(KEY, Err(Error::NotFolder))),
                "{done:?}"
            );
            fs::remove_file(root.join("late")).expect("it is there");
        }
        assert_eq!(
            tree(outside.path()).into_keys().collect::<Vec<_>>(),
            ["sub/"]
        );
        assert!(!root.join("in/missing").exists());
    }
}

#[test]
fn a_folder_that_is_removed_or_replaced_between_uploads_is_made_anew() {
    for mut shelf in Shelf::of_each_kind() {
        let root = shelf.folder.path().to_owned();
        for round in 0..3 {
            shelf.put(&plain("a/b/c"), &[round]).expect("stored");
            fs::remove_dir_all(root.join("a")).expect("it was made");
        }
        shelf.put(&plain("a/b/c"), b"old").expect("stored");
        fs::rename(root.join("a"), root.join("moved")).expect("it is there");
        shelf.put(&plain("a/b/c"), b"new").expect("stored");
        let stored = tree(&root);
        assert_eq!(
            (&*stored["moved/b/c"], &*stored["a/b/c"]),
            (&b"old"[..], &b"new"[..])
        );
        assert_eq!(stored.len(), 2);
    }
}

#[test]
fn a_folder_that_is_removed_while_it_is_open_is_made_anew() {
    for shelf in Shelf::of_each_kind() {
        let path = shelf.folder.path().to_owned();
        let root = &*shelf.store.root;
        let mut folders = Folders::new(8);
        let mut place = |name: &str| {
            let unfinished = root.create().expect("a file");
            folders.place(root, &unfinished, name).map(|()| unfinished)
        };
        place("a/b/1").expect("placed");
        fs::remove_dir_all(path.join("a")).expect("it was made");
        place("a/b/2").expect("placed in a folder that is new");
        fs::remove_dir_all(path.join("a/b")).expect("it was made");
        place("a/3").expect("this one is still there");
        place("a/b/4").expect("placed");
        fs::remove_dir_all(path.join("a")).expect("it was made");
        fs::write(path.join("a"), "a file").expect("written");
        assert!(matches!(place("a/b/5"), Err(Error::NotFolder)));
        fs::remove_file(path.join("a")).expect("it is there");
        place("a/b/6").expect("placed");
        folders.sync(root).expect("a good disk");
        assert_eq!(tree(&path).into_keys().collect::<Vec<_>>(), ["a/b/6"]);
    }
}

/// Somebody removes folders as fast as they can be made. Each upload is stored, and then gone with
/// its folder, or it fails; and the store works on.
#[test]
fn a_folder_that_goes_all_the_time_harms_nobody_else() {
    for mut shelf in Shelf::of_each_kind() {
        let folder = shelf.folder.path().join("a");
        let over = AtomicBool::new(false);
        thread::scope(|threads| {
            threads.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let _ = fs::remove_dir(folder.join("b"));
                    let _ = fs::remove_dir(&folder);
                }
            });
            for number in 0..100 {
                let name = format!("a/b/{number}");
                match shelf.put(&plain(&name), name.as_bytes()) {
                    Ok(_) => fs::remove_file(folder.join("b").join(number.to_string()))
                        .expect("a folder with a file in it stays"),
                    Err(error) => assert!(matches!(error, Error::Io { .. }), "{error}"),
                }
            }
            over.store(true, Ordering::Relaxed);
        });
        shelf.put(&plain("a/b/c"), b"after").expect("stored");
        assert_eq!(tree(shelf.folder.path())["a/b/c"], b"after");
    }
}

#[test]
fn a_batch_goes_into_more_folders_than_are_open_at_once() {
    for mut shelf in Shelf::of_each_kind() {
        let count: u64 = 200;
        for ticket in 0..count {
            let name = format!("{}/{}/{ticket}", ticket % 7, ticket % 90);
            let upload = shelf.begin(&plain(&name)).expect("it begins");
            shelf
                .store
                .commit(upload, Seal::default(), Key { ticket, ..KEY });
        }
        for ticket in 0..count {
            match shelf.done() {
                Done::Stored(key, Ok(_)) => assert_eq!(key.ticket, ticket),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(tree(shelf.folder.path()).len() as u64, count);
    }
}
