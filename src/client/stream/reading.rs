//! The thread's side: it fills blocks, and takes the digest of what it has read.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::PoisonError;

use super::{Broken, Shared};
use crate::proto::Digest;

/// Bytes of one read, at most.
const BLOCK: usize = 256 << 10;
/// Blocks there are: enough that neither side waits for the other at each.
const BLOCKS: usize = 4;

/// Blocks between the thread and the loop.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    filled: VecDeque<Vec<u8>>,
    spare: Vec<Vec<u8>>,
    made: usize,
}

impl Blocks {
    /// The next block for the loop.
    pub(super) fn take(&mut self) -> Option<Vec<u8>> {
        self.filled.pop_front()
    }

    pub(super) fn give_back(&mut self, block: Vec<u8>) {
        self.spare.push(block);
    }

    /// A block to be filled, if there is one.
    fn spare(&mut self) -> Option<Vec<u8>> {
        let spare = self.spare.pop();
        if spare.is_none() && self.made < BLOCKS {
            self.made += 1;
            return Some(Vec::new());
        }
        spare
    }
}

/// Reads to the end, or until nobody takes what is read.
pub(super) fn read(
    shared: &Shared,
    mut reader: Box<dyn Read + Send>,
) -> Result<Option<Digest>, Broken> {
    let mut hasher = shared.verify.then(blake3::Hasher::new);
    loop {
        let Some(mut block) = shared.wait_for_a_spare() else {
            // What was read is not all of it, so it must have no good end.
            return Err(Broken::Unreadable("the sending has ended".to_owned()));
        };
        block.resize(BLOCK, 0);
        match read_some(&mut *reader, &mut block) {
            Ok(0) => break,
            Ok(read) => block.truncate(read),
            Err(error) => return Err(Broken::unreadable(&error)),
        }
        if let Some(hasher) = &mut hasher {
            hasher.update(&block);
        }
        shared.lock().blocks.filled.push_back(block);
        shared.waker.wake();
    }
    Ok(hasher.map(|hasher| Digest(hasher.finalize().into())))
}

fn read_some(reader: &mut dyn Read, block: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(block) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

impl Shared {
    /// A block to be filled, once there is one; `None` once nobody takes any more.
    fn wait_for_a_spare(&self) -> Option<Vec<u8>> {
        let mut state = self.lock();
        loop {
            if state.is_over {
                return None;
            }
            if let Some(block) = state.blocks.spare() {
                return Some(block);
            }
            let woken = self.changed.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }
}
