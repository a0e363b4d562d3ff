//! The run's part of docs/BENCHMARKS.md, which is written between two marks, and its charts.

use std::fs;
use std::io;
use std::path::Path;

use super::chart;
use super::measured::Measured;

const BEGIN: &str = "<!-- versus: written by `cargo bench --bench versus -- --markdown` -->";
const END: &str = "<!-- versus: its end -->";
/// What the latency chart's line says; the row has it as a target.
const TARGET_MS: f64 = 5.0;

/// Writes the text and the charts into the project's docs.
pub(crate) fn write(docs: &Path, text: &str, rows: &[Measured]) -> io::Result<()> {
    let charts = docs.join("bench");
    fs::create_dir_all(&charts)?;
    let mut text = text.to_owned();
    let drawn = rows.iter().filter_map(|row| {
        let (drawing, file, words) = match row.key {
            "curve" => (
                chart::curves(row)?,
                "connections.svg",
                "Files a second by connections",
            ),
            "beside" => (
                chart::latencies(row, TARGET_MS)?,
                "beside.svg",
                "Latency of small files beside two bulk streams",
            ),
            _ => return None,
        };
        Some((drawing, file, words))
    });
    for (drawing, file, words) in drawn {
        svg::save(charts.join(file), &drawing)?;
        text.push_str(&format!("\n![{words}](bench/{file})\n"));
    }
    let page = docs.join("BENCHMARKS.md");
    let old = fs::read_to_string(&page)?;
    fs::write(page, replaced(&old, &text))
}

/// The page with the part between the marks replaced; at its end where it has none yet.
fn replaced(page: &str, text: &str) -> String {
    let part = format!("{BEGIN}\n{}\n{END}", text.trim_end());
    if let Some((before, rest)) = page.split_once(BEGIN)
        && let Some((_, after)) = rest.split_once(END)
    {
        return format!("{before}{part}{after}");
    }
    format!("{}\n\n{part}\n", page.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_part_between_the_marks_is_replaced() {
        let first = replaced("# Title\n", "one\n");
        assert_eq!(first, format!("# Title\n\n{BEGIN}\none\n{END}\n"));
        let second = replaced(&format!("{first}\nmore\n"), "two");
        assert_eq!(second, format!("# Title\n\n{BEGIN}\ntwo\n{END}\n\nmore\n"));
    }
}
