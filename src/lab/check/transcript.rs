//! Everything that was said on one connection, in its order, and how it is shown.

use std::time::{Duration, Instant};

use super::dump::{Field, dump};
use super::shown::{bytes, millis, number};
use crate::proto::text::escaped;

/// What was said on a connection.
#[derive(Clone, Debug)]
pub struct Transcript {
    /// Which of a case's connections this is: `A`, `B` …
    name: String,
    began: Instant,
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    at: Duration,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Sent {
        start: usize,
        bytes: Vec<u8>,
        fields: Vec<Field>,
        cuts: Vec<usize>,
    },
    Received {
        start: usize,
        bytes: Vec<u8>,
    },
    Stored {
        bytes: Vec<u8>,
    },
    Note(String),
}

/// Where the bytes are that a mark stands under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Those we sent.
    Sent,
    /// Those the server sent.
    Received,
    /// Those in the file that it stored.
    Stored,
}

/// A place that a finding is about.
#[derive(Clone, Debug)]
pub struct Mark {
    /// On which side.
    pub side: Side,
    /// Counted from the first byte of that side.
    pub offset: usize,
    /// What is to be said of it.
    pub word: String,
}

impl Mark {
    /// A mark under a byte, or behind the last one.
    pub fn new(side: Side, offset: usize, word: impl Into<String>) -> Mark {
        Mark {
            side,
            offset,
            word: word.into(),
        }
    }
}

impl Transcript {
    /// An empty one that begins now.
    pub fn new(name: impl Into<String>) -> Transcript {
        Transcript {
            name: name.into(),
            began: Instant::now(),
            entries: Vec::new(),
        }
    }

    fn push(&mut self, what: What) {
        let at = self.began.elapsed();
        self.entries.push(Entry { at, what });
    }

    /// Writes down a message that was sent, what its parts are, and where it was cut.
    pub fn sent(&mut self, bytes: &[u8], fields: Vec<Field>, cuts: &[usize]) {
        let start = self.sent_so_far();
        self.push(What::Sent {
            start,
            bytes: bytes.to_vec(),
            fields,
            cuts: cuts.to_vec(),
        });
    }

    /// Writes down what came. What comes right after something else is one with it.
    pub fn received(&mut self, new: &[u8]) {
        if let Some(Entry {
            what: What::Received { bytes, .. },
            ..
        }) = self.entries.last_mut()
        {
            bytes.extend_from_slice(new);
            return;
        }
        let start = self.entries.iter().map(Entry::received_bytes).sum();
        let bytes = new.to_vec();
        self.push(What::Received { start, bytes });
    }

    /// Writes down what the server stored: the file's length, and its first bytes or all.
    pub fn stored(&mut self, path: &str, size: u64, bytes: Vec<u8>) {
        let length = super::shown::bytes(usize::try_from(size).unwrap_or(usize::MAX));
        let only = match size > bytes.len() as u64 {
            true => format!(", of which the first {} were read", number(bytes.len())),
            false => String::new(),
        };
        self.note(format!("the file {path} has {length}{only}"));
        self.push(What::Stored { bytes });
    }

    /// Writes down anything else.
    pub fn note(&mut self, text: impl Into<String>) {
        self.push(What::Note(text.into()));
    }

    /// How many bytes were sent.
    pub fn sent_so_far(&self) -> usize {
        self.entries.iter().map(Entry::sent_bytes).sum()
    }

    /// The lines that show it, with a mark where one belongs.
    pub fn lines(&self, mark: Option<&Mark>) -> Vec<String> {
        let mut lines = Vec::new();
        // A mark behind the last byte stands in the last entry of its side.
        let place = mark.and_then(|mark| {
            let on_side = |entry: &&Entry| entry.span().is_some_and(|(side, _)| side == mark.side);
            let mut entries = self.entries.iter().filter(on_side);
            let last = entries.clone().next_back()?;
            let holds = |entry: &&Entry| {
                let (_, range) = entry.span().unwrap_or((mark.side, 0..0));
                range.contains(&mark.offset)
            };
            Some(std::ptr::from_ref(entries.find(holds).unwrap_or(last)))
        });
        for entry in &self.entries {
            let here = mark.filter(|_| place == Some(std::ptr::from_ref(entry)));
            lines.extend(entry.lines(&self.name, here));
        }
        if let (Some(mark), None) = (mark, place) {
            lines.push(format!("        ^^ {}", mark.word));
        }
        lines
    }
}

