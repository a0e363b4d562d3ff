//! The bytes that are sent, made once before the clock starts.
//!
//! All files share one block of random bytes: a file begins somewhere in it, and goes around as
//! often as its size needs. So a file of a gigabyte costs no memory, and no two sizes begin alike.

use std::ops::RangeInclusive;

use rand::rngs::SmallRng;
use rand::{Rng, RngExt};

use super::Work;
use crate::proto::Digest;
use crate::proto::limits::TEXT_MOST;

/// Bytes of the block. It fits the caches of most machines, so that reading it is not what is
/// measured.
const BLOCK: u64 = 1 << 20;
/// Kinds of files: sizes, and beginnings. Enough for a spread, few enough to be made at once.
const KINDS: u64 = 64;
/// Bytes that are read to take digests beforehand, at most: about a second of work.
const DIGESTED_MOST: u64 = 1 << 30;

/// What files are made of.
#[derive(Debug)]
pub(super) struct Payload {
    block: Vec<u8>,
    kinds: Vec<Kind>,
}

/// Files that are alike but for their names.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) size: u64,
    /// Where in the block it begins.
    start: u64,
    /// Where it was asked for.
    pub(super) digest: Option<Digest>,
}

impl Payload {
    /// Makes bytes for files, or letters for texts, of these sizes.
    pub(super) fn make(work: Work, sizes: &RangeInclusive<u64>, random: &mut SmallRng) -> Payload {
        let mut block = vec![0; usize::try_from(BLOCK + TEXT_MOST).unwrap_or(usize::MAX)];
        random.fill_bytes(&mut block);
        let mut count = KINDS;
        match work {
            Work::Files => {}
            Work::Texts => {
                for byte in &mut block {
                    *byte = b'a' + *byte % 26;
                }
            }
            Work::VerifiedFiles => {
                let usual = (sizes.start() / 2 + sizes.end() / 2).max(1);
                count = (DIGESTED_MOST / usual).clamp(2, KINDS);
            }
        }
        let kinds = (0..count).map(|number| {
            let mut kind = Kind {
                size: match number {
                    // The ends are always there: they are what a test looks for.
                    0 => *sizes.start(),
                    1 => *sizes.end(),
                    _ => random.random_range(sizes.clone()),
                },
                start: random.random_range(0..BLOCK),
                digest: None,
            };
            if work == Work::VerifiedFiles {
                kind.digest = Some(digest(&block, &kind));
            }
            kind
        });
        let kinds = kinds.collect();
        Payload { block, kinds }
    }

    /// A kind for the next file.
    pub(super) fn pick(&self, random: &mut SmallRng) -> usize {
        random.random_range(0..self.kinds.len())
    }

    pub(super) fn kind(&self, index: usize) -> &Kind {
        &self.kinds[index]
    }

    /// The text of a kind, in one piece.
    pub(super) fn text(&self, index: usize) -> &[u8] {
        let kind = &self.kinds[index];
        let start = usize::try_from(kind.start).expect("it lies in the block");
        let size = usize::try_from(kind.size.min(TEXT_MOST)).expect("it is short");
        &self.block[start..start + size]
    }

    /// Bytes of a file from `offset` on, as many as lie in one piece; none at its end.
    pub(super) fn piece(&self, index: usize, offset: u64) -> &[u8] {
        piece(&self.block, &self.kinds[index], offset)
    }

    /// Appends the file's first bytes, `most` of them; returns how many that were.
    pub(super) fn append(&self, index: usize, most: u64, out: &mut Vec<u8>) -> u64 {
        let most = most.min(self.kinds[index].size);
        let mut offset = 0;
        while offset < most {
            let piece = self.piece(index, offset);
            let left = usize::try_from(most - offset).unwrap_or(usize::MAX);
            let piece = &piece[..piece.len().min(left)];
            out.extend_from_slice(piece);
            offset += piece.len() as u64;
        }
        offset
    }
}

fn piece<'a>(block: &'a [u8], kind: &Kind, offset: u64) -> &'a [u8] {
    let at = (kind.start + offset % BLOCK) % BLOCK;
    let length = (BLOCK - at).min(kind.size - offset);
    let bounds = [at, at + length].map(|bound| usize::try_from(bound).expect("within the block"));
    &block[bounds[0]..bounds[1]]
}

fn digest(block: &[u8], kind: &Kind) -> Digest {
    let mut hasher = blake3::Hasher::new();
    let mut offset = 0;
    while offset < kind.size {
        let piece = piece(block, kind, offset);
        hasher.update(piece);
        offset += piece.len() as u64;
    }
    Digest(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn payload(work: Work, sizes: RangeInclusive<u64>) -> Payload {
        Payload::make(work, &sizes, &mut SmallRng::seed_from_u64(7))
    }

    fn whole(payload: &Payload, index: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        payload.append(index, u64::MAX, &mut bytes);
        bytes
    }

    #[test]
    fn sizes_stay_in_their_range_and_reach_its_ends() {
        let payload = payload(Work::Files, 10..=3_000_000);
        let sizes: Vec<u64> = payload.kinds.iter().map(|kind| kind.size).collect();
        assert!(sizes.contains(&10) && sizes.contains(&3_000_000));
        assert!(sizes.iter().all(|size| (10..=3_000_000).contains(size)));
        for index in [0, 1, 2] {
            assert_eq!(whole(&payload, index).len() as u64, sizes[index]);
        }
    }

    #[test]
    fn a_seed_gives_the_same_bytes_again_and_a_file_goes_around_the_block() {
        let (one, other) = (
            payload(Work::Files, 2_500_000..=2_500_000),
            payload(Work::Files, 2_500_000..=2_500_000),
        );
        let bytes = whole(&one, 3);
        assert!(bytes == whole(&other, 3) && bytes != whole(&one, 4));
        let around = usize::try_from(BLOCK).unwrap();
        assert!(bytes[..around] == bytes[around..2 * around]);
    }

    #[test]
    fn digests_are_those_of_the_bytes() {
        let payload = payload(Work::VerifiedFiles, 0..=1_500_000);
        for index in 0..3 {
            let digest = Digest(blake3::hash(&whole(&payload, index)).into());
            assert_eq!(payload.kind(index).digest, Some(digest));
        }
    }

    #[test]
    fn a_text_is_letters_in_one_piece() {
        let payload = payload(Work::Texts, TEXT_MOST..=TEXT_MOST);
        for index in 0..payload.kinds.len() {
            let text = payload.text(index);
            assert!(text.len() as u64 == TEXT_MOST && text.iter().all(u8::is_ascii_lowercase));
        }
    }
}
