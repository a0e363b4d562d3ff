//! The tasks' machines, driven by hand: bytes in any pieces, silence, the end.

mod anything;
mod files;
mod texts;

use std::sync::Arc;
use std::time::Duration;

use super::{LabMachine, Settings};
use crate::lab::Task;
use crate::proto::{Action, Begun, Machine, Moment, Order, Receipt, Seal, Want};

/// A connection to a task's server, and all that became of it.
struct Rig {
    machine: LabMachine,
    now: Moment,
    quiet: Duration,
    order: Option<Order>,
    open: Vec<u8>,
    /// Names (empty where there is none) and bytes that were stored.
    stored: Vec<(String, Vec<u8>)>,
    shown: Vec<String>,
    remarks: Vec<String>,
    answers: Vec<u8>,
    /// Whether its sending side is shut down.
    shut: bool,
    /// Bytes that were fed and not used yet.
    waiting: Vec<u8>,
}

impl Rig {
    fn new(task: Task) -> Rig {
        Rig::with(Settings::of(task))
    }

    fn with(settings: Settings) -> Rig {
        let quiet = settings.quiet;
        let mut rig = Rig {
            machine: LabMachine::new(Arc::new(settings), Moment::START),
            now: Moment::START,
            quiet,
            order: None,
            open: Vec::new(),
            stored: Vec::new(),
            shown: Vec::new(),
            remarks: Vec::new(),
            answers: Vec::new(),
            shut: false,
            waiting: Vec::new(),
        };
        rig.settle();
        rig
    }

    /// Feeds bytes, as one read brings them.
    fn feed(&mut self, bytes: impl AsRef<[u8]>) -> &mut Rig {
        self.waiting.extend_from_slice(bytes.as_ref());
        while !self.waiting.is_empty() {
            let have = self.waiting.len();
            let part = |left: u64| usize::try_from(left).unwrap_or(usize::MAX).min(have);
            let took = match self.machine.want() {
                Want::Bytes => self.machine.handle_bytes(&self.waiting, self.now),
                Want::Body(left) => {
                    assert!(self.order.is_some(), "a body goes into an open upload");
                    self.open.extend_from_slice(&self.waiting[..part(left)]);
                    self.machine.handle_moved(part(left) as u64, self.now);
                    part(left)
                }
                Want::Discard(left) => {
                    self.machine.handle_moved(part(left) as u64, self.now);
                    part(left)
                }
                Want::Wait | Want::Close => break,
            };
            assert!(took > 0);
            self.waiting.drain(..took);
            self.settle();
        }
        self
    }

    /// Feeds bytes one by one, with no silence between them.
    fn feed_singly(&mut self, bytes: impl AsRef<[u8]>) -> &mut Rig {
        for byte in bytes.as_ref() {
            self.feed([*byte]);
        }
        self
    }

    /// Lets time pass.
    fn wait(&mut self, time: Duration) -> &mut Rig {
        self.now = self.now + time;
        self.machine.handle_deadline(self.now);
        self.settle();
        self
    }

    /// Lets the quiet moment pass.
    fn silence(&mut self) -> &mut Rig {
        self.wait(self.quiet)
    }

    /// The peer ends its stream.
    fn end(&mut self) -> &mut Rig {
        if self.machine.want() != Want::Close {
            self.machine.handle_end(self.now);
            self.settle();
        }
        self
    }

    fn is_closed(&self) -> bool {
        self.machine.want() == Want::Close
    }

    fn answers(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.answers)).expect("text")
    }

    fn settle(&mut self) {
        loop {
            if let Some(action) = self.machine.poll_action() {
                self.act(action);
            } else if !self.machine.output().is_empty() {
                // One byte at a time: what is sent in pieces must be the same.
                self.answers.push(self.machine.output()[0]);
                self.machine.handle_sent(1, self.now);
            } else {
                return;
            }
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Begin(order) => {
                self.order = Some(*order);
                self.open.clear();
                self.machine.handle_begun(Ok(Begun::Open), self.now);
            }
            Action::Reserve(_) => self.machine.handle_begun(Ok(Begun::Open), self.now),
            Action::Write(bytes) => {
                assert!(self.order.is_some(), "bytes go into an open upload");
                self.open.extend_from_slice(&bytes);
            }
            Action::Commit(ticket, seal) => self.commit(ticket, seal),
            Action::Abort | Action::Discard => self.order = None,
            Action::Show(text) => self.shown.push(text),
            Action::Remark(text) => self.remarks.push(text.into()),
            Action::FinishSending => {
                self.order = None;
                self.shut = true;
            }
        }
    }

    fn commit(&mut self, ticket: u64, seal: Seal) {
        let order = self.order.take().expect("what is committed is open");
        assert_eq!(seal.size, self.open.len() as u64);
        let name = order.name.map(|name| name.to_string()).unwrap_or_default();
        let bytes = std::mem::take(&mut self.open);
        let receipt = Receipt {
            name: name.clone(),
            size: seal.size,
            digest: None,
            durable: false,
        };
        self.stored.push((name, bytes));
        self.machine.handle_stored(ticket, Ok(receipt), self.now);
    }
}

/// Bytes that no grammar could take for its own: neither text throughout, nor small numbers.
fn file(size: usize) -> Vec<u8> {
    let byte = |at: usize| u8::try_from(at * 31 % 251 + 4).expect("it is below 255");
    (0..size).map(byte).collect()
}
