//! Charts, as SVG: a curve a server by connections, and latencies as dots on one line a server.
//! Each curve has a dot shape of its own, and each dot a tooltip, so that colour isn't all.

use svg::Document;
use svg::node::element::{Circle, Element, Group, Line, Polyline, Rectangle, Text, Title};

use super::measured::{Entry, Measured};

const WIDTH: f64 = 760.0;
const LEFT: f64 = 150.0;
const RIGHT: f64 = 730.0;
const TOP: f64 = 60.0;
const BOTTOM: f64 = 340.0;
/// One server's line of dots.
const LANE: f64 = 42.0;
const COLOURS: [&str; 5] = ["#1b6ca8", "#c8553d", "#588157", "#8d6a9f", "#b08900"];

/// Figures by connections: a curve for each series of points. None where there is no point.
pub(crate) fn curves(row: &Measured) -> Option<Document> {
    let figure = |entry: &Entry| entry.spread(|sample| Some(sample.figure));
    let mut series: Vec<(&str, Vec<(f64, f64)>)> = Vec::new();
    for entry in &row.entries {
        let (Some((name, at)), Some(figure)) = (entry.point, figure(entry)) else {
            continue;
        };
        match series.iter_mut().find(|(other, _)| *other == name) {
            Some((_, points)) => points.push((at, figure.median)),
            None => series.push((name, vec![(at, figure.median)])),
        }
    }
    let points = || series.iter().flat_map(|(_, points)| points);
    let most = points().map(|(_, figure)| *figure).reduce(f64::max)?;
    let from = points().map(|(at, _)| *at).reduce(f64::min)?;
    let to = points().map(|(at, _)| *at).reduce(f64::max)?;
    let top = round_up(most);
    let x = |at: f64| along(at.log2(), from.log2(), to.log2(), LEFT, RIGHT - 20.0);
    let y = |figure: f64| along(figure, 0.0, top, BOTTOM, TOP);

    let mut page = page(&row.title, BOTTOM + 60.0);
    for step in 0..=4 {
        let figure = top * f64::from(step) / 4.0;
        page = page
            .add(rule((LEFT, y(figure)), (RIGHT, y(figure))))
            .add(text(
                &row.unit.show(figure),
                LEFT - 8.0,
                y(figure) + 4.0,
                "end",
            ));
    }
    let mut places: Vec<f64> = points().map(|(at, _)| *at).collect();
    places.sort_by(f64::total_cmp);
    places.dedup();
    for at in places {
        page = page.add(text(&format!("{at:.0}"), x(at), BOTTOM + 20.0, "middle"));
    }
    page = page
        .add(text(
            "connections",
            f64::midpoint(LEFT, RIGHT),
            BOTTOM + 42.0,
            "middle",
        ))
        .add(text(&row.unit.name(), LEFT - 8.0, TOP - 16.0, "end"));
    for (index, (name, points)) in series.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let ends: Vec<String> = points
            .iter()
            .map(|(at, figure)| format!("{:.1},{:.1}", x(*at), y(*figure)))
            .collect();
        let line = Polyline::new()
            .set("points", ends.join(" "))
            .set("fill", "none")
            .set("stroke", colour)
            .set("stroke-width", 2);
        page = page.add(line);
        for (at, figure) in points {
            let shown = row.unit.show(*figure);
            let title = format!("{name}, {at:.0} connections: {shown} {}", row.unit.name());
            page = page.add(mark(index, x(*at), y(*figure), colour, &title));
        }
        let at = LEFT + 20.0 + 130.0 * index as f64;
        page = page
            .add(mark(index, at, TOP - 20.0, colour, name))
            .add(text(name, at + 10.0, TOP - 16.0, "start"));
    }
    Some(page)
}

/// The latencies of each contender: median, 99 % and most, on a logarithmic axis, with the target.
/// None where there is none.
pub(crate) fn latencies(row: &Measured, target_ms: f64) -> Option<Document> {
    let lanes: Vec<(&str, [f64; 3])> = row
        .entries
        .iter()
        .filter_map(|entry| {
            let ms = |of: fn(&super::measured::Sample) -> Option<f64>| {
                Some(entry.spread(of)?.median / 1000.0)
            };
            let times = [
                ms(|sample| sample.p50_us)?,
                ms(|sample| sample.p99_us)?,
                ms(|sample| sample.max_us)?,
            ];
            Some((entry.name.as_str(), times))
        })
        .collect();
    let times = || lanes.iter().flat_map(|(_, times)| times).copied();
    let least = times().reduce(f64::min)?.min(target_ms).max(1e-3);
    let most = times().reduce(f64::max)?.max(target_ms);
    let (from, to) = (least.log10().floor(), most.log10().ceil());
    let x = |ms: f64| along(ms.max(1e-3).log10(), from, to, LEFT, RIGHT);
    let bottom = TOP + LANE * lanes.len() as f64;

    let mut page = page(&row.title, bottom + 60.0);
    let mut tick = from;
    while tick <= to {
        let ms = 10_f64.powf(tick);
        page = page
            .add(rule((x(ms), TOP - 10.0), (x(ms), bottom)))
            .add(text(&format!("{ms}"), x(ms), bottom + 20.0, "middle"));
        tick += 1.0;
    }
    let target = Line::new()
        .set("x1", pixels(x(target_ms)))
        .set("x2", pixels(x(target_ms)))
        .set("y1", TOP - 10.0)
        .set("y2", pixels(bottom))
        .set("stroke", "#333")
        .set("stroke-dasharray", "5 4");
    page = page
        .add(target)
        .add(text(
            &format!("target {target_ms} ms"),
            x(target_ms),
            TOP - 16.0,
            "middle",
        ))
        .add(text(
            "ms, logarithmic: ● median, ■ 99 of 100, ◆ most",
            f64::midpoint(LEFT, RIGHT),
            bottom + 42.0,
            "middle",
        ));
    for (index, (name, times)) in lanes.iter().enumerate() {
        let y = TOP + LANE * (index as f64 + 0.5);
        page = page
            .add(text(name, LEFT - 12.0, y + 4.0, "end"))
            .add(rule((x(times[0]), y), (x(times[2]), y)));
        for (shape, (ms, what)) in times
            .iter()
            .zip(["median", "99 of 100", "most"])
            .enumerate()
        {
            let title = format!("{name}: {what} {ms:.2} ms");
            page = page.add(mark(shape, x(*ms), y, COLOURS[shape], &title));
        }
    }
    Some(page)
}

