//! The machine driven without a socket: pieces of bytes in, everything it does written down.

mod cuts;
mod deadlines;
mod meaning;
mod order;
mod resuming;
mod table;
mod watched;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::proto::Digest;
use crate::proto::announce::{Conflict, End, Put};
use crate::proto::header;
use crate::proto::machine::Seal;
use crate::proto::reply::Answer;

/// What the machine did, in order, with a body's bytes joined however they came.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Event {
    Begin(Order),
    Reserve(u64),
    Bytes(Vec<u8>),
    Commit(Seal),
    Abort,
    Discard,
    Show(String),
    FinishSending,
    Sent(Vec<u8>),
    Closed,
}

/// A machine, a store that answers as the names say, and a log.
struct Rig {
    machine: Receiver,
    now: Moment,
    log: Vec<Event>,
    /// Whether an upload is open: `Abort` is written down only where it does something.
    open: bool,
    /// Commits are answered when the test says so.
    late: bool,
    commits: VecDeque<(Ticket, Seal)>,
    name: Option<String>,
    steps: Vec<Transition>,
    /// The peer reads nothing.
    deaf: bool,
    /// How often a file that is there was looked at.
    looked: usize,
}

fn rules() -> Rules {
    Rules {
        trace: true,
        ..Rules::default()
    }
}

impl Rig {
    fn new(rules: Rules) -> Rig {
        Rig::of(Receiver::new(Arc::new(rules), Moment::START))
    }

    fn of(machine: Receiver) -> Rig {
        let mut rig = Rig {
            machine,
            now: Moment::START,
            log: Vec::new(),
            open: false,
            late: false,
            commits: VecDeque::new(),
            name: None,
            steps: Vec::new(),
            deaf: false,
            looked: 0,
        };
        rig.settle();
        rig
    }

    /// Whether the file is there when it is looked at: `fleeting` is only once.
    fn looks(&mut self, name: &str) -> bool {
        self.looked += 1;
        name == "there" || self.looked == 1
    }

