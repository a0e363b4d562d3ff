//! What the folder may take up, as uploads meet it.

use super::resuming::{new_shelf, resumable};
use super::*;

impl Shelf {
    fn limited(mut self, quota: u64) -> (Shelf, Arc<Space>) {
        let space = self.store.limit(Some(quota), None).expect("it is counted");
        (self, space)
    }

    fn each_limited(quota: u64) -> impl Iterator<Item = (Shelf, Arc<Space>)> {
        let shelves = Shelf::of_each_kind().into_iter();
        shelves.map(move |shelf| shelf.limited(quota))
    }
}

fn sized(name: &str, size: u64) -> Order {
    Order {
        size: Some(size),
        ..named(name)
    }
}

#[test]
fn what_just_fits_is_taken_and_one_byte_more_is_not() {
    for (mut shelf, space) in Shelf::each_limited(100) {
        shelf.put(&sized("a", 60), &[1; 60]).expect("it fits");
        assert!(matches!(
            shelf.begin(&sized("b", 41)),
            Err(Error::Quota { limit: 100 })
        ));
        shelf.put(&sized("b", 40), &[1; 40]).expect("it fits");
        assert_eq!(space.used(), 100);
        shelf.put(&sized("c", 0), &[]).expect("nothing is needed");
        assert!(shelf.begin(&sized("d", u64::MAX)).is_err());
        assert!(shelf.put(&named("d"), &[1]).is_err(), "a size not told");
        assert_eq!(space.used(), 100);
        assert_eq!(shelf.names(), ["a", "b", "c"]);
    }
}

#[test]
fn what_is_not_stored_in_the_end_is_given_back() {
    for (mut shelf, space) in Shelf::each_limited(100) {
        shelf.put(&sized("a", 10), &[1; 10]).expect("it fits");
        let dropped = shelf.begin(&sized("b", 90)).expect("it fits");
        assert_eq!(space.used(), 100);
        drop(dropped);
        assert_eq!(space.used(), 10);
        let wrong = with_digest("c", b"other bytes");
        assert!(matches!(shelf.put(&wrong, &[1; 90]), Err(Error::Digest)));
        assert!(shelf.put(&named("a"), &[1; 90]).is_err(), "it exists");
        assert_eq!(space.used(), 10);
        // A retry of what is there already is stored once.
        shelf
            .put(&with_digest("a", &[1; 10]), &[1; 10])
            .expect("the same");
        assert_eq!(space.used(), 10);
        shelf
            .put(&sized("d", 90), &[1; 90])
            .expect("all of it came back");
    }
}

#[test]
fn a_file_that_is_replaced_makes_room() {
    for (mut shelf, space) in Shelf::each_limited(100) {
        let over = |size| Order {
            conflict: Conflict::Overwrite,
            ..sized("a", size)
        };
        shelf.put(&over(40), &[1; 40]).expect("it fits");
        assert!(
            shelf.put(&over(61), &[1; 61]).is_err(),
            "both are there for a while"
        );
        shelf.put(&over(60), &[1; 60]).expect("it fits");
        assert_eq!(space.used(), 60);
        shelf.put(&sized("b", 40), &[1; 40]).expect("it fits");
    }
}

#[test]
fn a_stream_is_stopped_where_the_quota_is_reached_and_leaves_nothing() {
    const QUOTA: u64 = 20 << 20;
    for (mut shelf, space) in Shelf::each_limited(QUOTA) {
        let piece = vec![1; 1 << 20];
        let mut stream = shelf.begin(&named("a")).expect("it may begin");
        let mut written = 0;
        let refused = loop {
            match shelf.store.write(&mut stream, &piece) {
                Ok(()) => written += piece.len() as u64,
                Err(error) => break error,
            }
            assert!(written <= space.used() && space.used() <= QUOTA);
        };
        assert!(matches!(refused, Error::Quota { limit: QUOTA }));
        assert_eq!(written, QUOTA, "all that there is may be used");
        drop(stream);
        assert_eq!(space.used(), 0);
        shelf.put(&named("b"), &[1; 5]).expect("there is room");
        assert_eq!(space.used(), 5, "what was taken in advance came back");
    }
}

