//! Numbers, times and names, as short as a drawing needs them.

use super::super::units::{show_count, show_size};

/// A number of bytes, exact where it is short.
pub(super) fn amount(bytes: u64) -> String {
    if bytes < 100_000 {
        bytes.to_string()
    } else {
        show_size(bytes)
    }
}

/// The same with a unit.
pub(super) fn with_unit(bytes: u64) -> String {
    match bytes {
        100_000.. => show_size(bytes),
        _ => show_count(bytes, "byte"),
    }
}

/// A time span for people, to three digits or so.
pub(super) fn span(us: u64) -> String {
    // Only to be read: nobody misses what a float can't tell apart.
    let us = us as f64;
    match us {
        0.0 => "0".to_owned(),
        ..1e3 => format!("{us} µs"),
        ..1e4 => format!("{:.2} ms", us / 1e3),
        ..1e6 => format!("{:.0} ms", us / 1e3),
        ..1e7 => format!("{:.2} s", us / 1e6),
        ..6e8 => format!("{:.1} s", us / 1e6),
        _ => format!("{:.0} s", us / 1e6),
    }
}

/// A text in no more than so many characters.
pub(super) fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    kept + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short_to_read() {
        for (us, text) in [
            (0, "0"),
            (999, "999 µs"),
            (1_500, "1.50 ms"),
            (150_000, "150 ms"),
            (1_500_000, "1.50 s"),
            (61_000_000, "61.0 s"),
            (6_000_000_000, "6000 s"),
        ] {
            assert_eq!(span(us), text);
        }
    }
}
