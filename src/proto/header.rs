//! The length field: read piece by piece, written whole.
//!
//! A header is at most nine bytes, and any of them can be the last that a read brings. So the
//! bytes that have come wait in a small fixed array until the field is complete: no allocation,
//! no rescanning, and no difference between one read and nine.

use std::fmt;

use super::kind::Kind;

/// A length field that is being read.
#[derive(Clone, Copy, Debug)]
pub struct Length {
    bytes: [u8; 8],
    have: usize,
    width: usize,
}

impl Length {
    /// An empty field of the width that `kind` has.
    pub fn of(kind: Kind) -> Length {
        Length {
            bytes: [0; 8],
            have: 0,
            width: kind.length_width(),
        }
    }

    /// Takes what belongs to the field from the front of `bytes`; returns how many it took.
    pub fn feed(&mut self, bytes: &[u8]) -> usize {
        let take = bytes.len().min(self.width - self.have);
        self.bytes[self.have..self.have + take].copy_from_slice(&bytes[..take]);
        self.have += take;
        debug_assert!(self.have <= self.width, "a length field never overflows");
        take
    }

    /// How many of the field's bytes have come, and how many it has.
    pub fn progress(&self) -> (u64, Option<u64>) {
        (self.have as u64, Some(self.width as u64))
    }

    /// The length, once all its bytes are there. The unused high bytes are zero, so reading all
    /// eight as one little-endian number gives the same value as reading just the field.
    pub fn value(&self) -> Option<u64> {
        (self.have == self.width).then(|| u64::from_le_bytes(self.bytes))
    }
}

/// Appends the header of a message of type `kind` with a body of `length` bytes.
///
/// `length` must fit the type's field; the type is chosen by us, never by a peer.
pub fn write(kind: Kind, length: u64, out: &mut Vec<u8>) {
    let width = kind.length_width();
    let bytes = length.to_le_bytes();
    assert!(
        bytes[width..].iter().all(|&high| high == 0),
        "{kind} can't carry {length} bytes"
    );
    out.push(kind.to_byte());
    out.extend_from_slice(&bytes[..width]);
}

/// Appends a whole message whose text `fill` writes: the length is put in front of it afterwards,
/// so that no text has to be held anywhere else.
pub fn write_around(kind: Kind, out: &mut Vec<u8>, fill: impl FnOnce(&mut Text<'_>)) {
    let start = out.len();
    write(kind, 0, out);
    let body = out.len();
    fill(&mut Text(out));
    let length = out.len() - body;
    let bytes = length.to_le_bytes();
    let width = kind.length_width();
    assert!(
        bytes[width..].iter().all(|&high| high == 0),
        "{kind} can't carry {length} bytes"
    );
    out[start + 1..body].copy_from_slice(&bytes[..width]);
}

/// Where a message's text is written to.
#[derive(Debug)]
pub struct Text<'a>(&'a mut Vec<u8>);

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_length_on_three_bytes_is_little_endian() {
        let mut out = Vec::new();
        write(Kind::data_for(0x01_02_03), 0x01_02_03, &mut out);
        assert_eq!(out, [4, 3, 2, 1]);
    }

    #[test]
    fn a_type_without_length_is_complete_at_once() {
        assert_eq!(Length::of(Kind::DataEof).value(), Some(0));
    }

    #[test]
    fn a_length_says_how_much_of_it_has_come() {
        let mut field = Length::of(Kind::data_for(1 << 16));
        assert_eq!(field.progress(), (0, Some(3)));
        field.feed(&[1, 2]);
        assert_eq!(field.progress(), (2, Some(3)));
        assert_eq!(field.value(), None);
    }

    #[test]
    #[should_panic(expected = "can't carry")]
    fn a_length_too_wide_for_its_field_is_our_own_mistake() {
        write(Kind::String, 65_536, &mut Vec::new());
    }

    proptest! {
        #[test]
        fn a_written_length_reads_back_whatever_the_pieces(size: u64, cuts in proptest::collection::vec(0usize..9, 0..4)) {
            let kind = Kind::data_for(size);
            let mut bytes = Vec::new();
            write(kind, size, &mut bytes);
            let mut field = Length::of(kind);
            let mut rest = &bytes[1..];
            for cut in cuts {
                let (piece, _) = rest.split_at(cut.min(rest.len()));
                prop_assert_eq!(field.feed(piece), piece.len());
                rest = &rest[piece.len()..];
                prop_assert_eq!(field.value().is_some(), rest.is_empty());
            }
            // What follows the field is left alone.
            let mut tail = rest.to_vec();
            tail.extend_from_slice(b"body");
            prop_assert_eq!(field.feed(&tail), rest.len());
            prop_assert_eq!(field.value(), Some(size));
        }
    }
}
