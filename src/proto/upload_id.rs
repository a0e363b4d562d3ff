//! What a client calls an upload that it may want to go on with later.

use std::fmt;

/// Most characters of an upload's id.
pub const UPLOAD_ID_MOST: usize = 64;

/// The id of a resumable upload: 1 to 64 of `A` to `Z`, `a` to `z`, `0` to `9`, `_` and `-`,
/// where `a` and `A` are two. Plain text, so it may be shown as it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UploadId(Box<str>);

impl UploadId {
    /// Reads an id; `None` where it has other characters, or too many, or none.
    pub fn parse(text: &str) -> Option<UploadId> {
        let good = |c: u8| c.is_ascii_alphanumeric() || c == b'_' || c == b'-';
        let is_good = (1..=UPLOAD_ID_MOST).contains(&text.len()) && text.bytes().all(good);
        is_good.then(|| UploadId(text.into()))
    }

    /// The id as it stands on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_id_has_1_to_64_plain_characters() {
        let longest = "x".repeat(UPLOAD_ID_MOST);
        for good in ["a", "-", "_", "aZ09_-", &longest] {
            assert_eq!(UploadId::parse(good).expect(good).as_str(), good);
        }
        let too_long = "x".repeat(UPLOAD_ID_MOST + 1);
        for bad in ["", ".", "..", "a/b", "a b", "a\n", "ä", "a\0", &too_long] {
            assert_eq!(UploadId::parse(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_written_the_same(text: String) {
            if let Some(id) = UploadId::parse(&text) {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
