//! Tasks 4 and 5: the first byte says whether a text or a file follows.
//!
//! ```text
//!   ReadType ── 00, 01, '1' ──> ReadText ── silence, end ──> shown
//!      ^     ── 02 … 09 ──────> File ─────── the last byte ─> stored
//!      └────────────────────────────────────────────────────────┘ our side of the stream ends
//! ```
//!
//! Task 4 ends a file with the stream; task 5 says its size first. Both take a connection a
//! message. Clients that wait for its end are as common as clients that end it, and some send more;
//! so behind a file the server ends its own side, since it has nothing to say, and reads on.

use std::time::Duration;

use super::Settings;
use super::desk::Desk;
use super::file::File;
use super::reader::Reader;
use super::size::Forms;
use super::text::Text;
use crate::lab::Task;
use crate::proto::{Fault, Position, Receipt, Want};

/// The one author who sends types as characters also waits for an answer to a text.
const CHARACTER_ONE: u8 = b'1';
const CHARACTER_TWO: u8 = b'2';

#[derive(Debug)]
pub(super) struct Typed {
    task: Task,
    state: State,
    /// Files that were stored.
    stored: u64,
}

#[derive(Debug)]
enum State {
    ReadType,
    ReadText(u8, Text),
    File(File),
}

impl Typed {
    pub(super) fn new(task: Task) -> Typed {
        Typed {
            task,
            state: State::ReadType,
            stored: 0,
        }
    }

    fn handle_type(&mut self, byte: u8, desk: &mut Desk) {
        desk.count_message();
        let forms = match self.task {
            Task::Four => Forms::ToEnd,
            _ => Forms::Sized,
        };
        let file = match byte {
            2 | CHARACTER_TWO => File::of_type(2, forms, false),
            3..=9 if self.task == Task::Five => File::of_type(byte, forms, false),
            _ => None,
        };
        match (byte, file) {
            (0 | 1 | CHARACTER_ONE, _) => self.state = State::ReadText(byte, Text::default()),
            (_, Some(file)) => self.state = State::File(file),
            (3..=9, None) => {
                desk.remark(format!("type {byte} comes with task 5, and this is task 4"));
                desk.finish();
            }
            (_, None) => {
                let behind = if self.stored > 0 {
                    " behind the file"
                } else {
                    ""
                };
                desk.remark(format!("no message has type {byte}{behind}"));
                desk.finish();
            }
        }
    }

    fn text_is_over(&mut self, known_by: &str, desk: &mut Desk) {
        let State::ReadText(kind, text) = &self.state else {
            return;
        };
        match text.behind_length(&[]) {
            Some(text) => {
                desk.show(text);
                desk.remark("text of type 1 behind a length of 2, which is right");
            }
            None => {
                desk.show(text.raw());
                desk.remark(format!("text of type {kind}, raw: {known_by}"));
            }
        }
        if *kind == CHARACTER_ONE {
            desk.answer(b"Message: ");
            desk.answer(text.raw());
        }
        desk.finish();
    }
}

impl Reader for Typed {
    fn handle_bytes(&mut self, bytes: &[u8], desk: &mut Desk) -> usize {
        match &mut self.state {
            State::ReadType => {
                self.handle_type(bytes[0], desk);
                1
            }
            State::ReadText(_, text) => {
                text.push(bytes);
                bytes.len()
            }
            State::File(file) => file.handle_bytes(bytes, desk),
        }
    }

    fn handle_moved(&mut self, bytes: u64, desk: &mut Desk) {
        if let State::File(file) = &mut self.state {
            file.handle_moved(bytes, desk);
        }
    }

    fn handle_silence(&mut self, desk: &mut Desk) {
        match &mut self.state {
            State::ReadText(_, text) if !text.is_empty() => {
                self.text_is_over("it was silent for a moment", desk);
            }
            State::ReadType | State::ReadText(..) => desk.finish(),
            State::File(file) => file.handle_silence(desk),
        }
    }

    fn handle_end(&mut self, desk: &mut Desk) {
        match &mut self.state {
            State::ReadText(_, text) if !text.is_empty() => {
                self.text_is_over("its stream has ended", desk);
            }
            // Nothing, or a lone type.
            State::ReadType | State::ReadText(..) => desk.finish(),
            State::File(file) => file.handle_end(desk),
        }
    }

    fn handle_begun(&mut self, begun: Result<(), Fault>, desk: &mut Desk) {
        if let State::File(file) = &mut self.state {
            file.handle_begun(begun, desk);
        }
    }

    fn handle_stored(&mut self, stored: Result<Receipt, Fault>, desk: &mut Desk) {
        match stored {
            Ok(_) => self.stored += 1,
            Err(fault) => desk.remark(format!("not stored: {fault}")),
        }
        self.state = State::ReadType;
        desk.end_answers();
    }

    fn want(&self) -> Want {
        match &self.state {
            State::File(file) => file.want(),
            State::ReadType | State::ReadText(..) => Want::Bytes,
        }
    }

    fn patience(&self, settings: &Settings) -> Duration {
        match &self.state {
            State::ReadType if self.stored > 0 => settings.keep,
            State::ReadText(_, text) if !text.is_empty() => settings.quiet,
            State::File(file) if file.is_undecided() => settings.quiet,
            State::ReadType | State::ReadText(..) | State::File(_) => settings.idle,
        }
    }

    fn position(&self) -> Position {
        let (state, have, need) = match &self.state {
            State::ReadType => ("ReadType", 0, Some(1)),
            State::ReadText(_, text) => ("ReadText", text.have(), None),
            State::File(file) => file.standing(),
        };
        Position { state, have, need }
    }

    fn is_idle(&self) -> bool {
        matches!(self.state, State::ReadType)
    }
}
