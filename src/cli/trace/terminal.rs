//! The drawing of a timeline in a terminal: a row for each thing that happened, and beside it, to
//! scale, how long it was waited for.

use super::super::units::show_count;
use super::condense::condensed;
use super::scale::Scale;
use super::timeline::{Mark, Row, Timeline};
use super::words::{shortened, span, with_unit};

/// Rows that are drawn one by one; what is more is drawn together where it falls together.
const ROWS_MOST: usize = 200;
/// Lines that one row's text may have.
const LINES_MOST: usize = 5;
/// The narrowest drawing that can be read.
pub(super) const WIDTH_LEAST: usize = 50;
/// Columns of a row's time, which is right-aligned.
const TIME: usize = 8;
/// The states' colours, as codes that every terminal knows and that its owner has chosen.
const COLOURS: [u8; 12] = [36, 33, 35, 32, 34, 31, 96, 93, 95, 92, 94, 91];
/// Columns that a time needs at the axis, with some room.
const TICK: f64 = 8.0;

/// A piece of text in a state's colour.
type Piece = (String, Option<usize>);

/// Draws a timeline, in so many columns. Colours say which state it is; without them the words do.
pub(super) fn draw(timeline: &Timeline, width: usize, colours: bool) -> String {
    let times: Vec<u64> = timeline.rows.iter().map(|row| row.at_us).collect();
    let width = width.max(WIDTH_LEAST);
    let words = ((width - TIME - 4) * 11 / 20).min(60);
    let drawing = Drawing {
        timeline,
        scale: Scale::of(&times),
        words,
        bars: width - TIME - 4 - words,
        colours,
    };
    drawing.draw()
}

struct Drawing<'a> {
    timeline: &'a Timeline,
    scale: Scale,
    /// Columns of the text.
    words: usize,
    /// Columns of the bars.
    bars: usize,
    colours: bool,
}

