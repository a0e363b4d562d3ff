//! Texts that would do something to a terminal, or to whoever reads a log.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use crate::takes_all;
use crate::text::Tables;

/// What would stand at the beginning of a line, had a text been able to begin one.
pub(crate) const FORGED: &str = "stored forged.txt (1 bytes) from 10.0.0.1:1";

/// What the texts of a short run are made of.
const TRICKS: [&str; 24] = [
    "\x1b[2J",
    "\x1b]0;title\x07",
    "\x1b[31;40m",
    "\x1b[10A",
    "\x1bc",
    "\x1b(0",
    "\x1bP$q\x1b\\",
    "\r",
    "\x08\x08\x08",
    "\x0b",
    "\x0c",
    "\t",
    "\x7f",
    "\u{85}",
    "\u{9b}2J",
    "\u{9d}0;title\u{9c}",
    "\u{202e}",
    "\u{2066}",
    "\u{200b}\u{200d}\u{feff}",
    "\u{2028}",
    "\u{2029}",
    "\u{e000}\u{10fffd}",
    "\u{e0041}\u{e007f}",
    "\u{378}\u{fffe}\u{10ffff}",
];

/// Bytes that are no UTF-8, C1 controls as single bytes among them.
pub(crate) const NO_UTF8: [&[u8]; 6] = [
    b"\x9b2J",
    b"\x90\x9d0;t\x9c",
    b"\xc0\x9b",
    b"\xed\xa0\x80",
    b"\xf5\x80\x80\x80",
    b"a\xffb\xfe",
];

/// Short ones, each a single trick within plain letters; none has a NUL or a line feed.
pub(crate) fn tricks() -> Vec<String> {
    TRICKS.iter().map(|trick| format!("a{trick}b")).collect()
}

/// A line that ends, and another that is forged.
pub(crate) fn forgery() -> String {
    format!("a\n{FORGED}")
}

/// Unicode scalars, but the line feed, in texts of at most so many bytes: all of them, or those of
/// the first blocks, those on both sides of each border between kinds, and some of all the others.
pub(crate) fn scalars(most: usize) -> Vec<String> {
    let mut texts = vec![String::new()];
    let mut add = |c: char| {
        let last = texts.last_mut().expect("there is one");
        if last.len() + c.len_utf8() > most {
            texts.push(String::from(c));
        } else {
            last.push(c);
        }
    };
    if takes_all() {
        ('\0'..=char::MAX).filter(|c| *c != '\n').for_each(add);
    } else {
        let few = SOME.get_or_init(some_scalars);
        few.iter().copied().for_each(&mut add);
    }
    texts
}

/// How many bytes there are in texts.
pub(crate) fn size_of(texts: &[String]) -> usize {
    texts.iter().map(String::len).sum()
}

static SOME: OnceLock<BTreeSet<char>> = OnceLock::new();

fn some_scalars() -> BTreeSet<char> {
    let first = 0..0x3000;
    let others = (0x3000..0x11_0000).step_by(997);
    let tables = Tables::new();
    let codes = first.chain(others).chain(tables.borders());
    codes
        .filter_map(char::from_u32)
        .filter(|c| *c != '\n')
        .collect()
}
