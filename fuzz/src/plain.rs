//! An oracle of its own for what may be shown: written from Unicode's lists, not from the table that
//! the product asks.

/// Ranges of characters that control, format, part lines or are private. Not all that are
/// unassigned: those are many, and no terminal obeys them.
const NOT_PLAIN: [(u32, u32); 24] = [
    (0x00, 0x1f),
    (0x7f, 0x9f),
    (0xad, 0xad),
    (0x600, 0x605),
    (0x61c, 0x61c),
    (0x6dd, 0x6dd),
    (0x70f, 0x70f),
    (0x890, 0x891),
    (0x8e2, 0x8e2),
    (0x180e, 0x180e),
    (0x200b, 0x200f),
    (0x2028, 0x202e),
    (0x2060, 0x206f),
    (0xe000, 0xf8ff),
    (0xfdd0, 0xfdef),
    (0xfeff, 0xfeff),
    (0xfff0, 0xfffb),
    (0x110bd, 0x110bd),
    (0x110cd, 0x110cd),
    (0x13430, 0x1343f),
    (0x1bca0, 0x1bca3),
    (0x1d173, 0x1d17a),
    (0xe0000, 0xe00ff),
    (0xf0000, 0x10_ffff),
];

/// Whether a character may move a cursor, turn a line around, hide itself or begin another line.
pub fn is_harmful(c: char) -> bool {
    let c = u32::from(c);
    NOT_PLAIN
        .iter()
        .any(|(from, to)| (*from..=*to).contains(&c))
}

/// Ranges of characters that leave no trace where they stand alone, and that may be skipped: what
/// Unicode calls ignorable and doesn't count among those above.
const UNSEEN: [(u32, u32); 9] = [
    (0x34f, 0x34f),
    (0x115f, 0x1160),
    (0x17b4, 0x17b5),
    (0x180b, 0x180d),
    (0x180f, 0x180f),
    (0x3164, 0x3164),
    (0xfe00, 0xfe0f),
    (0xffa0, 0xffa0),
    (0xe0100, 0xe01ef),
];

/// What is left of a text for somebody who looks at it.
pub fn seen(text: &str) -> String {
    let is_seen = |c: &char| {
        let c = u32::from(*c);
        !(UNSEEN.iter()).any(|(from, to)| (*from..=*to).contains(&c))
    };
    text.chars().filter(is_seen).collect()
}

/// Panics where a text has more than one line, or anything that a terminal would obey.
pub fn assert_line(text: &str) {
    assert!(!text.chars().any(is_harmful), "{text:?} is not plain");
}

/// The same for a text of several lines.
pub fn assert_lines(text: &str) {
    let harmful = text.chars().any(|c| c != '\n' && is_harmful(c));
    assert!(!harmful, "{text:?} is not plain");
}
