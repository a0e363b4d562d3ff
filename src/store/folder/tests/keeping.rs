//! What is kept, what is not, and what is left behind.

use super::*;
use std::os::fd::AsFd;

#[test]
fn a_file_is_seen_whole_or_not_at_all() {
    for mut shelf in Shelf::of_each_kind() {
        let mut upload = shelf.begin(&named("a.txt")).expect("it begins");
        shelf.store.write(&mut upload, b"half").expect("room");
        assert!(!shelf.folder.path().join("a.txt").exists());
        drop(upload);
        assert_eq!(shelf.names(), [] as [&str; 0]);
        let receipt = shelf.put(&named("a.txt"), b"whole").expect("stored");
        assert_eq!(receipt.durable, shelf.store.root.durable);
        assert_eq!(shelf.files()["a.txt"], b"whole");
    }
}

#[test]
fn bytes_with_another_digest_are_not_kept() {
    // The larger ones are followed by the bulk worker while they grow.
    for size in [0, 1000, 9 << 20, 20 << 20] {
        for mut shelf in Shelf::of_each_kind() {
            let bytes: Vec<u8> = (0..size)
                .map(|i: u32| i.wrapping_mul(2_654_435_761).to_be_bytes()[0])
                .collect();
            let wrong = Order {
                digest: Some(Digest([1; 32])),
                ..named("wrong")
            };
            assert!(
                matches!(shelf.put(&wrong, &bytes), Err(Error::Digest)),
                "{size}"
            );
            let right = with_digest("right", &bytes);
            assert_eq!(
                shelf.put(&right, &bytes).expect("stored").digest,
                right.digest
            );
            assert_eq!(shelf.names(), ["right"]);
        }
    }
}

#[test]
fn bytes_that_come_through_a_pipe_are_stored_like_any_others() {
    for mut shelf in Shelf::of_each_kind() {
        let (out, into) = rustix::pipe::pipe().expect("a pipe");
        let order = with_digest("a", b"first second");
        let mut upload = shelf.begin(&order).expect("it begins");
        shelf.store.write(&mut upload, b"first ").expect("room");
        rustix::io::write(&into, b"second, and more").expect("it fits");
        let moved = shelf.store.splice(&mut upload, out.as_fd(), 6);
        let moved = moved.expect("there is room");
        if moved.is_none() {
            // This file system takes nothing from a pipe, and its bytes are copied.
            continue;
        }
        assert_eq!(moved, Some(6));
        let seal = Seal {
            size: 12,
            digest: order.digest,
        };
        shelf.store.commit(upload, seal, KEY);
        assert!(matches!(shelf.done(), Done::Stored(KEY, Ok(_))));
        assert_eq!(shelf.files()["a"], b"first second");
        let mut upload = shelf.begin(&named("b")).expect("it begins");
        rustix::io::read(&out, &mut [0; 100][..]).expect("the rest");
        drop(into);
        let ended = shelf.store.splice(&mut upload, out.as_fd(), 6);
        assert!(
            matches!(ended, Err(Error::Io { .. })),
            "an empty pipe is no success"
        );
    }
}

#[test]
fn a_file_has_the_mode_and_the_time_that_its_sender_knows_where_these_are_kept() {
    for keeps in [true, false] {
        for mut shelf in Shelf::of_each_kind() {
            if keeps {
                shelf.store.keep_metadata().expect("a file can be made");
            }
            let known = Order {
                metadata: Metadata {
                    // One that no usual umask makes of itself, or takes anything of.
                    mode: Some(0o400),
                    mtime: Some(1_000_000_000),
                },
                ..named("a")
            };
            let begun = std::time::SystemTime::now();
            shelf.put(&known, b"1").expect("stored");
            let facts = fs::metadata(shelf.folder.path().join("a")).expect("it is there");
            assert_eq!(facts.mode() & 0o777 == 0o400, keeps, "{:o}", facts.mode());
            assert_eq!(facts.mtime() == 1_000_000_000, keeps, "{}", facts.mtime());
            let second = std::time::Duration::from_secs(1);
            assert!(
                facts.accessed().expect("a time") + second >= begun,
                "only the one was set"
            );
        }
    }
}

#[test]
fn a_large_size_is_reserved_beside_the_loop_and_the_file_stays_as_long_as_it_is() {
    for mut shelf in Shelf::of_each_kind() {
        let size = 64 << 20;
        let order = Order {
            size: Some(size),
            ..named("a")
        };
        let Ok(Opening::Reserving(upload)) = shelf.store.begin(&order, KEY) else {
            panic!("it takes a while");
        };
        assert!(matches!(shelf.done(), Done::Reserved(KEY, Ok(()))));
        let facts = upload.facts();
        assert_eq!(facts.len(), 0);
        assert!(facts.blocks() * 512 >= size, "{} blocks", facts.blocks());
        drop(upload);
        assert_eq!(shelf.names_at_the_end(), [] as [&str; 0]);
    }
}

#[test]
fn a_size_that_no_disk_has_is_refused_at_once() {
    for mut shelf in Shelf::of_each_kind() {
        for size in [u64::MAX, 1 << 63, (1 << 63) - 1] {
            let order = Order {
                size: Some(size),
                ..named("a")
            };
            assert!(
                matches!(shelf.begin(&order), Err(Error::TooBig | Error::Full(_))),
                "{size}"
            );
        }
        assert_eq!(shelf.names_at_the_end(), [] as [&str; 0]);
    }
}

