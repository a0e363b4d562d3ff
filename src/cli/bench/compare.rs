//! `piecemeal bench compare`: two runs side by side.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use piecemeal::proto::text::escaped;
use serde::Deserialize;

use crate::cli::{Exit, print, tell};

/// What is compared of a run. Whatever else stands in its file is left alone, so that files of
/// other versions can be read.
#[derive(Debug, Deserialize)]
struct Run {
    files_per_s: f64,
    bytes_per_s: f64,
    p50_us: f64,
    p90_us: f64,
    p99_us: f64,
    p999_us: f64,
    max_us: f64,
    errors: BTreeMap<String, u64>,
    connections: u64,
}

impl Run {
    /// What has a ratio.
    fn figures(&self) -> [(&'static str, f64); 7] {
        [
            ("files_per_s", self.files_per_s),
            ("bytes_per_s", self.bytes_per_s),
            ("p50_us", self.p50_us),
            ("p90_us", self.p90_us),
            ("p99_us", self.p99_us),
            ("p999_us", self.p999_us),
            ("max_us", self.max_us),
        ]
    }

    /// What stands beside it.
    fn counts(&self) -> [(&'static str, u64); 2] {
        let counts = self.errors.values();
        let errors = counts.fold(0_u64, |sum, count| sum.saturating_add(*count));
        [("errors", errors), ("connections", self.connections)]
    }
}

pub(super) fn run(a: &Path, b: &Path) -> Exit {
    match (read(a), read(b)) {
        (Ok(first), Ok(second)) => {
            print(table(&first, &second).trim_end());
            Exit::Success
        }
        (first, second) => {
            for error in [first.err(), second.err()].into_iter().flatten() {
                tell(format_args!("piecemeal: {error}"));
            }
            Exit::Local
        }
    }
}

fn read(path: &Path) -> Result<Run, String> {
    let shown = escaped(path.as_os_str().as_encoded_bytes()).to_string();
    let text = std::fs::read(path).map_err(|error| format!("{shown}: can't read it: {error}"))?;
    serde_json::from_slice(&text).map_err(|error| {
        format!(
            "{shown}: not a run of `piecemeal bench --json`: {}",
            escaped(&error.to_string())
        )
    })
}

fn table(a: &Run, b: &Run) -> String {
    let mut text = format!("{:<14}{:>16}{:>16}{:>9}\n", "", "A", "B", "B / A");
    for ((name, a), (_, b)) in a.figures().into_iter().zip(b.figures()) {
        // Writing to a String can't fail.
        let _ = writeln!(text, "{name:<14}{a:>16.1}{b:>16.1}{:>9}", ratio(a, b));
    }
    for ((name, a), (_, b)) in a.counts().into_iter().zip(b.counts()) {
        let _ = writeln!(text, "{name:<14}{a:>16}{b:>16}");
    }
    text
}

/// How many times A is B. Nothing has no ratio to anything.
fn ratio(a: f64, b: f64) -> String {
    if a > 0.0 {
        format!("{:.2}", b / a)
    } else {
        "-".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(files_per_s: f64) -> Run {
        let text = format!(
            r#"{{"files_per_s": {files_per_s}, "bytes_per_s": 1, "p50_us": 2, "p90_us": 3,
                "p99_us": 4, "p999_us": 5, "max_us": 6, "errors": {{"lost": 2, "io": 3}},
                "connections": 64, "of a later version": [1]}}"#
        );
        serde_json::from_str(&text).expect("a run")
    }

    #[test]
    fn a_ratio_says_how_many_times_the_first_the_second_is() {
        let table = table(&run(200.0), &run(500.0));
        let line = |name| {
            let line = table.lines().find(|line| line.starts_with(name));
            let words = line.expect("a row").split_whitespace();
            words.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(
            line("files_per_s"),
            ["files_per_s", "200.0", "500.0", "2.50"]
        );
        assert_eq!(line("p999_us"), ["p999_us", "5.0", "5.0", "1.00"]);
        assert_eq!(line("errors"), ["errors", "5", "5"]);
    }

    #[test]
    fn nothing_has_no_ratio() {
        assert_eq!(ratio(0.0, 5.0), "-");
        assert_eq!(ratio(5.0, 0.0), "0.00");
    }
}
