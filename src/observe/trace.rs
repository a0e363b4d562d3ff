//! What each connection does, record by record, so that a person can watch a machine at work.
//!
//! A record is a line of text for people:
//!
//! ```text
//!     0.104210 #3 read 1 byte
//!     0.104210 #3 ReadLen 2 of 2 bytes
//!     0.104210 #3 ReadLen --Length--> ReadText
//! ```
//!
//! or an object of JSON on a line of its own. Each has `at_us`, the microseconds since the server
//! began (those of one visit of a connection have the same); `connection`, a number that counts up
//! from 1 and is never used again; and `what`, which says what else there is:
//!
//! | `what` | further keys | meaning |
//! |---|---|---|
//! | `connected` | `peer` | a connection was accepted |
//! | `read` | `bytes` | the socket was read once, and gave so many bytes |
//! | `stands` | `state`, `took`, `have`, `need` | a state took so many bytes of what was read, and now has `have` of the `need` that it waits for; `need` is null where only the end of the stream will tell |
//! | `step` | `from`, `cause`, `to` | one state was left for another |
//! | `sent` | `bytes` | the socket took so many bytes |
//! | `end` | | the peer has ended its stream |
//! | `lost` | `why` | the socket failed |
//! | `closed` | | the connection is gone |
//! | `missing` | `records` | so many records, of any connection, could not be written here; the number of the connection is 0 |
//!
//! Records hold no bytes of a peer's, and strings in them are plain text.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::proto::text::{escaped, is_plain};
use crate::proto::{Position, Step};

/// Longest string that a record has: a peer's address on a Unix socket, escaped throughout.
const STRING_MOST: usize = 1024;

/// One thing that happened on a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Microseconds since the server began.
    pub at_us: u64,
    /// The connection's number, from 1; never used again.
    pub connection: u64,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// A state's name, a cause, an address: written down by the program, or read from a trace.
pub type Word = Cow<'static, str>;

/// What happened. The names in a trace are these in small letters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "lowercase")]
pub enum What {
    /// A connection was accepted.
    Connected {
        /// Who it is from.
        peer: Word,
    },
    /// The socket was read once.
    Read {
        /// Bytes that it gave.
        bytes: u64,
    },
    /// A state took some of the bytes that were read.
    Stands {
        /// The state.
        state: Word,
        /// Bytes that it took.
        took: u64,
        /// Bytes that it has now.
        have: u64,
        /// Bytes that it needs in all, where that is known.
        need: Option<u64>,
    },
    /// One state was left for another.
    Step {
        /// The state that was left.
        from: Word,
        /// Why.
        cause: Word,
        /// The state that was entered.
        to: Word,
    },
    /// The socket took some bytes.
    Sent {
        /// How many.
        bytes: u64,
    },
    /// The peer has ended its stream.
    End,
    /// The socket failed.
    Lost {
        /// The system's reason.
        why: Word,
    },
    /// The connection is gone.
    Closed,
    /// Records are missing here, of this connection or of others.
    Missing {
        /// How many.
        records: u64,
    },
}

impl What {
    /// What is known when a machine that stood at `before` has taken so many bytes, and stands at
    /// `after`. Where it has left its state, that one had all that it needed.
    pub fn stands(before: Position, took: u64, after: Position, has_left: bool) -> What {
        let (have, need) = if has_left {
            (before.have.saturating_add(took), before.need)
        } else {
            (after.have, after.need)
        };
        What::Stands {
            state: before.state.into(),
            took,
            have,
            need,
        }
    }

    fn words(&self) -> [&str; 3] {
        match self {
            What::Connected { peer: word } | What::Lost { why: word } => [word, "", ""],
            What::Stands { state, .. } => [state, "", ""],
            What::Step { from, cause, to } => [from, cause, to],
            _ => [""; 3],
        }
    }
}

impl From<Step> for What {
    fn from(step: Step) -> What {
        What::Step {
            from: step.from.into(),
            cause: step.cause.into(),
            to: step.to.into(),
        }
    }
}

