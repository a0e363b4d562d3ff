//! A trace's file as records. What is in it may be anything: it is bounded, and errors say where.

use std::collections::BTreeMap;
use std::io::{BufRead, Read};

use piecemeal::observe::trace::{Record, What};

/// Longest line: a record with three strings of the longest, escaped throughout.
const LINE_MOST: u64 = 32 << 10;

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct Trace {
    /// Each connection's records, in their order.
    pub(super) connections: BTreeMap<u64, Vec<Record>>,
    /// Records that the server could not write.
    pub(super) missing: u64,
    /// Whether the last line is half a record.
    pub(super) is_cut_off: bool,
}

impl Trace {
    /// Reads all that there is.
    ///
    /// # Errors
    /// A text for people, with the line's number, where it is no trace.
    pub(super) fn read(mut from: impl BufRead) -> Result<Trace, String> {
        let mut trace = Trace::default();
        let mut line = Vec::new();
        let mut last_us = 0;
        for number in 1.. {
            line.clear();
            let got = from.by_ref().take(LINE_MOST).read_until(b'\n', &mut line);
            let got = got.map_err(|error| format!("line {number} can't be read: {error}"))?;
            if got == 0 {
                break;
            }
            let is_whole = line.ends_with(b"\n");
            if !is_whole && got as u64 == LINE_MOST {
                return Err(format!(
                    "line {number} is longer than any record{WHAT_WORKS}"
                ));
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            let record = match Record::from_json(&line) {
                Ok(record) => record,
                Err(_) if !is_whole && !trace.connections.is_empty() => {
                    trace.is_cut_off = true;
                    break;
                }
                Err(why) => {
                    return Err(format!(
                        "line {number} is no record of a trace: {why}{WHAT_WORKS}"
                    ));
                }
            };
            if record.at_us < last_us {
                return Err(format!(
                    "line {number} is earlier than the line before it: are these several traces in \
                     one file? Draw each by itself"
                ));
            }
            last_us = record.at_us;
            trace.add(record);
        }
        if trace.connections.is_empty() {
            return Err(format!("no connection is in it{WHAT_WORKS}"));
        }
        Ok(trace)
    }

    fn add(&mut self, record: Record) {
        if let What::Missing { records } = record.what {
            self.missing = self.missing.saturating_add(records);
        } else {
            let records = self.connections.entry(record.connection);
            records.or_default().push(record);
        }
    }

    /// The connection that most was told of; the first of them, where there are several.
    pub(super) fn busiest(&self) -> Option<u64> {
        let counts = self.connections.iter();
        let most =
            counts.max_by_key(|(number, records)| (records.len(), std::cmp::Reverse(*number)));
        most.map(|(number, _)| *number)
    }

    /// Some of the connections' numbers, for people: those that most was told of.
    pub(super) fn numbers(&self, except: Option<u64>) -> String {
        const SHOWN: usize = 10;
        let others = self.connections.iter();
        let mut others: Vec<_> = others
            .filter(|(number, _)| Some(**number) != except)
            .collect();
        others.sort_by_key(|(number, records)| (std::cmp::Reverse(records.len()), **number));
        let mut shown: Vec<u64> = others
            .iter()
            .take(SHOWN)
            .map(|(number, _)| **number)
            .collect();
        shown.sort_unstable();
        let shown: Vec<String> = shown.iter().map(u64::to_string).collect();
        let more = match others.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        shown.join(", ") + &more
    }
}

/// How errors end.
const WHAT_WORKS: &str = "; a trace is what `piecemeal serve --trace-file FILE` writes";

#[cfg(test)]
mod tests {
    use super::*;

    fn end(at_us: u64, connection: u64) -> String {
        let what = What::End;
        let record = Record {
            at_us,
            connection,
            what,
        };
        record.to_json() + "\n"
    }

    #[test]
    fn the_connection_that_most_is_told_of_comes_first_and_the_others_are_named() {
        let text: String = [end(1, 1), end(2, 2), end(2, 3), end(3, 2), end(4, 3)].concat();
        let trace = Trace::read(text.as_bytes()).expect("a trace");
        assert_eq!(trace.busiest(), Some(2));
        assert_eq!(trace.numbers(Some(2)), "1, 3");
        let many: String = (1..=12).map(|number| end(number, number)).collect();
        let trace = Trace::read(many.as_bytes()).expect("a trace");
        assert_eq!(
            trace.numbers(Some(1)),
            "2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 1 more"
        );
    }

    #[test]
    fn half_a_record_at_the_end_is_what_a_killed_server_leaves() {
        let whole = end(1, 1);
        for cut in 1..whole.len() - 1 {
            let trace = Trace::read([&whole, &whole[..cut]].concat().as_bytes());
            assert!(trace.expect("a trace").is_cut_off, "{cut}");
        }
        assert!(
            Trace::read(&whole.as_bytes()[..10]).is_err(),
            "nothing else is there"
        );
    }

    #[test]
    fn an_error_says_which_line_it_is_and_why() {
        let long = format!("{}{}", end(1, 1), "x".repeat(1 << 20));
        for (text, says) in [
            (&b""[..], "no connection is in it"),
            (b"\n\n", "no connection is in it"),
            (b"stored a.txt\n", "line 1 is no record"),
            (b"\xff\xfe\n", "line 1 is no record"),
            (
                [end(1, 1).as_bytes(), b"{}\n"].concat().leak(),
                "line 2 is no record",
            ),
            (
                [end(2, 1), end(1, 1)].concat().leak().as_bytes(),
                "line 2 is earlier",
            ),
            (long.as_bytes(), "line 2 is longer"),
        ] {
            let error = Trace::read(text).expect_err("it is no trace");
            assert!(error.starts_with(says), "{error}");
        }
    }
}
