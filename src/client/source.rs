//! A file that is being sent: read piece by piece, with its digest taken on the way.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use crate::proto::Digest;
use crate::proto::limits::RUN_AHEAD_SIZE;
use crate::proto::sender::Check;

/// Bytes read at a time.
const BLOCK: usize = 256 << 10;

/// A file that is being sent.
#[derive(Debug)]
pub(super) struct Source {
    file: File,
    size: u64,
    /// Bytes that were read and are to be sent.
    block: Vec<u8>,
    /// The offset of the first of them.
    block_at: u64,
    hasher: blake3::Hasher,
    check: Check,
}

impl Source {
    /// Opens a plain file. One that is small is read at once, so that its digest can travel in
    /// front of it, as one that was taken before does.
    pub(super) fn open(path: &Path, digest: Option<Digest>) -> io::Result<Source> {
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
        let mut source = Source {
            file,
            size: facts.len(),
            block: Vec::new(),
            block_at: 0,
            hasher: blake3::Hasher::new(),
            check: digest.map_or(Check::AtEnd, Check::Known),
        };
        if source.size <= RUN_AHEAD_SIZE {
            source.read_block(usize::try_from(source.size).unwrap_or(usize::MAX))?;
            source.check = Check::Known(source.digest());
        }
        Ok(source)
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn check(&self) -> Check {
        self.check
    }

    /// Bytes from `offset` on, as many as are at hand; at least one. `offset` never goes back.
    pub(super) fn bytes(&mut self, offset: u64) -> io::Result<&[u8]> {
        while self.block_at + self.block.len() as u64 <= offset {
            self.block_at += self.block.len() as u64;
            self.block.clear();
            let left = self.size.saturating_sub(self.block_at);
            self.read_block(usize::try_from(left).unwrap_or(usize::MAX).min(BLOCK))?;
        }
        let skip = usize::try_from(offset - self.block_at).unwrap_or(usize::MAX);
        Ok(&self.block[skip..])
    }

    /// The digest of the whole file, which is read for it.
    pub(super) fn into_digest(mut self) -> io::Result<Digest> {
        if self.size > 0 {
            self.bytes(self.size - 1)?;
        }
        Ok(self.digest())
    }

    /// The digest of all that was read.
    pub(super) fn digest(&self) -> Digest {
        Digest(self.hasher.finalize().into())
    }

    fn read_block(&mut self, length: usize) -> io::Result<()> {
        self.block.resize(length, 0);
        self.file
            .read_exact_at(&mut self.block, self.block_at)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => io::Error::other("it shrank while it was sent"),
                _ => error,
            })?;
        self.hasher.update(&self.block);
        Ok(())
    }
}
