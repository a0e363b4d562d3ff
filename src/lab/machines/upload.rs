//! Task 6: a file's name, `OK`, the file; and then the next one, on the same socket.
//!
//! ```text
//!   ReadType ── 01, 03, 05 ──> ReadName ── it is a name ──> Asked ── OK goes out ──> Named
//!    ^   │                        │                                                    │
//!    │   └── 02, 04, 06 … ──────> │ it is no name                                      │
//!    │                            v                                                    │
//!    └──── the last byte ─────── File <──────────── type, size; with u3 and u4 neither ┘
//! ```
//!
//! Whether what stands behind type 1, 3 or 5 is a name, and where it ends, is decided in
//! `name.rs`; how large the file is, in `file.rs` and `size.rs`.
//!
//! Nothing is sent behind a file: clients of the raw grammars would take it for the next `OK`.

use std::time::Duration;

use super::Settings;
use super::desk::Desk;
use super::file::File;
use super::name::{Meaning, Naming, meaning};
use super::reader::Reader;
use super::size::{Evidence, Forms};
use crate::proto::limits::TEXT_MOST;
use crate::proto::name::NameRules;
use crate::proto::text::escaped;
use crate::proto::{Fault, Name, Position, Receipt, Want};

#[derive(Debug)]
pub(super) struct Upload {
    state: State,
    /// Files that were stored on this connection.
    stored: u64,
}

#[derive(Debug)]
enum State {
    ReadType,
    /// What came behind type 1, 3 or 5. `silent`: a moment of silence has not told what it is.
    ReadName {
        kind: u8,
        held: Vec<u8>,
        silent: bool,
    },
    /// The store is asked for a file of this name.
    Asked(Naming, Vec<u8>),
    /// `OK` was sent: the type of what follows.
    Named(Naming),
    File(File),
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
            self.expect_name(byte);
        } else if let Some(file) = File::of_type(byte, Forms::Sized, false) {
            self.state = State::File(file);
        } else {
            desk.remark(format!("no message has type {byte}"));
            desk.finish();
        }
    }

    fn expect_name(&mut self, kind: u8) {
        self.state = State::ReadName {
            kind,
            held: Vec::new(),
            silent: false,
        };
    }

    /// Looks what the bytes behind the type are, by all that is known now.
    fn read_name(&mut self, evidence: Evidence, desk: &mut Desk) {
        let State::ReadName { kind, held, silent } = &mut self.state else {
            return;
        };
        let (kind, held) = (*kind, std::mem::take(held));
        match meaning(kind, &held, self.stored > 0, evidence) {
            Meaning::NotYet if *silent || evidence == Evidence::End => {
                if !held.is_empty() {
                    desk.remark("stood still in a name: nothing is kept");
                }
                desk.finish();
            }
            Meaning::NotYet => {
                self.state = State::ReadName {
                    kind,
                    silent: evidence == Evidence::Silence,
                    held,
                }
            }
            Meaning::Name(naming, name, more) => {
                desk.put_back(more);
                self.begin(naming, name, desk);
            }
            Meaning::Text(text) => {
                desk.show(text);
                desk.remark("text of type 1, raw: its stream has ended");
                desk.finish();
            }
            Meaning::Goodbye => {
                desk.remark(format!("says QUIT; files sent: {}", self.stored));
                desk.finish();
            }
            Meaning::File => {
                // The bytes come once more, now to the file.
                desk.put_back(&held);
                let file = File::of_type(kind, Forms::Sized, false);
                self.state = file.map_or(State::ReadType, State::File);
            }
            Meaning::TooLong => {
                let fault = Fault::BadLength {
                    length: held.len() as u64,
                    limit: TEXT_MOST,
                };
                desk.refuse(b"a text", &fault);
                desk.finish();
            }
            Meaning::CutOff => {
                desk.remark("ended its stream in a name, or behind one: nothing is kept");
                desk.finish();
            }
        }
    }

    fn begin(&mut self, naming: Naming, name: &[u8], desk: &mut Desk) {
        match check(name) {
            Ok(checked) => {
                self.state = State::Asked(naming, name.to_vec());
                desk.begin(Some(checked));
            }
            Err(fault) => {
                desk.refuse(name, &fault);
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
            // Another name, in place of the first: to begin its file throws the first one away.
            self.expect_name(1);
        } else if let Some(file) = File::of_type(byte, forms, true) {
            self.state = State::File(file);
        } else {
            desk.remark(format!("no file has type {byte}: nothing is kept"));
            desk.abort();
            desk.finish();
        }
    }
}