#[test]
fn what_a_killed_server_left_is_swept_and_what_another_has_under_way_is_not() {
    let mut running = Shelf::new(Durability::None, Naming::Partial);
    let work = running.folder.path().join(".piecemeal");
    let mut upload = running.begin(&named("a")).expect("it begins");
    running.store.write(&mut upload, b"half").expect("room");
    fs::write(work.join("dead.part"), "half").expect("written");
    drop(
        Root::open(running.folder.path(), Durability::None, Naming::Best, None).expect("it opens"),
    );
    let left: Vec<_> = fs::read_dir(&work).expect("there").flatten().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_ne!(left[0].file_name(), "dead.part");
    running.store.commit(
        upload,
        Seal {
            size: 4,
            digest: None,
        },
        KEY,
    );
    assert!(matches!(running.done(), Done::Stored(KEY, Ok(_))));
    assert_eq!(running.files()["a"], b"half");
}

#[test]
fn the_work_folder_is_there_only_while_somebody_needs_it() {
    let idle = Shelf::new(Durability::None, Naming::Best);
    assert!(!idle.folder.path().join(".piecemeal").exists());
    let Shelf {
        store: one, folder, ..
    } = Shelf::new(Durability::None, Naming::Partial);
    let work = folder.path().join(".piecemeal");
    let open =
        || Root::open(folder.path(), Durability::None, Naming::Partial, None).expect("it opens");
    drop(open());
    assert!(work.exists(), "the first one still uses it");
    drop(one);
    assert!(!work.exists());
}

#[test]
fn a_store_that_goes_finishes_its_commits_and_leaves_nothing_else() {
    for naming in [Naming::Best, Naming::Partial] {
        let Shelf {
            mut store,
            woken,
            folder,
        } = Shelf::new(Durability::Full, naming);
        for name in ["a", "b", "c"] {
            let Ok(Opening::Open(upload)) = store.begin(&named(name), KEY) else {
                panic!("{name}")
            };
            store.commit(upload, Seal::default(), KEY);
        }
        drop((store, woken));
        let names = fs::read_dir(folder.path()).expect("there").flatten();
        let mut names: Vec<_> = names.map(|entry| entry.file_name()).collect();
        names.sort_unstable();
        assert_eq!(names, ["a", "b", "c"]);
    }
}

#[test]
fn a_folder_that_can_not_be_used_is_named_in_the_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "").expect("written");
    for path in [file.clone(), file.join("below"), "/proc".into()] {
        let error = FolderStore::open(&path, Durability::Full).expect_err("it can't be used");
        assert!(
            error.to_string().contains(path.to_str().expect("text")),
            "{error}"
        );
    }
    FolderStore::open(&folder.path().join("new/er"), Durability::Full).expect("it is made");
}

#[test]
fn after_a_failed_sync_nothing_is_begun_any_more() {
    let mut shelf = Shelf::new(Durability::Full, Naming::Best);
    let mut upload = shelf.begin(&named("a")).expect("it begins");
    shelf.store.write(&mut upload, b"x").expect("room");
    shelf.store.root.set_failed();
    assert!(matches!(shelf.begin(&named("b")), Err(Error::Failed)));
    shelf.store.commit(
        upload,
        Seal {
            size: 1,
            digest: None,
        },
        KEY,
    );
    assert!(matches!(
        shelf.done(),
        Done::Stored(KEY, Err(Error::Failed))
    ));
    assert_eq!(shelf.names(), [] as [&str; 0]);
}

#[test]
fn a_sync_that_fails_for_one_store_of_a_folder_has_failed_for_all_of_them() {
    let shelf = Shelf::new(Durability::Full, Naming::Best);
    let open = |partials: &Partials| {
        let store = FolderStore::open_with(shelf.folder.path(), Durability::Full, partials);
        store.expect("it opens")
    };
    let (mut sibling, mut other) = (open(&shelf.store.partials), open(&Partials::default()));
    shelf.store.root.set_failed();
    let begun = sibling.begin(&named("a"), KEY);
    assert!(matches!(begun, Err(Error::Failed)), "{begun:?}");
    let begun = other.begin(&named("a"), KEY);
    assert!(matches!(begun, Ok(Opening::Open(_))), "another server's");
}

/// Its own syncs succeed: they are by descriptors that were opened when somebody else had heard of
/// the loss.
#[test]
fn a_file_that_is_found_while_a_sync_fails_is_not_told_to_be_safe() {
    for mut shelf in Shelf::of_each_kind() {
        let order = with_digest("a", b"12345");
        shelf.put(&order, b"12345").expect("stored");
        let root = Arc::clone(&shelf.store.root);
        let digest = order.digest.expect("it has one");
        let find = || look::identical(&root, "a", digest, &mut digest::block());
        assert!(find().expect("a good disk").is_some());
        root.set_failed();
        let found = find();
        assert_eq!(
            matches!(found, Err(Error::Failed)),
            root.durable,
            "{found:?}"
        );
    }
}

#[test]
fn the_store_says_where_files_are_until_they_are_whole() {
    for mut shelf in Shelf::of_each_kind() {
        let _upload = shelf.begin(&named("a")).expect("it begins");
        let work = fs::read_dir(shelf.folder.path().join(".piecemeal"));
        let is_named = work.is_ok_and(|work| work.count() == 1);
        let expected = match is_named {
            true => "files are kept in .piecemeal/ until they are whole",
            false => "files have no name until they are whole",
        };
        assert_eq!(shelf.store.description(), expected);
        assert_eq!(shelf.store.root.is_nameless(), !is_named);
    }
}
