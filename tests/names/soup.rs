//! Names that somebody might try: pieces that rules are about, in any order.

use rand::RngExt;
use rand::rngs::SmallRng;

const PIECES: [&[u8]; 62] = [
    b"a",
    b"B",
    b"report",
    b".pdf",
    b".",
    b"..",
    b"/",
    b"/",
    b"//",
    b" ",
    b"\\",
    b":",
    b"\0",
    b"\n",
    b"\r",
    b"\t",
    b"\x1b[2J",
    b"\x07",
    b"\x7f",
    b"\x80",
    b"\x9b",
    b"\xc0\xaf",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xff",
    b"\xe2\x80",
    b"con",
    b"CoN",
    b"nul",
    b"Aux",
    b"prn",
    b"COM",
    b"lpt",
    b"CONIN$",
    b"1",
    b"0",
    "¹".as_bytes(),
    "³".as_bytes(),
    "⁴".as_bytes(),
    "１".as_bytes(),
    "ＣＯＮ".as_bytes(),
    b".piecemeal",
    b".PieceMeal",
    b"~",
    b"-rf",
    b"$(id)",
    b"*",
    b"%2e%2e",
    "é".as_bytes(),
    "e\u{301}".as_bytes(),
    "ﬁ".as_bytes(),
    "İ".as_bytes(),
    "ſ".as_bytes(),
    "\u{9b}".as_bytes(),
    "\u{202e}".as_bytes(),
    "\u{200b}".as_bytes(),
    "\u{2028}".as_bytes(),
    "\u{fe0f}".as_bytes(),
    "\u{3164}".as_bytes(),
    "\u{e000}".as_bytes(),
    "\u{378}".as_bytes(),
    "報告".as_bytes(),
];

/// The next name.
pub(crate) fn name(random: &mut SmallRng) -> Vec<u8> {
    let mut name = Vec::new();
    for _ in 0..random.random_range(0..9) {
        match random.random_range(0..12) {
            // A scalar of any plane.
            0 => {
                let c = char::from_u32(random.random_range(0..0x11_0000)).unwrap_or('x');
                name.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            1 => name.push(random.random_range(32..127)),
            2 if random.random_range(0..8) == 0 => {
                let long = random.random_range(190..211);
                name.extend(std::iter::repeat_n(b'n', long));
            }
            3 if random.random_range(0..8) == 0 => {
                let deep = random.random_range(28..36);
                name.extend(std::iter::repeat_n(b"d/", deep).flatten());
            }
            _ => name.extend_from_slice(PIECES[random.random_range(0..PIECES.len())]),
        }
    }
    name
}
