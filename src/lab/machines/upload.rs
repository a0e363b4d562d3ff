//! Task 6: a file's name, `OK`, the file; and then the next one, on the same socket.
//!
//! ```text
//!   ReadType ── 01, 03, 05 ──> ReadName ── silence, or its length ──> Open
//!    ^   │                                                             │ OK goes out
//!    │   └── 02 … 09 ─────────────────> File <── type, size ── Named <─┘
//!    └──────────── the last byte ────────┘
//! ```
//!
//! Behind the `01` stands a name with two bytes of length, or with none. A third byte of zero
//! shows a length: no name has one. Without it the name is over when nothing more comes for a
//! moment, because its sender waits for the `OK`. If the stream ends instead, it was a text, or
//! the goodbye `QUIT`.
//!
//! Nothing is sent behind a file: clients of the raw grammars would take it for the next `OK`.

use std::time::Duration;

use super::Settings;
use super::desk::Desk;
use super::file::File;
use super::reader::Reader;
use super::size::Forms;
use crate::proto::name::{NAME_MOST, NameRules};
use crate::proto::text::escaped;
use crate::proto::{Fault, Name, Position, Receipt, Want};

/// What some clients say instead of another name.
const GOODBYE: &[u8] = b"QUIT";
/// What the store calls a file that still grows; no client may name one so.
const PART: &str = ".part";

#[derive(Debug)]
pub(super) struct Upload {
    state: State,
    /// Files that were stored on this connection.
    stored: u64,
}

#[derive(Debug)]
enum State {
    ReadType,
    /// What came behind type 1, 3 or 5.
    ReadName(u8, Vec<u8>),
    /// The store is asked for a file of this name.
    Open(Naming, Vec<u8>),
    /// `OK` was sent: the type of what follows.
    Named(Naming),
    File(File),
}

/// How a name was laid out, which says how the file behind it will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Naming {
    /// No length: u1.
    Raw,
    /// A length of two bytes: u2, or framed.
    Sized,
    /// A type of its own, 3 or 5: u3 and u4.
    OwnType(u8),
}

impl Naming {
    fn describe(self) -> String {
        match self {
            Naming::Raw => "no length, and silence behind it: u1".to_owned(),
            Naming::Sized => "a length, since the third byte was 0: u2, or framed".to_owned(),
            Naming::OwnType(3) => "type 3 and silence behind it: u3".to_owned(),
            Naming::OwnType(kind) => format!("type {kind} and silence behind it: u4"),
        }
    }
}

impl Upload {
    pub(super) fn new() -> Upload {
        Upload {
            state: State::ReadType,
            stored: 0,
        }
    }

    fn handle_type(&mut self, byte: u8, desk: &mut Desk) {
        desk.count_message();
        if let 1 | 3 | 5 = byte {
            self.state = State::ReadName(byte, Vec::new());
        } else if let Some(file) = File::of_type(byte, Forms::Sized, false) {
            self.state = State::File(file);
        } else {
            desk.remark(format!("no message has type {byte}"));
            desk.finish();
        }
    }

    /// Takes bytes of a name, and looks whether it is over.
    fn read_name(&mut self, bytes: &[u8], desk: &mut Desk) {
        let State::ReadName(kind, held) = &mut self.state else {
            return;
        };
        held.extend_from_slice(bytes);
        let kind = *kind;
        if let (1, [low, 0, rest @ ..]) = (kind, &held[..]) {
            let length = usize::from(*low);
            if rest.len() >= length {
                let name = rest[..length].to_vec();
                desk.put_back(&rest[length..]);
                self.begin(Naming::Sized, name, desk);
            }
        } else if held.len() > NAME_MOST {
            let held = std::mem::take(held);
            if kind == 1 {
                let fault = Fault::BadLength {
                    length: held.len() as u64,
                    limit: NAME_MOST as u64,
                };
                desk.refuse(&held[..16], &fault);
                desk.finish();
            } else {
                self.take_for_file(kind, &held, desk);
            }
        }
    }

