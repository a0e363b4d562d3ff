//! What the server answers: one STRING message for each message it takes.

use std::fmt::Write;

use super::digest::Digest;
use super::error::{Code, Fault};
use super::fields::{Fields, number};
use super::header;
use super::kind::Kind;

/// A reply, before it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The two bytes `OK` and nothing more.
    Ok,
    /// An announced upload may begin, with the bytes from `offset` on.
    Begin {
        /// Bytes of the file that are there already.
        offset: u64,
    },
    /// An upload has ended well.
    Receipt(Receipt),
    /// A message for a person was shown; its text goes back.
    Message(String),
    /// Something went wrong.
    Fault(Fault),
}

/// What the server promises of a file it has stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The name it was stored under.
    pub name: String,
    /// Its bytes.
    pub size: u64,
    /// Digest of the bytes as stored, where one was given.
    pub digest: Option<Digest>,
    /// Whether it survives a power cut.
    pub durable: bool,
}

impl Reply {
    /// Appends the reply as a STRING message.
    pub fn write(&self, out: &mut Vec<u8>) {
        header::write_around(Kind::String, out, |text| {
            // Writing to memory can't fail.
            let _ = match self {
                Reply::Ok => text.write_str("OK"),
                Reply::Begin { offset } => write!(text, "OK\noffset={offset}"),
                Reply::Message(message) => message_text(message, text),
                Reply::Receipt(receipt) => write_receipt(receipt, text),
                Reply::Fault(fault) => fault.reply_fields(text),
            };
        });
    }
}

/// Appends the reply to a message, which has its text, as a STRING message.
pub(super) fn write_message(message: &str, out: &mut Vec<u8>) {
    header::write_around(Kind::String, out, |text| {
        // Writing to memory can't fail.
        let _ = message_text(message, text);
    });
}

fn message_text(message: &str, text: &mut impl Write) -> std::fmt::Result {
    text.write_str("Message: ")?;
    text.write_str(message)
}

fn write_receipt(receipt: &Receipt, text: &mut impl Write) -> std::fmt::Result {
    write!(text, "OK\nname={}\nsize={}", receipt.name, receipt.size)?;
    if let Some(digest) = receipt.digest {
        write!(text, "\nblake3={digest}")?;
    }
    write!(
        text,
        "\ndurable={}",
        if receipt.durable { "yes" } else { "no" }
    )
}

/// A reply as a client reads it. Keys that it doesn't know are ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// `OK`, with the keys that a client uses.
    Ok {
        /// Where an announced upload goes on.
        offset: Option<u64>,
        /// What was stored, where the reply ends an upload.
        receipt: Option<Receipt>,
    },
    /// `ERR`.
    Refused(Refusal),
    /// Any other text: the answer to a message for a person.
    Text(String),
}

/// An `ERR` as a client reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The code, where this version knows it.
    pub code: Option<Code>,
    /// The code's word as it came.
    pub word: String,
    /// The server's line for a person; not checked, to be shown escaped.
    pub text: String,
    /// Seconds to wait before another try, where the server said so.
    pub retry: Option<u64>,
}

impl Refusal {
    /// Whether the server closes the connection after this reply whatever was refused. After the
    /// others it may close all the same.
    pub fn closes(&self) -> bool {
        matches!(
            self.code,
            Some(
                Code::BadType
                    | Code::BadLength
                    | Code::Incomplete
                    | Code::Timeout
                    | Code::Busy
                    | Code::Shutdown
                    | Code::Unknown
            )
        )
    }
}

impl Answer {
    /// Reads the text of a reply.
    pub fn parse(text: &str) -> Answer {
        let (status, rest) = text.split_once('\n').unwrap_or((text, ""));
        let word = match status {
            "OK" => None,
            _ => match status.strip_prefix("ERR ") {
                Some(word) => Some(word),
                None => return Answer::Text(text.to_owned()),
            },
        };
        let Ok(fields) = Fields::parse(rest) else {
            return Answer::Text(text.to_owned());
        };
        let field = |key| fields.get(key);
        match word {
            None => Answer::Ok {
                offset: field("offset").and_then(number),
                receipt: field("name")
                    .zip(field("size").and_then(number))
                    .map(|(name, size)| Receipt {
                        name: name.to_owned(),
                        size,
                        digest: field("blake3").and_then(Digest::from_hex),
                        durable: field("durable") == Some("yes"),
                    }),
            },
            Some(word) => Answer::Refused(Refusal {
                code: Code::from_word(word),
                word: word.to_owned(),
                text: field("text").unwrap_or_default().to_owned(),
                retry: field("retry").and_then(number),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(reply: &Reply) -> String {
        let mut out = Vec::new();
        reply.write(&mut out);
        assert_eq!(out[0], 1);
        assert_eq!(
            usize::from(u16::from_le_bytes([out[1], out[2]])),
            out.len() - 3
        );
        String::from_utf8(out[3..].to_vec()).expect("text")
    }

    #[test]
    fn a_named_upload_is_answered_with_two_bytes() {
        assert_eq!(text_of(&Reply::Ok), "OK");
    }

    #[test]
    fn a_receipt_reads_back() {
        let receipt = Receipt {
            name: "report (2).pdf".into(),
            size: 1 << 20,
            digest: Some(Digest([3; 32])),
            durable: true,
        };
        let text = text_of(&Reply::Receipt(receipt.clone()));
        assert_eq!(
            Answer::parse(&text),
            Answer::Ok {
                offset: None,
                receipt: Some(receipt)
            }
        );
        let begin = text_of(&Reply::Begin { offset: 7 });
        assert_eq!(
            Answer::parse(&begin),
            Answer::Ok {
                offset: Some(7),
                receipt: None
            }
        );
    }

    #[test]
    fn a_refusal_reads_back_even_with_an_unknown_code() {
        let text = text_of(&Reply::Fault(Fault::Busy { retry: 2 }));
        let Answer::Refused(refusal) = Answer::parse(&text) else {
            panic!("{text}")
        };
        assert_eq!((refusal.code, refusal.retry), (Some(Code::Busy), Some(2)));
        let Answer::Refused(refusal) = Answer::parse("ERR later-code\ntext=why") else {
            panic!()
        };
        assert_eq!((refusal.code, refusal.word.as_str()), (None, "later-code"));
    }

    #[test]
    fn a_refusal_says_whether_the_connection_ends_with_it() {
        let closes = |fault| match Answer::parse(&text_of(&Reply::Fault(fault))) {
            Answer::Refused(refusal) => refusal.closes(),
            other => panic!("{other:?}"),
        };
        for fault in [
            Fault::BadType(0),
            Fault::BadLength {
                length: 5000,
                limit: 4096,
            },
            Fault::Incomplete,
            Fault::Busy { retry: 2 },
            Fault::Shutdown,
            Fault::Unknown,
        ] {
            assert!(closes(fault.clone()), "{fault:?}");
        }
        for fault in [Fault::Exists, Fault::NoSpace, Fault::Digest("why")] {
            assert!(!closes(fault.clone()), "{fault:?}");
        }
    }

    #[test]
    fn what_is_neither_is_text() {
        assert_eq!(
            Answer::parse("Message: OK"),
            Answer::Text("Message: OK".into())
        );
        assert_eq!(Answer::parse("OK!"), Answer::Text("OK!".into()));
    }
}
