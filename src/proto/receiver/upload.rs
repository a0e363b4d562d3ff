//! Uploads as the machine knows them: how far one has come, and what the next DATA is for.

use crate::proto::announce::End;
use crate::proto::digest::Digest;
use crate::proto::error::Fault;
use crate::proto::machine::Order;

/// An upload that the store was asked about.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) upload: Upload,
    pub(super) then: Then,
}

/// What follows once the store has answered.
#[derive(Debug)]
pub(super) enum Then {
    /// A STRING is answered.
    AnswerName,
    /// A PUT is answered. The order is kept where the store may know the file already.
    AnswerPut(Option<Box<Order>>),
    /// The body that was announced is read.
    TakeBody(Option<u64>),
    /// The receipt of a file that was there before is given, if it is still there.
    Confirm,
}

/// A file's bytes on their way into the store.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) upload: Upload,
    /// Bytes still to come in this message; `None` is until the peer ends its stream.
    pub(super) left: Option<u64>,
}

/// An upload that the store has open.
#[derive(Clone, Debug, Default)]
pub(super) struct Upload {
    /// Bytes it has so far.
    pub(super) have: u64,
    /// Bytes it was announced to have.
    pub(super) size: Option<u64>,
    pub(super) digest: Option<Box<Digest>>,
    /// Whether END completes it, and not the first DATA.
    pub(super) explicit_end: bool,
    /// Whether the store keeps what came if the upload is cut off.
    pub(super) is_resumable: bool,
}

/// What the next DATA message is for.
#[derive(Debug)]
pub(super) enum Target {
    /// Nothing was announced: it begins an unnamed upload.
    Unnamed,
    /// An upload that the store has open.
    Upload(Upload),
    /// A file that is there already, as it was announced.
    Present(Box<Present>),
    /// A name that was refused: the same reason answers whatever comes for it.
    Refused(Box<Fault>),
}

/// A file that was there before its upload began.
#[derive(Debug)]
pub(super) struct Present {
    pub(super) upload: Upload,
    pub(super) order: Box<Order>,
    /// Its bytes when it was looked at.
    pub(super) size: u64,
}

impl Upload {
    /// Bytes that the upload will have with `length` more, or why it may not have them. `None` is
    /// a stream of unknown length. A file may have `most` bytes.
    pub(super) fn grown_by(
        &self,
        length: Option<u64>,
        most: Option<u64>,
    ) -> Result<Option<u64>, Fault> {
        let Some(length) = length else {
            if self.explicit_end {
                return Err(Fault::BadState("a DATA_EOF can't be followed by its END"));
            }
            return Ok(None);
        };
        let total = self.have.checked_add(length);
        if let Some(limit) = most
            && total.is_none_or(|total| total > limit)
        {
            return Err(Fault::TooLarge { limit });
        }
        match (total, self.size) {
            (None, _) => Err(Fault::BadState(
                "the upload would be larger than 2^64 bytes",
            )),
            (Some(total), Some(size)) if self.explicit_end && total > size => {
                Err(Fault::BadState("more DATA than the PUT's size"))
            }
            (Some(total), Some(size)) if !self.explicit_end && total != size => {
                Err(Fault::BadState("the DATA is not as long as the PUT said"))
            }
            (Some(total), _) => Ok(Some(total)),
        }
    }

    /// The upload with what END adds, or what END finds wrong with it when it has `have` bytes.
    pub(super) fn ended(&self, end: End, have: u64) -> Result<Upload, Fault> {
        if [self.size, end.size]
            .into_iter()
            .flatten()
            .any(|size| size != have)
        {
            return Err(Fault::Digest(
                "the stored bytes are not as many as was said",
            ));
        }
        match (self.digest.as_deref().copied(), end.digest) {
            (Some(put), Some(end)) if put != end => {
                Err(Fault::Digest("END's digest is not the one that PUT gave"))
            }
            (put, end) => Ok(Upload {
                digest: end.or(put).map(Box::new),
                ..self.clone()
            }),
        }
    }
}
