//! Uploads that can be resumed: what is offered, who holds one, and what is swept.

use super::*;
use crate::proto::UploadId;
use std::os::unix::fs::symlink;
use std::time::{Instant, SystemTime};

pub(super) const ID: &str = "aB-1";
/// What an upload of [`ID`] is called in the work folder.
pub(super) const FILE: &str = "a+b-1.upload";
pub(super) const RECORD: &str = "a+b-1.record";

pub(super) fn resumable(name: &str, size: Option<u64>) -> Order {
    Order {
        size,
        upload: UploadId::parse(ID),
        ..named(name)
    }
}

pub(super) fn hour() -> Partials {
    Partials::kept_for(Some(Duration::from_secs(3600)))
}

/// Another start of a server in the same folder.
pub(super) fn shelf(folder: tempfile::TempDir, naming: Naming) -> Shelf {
    Shelf::keeping(folder, Durability::Full, naming, hour())
}

pub(super) fn new_shelf() -> Shelf {
    shelf(tempfile::tempdir().expect("a folder"), Naming::Best)
}

impl Shelf {
    pub(super) fn work(&self) -> std::path::PathBuf {
        self.folder.path().join(".piecemeal")
    }

    /// Begins, or goes on with, an upload; gives the offset too.
    pub(super) fn resume(&mut self, order: &Order) -> Result<(FolderUpload, u64), Error> {
        let Opening::Resuming(upload) = self.store.begin(order, KEY)? else {
            panic!("it can be resumed");
        };
        match self.done() {
            Done::Resumed(KEY, offset) => Ok((upload, offset?)),
            // It waited for one that came to nothing.
            Done::Looked(KEY, Ok(None)) => {
                drop(upload);
                self.resume(order)
            }
            other => panic!("{other:?}"),
        }
    }

    /// Leaves so many bytes of an upload behind.
    pub(super) fn leave(&mut self, order: &Order, bytes: &[u8]) {
        let (mut upload, offset) = self.resume(order).expect("it begins");
        assert_eq!(offset, 0);
        self.store.write(&mut upload, bytes).expect("room");
        drop(upload);
    }

    /// Waits until everything is put away, and starts anew.
    pub(super) fn restarted(self) -> Shelf {
        let Shelf { store, folder, .. } = self;
        drop(store);
        shelf(folder, Naming::Best)
    }

    pub(super) fn commit(
        &mut self,
        upload: FolderUpload,
        size: u64,
        digest: Option<Digest>,
    ) -> Result<Receipt, Error> {
        self.store.commit(upload, Seal { size, digest }, KEY);
        match self.done() {
            Done::Stored(KEY, stored) => stored,
            other => panic!("{other:?}"),
        }
    }

    fn taken(&mut self, upload: &mut FolderUpload) -> Option<u64> {
        self.store.hear_taken(upload);
        self.store.taken(upload)
    }

    pub(super) fn in_work(&self) -> Vec<String> {
        self.settle();
        let Ok(entries) = fs::read_dir(self.work()) else {
            return Vec::new();
        };
        let names = entries.flatten().map(|entry| entry.file_name());
        let mut names: Vec<_> = names
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        names.sort_unstable();
        names
    }
}

#[test]
fn what_came_is_offered_again_and_the_file_is_the_same_wherever_it_was_cut() {
    let bytes: Vec<u8> = (0..=255).cycle().take(3000).collect();
    let digest = Some(Digest(blake3::hash(&bytes).into()));
    for naming in [Naming::Best, Naming::Partial] {
        let mut shelf = shelf(tempfile::tempdir().expect("a folder"), naming);
        for (number, cut) in [0, 1, 1500, 2999, 3000].into_iter().enumerate() {
            let name = format!("file-{number}");
            let order = resumable(&name, Some(3000));
            shelf.leave(&order, &bytes[..cut]);
            let (mut upload, offset) = shelf.resume(&order).expect("it goes on");
            assert_eq!(offset, cut as u64);
            shelf.store.write(&mut upload, &bytes[cut..]).expect("room");
            let receipt = shelf.commit(upload, 3000, digest).expect("it is stored");
            assert_eq!((receipt.name, receipt.digest), (name, digest));
        }
        assert_eq!(shelf.in_work(), [] as [&str; 0]);
        assert!(shelf.files().values().all(|stored| *stored == bytes));
    }
}

