//! Numbers and names as people read them.

use std::time::Duration;

use crate::proto::text::escaped;

/// `1 byte`, `65,536 bytes`.
pub fn bytes(count: usize) -> String {
    let noun = if count == 1 { "byte" } else { "bytes" };
    format!("{} {noun}", number(count))
}

/// With a comma between thousands.
pub fn number(count: usize) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `12.3 ms`.
pub fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

/// `3 s`, `1.5 s`.
pub fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}

/// A peer's bytes between quotes, escaped; only the first 60 of long ones.
pub fn quoted(all: &[u8]) -> String {
    const MOST: usize = 60;
    if all.len() <= MOST {
        return format!("\"{}\"", escaped(all));
    }
    let head = escaped(&all[..MOST]);
    format!("\"{head}\" … ({} in all)", bytes(all.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_commas_and_one_byte_is_singular() {
        assert_eq!(bytes(1), "1 byte");
        assert_eq!(bytes(999), "999 bytes");
        assert_eq!(bytes(65_536), "65,536 bytes");
        assert_eq!(number(268_435_456), "268,435,456");
    }

    #[test]
    fn a_wait_of_one_and_a_half_seconds_is_not_called_one() {
        assert_eq!(seconds(Duration::from_secs(3)), "3 s");
        assert_eq!(seconds(Duration::from_millis(1500)), "1.5 s");
    }

    #[test]
    fn what_is_quoted_is_escaped_and_short() {
        assert_eq!(quoted(b"OK\n"), r#""OK\n""#);
        assert!(quoted(&[b'a'; 5000]).ends_with("… (5,000 bytes in all)"));
    }
}
