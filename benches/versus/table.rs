//! What was measured, as Markdown that reads well in a terminal too.

use std::fmt::Write;

use super::measured::{Entry, Judged, Measured, Sample};
use super::statistics::Spread;

/// The targets: one line each, with what was reached.
pub(crate) fn summary(rows: &[Measured]) -> String {
    let header = ["work", "target", "reached, median", "least to most", "met"];
    let mut lines = vec![header.map(str::to_owned).to_vec()];
    for row in rows {
        let limit = row.of_the_limit();
        for (index, judged) in row.judge().into_iter().enumerate() {
            let work = if index == 0 { &row.title } else { "" };
            lines.push(target_line(work, &judged));
        }
        // Said only where it isn't a target already, and of the same kind.
        if let (Some(limit), Some((name, _))) = (limit, row.limit)
            && !row.targets.is_empty()
            && !row.judge().iter().any(|judged| judged.text.ends_with(name))
        {
            let asked = Judged {
                text: format!("(its limit: {name})"),
                reached: Some(limit),
                met: None,
            };
            let mut line = target_line("", &asked);
            line[4].clear();
            lines.push(line);
        }
    }
    render(&lines)
}

fn target_line(work: &str, judged: &Judged) -> Vec<String> {
    let met = match judged.met {
        Some(true) => "yes",
        Some(false) => "**no**",
        None => "not measured",
    };
    let show = |value: f64| {
        if value.abs() < 100.0 {
            format!("{value:.2}")
        } else {
            format!("{value:.0}")
        }
    };
    vec![
        work.to_owned(),
        judged.text.clone(),
        median(judged.reached, show),
        range(judged.reached, show),
        met.to_owned(),
    ]
}

/// All of one row's contenders.
pub(crate) fn details(row: &Measured) -> String {
    let unit = row.unit.name();
    let shown: [(&str, Column<'_>); 5] = [
        ("server CPU, s a GiB", &|sample| sample.cpu_s_per_gib()),
        ("server CPU, µs each", &|sample| sample.cpu_us_each()),
        ("p50, ms", &|sample| Some(sample.p50_us? / 1000.0)),
        ("p99, ms", &|sample| Some(sample.p99_us? / 1000.0)),
        ("most, ms", &|sample| Some(sample.max_us? / 1000.0)),
    ];
    let is_single = |entry: &Entry| entry.spread(|sample| Some(sample.count));
    let mut entries = row.entries.iter().filter_map(is_single);
    // What one large file costs is said by the GiB; what is said in the unit isn't said twice.
    let is_large = entries.all(|count| count.most <= 1.0);
    let shown: Vec<_> = shown
        .into_iter()
        .filter(|(title, _)| !(is_large && title.ends_with("each")) && *title != unit)
        .filter(|(_, of)| row.entries.iter().any(|entry| entry.spread(of).is_some()))
        .collect();
    let mut header = vec![
        "who".to_owned(),
        "loaded by".to_owned(),
        format!("{unit}, median"),
        "least to most".to_owned(),
    ];
    header.extend(shown.iter().map(|(title, _)| (*title).to_owned()));
    let mut lines = vec![header];
    for entry in &row.entries {
        let figures = entry.spread(|sample| Some(sample.figure));
        let show = |value| row.unit.show(value);
        let mut line = vec![
            entry.name.clone(),
            entry.driver.clone(),
            median(figures, show),
            range(figures, show),
        ];
        let two = |value: f64| format!("{value:.2}");
        line.extend(shown.iter().map(|(_, of)| median(entry.spread(of), two)));
        lines.push(line);
    }
    let mut text = format!("### {}: {}\n\n{}", row.key, row.title, render(&lines));
    if !row.note.is_empty() {
        let _ = write!(text, "\n{}\n", row.note);
    }
    let mut reasons: Vec<&str> = Vec::new();
    for why in row.entries.iter().filter_map(|it| it.failure.as_deref()) {
        // The same for each point of a curve.
        if !reasons.contains(&why) {
            reasons.push(why);
        }
    }
    for why in reasons {
        let _ = write!(text, "\nNot measured: {why}.\n");
    }
    text
}

type Column<'a> = &'a dyn Fn(&Sample) -> Option<f64>;

fn median(spread: Option<Spread>, show: impl Fn(f64) -> String) -> String {
    spread.map_or("-".to_owned(), |spread| show(spread.median))
}

fn range(spread: Option<Spread>, show: impl Fn(f64) -> String) -> String {
    spread.map_or(String::new(), |spread| {
        format!("{} to {}", show(spread.least), show(spread.most))
    })
}

/// A table whose columns stand below each other. The first line is its header.
pub(crate) fn render(lines: &[Vec<String>]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate() {
        for (cell, width) in line.iter().zip(&widths) {
            let _ = write!(text, "| {cell:<width$} ");
        }
        text.push_str("|\n");
        if index == 0 {
            for width in &widths {
                let _ = write!(text, "|{}", "-".repeat(width + 2));
            }
            text.push_str("|\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measured::{Target, Unit};

    fn entry(name: &str, figure: Option<f64>) -> Entry {
        let sample = |figure| Sample {
            figure,
            bytes: f64::from(1 << 30),
            count: 1.0,
            server_cpu_s: Some(0.5),
            ..Sample::default()
        };
        Entry {
            name: name.to_owned(),
            driver: "a driver".to_owned(),
            samples: vec![figure.map(sample)],
            failure: figure
                .is_none()
                .then(|| "nginx is not installed".to_owned()),
            point: None,
        }
    }

    fn row(peer: Option<f64>) -> Measured {
        Measured {
            key: "bulk",
            title: "one stream".to_owned(),
            unit: Unit::GigabytesPerSecond,
            entries: vec![entry("piecemeal", Some(2.0)), entry("nginx", peer)],
            targets: vec![Target::AtLeast(3.0, "piecemeal", "nginx")],
            limit: None,
            note: "A note.",
        }
    }

    #[test]
    fn each_target_has_a_line_that_says_whether_it_was_met() {
        let text = summary(&[row(Some(0.5)), row(Some(1.0)), row(None)]);
        let lines: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines[0].contains("| 4.00 ") && lines[0].ends_with("| yes          |"));
        assert!(lines[1].contains("| 2.00 ") && lines[1].contains("**no**"));
        assert!(lines[2].contains("not measured"));
    }

    #[test]
    fn who_wasnt_measured_is_named_with_the_reason() {
        let text = details(&row(None));
        assert!(text.contains("\nNot measured: nginx is not installed.\n"));
        assert!(text.contains("| piecemeal | a driver  | 2.00 "), "{text}");
        assert!(text.contains("server CPU, s a GiB"), "{text}");
        assert!(!text.contains("µs each") && !text.contains("p50"), "{text}");
    }

    #[test]
    fn columns_stand_below_each_other() {
        let line = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let text = render(&[line(["a", "bb"]), line(["µµµ", ""])]);
        assert_eq!(text, "| a   | bb |\n|-----|----|\n| µµµ |    |\n");
    }
}
