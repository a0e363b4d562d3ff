//! One line of a journal, or of a file of receipts: what was stored, as one JSON object.
//!
//! Both ends write the same keys, so that one reader does for both. A key that has no value is
//! left out; a reader ignores the keys that it doesn't know.

use std::borrow::Cow;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::proto::text::plain_json;
use crate::proto::{Digest, Receipt};

/// What was stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry<'a> {
    /// When it was written down: RFC 3339, in UTC.
    pub time: Cow<'a, str>,
    /// The name that the file has, relative to the server's folder, with `/` between folders.
    pub name: Cow<'a, str>,
    /// Its bytes.
    pub size: u64,
    /// Its digest in 64 hexadecimal digits, where one was given or asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blake3: Option<Cow<'a, str>>,
    /// Whether its OK says that it survives a power cut.
    pub durable: bool,
    /// Who sent it, in a server's journal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<Cow<'a, str>>,
    /// Where it was sent to, among a client's receipts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Cow<'a, str>>,
    /// In a server's journal, whether the very file was there already: somebody sent it again,
    /// and was told so.
    #[serde(default, skip_serializing_if = "is_false")]
    pub found: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_false(value: &bool) -> bool {
    !value
}

/// The time now, as entries have it.
pub fn timestamp() -> String {
    timestamp_of(SystemTime::now())
}

/// A time as entries have it.
pub fn timestamp_of(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

impl<'a> Entry<'a> {
    /// What a receipt says, with the time of now.
    pub fn of(receipt: &'a Receipt) -> Entry<'a> {
        Entry {
            time: timestamp().into(),
            name: (&*receipt.name).into(),
            size: receipt.size,
            blake3: receipt.digest.map(|digest| digest.to_string().into()),
            durable: receipt.durable,
            peer: None,
            to: None,
            found: false,
        }
    }

    /// The digest, where there is one and it is one.
    pub fn digest(&self) -> Option<Digest> {
        Digest::from_hex(self.blake3.as_deref()?)
    }

    /// Appends it as a line, with its end.
    pub fn write(&self, lines: &mut String) {
        let json = serde_json::to_string(self).expect("text and numbers are always JSON");
        // What a client writes down is a server's word, and somebody will look at the file.
        lines.push_str(&plain_json(json));
        lines.push('\n');
    }

    /// Reads a line.
    ///
    /// # Errors
    /// [`Misread::Torn`] where the line just stops, as the last one does that was being written
    /// when the machine lost its power; [`Misread::Malformed`] for anything else that is no entry.
    pub fn parse(line: &str) -> Result<Entry<'_>, Misread> {
        serde_json::from_str(line).map_err(|error| {
            // A file that was extended before its bytes came to the disk has zeros there.
            if error.is_eof() || line.contains('\0') {
                Misread::Torn
            } else {
                Misread::Malformed(error.to_string())
            }
        })
    }
}

/// Why a line is no entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misread {
    /// It stops in the middle: a crash came while it was written.
    Torn,
    /// It is something else.
    Malformed(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn receipt(name: &str) -> Receipt {
        Receipt {
            name: name.to_owned(),
            size: 5,
            digest: Some(Digest([7; 32])),
            durable: true,
        }
    }

    #[test]
    fn an_entry_has_one_line_with_stable_keys() {
        let receipt = receipt("a \"b\".txt");
        let entry = Entry {
            time: "2026-01-02T03:04:05.678Z".into(),
            peer: Some("127.0.0.1:1".into()),
            ..Entry::of(&receipt)
        };
        let mut line = String::new();
        entry.write(&mut line);
        let hex = "07".repeat(32);
        assert_eq!(
            line,
            format!(
                "{{\"time\":\"2026-01-02T03:04:05.678Z\",\"name\":\"a \\\"b\\\".txt\",\"size\":5,\
                 \"blake3\":\"{hex}\",\"durable\":true,\"peer\":\"127.0.0.1:1\"}}\n"
            )
        );
        assert_eq!(Entry::parse(&line), Ok(entry));
    }

    #[test]
    fn a_line_with_keys_of_a_later_version_is_read() {
        let line = r#"{"name":"a","later":[1],"size":5,"durable":false,"time":"","x":{}}"#;
        let entry = Entry::parse(line).expect("an entry");
        assert_eq!((&*entry.name, entry.size, entry.digest()), ("a", 5, None));
    }

    #[test]
    fn what_is_no_entry_is_told_from_one_that_was_cut_off() {
        for torn in ["", "{", r#"{"time":"2026"#, "{\"ti\0\0\0\0"] {
            assert_eq!(Entry::parse(torn), Err(Misread::Torn), "{torn:?}");
        }
        for bad in [
            "{}",
            "[]",
            "a",
            r#"{"time":"","name":"a","size":-1,"durable":true}"#,
        ] {
            let parsed = Entry::parse(bad);
            assert!(matches!(parsed, Err(Misread::Malformed(_))), "{parsed:?}");
        }
    }

    proptest! {
        #[test]
        fn an_entry_that_is_cut_anywhere_is_torn(name in "\\PC{1,20}", cut in 0_usize..100) {
            let receipt = receipt(&name);
            let mut line = String::new();
            Entry::of(&receipt).write(&mut line);
            prop_assert_eq!(&*Entry::parse(&line).expect("whole").name, &name);
            let cut = line.floor_char_boundary(cut.min(line.len() - 2));
            prop_assert_eq!(Entry::parse(&line[..cut]), Err(Misread::Torn));
        }
    }
}
