//! The drawing of a timeline as SVG, for a browser: a lane with a row for each state, one for what
//! was read, one for what was sent; tooltips say the rest.
//!
//! A state is told by its row as well as by its colour, so that nothing is lost in print. What
//! falls together is drawn as one, so that a file is small however much has happened.

use std::io;
use std::path::Path;

use svg::Document;
use svg::node::element::{Group, Rectangle, Text, Title};

use super::scale::Scale;
use super::shapes::{colour, line, pixels, rectangle, style, text, with_tooltip};
use super::timeline::{Mark, Row, Timeline};
use super::words::{amount, span, with_unit};

/// The drawing's size, in pixels, and where the axis of time begins and ends.
const WIDTH: f64 = 1200.0;
const LEFT: f64 = 170.0;
const RIGHT: f64 = 1170.0;
/// Where the axis is, and the height of the lanes below it.
const AXIS: f64 = 76.0;
const STATE: f64 = 24.0;
const BYTES: f64 = 76.0;
/// The least width of a span and of a bar, so that the shortest is seen.
const SPAN_LEAST: f64 = 2.0;
const BAR: f64 = 3.0;
/// States that have a row of their own; further ones share the last.
const STATES_MOST: usize = 24;
/// The part of the axis between two times that are written at it.
const TICK: f64 = 0.09;
/// A character of the small text is about so wide.
const CHARACTER: f64 = 6.2;

/// Writes the drawing to a file.
pub(super) fn write(timeline: &Timeline, path: &Path) -> io::Result<()> {
    svg::save(path, &draw(timeline))
}

pub(super) fn draw(timeline: &Timeline) -> Document {
    let times: Vec<u64> = timeline.rows.iter().map(|row| row.at_us).collect();
    let rows = timeline.states.len().min(STATES_MOST);
    let reads = AXIS + 10.0 + STATE * rows as f64 + 10.0;
    let sent = reads + BYTES;
    let drawing = Drawing {
        timeline,
        scale: Scale::of(&times),
        reads,
        sent,
        marks: sent + BYTES,
        height: sent + BYTES + 62.0,
    };
    drawing.document()
}

struct Drawing<'a> {
    timeline: &'a Timeline,
    scale: Scale,
    /// The tops of the lanes below the states.
    reads: f64,
    sent: f64,
    marks: f64,
    height: f64,
}

