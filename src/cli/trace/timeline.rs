//! One connection's records as what is drawn of them: rows, each with the wait before it, and the
//! time that each state lasted.

use piecemeal::observe::trace::{Record, What};

use crate::cli::units::{show_count, show_size};

/// More characters of a name are not shown.
const NAME_MOST: usize = 24;

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
            self.states.push(name);
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

    /// The rows, but no more than about `most` of them: neighbours that fall into one column are
    /// drawn as one, reads in one state first and then whatever there is.
    pub(super) fn condensed(&self, most: usize, column: impl Fn(u64) -> usize) -> Vec<Row> {
        let mut rows = self.rows.clone();
        if rows.len() > most {
            rows = merge(rows, &column, |a, b| {
                let same = a.mark == Mark::Read && b.mark == Mark::Read && a.state == b.state;
                same && a.way.len() <= 1 && b.way.len() <= 1
            });
        }
        if rows.len() > most {
            rows = merge(rows, &column, |_, _| true);
        }
        rows
    }
}

fn merge(
    rows: Vec<Row>,
    column: &impl Fn(u64) -> usize,
    fit: impl Fn(&Row, &Row) -> bool,
) -> Vec<Row> {
    let mut merged: Vec<Row> = Vec::new();
    for row in rows {
        match merged.last_mut() {
            Some(last) if column(last.at_us) == column(row.at_us) && fit(last, &row) => {
                if last.mark != row.mark {
                    last.mark = Mark::Several;
                }
                last.at_us = row.at_us;
                last.count = last.count.saturating_add(row.count);
                last.bytes = last.bytes.saturating_add(row.bytes);
                if last.mark == Mark::Several {
                    // Where it ended is as much as a line can say.
                    last.way.truncate(1);
                    last.way.extend(row.way.into_iter().next_back());
                } else {
                    last.way = row.way;
                }
            }
            _ => merged.push(row),
        }
    }
    merged
}

/// A number of bytes, exact where it is short.
pub(super) fn amount(bytes: u64) -> String {
    if bytes < 100_000 {
        bytes.to_string()
    } else {
        show_size(bytes)
    }
}

/// The same with a unit.
pub(super) fn with_unit(bytes: u64) -> String {
    match bytes {
        100_000.. => show_size(bytes),
        _ => show_count(bytes, "byte"),
    }
}

/// A time span for people, to three digits or so.
pub(super) fn span(us: u64) -> String {
    // Only to be read: nobody misses what a float can't tell apart.
    let us = us as f64;
    match us {
        0.0 => "0".to_owned(),
        ..1e3 => format!("{us} µs"),
        ..1e4 => format!("{:.2} ms", us / 1e3),
        ..1e6 => format!("{:.0} ms", us / 1e3),
        ..1e7 => format!("{:.2} s", us / 1e6),
        ..6e8 => format!("{:.1} s", us / 1e6),
        _ => format!("{:.0} s", us / 1e6),
    }
}

/// A text in no more than so many characters.
pub(super) fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    kept + "…"
}
