//! The model store: it does on the model disk what the real one does in a folder, and takes its
//! time for it. How it commits is in `committer.rs`, how it goes on with uploads in `partials.rs`.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use piecemeal::proto::{Conflict, Moment, Order, Seal};
use piecemeal::store::{Done, Error, Key, Opening, Reserved, Store, Wake};
use rand::RngExt;
use rand::rngs::SmallRng;

use super::core::{Core, Work};
use super::disk::{Disk, full};

/// Uploads up to this size are committed in order; from here on space is reserved.
pub(crate) const SMALL: u64 = 1 << 20;

/// A session's side of an upload.
#[derive(Debug)]
pub(crate) struct Upload {
    core: Rc<RefCell<Core>>,
    /// `None` once it is committed or thrown away.
    number: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct ModelStore(pub(crate) Rc<RefCell<Core>>);

impl ModelStore {
    pub(crate) fn new(
        disk: Rc<RefCell<Disk>>,
        is_durable: bool,
        now: Moment,
        rng: SmallRng,
    ) -> ModelStore {
        ModelStore(Rc::new(RefCell::new(Core {
            disk,
            rng,
            now,
            is_durable,
            has_failed: false,
            is_dead: false,
            slow_until: Moment::START,
            open: BTreeMap::new(),
            uploads: 0,
            claims: BTreeMap::new(),
            work: Vec::new(),
            complete: Vec::new(),
            waiting: VecDeque::new(),
            batch: None,
            done: VecDeque::new(),
            safe: BTreeMap::new(),
            batches: 0,
            taken_over: 0,
        })))
    }
}

impl Store for ModelStore {
    type Upload = Upload;

    fn set_wake(&mut self, _: Wake) {}

    fn begin(&mut self, order: &Order, key: Key) -> Result<Opening<Upload>, Error> {
        let upload = |number| Upload {
            core: Rc::clone(&self.0),
            number: Some(number),
        };
        let core = &mut *self.0.borrow_mut();
        if core.has_failed {
            return Err(Error::Failed);
        }
        let name = order.name.as_ref().map(ToString::to_string);
        if let Some(length) = name.and_then(|name| core.disk.borrow().length_of(&name)) {
            let length = length as u64;
            let same = order.digest.is_some() && order.size.is_none_or(|size| size == length);
            if same && order.look_first {
                core.add(Work::Look(order.clone(), key));
                return Ok(Opening::Looking);
            }
            if !same && order.conflict == Conflict::Error {
                return Err(Error::Exists);
            }
        }
        if order.upload.is_some() {
            let number = core.claim(order, key)?;
            core.add(Work::Resume(number, key, None));
            return Ok(Opening::Resuming(upload(number)));
        }
        if core.disk.borrow().failing.is_full {
            return Err(full());
        }
        let inode = core.disk.borrow_mut().create();
        let number = core.open(order, Some(inode), key);
        if order.size.is_some_and(|size| size > SMALL) && core.rng.random() {
            core.add(Work::Reserve(key));
            return Ok(Opening::Reserving(upload(number)));
        }
        Ok(Opening::Open(upload(number)))
    }

    fn reserve(&mut self, upload: &mut Upload, total: u64, key: Key) -> Result<Reserved, Error> {
        let core = &mut *self.0.borrow_mut();
        if core.disk.borrow().failing.is_full {
            return Err(full());
        }
        core.upload(upload).reserved = total;
        if core.rng.random_range(0..4) == 0 {
            core.add(Work::Reserve(key));
            return Ok(Reserved::Later);
        }
        Ok(Reserved::Now)
    }

    fn write(&mut self, upload: &mut Upload, bytes: &[u8]) -> Result<(), Error> {
        let core = &mut *self.0.borrow_mut();
        let inode = core.upload(upload).inode.expect("it was opened");
        core.disk.borrow_mut().write(inode, bytes)?;
        core.upload(upload).written += bytes.len() as u64;
        Ok(())
    }

    fn commit(&mut self, mut upload: Upload, seal: Seal, key: Key) {
        let number = upload.number.take().expect("it is committed once");
        self.0.borrow_mut().commit(number, seal, key);
    }

    fn discard(&mut self, mut upload: Upload) {
        let number = upload.number.take().expect("it is thrown away once");
        self.0.borrow_mut().close(number, false);
    }

    fn hear_taken(&mut self, upload: &mut Upload) {
        self.0.borrow_mut().hear_taken(upload);
    }

    fn taken(&self, upload: &Upload) -> Option<u64> {
        let core = self.0.borrow();
        let open = &core.open[&upload.number()];
        Some(open.written.saturating_sub(open.taken_at?))
    }

    fn flush(&mut self) {
        let core = &mut *self.0.borrow_mut();
        core.waiting.extend(core.complete.drain(..));
    }

    fn poll_done(&mut self) -> Option<Done> {
        self.0.borrow_mut().done.pop_front()
    }
}

impl Upload {
    pub(crate) fn number(&self) -> u64 {
        self.number.expect("it is open")
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(number) = self.number.take() {
            self.core.borrow_mut().close(number, true);
        }
    }
}
