//! The same bytes whole and in pieces, with a store that answers as the names say.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use piecemeal::proto::{
    Action, Begun, Fault, Machine, Moment, Order, Receipt, Receiver, Reply, Rules, Seal, Ticket,
    Want,
};

use super::super::input;
use super::super::input::Input;
use super::super::plain::assert_line;
use super::framing;
use super::steps::Steps;

const CUTS_MOST: usize = 15;

/// Tries one input: how the store and the peer behave, where it is cut, and the session.
pub(super) fn check(rules: Rules, mut input: Input<'_>) {
    let plan = input.byte();
    let store = match plan & 3 {
        0 | 1 => Store::AtOnce,
        2 => Store::OldestFirst,
        _ => Store::NewestFirst,
    };
    let is_deaf = plan >> 2 & 1 == 1;
    let cuts = input.take(usize::from(plan >> 3).min(CUTS_MOST));
    let session = input.rest();

    let whole = Rig::run(rules, store, is_deaf, usize::MAX, [session].into_iter());
    framing::check(session, &whole.sent(), &rules, whole.receipts);
    // Where it is cut, its replies are taken a few bytes at a time too; but not by a peer who reads
    // only when nothing else goes on: how far the machine goes on then depends on how many it takes.
    let most = if is_deaf {
        usize::MAX
    } else {
        usize::from(plan >> 3) + 1
    };
    let cut = Rig::run(rules, store, is_deaf, most, input::pieces(cuts, session));
    assert_eq!(whole.events, cut.events, "cut otherwise, it does otherwise");
    assert_eq!(whole.unwanted, cut.unwanted);
}

/// When the store answers a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Store {
    AtOnce,
    /// As late as it can, those that were asked first before the others.
    OldestFirst,
    /// The same the other way round.
    NewestFirst,
}

/// What the machine did, in order, with a body's bytes joined however they came.
#[derive(Debug, PartialEq, Eq)]
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

struct Rig {
    machine: Receiver,
    now: Moment,
    store: Store,
    is_deaf: bool,
    /// Most bytes of replies that the peer takes at a time.
    most: usize,
    events: Vec<Event>,
    steps: Steps,
    /// The open upload: the first byte of its name, and how many bytes it has.
    open: Option<(u8, u64)>,
    commits: VecDeque<(Ticket, Seal, u8)>,
    /// How often the store was asked about a file that may be there.
    looked: u32,
    stored: u32,
    /// Each receipt as its reply must be, by ticket.
    acknowledged: Vec<(Ticket, String)>,
    receipts: VecDeque<String>,
    unwanted: usize,
}

