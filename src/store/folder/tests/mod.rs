//! The folder store, on shelves of each kind.

mod counted;
mod folders;
mod keeping;
mod limits;
mod mistrust;
mod recorded;
mod resuming;
mod taken;
mod unnamed;

use super::*;
use crate::proto::{Digest, Name, Receipt};
use rustix::fs::OFlags;
use std::collections::BTreeMap;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::sync::mpsc::{Receiver as Waited, channel};
use std::time::Duration;

const KEY: Key = Key {
    connection: 7,
    ticket: 1,
};

/// A root in a folder, whose files are to survive power cuts, for a test to break.
pub(super) fn durable(home: &tempfile::TempDir) -> Root {
    Root::open(home.path(), Durability::Full, Naming::Best, None).expect("it opens")
}

/// What is beneath a root, or the root itself, opened in a way in which it can't be synced.
pub(super) fn unfit(root: &Root, path: &str) -> OwnedFd {
    beneath::open(&root.folder, path, OFlags::PATH).expect("it is there")
}

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
        Shelf::keeping(folder, durability, naming, Partials::kept_for(None))
    }

    /// The same, where uploads that can be resumed are kept so.
    fn keeping(
        folder: tempfile::TempDir,
        durability: Durability,
        naming: Naming,
        partials: Partials,
    ) -> Shelf {
        let root = Root::open(folder.path(), durability, naming, partials.ttl()).expect("it opens");
        let mut store = FolderStore::with_root(root, partials).expect("threads start");
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
            other => panic!("nobody asked for {other:?}"),
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
            Done::Found(KEY, receipt) => Ok(receipt),
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

    /// Waits until what was cut off is put away, and what was given up is gone.
    fn settle(&self) {
        while self.store.unclaimed() > 0 {
            std::thread::yield_now();
        }
    }

    /// Every file that anybody can see, hidden folders included, once what was given up is gone.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        self.settle();
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
