//! What came behind type 1, 3 or 5: a name, a text, a goodbye, or the size of a file.
//!
//! Nothing says so, and mostly nothing says where it ends. What is known is the bytes so far, and
//! whether more may follow at once, have not followed for a moment, or never will:
//!
//! | type | bytes | more may follow | silence | the end |
//! |---|---|---|---|---|
//! | 1 | the second is 0 | a name, once it is as long as the first says | wait | cut off |
//! | 1 | `QUIT`, after a file | wait | goodbye | goodbye |
//! | 1 | others | wait | a name: its sender waits for `OK` | a text |
//! | 3, 5 | could be a name | wait | a name | a name without a file |
//! | 3, 5 | others | a file, once they are too many for a name | a file | a file |

use super::size::Evidence;
use crate::proto::limits::TEXT_MOST;
use crate::proto::name::NAME_MOST;

/// What some clients say instead of another name.
const GOODBYE: &[u8] = b"QUIT";

/// How a name was laid out, which says how the file behind it will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    /// No length: u1.
    Raw,
    /// A length of two bytes: u2, or framed.
    Sized,
    /// A type of its own, 3 or 5: u3 and u4.
    OwnType(u8),
}

impl Naming {
    /// For a person: what was seen, and which grammar that is.
    pub(super) fn describe(self) -> &'static str {
        match self {
            Naming::Raw => "no length, and silence behind it: u1",
            Naming::Sized => "a length, since the third byte was 0: u2, or framed",
            Naming::OwnType(3) => "type 3 and silence behind it: u3",
            Naming::OwnType(_) => "type 5 and silence behind it: u4",
        }
    }
}

/// What the bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning<'a> {
    /// That can't be said yet.
    NotYet,
    /// A name, and bytes that follow it already.
    Name(Naming, &'a [u8], &'a [u8]),
    /// A text to be shown.
    Text(&'a [u8]),
    /// The client is done.
    Goodbye,
    /// The size of a file, and its bytes.
    File,
    /// More than any of these.
    TooLong,
    /// A name that is not whole, or whose file never came.
    CutOff,
}

/// What the bytes behind a type are. `stored`: whether this connection has sent a file already.
pub(super) fn meaning(kind: u8, held: &[u8], stored: bool, evidence: Evidence) -> Meaning<'_> {
    if kind != 1 {
        return meaning_of_own_type(kind, held, evidence);
    }
    match (held, evidence) {
        ([], _) => Meaning::NotYet,
        ([length, 0, rest @ ..], _) if rest.len() >= usize::from(*length) => {
            let (name, more) = rest.split_at(usize::from(*length));
            Meaning::Name(Naming::Sized, name, more)
        }
        ([_, 0, ..], Evidence::End) => Meaning::CutOff,
        ([_, 0, ..], _) => Meaning::NotYet,
        (_, Evidence::Bytes) if held.len() as u64 > TEXT_MOST => Meaning::TooLong,
        (_, Evidence::Bytes) => Meaning::NotYet,
        // No name is one control character; a length may well begin with one.
        ([..b' '], Evidence::Silence) => Meaning::NotYet,
        (GOODBYE, _) if stored => Meaning::Goodbye,
        (name, Evidence::Silence) => Meaning::Name(Naming::Raw, name, &[]),
        (text, Evidence::End) => Meaning::Text(text),
    }
}

fn meaning_of_own_type(kind: u8, held: &[u8], evidence: Evidence) -> Meaning<'_> {
    match evidence {
        _ if held.is_empty() => Meaning::NotYet,
        Evidence::Bytes if held.len() > NAME_MOST => Meaning::File,
        Evidence::Bytes => Meaning::NotYet,
        _ if !may_be_name(held) => Meaning::File,
        // A bad one too, so that its sender hears why and doesn't wait for an answer.
        Evidence::Silence => Meaning::Name(Naming::OwnType(kind), held, &[]),
        Evidence::End => Meaning::CutOff,
    }
}

/// Whether it can be meant as a name at all; the low bytes of a length can't.
fn may_be_name(held: &[u8]) -> bool {
    std::str::from_utf8(held).is_ok_and(|text| text.chars().all(|c| c >= ' '))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Evidence::{Bytes, End, Silence};

    #[test]
    fn each_row_of_the_table_is_so() {
        let of_1 = |held, evidence| meaning(1, held, true, evidence);
        let name = Meaning::Name(Naming::Sized, b"ab", b"\x02");
        assert_eq!(of_1(b"\x02\0ab\x02", Bytes), name);
        assert_eq!(of_1(b"\x02\0a", Silence), Meaning::NotYet);
        assert_eq!(of_1(b"\x02\0a", End), Meaning::CutOff);
        assert_eq!(of_1(b"\x02", Silence), Meaning::NotYet);
        assert_eq!(of_1(b"QUIT", Bytes), Meaning::NotYet);
        assert_eq!(of_1(b"QUIT", Silence), Meaning::Goodbye);
        assert_eq!(of_1(b"QUIT", End), Meaning::Goodbye);
        let quit = Meaning::Name(Naming::Raw, b"QUIT", b"");
        assert_eq!(meaning(1, b"QUIT", false, Silence), quit);
        assert_eq!(of_1(b"a", Silence), Meaning::Name(Naming::Raw, b"a", b""));
        assert_eq!(of_1(b"a", End), Meaning::Text(b"a"));
        assert_eq!(of_1(&[b'x'; 4096], End), Meaning::Text(&[b'x'; 4096]));
        assert_eq!(of_1(&[b'x'; 4097], Bytes), Meaning::TooLong);
        for kind in [3, 5] {
            let of_own = |held, evidence| meaning(kind, held, true, evidence);
            let own = Meaning::Name(Naming::OwnType(kind), b"../x", b"");
            assert_eq!(of_own(b"../x", Silence), own);
            assert_eq!(of_own(b"../x", End), Meaning::CutOff);
            assert_eq!(of_own(b"\x05\0he", Silence), Meaning::File);
            assert_eq!(of_own(b"\x05\0hello", End), Meaning::File);
            assert_eq!(of_own(&[b'x'; 1025], Bytes), Meaning::File);
        }
    }
}
