//! What a task wants done, until the shell has done it.

use std::collections::VecDeque;

use crate::proto::text::escaped;
use crate::proto::{Action, Conflict, Fault, Name, Order, Seal, Ticket};

/// The way from a task to the rest of the program.
#[derive(Debug, Default)]
pub(super) struct Desk {
    pub(super) actions: VecDeque<Action>,
    /// Answers, and how much of them was sent.
    pub(super) out: Vec<u8>,
    pub(super) sent: usize,
    /// Bytes that were taken and turned out to belong to what follows.
    pub(super) put_back: Vec<u8>,
    /// What the store was asked and has not answered.
    pub(super) asked: Option<Asked>,
    pub(super) finishing: bool,
    /// Messages begun.
    pub(super) begun: u64,
    ticket: Ticket,
}

/// A question to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Begin,
    Commit,
}

impl Desk {
    /// A message has begun.
    pub(super) fn count_message(&mut self) {
        self.begun += 1;
    }

    /// Shows a person a text of the peer's.
    pub(super) fn show(&mut self, text: &[u8]) {
        let text = String::from_utf8_lossy(text).into();
        self.actions.push_back(Action::Show(text));
    }

    /// Tells a person something about the peer.
    pub(super) fn remark(&mut self, text: impl Into<Box<str>>) {
        self.actions.push_back(Action::Remark(text.into()));
    }

    /// Sends bytes back.
    pub(super) fn answer(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Sends a refusal back, as text, and tells a person of it.
    pub(super) fn refuse(&mut self, what: &[u8], fault: &Fault) {
        let text = fault.to_string();
        self.remark(format!("refused {}: {text}", escaped(what)));
        self.answer(format!("ERR {}: {text}", fault.code()).as_bytes());
    }

    /// Begins an upload; the answer is awaited.
    pub(super) fn begin(&mut self, name: Option<Name>) {
        self.asked = Some(Asked::Begin);
        self.actions.push_back(Action::Begin(Box::new(Order {
            name,
            conflict: Conflict::Overwrite,
            ..Order::default()
        })));
    }

    /// Appends bytes to the open upload.
    pub(super) fn write(&mut self, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.actions.push_back(Action::Write(bytes.into()));
        }
    }

    /// Has the open upload stored; the answer is awaited.
    pub(super) fn commit(&mut self, size: u64) {
        self.asked = Some(Asked::Commit);
        self.ticket += 1;
        let seal = Seal { size, digest: None };
        self.actions.push_back(Action::Commit(self.ticket, seal));
    }

    /// Throws the open upload away.
    pub(super) fn abort(&mut self) {
        self.actions.push_back(Action::Abort);
    }

    /// Hands bytes over once more, after the task has come to its next state.
    pub(super) fn put_back(&mut self, bytes: &[u8]) {
        debug_assert!(self.put_back.is_empty(), "they were handed over again");
        self.put_back.extend_from_slice(bytes);
    }

    /// Ends the sending side: the peer will get no answer, and goes on being read. No upload may be
    /// open.
    pub(super) fn end_answers(&mut self) {
        self.actions.push_back(Action::FinishSending);
    }

    /// Ends the connection, once the answers are out.
    pub(super) fn finish(&mut self) {
        self.finishing = true;
    }
}
