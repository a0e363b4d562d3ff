//! A trace and a journal: lines that a server wrote, or somebody who wasn't it.
//!
//! What is read as a trace is drawn, in any width, in a terminal and as SVG: every line is plain,
//! and no number is too large for it. What is no trace is refused in one plain line. The product's
//! own sources are taken in here, since the program that draws is no library.

use std::borrow::Cow;

use piecemeal::observe::trace::{Record, What};
use piecemeal::proto::Digest;
use piecemeal::proto::text::{escaped, is_plain};
use piecemeal::store::journal::Entry;
use piecemeal::store::journal::entry::Misread;

use super::input::Input;
use super::plain::{assert_line, assert_lines};

#[path = "../../src/cli/trace/condense.rs"]
mod condense;
#[path = "../../src/cli/trace/read.rs"]
mod read;
#[path = "../../src/cli/trace/scale.rs"]
mod scale;
#[path = "../../src/cli/trace/shapes.rs"]
mod shapes;
#[allow(dead_code, reason = "it is drawn, and written nowhere")]
#[path = "../../src/cli/trace/svg.rs"]
mod svg;
#[path = "../../src/cli/trace/terminal.rs"]
mod terminal;
#[path = "../../src/cli/trace/timeline.rs"]
mod timeline;
#[path = "../../src/cli/trace/words.rs"]
mod words;

use read::Trace;
use timeline::Timeline;

/// Tries one input: what its first byte says, with the rest.
pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    match input.byte() % 8 {
        0..=2 => any_trace(&mut input),
        3 => trace(&mut input),
        4 => record(&mut input),
        5 | 6 => any_entry(&String::from_utf8_lossy(input.rest())),
        _ => entry(&mut input),
    }
}

/// Any bytes, read as a trace.
fn any_trace(input: &mut Input<'_>) {
    let width = input.byte();
    let bytes = input.rest();
    match Trace::read(bytes) {
        Ok(trace) => draw(&trace, width),
        // As the program prints it.
        Err(why) => assert_line(&why),
    }
}

/// What was read is whole, and can be drawn.
fn draw(trace: &Trace, width: u8) {
    let busiest = trace.busiest().expect("a trace has a connection");
    let most = trace.connections[&busiest].len();
    assert!(
        trace
            .connections
            .values()
            .all(|records| records.len() <= most)
    );
    let numbers = trace.numbers(None);
    assert_line(&numbers);
    assert_eq!(numbers.split(", ").count(), trace.connections.len().min(10));
    for (number, records) in &trace.connections {
        for record in records {
            assert_eq!(record.connection, *number);
            assert_line(&record.to_string());
            assert_eq!(
                Record::from_json(record.to_json().as_bytes()).as_ref(),
                Ok(record)
            );
        }
        let timeline = Timeline::of(records);
        let width = 50 + usize::from(width);
        let drawn = terminal::draw(&timeline, width, false);
        assert_lines(&drawn);
        assert!(
            drawn
                .lines()
                .all(|line| line.chars().count() <= width + 512)
        );
        let coloured = terminal::draw(&timeline, width, true);
        assert!(
            coloured
                .chars()
                .all(|c| matches!(c, '\n' | '\x1b') || is_plain(c))
        );
        if width % 4 == 0 {
            let drawn = svg::draw(&timeline).to_string();
            assert!(drawn.ends_with("</svg>"));
            // Numbers stand in attributes; a state's name may be any word.
            assert!(!drawn.contains("=\"NaN") && !drawn.contains("=\"inf"));
        }
    }
}

