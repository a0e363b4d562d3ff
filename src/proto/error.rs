//! What can go wrong, whose fault it is, and how a peer is told.
//!
//! A [`Fault`] is one thing that went wrong, with its facts; a [`Code`] is the word for it on the
//! wire. [`Fault::reply_fields`] is the one place that turns the first into the second.

use std::fmt;

use thiserror::Error;

use super::fields::FieldFault;
use super::name::NameFault;

/// The word after `ERR `.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(
    missing_docs,
    reason = "docs/PROTOCOL.md has a table of what each one means"
)]
pub enum Code {
    BadType,
    BadLength,
    BadText,
    BadName,
    BadState,
    Exists,
    TooLarge,
    NoSpace,
    Digest,
    Incomplete,
    Timeout,
    Busy,
    Shutdown,
    Io,
    Unknown,
}

impl Code {
    /// Every code, in the order of the protocol's table.
    pub const ALL: [Code; 15] = [
        Code::BadType,
        Code::BadLength,
        Code::BadText,
        Code::BadName,
        Code::BadState,
        Code::Exists,
        Code::TooLarge,
        Code::NoSpace,
        Code::Digest,
        Code::Incomplete,
        Code::Timeout,
        Code::Busy,
        Code::Shutdown,
        Code::Io,
        Code::Unknown,
    ];

