//! The first byte of every message: its type, which also fixes how wide its length is.

use std::fmt;

/// A message type. Whatever byte is not listed here is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Type 1: UTF-8 text; a file's name, or a message to a person.
    String,
    /// Types 2 to 9: bytes of a file, their number on 1 to 8 bytes.
    Data(Width),
    /// Type 10: bytes of a file until the sender shuts down its sending side.
    DataEof,
    /// Type 16: fields that announce an upload.
    Put,
    /// Type 17: fields that complete an announced upload.
    End,
}

/// How many bytes a DATA message's length stands on: 1 to 8, and nothing else can be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Width(u8);

impl Kind {
    /// The type that a byte stands for, or `None` where it stands for none.
    pub fn from_byte(byte: u8) -> Option<Kind> {
        match byte {
            1 => Some(Kind::String),
            2..=9 => Some(Kind::Data(Width(byte - 1))),
            10 => Some(Kind::DataEof),
            16 => Some(Kind::Put),
            17 => Some(Kind::End),
            _ => None,
        }
    }

    /// The byte that stands for this type.
    pub fn to_byte(self) -> u8 {
        match self {
            Kind::String => 1,
            Kind::Data(width) => width.0 + 1,
            Kind::DataEof => 10,
            Kind::Put => 16,
            Kind::End => 17,
        }
    }

    /// The smallest DATA type whose length field can hold `size`.
    pub fn data_for(size: u64) -> Kind {
        let bits = u64::BITS - size.leading_zeros();
        let bytes = u8::try_from(bits.div_ceil(8).max(1)).unwrap_or(8);
        Kind::Data(Width(bytes))
    }

    /// How many bytes the length stands on, 0 to 8.
    pub fn length_width(self) -> usize {
        match self {
            Kind::String | Kind::Put | Kind::End => 2,
            Kind::Data(width) => usize::from(width.0),
            Kind::DataEof => 0,
        }
    }

    /// Whether the body is bytes of a file rather than text.
    pub fn is_data(self) -> bool {
        matches!(self, Kind::Data(_) | Kind::DataEof)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::String => f.write_str("STRING"),
            Kind::Data(width) => write!(f, "DATA_{}B", width.0),
            Kind::DataEof => f.write_str("DATA_EOF"),
            Kind::Put => f.write_str("PUT"),
            Kind::End => f.write_str("END"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_a_type_that_gives_the_byte_back_or_none() {
        let known: Vec<u8> = (0..=255)
            .filter(|&byte| Kind::from_byte(byte).is_some_and(|kind| kind.to_byte() == byte))
            .collect();
        assert_eq!(known, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 16, 17]);
        assert_eq!((0..=255).filter_map(Kind::from_byte).count(), known.len());
    }

    #[test]
    fn a_type_is_shown_by_the_name_that_the_protocol_gives_it() {
        let shown: Vec<_> = (0..=255).filter_map(Kind::from_byte).collect();
        let shown: Vec<_> = shown.iter().map(Kind::to_string).collect();
        let data = (1..=8).map(|width| format!("DATA_{width}B"));
        let others = ["DATA_EOF", "PUT", "END"].map(String::from);
        let expected: Vec<_> = ["STRING".to_owned()]
            .into_iter()
            .chain(data)
            .chain(others)
            .collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn the_smallest_type_changes_just_past_each_power_of_256() {
        assert_eq!(Kind::data_for(0).length_width(), 1);
        for width in 1..8 {
            let last = (1u64 << (8 * width)) - 1;
            assert_eq!(Kind::data_for(last).length_width(), width);
            assert_eq!(Kind::data_for(last + 1).length_width(), width + 1);
        }
        assert_eq!(Kind::data_for(u64::MAX).length_width(), 8);
    }
}
