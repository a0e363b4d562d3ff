//! What a connection sends: a file, or a stream.

use std::io;

use super::source::{Source, Trouble};
use super::stream::Outlet;
use crate::net::Stream;
use crate::proto::Moment;
use crate::proto::sender::Sender;

/// What is being sent.
#[derive(Debug)]
pub(super) enum Supply {
    File(Source),
    Stream(Outlet),
}

impl Supply {
    /// Whether bytes from `offset` on may be sent yet.
    pub(super) fn allows(&self, offset: u64) -> io::Result<bool> {
        match self {
            Supply::File(source) => source.allows(offset),
            Supply::Stream(_) => Ok(true),
        }
    }

    /// Gives the sender what it wants next, be it a digest, a part of a stream or its end. Returns
    /// whether it was there; if not, the loop is woken when it is.
    ///
    /// # Errors
    /// It will never be there.
    pub(super) fn feed(&mut self, sender: &mut Sender, now: Moment) -> io::Result<bool> {
        match self {
            Supply::File(source) if sender.wants_digest().is_some() => {
                let digest = source.digest()?;
                if let Some(digest) = digest {
                    sender.handle_digest(digest);
                }
                Ok(digest.is_some())
            }
            Supply::Stream(outlet) if sender.wants_part().is_some() => outlet.supply(sender, now),
            _ => Ok(true),
        }
    }

    /// Bytes from `offset` on, as many as are at hand; at least one.
    pub(super) fn bytes(&mut self, offset: u64) -> io::Result<&[u8]> {
        match self {
            Supply::File(source) => source.bytes(offset),
            Supply::Stream(outlet) => Ok(outlet.bytes(offset)),
        }
    }

    /// Sends bytes from `offset` on, at most so many; returns how many, which is at least one.
    pub(super) fn send_to(
        &mut self,
        stream: &mut Stream,
        offset: u64,
        most: usize,
    ) -> Result<usize, Trouble> {
        match self {
            Supply::File(source) => source.send_to(stream, offset, most),
            Supply::Stream(outlet) => {
                let sent = outlet.send_to(stream, offset, most);
                sent.map_err(Trouble::Stream)
            }
        }
    }
}
