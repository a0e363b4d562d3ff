//! A file that is being sent: how its bytes get into the socket, and how its digest is taken.
//!
//! A small file is read once, at the start: its digest can then travel in front of it. A large one
//! is never held: the system moves its bytes from the page cache into the socket (`sendfile`), or,
//! where it can't, they are read and written block by block; and [`hashing`](super::hashing) takes
//! its digest meanwhile.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use super::hashing::{Chase, Hashing, unreadable};
use super::stream::Feed;
use crate::net::Stream;
use crate::proto::limits::RUN_AHEAD_SIZE;
use crate::proto::sender::Check;
use crate::proto::{Digest, Metadata};

/// Bytes read at a time where they have to be copied.
const BLOCK: usize = 256 << 10;

/// Opens files to be sent.
#[derive(Debug)]
pub(super) struct Sources {
    pub(super) hashing: Hashing,
    /// Whether files get a digest.
    pub(super) verify: bool,
    /// Whether the system may move a file's bytes by itself.
    pub(super) sendfile: bool,
    /// The stream that is sent instead of files, where one is.
    pub(super) stream: Option<Feed>,
}

/// A file that is being sent.
#[derive(Debug)]
pub(super) struct Source {
    file: Arc<File>,
    facts: Facts,
    metadata: Metadata,
    check: Check,
    /// The digest that is being taken, where it follows behind the bytes.
    chase: Option<Arc<Chase>>,
    sendfile: bool,
    /// Bytes that were read and are to be sent.
    block: Vec<u8>,
    /// The offset of the first of them.
    block_at: u64,
}

/// What tells whether a file was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// The device and the inode.
    pub(super) file: (u64, u64),
    pub(super) size: u64,
    /// When it was last written to: seconds and nanoseconds since the epoch.
    pub(super) modified: (i64, i64),
}

/// Why no bytes were sent.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The file can't be read.
    File(io::Error),
    /// The socket takes none now, or none any more.
    Stream(io::Error),
}

impl Sources {
    /// Opens a file to be sent. Its digest may have been taken before.
    pub(super) fn open(&mut self, path: &Path, known: Option<Digest>) -> io::Result<Source> {
        let mut source = Source::open(path)?;
        source.sendfile = self.sendfile;
        if source.is_small() {
            source.read_block(0)?;
        }
        source.check = match known {
            Some(digest) if !source.is_small() => Check::Known(digest),
            _ if self.verify || known.is_some() => self.begin_digest(&mut source)?,
            _ => Check::None,
        };
        Ok(source)
    }

    /// Opens a file only to have its digest taken, which needs nothing to be sent before.
    pub(super) fn open_for_digest(&mut self, path: &Path) -> io::Result<Source> {
        let mut source = Source::open(path)?;
        if source.is_small() {
            source.read_block(0)?;
        }
        source.check = self.begin_digest(&mut source)?;
        source.follow(source.size());
        Ok(source)
    }

    fn begin_digest(&mut self, source: &mut Source) -> io::Result<Check> {
        if source.is_small() {
            let digest = blake3::hash(&source.block);
            return Ok(Check::Known(Digest(digest.into())));
        }
        let file = Arc::clone(&source.file);
        source.chase = Some(self.hashing.begin(file, source.size())?);
        Ok(Check::AtEnd)
    }
}

impl Source {
    /// Opens a plain file.
    fn open(path: &Path) -> io::Result<Source> {
        // A pipe that nobody writes to would hang the open; it is refused below.
        let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(nonblocking)
            .open(path)?;
        let facts = file.metadata()?;
        if facts.is_dir() {
            return Err(io::Error::other("it is a folder; name the files in it"));
        }
        if !facts.is_file() {
            return Err(io::Error::other("it is not a plain file"));
        }
        // The files of /proc say that they are empty, and are not.
        if facts.len() == 0 && file.read_at(&mut [0], 0)? > 0 {
            return Err(io::Error::other("its size is not known beforehand"));
        }
        Ok(Source {
            file: Arc::new(file),
            facts: Facts::of(&facts),
            metadata: Metadata::of(facts.mode(), facts.mtime()),
            check: Check::None,
            chase: None,
            sendfile: false,
            block: Vec::new(),
            block_at: 0,
        })
    }

