//! A store whose files can be watched while they grow: `NAME.part` is there as soon as an upload
//! begins, has every byte that came, and becomes `NAME` when it is whole.
//!
//! That is what the course asks for, and what most servers do. It keeps less than a
//! [`FolderStore`](super::FolderStore): nothing is synced, so a file survives the server and not
//! the machine, and a server that is killed leaves its `.part` files behind. They bear a mark, and
//! the next upload of the name replaces them; a `.part` file without it is somebody's own, and
//! stands in the way.

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, XattrFlags};
use rustix::io::Errno;

use super::error::at_path;
use super::place::move_to_free_name;
use super::{Done, Error, Key, Opening, Reserved, Store, Wake, random_name};
use crate::proto::{Conflict, Digest, Name, Order, Receipt, Seal};

/// What the name of a file that still grows ends in.
pub const PART: &str = ".part";
/// The attribute that marks a file as one that grows, so that no other is ever replaced.
const MARK: &str = "user.piecemeal.part";
/// Names that are tried for an upload whose own is taken.
const TRIES: u32 = 10_000;

/// Stores into a folder, visibly. Clones share the folder and nothing else.
pub struct GrowingStore {
    folder: Arc<OwnedFd>,
    done: VecDeque<Done>,
    wake: Option<Wake>,
}

/// A file that grows. Dropped, it is gone.
#[derive(Debug)]
pub struct GrowingUpload {
    folder: Arc<OwnedFd>,
    /// What it is to be called.
    name: String,
    /// `None` for a random name.
    wanted: Option<Name>,
    conflict: Conflict,
    /// What it is called until then, unless it has its name.
    part: Option<String>,
    /// It is locked, so that nobody else takes it for a dead server's.
    file: File,
    hasher: Option<Box<blake3::Hasher>>,
    written: u64,
}

impl GrowingStore {
    /// Opens a folder, and makes it if it is missing.
    ///
    /// # Errors
    /// Where the folder can't be made or opened.
    pub fn open(path: &Path) -> io::Result<GrowingStore> {
        let named = |error| at_path("store into the folder", path, error);
        std::fs::create_dir_all(path).map_err(named)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(path, flags, Mode::empty());
        let folder = folder.map_err(|error| named(error.into()))?;
        Ok(GrowingStore {
            folder: Arc::new(folder),
            done: VecDeque::new(),
            wake: None,
        })
    }

    /// What kind of thing has a name, if any has.
    fn kind_of(&self, name: &str) -> Result<Option<FileType>, Error> {
        match rustix::fs::statat(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(facts) => Ok(Some(FileType::from_raw_mode(facts.st_mode))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(Error::from_call("look for a file", error)),
        }
    }

    /// Makes `NAME.part`. One that is marked and that nobody holds is a dead server's.
    fn create_part(&self, part: &str) -> Result<File, Error> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let create = || rustix::fs::openat(&self.folder, part, flags, Mode::from_raw_mode(0o666));
        let made = match create() {
            Err(Errno::EXIST) => {
                self.remove_dead(part)?;
                create()
            }
            made => made,
        };
        let file = File::from(made.map_err(|error| match error {
            Errno::EXIST => Error::UnderWay,
            error => Error::from_call("create a file", error),
        })?);
        // First the lock, so that nobody takes a marked file for dead.
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| Error::UnderWay)?;
        // Without marks, as on some file systems, a dead server's file has to be removed by hand.
        let _ = rustix::fs::fsetxattr(&file, MARK, b"", XattrFlags::CREATE);
        Ok(file)
    }

    fn remove_dead(&self, part: &str) -> Result<(), Error> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.folder, part, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(()),
            Err(_) => return Err(Error::Exists),
        };
        if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(Error::UnderWay);
        }
        if rustix::fs::fgetxattr(&file, MARK, &mut [0u8; 0][..]).is_err() {
            return Err(Error::Exists);
        }
        match rustix::fs::unlinkat(&self.folder, part, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(Error::from_call("replace a dead server's file", error)),
        }
    }
}