fn page(title: &str, height: f64) -> Document {
    let white = Rectangle::new()
        .set("width", WIDTH)
        .set("height", pixels(height))
        .set("fill", "white");
    let head = text(title, WIDTH / 2.0, 20.0, "middle").set("font-size", 15);
    Document::new()
        .set("viewBox", (0, 0, WIDTH, pixels(height)))
        .set("role", "img")
        .set("font-family", "sans-serif")
        .set("font-size", 12)
        .add(Title::new(title))
        .add(white)
        .add(head)
}

fn text(words: &str, x: f64, y: f64, anchor: &str) -> Text {
    Text::new(words)
        .set("x", pixels(x))
        .set("y", pixels(y))
        .set("text-anchor", anchor)
        .set("fill", "#222")
}

fn rule(from: (f64, f64), to: (f64, f64)) -> Line {
    Line::new()
        .set("x1", pixels(from.0))
        .set("y1", pixels(from.1))
        .set("x2", pixels(to.0))
        .set("y2", pixels(to.1))
        .set("stroke", "#ccc")
}

/// A dot, a square or a diamond, with a tooltip.
fn mark(shape: usize, x: f64, y: f64, colour: &str, title: &str) -> Group {
    let square = || {
        Rectangle::new()
            .set("x", pixels(x - 4.0))
            .set("y", pixels(y - 4.0))
            .set("width", 8)
            .set("height", 8)
    };
    let (x, y) = (pixels(x), pixels(y));
    let shape: Element = match shape % 3 {
        0 => Circle::new().set("cx", x).set("cy", y).set("r", 4.5).into(),
        1 => square().into(),
        _ => square()
            .set("transform", format!("rotate(45 {x} {y})"))
            .into(),
    };
    Group::new()
        .set("fill", colour)
        .add(Title::new(title))
        .add(shape)
}

/// Where a value lies between two places. A range of one value lies at its beginning.
fn along(value: f64, from: f64, to: f64, begin: f64, end: f64) -> f64 {
    let part = (value - from) / (to - from);
    begin + (end - begin) * if part.is_finite() { part } else { 0.0 }
}

/// The next number that reads well at the end of an axis.
fn round_up(value: f64) -> f64 {
    let unit = 10_f64.powf(value.max(1e-9).log10().floor());
    let steps = [1.0, 2.0, 4.0, 5.0, 8.0, 10.0].map(|step| step * unit);
    let fits = steps.into_iter().find(|step| *step >= value);
    fits.unwrap_or(10.0 * unit)
}

/// Tenths of a pixel are enough, and keep files short.
fn pixels(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measured::{Sample, Unit};

    fn row(entries: Vec<Entry>) -> Measured {
        Measured {
            key: "curve",
            title: "files & <connections>".to_owned(),
            unit: Unit::EachPerSecond("files"),
            entries,
            targets: Vec::new(),
            limit: None,
            note: "",
        }
    }

    fn entry(point: Option<(&'static str, f64)>, figure: f64) -> Entry {
        let sample = Sample {
            figure,
            p50_us: Some(figure),
            p99_us: Some(figure * 2.0),
            max_us: Some(figure * 3.0),
            ..Sample::default()
        };
        Entry {
            name: "nginx".to_owned(),
            driver: String::new(),
            samples: vec![Some(sample)],
            failure: None,
            point,
        }
    }

    #[test]
    fn a_curve_rises_with_its_figures() {
        let entries = vec![
            entry(Some(("nginx", 1.0)), 100.0),
            entry(Some(("nginx", 64.0)), 400.0),
        ];
        let drawn = curves(&row(entries)).expect("there are points").to_string();
        // From the left's lower quarter to the right's top.
        assert!(drawn.contains("150.0,270.0 710.0,60.0"), "{drawn}");
        assert!(drawn.contains("nginx, 64 connections: 400 files/s"));
        assert!(drawn.contains("files &amp; &lt;connections&gt;"), "{drawn}");
    }

    #[test]
    fn latencies_stand_in_their_order_beside_the_target() {
        let drawn = latencies(&row(vec![entry(None, 1000.0)]), 5.0);
        let drawn = drawn.expect("there are latencies").to_string();
        for words in [
            "nginx: median 1.00 ms",
            "nginx: most 3.00 ms",
            "target 5 ms",
        ] {
            assert!(drawn.contains(words), "{words}: {drawn}");
        }
    }

    #[test]
    fn nothing_measured_is_no_chart() {
        assert!(curves(&row(Vec::new())).is_none());
        assert!(latencies(&row(Vec::new()), 5.0).is_none());
    }

    #[test]
    fn an_axis_ends_at_a_round_number() {
        for (value, end) in [(0.9, 1.0), (1.1, 2.0), (37_000.0, 40_000.0), (8.1, 10.0)] {
            assert!((round_up(value) - end).abs() < 1e-9, "{value}");
        }
    }
}