impl Record {
    /// The record as a line of JSON, without the line's end.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers are always JSON")
    }

    /// Reads a line of JSON.
    ///
    /// # Errors
    /// A text for people, where the line is no record.
    pub fn from_json(line: &[u8]) -> Result<Record, String> {
        let record: Record = serde_json::from_slice(line).map_err(|error| {
            // The line that the error counts is always the first.
            let text = error.to_string();
            // It quotes words of the line, which may be anything.
            escaped(text.split(" at line").next().unwrap_or(&text)).to_string()
        })?;
        let words = record.what.words();
        if words.iter().any(|word| word.len() > STRING_MOST) {
            return Err(format!("a text in it is longer than {STRING_MOST} bytes"));
        }
        if !words.iter().all(|word| word.chars().all(is_plain)) {
            return Err("a text in it has control characters".to_owned());
        }
        Ok(record)
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, micros) = (self.at_us / 1_000_000, self.at_us % 1_000_000);
        write!(
            f,
            "{seconds:>5}.{micros:06} #{} {}",
            self.connection, self.what
        )
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count: u64| if count == 1 { "" } else { "s" };
        match self {
            What::Connected { peer } => write!(f, "connected: {peer}"),
            What::Read { bytes } => write!(f, "read {bytes} byte{}", plural(*bytes)),
            What::Stands {
                state, have, need, ..
            } => match need {
                Some(need) => write!(f, "{state} {have} of {need} byte{}", plural(*need)),
                None => write!(f, "{state} {have} byte{} so far", plural(*have)),
            },
            What::Step { from, cause, to } => write!(f, "{from} --{cause}--> {to}"),
            What::Sent { bytes } => write!(f, "sent {bytes} byte{}", plural(*bytes)),
            What::End => f.write_str("the peer ended its stream"),
            What::Lost { why } => write!(f, "lost: {why}"),
            What::Closed => f.write_str("closed"),
            What::Missing { records } => write!(f, "{records} record{} missing", plural(*records)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_of_each() -> Vec<(What, &'static str, &'static str)> {
        vec![
            (
                What::Connected {
                    peer: "[::1]:7".into(),
                },
                r#""what":"connected","peer":"[::1]:7""#,
                "connected: [::1]:7",
            ),
            (
                What::Read { bytes: 1 },
                r#""what":"read","bytes":1"#,
                "read 1 byte",
            ),
            (
                What::Stands {
                    state: "ReadLen".into(),
                    took: 1,
                    have: 1,
                    need: Some(2),
                },
                r#""what":"stands","state":"ReadLen","took":1,"have":1,"need":2"#,
                "ReadLen 1 of 2 bytes",
            ),
            (
                What::Stands {
                    state: "ReadBody".into(),
                    took: 9,
                    have: 9,
                    need: None,
                },
                r#""what":"stands","state":"ReadBody","took":9,"have":9,"need":null"#,
                "ReadBody 9 bytes so far",
            ),
            (
                What::Step {
                    from: "A".into(),
                    cause: "Text".into(),
                    to: "B".into(),
                },
                r#""what":"step","from":"A","cause":"Text","to":"B""#,
                "A --Text--> B",
            ),
            (
                What::Sent { bytes: 5 },
                r#""what":"sent","bytes":5"#,
                "sent 5 bytes",
            ),
            (What::End, r#""what":"end""#, "the peer ended its stream"),
            (
                What::Lost {
                    why: "reset".into(),
                },
                r#""what":"lost","why":"reset""#,
                "lost: reset",
            ),
            (What::Closed, r#""what":"closed""#, "closed"),
            (
                What::Missing { records: 3 },
                r#""what":"missing","records":3"#,
                "3 records missing",
            ),
        ]
    }

    #[test]
    fn each_record_has_its_line_and_its_json_which_reads_back() {
        for (what, json, line) in one_of_each() {
            let record = Record {
                at_us: 1_104_210,
                connection: 3,
                what,
            };
            assert_eq!(
                record.to_json(),
                format!(r#"{{"at_us":1104210,"connection":3,{json}}}"#)
            );
            assert_eq!(record.to_string(), format!("    1.104210 #3 {line}"));
            assert_eq!(Record::from_json(record.to_json().as_bytes()), Ok(record));
        }
    }

    #[test]
    fn what_is_no_record_is_refused_with_a_reason() {
        for (line, reason) in [
            (&b""[..], "EOF"),
            (b"\xff", "expected value"),
            (b"{}", "missing field `at_us`"),
            (br#"{"at_us":1,"connection":1}"#, "missing field `what`"),
            (
                br#"{"at_us":1,"connection":1,"what":"sneeze"}"#,
                "unknown variant `sneeze`",
            ),
            (
                br#"{"at_us":1,"connection":1,"what":"\u001b[2J\u202e"}"#,
                r"unknown variant `\u{1b}[2J\u{202e}`",
            ),
            (
                br#"{"at_us":-1,"connection":1,"what":"end"}"#,
                "invalid value",
            ),
            (
                br#"{"at_us":1,"connection":1,"what":"lost","why":"\u001b[2J"}"#,
                "control",
            ),
        ] {
            let error = Record::from_json(line).expect_err("it is no record");
            assert!(error.contains(reason), "{error}");
            assert!(!error.contains("line"), "{error}");
            assert!(error.chars().all(is_plain), "{error:?}");
        }
        let long = format!(
            r#"{{"at_us":1,"connection":1,"what":"lost","why":"{}"}}"#,
            "x".repeat(STRING_MOST + 1)
        );
        assert!(Record::from_json(long.as_bytes()).is_err());
    }

    #[test]
    fn a_state_that_was_left_had_all_and_one_that_was_not_says_itself_what_it_has() {
        let position = |state, have, need| Position { state, have, need };
        let before = position("ReadLen", 1, Some(2));
        let stands = What::stands(before, 1, position("ReadText", 0, Some(5)), true);
        assert_eq!(stands.to_string(), "ReadLen 2 of 2 bytes");
        let stands = What::stands(
            position("Guess", 1, None),
            1,
            position("Guess", 2, Some(9)),
            false,
        );
        assert_eq!(stands.to_string(), "Guess 2 of 9 bytes");
    }
}
