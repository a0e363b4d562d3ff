//! The shapes that the SVG is made of, and how they look on a bright page and on a dark one.

use svg::node::element::{Line, Rectangle, Style, Text, Title};

/// The states' colours: bright enough for a dark page, dark enough for a bright one, and easy to
/// tell apart for most eyes (Paul Tol's bright and vibrant schemes).
const COLOURS: [&str; 10] = [
    "#4477aa", "#ee7733", "#228833", "#aa3377", "#ccbb44", "#33bbee", "#cc3311", "#009988",
    "#ee6677", "#888888",
];

const STYLE: &str = "
text { font: 12px system-ui, sans-serif; fill: #222222; }
.heading { font-size: 15px; font-weight: 600; }
.small { font-size: 10.5px; }
.page { fill: #ffffff; }
.lane { stroke: #cccccc; }
.grid { stroke: #e4e4e4; }
.gap { fill: #999999; fill-opacity: 0.15; }
.mark { stroke: #222222; stroke-opacity: 0.45; stroke-dasharray: 3 3; }
.sent { fill: #777777; }
@media (prefers-color-scheme: dark) {
  text { fill: #e4e4e4; }
  .page { fill: #16181c; }
  .lane { stroke: #55585e; }
  .grid { stroke: #2c2f35; }
  .mark { stroke: #e4e4e4; }
  .sent { fill: #a0a0a0; }
}
";

/// How everything looks.
pub(super) fn style() -> Style {
    let mut style = STYLE.to_owned();
    for (state, colour) in COLOURS.iter().enumerate() {
        style += &format!(".s{state} {{ fill: {colour}; }}\n");
    }
    Style::new(style)
}

/// The class of what has a state's colour.
pub(super) fn colour(state: usize) -> String {
    format!("s{}", state % COLOURS.len())
}

/// Whole tenths: what is finer only makes the file longer.
pub(super) fn pixels(length: f64) -> f64 {
    (length * 10.0).round() / 10.0
}

pub(super) fn text(x: f64, y: f64, content: &str) -> Text {
    Text::new(content).set("x", pixels(x)).set("y", pixels(y))
}

pub(super) fn line(from: (f64, f64), to: (f64, f64), class: &str) -> Line {
    Line::new()
        .set("class", class)
        .set("x1", pixels(from.0))
        .set("y1", pixels(from.1))
        .set("x2", pixels(to.0))
        .set("y2", pixels(to.1))
}

pub(super) fn rectangle(at: (f64, f64), size: (f64, f64)) -> Rectangle {
    Rectangle::new()
        .set("x", pixels(at.0))
        .set("y", pixels(at.1))
        .set("width", pixels(size.0))
        .set("height", pixels(size.1))
}

pub(super) fn with_tooltip(shape: Rectangle, tooltip: &str) -> Rectangle {
    shape.add(Title::new(tooltip))
}