impl Drawing<'_> {
    fn draw(&self) -> String {
        let column = |at_us| self.column(at_us) as u64;
        let rows = condensed(&self.timeline.rows, ROWS_MOST, column);
        let mut out = format!("{}\n\n", self.timeline.title());
        out += &self.axis();
        for row in &rows {
            self.row(row, &mut out);
        }
        out.push('\n');
        self.legend(&rows, &mut out);
        out
    }

    fn column(&self, at_us: u64) -> usize {
        self.scale.column(at_us, self.bars)
    }

    /// Times, and a line that marks where they are.
    fn axis(&self) -> String {
        let mut times = String::new();
        let mut line: Vec<char> = vec!['─'; self.bars];
        for piece in self.scale.shortened() {
            line[self.column(piece.from_us)..=self.column(piece.to_us)].fill('≈');
        }
        let mut used = 0;
        for tick in self.scale.ticks(TICK / self.bars as f64) {
            let column = self.column(tick);
            line[column] = '┬';
            let time = span(tick - self.timeline.start_us);
            if column >= used && column + time.chars().count() <= self.bars {
                times += &" ".repeat(column - used);
                times += &time;
                used = column + time.chars().count() + 1;
                times.push(' ');
            }
        }
        let indent = " ".repeat(TIME + 2 + self.words + 2);
        let line: String = line.into_iter().collect();
        format!("{indent}{}\n{indent}{line}\n", times.trim_end())
    }

    fn row(&self, row: &Row, out: &mut String) {
        let time = span(row.at_us - self.timeline.start_us);
        let lines = wrapped(self.text(row), self.words);
        for (index, line) in lines.iter().enumerate() {
            let time = if index == 0 { time.as_str() } else { "" };
            out.push_str(&format!("{time:>TIME$}  "));
            let mut used = 0;
            for (text, state) in line {
                used += text.chars().count();
                self.paint(text, *state, out);
            }
            if index == 0 {
                out.push_str(&" ".repeat((self.words + 2).saturating_sub(used)));
                self.bar(row, out);
            }
            out.push('\n');
        }
    }

    /// The wait, and the mark that ends it.
    fn bar(&self, row: &Row, out: &mut String) {
        let (from, to) = (self.column(row.from_us), self.column(row.at_us));
        out.push_str(&" ".repeat(from));
        let mut bar = vec!['░'; to - from];
        for piece in self.scale.shortened() {
            if piece.from_us >= row.from_us && piece.to_us <= row.at_us {
                let piece = self.column(piece.from_us) - from..self.column(piece.to_us) - from;
                bar[piece].fill('≈');
            }
        }
        bar.push(sign(&row.mark).0);
        self.paint(&bar.into_iter().collect::<String>(), Some(row.state), out);
    }

    /// What a row says.
    fn text(&self, row: &Row) -> Vec<Piece> {
        let name = |state: usize| self.timeline.states.get(state).map_or("", String::as_str);
        let what = match (&row.mark, row.count) {
            (Mark::Connected, _) => "connected".to_owned(),
            (Mark::Read, 1) => format!("read {}", with_unit(row.bytes)),
            (Mark::Read, count) => {
                format!("{}, {}", show_count(count, "read"), with_unit(row.bytes))
            }
            (Mark::Kept, _) => format!("{} read before", with_unit(row.bytes)),
            (Mark::Steps, _) => String::new(),
            (Mark::Sent, _) => format!("sent {}", with_unit(row.bytes)),
            (Mark::End, _) => "the peer ended its stream".to_owned(),
            (Mark::Lost(why), _) => format!("lost: {}", shortened(why, self.words)),
            (Mark::Closed, _) => "closed".to_owned(),
            (Mark::Several, count) => format!("{count} things"),
        };
        let mut pieces = Vec::new();
        if !what.is_empty() {
            let colon = if row.way.is_empty() { "" } else { ":" };
            pieces.push((what + colon, None));
        }
        if row.way.is_empty() && matches!(row.mark, Mark::Sent) {
            pieces.push((format!("(in {})", name(row.state)), Some(row.state)));
        }
        for (index, stop) in row.way.iter().enumerate() {
            if index > 0 {
                pieces.push(("→".to_owned(), None));
            }
            let text = format!("{} {}", name(stop.state), stop.note);
            pieces.push((text.trim_end().to_owned(), Some(stop.state)));
        }
        pieces
    }

    /// What the signs and colours mean.
    fn legend(&self, rows: &[Row], out: &mut String) {
        let mut signs: Vec<Piece> = vec![("░ a wait".to_owned(), None)];
        for row in rows {
            let (sign, meaning) = sign(&row.mark);
            let sign = (format!("{sign} {meaning}"), None);
            if !signs.contains(&sign) {
                signs.push(sign);
            }
        }
        let column = self.scale.us_in(1.0 / (self.bars - 1) as f64);
        signs.push((format!("1 column: {}", span(column)), None));
        if self.colours {
            let states = self.timeline.states.iter().take(COLOURS.len()).enumerate();
            signs.extend(states.map(|(state, name)| (format!("█ {name}"), Some(state))));
        }
        for (text, _) in &mut signs {
            text.push_str("  ");
        }
        for line in wrapped(signs, TIME + self.words + self.bars) {
            for (text, state) in line {
                self.paint(&text, state, out);
            }
            out.push('\n');
        }
        for piece in self.scale.shortened() {
            let wait = span(piece.to_us - piece.from_us);
            out.push_str(&format!("≈ a wait of {wait}, not to scale\n"));
        }
        let all = self.timeline.rows.len();
        if rows.len() < all {
            let drawn = rows.len();
            out.push_str(&format!(
                "{all} things happened; those that fall into one column are drawn as one, {drawn} in all\n"
            ));
        }
    }

    fn paint(&self, text: &str, state: Option<usize>, out: &mut String) {
        match state {
            Some(state) if self.colours => {
                let colour = COLOURS[state % COLOURS.len()];
                out.push_str(&format!("\x1b[{colour}m{text}\x1b[0m"));
            }
            _ => out.push_str(text),
        }
    }
}

/// How a row is marked, and what that means.
fn sign(mark: &Mark) -> (char, &'static str) {
    match mark {
        Mark::Connected => ('○', "connected"),
        Mark::Read => ('█', "a read"),
        Mark::Kept => ('▒', "bytes read before"),
        Mark::Steps => ('◆', "a step by itself"),
        Mark::Sent => ('◂', "sent"),
        Mark::End => ('┤', "the peer's end"),
        Mark::Lost(_) => ('×', "lost"),
        Mark::Closed => ('●', "closed"),
        Mark::Several => ('▓', "several things"),
    }
}