#[test]
fn a_large_upload_is_hashed_from_its_first_byte_though_it_came_in_two() {
    let mut shelf = new_shelf();
    let bytes: Vec<u8> = (0..25u32 << 20)
        .map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[0])
        .collect();
    let (first, rest) = bytes.split_at(13 << 20);
    let order = Order {
        digest_follows: true,
        ..resumable("large", Some(bytes.len() as u64))
    };
    shelf.leave(&order, first);
    let mut shelf = shelf.restarted();
    let (mut upload, offset) = shelf.resume(&order).expect("it goes on");
    assert_eq!(offset, first.len() as u64);
    for piece in rest.chunks(1 << 20) {
        shelf.store.write(&mut upload, piece).expect("room");
    }
    let digest = Digest(blake3::hash(&bytes).into());
    shelf
        .commit(upload, bytes.len() as u64, Some(digest))
        .expect("the digest is right");
    assert!(shelf.files()["large"] == bytes);
}

#[test]
fn bytes_with_another_digest_are_thrown_away_and_the_next_begins_at_0() {
    for cut in [2, 6] {
        let mut shelf = new_shelf();
        let order = resumable("a", Some(6));
        shelf.leave(&order, &b"wrong!"[..cut]);
        let (mut upload, offset) = shelf.resume(&order).expect("it goes on");
        assert_eq!(offset, cut as u64);
        shelf
            .store
            .write(&mut upload, &b"123456"[cut..])
            .expect("room");
        let digest = Some(Digest(blake3::hash(b"123456").into()));
        assert!(matches!(
            shelf.commit(upload, 6, digest),
            Err(Error::Digest)
        ));
        assert_eq!(shelf.in_work(), [] as [&str; 0]);
        let (mut upload, offset) = shelf.resume(&order).expect("it begins");
        assert_eq!(offset, 0);
        shelf.store.write(&mut upload, b"123456").expect("room");
        shelf.commit(upload, 6, digest).expect("it is stored");
    }
}

#[test]
fn another_name_or_size_is_refused_whether_somebody_holds_the_upload_or_not() {
    let mut shelf = new_shelf();
    let order = resumable("a", Some(6));
    let (mut upload, _) = shelf.resume(&order).expect("it begins");
    shelf.store.write(&mut upload, b"123").expect("room");
    let others = [
        (resumable("b", Some(6)), "name"),
        (resumable("a", Some(7)), "size"),
        (resumable("a", None), "size"),
    ];
    let refused = |shelf: &mut Shelf| {
        for (other, what) in &others {
            match shelf.resume(other) {
                Err(Error::Differs(why)) => assert!(why.contains(what), "{why}"),
                went => panic!("{went:?}"),
            }
        }
    };
    refused(&mut shelf);
    assert!(
        shelf.taken(&mut upload).is_none(),
        "who asks wrongly takes nothing over"
    );
    drop(upload);
    let mut shelf = shelf.restarted();
    refused(&mut shelf);
    assert_eq!(shelf.resume(&order).expect("it goes on").1, 3);
}

#[test]
fn whoever_comes_last_takes_the_upload_over_in_the_same_store_and_in_another() {
    let partials = hour();
    let folder = tempfile::tempdir().expect("a folder");
    let root = Root::open(folder.path(), Durability::Full, Naming::Best, None).expect("it opens");
    let mut other = FolderStore::with_root(root, partials.clone()).expect("threads start");
    let mut shelf = Shelf::keeping(folder, Durability::Full, Naming::Best, partials);
    let order = resumable("a", Some(6));
    let (mut first, _) = shelf.resume(&order).expect("it begins");
    shelf.store.write(&mut first, b"12").expect("room");
    let Ok(Opening::Resuming(mut second)) = other.begin(&order, KEY) else {
        panic!("it can be resumed");
    };
    assert!(matches!(shelf.done(), Done::Taken(KEY)));
    assert!(second.taken().is_none());
    assert_eq!(shelf.taken(&mut first), Some(0));
    // What it still gets, the other has too.
    shelf.store.write(&mut first, b"3").expect("room");
    assert_eq!(shelf.taken(&mut first), Some(1));
    let Ok(Opening::Resuming(mut third)) = shelf.store.begin(&order, KEY) else {
        panic!("it can be resumed");
    };
    other.hear_taken(&mut second);
    assert_eq!(other.taken(&second), Some(0));
    drop((first, second));
    match shelf.done() {
        Done::Resumed(KEY, Ok(3)) => {}
        went => panic!("{went:?}"),
    }
    shelf.store.write(&mut third, b"456").expect("room");
    shelf.commit(third, 6, None).expect("it is stored");
    assert_eq!(shelf.files()["a"], b"123456");
}