impl Entry {
    fn sent_bytes(&self) -> usize {
        match &self.what {
            What::Sent { bytes, .. } => bytes.len(),
            _ => 0,
        }
    }

    fn received_bytes(&self) -> usize {
        match &self.what {
            What::Received { bytes, .. } => bytes.len(),
            _ => 0,
        }
    }

    /// Its side, and which of that side's bytes it holds.
    fn span(&self) -> Option<(Side, std::ops::Range<usize>)> {
        match &self.what {
            What::Sent { start, bytes, .. } => Some((Side::Sent, *start..start + bytes.len())),
            What::Received { start, bytes } => Some((Side::Received, *start..start + bytes.len())),
            What::Stored { bytes } => Some((Side::Stored, 0..bytes.len())),
            What::Note(_) => None,
        }
    }

    fn lines(&self, name: &str, mark: Option<&Mark>) -> Vec<String> {
        let head = format!("{:>9}  {name}", millis(self.at));
        let mark = mark.map(|mark| (mark.offset, mark.word.as_str()));
        match &self.what {
            What::Note(text) => vec![format!("{head}  {}", escaped(text))],
            What::Sent {
                start,
                bytes: sent,
                fields,
                cuts,
            } => {
                let how = how_cut(cuts, sent.len());
                let mut lines = vec![format!("{head} -> we send {}{how}", bytes(sent.len()))];
                lines.extend(dump(sent, *start, fields, mark));
                lines
            }
            What::Received { start, bytes: got } => {
                let mut lines = vec![format!("{head} <- it sends {}", bytes(got.len()))];
                lines.extend(dump(got, *start, &[], mark));
                lines
            }
            What::Stored { bytes } => dump(bytes, 0, &[], mark),
        }
    }
}

/// In which segments a message was sent.
fn how_cut(cuts: &[usize], length: usize) -> String {
    match cuts {
        [] => String::new(),
        [cut] => format!(", cut after {}", bytes(*cut)),
        cuts if cuts.len() + 1 == length => ", one at a time".to_owned(),
        cuts => {
            let shown: Vec<String> = cuts.iter().take(6).map(ToString::to_string).collect();
            let more = if cuts.len() > 6 { " …" } else { "" };
            format!(", cut after {}{more}", shown.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(transcript: &Transcript, mark: Option<&Mark>) -> String {
        // The times differ from run to run; what follows them doesn't.
        let lines = transcript.lines(mark).into_iter();
        let lines = lines.map(|line| {
            line.split_once("ms  ")
                .map_or(line.clone(), |(_, rest)| rest.to_owned())
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn what_was_sent_stands_above_what_came_and_the_mark_under_its_byte() {
        let mut transcript = Transcript::new("A");
        transcript.sent(b"\x01ab", vec![("type", 1), ("name", 2)], &[1]);
        transcript.received(b"O");
        transcript.received(b"k");
        transcript.note("the server ends the connection");
        let mark = Mark::new(Side::Received, 1, "K should stand here");
        assert_eq!(
            shown(&transcript, Some(&mark)),
            "A -> we send 3 bytes, cut after 1 byte
      0000  01 61 62                                         |.ab|
            -- type
               -- -- name
A <- it sends 2 bytes
      0000  4f 6b                                            |Ok|
               ^^ K should stand here
A  the server ends the connection"
        );
    }

    #[test]
    fn a_mark_behind_the_last_byte_or_where_nothing_came_is_shown_too() {
        let mut transcript = Transcript::new("A");
        transcript.received(b"O");
        let mark = Mark::new(Side::Received, 1, "K is missing");
        assert!(shown(&transcript, Some(&mark)).ends_with("               ^^ K is missing"));
        let mark = Mark::new(Side::Stored, 0, "no file");
        assert!(shown(&transcript, Some(&mark)).ends_with("^^ no file"));
    }

    #[test]
    fn what_a_peer_sends_reaches_no_terminal_raw() {
        let mut transcript = Transcript::new("A");
        transcript.received(b"\x1b[2J\n\xff");
        transcript.note("stored \x1b[2J");
        let all = shown(&transcript, None).replace('\n', "");
        assert!(!all.chars().any(char::is_control), "{all:?}");
    }
}
