//! What is in the files: pieces of one block of random bytes, so that a content costs nothing to
//! make, and none is a part of another by chance.

use std::fmt;
use std::sync::LazyLock;

use piecemeal::proto::Digest;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// Bytes that contents are pieces of, and so the most that one has.
const BLOCK: usize = 8 << 20;

static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut bytes = vec![0; BLOCK];
    SmallRng::seed_from_u64(0).fill(&mut bytes[..]);
    bytes
});

/// The bytes of one file. Their digest is taken once, since everybody asks for it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Content {
    from: usize,
    pub(crate) size: usize,
    pub(crate) digest: Digest,
}

impl Content {
    /// So many bytes, from anywhere.
    pub(crate) fn new(size: usize, rng: &mut SmallRng) -> Content {
        Content::at(rng.random_range(0..=BLOCK - size), size)
    }

    fn at(from: usize, size: usize) -> Content {
        let digest = digest(&BYTES[from..][..size]);
        Content { from, size, digest }
    }

    /// The first half of it.
    pub(crate) fn halved(self) -> Content {
        Content::at(self.from, self.size / 2)
    }

    pub(crate) fn bytes(self) -> &'static [u8] {
        &BYTES[self.from..][..self.size]
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes from {}", self.size, self.from)
    }
}

pub(crate) fn digest(bytes: &[u8]) -> Digest {
    Digest(blake3::hash(bytes).into())
}