impl Rig {
    /// Lets a session come in pieces, then the stream's end, and then the time that ends all.
    fn run<'a>(
        rules: Rules,
        store: Store,
        is_deaf: bool,
        most: usize,
        pieces: impl Iterator<Item = &'a [u8]>,
    ) -> Rig {
        let now = Moment::START;
        let mut rig = Rig {
            machine: Receiver::new(Arc::new(rules), now),
            now,
            store,
            is_deaf,
            most,
            events: Vec::new(),
            steps: Steps::default(),
            open: None,
            commits: VecDeque::new(),
            looked: 0,
            stored: 0,
            acknowledged: Vec::new(),
            receipts: VecDeque::new(),
            unwanted: 0,
        };
        for piece in pieces {
            let left = if rig.unwanted == 0 {
                rig.feed(piece)
            } else {
                piece.len()
            };
            rig.unwanted += left;
        }
        rig.finish();
        rig
    }

    /// Hands over one piece; returns how many bytes of it the machine never wanted.
    fn feed(&mut self, mut piece: &[u8]) -> usize {
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
                Want::Wait if self.unblock() => 0,
                Want::Wait | Want::Close => break,
            };
            piece = &piece[took..];
            self.settle(self.is_deaf);
        }
        piece.len()
    }

    /// Does one thing that the machine may be waiting for; whether there was any.
    fn unblock(&mut self) -> bool {
        let next = match self.store {
            Store::NewestFirst => self.commits.pop_back(),
            Store::AtOnce | Store::OldestFirst => self.commits.pop_front(),
        };
        if let Some((ticket, seal, name)) = next {
            self.answer(ticket, seal, name);
            return true;
        }
        self.read()
    }

    fn finish(&mut self) {
        loop {
            self.settle(false);
            match self.machine.want() {
                Want::Close => break,
                Want::Wait => assert!(self.unblock(), "it waits for nothing"),
                Want::Bytes | Want::Body(_) | Want::Discard(_) => {
                    self.machine.handle_end(self.now);
                }
            }
        }
        self.events.push(Event::Closed);
        // The end is the end, whatever is told to it.
        self.machine.handle_end(self.now);
        self.now = self.now + Duration::from_secs(1000);
        self.machine.handle_deadline(self.now);
        self.machine.handle_lost(self.now);
        assert_eq!(self.machine.want(), Want::Close);
        assert_eq!(self.machine.poll_action(), None, "it is closed");
        assert_eq!(self.machine.deadline(), None, "it is closed");
        assert!(self.machine.output().is_empty() && self.open.is_none());
        self.steps.take(&mut self.machine);
        let progress = self.machine.progress();
        assert!(!progress.within_message && !progress.under_way);
        self.acknowledged.sort_unstable();
        let receipts = self.acknowledged.drain(..);
        self.receipts = receipts.map(|(_, receipt)| receipt).collect();
    }

    /// Does what the machine asks for, until it asks for nothing.
    fn settle(&mut self, is_deaf: bool) {
        while let Some(action) = self.machine.poll_action() {
            self.act(action);
        }
        while !is_deaf && self.read() {
            while let Some(action) = self.machine.poll_action() {
                self.act(action);
            }
        }
        self.steps.take(&mut self.machine);
        while let Some(fault) = self.machine.poll_fault() {
            // A fault is a line for people.
            assert_line(&fault.to_string());
        }
        let position = self.machine.position();
        assert!(position.need.is_none_or(|need| position.have <= need));
    }

    /// The peer takes some of the replies; whether there were any.
    fn read(&mut self) -> bool {
        let output = self.machine.output();
        let took = output.len().min(self.most);
        if took == 0 {
            return false;
        }
        if let Some(Event::Sent(before)) = self.events.last_mut() {
            before.extend_from_slice(&output[..took]);
        } else {
            self.events.push(Event::Sent(output[..took].to_vec()));
        }
        self.machine.handle_sent(took, self.now);
        true
    }

    fn write(&mut self, bytes: &[u8]) {
        let (name, have) = self.open.as_mut().expect("a body goes into an open upload");
        if *name == b'b' {
            self.open = None;
            self.machine.handle_write_failed(Fault::NoSpace, self.now);
        } else {
            *have += bytes.len() as u64;
            if let Some(Event::Bytes(before)) = self.events.last_mut() {
                before.extend_from_slice(bytes);
            } else {
                self.events.push(Event::Bytes(bytes.to_vec()));
            }
        }
        self.machine.handle_moved(bytes.len() as u64, self.now);
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Begin(order) => self.begin(*order),
            Action::Reserve(total) => {
                assert!(self.open.is_some(), "what grows is open");
                self.events.push(Event::Reserve(total));
                let reserved = if total % 16 == 13 {
                    self.open = None;
                    Err(Fault::NoSpace)
                } else {
                    Ok(Begun::Open)
                };
                self.machine.handle_begun(reserved, self.now);
            }
            Action::Commit(ticket, seal) => {
                let (name, have) = self.open.take().expect("only what is open is committed");
                assert_eq!(seal.size, have, "it is sealed with what it has");
                self.events.push(Event::Commit(seal));
                if self.store == Store::AtOnce {
                    self.answer(ticket, seal, name);
                } else {
                    self.commits.push_back((ticket, seal, name));
                }
            }
            Action::Abort => self.drop_upload(Event::Abort),
            Action::Discard => self.drop_upload(Event::Discard),
            Action::Show(text) => self.events.push(Event::Show(text)),
            Action::FinishSending => {
                self.drop_upload(Event::Abort);
                self.events.push(Event::FinishSending);
            }
            Action::Remark(_) | Action::Write(_) => panic!("the receiver has no use for it"),
        }
    }

    /// It is written down only where it does something: to ask twice is no harm.
    fn drop_upload(&mut self, event: Event) {
        if self.open.take().is_some() {
            self.events.push(event);
        }
    }

    fn begin(&mut self, order: Order) {
        let first = |name: &str| name.as_bytes().first().copied();
        let name = order.name.as_ref().and_then(|name| first(name.as_str()));
        let name = name.unwrap_or(b'u');
        self.looked += 1;
        let size = order.size.unwrap_or(3);
        let present = || {
            Ok(Begun::Present(Receipt {
                name: "there".to_owned(),
                size,
                digest: order.digest,
                durable: true,
            }))
        };
        let begun = match name {
            b't' => Err(Fault::Exists),
            b'p' if order.look_first => present(),
            // It is gone when it is looked at once more.
            b'f' if order.look_first && self.looked % 2 == 1 => present(),
            b'h' if order.upload.is_some() => Err(Fault::Held { retry: 2 }),
            _ if order.size == Some(13) => Err(Fault::NoSpace),
            b'l' if order.upload.is_some() => Ok(Begun::Resumed {
                offset: size.min(2),
            }),
            _ => Ok(Begun::Open),
        };
        self.open = match &begun {
            Ok(Begun::Open) => Some((name, 0)),
            Ok(Begun::Resumed { offset }) => Some((name, *offset)),
            Ok(Begun::Present(_)) | Err(_) => None,
        };
        self.events.push(Event::Begin(order));
        self.machine.handle_begun(begun, self.now);
    }

    fn answer(&mut self, ticket: Ticket, seal: Seal, name: u8) {
        let stored = match name {
            b'k' => Err(Fault::Unknown),
            b'i' => Err(Fault::Io),
            b'd' => Err(Fault::Digest("other bytes than it should have")),
            _ => {
                self.stored += 1;
                Ok(Receipt {
                    name: self.stored.to_string(),
                    size: seal.size,
                    digest: seal.digest,
                    durable: true,
                })
            }
        };
        if let Ok(receipt) = &stored {
            let mut reply = Vec::new();
            Reply::Receipt(receipt.clone()).write(&mut reply);
            let text = String::from_utf8(reply.split_off(3)).expect("a reply is text");
            self.acknowledged.push((ticket, text));
        }
        self.machine.handle_stored(ticket, stored, self.now);
    }

    fn sent(&self) -> Vec<u8> {
        let sent = self.events.iter().filter_map(|event| match event {
            Event::Sent(bytes) => Some(bytes.as_slice()),
            _ => None,
        });
        sent.collect::<Vec<_>>().concat()
    }
}
