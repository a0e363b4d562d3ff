//! The text of PUT and END, and of replies: one `key=value` a line.

use std::collections::HashSet;

use thiserror::Error;

use super::text::escaped;

/// So many fields are compared with one another, which is quick for the few that nearly every text
/// has. Keys beyond are looked up: the longest text holds a thousand, and a peer may send such texts
/// without end.
const FEW: usize = 16;

/// Fields that were read: every key stands at most once.
#[derive(Debug, Default)]
pub struct Fields<'a>(Vec<(&'a str, &'a str)>);

/// What is wrong with a text of fields.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FieldFault {
    /// A line has no `=`, or is empty.
    #[error("line {line} is not key=value")]
    NoValue {
        /// Counted from 1.
        line: usize,
    },
    /// A key is empty or has other characters than `[a-z0-9-]`.
    #[error("line {line}: a key has only a-z, 0-9 and -")]
    BadKey {
        /// Counted from 1.
        line: usize,
    },
    /// A key stands twice.
    #[error("key {key} stands twice")]
    Twice {
        /// The key; its characters were checked before.
        key: String,
    },
    /// A needed key is missing.
    #[error("key {0} is missing")]
    Missing(&'static str),
    /// A known key has a value that it can't have.
    #[error("{key}={}: {wants}", escaped(value))]
    BadValue {
        /// The key.
        key: &'static str,
        /// The value as it came, shortened.
        value: String,
        /// What would be a good value.
        wants: &'static str,
    },
}

impl<'a> Fields<'a> {
    /// Reads a text of lines, each ended by `\n`; the last one's may be missing. No text at all
    /// is no fields.
    pub fn parse(text: &'a str) -> Result<Fields<'a>, FieldFault> {
        let mut fields: Vec<(&str, &str)> = Vec::new();
        if text.is_empty() {
            return Ok(Fields(fields));
        }
        let text = text.strip_suffix('\n').unwrap_or(text);
        // Empty, and so without memory, as long as there are only a few.
        let mut keys: HashSet<&str> = HashSet::new();
        for (index, line) in text.split('\n').enumerate() {
            let line_number = index + 1;
            let (key, value) = line
                .split_once('=')
                .ok_or(FieldFault::NoValue { line: line_number })?;
            let good = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
            if key.is_empty() || !key.bytes().all(good) {
                return Err(FieldFault::BadKey { line: line_number });
            }
            let is_new = if fields.len() < FEW {
                fields.iter().all(|(known, _)| *known != key)
            } else {
                if keys.is_empty() {
                    keys.extend(fields.iter().map(|(known, _)| *known));
                }
                keys.insert(key)
            };
            if !is_new {
                return Err(FieldFault::Twice {
                    key: key.to_owned(),
                });
            }
            fields.push((key, value));
        }
        Ok(Fields(fields))
    }

    /// The value of a key, where it is there.
    pub fn get(&self, key: &str) -> Option<&'a str> {
        self.0
            .iter()
            .find(|(known, _)| *known == key)
            .map(|(_, value)| *value)
    }

    /// A key's value through `read`; a value that `read` refuses is a [`FieldFault::BadValue`]
    /// that says what the key `wants`.
    pub fn get_as<T>(
        &self,
        key: &'static str,
        wants: &'static str,
        read: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<Option<T>, FieldFault> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        read(value).map(Some).ok_or_else(|| FieldFault::BadValue {
            key,
            value: value.chars().take(80).collect(),
            wants,
        })
    }
}

/// Reads a whole number of decimal digits: no sign, no spaces.
pub fn number(value: &str) -> Option<u64> {
    let digits = !value.is_empty() && value.bytes().all(|c| c.is_ascii_digit());
    digits.then(|| value.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_become_fields_and_the_last_line_end_may_be_missing() {
        for text in ["name=a=b\nsize=5\n", "name=a=b\nsize=5"] {
            let fields = Fields::parse(text).expect("good fields");
            assert_eq!(fields.get("name"), Some("a=b"));
            assert_eq!(fields.get("size"), Some("5"));
            assert_eq!(fields.get("other"), None);
        }
        assert!(Fields::parse("").expect("no fields").0.is_empty());
    }

    #[test]
    fn a_malformed_line_is_told_by_its_number() {
        assert_eq!(
            Fields::parse("a=1\nb").unwrap_err(),
            FieldFault::NoValue { line: 2 }
        );
        assert_eq!(
            Fields::parse("a=1\n\nb=2").unwrap_err(),
            FieldFault::NoValue { line: 2 }
        );
        assert_eq!(
            Fields::parse("A=1").unwrap_err(),
            FieldFault::BadKey { line: 1 }
        );
        assert_eq!(
            Fields::parse("=1").unwrap_err(),
            FieldFault::BadKey { line: 1 }
        );
        assert_eq!(
            Fields::parse("a =1").unwrap_err(),
            FieldFault::BadKey { line: 1 }
        );
        assert_eq!(
            Fields::parse("a=1\na=1").unwrap_err(),
            FieldFault::Twice { key: "a".into() }
        );
    }

    #[test]
    fn a_lone_line_end_is_an_empty_line_and_no_field() {
        for (text, line) in [("\n", 1), ("\n\n", 1), ("a=1\n\n", 2)] {
            assert_eq!(
                Fields::parse(text).unwrap_err(),
                FieldFault::NoValue { line },
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_key_that_stands_twice_is_found_among_few_and_among_as_many_as_a_text_holds() {
        for count in [1, FEW - 1, FEW, FEW + 1, 400] {
            let lines: String = (0..count).map(|key| format!("{key}=\n")).collect();
            let fields = Fields::parse(&lines).expect("good fields");
            assert_eq!(fields.0.len(), count);
            for key in [0, count / 2, count - 1] {
                let again = format!("{lines}{key}=");
                let key = key.to_string();
                let fault = Fields::parse(&again).unwrap_err();
                assert_eq!(fault, FieldFault::Twice { key }, "{count}");
            }
        }
    }

    #[test]
    fn a_number_is_digits_and_fits() {
        assert_eq!(number("18446744073709551615"), Some(u64::MAX));
        for bad in [
            "",
            "+5",
            "-5",
            " 5",
            "5 ",
            "0x5",
            "18446744073709551616",
            "५",
        ] {
            assert_eq!(number(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn the_first_key_that_stood_before_is_the_one_that_is_told(
            keys in prop::collection::vec(0u16..400, 0..60),
        ) {
            let lines: String = keys.iter().map(|key| format!("{key}=\n")).collect();
            let stood = |&at: &usize| keys[..at].contains(&keys[at]);
            match ((0..keys.len()).find(stood), Fields::parse(&lines)) {
                (None, Ok(fields)) => prop_assert_eq!(fields.0.len(), keys.len()),
                (Some(at), Err(fault)) => {
                    let key = keys[at].to_string();
                    prop_assert_eq!(fault, FieldFault::Twice { key });
                }
                (twice, parsed) => prop_assert!(false, "{:?}: {:?}", twice, parsed),
            }
        }

        #[test]
        fn any_text_is_read_or_refused_and_never_panics(text: String) {
            if let Ok(fields) = Fields::parse(&text) {
                for (key, value) in fields.0 {
                    prop_assert!(!key.is_empty() && !value.contains('\n'));
                }
            }
        }
    }
}
