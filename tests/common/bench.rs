//! Running `bench`, and reading its figures.

use serde_json::Value;

use super::{Ran, piecemeal};

/// What every run says.
pub(crate) const NUMBERS: [&str; 8] = [
    "files_per_s",
    "bytes_per_s",
    "p50_us",
    "p90_us",
    "p99_us",
    "p999_us",
    "max_us",
    "connections",
];

/// Runs it for JSON.
pub(crate) fn bench(arguments: &[&str]) -> Ran {
    piecemeal(&[&["bench", "--json"], arguments].concat())
}

/// The object that it prints, with all that has to be there.
pub(crate) fn figures(text: &str) -> Value {
    let figures: Value = serde_json::from_str(text).unwrap_or_else(|_| panic!("{text}"));
    for key in NUMBERS {
        assert!(figures[key].is_number(), "{key} in {figures}");
    }
    assert!(figures["errors"].is_object(), "{figures}");
    figures
}

pub(crate) fn number(figures: &Value, key: &str) -> u64 {
    let number = figures[key].as_u64();
    number.unwrap_or_else(|| panic!("{key} in {figures}"))
}

/// How many failed of this code.
pub(crate) fn errors(figures: &Value, code: &str) -> u64 {
    figures["errors"][code].as_u64().unwrap_or(0)
}
