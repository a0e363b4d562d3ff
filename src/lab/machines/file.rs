//! A file that comes behind its type: its size, its bytes, and the store's word. Tasks 4 to 6
//! share it.

use super::desk::Desk;
use super::size::{self, Evidence, Form, Forms};
use crate::proto::header::Length;
use crate::proto::{Fault, Kind, Want};

/// A file on its way.
#[derive(Debug)]
pub(super) struct File {
    state: State,
    /// Whether the store has it open already, since its name came before.
    open: bool,
}

#[derive(Debug)]
enum State {
    /// Type 2, until it is clear how the size is said. `silent`: a moment of silence has not told.
    Undecided {
        forms: Forms,
        held: Vec<u8>,
        silent: bool,
    },
    /// The size, of which some bytes may have come.
    Size(Length),
    /// The store's word, while bytes wait that belong to the file.
    Open { need: Option<u64>, held: Vec<u8> },
    /// The bytes; without `need`, until the stream ends.
    Body { have: u64, need: Option<u64> },
    /// The store, to give it its name.
    Commit { size: u64 },
}

impl File {
    /// A file of type 2 to 9. `open`: it has a name, and the store has it open.
    pub(super) fn of_type(byte: u8, forms: Forms, open: bool) -> Option<File> {
        let kind = Kind::from_byte(byte).filter(|kind| matches!(kind, Kind::Data(_)))?;
        let state = match byte {
            2 => State::Undecided {
                forms,
                held: Vec::new(),
                silent: false,
            },
            _ => State::Size(Length::of(kind)),
        };
        Some(File { state, open })
    }

    /// An open file that the end of the stream ends.
    pub(super) fn to_end() -> File {
        let (have, need) = (0, None);
        File {
            state: State::Body { have, need },
            open: true,
        }
    }

    pub(super) fn handle_bytes(&mut self, bytes: &[u8], desk: &mut Desk) -> usize {
        match &mut self.state {
            State::Undecided { held, silent, .. } => {
                held.extend_from_slice(bytes);
                *silent = false;
                self.decide(Evidence::Bytes, desk);
                bytes.len()
            }
            State::Size(length) => {
                let took = length.feed(bytes);
                if let Some(size) = length.value() {
                    let width = length.progress().0;
                    desk.remark(format!("size {size}, on a length of {width}"));
                    self.begin(Some(size), Vec::new(), desk);
                }
                took
            }
            State::Open { .. } | State::Body { .. } | State::Commit { .. } => {
                unreachable!("it wants no bytes in its hands now")
            }
        }
    }

    pub(super) fn handle_moved(&mut self, bytes: u64, desk: &mut Desk) {
        if let State::Body { have, need } = &mut self.state {
            *have += bytes;
            if Some(*have) == *need {
                self.complete(desk);
            }
        }
    }

    pub(super) fn handle_silence(&mut self, desk: &mut Desk) {
        if self.is_undecided() {
            self.decide(Evidence::Silence, desk);
            if let State::Undecided { silent, .. } = &mut self.state {
                *silent = true;
            }
        } else {
            self.give_up("stood still", desk);
        }
    }

    pub(super) fn handle_end(&mut self, desk: &mut Desk) {
        self.decide(Evidence::End, desk);
        match &self.state {
            // The store is asked; after its answer the end is told once more.
            State::Open { .. } | State::Commit { .. } => {}
            State::Body { need: None, .. } => self.complete(desk),
            // A lone type.
            State::Undecided { held, .. } if held.is_empty() && !self.open => desk.finish(),
            State::Undecided { .. } | State::Size(_) | State::Body { .. } => {
                self.give_up("ended its stream early", desk);
            }
        }
    }

    /// The store has opened it, or has not.
    pub(super) fn handle_begun(&mut self, begun: Result<(), Fault>, desk: &mut Desk) {
        match begun {
            Ok(()) => {
                self.open = true;
                let state = std::mem::replace(&mut self.state, State::Commit { size: 0 });
                if let State::Open { need, held } = state {
                    self.begin(need, held, desk);
                }
            }
            Err(fault) => {
                desk.remark(format!("not stored: {fault}"));
                desk.finish();
            }
        }
    }

    pub(super) fn want(&self) -> Want {
        match self.state {
            State::Body { have, need } => Want::Body(need.map_or(u64::MAX, |need| need - have)),
            _ => Want::Bytes,
        }
    }

    /// Whether a moment of silence may tell how the size is said.
    pub(super) fn is_undecided(&self) -> bool {
        matches!(&self.state, State::Undecided { held, silent: false, .. } if !held.is_empty())
    }

    /// The state's name, and how much of what it needs has come.
    pub(super) fn standing(&self) -> (&'static str, u64, Option<u64>) {
        match &self.state {
            State::Undecided { held, .. } => ("ReadSizeOrBody", held.len() as u64, None),
            State::Size(length) => {
                let (have, need) = length.progress();
                ("ReadSize", have, need)
            }
            State::Open { .. } => ("Open", 0, None),
            State::Body { have, need } => ("ReadBody", *have, *need),
            State::Commit { size } => ("Commit", *size, Some(*size)),
        }
    }

    fn decide(&mut self, evidence: Evidence, desk: &mut Desk) {
        let State::Undecided { forms, held, .. } = &mut self.state else {
            return;
        };
        let Some(form) = size::decide(held, *forms, evidence) else {
            return;
        };
        let known_by = match evidence {
            Evidence::Bytes => "the bytes behind it allow no other reading",
            Evidence::Silence => "it was silent for a moment",
            Evidence::End => "the stream ended",
        };
        let Some(size) = (form != Form::ToEnd).then(|| size::said(held, form.width())) else {
            let known_by = match evidence {
                Evidence::End => known_by,
                _ => "its first bytes are no length that fits",
            };
            let held = std::mem::take(held);
            desk.remark(format!(
                "a file of type 2 to the end of the stream: {known_by}"
            ));
            return self.begin(None, held, desk);
        };
        // At the end of the stream even the length may be cut off.
        let Some(size) = size else {
            return self.give_up("ended its stream early", desk);
        };
        let held = held.split_off(form.width());
        let width = form.width();
        desk.remark(format!(
            "type 2 of size {size}, on a length of {width}: {known_by}"
        ));
        self.begin(Some(size), held, desk);
    }

    /// Has the store open the file, unless it is; then the bytes that were held go into it.
    fn begin(&mut self, need: Option<u64>, mut held: Vec<u8>, desk: &mut Desk) {
        if !self.open {
            self.state = State::Open { need, held };
            return desk.begin(None);
        }
        if let Some(need) = need.and_then(|need| usize::try_from(need).ok())
            && need < held.len()
        {
            desk.put_back(&held.split_off(need));
        }
        let have = held.len() as u64;
        desk.write(held);
        self.state = State::Body { have, need };
        if Some(have) == need {
            self.complete(desk);
        }
    }

    fn complete(&mut self, desk: &mut Desk) {
        if let State::Body { have: size, .. } = self.state {
            self.state = State::Commit { size };
            desk.commit(size);
        }
    }

    fn give_up(&self, why: &str, desk: &mut Desk) {
        let (state, have, need) = self.standing();
        let of = need.map(|need| format!(" of {need}")).unwrap_or_default();
        desk.remark(format!(
            "{why} in {state}, bytes so far: {have}{of}; nothing is kept"
        ));
        desk.abort();
        desk.finish();
    }
}
