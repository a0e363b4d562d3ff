//! One connection's records as what is drawn of them: rows, each with the wait before it, and the
//! time that each state lasted.

use piecemeal::observe::trace::{Record, What};

use super::super::units::show_count;
use super::words::{amount, shortened, span, with_unit};

/// More characters of a name are not shown.
const NAME_MOST: usize = 24;
/// A machine that has more states than this is none of ours: further ones count as one.
const STATES_MOST: usize = 64;

/// What one connection did.
#[derive(Debug)]
pub(super) struct Timeline {
    pub(super) connection: u64,
    pub(super) peer: Option<String>,
    /// The states' names, in the order in which they were first met.
    pub(super) states: Vec<String>,
    /// What happened, in its order.
    pub(super) rows: Vec<Row>,
    /// How long each state lasted, one behind the other without gaps.
    pub(super) spans: Vec<Span>,
    /// The first record's time, and the last's.
    pub(super) start_us: u64,
    pub(super) end_us: u64,
}

/// One thing that happened, and the wait for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// When the wait for it began: at the row before.
    pub(super) from_us: u64,
    pub(super) at_us: u64,
    /// The state that waited.
    pub(super) state: usize,
    pub(super) mark: Mark,
    /// Bytes that were read, used, or sent.
    pub(super) bytes: u64,
    /// Things that are drawn as this one; 1 where it is itself.
    pub(super) count: u64,
    /// The states that it led through.
    pub(super) way: Vec<Stop>,
}

/// A state on the way of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stop {
    pub(super) state: usize,
    /// How many bytes it has of those it needs, where it took some; or why it was entered.
    pub(super) note: String,
}

/// What a row is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Connected,
    Read,
    /// Bytes of an earlier read are used, which the machine could not take then.
    Kept,
    /// Steps that no bytes led to.
    Steps,
    Sent,
    End,
    Lost(String),
    Closed,
    /// Several things, drawn as one.
    Several,
}

/// A state, for as long as it lasted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) state: usize,
    pub(super) from_us: u64,
    pub(super) to_us: u64,
}

impl Timeline {
    /// What a connection's records say. There is at least one.
    pub(super) fn of(records: &[Record]) -> Timeline {
        let (first, last) = (records.first(), records.last());
        let start_us = first.map_or(0, |record| record.at_us);
        let mut timeline = Timeline {
            connection: first.map_or(0, |record| record.connection),
            peer: None,
            states: Vec::new(),
            rows: Vec::new(),
            spans: Vec::new(),
            start_us,
            end_us: last.map_or(start_us, |record| record.at_us),
        };
        // The state before the first record that names one is the one that it names.
        let named = records.iter().find_map(|record| match &record.what {
            What::Stands { state, .. } => Some(state.as_ref()),
            What::Step { from, .. } => Some(from.as_ref()),
            _ => None,
        });
        let mut now = timeline.state(named.unwrap_or("(no state)"));
        let mut since_us = start_us;
        for record in records {
            let before = now;
            now = timeline.add(record, now);
            // A state that is entered anew is a step, but goes on.
            if now != before {
                timeline.spans.push(Span {
                    state: before,
                    from_us: since_us,
                    to_us: record.at_us,
                });
                since_us = record.at_us;
            }
        }
        timeline.spans.push(Span {
            state: now,
            from_us: since_us,
            to_us: timeline.end_us,
        });
        timeline
    }

    /// Adds what a record tells; returns the state that the machine is in behind it.
    fn add(&mut self, record: &Record, now: usize) -> usize {
        let (mark, bytes) = match &record.what {
            What::Connected { peer } => {
                self.peer = Some(peer.to_string());
                (Mark::Connected, 0)
            }
            What::Read { bytes } => (Mark::Read, *bytes),
            What::Sent { bytes } => (Mark::Sent, *bytes),
            What::End => (Mark::End, 0),
            What::Lost { why } => (Mark::Lost(why.to_string()), 0),
            What::Closed => (Mark::Closed, 0),
            What::Missing { .. } => return now,
            What::Stands {
                state,
                took,
                have,
                need,
            } => {
                let state = self.state(state);
                let note = match need {
                    Some(need) => format!("{} of {}", amount(*have), amount(*need)),
                    None => format!("{} so far", amount(*have)),
                };
                let takes = |row: &Row| matches!(row.mark, Mark::Read | Mark::Kept);
                if self.rows.last().is_some_and(|row| !takes(row)) {
                    self.begin_row(record.at_us, now, Mark::Kept, 0);
                }
                let row = self.row_at(record.at_us, now, Mark::Kept);
                if row.mark == Mark::Kept {
                    row.bytes = row.bytes.saturating_add(*took);
                }
                match row.way.last_mut() {
                    Some(last) if last.state == state => last.note = note,
                    _ => row.way.push(Stop { state, note }),
                }
                return state;
            }
            What::Step { from, cause, to } => {
                let (from, to) = (self.state(from), self.state(to));
                let row = self.row_at(record.at_us, now, Mark::Steps);
                if row.way.last().is_none_or(|last| last.state != from) {
                    let note = String::new();
                    row.way.push(Stop { state: from, note });
                }
                // What a read leads to is told by its bytes; why a wait ended is not.
                let note = match row.mark {
                    Mark::Steps => format!("({cause})"),
                    _ => String::new(),
                };
                row.way.push(Stop { state: to, note });
                return to;
            }
        };
        self.begin_row(record.at_us, now, mark, bytes);
        now
    }

    fn begin_row(&mut self, at_us: u64, state: usize, mark: Mark, bytes: u64) {
        self.rows.push(Row {
            from_us: self.rows.last().map_or(self.start_us, |row| row.at_us),
            at_us,
            state,
            mark,
            bytes,
            count: 1,
            way: Vec::new(),
        });
    }

