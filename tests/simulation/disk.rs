//! The model disk: files, one folder, and what of both is safe. When the power goes, each write
//! that wasn't synced is kept, lost or garbled for itself, and so is each name, in any order.

use std::collections::{BTreeMap, HashMap};

use piecemeal::proto::Digest;
use piecemeal::store::Error;
use rand::RngExt;
use rand::rngs::SmallRng;

use super::content::digest;

/// A file's bytes, with a name or without.
#[derive(Debug, Default)]
struct Inode {
    data: Vec<u8>,
    /// So many of the first bytes surely survive.
    synced: usize,
    /// Where each later write ends.
    writes: Vec<usize>,
    /// The digest, while nobody has written.
    digest: Option<Digest>,
}

/// An upload that can be resumed, as it lies on the disk.
#[derive(Clone, Debug)]
pub(crate) struct Partial {
    pub(crate) inode: usize,
    pub(crate) name: String,
    pub(crate) size: Option<u64>,
    /// Which open upload has it.
    pub(crate) holder: Option<u64>,
    /// Bytes that its record says are safe; nothing behind them is trusted after a power cut.
    pub(crate) known: usize,
}

/// What fails, and how often.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Failures {
    pub(crate) is_full: bool,
    pub(crate) writes: u32,
    pub(crate) syncs: u32,
    pub(crate) links: u32,
    pub(crate) folder_syncs: u32,
}

/// The disk. It outlives servers.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    inodes: Vec<Inode>,
    /// What anybody sees, and what would be seen after a power cut.
    folder: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    unsynced_names: Vec<(String, usize)>,
    pub(crate) partials: BTreeMap<String, Partial>,
    pub(crate) failing: Failures,
    /// Names whose file changed, or that are new, since somebody looked.
    changed: Vec<String>,
    named: HashMap<usize, String>,
}

impl Disk {
    pub(crate) fn create(&mut self) -> usize {
        self.inodes.push(Inode::default());
        self.inodes.len() - 1
    }

    pub(crate) fn write(&mut self, inode: usize, bytes: &[u8]) -> Result<(), Error> {
        if self.failing.writes > 0 {
            self.failing.writes -= 1;
            return Err(failed("write"));
        }
        if self.failing.is_full {
            return Err(full());
        }
        if let Some(name) = self.named.get(&inode) {
            self.changed.push(name.clone());
        }
        let inode = &mut self.inodes[inode];
        inode.data.extend_from_slice(bytes);
        inode.writes.push(inode.data.len());
        inode.digest = None;
        Ok(())
    }

    /// Nobody has it open, and it has no name: not even one that a power cut could bring back.
    pub(crate) fn free(&mut self, inode: usize) {
        let unsynced = self.unsynced_names.iter().map(|(_, inode)| inode);
        let mut others = self.durable.values().chain(unsynced);
        if !self.named.contains_key(&inode) && others.all(|other| *other != inode) {
            self.inodes[inode] = Inode::default();
        }
    }

    /// Makes a file's bytes safe.
    pub(crate) fn sync(&mut self, inode: usize) -> Result<(), Error> {
        if self.failing.syncs > 0 {
            self.failing.syncs -= 1;
            return Err(failed("sync a file"));
        }
        let inode = &mut self.inodes[inode];
        inode.synced = inode.data.len();
        inode.writes.clear();
        Ok(())
    }

    /// Gives a file a name, in place of any that has it.
    pub(crate) fn link(&mut self, name: &str, inode: usize) -> Result<(), Error> {
        if self.failing.links > 0 {
            self.failing.links -= 1;
            return Err(failed("give a file its name"));
        }
        if let Some(before) = self.folder.insert(name.to_owned(), inode) {
            self.named.remove(&before);
        }
        self.unsynced_names.push((name.to_owned(), inode));
        self.changed.push(name.to_owned());
        self.named.insert(inode, name.to_owned());
        Ok(())
    }