impl GrowingUpload {
    /// Gives the file its name.
    fn finish(mut self, seal: Seal) -> Result<Receipt, Error> {
        assert_eq!(self.written, seal.size, "the machine counts what it moves");
        let digest = seal.digest.and_then(|_| {
            let hasher = self.hasher.as_ref()?;
            Some(Digest(hasher.finalize().into()))
        });
        if digest != seal.digest {
            return Err(Error::Digest);
        }
        match (self.wanted.clone(), self.conflict) {
            (None, _) | (_, Conflict::Error) => self.move_to_free(self.name.clone())?,
            (_, Conflict::Overwrite) => self.replace()?,
            (Some(wanted), Conflict::Rename) => {
                let names = (2..TRIES).map_while(|number| wanted.numbered(number));
                let names = names.map(|name| name.to_string());
                let moved = std::iter::once(self.name.clone())
                    .chain(names)
                    .map(|name| self.move_to_free(name))
                    .find(|moved| !matches!(moved, Err(Error::Exists)));
                moved.unwrap_or(Err(Error::Exists))?;
            }
        }
        Ok(Receipt {
            name: self.name.clone(),
            size: self.written,
            digest,
            durable: false,
        })
    }

    fn move_to_free(&mut self, name: String) -> Result<(), Error> {
        let part = self.part.as_ref().expect("it has its name only once");
        match move_to_free_name((&self.folder, part), (&self.folder, &name)) {
            Ok(()) => {
                self.part = None;
                self.name = name;
                Ok(())
            }
            Err(Errno::EXIST) => Err(Error::Exists),
            Err(error) => Err(Error::from_call("give a file its name", error)),
        }
    }

    fn replace(&mut self) -> Result<(), Error> {
        let part = self.part.as_ref().expect("it has its name only once");
        match rustix::fs::renameat(&self.folder, part, &self.folder, &self.name) {
            Ok(()) => {
                self.part = None;
                Ok(())
            }
            // A folder has the name: that is nothing to replace.
            Err(Errno::ISDIR | Errno::NOTEMPTY | Errno::EXIST) => Err(Error::Exists),
            Err(error) => Err(Error::from_call("replace a file", error)),
        }
    }
}

impl Drop for GrowingUpload {
    fn drop(&mut self) {
        if let Some(part) = &self.part {
            let _ = rustix::fs::unlinkat(&self.folder, part, AtFlags::empty());
        }
    }
}

impl Store for GrowingStore {
    type Upload = GrowingUpload;

    fn set_wake(&mut self, wake: Wake) {
        self.wake = Some(wake);
    }

    fn begin(&mut self, order: &Order, _: Key) -> Result<Opening<GrowingUpload>, Error> {
        let name = match &order.name {
            Some(name) => name.to_string(),
            None => random_name(),
        };
        if order.name.is_some() {
            match (self.kind_of(&name)?, order.conflict) {
                (None, _) | (Some(_), Conflict::Rename) => {}
                // A folder is nothing to overwrite, and it is kinder to say so now.
                (Some(FileType::Directory), _) | (Some(_), Conflict::Error) => {
                    return Err(Error::Exists);
                }
                (Some(_), Conflict::Overwrite) => {}
            }
        }
        if order.name.is_some() && name.ends_with(PART) {
            return Err(Error::Reserved);
        }
        let part = format!("{name}{PART}");
        let file = self.create_part(&part)?;
        let hashes = order.digest.is_some() || order.digest_follows;
        Ok(Opening::Open(GrowingUpload {
            folder: Arc::clone(&self.folder),
            name,
            wanted: order.name.clone(),
            conflict: order.conflict,
            part: Some(part),
            file,
            hasher: hashes.then(Box::default),
            written: 0,
        }))
    }

    fn reserve(&mut self, _: &mut GrowingUpload, _: u64, _: Key) -> Result<Reserved, Error> {
        // Reserved space could not be told from data by whoever watches the file.
        Ok(Reserved::Now)
    }

    fn write(&mut self, upload: &mut GrowingUpload, bytes: &[u8]) -> Result<(), Error> {
        (upload.file.write_all(bytes)).map_err(|error| Error::from_call("write a file", error))?;
        if let Some(hasher) = &mut upload.hasher {
            hasher.update(bytes);
        }
        upload.written += bytes.len() as u64;
        Ok(())
    }

    fn commit(&mut self, upload: GrowingUpload, seal: Seal, key: Key) {
        self.done.push_back(Done::Stored(key, upload.finish(seal)));
        if let Some(wake) = &self.wake {
            wake();
        }
    }

    fn poll_done(&mut self) -> Option<Done> {
        self.done.pop_front()
    }
}

impl Clone for GrowingStore {
    fn clone(&self) -> GrowingStore {
        GrowingStore {
            folder: Arc::clone(&self.folder),
            done: VecDeque::new(),
            wake: None,
        }
    }
}

impl fmt::Debug for GrowingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrowingStore")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
