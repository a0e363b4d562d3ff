//! How any bytes are shown: with readers of its own, that turn what is shown back into bytes.

use std::fmt::Write;

use piecemeal::proto::text::{escaped, is_plain, plain_json};

use super::super::plain::{assert_line, is_harmful};

/// Whatever is shown is plain, and says what the bytes were.
pub(super) fn shown(bytes: &[u8]) {
    let shown = escaped(bytes).to_string();
    assert_line(&shown);
    assert_eq!(
        unescaped(&shown),
        bytes,
        "{shown} stands for other bytes too"
    );
    let text = String::from_utf8_lossy(bytes);
    for c in text.chars() {
        assert!(!(is_plain(c) && is_harmful(c)), "{c:?} is not plain");
    }
    let mut json = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            ..' ' => {
                let _ = write!(json, "\\u{:04x}", u32::from(c));
            }
            _ => json.push(c),
        }
    }
    json.push('"');
    let plain = plain_json(json);
    assert_line(&plain);
    assert_eq!(read_json(&plain), text);
}

/// The bytes that an escaped text stands for.
fn unescaped(shown: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = shown;
    while let Some((before, after)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        let code = |code: &str| u32::from_str_radix(code, 16).expect("hexadecimal digits");
        let (kind, after) = after.split_at(1);
        rest = match kind {
            "\\" | "n" | "r" | "t" => {
                let plain = [("\\", b'\\'), ("n", b'\n'), ("r", b'\r'), ("t", b'\t')];
                bytes.extend(
                    plain
                        .iter()
                        .filter(|(name, _)| *name == kind)
                        .map(|(_, b)| b),
                );
                after
            }
            "x" => {
                let (digits, after) = after.split_at(2);
                bytes.push(u8::try_from(code(digits)).expect("two digits"));
                after
            }
            "u" => {
                let inner = after.strip_prefix('{').expect("a bracket");
                let (digits, after) = inner.split_once('}').expect("another");
                let c = char::from_u32(code(digits)).expect("a character");
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                after
            }
            other => panic!("no escape begins with {other}"),
        };
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

/// The text that a JSON string stands for.
fn read_json(json: &str) -> String {
    let inner = json
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    let mut units = Vec::new();
    let mut chars = inner.expect("quotes").chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
            continue;
        }
        match chars.next() {
            Some('u') => {
                let digits: String = chars.by_ref().take(4).collect();
                units.push(u16::from_str_radix(&digits, 16).expect("four digits"));
            }
            Some(c) => units.extend_from_slice(c.encode_utf16(&mut [0; 2])),
            None => panic!("half an escape"),
        }
    }
    String::from_utf16(&units).expect("whole pairs")
}