#[test]
fn who_asks_while_the_upload_gets_its_name_is_told_that_it_is_there() {
    let mut shelf = new_shelf();
    let order = Order {
        look_first: true,
        size: Some(6),
        upload: UploadId::parse(ID),
        ..with_digest("a", b"123456")
    };
    let (mut first, _) = shelf.resume(&order).expect("it begins");
    shelf.store.write(&mut first, b"123456").expect("room");
    let seal = Seal {
        size: 6,
        digest: order.digest,
    };
    let key = Key { ticket: 2, ..KEY };
    // It is not handed over before the next poll, so the second has to wait.
    shelf.store.commit(first, seal, key);
    let again = shelf.store.begin(&order, KEY).expect("it waits");
    let Opening::Resuming(second) = again else {
        panic!("{again:?}");
    };
    let (mut stored, mut told) = (false, false);
    while !(stored && told) {
        match shelf.done() {
            Done::Stored(_, result) => {
                result.expect("it is stored");
                stored = true;
            }
            Done::Looked(KEY, Ok(Some(receipt))) => {
                assert_eq!((receipt.name.as_str(), receipt.size), ("a", 6));
                told = true;
            }
            // The thread was so late that there was nothing to wait for: what is sent once more
            // is recognised at its commit. The first has its name then, and its report may still
            // be on its way.
            Done::Resumed(KEY, Ok(0)) => told = true,
            other => panic!("{other:?}"),
        }
    }
    drop(second);
    // What the second has left is given up by a thread that may be late as well.
    assert_eq!(shelf.names_at_the_end(), ["a"]);
}

#[test]
fn what_is_discarded_or_empty_is_gone() {
    let mut shelf = new_shelf();
    let order = resumable("a", Some(6));
    let (mut upload, _) = shelf.resume(&order).expect("it begins");
    shelf.store.write(&mut upload, b"123").expect("room");
    shelf.store.discard(upload);
    assert_eq!(shelf.in_work(), [] as [&str; 0]);
    drop(shelf.resume(&order).expect("it begins"));
    let Shelf { store, folder, .. } = shelf;
    drop(store);
    assert!(!folder.path().join(".piecemeal").exists());
}

#[test]
fn what_was_reserved_for_an_abandoned_upload_is_given_back() {
    let mut shelf = new_shelf();
    let order = resumable("a", Some(32 << 20));
    shelf.leave(&order, b"123");
    let shelf = shelf.restarted();
    let facts = fs::metadata(shelf.work().join(FILE)).expect("it is kept");
    assert!(facts.blocks() * 512 < 1 << 20, "{facts:?}");
    assert_eq!(facts.len(), 3);
}

#[test]
fn only_what_was_abandoned_for_long_enough_is_swept() {
    let mut shelf = new_shelf();
    shelf.leave(&resumable("a", Some(6)), b"123");
    let shelf = shelf.restarted();
    let aged = |seconds| {
        let then = SystemTime::now() - Duration::from_secs(seconds);
        for name in [FILE, RECORD] {
            let file = fs::File::open(shelf.work().join(name)).expect("there");
            file.set_modified(then).expect("ours");
        }
    };
    let ttl = Some(Duration::from_secs(3600));
    aged(3000);
    shelf.store.root.sweep_partials(ttl).expect("swept");
    assert_eq!(shelf.in_work(), [RECORD, FILE]);
    aged(3700);
    fs::write(shelf.work().join("x.part"), "").expect("written");
    shelf.store.root.sweep_partials(ttl).expect("swept");
    assert_eq!(
        shelf.in_work(),
        ["x.part"],
        "others are swept at the start only"
    );
}

#[test]
fn one_that_is_held_is_not_swept_however_old_and_an_old_record_goes_alone() {
    let mut shelf = new_shelf();
    let (mut upload, _) = shelf.resume(&resumable("a", Some(6))).expect("it begins");
    shelf.store.write(&mut upload, b"123").expect("room");
    fs::write(shelf.work().join("orphan.record"), "").expect("written");
    symlink("nowhere", shelf.work().join("link.upload")).expect("linked");
    shelf.store.root.sweep_partials(None).expect("swept");
    assert_eq!(shelf.in_work(), [RECORD, FILE]);
}

