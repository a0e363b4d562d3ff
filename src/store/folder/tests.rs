use super::*;
use crate::proto::{Digest, Name, Receipt};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::mpsc::{Receiver as Waited, channel};
use std::time::Duration;

const KEY: Key = Key {
    connection: 7,
    ticket: 1,
};

/// A store in a folder that goes when it goes, and the wakes that it sends.
struct Shelf {
    store: FolderStore,
    woken: Waited<()>,
    folder: tempfile::TempDir,
}

impl Shelf {
    fn new(durability: Durability, naming: Naming) -> Shelf {
        Shelf::in_folder(tempfile::tempdir().expect("a folder"), durability, naming)
    }

    fn in_folder(folder: tempfile::TempDir, durability: Durability, naming: Naming) -> Shelf {
        let root = Root::open(folder.path(), durability, naming).expect("it opens");
        let mut store = FolderStore::with_root(root).expect("threads start");
        let (wake, woken) = channel();
        store.set_wake(Box::new(move || {
            let _ = wake.send(());
        }));
        Shelf {
            store,
            woken,
            folder,
        }
    }

    /// A shelf of each kind: they must not differ in what can be seen.
    fn of_each_kind() -> Vec<Shelf> {
        let mut shelves = Vec::new();
        for naming in [Naming::Best, Naming::Partial] {
            for durability in [Durability::Full, Durability::None] {
                shelves.push(Shelf::new(durability, naming));
            }
        }
        shelves
    }

    fn begin(&mut self, order: &Order) -> Result<FolderUpload, Error> {
        match self.store.begin(order, KEY)? {
            Opening::Open(upload) => Ok(upload),
            Opening::Reserving(upload) => match self.done() {
                Done::Reserved(KEY, reserved) => reserved.map(|()| upload),
                other => panic!("{other:?}"),
            },
            Opening::Looking => panic!("nobody asked to look first"),
        }
    }

    fn put(&mut self, order: &Order, bytes: &[u8]) -> Result<Receipt, Error> {
        let mut upload = self.begin(order)?;
        for piece in bytes.chunks(1 << 20) {
            self.store.write(&mut upload, piece)?;
        }
        self.store.commit(
            upload,
            Seal {
                size: bytes.len() as u64,
                digest: order.digest,
            },
            KEY,
        );
        match self.done() {
            Done::Stored(key, stored) => {
                assert_eq!(key, KEY);
                stored
            }
            looked => panic!("{looked:?}"),
        }
    }

    fn done(&mut self) -> Done {
        loop {
            if let Some(done) = self.store.poll_done() {
                return done;
            }
            self.woken
                .recv_timeout(Duration::from_secs(60))
                .expect("a wake for each report");
        }
    }

    /// Every file that anybody can see, hidden folders included.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(self.folder.path()).expect("the folder is there") {
            let path = entry.expect("an entry").path();
            let name = path
                .file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            if path.is_dir() {
                let inside = fs::read_dir(&path).expect("readable").count();
                assert_eq!(
                    (name.as_str(), inside),
                    (".piecemeal", 0),
                    "nothing is left there"
                );
            } else {
                files.insert(name, fs::read(&path).expect("a file"));
            }
        }
        files
    }

    fn names(&self) -> Vec<String> {
        self.files().into_keys().collect()
    }

    /// The same once the store has done all that it still had to do.
    fn names_at_the_end(self) -> Vec<String> {
        let Shelf {
            store,
            woken: _woken,
            folder,
        } = self;
        drop(store);
        let entries = fs::read_dir(folder.path()).expect("the folder is there");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        names
            .map(|name| name.to_string_lossy().into_owned())
            .collect()
    }
}

fn named(name: &str) -> Order {
    let name = Name::parse(name, Default::default()).expect("a good name");
    Order {
        name: Some(name),
        ..Order::default()
    }
}

fn with_digest(name: &str, bytes: &[u8]) -> Order {
    Order {
        digest: Some(Digest(blake3::hash(bytes).into())),
        ..named(name)
    }
}

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
            Opening::Open(_) | Opening::Reserving(_) => false,
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
    drop(Root::open(running.folder.path(), Durability::None, Naming::Best).expect("it opens"));
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
    let open = || Root::open(folder.path(), Durability::None, Naming::Partial).expect("it opens");
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
