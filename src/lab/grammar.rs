//! What programs written for the tasks put on the wire.
//!
//! The tasks leave open how a message is laid out, so each author chose. These are the choices
//! that were met. Numbers are little-endian throughout; in the raw grammars an answer is the bare
//! bytes, and nothing tells where a text or a name ends but the end of the stream, or time.
//!
//! | grammar | text | name, answered `OK` | file |
//! |---|---|---|---|
//! | framed | `01`, 2 bytes of length, text | the same | `02` … `09`, 1 … 8 bytes of length, bytes |
//! | u1 | `01`, text | the same | `02` … `09`, 1 … 8 bytes of length, bytes |
//! | u2 | `01`, text | `01`, 2 bytes of length, name | `02`, 4 bytes of length, bytes |
//! | u3 | `01`, text | `03`, name | bytes to the end of the stream |
//! | u4 | `01`, text | `05`, name | bytes to the end of the stream |

use std::fmt;
use std::str::FromStr;

use crate::proto::{Kind, header};

/// How messages are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Grammar {
    /// As docs/PROTOCOL.md has it: a length before everything, answers included.
    Framed,
    /// A type byte, and a length only before a file; the commonest, and the course's own.
    U1,
    /// Lengths of fixed size before a name and a file.
    U2,
    /// A type of its own for a name, and the end of the stream behind a file.
    U3,
    /// The same with another type.
    U4,
}

impl Grammar {
    /// Every grammar.
    pub const ALL: [Grammar; 5] = [
        Grammar::Framed,
        Grammar::U1,
        Grammar::U2,
        Grammar::U3,
        Grammar::U4,
    ];

    /// What it is called on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Grammar::Framed => "framed",
            Grammar::U1 => "u1",
            Grammar::U2 => "u2",
            Grammar::U3 => "u3",
            Grammar::U4 => "u4",
        }
    }

    /// The message that carries a text. `None` where it is too long for its length field.
    pub fn text(self, text: &[u8]) -> Option<Vec<u8>> {
        match self {
            Grammar::Framed => with_short_length(1, text),
            Grammar::U1 | Grammar::U2 | Grammar::U3 | Grammar::U4 => Some([&[1], text].concat()),
        }
    }

    /// The message that names the file that follows. `None` where it is too long for its length
    /// field.
    pub fn name(self, name: &[u8]) -> Option<Vec<u8>> {
        match self {
            Grammar::Framed | Grammar::U2 => with_short_length(1, name),
            Grammar::U1 => Some([&[1], name].concat()),
            Grammar::U3 => Some([&[3], name].concat()),
            Grammar::U4 => Some([&[5], name].concat()),
        }
    }

    /// What stands before a file of so many bytes. `None` where it is too long for its length
    /// field.
    pub fn file_header(self, size: u64) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        match self {
            Grammar::Framed | Grammar::U1 => header::write(Kind::data_for(size), size, &mut out),
            Grammar::U2 => {
                out.push(2);
                out.extend_from_slice(&u32::try_from(size).ok()?.to_le_bytes());
            }
            Grammar::U3 | Grammar::U4 => {}
        }
        Some(out)
    }

    /// Whether only the end of the stream ends a file, so that a connection carries no more than
    /// one.
    pub fn ends_files_by_closing(self) -> bool {
        matches!(self, Grammar::U3 | Grammar::U4)
    }

    /// Whether answers are messages themselves.
    pub fn frames_answers(self) -> bool {
        self == Grammar::Framed
    }
}

fn with_short_length(kind: u8, body: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(body.len()).ok()?;
    Some([&[kind], &length.to_le_bytes()[..], body].concat())
}

impl fmt::Display for Grammar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Grammar {
    type Err = String;

    fn from_str(text: &str) -> Result<Grammar, String> {
        let found = Grammar::ALL
            .into_iter()
            .find(|grammar| grammar.as_str() == text);
        found.ok_or_else(|| "the grammars are framed, u1, u2, u3 and u4".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_grammar_lays_out_a_name_and_a_file_as_its_row_says() {
        let name = |grammar: Grammar| grammar.name(b"ab").expect("it is short");
        let file = |grammar: Grammar, size| grammar.file_header(size).expect("it fits");
        assert_eq!(name(Grammar::Framed), [1, 2, 0, b'a', b'b']);
        assert_eq!(name(Grammar::U1), [1, b'a', b'b']);
        assert_eq!(name(Grammar::U2), [1, 2, 0, b'a', b'b']);
        assert_eq!(name(Grammar::U3), [3, b'a', b'b']);
        assert_eq!(name(Grammar::U4), [5, b'a', b'b']);
        assert_eq!(file(Grammar::U1, 0), [2, 0]);
        assert_eq!(file(Grammar::U1, 255), [2, 255]);
        assert_eq!(file(Grammar::U1, 256), [3, 0, 1]);
        assert_eq!(file(Grammar::U1, 65_536), [4, 0, 0, 1]);
        assert_eq!(file(Grammar::U2, 256), [2, 0, 1, 0, 0]);
        assert!(file(Grammar::U3, 256).is_empty());
    }

    #[test]
    fn what_its_length_field_cannot_say_is_refused() {
        assert!(Grammar::U2.file_header(1 << 32).is_none());
        assert!(Grammar::Framed.text(&[0; 65_536]).is_none());
    }
}
