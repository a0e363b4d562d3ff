//! A disk, and a store on it that does what the real one promises: sync the file, give it its
//! name, sync the folder, and only then say so. Whatever was not synced may be lost, garbled or
//! kept when the power goes, each piece for itself.

use std::collections::BTreeMap;

use piecemeal::proto::{Begun, Conflict, Digest, Fault, Name, Order, Receipt, Seal, Ticket};
use rand::RngExt;
use rand::rngs::SmallRng;

use super::content::{append, digest_of, length, truncate};
use super::link::Span;

/// Stands for bytes that nobody sent.
const GARBAGE: u32 = u32::MAX;

#[derive(Clone, Debug, Default)]
struct Inode {
    data: Vec<Span>,
    /// What surely survives: what `data` was when it was last synced.
    synced: Vec<Span>,
}

/// What the store has of an upload that can be resumed.
#[derive(Debug)]
struct Partial {
    inode: usize,
    name: Option<Name>,
    size: Option<u64>,
    /// Bytes that it knows to be synced. Nothing behind them is trusted after a power cut.
    known: u64,
    holder: Option<usize>,
    committing: bool,
}

/// An upload that is open. The disk counts them.
#[derive(Debug)]
pub(crate) struct Handle {
    inode: usize,
    order: Order,
    connection: usize,
}

/// What takes the disk a while.
#[derive(Debug)]
enum Work {
    Look(Order),
    Resume(Order),
    Commit(Ticket, Handle, Seal, Stage),
}

#[derive(Debug)]
enum Stage {
    Sync,
    Name,
    SyncFolder(Receipt),
}

/// What has come to an end.
#[derive(Debug)]
pub(crate) enum Done {
    Opened(Result<(Option<Handle>, Begun), Fault>),
    Stored(Ticket, Result<Receipt, Fault>),
}

/// The disk with the store's knowledge of it.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    inodes: Vec<Inode>,
    folder: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    unsynced_names: Vec<(String, usize)>,
    partials: BTreeMap<String, Partial>,
    work: Vec<(usize, Work)>,
    open: usize,
    /// Connections that lost their upload to another.
    pub(crate) taken: Vec<usize>,
    pub(crate) is_full: bool,
    pub(crate) fail_writes: u32,
    pub(crate) fail_syncs: u32,
    /// After a failed sync nothing is promised until a new start.
    pub(crate) has_failed: bool,
}

impl Disk {
    /// Begins an upload, or says later how that went.
    pub(crate) fn begin(
        &mut self,
        order: Order,
        connection: usize,
    ) -> Option<Result<(Option<Handle>, Begun), Fault>> {
        if self.has_failed {
            return Some(Err(Fault::Io));
        }
        if order.look_first {
            self.work.push((connection, Work::Look(order)));
            return None;
        }
        let name = order.name.as_ref().map(ToString::to_string);
        let is_there = name.is_some_and(|name| self.folder.contains_key(&name));
        if order.conflict == Conflict::Error && order.digest.is_none() && is_there {
            return Some(Err(Fault::Exists));
        }
        if self.is_full {
            return Some(Err(Fault::NoSpace));
        }
        if order.upload.is_some() {
            self.work.push((connection, Work::Resume(order)));
            return None;
        }
        let inode = self.create();
        Some(Ok((
            Some(self.handle(inode, order, connection)),
            Begun::Open,
        )))
    }

    fn create(&mut self) -> usize {
        self.inodes.push(Inode::default());
        self.inodes.len() - 1
    }

    fn handle(&mut self, inode: usize, order: Order, connection: usize) -> Handle {
        self.open += 1;
        Handle {
            inode,
            order,
            connection,
        }
    }

    pub(crate) fn write(&mut self, handle: &Handle, span: Span) -> Result<(), Fault> {
        if self.fail_writes > 0 {
            self.fail_writes -= 1;
            return Err(Fault::Io);
        }
        if self.is_full {
            return Err(Fault::NoSpace);
        }
        append(&mut self.inodes[handle.inode].data, span);
        Ok(())
    }

    /// Gives an upload up; one that can be resumed is kept.
    pub(crate) fn abort(&mut self, handle: &Handle) {
        self.open -= 1;
        if let Some(partial) = self.partial_of(handle) {
            partial.holder = None;
        }
    }

    pub(crate) fn discard(&mut self, handle: &Handle) {
        let is_kept = self.partial_of(handle).is_some();
        self.abort(handle);
        if let (true, Some(id)) = (is_kept, &handle.order.upload) {
            self.partials.remove(id.as_str());
        }
    }