    /// Nothing more has come for a moment, and the stream is open: the sender waits.
    fn name_is_over(&mut self, desk: &mut Desk) {
        let State::ReadName(kind, held) = &mut self.state else {
            return;
        };
        let (kind, held) = (*kind, std::mem::take(held));
        let is_goodbye = held == GOODBYE && self.stored > 0;
        match kind {
            1 if is_goodbye => self.say_goodbye(desk),
            // A length whose name has not come yet.
            1 if held.get(1) == Some(&0) => {
                desk.remark("stood still in a name: nothing is kept");
                desk.finish();
            }
            1 => self.begin(Naming::Raw, held, desk),
            // A bad name too, so that its sender hears why and doesn't wait for an answer.
            kind if is_text(&held) => self.begin(Naming::OwnType(kind), held, desk),
            kind => self.take_for_file(kind, &held, desk),
        }
    }

    /// The stream has ended where a name might have been.
    fn ended_in_name(&mut self, desk: &mut Desk) {
        let State::ReadName(kind, held) = &mut self.state else {
            return;
        };
        let (kind, held) = (*kind, std::mem::take(held));
        match (kind, &held[..]) {
            (_, []) => desk.finish(),
            (1, GOODBYE) if self.stored > 0 => self.say_goodbye(desk),
            (1, [_, 0, ..]) => {
                desk.remark("ended its stream in a name");
                desk.finish();
            }
            (1, text) => {
                desk.show(text);
                desk.remark("text of type 1, raw: its stream has ended");
                desk.finish();
            }
            (kind, _) => self.take_for_file(kind, &held, desk),
        }
    }

    fn say_goodbye(&self, desk: &mut Desk) {
        let files = self.stored;
        desk.remark(format!("says QUIT after {files} files"));
        desk.finish();
    }

    /// Types 3 and 5 are also files of their own, with two or four bytes of length.
    fn take_for_file(&mut self, kind: u8, held: &[u8], desk: &mut Desk) {
        desk.put_back(held);
        if let Some(file) = File::of_type(kind, Forms::Sized, false) {
            self.state = State::File(file);
        }
    }

    fn begin(&mut self, naming: Naming, name: Vec<u8>, desk: &mut Desk) {
        match check(&name) {
            Ok(checked) => {
                self.state = State::Open(naming, name);
                desk.begin(Some(checked));
            }
            Err(fault) => {
                desk.refuse(&name, &fault);
                desk.finish();
            }
        }
    }

    /// The type of what follows the name.
    fn handle_named(&mut self, naming: Naming, byte: u8, desk: &mut Desk) {
        let forms = match naming {
            Naming::Sized => Forms::RatherFour,
            Naming::Raw | Naming::OwnType(_) => Forms::RatherOne,
        };
        desk.count_message();
        if byte == 1 {
            // Another name, in place of the first.
            self.state = State::ReadName(1, Vec::new());
        } else if let Some(file) = File::of_type(byte, forms, true) {
            self.state = State::File(file);
        } else {
            desk.remark(format!("no file has type {byte}: nothing is kept"));
            desk.abort();
            desk.finish();
        }
    }
}

/// Whether it can be meant as a name at all; the low bytes of a length can't.
fn is_text(held: &[u8]) -> bool {
    std::str::from_utf8(held).is_ok_and(|text| text.chars().all(|c| c >= ' '))
}

/// A name that can be given to a file.
fn check(name: &[u8]) -> Result<Name, Fault> {
    let text = std::str::from_utf8(name).map_err(|_| Fault::NotUtf8)?;
    let name = Name::parse(text, NameRules::default())?;
    if text.ends_with(PART) {
        return Err(Fault::BadState(
            "names that end in .part are for files that still grow",
        ));
    }
    Ok(name)
}