/// A name that can be given to a file.
fn check(name: &[u8]) -> Result<Name, Fault> {
    let text = std::str::from_utf8(name).map_err(|_| Fault::NotUtf8)?;
    Ok(Name::parse(text, NameRules::default())?)
}

impl Reader for Upload {
    fn handle_bytes(&mut self, bytes: &[u8], desk: &mut Desk) -> usize {
        match &mut self.state {
            State::ReadType => {
                self.handle_type(bytes[0], desk);
                1
            }
            State::ReadName { held, silent, .. } => {
                held.extend_from_slice(bytes);
                *silent = false;
                self.read_name(Evidence::Bytes, desk);
                bytes.len()
            }
            State::Named(naming) => {
                let naming = *naming;
                self.handle_named(naming, bytes[0], desk);
                1
            }
            State::File(file) => file.handle_bytes(bytes, desk),
            State::Asked(..) => unreachable!("nothing is read while the store is asked"),
        }
    }

    fn handle_moved(&mut self, bytes: u64, desk: &mut Desk) {
        if let State::File(file) = &mut self.state {
            file.handle_moved(bytes, desk);
        }
    }

    fn handle_silence(&mut self, desk: &mut Desk) {
        match &mut self.state {
            State::ReadName { held, .. } if !held.is_empty() => {
                self.read_name(Evidence::Silence, desk);
            }
            State::File(file) => file.handle_silence(desk),
            State::Named(_) => {
                desk.remark("sent no file behind its name");
                desk.abort();
                desk.finish();
            }
            State::ReadType | State::ReadName { .. } | State::Asked(..) => desk.finish(),
        }
    }

    fn handle_end(&mut self, desk: &mut Desk) {
        match &mut self.state {
            State::ReadName { .. } => self.read_name(Evidence::End, desk),
            State::File(file) => file.handle_end(desk),
            State::Named(_) => {
                desk.remark("ended its stream with no file behind its name");
                desk.abort();
                desk.finish();
            }
            State::ReadType | State::Asked(..) => desk.finish(),
        }
    }

    fn handle_begun(&mut self, begun: Result<(), Fault>, desk: &mut Desk) {
        match (&mut self.state, begun) {
            (State::File(file), begun) => file.handle_begun(begun, desk),
            (State::Asked(naming, name), Ok(())) => {
                let naming = *naming;
                desk.remark(format!("name {}: {}", escaped(name), naming.describe()));
                desk.answer(b"OK");
                self.state = match naming {
                    Naming::OwnType(_) => State::File(File::to_end()),
                    naming => State::Named(naming),
                };
            }
            (State::Asked(_, name), Err(fault)) => {
                desk.refuse(name, &fault);
                desk.finish();
            }
            (State::ReadType | State::ReadName { .. } | State::Named(_), _) => {}
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
            State::ReadName { held, silent, .. } if !held.is_empty() && !silent => settings.quiet,
            State::File(file) if file.is_undecided() => settings.quiet,
            _ => settings.idle,
        }
    }

    fn position(&self) -> Position {
        let (state, have, need) = match &self.state {
            State::ReadType => ("ReadType", 0, Some(1)),
            State::ReadName { kind, held, .. } => {
                let need = match (kind, &held[..]) {
                    (1, [length, 0, ..]) => Some(u64::from(*length) + 2),
                    _ => None,
                };
                ("ReadName", held.len() as u64, need)
            }
            State::Asked(..) => ("Asked", 0, None),
            State::Named(_) => ("Named", 0, Some(1)),
            State::File(file) => file.standing(),
        };
        Position { state, have, need }
    }

    fn is_idle(&self) -> bool {
        matches!(self.state, State::ReadType)
    }
}
