//! The client's machine: whatever a server says, and whenever.
//!
//! An input is a list of what happens: uploads, streams and texts begin, bytes leave, the server
//! says something sensible or anything at all. Two machines live through it, one of which hears
//! the server's bytes singly, and must come to the same.
//!
//! `wire.rs` reads what leaves, as the server would. What the machine makes of the answers is
//! compared with `ledger.rs`, which knows what was begun, what left, and what was said.

mod ledger;
mod wire;

use std::time::Duration;

use piecemeal::proto::sender::{Broken, Check, Upload};
use piecemeal::proto::{
    Conflict, Digest, Fault, Metadata, Moment, Receipt, Reply, Sender, UploadId,
};

use super::input::Input;
use ledger::Ledger;
use wire::Wire;

const DIGEST: Digest = Digest([0xd1; 32]);

/// Tries one input.
pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let timeout = (input.byte() & 1 == 1).then(|| Duration::from_secs(60));
    let mut world = World::new(timeout);
    while !input.is_empty() {
        if world.happen(&mut input).is_err() {
            // Its driver drops it: what is begun and not answered is lost with the connection.
            break;
        }
        world.look();
    }
    world.look();
}

struct World {
    sender: Sender,
    /// The same, with what the server says in single bytes.
    bytewise: Sender,
    now: Moment,
    ledger: Ledger,
    wire: Wire,
    next_id: u64,
}

impl World {
    fn new(timeout: Option<Duration>) -> World {
        let now = Moment::START;
        World {
            sender: Sender::new(timeout, now),
            bytewise: Sender::new(timeout, now),
            now,
            ledger: Ledger::default(),
            wire: Wire::default(),
            next_id: 1,
        }
    }

    /// Lets both machines hear or do the same.
    fn both(&mut self, mut act: impl FnMut(&mut Sender, Moment)) {
        act(&mut self.sender, self.now);
        act(&mut self.bytewise, self.now);
    }

    /// One thing happens. Fails where the server has broken the protocol.
    fn happen(&mut self, input: &mut Input<'_>) -> Result<(), Broken> {
        match input.byte() % 16 {
            0 | 1 => self.begin(input),
            2 => self.say(input),
            3 => self.begin_stream(),
            4 => self.go_on_with_stream(input),
            5 => {
                let most = input.count();
                self.send(most);
            }
            6 => self.send(usize::MAX),
            7 => self.send_body(input.large()),
            8 => self.send_body(u64::MAX),
            9 => {
                self.now = self.now + Duration::from_millis(1 << (input.byte() % 20));
                self.both(Sender::handle_own_pause);
                self.both(Sender::keep_alive);
            }
            10 => return self.hear(input.piece()),
            11..=14 => return self.hear_what_is_due(input),
            _ => {
                let reply = any_reply(input);
                return self.hear_reply(&reply);
            }
        }
        Ok(())
    }

    fn begin(&mut self, input: &mut Input<'_>) {
        let (how, size) = (input.byte(), input.byte());
        if !self.sender.has_room() {
            return;
        }
        let size = match size {
            0..=63 => u64::from(size),
            64..=127 => 1 << 20,
            // Larger ones wait for the answer to their PUT.
            128..=191 => (1 << 20) + u64::from(size),
            192..=254 => 1 << (size & 63),
            _ => u64::MAX,
        };
        let upload = Upload {
            id: self.next_id,
            name: "a".to_owned(),
            size,
            digest: match how & 3 {
                0 => Check::None,
                1 | 2 => Check::AtEnd,
                _ => Check::Known(DIGEST),
            },
            conflict: (how & 4 != 0).then_some(Conflict::Rename),
            resume: UploadId::parse("id").filter(|_| how & 8 != 0),
            metadata: Metadata::default(),
        };
        self.next_id += 1;
        self.ledger.begin(&upload);
        self.both(|sender, now| sender.begin(upload.clone(), now));
    }

    fn say(&mut self, input: &mut Input<'_>) {
        let text = input.text();
        if self.sender.has_room() {
            let id = self.next_id;
            self.next_id += 1;
            self.ledger.say(id);
            self.both(|sender, now| sender.say(id, &text, now));
        }
    }

    fn begin_stream(&mut self) {
        if self.sender.has_room() {
            let id = self.next_id;
            self.next_id += 1;
            self.ledger.begin_stream(id);
            self.both(|sender, now| sender.begin_stream(id, "a", None, now));
        }
    }

