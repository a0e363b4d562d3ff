//! What can go wrong with an upload, in the store's own terms.

use std::io;
use std::path::Path;

use rustix::io::Errno;
use thiserror::Error;

use crate::proto::Fault;
use crate::proto::limits::BUSY_RETRY_S;
use crate::proto::name::NameFault;
use crate::proto::text::escaped;

/// Why an upload was not begun, written or committed.
#[derive(Debug, Error)]
pub enum Error {
    /// A file of that name is there.
    #[error("a file of that name is there already")]
    Exists,
    /// Another upload of that name is under way.
    #[error("a file of that name is being uploaded now")]
    UnderWay,
    /// The upload that is to be gone on with was announced otherwise; the text says in what.
    #[error("{0}")]
    Differs(&'static str),
    /// Another process holds the upload that is to be gone on with.
    #[error("another server holds this upload")]
    Held,
    /// Another connection goes on with the upload.
    #[error("another connection goes on with this upload")]
    Taken,
    /// The store keeps such names for itself.
    #[error("such names are the store's own")]
    Reserved,
    /// What is called like one of its folders is none.
    #[error("a part of that name is no folder here")]
    NotFolder,
    /// Disk, inodes or quota are full, or the file is larger than the file system takes.
    #[error("no space: {0}")]
    Full(io::Error),
    /// The folder would hold more than its quota.
    #[error("the folder would hold more than its quota of {limit} bytes")]
    Quota {
        /// Most bytes that it may hold.
        limit: u64,
    },
    /// The disk would have less free space than it has to keep.
    #[error("the disk has to keep {limit} bytes free")]
    MinFree {
        /// Bytes that have to stay free.
        limit: u64,
    },
    /// No file can be as large as was announced.
    #[error("no file can be so large here")]
    TooBig,
    /// The stored bytes have another digest than was announced.
    #[error("the stored bytes have another digest than was announced")]
    Digest,
    /// A system call failed.
    #[error("{doing}: {error}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// How it failed.
        error: io::Error,
    },
    /// The disk failed to sync earlier. What the kernel forgot then can't be known, so nothing is
    /// promised until a new start.
    #[error("the disk failed to sync earlier; nothing is stored until the server is restarted")]
    Failed,
    /// The file got its name, but the sync failed that would keep it, or it couldn't be seen there
    /// any more.
    #[error("the file got its name, but may not keep it: {0}")]
    Unknown(io::Error),
    /// The journal can't take its line, and nothing is stored unrecorded.
    #[error("the journal can't take its line, and nothing is stored unrecorded: {0}")]
    Unrecorded(io::Error),
}

impl Error {
    /// Sorts a failed call's error: a full disk is the sender's business, the rest is ours.
    pub(super) fn from_call(doing: &'static str, error: impl Into<io::Error>) -> Error {
        let error = error.into();
        if is_full(&error) {
            Error::Full(error)
        } else {
            Error::Io { doing, error }
        }
    }

    /// The same for a name's folders, on the way from the root down.
    pub(super) fn from_way(error: Errno) -> Error {
        match error {
            Errno::NOTDIR | Errno::LOOP => Error::NotFolder,
            error => Error::from_call("make or open a folder", error),
        }
    }

    /// What was spliced into a pipe can't be read out of it.
    pub fn from_pipe(error: &io::Error) -> Error {
        Error::Io {
            doing: "read from a pipe",
            error: io::Error::new(error.kind(), error.to_string()),
        }
    }

    /// Whether an operator should hear of it, and not just the peer.
    pub fn is_ours(&self) -> bool {
        match self {
            Error::Exists
            | Error::UnderWay
            | Error::Differs(_)
            | Error::Held
            | Error::Taken
            | Error::Reserved
            | Error::NotFolder
            | Error::Digest
            | Error::TooBig
            // These two are said once, and not of each upload that they refuse.
            | Error::Quota { .. }
            | Error::MinFree { .. } => false,
            Error::Full(_)
            | Error::Io { .. }
            | Error::Failed
            | Error::Unknown(_)
            | Error::Unrecorded(_) => true,
        }
    }
}

/// An error with what was to be done, to which path.
pub(super) fn at_path(doing: &str, path: &Path, error: impl Into<io::Error>) -> io::Error {
    let (error, shown) = (error.into(), escaped(path.as_os_str().as_encoded_bytes()));
    io::Error::new(error.kind(), format!("can't {doing} {shown}: {error}"))
}

/// Whether there is no space left, or no more than a file may have.
fn is_full(error: &io::Error) -> bool {
    let full = [Errno::NOSPC, Errno::DQUOT, Errno::FBIG];
    Errno::from_io_error(error).is_some_and(|errno| full.contains(&errno))
}

impl From<&Error> for Fault {
    fn from(error: &Error) -> Fault {
        match *error {
            Error::Exists => Fault::Exists,
            Error::UnderWay => Fault::BadState("a file of that name is being uploaded now"),
            Error::Differs(why) => Fault::BadState(why),
            Error::Held => Fault::Held {
                retry: BUSY_RETRY_S,
            },
            Error::Taken => Fault::TakenOver,
            Error::Reserved => Fault::BadName(NameFault::Reserved),
            Error::NotFolder => Fault::BadName(NameFault::NotFolder),
            Error::Full(_) | Error::TooBig => Fault::NoSpace,
            Error::Quota { limit } => Fault::Quota { limit },
            Error::MinFree { limit } => Fault::MinFree { limit },
            Error::Unrecorded(ref error) if is_full(error) => Fault::NoSpace,
            Error::Digest => Fault::Digest("the stored bytes have another digest"),
            Error::Io { .. } | Error::Failed | Error::Unrecorded(_) => Fault::Io,
            Error::Unknown(_) => Fault::Unknown,
        }
    }
}