impl Drawing<'_> {
    fn document(&self) -> Document {
        let title = self.timeline.title();
        let page = Rectangle::new()
            .set("class", "page")
            .set("width", WIDTH)
            .set("height", pixels(self.height));
        Document::new()
            .set("viewBox", (0, 0, WIDTH, pixels(self.height)))
            .set("width", WIDTH)
            .set("height", pixels(self.height))
            .set("role", "img")
            .add(Title::new(title.as_str()))
            .add(style())
            .add(page)
            .add(text(20.0, 30.0, &title).set("class", "heading"))
            .add(self.axis())
            .add(self.states())
            .add(self.bytes(Mark::Read, "read", self.reads))
            .add(self.bytes(Mark::Sent, "sent", self.sent))
            .add(self.marks())
            .add(self.note())
    }

    /// What the drawing can't say by itself.
    fn note(&self) -> Text {
        let mut note = "The heights of bars are logarithmic.".to_owned();
        if self.scale.shortened().next().is_some() {
            note += " Grey waits are not to scale: ≈ says how long they are.";
        }
        text(20.0, self.height - 10.0, &note).set("class", "small")
    }

    fn x(&self, at_us: u64) -> f64 {
        LEFT + (RIGHT - LEFT) * self.scale.place(at_us)
    }

    fn since_start(&self, at_us: u64) -> String {
        span(at_us - self.timeline.start_us)
    }

    /// Times, and the waits that are not to scale.
    fn axis(&self) -> Group {
        let mut group = Group::new();
        for tick in self.scale.ticks(TICK) {
            let x = self.x(tick);
            let label = text(x, AXIS - 8.0, &self.since_start(tick));
            group = group
                .add(line((x, AXIS), (x, self.marks), "grid"))
                .add(label.set("class", "small").set("text-anchor", "middle"));
        }
        for piece in self.scale.shortened() {
            let (from, to) = (self.x(piece.from_us), self.x(piece.to_us));
            let wait = span(piece.to_us - piece.from_us);
            let band = rectangle((from, AXIS), (to - from, self.marks - AXIS));
            let label = text((from + to) / 2.0, AXIS - 22.0, &format!("≈ {wait}"));
            group = group
                .add(with_tooltip(
                    band.set("class", "gap"),
                    &format!("a wait of {wait}, not to scale"),
                ))
                .add(label.set("class", "small").set("text-anchor", "middle"));
        }
        group.add(line((LEFT, AXIS), (RIGHT, AXIS), "lane"))
    }

    /// A row for each state, and in it when the machine was there.
    fn states(&self) -> Group {
        let mut group = Group::new();
        let count = self.timeline.states.len();
        for row in 0..count.min(STATES_MOST) {
            let is_last = row + 1 == STATES_MOST;
            let shares = is_last && count > STATES_MOST;
            let name = match &self.timeline.states[row] {
                _ if shares => format!("{} others", count - row),
                name => name.clone(),
            };
            let top = AXIS + 10.0 + STATE * row as f64;
            group = group.add(text(LEFT - 12.0, top + 16.0, &name).set("text-anchor", "end"));
            let mut runs: Vec<Run> = Vec::new();
            let spans = self.timeline.spans.iter();
            for span in spans.filter(|span| span.state == row || shares && span.state > row) {
                let (from, to) = (self.x(span.from_us), self.x(span.to_us));
                let to = to.max(from + SPAN_LEAST);
                let lasted_us = span.to_us - span.from_us;
                match runs.last_mut() {
                    Some(last) if from < last.to + 1.0 => {
                        last.to = to.max(last.to);
                        last.count += 1;
                        last.lasted_us += lasted_us;
                    }
                    _ => runs.push(Run {
                        from,
                        to,
                        from_us: span.from_us,
                        count: 1,
                        lasted_us,
                    }),
                }
            }
            for run in runs {
                let (lasted, from) = (span(run.lasted_us), self.since_start(run.from_us));
                let tooltip = match run.count {
                    1 => format!("{name}: {lasted}, from {from} on"),
                    count => format!("{name}: {count} times, {lasted} in all, from {from} on"),
                };
                let shape = rectangle((run.from, top + 3.0), (run.to - run.from, STATE - 6.0))
                    .set("class", colour(row))
                    .set("rx", 2);
                group = group.add(with_tooltip(shape, &tooltip));
            }
        }
        group
    }

    /// A lane of bars, whose heights go with the logarithm of the bytes.
    fn bytes(&self, mark: Mark, name: &str, top: f64) -> Group {
        let base = top + BYTES - 10.0;
        let mut group = Group::new()
            .add(line((LEFT, base), (RIGHT, base), "lane"))
            .add(text(LEFT - 12.0, base - 4.0, name).set("text-anchor", "end"));
        let mut bars: Vec<Row> = Vec::new();
        for row in self.timeline.rows.iter().filter(|row| row.mark == mark) {
            match bars.last_mut() {
                Some(last) if self.x(row.at_us) - self.x(last.at_us) < BAR + 0.5 => {
                    last.count += 1;
                    last.bytes = last.bytes.saturating_add(row.bytes);
                }
                _ => bars.push(row.clone()),
            }
        }
        let most = bars.iter().map(|bar| bar.bytes).max().unwrap_or(0);
        let scale = |bytes: u64| (bytes as f64).ln_1p() / (most as f64).ln_1p().max(1.0);
        let mut labelled_to = 0.0;
        for bar in &bars {
            let x = self.x(bar.at_us);
            let height = 6.0 + (BYTES - 34.0) * scale(bar.bytes);
            let class = match mark {
                Mark::Read => colour(bar.state.min(STATES_MOST - 1)),
                _ => "sent".to_owned(),
            };
            let shape =
                rectangle((x - BAR / 2.0, base - height), (BAR, height)).set("class", class);
            group = group.add(with_tooltip(shape, &self.tooltip(bar, name)));
            let label = amount(bar.bytes);
            let half = CHARACTER * label.chars().count() as f64 / 2.0;
            if x - half > labelled_to + 3.0 {
                labelled_to = x + half;
                let label = text(x, base - height - 4.0, &label);
                group = group.add(label.set("class", "small").set("text-anchor", "middle"));
            }
        }
        group
    }

    fn tooltip(&self, bar: &Row, name: &str) -> String {
        let (at, bytes) = (self.since_start(bar.at_us), with_unit(bar.bytes));
        if bar.count > 1 {
            return format!("{name} {bytes}, {} times, from {at} on", bar.count);
        }
        // One read may hold a great many messages.
        let way = bar.way.iter().take(8).map(|stop| {
            let name = &self.timeline.states[stop.state];
            format!("{name} {}", stop.note).trim_end().to_owned()
        });
        let way: Vec<String> = way.collect();
        let more = if bar.way.len() > 8 { " → …" } else { "" };
        format!("{name} {bytes} at {at}\n{}{more}", way.join(" → "))
    }

    /// How it began and ended.
    fn marks(&self) -> Group {
        let mut group = Group::new();
        let mut labelled_to = 0.0;
        let mut bottom = self.marks + 14.0;
        for row in &self.timeline.rows {
            let label = match &row.mark {
                Mark::Connected => "connected".to_owned(),
                Mark::End => "end of the peer's stream".to_owned(),
                Mark::Lost(why) => format!("lost: {why}"),
                Mark::Closed => "closed".to_owned(),
                _ => continue,
            };
            let x = self.x(row.at_us);
            let long = CHARACTER * label.chars().count() as f64;
            // Text goes towards the middle, and one line lower where the first one is taken.
            let (from, anchor) = match x > (LEFT + RIGHT) / 2.0 {
                true => (x - long, "end"),
                false => (x, "start"),
            };
            bottom = if from < labelled_to && bottom < self.marks + 20.0 {
                self.marks + 28.0
            } else {
                self.marks + 14.0
            };
            labelled_to = from + long;
            let label = text(x, bottom, &label)
                .set("class", "small")
                .set("text-anchor", anchor);
            let tooltip = self.since_start(row.at_us);
            let shape = line((x, AXIS), (x, self.marks + 4.0), "mark").add(Title::new(tooltip));
            group = group.add(shape).add(label);
        }
        group
    }
}