/// Pieces on lines of so many columns, with a space between them. What is too much is left out.
fn wrapped(pieces: Vec<Piece>, width: usize) -> Vec<Vec<Piece>> {
    let mut lines = Vec::new();
    let mut line: Vec<Piece> = Vec::new();
    let mut used = 0;
    for (text, state) in pieces {
        let text = shortened(&text, width - 2);
        let long = text.chars().count();
        // An arrow goes with what it leads to, so it needs room for something more.
        let needed = if text == "→" { long + 8 } else { long };
        if used > 0 && used + 1 + needed > width {
            if lines.len() + 1 == LINES_MOST {
                line.push((" …".to_owned(), None));
                break;
            }
            // What follows belongs to the row above.
            trim_end(&mut line);
            lines.push(std::mem::replace(&mut line, vec![(" ".to_owned(), None)]));
            used = 1;
        }
        if used > 0 {
            line.push((" ".to_owned(), None));
            used += 1;
        }
        used += long;
        line.push((text, state));
    }
    trim_end(&mut line);
    lines.push(line);
    lines
}

fn trim_end(line: &mut [Piece]) {
    if let Some((text, _)) = line.last_mut() {
        text.truncate(text.trim_end().len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use piecemeal::observe::trace::{Record, What};

    fn dribbled(gap_us: u64, last_us: u64) -> Timeline {
        let mut records = Vec::new();
        let mut tell = |at_us, what| {
            records.push(Record {
                at_us,
                connection: 1,
                what,
            });
        };
        for have in 1..=4 {
            let at_us = have * gap_us;
            tell(at_us, What::Read { bytes: 1 });
            let state = "Read".into();
            let need = Some(4);
            tell(
                at_us,
                What::Stands {
                    state,
                    took: 1,
                    have,
                    need,
                },
            );
        }
        tell(4 * gap_us + last_us, What::Closed);
        Timeline::of(&records)
    }

    #[test]
    fn a_wait_is_as_long_as_its_time_and_a_row_as_wide_as_was_asked() {
        for width in [50, 80, 131] {
            let drawn = draw(&dribbled(100, 300), width, false);
            let rows = drawn.lines().skip(2);
            let rows: Vec<&str> = rows.take_while(|line| !line.is_empty()).collect();
            let narrow = |line: &&&str| line.chars().count() <= width;
            assert_eq!(rows.iter().filter(narrow).count(), rows.len(), "{drawn}");
            let marked = rows.iter().filter(|line| line.contains(['█', '●']));
            let waits: Vec<usize> = marked.map(|line| line.matches('░').count()).collect();
            // The first read begins the drawing. The last wait is three times as long.
            assert_eq!(waits[0], 0, "{drawn}");
            assert!(waits[1].abs_diff(waits[2]) <= 1 && waits[1] > 1, "{drawn}");
            assert!(waits[4].abs_diff(3 * waits[1]) <= 3, "{drawn}");
        }
    }

    #[test]
    fn a_wait_that_is_not_to_scale_says_so() {
        let drawn = draw(&dribbled(100_000, 60_000_000), 80, false);
        assert!(
            drawn.contains("≈ a wait of 60.0 s, not to scale"),
            "{drawn}"
        );
        assert!(!draw(&dribbled(100_000, 100_000), 80, false).contains('≈'));
    }

    #[test]
    fn colours_add_nothing_but_colours() {
        let timeline = dribbled(100, 100);
        let (plain, coloured) = (draw(&timeline, 90, false), draw(&timeline, 90, true));
        assert!(
            coloured.contains("\x1b[36mRead 1 of 4\x1b[0m"),
            "{coloured:?}"
        );
        let mut without = coloured.replace("\x1b[36m", "").replace("\x1b[0m", "");
        without = without.replace("\n  █ Read", "");
        assert!(without.starts_with(plain.trim_end().split("░ a wait").next().expect("text")));
    }
}