    pub(crate) fn sync_folder(&mut self) -> Result<(), Error> {
        if self.failing.folder_syncs > 0 {
            self.failing.folder_syncs -= 1;
            return Err(failed("sync a folder"));
        }
        for (name, inode) in self.unsynced_names.drain(..) {
            self.durable.insert(name, inode);
        }
        Ok(())
    }

    /// The file that has a name.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.folder.get(name).copied()
    }

    pub(crate) fn length_of(&self, name: &str) -> Option<usize> {
        Some(self.length(self.find(name)?))
    }

    pub(crate) fn length(&self, inode: usize) -> usize {
        self.inodes[inode].data.len()
    }

    pub(crate) fn synced(&self, inode: usize) -> usize {
        self.inodes[inode].synced
    }

    pub(crate) fn digest(&mut self, inode: usize) -> Digest {
        let inode = &mut self.inodes[inode];
        *inode.digest.get_or_insert_with(|| digest(&inode.data))
    }

    /// What would have this name after a power cut: its size and digest.
    pub(crate) fn durable(&mut self, name: &str) -> Option<(usize, Digest)> {
        let inode = *self.durable.get(name)?;
        if self.inodes[inode].synced == self.inodes[inode].data.len() {
            return Some((self.length(inode), self.digest(inode)));
        }
        let safe = &self.inodes[inode].data[..self.inodes[inode].synced];
        Some((safe.len(), digest(safe)))
    }

    /// What has this name now.
    pub(crate) fn visible(&mut self, name: &str) -> Option<(usize, Digest)> {
        let inode = self.find(name)?;
        Some((self.length(inode), self.digest(inode)))
    }

    /// What has changed of what anybody can see, since this was last asked.
    pub(crate) fn take_changed(&mut self) -> Vec<String> {
        std::mem::take(&mut self.changed)
    }

    /// The server dies: what it wrote is in the system's memory, and stays there.
    pub(crate) fn forget_server(&mut self) {
        let partials = &mut self.partials;
        partials.values_mut().for_each(|it| it.holder = None);
    }

    /// The power goes.
    pub(crate) fn cut_power(&mut self, rng: &mut SmallRng) {
        self.forget_server();
        let mut names = std::mem::take(&mut self.unsynced_names);
        names.retain(|_| rng.random());
        self.durable.extend(names);
        self.folder.clone_from(&self.durable);
        self.named = (self.folder.iter())
            .map(|(name, inode)| (*inode, name.clone()))
            .collect();
        self.changed = self.folder.keys().cloned().collect();
        let nameless = |number: &usize, partials: &BTreeMap<String, Partial>| {
            !self.named.contains_key(number) && partials.values().all(|it| it.inode != *number)
        };
        let kept: Vec<bool> = (0..self.inodes.len())
            .map(|number| !nameless(&number, &self.partials))
            .collect();
        for (inode, is_kept) in self.inodes.iter_mut().zip(kept) {
            match is_kept {
                true => inode.lose_unsynced(rng),
                false => *inode = Inode::default(),
            }
        }
        for partial in self.partials.values() {
            let inode = &mut self.inodes[partial.inode];
            inode.data.truncate(partial.known);
            inode.synced = inode.data.len();
        }
    }
}

impl Inode {
    /// Each write that was not synced is kept, is zeros, or is another's bytes; and the file may
    /// end anywhere behind what was synced.
    fn lose_unsynced(&mut self, rng: &mut SmallRng) {
        let mut from = self.synced;
        for end in std::mem::take(&mut self.writes) {
            let lost = &mut self.data[from..end];
            match rng.random_range(0..3) {
                0 => {}
                1 => lost.fill(0),
                _ => lost.fill(0xee),
            }
            from = end;
        }
        let length = rng.random_range(self.synced..=self.data.len());
        let length = if rng.random() {
            length
        } else {
            self.data.len()
        };
        self.data.truncate(length);
        self.synced = length;
        self.digest = None;
    }
}

/// What a call that failed says.
pub(crate) fn failed(doing: &'static str) -> Error {
    let error = std::io::Error::other("the model disk was told to fail");
    Error::Io { doing, error }
}

pub(crate) fn full() -> Error {
    Error::Full(std::io::ErrorKind::StorageFull.into())
}
