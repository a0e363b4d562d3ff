//! Replies, cut out of what a read brought, and handed on where they lie.
//!
//! Nearly always a read ends where a reply ends, and nothing is copied. What is left of a reply
//! that was cut waits for the next read.

use crate::proto::header::Length;
use crate::proto::kind::Kind;
use crate::proto::limits::REPLY_MOST;
use crate::proto::sender::Broken;

/// The beginning of a reply whose rest is still to come.
#[derive(Debug, Default)]
pub(super) struct Replies {
    kept: Vec<u8>,
}

impl Replies {
    /// Hands on the text of every reply that is complete with these bytes.
    pub(super) fn handle_bytes<E: From<Broken>>(
        &mut self,
        bytes: &[u8],
        mut each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.kept.is_empty() {
            let used = split(bytes, &mut each)?;
            self.kept.extend_from_slice(&bytes[used..]);
        } else {
            self.kept.extend_from_slice(bytes);
            let used = split(&self.kept, &mut each)?;
            self.kept.drain(..used);
        }
        Ok(())
    }
}

/// Hands on the texts of the complete replies at the front; returns how many bytes those were.
fn split<E: From<Broken>>(
    bytes: &[u8],
    each: &mut impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<usize, E> {
    let mut rest = bytes;
    while let Some((&first, after_type)) = rest.split_first() {
        if first != Kind::String.to_byte() {
            return Err(Broken::NoReply(first).into());
        }
        let mut length = Length::of(Kind::String);
        let width = length.feed(after_type);
        let Some(value) = length.value() else { break };
        if value > REPLY_MOST {
            return Err(Broken::LongReply(value).into());
        }
        let text = &after_type[width..];
        let size = usize::try_from(value).expect("it is at most REPLY_MOST");
        let Some((text, after)) = text.split_at_checked(size) else {
            break;
        };
        each(text)?;
        rest = after;
    }
    Ok(bytes.len() - rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::header;
    use proptest::prelude::*;

    fn message(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        header::write(Kind::String, text.len() as u64, &mut out);
        out.extend_from_slice(text);
        out
    }

    proptest! {
        #[test]
        fn the_pieces_make_no_difference(
            texts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..20),
            piece in 1usize..500,
        ) {
            let bytes: Vec<u8> = texts.iter().flat_map(|text| message(text)).collect();
            let mut replies = Replies::default();
            let mut seen: Vec<Vec<u8>> = Vec::new();
            for piece in bytes.chunks(piece) {
                let each = |text: &[u8]| { seen.push(text.to_vec()); Ok::<_, Broken>(()) };
                prop_assert_eq!(replies.handle_bytes(piece, each), Ok(()));
            }
            prop_assert_eq!(seen, texts);
            prop_assert!(replies.kept.is_empty());
        }
    }

    #[test]
    fn what_is_no_reply_is_told_by_its_first_byte_or_its_length() {
        let hear = |bytes: &[u8]| Replies::default().handle_bytes(bytes, |_| Ok::<_, Broken>(()));
        assert_eq!(hear(b"HTTP/1.1 400"), Err(Broken::NoReply(b'H')));
        assert_eq!(hear(&[1, 0xff, 0xff]), Err(Broken::LongReply(0xffff)));
        assert_eq!(hear(&[1, 0xff]), Ok(()));
    }
}