#[test]
fn what_was_there_before_counts_also_in_folders_and_partials_but_no_links() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    fs::create_dir_all(path.join("a/b")).expect("it is new");
    for (name, size) in [("one", 100), ("a/two", 20), ("a/b/three", 3)] {
        fs::write(path.join(name), vec![1; size]).expect("it is new");
    }
    std::os::unix::fs::symlink("one", path.join("link")).expect("it is new");
    std::os::unix::fs::symlink("..", path.join("a/up")).expect("it is new");
    let mut shelf = Shelf::in_folder(folder, Durability::None, Naming::Partial);
    let upload = shelf.begin(&named("new")).expect("it may begin");
    fs::write(
        shelf.folder.path().join(".piecemeal/resting.upload"),
        [1; 4000],
    )
    .expect("it is new");
    let space = shelf
        .store
        .limit(Some(10_000), None)
        .expect("it is counted");
    assert_eq!(space.used(), 4123);
    drop(upload);
}

#[test]
fn stores_of_one_folder_share_its_limits() {
    let (mut one, space) = Shelf::new(Durability::None, Naming::Best).limited(100);
    let root =
        Root::open(one.folder.path(), Durability::None, Naming::Best, None).expect("it opens");
    let mut other = FolderStore::with_root(root, Partials::kept_for(None)).expect("threads start");
    other.share(&space);
    one.put(&sized("a", 60), &[1; 60]).expect("it fits");
    assert!(other.begin(&sized("b", 41), KEY).is_err());
    let _upload = other.begin(&sized("b", 40), KEY).expect("it fits");
    assert!(one.begin(&sized("c", 1)).is_err());
}

#[test]
fn space_that_has_to_stay_free_does() {
    for mut shelf in Shelf::of_each_kind() {
        shelf.store.limit(None, Some(u64::MAX)).expect("no count");
        for order in [named("a"), sized("a", 0)] {
            let refused = shelf.begin(&order);
            assert!(matches!(refused, Err(Error::MinFree { limit: u64::MAX })));
        }
    }
    for mut shelf in Shelf::of_each_kind() {
        shelf.store.limit(None, Some(1)).expect("no count");
        assert!(shelf.begin(&sized("a", i64::MAX as u64)).is_err());
        shelf
            .put(&sized("a", 9 << 20), &[1; 9 << 20])
            .expect("it fits");
        shelf.put(&named("b"), &[1; 9 << 20]).expect("it fits");
    }
}

/// Waits until so much is used: what is put away is put away by a worker.
fn wait_until_used(space: &Space, bytes: u64) {
    let began = std::time::Instant::now();
    while space.used() != bytes {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "{} are used",
            space.used()
        );
        std::thread::yield_now();
    }
}

#[test]
fn an_upload_that_waits_to_be_resumed_counts_as_far_as_it_has_come() {
    let order = resumable("a", Some(800));
    let (mut shelf, space) = new_shelf().limited(1000);
    shelf.leave(&order, &[1; 300]);
    wait_until_used(&space, 300);
    assert!(shelf.begin(&sized("b", 701)).is_err());
    let other = shelf.begin(&sized("b", 201)).expect("it fits");
    let refused = shelf.resume(&order).expect_err("its rest doesn't fit");
    assert!(matches!(refused, Error::Quota { limit: 1000 }));
    drop(other);
    assert_eq!(space.used(), 300, "it rests on");
    let (upload, offset) = shelf.resume(&order).expect("it fits now");
    assert_eq!((offset, space.used()), (300, 800));
    shelf.store.discard(upload);
    assert_eq!(space.used(), 0);

    shelf.leave(&order, &[1; 300]);
    let (mut shelf, space) = shelf.restarted().limited(800);
    assert_eq!(space.used(), 300);
    let (mut upload, offset) = shelf.resume(&order).expect("it fits to the byte");
    assert_eq!((offset, space.used()), (300, 800));
    shelf.store.write(&mut upload, &[1; 500]).expect("reserved");
    shelf.commit(upload, 800, None).expect("it is whole");
    assert_eq!(space.used(), 800);
}

#[test]
fn a_stream_that_is_resumed_grows_as_the_quota_allows() {
    let (mut shelf, space) = new_shelf().limited(1000);
    shelf.leave(&resumable("a", None), &[1; 300]);
    wait_until_used(&space, 300);
    let (mut upload, offset) = shelf.resume(&resumable("a", None)).expect("it fits");
    assert_eq!((offset, space.used()), (300, 300));
    shelf.store.write(&mut upload, &[1; 700]).expect("it fits");
    assert!(shelf.store.write(&mut upload, &[1]).is_err());
    assert_eq!(space.used(), 1000);
    shelf.store.discard(upload);
    assert_eq!(space.used(), 0);
}
