//! A text that comes in pieces, and whose end only time or the stream's end shows.

use crate::proto::limits::TEXT_MOST;

/// Bytes of a text so far. What is beyond the limit is counted, and not kept.
#[derive(Debug, Default)]
pub(super) struct Text {
    bytes: Vec<u8>,
    dropped: u64,
}

impl Text {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        // Three more than a text may have: a type and a length may stand before it.
        let most = usize::try_from(TEXT_MOST + 3).unwrap_or(usize::MAX);
        let take = bytes.len().min(most - self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..take]);
        self.dropped += (bytes.len() - take) as u64;
    }

    /// Bytes that are kept.
    pub(super) fn have(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The text behind these bytes and a length of two more, where they are there and it is right.
    /// A raw text never begins so: it would have a control character near its start.
    pub(super) fn behind_length(&self, first: &[u8]) -> Option<&[u8]> {
        let (length, text) = self.bytes.strip_prefix(first)?.split_first_chunk::<2>()?;
        let fits = usize::from(u16::from_le_bytes(*length)) == text.len();
        (fits && self.dropped == 0).then_some(text)
    }

    /// The text itself: at most 4096 bytes, and no half character at a cut.
    pub(super) fn raw(&self) -> &[u8] {
        let most = usize::try_from(TEXT_MOST).unwrap_or(usize::MAX);
        if self.bytes.len() <= most {
            return &self.bytes;
        }
        let cut = &self.bytes[..most];
        match std::str::from_utf8(cut) {
            Err(error) if error.error_len().is_none() => &cut[..error.valid_up_to()],
            _ => cut,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_at_a_character_and_the_rest_is_not_kept() {
        let mut text = Text::default();
        text.push(&b"x".repeat(4095));
        text.push("€".repeat(1000).as_bytes());
        assert_eq!(text.raw(), b"x".repeat(4095));
        assert_eq!(text.have(), 4099);
        let mut text = Text::default();
        text.push(&b"x".repeat(4096));
        assert_eq!(text.raw().len(), 4096);
    }

    #[test]
    fn a_length_before_a_text_is_seen_only_where_it_is_right() {
        let behind = |bytes: &[u8]| {
            let mut text = Text::default();
            text.push(bytes);
            text.behind_length(b"").map(<[u8]>::to_vec)
        };
        assert_eq!(behind(b"\x02\0hi"), Some(b"hi".to_vec()));
        assert_eq!(behind(b"\x03\0hi"), None);
        assert_eq!(behind(b"hello"), None);
        assert_eq!(behind(b"\0\0"), Some(Vec::new()));
        let longest = [&4096u16.to_le_bytes()[..], &[b'x'; 4096]].concat();
        assert_eq!(behind(&longest), Some(vec![b'x'; 4096]));
    }
}