/// Times in one state that are drawn as one.
struct Run {
    from: f64,
    to: f64,
    from_us: u64,
    count: u64,
    lasted_us: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use piecemeal::observe::trace::{Record, What};

    /// So many reads of one byte each, a millisecond apart.
    fn drawn(reads: u64) -> String {
        let mut records = Vec::new();
        let mut tell = |at_us, what| {
            records.push(Record {
                at_us,
                connection: 1,
                what,
            });
        };
        for have in 1..=reads {
            tell(have * 1000, What::Read { bytes: 1 });
            let (state, need) = ("Rea<d".into(), Some(reads));
            tell(
                have * 1000,
                What::Stands {
                    state,
                    took: 1,
                    have,
                    need,
                },
            );
        }
        tell(reads * 1000 + 500, What::Sent { bytes: 7 });
        draw(&Timeline::of(&records)).to_string()
    }

    #[test]
    fn each_read_is_a_bar_that_says_what_it_was() {
        let svg = drawn(4);
        for have in 1..=4 {
            assert!(svg.contains(&format!("Rea&lt;d {have} of 4")), "{svg}");
        }
        assert_eq!(
            svg.matches("class=\"s0\"").count(),
            1 + 4,
            "one span, four bars"
        );
        assert_eq!(svg.matches("class=\"sent\"").count(), 1);
        assert!(!svg.contains("Rea<d") && !svg.contains("not to scale"));
    }

    #[test]
    fn what_falls_together_is_one_bar_and_the_file_stays_small() {
        let svg = drawn(100_000);
        assert!(svg.len() < 200_000, "{} bytes", svg.len());
        assert!(
            svg.contains("100000 bytes in 100000 reads")
                || svg.contains("97.7 KiB in 100000 reads")
        );
        let counts = svg.match_indices(" times, from ").map(|(at, _)| {
            let before = svg[..at].rsplit(' ').next().expect("a number");
            before.parse::<u64>().expect("a number")
        });
        assert_eq!(counts.sum::<u64>(), 100_000, "every read is in a bar");
    }
}
