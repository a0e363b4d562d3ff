//! Which characters are plain text, and how everything else is shown.
//!
//! Text from a peer ends up in names, logs and terminals. A character that can move a cursor,
//! reorder a line or hide itself must not reach any of them raw.

use std::fmt;

use unicode_properties::{GeneralCategory as Category, UnicodeGeneralCategory};

/// Whether a character is visible text or a space: no control, no format character (bidi and
/// zero-width ones are), no line or paragraph separator, nothing private or unassigned.
pub fn is_plain(c: char) -> bool {
    if c.is_ascii() {
        // The table's answer, without looking it up: most names are ASCII.
        return !c.is_ascii_control();
    }
    !matches!(
        c.general_category(),
        Category::Control
            | Category::Format
            | Category::LineSeparator
            | Category::ParagraphSeparator
            | Category::PrivateUse
            | Category::Surrogate
            | Category::Unassigned
    )
}

/// Whether a plain character is one that nobody sees by itself, and that Unicode lets programs skip:
/// its property Default_Ignorable_Code_Point, of which the others aren't plain. They belong to the
/// letters and signs beside them: a variation selector makes an emoji of a sign.
pub fn is_unseen(c: char) -> bool {
    matches!(
        c,
        '\u{34f}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180d}'
            | '\u{180f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{ffa0}'
            | '\u{e0100}'..='\u{e01ef}'
    )
}

/// Shows any bytes as one line of plain text: what is no plain character stands as `\n`, `\u{…}`
/// or `\xNN`, and a backslash as `\\`, so that two different inputs never look alike.
pub fn escaped<B: AsRef<[u8]> + ?Sized>(bytes: &B) -> Escaped<'_> {
    Escaped(bytes.as_ref())
}

/// The same JSON with every character that is not plain written as `\u` and its number. JSON itself
/// lets nearly all of them stand raw within its strings, and nothing of it stands outside of ASCII
/// elsewhere.
pub fn plain_json(json: String) -> String {
    if json.chars().all(is_plain) {
        return json;
    }
    let mut plain = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if is_plain(c) {
            plain.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String can't fail.
                let _ = fmt::Write::write_fmt(&mut plain, format_args!("\\u{unit:04x}"));
            }
        }
    }
    plain
}

/// What [`escaped`] returns; to be printed.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(&'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\\' => f.write_str("\\\\")?,
                    '\n' => f.write_str("\\n")?,
                    '\r' => f.write_str("\\r")?,
                    '\t' => f.write_str("\\t")?,
                    c if is_plain(c) => fmt::Write::write_char(f, c)?,
                    c => write!(f, "{}", c.escape_unicode())?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn letters_of_any_language_stay_as_they_are() {
        let text = "Rødgrød med fløde, 報告, отчёт, naïve e\u{301}";
        assert_eq!(escaped(text).to_string(), text);
    }

    #[test]
    fn what_could_move_a_cursor_or_forge_a_line_is_shown_not_obeyed() {
        let shown = escaped("a\x1b[2J\u{202e}b\u{200b}\nstored x\u{2028}\u{7f}\\").to_string();
        assert_eq!(
            shown,
            r"a\u{1b}[2J\u{202e}b\u{200b}\nstored x\u{2028}\u{7f}\\"
        );
    }

    #[test]
    fn ascii_is_plain_where_the_table_says_so() {
        for c in (0..128u8).map(char::from) {
            let control = c.general_category() == Category::Control;
            assert_eq!(is_plain(c), !control, "{c:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_stand_as_hex() {
        assert_eq!(escaped(b"a\xff\xc3z").to_string(), r"a\xff\xc3z");
    }

    proptest! {
        #[test]
        fn whatever_comes_the_output_is_plain(bytes: Vec<u8>) {
            prop_assert!(escaped(&bytes).to_string().chars().all(is_plain));
        }
    }

    proptest! {
        #[test]
        fn plain_json_has_no_raw_characters_and_means_the_same(text in any::<String>()) {
            let json = serde_json::to_string(&text).expect("a string");
            let plain = plain_json(json);
            prop_assert!(plain.chars().all(is_plain), "{}", plain);
            let read: String = serde_json::from_str(&plain).expect("still JSON");
            prop_assert_eq!(read, text);
        }
    }
}
