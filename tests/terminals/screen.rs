//! What may reach a terminal.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::evil::FORGED;
use crate::text::{Is, Tables};

/// A terminal that stands for all of them: it knows which characters only put a sign where the
/// cursor is, and takes no others but the end of a line.
#[derive(Debug)]
pub(crate) struct Screen {
    tables: Tables,
}

impl Screen {
    pub(crate) fn new() -> Screen {
        Screen {
            tables: Tables::new(),
        }
    }

    /// Expects lines of plain text, none of them forged.
    #[track_caller]
    pub(crate) fn takes(&self, what: &str, bytes: &[u8]) {
        let text = std::str::from_utf8(bytes).unwrap_or_else(|error| {
            let from = error.valid_up_to();
            let around = &bytes[from.saturating_sub(60)..bytes.len().min(from + 20)];
            panic!("{what}: no UTF-8: {}", around.escape_ascii())
        });
        for line in text.split('\n') {
            let bad: BTreeSet<char> = line.chars().filter(|c| !self.is_harmless(*c)).collect();
            assert!(bad.is_empty(), "{what}: {bad:?} stand raw in {line:?}");
            assert!(!line.starts_with(FORGED), "{what}: a line is forged");
        }
    }

    /// The same, of lines that are objects of JSON.
    #[track_caller]
    pub(crate) fn takes_json(&self, what: &str, bytes: &[u8]) -> Vec<Value> {
        self.takes(what, bytes);
        let lines = String::from_utf8_lossy(bytes);
        let parsed = lines.lines().map(serde_json::from_str::<Value>);
        let parsed: Result<Vec<_>, _> = parsed.collect();
        parsed.unwrap_or_else(|error| panic!("{what}: {error}"))
    }

    /// The same of what was shown on a terminal, where the program's own sequences may stand:
    /// colours, and those of a bar that is drawn anew.
    #[track_caller]
    pub(crate) fn takes_with_own_sequences(&self, what: &str, bytes: &[u8]) {
        let mut plain = Vec::new();
        let mut rest = bytes;
        while let Some((&byte, behind)) = rest.split_first() {
            match own_sequence(rest) {
                Some(length) => rest = &rest[length..],
                None => {
                    plain.push(byte);
                    rest = behind;
                }
            }
        }
        self.takes(what, &plain);
    }

    /// Newer characters than the tables know are text where the program says so.
    fn is_harmless(&self, c: char) -> bool {
        if c.is_ascii() {
            return (' '..='~').contains(&c);
        }
        match self.tables.is(c) {
            Is::Text => true,
            Is::NoText => false,
            Is::Unknown => piecemeal::proto::text::is_plain(c),
        }
    }
}

/// How long the sequence is that stands at the beginning, if it is one that the program uses. A
/// carriage return is one before the end of a line, which the terminal makes of it, and before a
/// bar's first sequence.
fn own_sequence(bytes: &[u8]) -> Option<usize> {
    if bytes.starts_with(b"\r\n") || bytes.starts_with(b"\r\x1b[") {
        return Some(1);
    }
    let behind = bytes.strip_prefix(b"\x1b[")?;
    let numbers = behind
        .iter()
        .take_while(|byte| byte.is_ascii_digit() || **byte == b';');
    let count = numbers.count();
    let is_own = match behind.get(count)? {
        // None of the tricks has one of these: bold, underlined, the colours of errors and help.
        b'm' => ["", "0", "1", "4", "31", "32", "33", "36"]
            .iter()
            .any(|own| own.as_bytes() == &behind[..count]),
        b'K' => true,
        // A bar of one line goes up by none or one.
        b'A' | b'B' => count <= 1 && behind[..count].iter().all(|digit| *digit <= b'1'),
        _ => false,
    };
    is_own.then_some(2 + count + 1)
}