    /// Hands over one piece; returns what the machine didn't want.
    fn feed<'a>(&mut self, mut piece: &'a [u8]) -> &'a [u8] {
        while !piece.is_empty() {
            let fits = |left: u64| usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
            let took = match self.machine.want() {
                Want::Bytes => self.machine.handle_bytes(piece, self.now),
                Want::Body(left) => {
                    self.write(&piece[..fits(left)]);
                    fits(left)
                }
                Want::Discard(left) => {
                    self.machine.handle_moved(fits(left) as u64, self.now);
                    fits(left)
                }
                Want::Wait | Want::Close => break,
            };
            assert!(took > 0, "a machine that wants bytes takes some");
            piece = &piece[took..];
            self.settle();
        }
        piece
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.name.as_deref() == Some("breaks") {
            self.open = false;
            self.machine.handle_write_failed(Fault::NoSpace, self.now);
        } else if let Some(Event::Bytes(before)) = self.log.last_mut() {
            before.extend_from_slice(bytes);
        } else {
            self.log.push(Event::Bytes(bytes.to_vec()));
        }
        self.machine.handle_moved(bytes.len() as u64, self.now);
    }

    fn end(&mut self) {
        self.machine.handle_end(self.now);
        self.settle();
    }

    /// Lets the time pass, and the machine notice each deadline on the way.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(deadline) = self
            .machine
            .deadline()
            .filter(|deadline| *deadline <= until)
        {
            self.now = self.now.max(deadline);
            self.machine.handle_deadline(self.now);
            self.settle();
        }
        self.now = until;
    }

    /// The store has committed the oldest upload.
    fn stored(&mut self) {
        let (ticket, seal) = self
            .commits
            .pop_front()
            .expect("something is being committed");
        self.answer(ticket, seal);
        self.settle();
    }

    fn answer(&mut self, ticket: Ticket, seal: Seal) {
        let stored = match self.name.as_deref() {
            Some("unknown") => Err(Fault::Unknown),
            _ if seal.digest == Some(Digest([0xbd; 32])) => Err(Fault::Digest("bad")),
            _ => Ok(Receipt {
                name: "stored".into(),
                size: seal.size,
                digest: seal.digest,
                durable: true,
            }),
        };
        self.machine.handle_stored(ticket, stored, self.now);
    }

    /// Does what the machine asks for, until it asks for nothing.
    fn settle(&mut self) {
        loop {
            while let Some(step) = self
                .machine
                .told
                .as_mut()
                .and_then(|told| told.steps.pop_front())
            {
                self.steps.push(step);
            }
            if let Some(action) = self.machine.poll_action() {
                self.act(action);
            } else if !self.machine.output().is_empty() && !self.deaf {
                let output = self.machine.output().to_vec();
                self.machine.handle_sent(output.len(), self.now);
                self.sent(&output);
            } else {
                break;
            }
        }
        if self.machine.want() == Want::Close && self.log.last() != Some(&Event::Closed) {
            self.log.push(Event::Closed);
        }
    }

    fn sent(&mut self, output: &[u8]) {
        if let Some(Event::Sent(before)) = self.log.last_mut() {
            before.extend_from_slice(output);
        } else {
            self.log.push(Event::Sent(output.to_vec()));
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Begin(order) => {
                self.name = order.name.as_ref().map(Name::to_string);
                let begun = match self.name.clone().as_deref() {
                    Some("taken") => Err(Fault::Exists),
                    Some(name @ ("there" | "fleeting")) if order.look_first && self.looks(name) => {
                        Ok(Begun::Present(Receipt {
                            name: name.into(),
                            size: 5,
                            digest: order.digest,
                            durable: true,
                        }))
                    }
                    Some("held") if order.upload.is_some() => Err(Fault::Held { retry: 2 }),
                    _ if matches!(order.size, Some(13 | u64::MAX)) => Err(Fault::NoSpace),
                    // Two bytes are there.
                    Some("left") if order.upload.is_some() => Ok(Begun::Resumed { offset: 2 }),
                    _ => Ok(Begun::Open),
                };
                self.open = matches!(begun, Ok(Begun::Open | Begun::Resumed { .. }));
                self.log.push(Event::Begin(*order));
                self.machine.handle_begun(begun, self.now);
            }
            Action::Reserve(total) => {
                self.log.push(Event::Reserve(total));
                let begun = if total > 1 << 50 {
                    Err(Fault::NoSpace)
                } else {
                    Ok(Begun::Open)
                };
                self.machine.handle_begun(begun, self.now);
            }
            Action::Commit(ticket, seal) => {
                assert!(
                    std::mem::take(&mut self.open),
                    "only what is open is committed"
                );
                self.log.push(Event::Commit(seal));
                if self.late {
                    self.commits.push_back((ticket, seal));
                } else {
                    self.answer(ticket, seal);
                }
            }
            Action::Abort => {
                if std::mem::take(&mut self.open) {
                    self.log.push(Event::Abort);
                }
            }
            Action::Discard => {
                if std::mem::take(&mut self.open) {
                    self.log.push(Event::Discard);
                }
            }
            Action::Show(text) => self.log.push(Event::Show(text)),
            Action::Remark(_) | Action::Write(_) => unreachable!("the receiver has no use for it"),
            Action::FinishSending => {
                if std::mem::take(&mut self.open) {
                    self.log.push(Event::Abort);
                }
                self.log.push(Event::FinishSending);
            }
        }
    }

    /// The first lines of all replies so far.
    fn statuses(&self) -> Vec<String> {
        let texts = self.replies();
        texts
            .iter()
            .map(|text| text.lines().next().unwrap_or_default().to_owned())
            .collect()
    }

    fn replies(&self) -> Vec<String> {
        let sent = self.log.iter().filter_map(|event| match event {
            Event::Sent(bytes) => Some(bytes.as_slice()),
            _ => None,
        });
        let sent = sent.collect::<Vec<_>>().concat();
        let mut rest = sent.as_slice();
        let mut texts = Vec::new();
        while let [1, low, high, tail @ ..] = rest {
            let (text, after) = tail.split_at(usize::from(u16::from_le_bytes([*low, *high])));
            texts.push(String::from_utf8(text.to_vec()).expect("a reply is text"));
            rest = after;
        }
        assert!(rest.is_empty(), "replies are whole STRING messages");
        texts
    }
}

use crate::proto::name::Name;

fn message(kind: Kind, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    header::write(kind, body.len() as u64, &mut bytes);
    bytes.extend_from_slice(body);
    bytes
}

fn string(text: &str) -> Vec<u8> {
    message(Kind::String, text.as_bytes())
}

fn data(body: &[u8]) -> Vec<u8> {
    message(Kind::data_for(body.len() as u64), body)
}

fn put(put: &Put) -> Vec<u8> {
    message(Kind::Put, put.to_string().as_bytes())
}

fn end(end: End) -> Vec<u8> {
    message(Kind::End, end.to_string().as_bytes())
}

fn announced(name: &str) -> Put {
    Put {
        name: name.into(),
        ..Put::default()
    }
}

/// An upload of six bytes that can be resumed; of `left`, two are there.
fn resumable(name: &str) -> Put {
    Put {
        size: Some(6),
        upload: crate::proto::UploadId::parse("id"),
        ..announced(name)
    }
}

fn explicit(name: &str) -> Put {
    Put {
        explicit_end: true,
        ..announced(name)
    }
}
