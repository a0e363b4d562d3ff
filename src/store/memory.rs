//! A store that keeps files in memory: for tests, and for benches that want no disk.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Done, Error, Key, Opening, Reserved, Store, Wake, random_name};
use crate::proto::{Conflict, Digest, Name, Order, Receipt, Seal, UploadId};

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
        lock(&self.0)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Stores into [`Files`]. It commits at once, so nothing it does is ever durable.
#[derive(Default)]
pub struct MemoryStore {
    files: Files,
    partials: Partials,
    done: VecDeque<Done>,
    wake: Option<Wake>,
}

/// Uploads that can be resumed, by id.
type Partials = HashMap<UploadId, Arc<Partial>>;

/// An upload that can be resumed, whether somebody holds it or not.
#[derive(Debug)]
struct Partial {
    id: UploadId,
    name: Option<Name>,
    size: Option<u64>,
    /// The bytes, and whose they are: each who begins it takes it from the one before.
    held: Mutex<(Vec<u8>, Key, u64)>,
}

/// An upload in memory.
#[derive(Debug)]
pub struct MemoryUpload {
    name: Option<Name>,
    conflict: Conflict,
    bytes: Vec<u8>,
    /// Where its bytes are instead, if it can be resumed, and who it is among those who held it.
    partial: Option<(Arc<Partial>, u64)>,
}

impl MemoryUpload {
    fn is_taken(&self) -> bool {
        let holder = |(partial, _): &(Arc<Partial>, u64)| lock(&partial.held).2;
        self.partial
            .as_ref()
            .is_some_and(|held| holder(held) != held.1)
    }
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

    /// Goes on with an upload, or begins it.
    fn resume(
        &mut self,
        id: &UploadId,
        order: &Order,
        key: Key,
    ) -> Result<Opening<MemoryUpload>, Error> {
        let partial = self.partials.entry(id.clone()).or_insert_with(|| {
            Arc::new(Partial {
                id: id.clone(),
                name: order.name.clone(),
                size: order.size,
                held: Mutex::new((Vec::new(), key, 0)),
            })
        });
        if partial.name != order.name {
            return Err(Error::Differs(super::OTHER_NAME));
        }
        if partial.size != order.size {
            return Err(Error::Differs(super::OTHER_SIZE));
        }
        let partial = Arc::clone(partial);
        let mut held = lock(&partial.held);
        // Whoever held it before may be gone; then nobody hears of this.
        self.done.push_back(Done::Taken(held.1));
        held.1 = key;
        held.2 += 1;
        let (offset, holder) = (held.0.len() as u64, held.2);
        drop(held);
        let upload = MemoryUpload {
            name: order.name.clone(),
            conflict: order.conflict,
            bytes: Vec::new(),
            partial: Some((partial, holder)),
        };
        self.wake();
        Ok(Opening::Resumed(upload, offset))
    }

    fn wake(&self) {
        if let Some(wake) = &self.wake {
            wake();
        }
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
                    .map_while(|number| name.numbered(number))
                    .map(|name| name.to_string())
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

    fn begin(&mut self, order: &Order, key: Key) -> Result<Opening<MemoryUpload>, Error> {
        // Looking first is left out: the same bytes are recognised by the commit.
        if let Some(name) = &order.name
            && order.conflict == Conflict::Error
            && order.digest.is_none()
            && self.files.lock().contains_key(name.as_str())
        {
            return Err(Error::Exists);
        }
        if let Some(id) = &order.upload {
            return self.resume(id, order, key);
        }
        let (name, conflict) = (order.name.clone(), order.conflict);
        Ok(Opening::Open(MemoryUpload {
            name,
            conflict,
            bytes: Vec::new(),
            partial: None,
        }))
    }

    fn reserve(&mut self, _: &mut MemoryUpload, _: u64, _: Key) -> Result<Reserved, Error> {
        Ok(Reserved::Now)
    }

    fn write(&mut self, upload: &mut MemoryUpload, bytes: &[u8]) -> Result<(), Error> {
        let Some((partial, holder)) = &upload.partial else {
            upload.bytes.extend_from_slice(bytes);
            return Ok(());
        };
        let mut held = lock(&partial.held);
        if held.2 != *holder {
            return Err(Error::Taken);
        }
        held.0.extend_from_slice(bytes);
        Ok(())
    }

    fn commit(&mut self, mut upload: MemoryUpload, seal: Seal, key: Key) {
        let stored = if upload.is_taken() {
            Err(Error::Taken)
        } else {
            if let Some((partial, _)) = upload.partial.take() {
                upload.bytes = std::mem::take(&mut lock(&partial.held).0);
                self.partials.remove(&partial.id);
            }
            self.finish(upload, seal)
        };
        self.done.push_back(Done::Stored(key, stored));
        self.wake();
    }

    fn discard(&mut self, upload: MemoryUpload) {
        if let Some((partial, _)) = &upload.partial
            && !upload.is_taken()
        {
            self.partials.remove(&partial.id);
        }
    }

    fn taken(&self, upload: &MemoryUpload) -> Option<u64> {
        // Its bytes are another's already, so it can't have more.
        upload.is_taken().then_some(u64::MAX)
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
mod tests;
