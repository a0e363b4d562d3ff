//! The lab's checker: what it makes of a server's words, of its console, of its files' names and of
//! the kernel's tables.
//!
//! Whatever a server sends or prints, the report is lines of plain text, as many as it should have,
//! and a document that programs can read. A row of /proc that is laid out as the kernel does says
//! what it was made of, whatever the program is called.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use piecemeal::lab::check::console::{LINE, exception, peer_has_left, tail};
use piecemeal::lab::check::dump::{Field, dump};
use piecemeal::lab::check::folder::Fresh;
use piecemeal::lab::check::proc::text::{Stat, is_runnable, own_memory, row, stat, tree};
use piecemeal::lab::check::report::text::Plain;
use piecemeal::lab::check::report::{json, junit, text};
use piecemeal::lab::check::shown::{number, quoted};
use piecemeal::lab::check::transcript::{Mark, Side, Transcript};
use piecemeal::lab::check::{Checked, Finding, Settings, Tally, Verdict, cases};
use piecemeal::lab::{Grammar, Task};

use super::input::Input;
use super::plain::{assert_line, assert_lines};

/// Tries one input: what its first byte says, with the rest.
pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    match input.byte() % 16 {
        0..=3 => console(&String::from_utf8_lossy(input.rest())),
        4..=6 => rows(&mut input),
        7 => talk(&mut input),
        8 => report(&mut input),
        9 | 10 => file(input.rest()),
        11 | 12 => any_table(&String::from_utf8_lossy(input.rest())),
        13 => tables(&mut input),
        _ => processes(&mut input),
    }
}

/// What a server has printed.
fn console(printed: &str) {
    let shown = tail(printed);
    assert_lines(&shown);
    let lines = shown.matches(LINE).count();
    assert_eq!(lines, printed.lines().count().min(8));
    let found = exception(printed);
    if let Some(line) = &found {
        assert_line(line);
        let _ = peer_has_left(line);
    }
    // A line that names an exception is found behind whatever was printed before.
    let raised = format!("{printed}\nTraceback (most recent call last)\n  in main\nOSError: no");
    assert_eq!(exception(&raised).as_deref(), Some("OSError: no"));
    assert!(exception(&format!("{printed}\nValueError: why")).is_some());
}

/// Rows of hex show the bytes, and no more rows than are meant to.
fn rows(input: &mut Input<'_>) {
    let (start, offset, how) = (input.count(), input.count(), input.byte());
    let names = ["type", "length", "data"];
    let fields: Vec<Field> = (0..how & 3)
        .map(|at| (names[usize::from(at)], input.count()))
        .collect();
    let repeat = 1 + usize::from(how >> 4);
    let bytes = input.rest().repeat(repeat);
    let mark = (how & 4 == 4).then_some((offset, "here"));
    let lines = dump(&bytes, start, &fields, mark);
    for line in &lines {
        assert_line(line);
    }
    let marks = lines.iter().filter(|line| line.ends_with("^^ here"));
    assert_eq!(
        marks.count(),
        usize::from(mark.is_some() && !bytes.is_empty())
    );
    // Three at the start, three around the mark, the last, and two gaps; a field each, and a mark.
    assert!(lines.len() <= 9 + fields.len() + 1, "{lines:?}");
    let first = lines.first().map_or("", String::as_str);
    let hex: Vec<String> = bytes.iter().take(16).map(|b| format!("{b:02x}")).collect();
    assert!(first.contains(&hex.join(" ")), "{first}");
}

/// A talk with a server, in which anything may be said.
fn talk(input: &mut Input<'_>) {
    let mut transcript = Transcript::new("A");
    let mark = (input.byte() & 1 == 1).then(|| {
        let side = [Side::Sent, Side::Received, Side::Stored][input.count() % 3];
        Mark::new(side, input.count(), "here")
    });
    let mut entries = 0;
    while !input.is_empty() && entries < 8 {
        entries += 1;
        match input.byte() % 4 {
            0 => {
                let cuts = [input.count(), input.count()];
                let bytes = input.piece();
                transcript.sent(
                    bytes,
                    vec![("data", bytes.len())],
                    &cuts[..input.count() % 3],
                );
            }
            1 => transcript.received(input.piece()),
            2 => transcript.stored("a.bin", input.large(), input.piece().to_vec()),
            _ => transcript.note(input.text()),
        }
    }
    for line in transcript.lines(mark.as_ref()) {
        assert_line(&line);
    }
}

