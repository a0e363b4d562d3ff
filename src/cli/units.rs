//! Sizes and durations as people write them; 0 is no limit.

use std::time::Duration;

use bytesize::ByteSize;

/// A limit that may be off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit<T>(pub(super) Option<T>);

/// Reads `64KiB`, `10 MB`, `1.5G`, `4096` or `0`.
pub(super) fn size(text: &str) -> Result<Limit<u64>, String> {
    let size: ByteSize = text
        .parse()
        .map_err(|_| "not a size; try 64KiB, 10MB or 0 for no limit".to_owned())?;
    Ok(Limit(Some(size.as_u64()).filter(|size| *size > 0)))
}

/// Reads bytes a second: `10MB`, `512KiB/s` or `0`.
pub(super) fn rate(text: &str) -> Result<Limit<u64>, String> {
    let text = text.trim();
    size(text.strip_suffix("/s").unwrap_or(text))
        .map_err(|_| "not a rate; try 10MB, 512KiB (a second) or 0 for no limit".to_owned())
}

/// Reads a size that is no limit, so that 0 is just that.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let size: Result<ByteSize, _> = text.parse();
    size.map(|size| size.as_u64())
        .map_err(|_| "not a size; try 100, 64KiB or 10MB".to_owned())
}

/// Reads `10s`, `1m 30s`, `500ms` or `0`.
pub(super) fn duration(text: &str) -> Result<Limit<Duration>, String> {
    if text.trim() == "0" {
        return Ok(Limit(None));
    }
    let duration = humantime::parse_duration(text)
        .map_err(|_| "not a duration; try 10s, 5m, 500ms or 0 for no limit".to_owned())?;
    Ok(Limit(Some(duration).filter(|duration| !duration.is_zero())))
}

/// Reads a count; 0 is no limit.
pub(super) fn count(text: &str) -> Result<Limit<usize>, String> {
    let count: usize = text
        .parse()
        .map_err(|_| "not a number; try 1000, or 0 for no limit".to_owned())?;
    Ok(Limit(Some(count).filter(|count| *count > 0)))
}

/// A size for people: `1.5 MiB`.
pub(super) fn show_size(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string()
}

/// A number of things, in the singular where it is one.
pub(super) fn show_count(count: impl Into<u128>, thing: &str) -> String {
    match count.into() {
        1 => format!("1 {thing}"),
        count => format!("{count} {thing}s"),
    }
}

/// A limit for a start-up line.
pub(super) fn show_duration(limit: Limit<Duration>) -> String {
    limit.0.map_or_else(
        || "no limit".to_owned(),
        |limit| humantime::format_duration(limit).to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_size_a_second() {
        assert_eq!(rate("512KiB"), Ok(Limit(Some(524_288))));
        assert_eq!(rate("10 MB/s"), Ok(Limit(Some(10_000_000))));
        assert_eq!(rate("0"), Ok(Limit(None)));
        for bad in ["", "/s", "10MB/m", "fast"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_are_read_with_decimal_and_binary_units() {
        for (text, bytes) in [
            ("1", 1),
            ("64KiB", 65_536),
            ("10 MB", 10_000_000),
            ("1.5GiB", 3 << 29),
            ("2k", 2_000),
        ] {
            assert_eq!(size(text), Ok(Limit(Some(bytes))), "{text}");
        }
        assert_eq!(size("0"), Ok(Limit(None)));
        assert_eq!(size("0 KiB"), Ok(Limit(None)));
        for bad in ["", "-1", "ten", "10 parsecs"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_need_a_unit_except_for_none_at_all() {
        assert_eq!(duration("1m 30s"), Ok(Limit(Some(Duration::from_secs(90)))));
        assert_eq!(
            duration("500ms"),
            Ok(Limit(Some(Duration::from_millis(500))))
        );
        assert_eq!(duration("0"), Ok(Limit(None)));
        assert_eq!(duration("0s"), Ok(Limit(None)));
        for bad in ["", "10", "-1s", "soon"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