    fn partial_of(&mut self, handle: &Handle) -> Option<&mut Partial> {
        let id = handle.order.upload.as_ref()?;
        let partial = self.partials.get_mut(id.as_str())?;
        (partial.inode == handle.inode && partial.holder == Some(handle.connection))
            .then_some(partial)
    }

    pub(crate) fn commit(&mut self, ticket: Ticket, handle: Handle, seal: Seal) {
        if let Some(partial) = self.partial_of(&handle) {
            partial.committing = true;
        }
        let work = Work::Commit(ticket, handle, seal, Stage::Sync);
        let connection = match &work {
            Work::Commit(_, handle, ..) => handle.connection,
            _ => unreachable!(),
        };
        self.work.push((connection, work));
    }

    pub(crate) fn is_busy(&self) -> bool {
        !self.work.is_empty()
    }

    /// Uploads that are open or being stored.
    pub(crate) fn open(&self) -> usize {
        self.open
    }

    fn sync(&mut self, inode: usize) -> Result<(), Fault> {
        if self.sync_fails() {
            return Err(Fault::Io);
        }
        let inode = &mut self.inodes[inode];
        inode.synced.clone_from(&inode.data);
        Ok(())
    }

    fn sync_folder(&mut self) -> bool {
        if self.sync_fails() {
            return false;
        }
        self.unsynced_names.clear();
        self.durable.clone_from(&self.folder);
        true
    }

    fn sync_fails(&mut self) -> bool {
        if self.fail_syncs > 0 {
            self.fail_syncs -= 1;
            self.has_failed = true;
        }
        self.has_failed
    }

    /// Does one step of something that is to be done, for whom it is done is said with it.
    pub(crate) fn step(&mut self, rng: &mut SmallRng) -> Option<(usize, Done)> {
        let which = rng.random_range(0..self.work.len());
        let (connection, work) = self.work.swap_remove(which);
        let done = match work {
            Work::Look(order) => self.look(order, connection),
            Work::Resume(order) => self.resume(order, connection),
            Work::Commit(ticket, handle, seal, stage) => self.store(ticket, handle, seal, stage),
        };
        Some((connection, done?))
    }

    fn look(&mut self, mut order: Order, connection: usize) -> Option<Done> {
        let name = order.name.as_ref().expect("a PUT has a name").to_string();
        if let Some(&inode) = self.folder.get(&name)
            && Some(digest_of(&self.inodes[inode].data)) == order.digest
        {
            // Its first sender may not have been told yet: what is said of it must be true now.
            if !self.sync_folder() {
                return Some(Done::Opened(Err(Fault::Unknown)));
            }
            let receipt = self.receipt(name, inode, order.digest);
            return Some(Done::Opened(Ok((None, Begun::Present(receipt)))));
        }
        order.look_first = false;
        order.digest_follows |= order.digest.take().is_some();
        self.begin(order, connection).map(Done::Opened)
    }

    fn receipt(&self, name: String, inode: usize, digest: Option<Digest>) -> Receipt {
        Receipt {
            name,
            size: length(&self.inodes[inode].data),
            digest,
            durable: true,
        }
    }

    fn resume(&mut self, order: Order, connection: usize) -> Option<Done> {
        let id = order.upload.clone().expect("it has one");
        if let Some(partial) = self.partials.get_mut(id.as_str()) {
            if partial.committing {
                self.work.push((connection, Work::Resume(order)));
                return None;
            }
            if partial.name != order.name || partial.size != order.size {
                return Some(Done::Opened(Err(Fault::BadState("another upload"))));
            }
            let before = partial.holder.replace(connection);
            self.taken
                .extend(before.filter(|holder| *holder != connection));
        } else {
            let inode = self.create();
            let partial = Partial {
                inode,
                name: order.name.clone(),
                size: order.size,
                known: 0,
                holder: Some(connection),
                committing: false,
            };
            self.partials.insert(id.as_str().to_owned(), partial);
        }
        let inode = self.partials[id.as_str()].inode;
        let synced = self.sync(inode);
        let offset = length(&self.inodes[inode].synced);
        let partial = self.partials.get_mut(id.as_str()).expect("seen above");
        if let Err(fault) = synced {
            partial.holder = None;
            return Some(Done::Opened(Err(fault)));
        }
        partial.known = offset;
        let handle = self.handle(inode, order, connection);
        Some(Done::Opened(Ok((Some(handle), Begun::Resumed { offset }))))
    }