    fn go_on_with_stream(&mut self, input: &mut Input<'_>) {
        let part = input.byte();
        let Some(id) = self.sender.wants_part() else {
            return;
        };
        if part < 128 {
            self.both(|sender, now| sender.begin_part(part.into(), now));
        } else {
            let digest = (part & 1 == 1).then_some(DIGEST);
            self.ledger.end_stream(id, digest);
            self.both(|sender, now| sender.end_stream(digest, now));
        }
    }

    /// Some of the output leaves.
    fn send(&mut self, most: usize) {
        let output = self.sender.output();
        let sent = output.len().min(most);
        if sent > 0 {
            self.wire.take(&output[..sent]);
            self.both(|sender, now| sender.handle_sent(sent, now));
        }
        self.give_digest();
    }

    /// Some bytes of a file leave.
    fn send_body(&mut self, most: u64) {
        if let Some((id, offset, left)) = self.sender.body() {
            assert!(left > 0, "nothing is offered where nothing is left");
            let sent = most.min(left);
            self.wire.take_body(sent, left);
            self.ledger.sent(id, offset, sent);
            self.both(|sender, now| sender.handle_body_sent(sent, now));
        }
        self.give_digest();
    }

    fn give_digest(&mut self) {
        if let Some(id) = self.sender.wants_digest() {
            self.ledger.seal(id, DIGEST);
            self.both(|sender, _| sender.handle_digest(DIGEST));
        }
    }

    /// The server says what would be right, or nearly.
    fn hear_what_is_due(&mut self, input: &mut Input<'_>) -> Result<(), Broken> {
        let how = input.byte();
        let Some(due) = self.ledger.due() else {
            return Ok(());
        };
        let reply = match how % 8 {
            0 => Reply::Fault(Fault::Exists),
            1 => Reply::Ok,
            2 => Reply::Begin { offset: 0 },
            3 => Reply::Begin {
                offset: input.large().min(due.size.unwrap_or(0)),
            },
            4 => Reply::Message("a".to_owned()),
            _ => Reply::Receipt(Receipt {
                name: "a".to_owned(),
                size: due.size.unwrap_or(0),
                digest: due.digest,
                durable: true,
            }),
        };
        self.hear_reply(&reply)
    }

    fn hear_reply(&mut self, reply: &Reply) -> Result<(), Broken> {
        let mut bytes = Vec::new();
        reply.write(&mut bytes);
        self.hear(&bytes)
    }

    /// The server says these bytes, which one machine hears in one go and the other singly.
    fn hear(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        let whole = self.sender.handle_bytes(bytes, self.now);
        let mut singly = Ok(());
        for byte in bytes {
            singly = self.bytewise.handle_bytes(&[*byte], self.now);
            if singly.is_err() {
                break;
            }
        }
        assert_eq!(whole, singly, "the pieces make a difference");
        self.listen();
        whole
    }

    /// What the machines have made of it is the same, and what the ledger allows.
    fn listen(&mut self) {
        while let Some(event) = self.sender.poll_event() {
            assert_eq!(Some(&event), self.bytewise.poll_event().as_ref());
            self.ledger.hear(&event);
        }
        assert_eq!(self.bytewise.poll_event(), None);
    }

    /// What holds at any time.
    fn look(&self) {
        let (one, other) = (&self.sender, &self.bytewise);
        assert_eq!(one.output(), other.output());
        assert_eq!(one.body(), other.body());
        let unanswered = one.unanswered();
        self.ledger.check_unanswered(&unanswered);
        assert_eq!(one.deadline(), other.deadline());
        let has_ended = one.has_ended();
        if has_ended {
            assert!(!one.has_room() && !one.is_sending() && !one.is_idle());
            assert_eq!(
                (one.body(), one.wants_digest(), one.wants_part()),
                (None, None, None)
            );
        }
        if one.is_idle() {
            assert!(unanswered.is_empty(), "{unanswered:?} wait for nothing");
        }
    }
}

/// Any reply that a server may write.
fn any_reply(input: &mut Input<'_>) -> Reply {
    match input.byte() % 8 {
        0 => Reply::Ok,
        1 => Reply::Begin {
            offset: input.large(),
        },
        2 | 3 => Reply::Receipt(Receipt {
            name: "b".to_owned(),
            size: input.large(),
            digest: (input.byte() & 1 == 1).then_some(DIGEST),
            durable: false,
        }),
        4 => Reply::Message(input.text()),
        5 => Reply::Fault(Fault::Busy { retry: 2 }),
        6 => Reply::Fault(Fault::Unknown),
        _ => Reply::Fault(Fault::NoSpace),
    }
}
