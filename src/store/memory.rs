//! A store that keeps files in memory: for tests, and for benches that want no disk.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Done, Error, Key, Opening, Reserved, Store, Wake, random_name};
use crate::proto::{Conflict, Digest, Order, Receipt, Seal};

/// Files by name. Cheap to clone; all clones are the same files.
#[derive(Clone, Debug, Default)]
pub struct Files(Arc<Mutex<HashMap<String, Vec<u8>>>>);

impl Files {
    /// A file's bytes.
    pub fn get(&self, name: &str) -> Option<Vec<u8>> {
        self.lock().get(name).cloned()
    }

    /// Every name, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.lock().keys().cloned().collect();
        names.sort_unstable();
        names
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<u8>>> {
        // A map is whole whatever its last user died of.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stores into [`Files`]. It commits at once, so nothing it does is ever durable.
#[derive(Default)]
pub struct MemoryStore {
    files: Files,
    done: VecDeque<Done>,
    wake: Option<Wake>,
}

/// An upload in memory.
#[derive(Debug)]
pub struct MemoryUpload {
    name: Option<crate::proto::Name>,
    conflict: Conflict,
    bytes: Vec<u8>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    /// Its files; they can be looked at while it runs.
    pub fn files(&self) -> Files {
        self.files.clone()
    }

    fn finish(&self, upload: MemoryUpload, seal: Seal) -> Result<Receipt, Error> {
        let digest = seal
            .digest
            .map(|_| Digest(blake3::hash(&upload.bytes).into()));
        if digest != seal.digest {
            return Err(Error::Digest);
        }
        let size = upload.bytes.len() as u64;
        assert_eq!(size, seal.size, "the machine counts what it moves");
        let mut files = self.files.lock();
        let name = match &upload.name {
            None => random_name(),
            Some(name) => match (files.get(name.as_str()), upload.conflict) {
                (None, _) | (Some(_), Conflict::Overwrite) => name.to_string(),
                // The very file: an earlier try has succeeded.
                (Some(there), _) if digest.is_some() && *there == upload.bytes => name.to_string(),
                (Some(_), Conflict::Error) => return Err(Error::Exists),
                (Some(_), Conflict::Rename) => (2..)
                    .map(|number| name.numbered(number).to_string())
                    .find(|name| !files.contains_key(name))
                    .ok_or(Error::Exists)?,
            },
        };
        files.insert(name.clone(), upload.bytes);
        Ok(Receipt {
            name,
            size,
            digest,
            durable: false,
        })
    }
}

impl Store for MemoryStore {
    type Upload = MemoryUpload;

    fn set_wake(&mut self, wake: Wake) {
        self.wake = Some(wake);
    }

    fn begin(&mut self, order: &Order, _: Key) -> Result<Opening<MemoryUpload>, Error> {
        // Looking first is left out: the same bytes are recognised by the commit.
        if let Some(name) = &order.name
            && order.conflict == Conflict::Error
            && order.digest.is_none()
            && self.files.lock().contains_key(name.as_str())
        {
            return Err(Error::Exists);
        }
        let (name, conflict) = (order.name.clone(), order.conflict);
        Ok(Opening::Open(MemoryUpload {
            name,
            conflict,
            bytes: Vec::new(),
        }))
    }

    fn reserve(&mut self, _: &mut MemoryUpload, _: u64, _: Key) -> Result<Reserved, Error> {
        Ok(Reserved::Now)
    }

    fn write(&mut self, upload: &mut MemoryUpload, bytes: &[u8]) -> Result<(), Error> {
        upload.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn commit(&mut self, upload: MemoryUpload, seal: Seal, key: Key) {
        let stored = self.finish(upload, seal);
        self.done.push_back(Done::Stored(key, stored));
        if let Some(wake) = &self.wake {
            wake();
        }
    }

    fn poll_done(&mut self) -> Option<Done> {
        self.done.pop_front()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("files", &self.files.names())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Name;

    const KEY: Key = Key {
        connection: 0,
        ticket: 0,
    };

    fn store(memory: &mut MemoryStore, order: &Order, bytes: &[u8]) -> Result<Receipt, Error> {
        let Opening::Open(mut upload) = memory.begin(order, KEY)? else {
            panic!("nothing to look at")
        };
        memory.write(&mut upload, bytes)?;
        memory.commit(
            upload,
            Seal {
                size: bytes.len() as u64,
                digest: order.digest,
            },
            KEY,
        );
        match memory.poll_done() {
            Some(Done::Stored(_, stored)) => stored,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_policy_does_what_it_says() {
        let mut memory = MemoryStore::new();
        let name = Name::parse("a.txt", Default::default()).ok();
        let mut order = Order {
            name,
            ..Order::default()
        };
        assert_eq!(
            store(&mut memory, &order, b"1").expect("stored").name,
            "a.txt"
        );
        assert!(matches!(
            store(&mut memory, &order, b"2"),
            Err(Error::Exists)
        ));
        order.conflict = Conflict::Rename;
        assert_eq!(
            store(&mut memory, &order, b"3").expect("stored").name,
            "a (2).txt"
        );
        order.conflict = Conflict::Overwrite;
        assert_eq!(
            store(&mut memory, &order, b"4").expect("stored").name,
            "a.txt"
        );
        assert_eq!(memory.files().get("a.txt").as_deref(), Some(&b"4"[..]));
        let unnamed = store(&mut memory, &Order::default(), b"5")
            .expect("stored")
            .name;
        assert!(
            unnamed.len() == 12 && unnamed.ends_with(".bin"),
            "{unnamed}"
        );
        assert_eq!(memory.files().names().len(), 3);
    }
}