    fn store(&mut self, ticket: Ticket, handle: Handle, seal: Seal, stage: Stage) -> Option<Done> {
        let stage = match stage {
            Stage::Sync => {
                let data = &self.inodes[handle.inode].data;
                if seal.digest.is_some_and(|digest| digest != digest_of(data)) {
                    self.discard(&handle);
                    let fault = Fault::Digest("the stored bytes have another digest");
                    return Some(Done::Stored(ticket, Err(fault)));
                }
                if let Err(fault) = self.sync(handle.inode) {
                    self.discard(&handle);
                    return Some(Done::Stored(ticket, Err(fault)));
                }
                Stage::Name
            }
            Stage::Name => match self.name_for(&handle, seal) {
                Ok(name) => {
                    let receipt = self.receipt(name, handle.inode, seal.digest);
                    Stage::SyncFolder(receipt)
                }
                Err(fault) => {
                    self.discard(&handle);
                    return Some(Done::Stored(ticket, Err(fault)));
                }
            },
            Stage::SyncFolder(receipt) => {
                let is_synced = self.sync_folder();
                self.discard(&handle);
                let stored = is_synced.then_some(receipt).ok_or(Fault::Unknown);
                return Some(Done::Stored(ticket, stored));
            }
        };
        let connection = handle.connection;
        self.work
            .push((connection, Work::Commit(ticket, handle, seal, stage)));
        None
    }

    /// Gives an upload its name in the folder, and says which one that is.
    fn name_for(&mut self, handle: &Handle, seal: Seal) -> Result<String, Fault> {
        let wanted = handle.order.name.as_ref().expect("each has one here");
        let mut name = wanted.to_string();
        if let Some(&there) = self.folder.get(&name) {
            let same = seal.digest == Some(digest_of(&self.inodes[there].data));
            match handle.order.conflict {
                _ if same => return Ok(name),
                Conflict::Error => return Err(Fault::Exists),
                Conflict::Overwrite => {}
                Conflict::Rename => {
                    let numbered =
                        |number| wanted.numbered(number).expect("it is short").to_string();
                    let is_free = |name: &String| !self.folder.contains_key(name);
                    name = (2..).map(numbered).find(is_free).expect("numbers go on");
                }
            }
        }
        // It is moved: what has a client's name is gone on with no more.
        if self.partial_of(handle).is_some()
            && let Some(id) = &handle.order.upload
        {
            self.partials.remove(id.as_str());
        }
        self.folder.insert(name.clone(), handle.inode);
        self.unsynced_names.push((name.clone(), handle.inode));
        Ok(name)
    }

    /// The server dies; what it wrote is in the system's memory, and stays.
    pub(crate) fn forget_server(&mut self) {
        self.open = 0;
        self.work.clear();
        self.taken.clear();
        self.has_failed = false;
        self.fail_syncs = 0;
        for partial in self.partials.values_mut() {
            (partial.holder, partial.committing) = (None, false);
        }
    }

    /// The power goes: each unsynced name stays or goes for itself, and so do unsynced bytes.
    pub(crate) fn cut_power(&mut self, rng: &mut SmallRng) {
        self.forget_server();
        for (name, inode) in std::mem::take(&mut self.unsynced_names) {
            if rng.random() {
                self.durable.insert(name, inode);
            }
        }
        self.folder.clone_from(&self.durable);
        for inode in &mut self.inodes {
            let unsynced = length(&inode.data).saturating_sub(length(&inode.synced));
            let kept = rng.random_range(0..=unsynced);
            match rng.random() {
                true => truncate(&mut inode.data, length(&inode.synced) + kept),
                false => {
                    inode.data.clone_from(&inode.synced);
                    let (content, at, len) = (GARBAGE, 0, kept);
                    append(&mut inode.data, Span { content, at, len });
                }
            }
            inode.synced.clone_from(&inode.data);
        }
        for partial in self.partials.values() {
            let inode = &mut self.inodes[partial.inode];
            truncate(&mut inode.data, partial.known);
            inode.synced.clone_from(&inode.data);
        }
    }

    /// Bytes of an open upload that survive a power cut.
    pub(crate) fn synced_of(&self, handle: &Handle) -> u64 {
        length(&self.inodes[handle.inode].synced)
    }

    /// What would have this name after a power cut: its bytes and their digest.
    pub(crate) fn durable(&self, name: &str) -> Option<(u64, Digest)> {
        let inode = &self.inodes[*self.durable.get(name)?];
        Some((length(&inode.synced), digest_of(&inode.synced)))
    }

    /// Every file that anybody can see now.
    pub(crate) fn visible(&self) -> impl Iterator<Item = (&str, u64, Digest)> {
        self.folder.iter().map(|(name, &inode)| {
            let data = &self.inodes[inode].data;
            (name.as_str(), length(data), digest_of(data))
        })
    }
}
