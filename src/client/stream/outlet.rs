//! The loop's side of a stream: the part that is being sent.

use std::io::{self, Write};

use super::{Feed, Next};
use crate::net::Stream;
use crate::proto::Moment;
use crate::proto::sender::Sender;

/// What one connection sends of a stream.
#[derive(Debug)]
pub(in crate::client) struct Outlet {
    feed: Feed,
    /// The part that is being sent.
    part: Vec<u8>,
    /// The offset of its first byte in the stream.
    part_at: u64,
}

impl Outlet {
    pub(in crate::client) fn new(feed: Feed) -> Outlet {
        Outlet {
            feed,
            part: Vec::new(),
            part_at: 0,
        }
    }

    /// Gives the sender its next part, or the end. Returns whether there was either.
    ///
    /// # Errors
    /// The stream has broken, and must not be completed.
    pub(in crate::client) fn supply(
        &mut self,
        sender: &mut Sender,
        now: Moment,
    ) -> io::Result<bool> {
        if self.part.capacity() > 0 {
            self.part_at += self.part.len() as u64;
            self.feed.give_back(std::mem::take(&mut self.part));
        }
        match self.feed.poll()? {
            Next::Block(block) => {
                sender.begin_part(block.len() as u64, now);
                self.part = block;
                Ok(true)
            }
            Next::End(digest) => {
                sender.end_stream(digest, now);
                Ok(true)
            }
            Next::Nothing => Ok(false),
        }
    }

    /// Bytes of the part, from an offset in the stream on.
    pub(in crate::client) fn bytes(&self, offset: u64) -> &[u8] {
        let skip = offset.checked_sub(self.part_at);
        let skip = skip.and_then(|skip| usize::try_from(skip).ok());
        let rest = skip.and_then(|skip| self.part.get(skip..));
        rest.expect("the sender asks for bytes of the part it was given")
    }

    /// Sends bytes from an offset on, at most so many.
    pub(in crate::client) fn send_to(
        &self,
        stream: &mut Stream,
        offset: u64,
        most: usize,
    ) -> io::Result<usize> {
        let bytes = self.bytes(offset);
        stream.write(&bytes[..bytes.len().min(most)])
    }
}
