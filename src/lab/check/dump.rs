//! Bytes as annotated rows of hex: what each field is, and a mark under the place in question.

use super::shown::{bytes, number};

/// A part of a message: what it is called, and how many bytes it has.
pub type Field = (&'static str, usize);

/// Bytes of one row.
const ROW: usize = 16;
/// In front of each row.
const INDENT: &str = "      ";
/// Rows shown in full; of longer messages these at the start, and as many around the mark.
const ROWS_MOST: usize = 3;

/// The rows that show `bytes`, the first of which has the offset `start` on its side. Under a row
/// stand the fields that begin in it (`--`), and the mark (`^^`).
pub fn dump(
    bytes: &[u8],
    start: usize,
    fields: &[Field],
    mark: Option<(usize, &str)>,
) -> Vec<String> {
    let rows = bytes.len().div_ceil(ROW);
    let marked = mark.map(|(offset, word)| (offset.saturating_sub(start).min(bytes.len()), word));
    // A mark behind a full row stands under that row.
    let marked_row = marked.map(|(at, _)| (at / ROW).min(rows.saturating_sub(1)));
    let mut lines = Vec::new();
    let mut left_out = 0;
    for (row, piece) in bytes.chunks(ROW).enumerate() {
        let near_mark = marked_row.is_some_and(|marked| row.abs_diff(marked) <= 1);
        if row >= ROWS_MOST && row + 1 < rows && !near_mark {
            left_out += piece.len();
            continue;
        }
        push_gap(&mut lines, &mut left_out);
        lines.push(row_of(piece, start + row * ROW));
        lines.extend(fields_of(fields, row * ROW, bytes.len()));
        if let Some((at, word)) = marked.filter(|_| marked_row == Some(row)) {
            lines.push(under(at - row * ROW, 1, '^', word));
        }
    }
    push_gap(&mut lines, &mut left_out);
    lines
}

fn push_gap(lines: &mut Vec<String>, left_out: &mut usize) {
    if *left_out > 0 {
        lines.push(format!("{INDENT}   …  {} more", bytes(*left_out)));
        *left_out = 0;
    }
}

fn row_of(piece: &[u8], offset: usize) -> String {
    let hex: String = piece.iter().map(|byte| format!("{byte:02x} ")).collect();
    let shown = |byte: &u8| match byte {
        b' '..=b'~' => char::from(*byte),
        _ => '.',
    };
    let text: String = piece.iter().map(shown).collect();
    format!("{INDENT}{offset:04x}  {hex:<48} |{text}|")
}

/// The fields that begin in the row whose first byte is `row`.
fn fields_of(fields: &[Field], row: usize, length: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut at = 0;
    for (name, size) in fields {
        if (row..row + ROW).contains(&at) && at < length && *size > 0 {
            let here = (*size).min(row + ROW - at);
            let word = if here < *size {
                format!("{name}, {} bytes", number(*size))
            } else {
                (*name).to_owned()
            };
            lines.push(under(at - row, here, '-', &word));
        }
        at += size;
    }
    lines
}

/// A line under `count` bytes of a row, and a word.
fn under(column: usize, count: usize, line: char, word: &str) -> String {
    let pair: String = [line, line, ' '].iter().collect();
    let lead = " ".repeat(INDENT.len() + 6 + column * 3);
    format!("{lead}{}{word}", pair.repeat(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_the_mark_stand_under_their_bytes() {
        let fields = [("type", 1), ("length", 2), ("body", 17)];
        let mut message = vec![3, 17, 0];
        message.extend_from_slice(b"abcdefghijklmnopq");
        let lines = dump(&message, 0, &fields, Some((17, "it stops here")));
        assert_eq!(
            lines,
            [
                "      0000  03 11 00 61 62 63 64 65 66 67 68 69 6a 6b 6c 6d  |...abcdefghijklm|",
                "            -- type",
                "               -- -- length",
                "                     -- -- -- -- -- -- -- -- -- -- -- -- -- body, 17 bytes",
                "      0010  6e 6f 70 71                                      |nopq|",
                "               ^^ it stops here",
            ]
        );
    }

    #[test]
    fn a_long_body_is_cut_short_but_never_around_the_mark() {
        let lines = dump(&[7; 65_536], 0, &[], Some((4096, "cut at 4096")));
        assert!(lines.len() < 15, "{lines:#?}");
        let at = lines
            .iter()
            .position(|line| line.contains("^^ cut at 4096"));
        let row = &lines[at.expect("it is shown") - 1];
        assert!(row.contains(" 1000  07"), "{row}");
        assert!(lines.iter().any(|line| line.contains("bytes more")));
    }

    #[test]
    fn a_mark_behind_a_full_row_stands_at_its_end() {
        let lines = dump(&[0; 16], 0, &[], Some((16, "missing")));
        assert_eq!(lines.len(), 2);
        assert!(lines[1].ends_with(&format!("{}^^ missing", " ".repeat(48))));
    }

    #[test]
    fn offsets_count_from_the_start_of_the_side() {
        let lines = dump(b"ab", 0x20, &[], Some((0x21, "here")));
        assert!(lines[0].contains("0020  61 62"));
        assert!(lines[1].ends_with("               ^^ here"));
    }
}