/// A finding of anything, in every form of report.
fn report(input: &mut Input<'_>) {
    let how = input.byte();
    let said = input.piece();
    let all = cases::of(Task::Six);
    let finding = Finding {
        expected: "OK".to_owned(),
        got: quoted(said),
        state: None,
        mistake: exception(&input.text()),
        // Not even what nobody has escaped comes through.
        talk: vec![quoted(input.piece())],
    };
    let verdict = match how & 3 {
        0 => Verdict::Fail(Box::new(finding)),
        1 => Verdict::Weak(Box::new(finding)),
        _ => Verdict::CantTell(input.text()),
    };
    let checked = Checked {
        case: &all[usize::from(how >> 2) % all.len()],
        verdict,
        took: Duration::from_micros(input.large() >> 12),
    };
    let settings = Settings {
        task: Task::Six,
        grammar: Grammar::ALL[usize::from(how) % 5],
        endpoint: "127.0.0.1:9000".parse().expect("an address"),
        folder: None,
        start: None,
        only: Vec::new(),
        signal: Arc::default(),
    };
    assert_lines(&text::case(&settings, &checked, &Plain));
    let mut tally = Tally::default();
    tally.count(&checked.verdict);
    assert_lines(&text::summary(&settings, &tally));
    let all = [checked];
    if how & 32 == 32 {
        let document = junit::document(&settings, &all).expect("a document");
        let harmless = |c: char| c == '\n' || c == '\t' || c == '\r' || !c.is_control();
        assert!(document.chars().all(harmless), "{document:?}");
    } else {
        let document = json::document(&settings, &all, &tally).expect("a document");
        assert!(document.ends_with("}\n") && !document.contains('\0'));
    }
}

/// A file that a server stored, whatever it is called.
fn file(name: &[u8]) {
    let fresh = Fresh {
        path: Path::new(std::ffi::OsStr::from_bytes(name)).to_owned(),
        size: 0,
    };
    let last = fresh.name();
    assert!(
        name.is_empty() || name.ends_with(last) || name.ends_with(b"/") || name.ends_with(b".")
    );
    let hidden = last.first() == Some(&b'.');
    assert!(!hidden || fresh.says_unfinished());
    let part = [name, b".PART"].concat();
    let fresh = Fresh {
        path: Path::new(std::ffi::OsStr::from_bytes(&part)).to_owned(),
        size: 0,
    };
    assert!(fresh.says_unfinished());
    assert_line(&quoted(name));
    assert_line(&number(name.len()));
}

/// Any text in the place of a table.
fn any_table(text: &str) {
    for line in text.lines() {
        if let Some(row) = row(line) {
            assert!(line.split_whitespace().count() >= 5, "{row:?}");
        }
    }
    let read = stat(text);
    assert!(read.is_none() || text.contains(") "));
    let _ = is_runnable(text);
    let _ = own_memory(text);
    let _ = own_memory(&format!("Name:\tx\nRssAnon:\t{text}"));
}

/// Tables as the kernel writes them say what they were made of.
fn tables(input: &mut Input<'_>) {
    let word = |input: &mut Input<'_>| {
        u32::from_ne_bytes([input.byte(), input.byte(), input.byte(), input.byte()])
    };
    let (ours, theirs) = (word(input), word(input));
    let (port, unread) = (input.large() & 0xffff, word(input));
    let state = if input.byte() & 1 == 0 { "0A" } else { "01" };
    let line = format!(
        "   0: {ours:08X}:{port:04X} {theirs:08X}:0050 {state} 00000001:{unread:08X} 00:00000000"
    );
    let read = row(&line).expect("a row");
    assert_eq!(
        read.local.ip().to_string(),
        std::net::Ipv4Addr::from(ours.to_ne_bytes()).to_string()
    );
    assert_eq!(u64::from(read.local.port()), port);
    assert_eq!((read.remote.port(), read.listens), (0x50, state == "0A"));
    assert_eq!(read.unread, u64::from(unread));
    let six = format!(
        "   0: {ours:08X}{theirs:08X}{ours:08X}{theirs:08X}:{port:04X} {:032X}:0050 {state} 0:{unread:X} 0",
        0
    );
    let read = row(&six).expect("a row");
    assert!(read.local.is_ipv6() && read.remote.ip().is_unspecified());
}

/// A process's row says what it was made of, whatever its program is called; and its tree holds
/// its group.
fn processes(input: &mut Input<'_>) {
    let mut all = Vec::new();
    let name = input.text();
    let group = u32::from(input.byte() & 7);
    while !input.is_empty() && all.len() < 16 {
        let (one, two) = (input.byte(), input.byte());
        let made = Stat {
            pid: u32::from(one & 15),
            parent: u32::from(one >> 4),
            group: u32::from(two & 7),
            ticks: u32::try_from(input.large() >> 32).unwrap_or(u32::MAX),
        };
        let Stat {
            pid,
            parent,
            group,
            ticks,
        } = made;
        let state = if two >> 7 == 1 { "R" } else { "S" };
        let text = format!(
            "{pid} ({name}) {state} {parent} {group} 40 0 -1 4194560 9 0 0 0 {ticks} {} 0 0 20 0",
            two >> 3
        );
        let read = stat(&text).expect("a process");
        let ticks = ticks.saturating_add(u32::from(two >> 3));
        assert_eq!(read, Stat { ticks, ..made }, "{text}");
        assert_eq!(is_runnable(&text), state == "R");
        all.push(read);
    }
    let inside = tree(group, &all);
    for stat in &all {
        let parent_is_inside = inside.iter().any(|other| other.pid == stat.parent);
        let pid_is_inside = inside.iter().any(|other| other.pid == stat.pid);
        assert_eq!(inside.contains(stat), pid_is_inside);
        assert!(pid_is_inside || (stat.group != group && !parent_is_inside));
    }
}
