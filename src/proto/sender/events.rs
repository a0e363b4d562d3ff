//! What goes into a [`Sender`](super::Sender), and what comes out.

use thiserror::Error;

use crate::proto::announce::{Conflict, Put};
use crate::proto::digest::Digest;
use crate::proto::metadata::Metadata;
use crate::proto::reply::{Receipt, Refusal};
use crate::proto::upload_id::UploadId;

/// A file as it is announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// The caller's number for it, never used twice on one connection; comes back with its event.
    pub id: u64,
    /// The name it is to have.
    pub name: String,
    /// Its bytes.
    pub size: u64,
    /// How its digest travels.
    pub digest: Check,
    /// What to do when the name is taken; `None` leaves it to the server.
    pub conflict: Option<Conflict>,
    /// What it is called where it is to be resumed. Only a file that waits for the answer to its
    /// PUT, one larger than [`RUN_AHEAD_SIZE`](crate::proto::limits::RUN_AHEAD_SIZE), can be.
    pub resume: Option<UploadId>,
    /// What is known of it besides its bytes.
    pub metadata: Metadata,
}

impl Upload {
    /// The PUT that announces it.
    pub(super) fn announcement(&self) -> Put {
        Put {
            name: self.name.clone(),
            size: Some(self.size),
            digest: self.digest.known(),
            explicit_end: self.digest == Check::AtEnd,
            conflict: self.conflict,
            upload: self.resume.clone(),
            metadata: self.metadata,
        }
    }
}

/// How a digest travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// It is known, and announced with the name.
    Known(Digest),
    /// It will be known once the bytes have been read, and follows behind them.
    AtEnd,
    /// There is none.
    None,
}

impl Check {
    /// The digest, where it is known beforehand.
    pub(super) fn known(self) -> Option<Digest> {
        match self {
            Check::Known(digest) => Some(digest),
            Check::AtEnd | Check::None => None,
        }
    }
}

/// What a server's bytes have come to mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An upload goes on from this offset, which isn't 0: the server has the bytes before it.
    Resumed(u64, u64),
    /// An upload is stored.
    Stored(u64, Receipt),
    /// An upload is refused.
    Refused(u64, Refusal),
    /// A message was answered.
    Said(u64, String),
    /// The server ends the connection, and said why.
    TurnedAway(Refusal),
}

/// How a server can break the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Broken {
    /// It sent another message than a reply.
    #[error("the server sent a message of type {0} where only replies (type 1) are due")]
    NoReply(u8),
    /// It sent a reply that is longer than any reply.
    #[error("the server sent a reply of {0} bytes")]
    LongReply(u64),
    /// It sent a reply that is no text.
    #[error("the server sent a reply that is not UTF-8")]
    NotUtf8,
    /// It answered what nobody asked.
    #[error("the server sent a reply too many")]
    OneTooMany,
    /// It answered with something else than `OK` or `ERR`.
    #[error("the server's reply is neither OK nor ERR")]
    NotAnAnswer,
    /// It completed an upload without a receipt, or with another size's or digest's.
    #[error("the server's receipt is not that of the bytes that were sent")]
    WrongReceipt,
    /// It offered to go on from beyond the end.
    #[error("the server offers to go on from beyond the file's end")]
    WrongOffset,
}