    /// The row that a step belongs to: the last, unless time has passed since.
    fn row_at(&mut self, at_us: u64, state: usize, mark: Mark) -> &mut Row {
        if self.rows.last().is_none_or(|row| row.at_us != at_us) {
            self.begin_row(at_us, state, mark, 0);
        }
        self.rows.last_mut().expect("one was just made")
    }

    fn state(&mut self, name: &str) -> usize {
        let name = shortened(name, NAME_MOST);
        let found = self.states.iter().position(|state| *state == name);
        found.unwrap_or_else(|| {
            match self.states.len() {
                ..STATES_MOST => self.states.push(name),
                STATES_MOST => self.states.push("(another)".to_owned()),
                _ => {}
            }
            self.states.len() - 1
        })
    }

    /// How long it all took.
    pub(super) fn took_us(&self) -> u64 {
        self.end_us - self.start_us
    }

    /// One line about all of it.
    pub(super) fn title(&self) -> String {
        let total = |mark: &Mark| {
            let rows = self.rows.iter().filter(|row| row.mark == *mark);
            rows.fold((0, 0_u64), |(count, bytes), row| {
                (count + row.count, bytes.saturating_add(row.bytes))
            })
        };
        let ((reads, read), (_, sent)) = (total(&Mark::Read), total(&Mark::Sent));
        let peer = self.peer.as_deref().map(|peer| format!(" from {peer}"));
        format!(
            "connection {}{}: {} in {}, {} sent, {}",
            self.connection,
            peer.unwrap_or_default(),
            with_unit(read),
            show_count(reads, "read"),
            with_unit(sent),
            span(self.took_us()),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::condense::condensed;
    use super::*;
    use proptest::prelude::*;

    fn records(what: Vec<(u64, What)>) -> Vec<Record> {
        let records = what.into_iter().map(|(at_us, what)| Record {
            at_us,
            connection: 1,
            what,
        });
        records.collect()
    }

    fn stands(state: &'static str, took: u64, have: u64) -> What {
        What::Stands {
            state: state.into(),
            took,
            have,
            need: Some(4),
        }
    }

    fn step(from: &'static str, to: &'static str) -> What {
        What::Step {
            from: from.into(),
            cause: "Why".into(),
            to: to.into(),
        }
    }

    /// A row as one line.
    fn shown(timeline: &Timeline, row: &Row) -> String {
        let way = row.way.iter().map(|stop| {
            let name = &timeline.states[stop.state];
            format!(" {name} {}", stop.note).trim_end().to_owned()
        });
        let way: String = way.collect();
        let (from, at, mark, count) = (row.from_us, row.at_us, &row.mark, row.count);
        format!("{from}-{at} {mark:?} {count}x {}{way}", row.bytes)
    }

    fn all(timeline: &Timeline, rows: &[Row]) -> Vec<String> {
        rows.iter().map(|row| shown(timeline, row)).collect()
    }

    #[test]
    fn what_a_read_leads_to_stands_in_its_row_and_what_comes_later_in_rows_of_its_own() {
        let timeline = Timeline::of(&records(vec![
            (10, What::Connected { peer: "p".into() }),
            (20, What::Read { bytes: 9 }),
            (20, stands("A", 4, 4)),
            (20, step("A", "B")),
            (20, stands("B", 1, 1)),
            (30, step("B", "A")),
            (30, What::Sent { bytes: 2 }),
            (30, stands("A", 4, 4)),
            (40, What::Closed),
        ]));
        assert_eq!(
            all(&timeline, &timeline.rows),
            [
                "10-10 Connected 1x 0",
                "10-20 Read 1x 9 A 4 of 4 B 1 of 4",
                "20-30 Steps 1x 0 B A (Why)",
                "30-30 Sent 1x 2",
                "30-30 Kept 1x 4 A 4 of 4",
                "30-40 Closed 1x 0",
            ]
        );
        let spans = timeline.spans.iter();
        let spans: Vec<_> = spans.map(|s| (s.state, s.from_us, s.to_us)).collect();
        assert_eq!(spans, [(0, 10, 20), (1, 20, 30), (0, 30, 40)]);
        assert!(timeline.title().contains("9 bytes in 1 read, 2 bytes sent"));
    }

    proptest! {
        /// Whatever happened, the rows and the spans cover the whole time without a gap.
        #[test]
        fn time_is_covered_without_gaps(kinds in prop::collection::vec((0_u64..1000, 0..6), 1..60)) {
            let mut at_us = 0;
            let what = kinds.into_iter().map(|(passed, kind)| {
                at_us += passed;
                let what = match kind {
                    0 => What::Read { bytes: passed },
                    1 => stands("A", passed, passed),
                    2 => step("A", "B"),
                    3 => step("B", "C"),
                    4 => What::Sent { bytes: passed },
                    _ => What::End,
                };
                (at_us, what)
            });
            let timeline = Timeline::of(&records(what.collect()));
            for rows in [timeline.rows.clone(), condensed(&timeline.rows, 1, |at| at / 500)] {
                prop_assert_eq!(rows[0].from_us, timeline.start_us);
                prop_assert!(rows.windows(2).all(|pair| pair[0].at_us == pair[1].from_us));
                prop_assert_eq!(rows[rows.len() - 1].at_us, timeline.end_us);
            }
            let spans = &timeline.spans;
            prop_assert!(spans.windows(2).all(|pair| pair[0].to_us == pair[1].from_us));
            prop_assert_eq!(spans[0].from_us, timeline.start_us);
            prop_assert_eq!(spans[spans.len() - 1].to_us, timeline.end_us);
        }
    }
}