    pub(super) fn size(&self) -> u64 {
        self.facts.size
    }

    /// What is known of the file besides its bytes.
    pub(super) fn metadata(&self) -> Metadata {
        self.metadata
    }

    pub(super) fn check(&self) -> Check {
        self.check
    }

    /// What the file was like when it was opened, where its bytes are still read after that.
    pub(super) fn facts(&self) -> Option<Facts> {
        Some(self.facts).filter(|_| !self.is_small())
    }

    /// Whether bytes from `offset` on may be sent yet: the digest must not be left too far behind.
    /// If not, the loop is woken when they may.
    pub(super) fn allows(&self, offset: u64) -> io::Result<bool> {
        self.follow(offset);
        self.chase
            .as_ref()
            .map_or(Ok(true), |chase| chase.allows(offset))
    }

    /// The server has the bytes before this offset.
    pub(super) fn resume_from(&self, offset: u64) {
        if let Some(chase) = &self.chase {
            chase.resume_from(offset);
        }
    }

    /// The digest of the whole file, all of which was sent or is to be. If it isn't there yet, the
    /// loop is woken when it is.
    pub(super) fn digest(&self) -> io::Result<Option<Digest>> {
        self.follow(self.size());
        match (&self.chase, self.check) {
            (Some(chase), _) => chase.digest(),
            (None, Check::Known(digest)) => Ok(Some(digest)),
            (None, _) => Ok(None),
        }
    }

    /// Sends bytes from `offset` on, at most so many; returns how many, which is at least one.
    pub(super) fn send_to(
        &mut self,
        stream: &mut Stream,
        offset: u64,
        most: usize,
    ) -> Result<usize, Trouble> {
        if self.sendfile && !self.is_small() {
            match stream.send_file(&self.file, offset, most) {
                Ok(Some(0)) => {
                    let end = io::ErrorKind::UnexpectedEof.into();
                    return Err(Trouble::File(unreadable(end)));
                }
                Ok(Some(sent)) => return Ok(sent),
                // From here on it is copied. If it can't be read at all, that will say so.
                Ok(None) => self.sendfile = false,
                Err(error) => return Err(Trouble::Stream(error)),
            }
        }
        let bytes = self.bytes(offset).map_err(Trouble::File)?;
        let most = bytes.len().min(most);
        stream.write(&bytes[..most]).map_err(Trouble::Stream)
    }

    /// Bytes from `offset` on, as many as are at hand; at least one.
    pub(super) fn bytes(&mut self, offset: u64) -> io::Result<&[u8]> {
        let held = self.block_at..self.block_at + self.block.len() as u64;
        if !held.contains(&offset) {
            self.read_block(offset)?;
        }
        let skip = usize::try_from(offset - self.block_at).unwrap_or(usize::MAX);
        Ok(&self.block[skip..])
    }

    fn is_small(&self) -> bool {
        self.size() <= RUN_AHEAD_SIZE
    }

    fn follow(&self, sent: u64) {
        if let Some(chase) = &self.chase {
            chase.follow(sent);
        }
    }

    fn read_block(&mut self, offset: u64) -> io::Result<()> {
        let left = usize::try_from(self.size() - offset).unwrap_or(usize::MAX);
        let most = if self.is_small() { left } else { BLOCK };
        self.block.resize(left.min(most), 0);
        self.block_at = offset;
        let read = self.file.read_exact_at(&mut self.block, offset);
        read.map_err(|error| {
            self.block.clear();
            unreadable(error)
        })
    }
}

impl Facts {
    fn of(facts: &fs::Metadata) -> Facts {
        Facts {
            file: (facts.dev(), facts.ino()),
            size: facts.len(),
            modified: (facts.mtime(), facts.mtime_nsec()),
        }
    }

    /// Whether the file at this path is still the same one, but was written to since.
    pub(super) fn has_changed(self, path: &Path) -> bool {
        let now = std::fs::metadata(path).map(|facts| Facts::of(&facts));
        now.is_ok_and(|now| now.file == self.file && now != self)
    }
}