impl Reader for Upload {
    fn handle_bytes(&mut self, bytes: &[u8], desk: &mut Desk) -> usize {
        match &mut self.state {
            State::ReadType => {
                self.handle_type(bytes[0], desk);
                1
            }
            State::ReadName(..) => {
                self.read_name(bytes, desk);
                bytes.len()
            }
            State::Named(naming) => {
                let naming = *naming;
                self.handle_named(naming, bytes[0], desk);
                1
            }
            State::File(file) => file.handle_bytes(bytes, desk),
            State::Open(..) => unreachable!("nothing is read while the store is asked"),
        }
    }

    fn handle_moved(&mut self, bytes: u64, desk: &mut Desk) {
        if let State::File(file) = &mut self.state {
            file.handle_moved(bytes, desk);
        }
    }

    fn handle_silence(&mut self, desk: &mut Desk) {
        match &mut self.state {
            State::ReadName(_, held) if !held.is_empty() => self.name_is_over(desk),
            State::File(file) => file.handle_silence(desk),
            State::Named(_) => {
                desk.remark("sent no file behind its name");
                desk.abort();
                desk.finish();
            }
            State::ReadType | State::ReadName(..) | State::Open(..) => desk.finish(),
        }
    }

    fn handle_end(&mut self, desk: &mut Desk) {
        match &mut self.state {
            State::ReadName(..) => self.ended_in_name(desk),
            State::File(file) => file.handle_end(desk),
            State::Named(_) => {
                desk.remark("ended its stream with no file behind its name");
                desk.abort();
                desk.finish();
            }
            State::ReadType | State::Open(..) => desk.finish(),
        }
    }

    fn handle_begun(&mut self, begun: Result<(), Fault>, desk: &mut Desk) {
        match (&mut self.state, begun) {
            (State::File(file), begun) => file.handle_begun(begun, desk),
            (State::Open(naming, name), Ok(())) => {
                let naming = *naming;
                desk.remark(format!("name {}: {}", escaped(name), naming.describe()));
                desk.answer(b"OK");
                self.state = match naming {
                    Naming::OwnType(_) => State::File(File::to_end()),
                    naming => State::Named(naming),
                };
            }
            (State::Open(_, name), Err(fault)) => {
                desk.refuse(name, &fault);
                desk.finish();
            }
            (State::ReadType | State::ReadName(..) | State::Named(_), _) => {}
        }
    }

    fn handle_stored(&mut self, stored: Result<Receipt, Fault>, desk: &mut Desk) {
        self.state = State::ReadType;
        match stored {
            Ok(_) => self.stored += 1,
            Err(fault) => {
                desk.remark(format!("not stored: {fault}"));
                desk.finish();
            }
        }
    }

    fn want(&self) -> Want {
        match &self.state {
            State::File(file) => file.want(),
            _ => Want::Bytes,
        }
    }

    fn patience(&self, settings: &Settings) -> Duration {
        match &self.state {
            State::ReadType if self.stored > 0 => settings.keep,
            State::ReadName(1, held) if held.get(1) == Some(&0) => settings.idle,
            State::ReadName(_, held) if !held.is_empty() => settings.quiet,
            State::File(file) if file.is_undecided() => settings.quiet,
            _ => settings.idle,
        }
    }

    fn position(&self) -> Position {
        let (state, have, need) = match &self.state {
            State::ReadType => ("ReadType", 0, Some(1)),
            State::ReadName(1, held) if held.get(1) == Some(&0) => {
                ("ReadName", held.len() as u64, Some(u64::from(held[0]) + 2))
            }
            State::ReadName(_, held) => ("ReadName", held.len() as u64, None),
            State::Open(..) => ("Open", 0, None),
            State::Named(_) => ("Named", 0, Some(1)),
            State::File(file) => file.standing(),
        };
        Position { state, have, need }
    }

    fn is_idle(&self) -> bool {
        matches!(self.state, State::ReadType)
    }
}
