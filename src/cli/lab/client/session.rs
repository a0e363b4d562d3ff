//! A client of a task at work: a line comes in, something is sent, and what came of it is printed.

use std::ffi::OsStr;
use std::fmt::Display;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use piecemeal::lab::Task;
use piecemeal::lab::client::{self, Failure, Message, Settings, Uploader};
use piecemeal::proto::limits::TEXT_MOST;
use piecemeal::proto::text::escaped;

use super::words::{exit_of, hint, show_sent, show_status, show_told};
use crate::cli::exit::Exit;
use crate::cli::lab::input::Input;
use crate::cli::units::bytes;
use crate::cli::{print, tell};

/// Random bytes that are sent where nobody says how many: up to what needs three bytes of length.
const RANDOM_MOST: u64 = 100_000;

/// A client at work, line by line. What fails is told, and the next line has its turn.
pub(super) struct Session {
    task: Task,
    settings: Settings,
    input: Input,
    went_well: usize,
    failed: Vec<Exit>,
}

impl Session {
    pub(super) fn new(task: Task, settings: Settings) -> Session {
        Session {
            task,
            settings,
            input: Input::new(),
            went_well: 0,
            failed: Vec::new(),
        }
    }

    /// Standard input failed, which ends it all.
    pub(super) fn input_failed(&mut self, error: &io::Error) {
        tell(format_args!(
            "piecemeal: can't read standard input: {error}"
        ));
        self.failed.push(Exit::Local);
    }

    pub(super) fn statuses(&mut self) -> io::Result<()> {
        self.input.hint("each Enter connects; Ctrl-C ends");
        while self.input.line("")?.is_some() {
            match client::status(&self.settings) {
                Ok(status) => self.well(show_status(&status, &self.settings)),
                Err(failure) => self.failure(None, &failure),
            }
        }
        Ok(())
    }

    pub(super) fn texts(&mut self) -> io::Result<()> {
        while let Some(line) = self.input.line("text: ")? {
            let Some(text) = self.text(line) else {
                continue;
            };
            match client::ask(&self.settings, &text) {
                Ok(reply) => {
                    self.well(escaped(&reply.said));
                    if reply.left_open {
                        tell("the server keeps the connection open, where it should end it");
                    }
                }
                Err(failure) => self.failure(None, &failure),
            }
        }
        Ok(())
    }

    pub(super) fn messages(&mut self) -> io::Result<()> {
        while let Some(line) = self.input.line("1 text, 2 random bytes, q ends: ")? {
            let choice = String::from_utf8_lossy(&line).into_owned();
            let mut words = choice.split_whitespace();
            let message = match (words.next(), words.next(), words.next()) {
                (None, ..) => continue,
                (Some("q" | "exit"), None, _) => break,
                (Some("1"), None, _) => {
                    let Some(line) = self.input.line("text: ")? else {
                        self.usage("the text is missing: it is the line behind a 1");
                        break;
                    };
                    let Some(text) = self.text(line) else {
                        continue;
                    };
                    Message::Text(text)
                }
                (Some("2"), None, _) => Message::Random(rand::random_range(1..=RANDOM_MOST)),
                (Some("2"), Some(size), None) => match bytes(size) {
                    Ok(size) => Message::Random(size),
                    Err(why) => {
                        self.usage(&format!("{}: {why}", escaped(size)));
                        continue;
                    }
                },
                _ => {
                    let choice = escaped(&choice);
                    self.usage(&format!(
                        "{choice}: no choice; 1 is a text, 2 or `2 SIZE` random bytes, q ends"
                    ));
                    continue;
                }
            };
            match client::tell(&self.settings, self.task, &message) {
                Ok(told) => self.well(show_told(&told)),
                Err(failure) => self.failure(None, &failure),
            }
        }
        Ok(())
    }

    pub(super) fn files(&mut self, keep: bool) -> io::Result<()> {
        let mut uploader = Uploader::new(self.settings.clone(), keep);
        while let Some(line) = self.input.line("file, or q: ")? {
            match &line[..] {
                b"" => continue,
                b"q" | b"exit" => break,
                _ => {}
            }
            show_late(&uploader.take_late_words());
            let path = Path::new(OsStr::from_bytes(&line));
            match uploader.send(path) {
                Ok(sent) => {
                    self.well(format_args!("{}: {}", escaped(&line), show_sent(&sent)));
                }
                Err(failure) => self.failure(Some(&line), &failure),
            }
        }
        match uploader.finish() {
            Ok(reply) => {
                show_late(&reply.said);
                if reply.left_open {
                    tell("the server keeps the connection open");
                }
            }
            Err(failure) => self.failure(None, &failure),
        }
        Ok(())
    }

    /// A line as a text to be sent, cut where it is too long.
    fn text(&mut self, line: Vec<u8>) -> Option<String> {
        let most = usize::try_from(TEXT_MOST).unwrap_or(usize::MAX);
        // Whatever stands behind a cut may be half a character.
        let most = line.len().min(most + 3);
        let text = match str::from_utf8(&line[..most]) {
            Ok(text) => text,
            Err(error) if error.error_len().is_none() && most < line.len() => {
                str::from_utf8(&line[..error.valid_up_to()]).unwrap_or_default()
            }
            Err(_) => {
                tell("piecemeal: the line is no UTF-8, so nothing was sent");
                self.failed.push(Exit::Local);
                return None;
            }
        };
        if text.is_empty() {
            // A raw text of no bytes is a connection without a word, which some servers die of.
            tell("an empty text is not sent");
            return None;
        }
        let cut = client::cut_text(text);
        if cut.len() < line.len() {
            tell(format_args!(
                "the text is cut to {} bytes; {TEXT_MOST} is the most",
                cut.len()
            ));
        }
        Some(cut.to_owned())
    }

    fn well(&mut self, line: impl Display) {
        self.went_well += 1;
        print(line);
    }

    fn failure(&mut self, path: Option<&[u8]>, failure: &Failure) {
        let hint = hint(failure, self.task);
        match path {
            Some(path) => tell(format_args!(
                "piecemeal: {}: {failure}{hint}",
                escaped(path)
            )),
            None => tell(format_args!("piecemeal: {failure}{hint}")),
        }
        self.failed.push(exit_of(failure));
    }

    fn usage(&mut self, line: &str) {
        tell(format_args!("piecemeal: {line}"));
        self.failed.push(Exit::Usage);
    }

    /// The exit of it all: one failure's own where everything failed of it, as `send` has it.
    pub(super) fn exit(&self) -> Exit {
        match self.failed.first() {
            None => Exit::Success,
            Some(&first)
                if self.went_well == 0 && self.failed.iter().all(|&exit| exit == first) =>
            {
                first
            }
            Some(_) => Exit::Partial,
        }
    }
}

/// Shows what a server said behind a file when that was reported already.
fn show_late(words: &[u8]) {
    if !words.is_empty() {
        let words = escaped(words);
        tell(format_args!(
            "behind the last file the server said \"{words}\""
        ));
    }
}