fn any_word(input: &mut Input<'_>) -> Cow<'static, str> {
    match input.byte() % 8 {
        0 => "ReadType".into(),
        1 => "ReadLen".into(),
        2 => "ReadBody".into(),
        _ => {
            let word: String = input.text().chars().filter(|c| is_plain(*c)).collect();
            word.into()
        }
    }
}

/// Any record that a server may write.
fn any_record(input: &mut Input<'_>, at_us: u64) -> Record {
    let how = input.byte();
    let what = match how % 12 {
        0 => What::Connected {
            peer: any_word(input),
        },
        1 | 2 => What::Read {
            bytes: input.large(),
        },
        3 | 4 => What::Stands {
            state: any_word(input),
            took: input.large(),
            have: input.large(),
            need: (how & 16 == 16).then(|| input.large()),
        },
        5..=7 => What::Step {
            from: any_word(input),
            cause: any_word(input),
            to: any_word(input),
        },
        8 => What::Sent {
            bytes: input.large(),
        },
        9 => What::End,
        10 => What::Lost {
            why: any_word(input),
        },
        _ => What::Closed,
    };
    Record {
        at_us,
        connection: u64::from(how >> 6),
        what,
    }
}

/// Any records, written down and read.
fn trace(input: &mut Input<'_>) {
    let (width, cut) = (input.byte(), input.byte());
    let mut at_us = 0_u64;
    let mut written = String::new();
    let mut records = 0;
    while !input.is_empty() && records < 32 {
        let passed = input.large();
        at_us = at_us.saturating_add(if passed >> 50 > 0 {
            passed
        } else {
            passed >> 8
        });
        written += &any_record(input, at_us).to_json();
        written.push('\n');
        records += 1;
    }
    let whole = Trace::read(written.as_bytes());
    let count = |trace: &Trace| trace.connections.values().map(Vec::len).sum::<usize>();
    match whole {
        Ok(trace) => {
            assert_eq!((count(&trace), trace.is_cut_off), (records, false));
            draw(&trace, width);
        }
        Err(why) => assert_eq!(records, 0, "{why}"),
    }
    // A server that is killed leaves half a record, which costs no other.
    let kept = written.len().saturating_sub(usize::from(cut));
    if let Ok(trace) = Trace::read(&written.as_bytes()[..kept]) {
        let lines = written.as_bytes()[..kept].iter().filter(|b| **b == b'\n');
        let lines = lines.count();
        assert!((lines..=lines + 1).contains(&count(&trace)));
    }
}

/// A record reads back, whatever is in it.
fn record(input: &mut Input<'_>) {
    let at_us = input.large();
    let record = any_record(input, at_us);
    assert_line(&record.to_string());
    let json = record.to_json();
    assert_line(&json);
    assert_eq!(Record::from_json(json.as_bytes()), Ok(record));
}

/// Any text as a line of a journal.
fn any_entry(line: &str) {
    match Entry::parse(line) {
        Ok(entry) => {
            let mut lines = String::new();
            entry.write(&mut lines);
            assert_eq!(Entry::parse(&lines).as_ref(), Ok(&entry));
            let _ = entry.digest();
        }
        Err(Misread::Torn) => {}
        Err(Misread::Malformed(why)) => assert!(!why.is_empty()),
    }
}

/// An entry is a line that reads back, and half of it is torn.
fn entry(input: &mut Input<'_>) {
    let (how, cut) = (input.byte(), input.count());
    let digest = Digest([input.byte(); 32]).to_string();
    let entry = Entry {
        time: input.text().into(),
        name: input.text().into(),
        size: input.large(),
        blake3: (how & 1 == 1).then(|| digest.into()),
        durable: how & 2 == 2,
        peer: (how & 4 == 4).then(|| input.text().into()),
        to: (how & 8 == 8).then(|| escaped(input.piece()).to_string().into()),
        found: how & 16 == 16,
    };
    let mut line = String::new();
    entry.write(&mut line);
    assert_eq!(line.matches('\n').count(), 1);
    assert_eq!(Entry::parse(&line).as_ref(), Ok(&entry));
    assert_eq!(entry.digest().is_some(), how & 1 == 1);
    let whole = line.trim_end().len();
    let (cut, is_cut) = (cut.min(whole), cut < whole);
    if let Some(half) = line.get(..cut)
        && is_cut
    {
        assert_eq!(Entry::parse(half), Err(Misread::Torn));
    }
}
