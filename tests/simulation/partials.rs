//! How the model store goes on with uploads: one connection at a time has each, and whoever
//! announces it last takes it over, once the one before has let go.

use std::time::Duration;

use piecemeal::proto::{Moment, Order};
use piecemeal::store::{Done, Error, Key};

use super::core::{Core, Work};
use super::disk::Partial;
use super::store::Upload;

/// How often it is tried to get what another has, and for how long.
const RETRY: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(15);

impl Core {
    /// Opens an upload that waits for its file, and tells whoever had it.
    pub(super) fn claim(&mut self, order: &Order, key: Key) -> Result<u64, Error> {
        let id = order.upload.as_ref().expect("it has one").as_str();
        if let Some((holder, before)) = self.claims.get(id) {
            let open = &self.open[holder].order;
            if (&open.name, open.size) != (&order.name, order.size) {
                return Err(Error::Differs("another upload has this id"));
            }
            self.done.push_back(Done::Taken(*before));
            let holder = self.open.get_mut(holder).expect("a claim goes with it");
            holder.is_taken = true;
            self.taken_over += 1;
        }
        let number = self.open(order, None, key);
        self.claims.insert(id.to_owned(), (number, key));
        Ok(number)
    }

    pub(super) fn hear_taken(&mut self, upload: &Upload) {
        let open = self.upload(upload);
        // Whoever took it may be gone by now; it is lost all the same.
        if open.is_taken {
            open.taken_at.get_or_insert(open.written);
        }
    }

    /// Tries to open the file of an upload that can be resumed.
    pub(super) fn resume(&mut self, number: u64, key: Key, since: Option<Moment>) {
        // Given up meanwhile: nobody wants to know.
        let Some(open) = self.open.get(&number) else {
            return;
        };
        let order = open.order.clone();
        let id = order.upload.as_ref().expect("it has one").as_str();
        let name = order.name.as_ref().map(ToString::to_string);
        let name = name.unwrap_or_default();
        let partial = self.disk.borrow().partials.get(id).cloned();
        let resumed = match partial {
            Some(partial) if partial.holder.is_some() => {
                let since = since.unwrap_or(self.now);
                if self.now < since + PATIENCE {
                    let again = Work::Resume(number, key, Some(since));
                    return self.work.push((self.now + RETRY, again));
                }
                Err(Error::Held)
            }
            Some(partial) if (&partial.name, partial.size) != (&name, order.size) => {
                Err(Error::Differs("another upload has this id"))
            }
            Some(partial) => self.take(number, id, partial.inode),
            // It has got its name meanwhile, or was thrown away.
            None if since.is_some() => {
                let found = match order.digest {
                    Some(_) => self.look(&order),
                    None => Ok(None),
                };
                if let Ok(Some(receipt)) = &found {
                    self.is_safe(key, receipt.size);
                }
                return self.done.push_back(Done::Looked(key, found));
            }
            None => {
                let inode = self.disk.borrow_mut().create();
                let partial = Partial {
                    inode,
                    name,
                    size: order.size,
                    holder: None,
                    known: 0,
                };
                self.disk
                    .borrow_mut()
                    .partials
                    .insert(id.to_owned(), partial);
                self.take(number, id, inode)
            }
        };
        if let Ok(offset) = resumed {
            self.is_safe(key, offset);
        }
        self.done.push_back(Done::Resumed(key, resumed));
    }

    /// Makes what is there safe, and goes on behind it.
    fn take(&mut self, number: u64, id: &str, inode: usize) -> Result<u64, Error> {
        if self.has_failed {
            return Err(Error::Failed);
        }
        let disk = &mut *self.disk.borrow_mut();
        let mut length = disk.length(inode);
        if self.is_durable {
            if let Err(error) = disk.sync(inode) {
                self.has_failed = true;
                return Err(error);
            }
            length = disk.synced(inode);
        }
        let partial = disk.partials.get_mut(id).expect("it was seen");
        (partial.holder, partial.known) = (Some(number), length);
        let open = self.open.get_mut(&number).expect("it was seen");
        (open.inode, open.written) = (Some(inode), length as u64);
        Ok(length as u64)
    }
}
