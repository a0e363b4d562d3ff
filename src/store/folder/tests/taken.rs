//! Names that are taken: by whom, and what becomes of the next.

use super::*;

#[test]
fn each_policy_does_what_it_says() {
    for mut shelf in Shelf::of_each_kind() {
        shelf.put(&named("r.pdf"), b"1").expect("stored");
        assert!(matches!(
            shelf.put(&named("r.pdf"), b"2"),
            Err(Error::Exists)
        ));
        let rename = Order {
            conflict: Conflict::Rename,
            ..named("r.pdf")
        };
        assert_eq!(shelf.put(&rename, b"3").expect("stored").name, "r (2).pdf");
        assert_eq!(shelf.put(&rename, b"4").expect("stored").name, "r (3).pdf");
        let overwrite = Order {
            conflict: Conflict::Overwrite,
            ..named("r.pdf")
        };
        assert_eq!(shelf.put(&overwrite, b"5").expect("stored").name, "r.pdf");
        let unnamed = shelf.put(&Order::default(), b"6").expect("stored").name;
        assert!(
            unnamed.len() == 12 && unnamed.ends_with(".bin"),
            "{unnamed}"
        );
        let files = shelf.files();
        assert_eq!(files.len(), 4);
        assert_eq!(
            (&files["r.pdf"][..], &files["r (2).pdf"][..]),
            (&b"5"[..], &b"3"[..])
        );
    }
}

#[test]
fn of_two_uploads_of_one_name_the_first_to_commit_wins() {
    for mut shelf in Shelf::of_each_kind() {
        let first = shelf.begin(&named("a")).expect("it begins");
        let second = shelf.begin(&named("a")).expect("it can't be known yet");
        shelf.store.commit(
            second,
            Seal::default(),
            Key {
                connection: 2,
                ..KEY
            },
        );
        shelf.store.commit(
            first,
            Seal::default(),
            Key {
                connection: 1,
                ..KEY
            },
        );
        for (connection, wins) in [(2, true), (1, false)] {
            let Done::Stored(key, stored) = shelf.done() else {
                panic!("nobody looks")
            };
            assert_eq!(key.connection, connection);
            match stored {
                Ok(_) => assert!(wins),
                Err(error) => assert!(!wins && matches!(error, Error::Exists), "{error}"),
            }
        }
    }
}

#[test]
fn small_uploads_are_committed_in_the_order_in_which_that_was_asked_for() {
    let mut shelf = Shelf::new(Durability::Full, Naming::Best);
    let overwrite = Order {
        conflict: Conflict::Overwrite,
        ..named("a")
    };
    for number in 0..200u8 {
        let mut upload = shelf.begin(&overwrite).expect("it begins");
        shelf.store.write(&mut upload, &[number]).expect("room");
        let key = Key {
            ticket: u64::from(number),
            ..KEY
        };
        shelf.store.commit(
            upload,
            Seal {
                size: 1,
                digest: None,
            },
            key,
        );
    }
    for number in 0..200 {
        let Done::Stored(key, stored) = shelf.done() else {
            panic!("nobody looks")
        };
        assert_eq!(key.ticket, number);
        stored.expect("stored");
    }
    assert_eq!(shelf.files()["a"], [199]);
}

#[test]
fn an_upload_that_had_succeeded_already_succeeds_again() {
    for mut shelf in Shelf::of_each_kind() {
        let order = with_digest("a", b"same");
        shelf.put(&order, b"same").expect("stored");
        shelf
            .put(&order, b"same")
            .expect("the same bytes are no conflict");
        let other = with_digest("a", b"else");
        assert!(matches!(shelf.put(&other, b"else"), Err(Error::Exists)));
        assert!(matches!(
            shelf.put(&with_digest("a", b"longer"), b"longer"),
            Err(Error::Exists)
        ));
        assert_eq!(shelf.files()["a"], b"same");

        for (order, found) in [(order, true), (other, false)] {
            let order = Order {
                look_first: true,
                ..order
            };
            assert!(matches!(
                shelf.store.begin(&order, KEY),
                Ok(Opening::Looking)
            ));
            let Done::Looked(KEY, Ok(receipt)) = shelf.done() else {
                panic!("it was looked at")
            };
            assert_eq!(receipt.is_some(), found);
        }
    }
}

#[test]
fn an_upload_that_had_succeeded_already_is_not_numbered_either() {
    for size in [4, 9 << 20] {
        for mut shelf in Shelf::of_each_kind() {
            let (bytes, others) = (vec![1; size], vec![2; size]);
            let rename = |bytes: &[u8]| Order {
                conflict: Conflict::Rename,
                ..with_digest("a", bytes)
            };
            for (bytes, name) in [(&bytes, "a"), (&bytes, "a"), (&others, "a (2)")] {
                assert_eq!(
                    shelf.put(&rename(bytes), bytes).expect("stored").name,
                    name,
                    "{size}"
                );
            }
            assert_eq!(shelf.names(), ["a", "a (2)"]);
        }
    }
}

#[test]
fn a_file_that_has_changed_since_it_was_looked_at_is_looked_at_again() {
    let mut shelf = Shelf::new(Durability::None, Naming::Best);
    let path = shelf.folder.path().join("a");
    let mut look = |bytes: &[u8]| {
        let order = Order {
            look_first: true,
            ..with_digest("a", bytes)
        };
        match shelf.store.begin(&order, KEY).expect("no error") {
            Opening::Looking => match shelf.done() {
                Done::Looked(KEY, Ok(found)) => found.is_some(),
                other => panic!("{other:?}"),
            },
            _ => false,
        }
    };
    for bytes in [b"old", b"new"] {
        fs::write(&path, bytes).expect("written");
        // An old file's digest is remembered; this one was changed just now.
        assert!(look(bytes) && look(bytes));
        assert!(!look(b"not"));
    }
}

#[test]
fn what_is_no_plain_file_is_never_followed_read_or_replaced_by_halves() {
    for mut shelf in Shelf::of_each_kind() {
        let outside = tempfile::tempdir().expect("another folder");
        let secret = outside.path().join("secret");
        fs::write(&secret, "kept").expect("written");
        let link = shelf.folder.path().join("link");
        std::os::unix::fs::symlink(&secret, &link).expect("linked");
        let same = Order {
            look_first: true,
            size: None,
            ..with_digest("link", b"kept")
        };
        match shelf.store.begin(&same, KEY) {
            Err(Error::Exists) => {}
            Ok(Opening::Looking) => assert!(matches!(shelf.done(), Done::Looked(_, Ok(None)))),
            other => panic!("{other:?}"),
        }
        assert!(matches!(
            shelf.put(&named("link"), b"x"),
            Err(Error::Exists)
        ));
        let overwrite = Order {
            conflict: Conflict::Overwrite,
            ..named("link")
        };
        shelf
            .put(&overwrite, b"mine")
            .expect("the link itself is replaced");
        assert_eq!(fs::read(&secret).expect("still there"), b"kept");
        assert!(!link.is_symlink());
        fs::create_dir(shelf.folder.path().join("folder")).expect("made");
        let overwrite = Order {
            conflict: Conflict::Overwrite,
            ..named("folder")
        };
        assert!(matches!(shelf.put(&overwrite, b"x"), Err(Error::Exists)));
        fs::remove_dir(shelf.folder.path().join("folder")).expect("still a folder, and empty");
        assert_eq!(shelf.names(), ["link"]);
    }
}
