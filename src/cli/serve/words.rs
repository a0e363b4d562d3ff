//! What `serve` says: its last line, and words that can be pasted.

use piecemeal::server::Summary;

use crate::cli::units::{show_count, show_size};

/// How it all went.
pub(super) fn last_line(summary: &Summary) -> String {
    let counts = &summary.counts;
    let bytes = show_size(counts.stored_bytes);
    let files = show_count(counts.stored, "file");
    let cut_off = match summary.cut_off {
        0 => String::new(),
        1 => "; 1 connection was cut off".to_owned(),
        count => format!("; {count} connections were cut off"),
    };
    format!("stopped; {files} stored, {bytes}{cut_off}")
}

/// A word as a shell takes it.
pub(super) fn shell_quoted(word: &str) -> String {
    let is_bare = |c: char| c.is_alphanumeric() || "-_./:,@%+=[]".contains(c);
    if word.chars().all(is_bare) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_spaces_or_quotes_can_be_pasted() {
        for (word, quoted) in [
            ("127.0.0.1:9000", "127.0.0.1:9000"),
            ("[::1]:9000", "[::1]:9000"),
            ("unix:/tmp/a b", "'unix:/tmp/a b'"),
            ("unix:/tmp/it's", r"'unix:/tmp/it'\''s'"),
        ] {
            assert_eq!(shell_quoted(word), quoted);
        }
    }
}