#[test]
fn a_store_that_keeps_nothing_takes_the_upload_all_the_same() {
    let mut shelf = Shelf::new(Durability::Full, Naming::Best);
    let upload = shelf.begin(&resumable("a", Some(6))).expect("it begins");
    drop(upload);
    assert_eq!(shelf.names_at_the_end(), [] as [&str; 0]);
}

#[test]
fn another_servers_upload_is_waited_for_until_it_lets_go() {
    let mut shelf = new_shelf();
    let order = resumable("a", Some(6));
    let (mut upload, _) = shelf.resume(&order).expect("it begins");
    shelf.store.write(&mut upload, b"123").expect("room");
    // It shares nothing with the first but the folder.
    let root = Root::open(
        shelf.folder.path(),
        Durability::Full,
        Naming::Best,
        hour().ttl(),
    )
    .expect("it opens");
    let mut other = FolderStore::with_root(root, hour()).expect("threads start");
    let (wake, woken) = channel();
    other.set_wake(Box::new(move || {
        let _ = wake.send(());
    }));
    let Ok(Opening::Resuming(second)) = other.begin(&order, KEY) else {
        panic!("it can be resumed");
    };
    assert!(
        shelf.taken(&mut upload).is_none(),
        "the first can't be told"
    );
    drop(upload);
    woken.recv_timeout(Duration::from_secs(60)).expect("a wake");
    assert!(matches!(other.poll_done(), Some(Done::Resumed(KEY, Ok(3)))));
    drop(second);
}

#[test]
fn another_servers_upload_is_not_waited_for_for_ever() {
    let mut shelf = new_shelf();
    let order = resumable("a", Some(6));
    let (upload, _) = shelf.resume(&order).expect("it begins");
    // As if a second connection of another process had waited long enough.
    let place = Arc::default();
    let resume = Resume {
        facts: Facts {
            id: order.upload.clone().expect("it has one"),
            name: order.name.clone().expect("it has one"),
            size: order.size,
        },
        digest: None,
        key: KEY,
        opened: Arc::downgrade(&place),
        waits_since: Instant::now().checked_sub(resume::PATIENCE),
    };
    shelf.store.queues().resumes.send(resume).expect("it runs");
    assert!(matches!(shelf.done(), Done::Resumed(KEY, Err(Error::Held))));
    drop(upload);
}

#[test]
fn where_there_can_be_no_partial_the_upload_is_taken_all_the_same() {
    let mut shelf = new_shelf();
    let order = resumable("a", Some(6));
    for _ in 0..2 {
        fs::write(shelf.work(), "somebody's own").expect("written");
        let (mut upload, offset) = shelf.resume(&order).expect("it begins");
        assert_eq!(offset, 0);
        shelf.store.write(&mut upload, b"123").expect("room");
    }
    let (mut upload, _) = shelf.resume(&order).expect("it begins");
    shelf.store.write(&mut upload, b"123456").expect("room");
    shelf.commit(upload, 6, None).expect("it is stored");
    assert_eq!(shelf.files()["a"], b"123456");
}

#[test]
fn a_growing_upload_is_noted_as_synced_now_and_then() {
    let mut shelf = new_shelf();
    let (mut upload, _) = shelf.resume(&resumable("a", None)).expect("it begins");
    for _ in 0..26 {
        let piece = vec![7; 1 << 20];
        shelf.store.write(&mut upload, &piece).expect("room");
    }
    let record = shelf.work().join(RECORD);
    let begun = Instant::now();
    loop {
        let text = fs::read_to_string(&record).expect("it is always whole");
        let record = record::Record::parse(&text).expect("it is always whole");
        match record.state {
            record::State::Open { synced, .. } if synced >= 16 << 20 => break,
            record::State::Open { .. } => {}
            closed @ record::State::Closed { .. } => panic!("{closed:?}"),
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "it never is");
        std::thread::yield_now();
    }
    shelf.commit(upload, 26 << 20, None).expect("it is stored");
    assert_eq!(shelf.in_work(), [] as [&str; 0]);
}
