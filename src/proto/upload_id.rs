//! What names an upload that can be resumed: the value of PUT's `upload`.

use std::fmt;

/// Most characters of it.
pub const UPLOAD_ID_MOST: usize = 64;

/// 1 to 64 of `[A-Za-z0-9_-]`, chosen by the client. Nothing in it can mean anything to a file
/// system, a terminal or a line of fields.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UploadId(Box<str>);

impl UploadId {
    /// The id that a text is, or `None` where it is none.
    pub fn new(text: &str) -> Option<UploadId> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let good = (1..=UPLOAD_ID_MOST).contains(&text.len()) && text.bytes().all(fits);
        good.then(|| UploadId(text.into()))
    }

    /// Its text.
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
    fn what_could_mean_something_to_others_is_no_id() {
        let long = "x".repeat(UPLOAD_ID_MOST + 1);
        for text in ["", ".", "a/b", "a b", "a\n", "a.part", "é", "a\0", &long] {
            assert_eq!(UploadId::new(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_an_id_stands_as_it_is(text in "[A-Za-z0-9_-]{1,64}") {
            let id = UploadId::new(&text).expect("it is one");
            prop_assert_eq!(id.as_str(), &*text);
            prop_assert_eq!(id.to_string(), text);
        }
    }
}