    /// The code as it stands on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Code::BadType => "bad-type",
            Code::BadLength => "bad-length",
            Code::BadText => "bad-text",
            Code::BadName => "bad-name",
            Code::BadState => "bad-state",
            Code::Exists => "exists",
            Code::TooLarge => "too-large",
            Code::NoSpace => "no-space",
            Code::Digest => "digest",
            Code::Incomplete => "incomplete",
            Code::Timeout => "timeout",
            Code::Busy => "busy",
            Code::Shutdown => "shutdown",
            Code::Io => "io",
            Code::Unknown => "unknown",
        }
    }

    /// The code that a word stands for.
    pub fn from_word(word: &str) -> Option<Code> {
        Code::ALL.into_iter().find(|code| code.as_str() == word)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What stood still for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stalled {
    /// The first byte of a connection, or a header that was begun.
    Header,
    /// A body.
    Body,
    /// A connection between messages.
    Connection,
}

/// One thing that went wrong. Its `Display` is the line for a person; it never holds text of a
/// peer raw.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// The peer sent a byte that begins no message.
    #[error("no message has type {0}")]
    BadType(u8),
    /// DATA_EOF where the server wasn't told to take it.
    #[error("type 10 ends with the connection, which this server doesn't trust (--accept-eof)")]
    EofNotAccepted,
    /// The peer's text is longer than text may be.
    #[error("text of {length} bytes is longer than {limit}")]
    BadLength {
        /// What the header said.
        length: u64,
        /// What would be taken.
        limit: u64,
    },
    /// The peer's text is no UTF-8.
    #[error("the text is not UTF-8")]
    NotUtf8,
    /// The peer's fields are malformed.
    #[error("{0}")]
    BadFields(#[from] FieldFault),
    /// The peer's name breaks a rule.
    #[error("{0}")]
    BadName(#[from] NameFault),
    /// The message is good, but not now.
    #[error("{0}")]
    BadState(&'static str),
    /// The peer asked for a policy that destroys more than the server's.
    #[error("this server doesn't let a client overwrite: ask for conflict=error or rename")]
    MayNotOverwrite,
    /// A file of that name is there.
    #[error("a file of that name is there already")]
    Exists,
    /// The file is larger than the server takes.
    #[error("larger than this server takes ({limit} bytes)")]
    TooLarge {
        /// The most bytes that a file may have.
        limit: u64,
    },
    /// The server's disk, inodes or quota are full.
    #[error("the server has no space for it")]
    NoSpace,
    /// The server's folder may not hold so much.
    #[error("the server's folder would hold more than it may ({limit} bytes)")]
    Quota {
        /// Most bytes that the folder may hold.
        limit: u64,
    },
    /// The server's disk has to keep some space free.
    #[error("the server's disk would have less free space than it has to keep ({limit} bytes)")]
    MinFree {
        /// Bytes that have to stay free.
        limit: u64,
    },
    /// What was stored is not what the peer said it would be.
    #[error("{0}")]
    Digest(&'static str),
    /// The peer ended its stream in the middle.
    #[error("the stream ended before the message did; nothing was kept")]
    Incomplete,
    /// The same, and what came can be gone on from.
    #[error("the stream ended before the message did; what came is kept, to be resumed")]
    CutOff,
    /// Another connection has announced the upload that this one had open.
    #[error("another connection goes on with this upload")]
    TakenOver,
    /// Another connection holds the upload, and can't be told to let go.
    #[error("another connection holds this upload; try again in {retry} s")]
    Held {
        /// Seconds to wait before the next try.
        retry: u64,
    },
    /// The peer stood still for too long.
    #[error("{}", match .0 {
        Stalled::Header => "no complete header came in time",
        Stalled::Body => "the body came too slowly",
        Stalled::Connection => "the connection was idle for too long",
    })]
    Timeout(Stalled),
    /// As many connections as the server takes are open.
    #[error("the server has all the connections it takes; try again in {retry} s")]
    Busy {
        /// Seconds to wait before the next try.
        retry: u64,
    },
    /// As many connections as the server takes from one address are open.
    #[error("the server has all the connections it takes from one address; try again in {retry} s")]
    BusyAddress {
        /// Seconds to wait before the next try.
        retry: u64,
    },
    /// The server is stopping.
    #[error("the server is stopping")]
    Shutdown,
    /// The server's own fault; the details are in its log.
    #[error("the server could not store it; nothing was kept")]
    Io,
    /// The file has its name, but the server can't say that it survives.
    #[error("the file has its name, but may not survive a power cut; ask again")]
    Unknown,
}

impl Fault {
    /// The word for it on the wire.
    pub fn code(&self) -> Code {
        match self {
            Fault::BadType(_) | Fault::EofNotAccepted => Code::BadType,
            Fault::BadLength { .. } => Code::BadLength,
            Fault::NotUtf8 | Fault::BadFields(_) => Code::BadText,
            Fault::BadName(_) => Code::BadName,
            Fault::BadState(_) | Fault::MayNotOverwrite | Fault::TakenOver => Code::BadState,
            Fault::Exists => Code::Exists,
            Fault::TooLarge { .. } => Code::TooLarge,
            Fault::NoSpace | Fault::Quota { .. } | Fault::MinFree { .. } => Code::NoSpace,
            Fault::Digest(_) => Code::Digest,
            Fault::Incomplete | Fault::CutOff => Code::Incomplete,
            Fault::Timeout(_) => Code::Timeout,
            Fault::Busy { .. } | Fault::BusyAddress { .. } | Fault::Held { .. } => Code::Busy,
            Fault::Shutdown => Code::Shutdown,
            Fault::Io => Code::Io,
            Fault::Unknown => Code::Unknown,
        }
    }

    /// Writes the whole text of the reply: the code, the line for a person, and the facts that a
    /// program can use.
    pub fn reply_fields(&self, out: &mut impl fmt::Write) -> fmt::Result {
        write!(out, "ERR {}\ntext={self}", self.code())?;
        match self {
            Fault::TooLarge { limit }
            | Fault::BadLength { limit, .. }
            | Fault::Quota { limit }
            | Fault::MinFree { limit } => {
                write!(out, "\nlimit={limit}")
            }
            Fault::Timeout(Stalled::Header) => write!(out, "\nwhat=header"),
            Fault::Timeout(Stalled::Body) => write!(out, "\nwhat=body"),
            Fault::Timeout(Stalled::Connection) => write!(out, "\nwhat=connection"),
            Fault::Busy { retry } | Fault::BusyAddress { retry } | Fault::Held { retry } => {
                write!(out, "\nretry={retry}")
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back() {
        for code in Code::ALL {
            assert_eq!(Code::from_word(code.as_str()), Some(code));
        }
        assert_eq!(Code::from_word("BAD-TYPE"), None);
    }

    #[test]
    fn a_reply_names_the_code_the_reason_and_the_facts() {
        let mut out = String::new();
        Fault::TooLarge { limit: 5 }
            .reply_fields(&mut out)
            .expect("a String takes it all");
        assert_eq!(
            out,
            "ERR too-large\ntext=larger than this server takes (5 bytes)\nlimit=5"
        );
        out.clear();
        Fault::Timeout(Stalled::Header)
            .reply_fields(&mut out)
            .expect("a String takes it all");
        assert!(out.ends_with("\nwhat=header"), "{out}");
    }

    #[test]
    fn a_peers_text_never_stands_raw_in_a_reply() {
        let fault = super::super::announce::Put::parse("name=a\nsize=\x1b[2J\u{202e}").unwrap_err();
        let mut out = String::new();
        Fault::from(fault)
            .reply_fields(&mut out)
            .expect("a String takes it all");
        assert!(
            out.lines().count() == 2
                && out
                    .lines()
                    .all(|line| line.chars().all(super::super::text::is_plain)),
            "{out:?}"
        );
    }
}
