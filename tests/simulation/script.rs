//! A client that sends a script of messages, right ones and wrong ones, without waiting for any
//! reply, and knows what each reply has to be.

use piecemeal::proto::{Answer, Code, Digest, End, Kind as Type, Moment, Put, header};

use super::client::{Link, Net, PATIENCE};
use super::content::digest;
use super::plan::{Item, Kind};

/// More files than may run ahead of their commits, and more refusals than may be unread.
const MANY_FILES: usize = 80;
const MANY_REFUSED: usize = 1000;

#[derive(Debug)]
pub(super) struct Script {
    pub(super) link: Link,
    messages: Vec<Message>,
    /// All bytes, and how many were sent.
    bytes: Vec<u8>,
    sent: usize,
    /// Replies that have come, and what of the next has.
    answered: usize,
    reading: Vec<u8>,
    /// Why names are refused, until the next name.
    refused: Option<Code>,
    is_closing: bool,
    has_begun: bool,
    moved: Moment,
}

/// What a message's reply is to be.
#[derive(Clone, Debug)]
struct Message {
    /// Where it ends in the script's bytes.
    end: usize,
    what: What,
    due: Due,
}

/// What a message is, as far as the reply depends on what was refused before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// It names an upload, so what was refused before doesn't matter.
    Name,
    /// Bytes that end an upload, or belong to one that END ends.
    Data,
    Part,
    End,
}

#[derive(Clone, Debug)]
enum Due {
    /// `OK`, with an offset or without.
    Ok,
    Receipt(u64, Digest),
    Err(Code),
    /// The same, and the connection closes.
    Last(Code),
}

impl Script {
    pub(super) fn new(link: Link, items: &[Item]) -> Script {
        let mut script = Script {
            link,
            messages: Vec::new(),
            bytes: Vec::new(),
            sent: 0,
            answered: 0,
            reading: Vec::new(),
            refused: None,
            is_closing: false,
            has_begun: false,
            moved: Moment::START,
        };
        items.iter().for_each(|item| script.add(item));
        script
    }

    fn message(&mut self, kind: Type, body: &[u8], what: What, due: Due) {
        header::write(kind, body.len() as u64, &mut self.bytes);
        self.bytes.extend_from_slice(body);
        let end = self.bytes.len();
        self.messages.push(Message { end, what, due });
    }

    fn add(&mut self, item: &Item) {
        let body = item.content.bytes();
        let size = body.len() as u64;
        let receipt = Due::Receipt(size, item.content.digest);
        let kind = Type::data_for(size);
        let put = Put {
            name: item.name.clone(),
            ..Put::default()
        };
        match item.kind {
            Kind::Named => {
                self.message(Type::String, item.name.as_bytes(), What::Name, Due::Ok);
                self.message(
                    Type::from_byte(9).expect("DATA_8B"),
                    body,
                    What::Data,
                    receipt,
                );
            }
            Kind::Unnamed => self.message(kind, body, What::Data, receipt),
            Kind::BadName | Kind::NotText | Kind::Replaced => {
                if item.kind == Kind::Replaced {
                    self.message(Type::String, item.name.as_bytes(), What::Name, Due::Ok);
                }
                let (name, code) = match item.kind {
                    Kind::NotText | Kind::Replaced => (&b"\xff\xfe"[..], Code::BadText),
                    _ => (item.name.as_bytes(), Code::BadName),
                };
                self.message(Type::String, name, What::Name, Due::Err(code));
                self.message(kind, body, What::Data, Due::Err(code));
            }
            Kind::StrayEnd => self.message(Type::End, b"", What::End, Due::Err(Code::BadState)),
            Kind::Explicit | Kind::WrongDigest | Kind::WrongSize => {
                let put = Put {
                    explicit_end: true,
                    ..put
                };
                self.message(Type::Put, put.to_string().as_bytes(), What::Name, Due::Ok);
                let mut rest = body;
                while !rest.is_empty() {
                    let most = self.link.amount().min(rest.len()).max(rest.len() / 8);
                    let (part, after) = rest.split_at(most);
                    let kind = Type::data_for(part.len() as u64);
                    self.message(kind, part, What::Part, Due::Ok);
                    rest = after;
                }
                let digest = match item.kind {
                    Kind::WrongDigest => digest(b""),
                    _ => item.content.digest,
                };
                let end = End {
                    size: Some(size + u64::from(item.kind == Kind::WrongSize)),
                    digest: Some(digest),
                };
                let due = match item.kind {
                    Kind::Explicit => receipt,
                    _ => Due::Err(Code::Digest),
                };
                self.message(Type::End, end.to_string().as_bytes(), What::End, due);
            }
            Kind::TooMuch => {
                let put = Put {
                    explicit_end: true,
                    size: Some(size - 1),
                    ..put
                };
                let due = Due::Err(Code::BadState);
                self.message(Type::Put, put.to_string().as_bytes(), What::Name, Due::Ok);
                self.message(kind, body, What::Part, due.clone());
                self.message(Type::End, b"", What::End, due);
            }
            Kind::ManyFiles => {
                for _ in 0..MANY_FILES {
                    self.message(kind, body, What::Data, receipt.clone());
                }
            }
            Kind::ManyRefused => {
                for _ in 0..MANY_REFUSED {
                    let due = Due::Err(Code::BadState);
                    self.message(Type::End, b"", What::End, due);
                }
            }
            Kind::WrongLength => {
                let put = Put {
                    size: Some(size + 1),
                    ..put
                };
                self.message(Type::Put, put.to_string().as_bytes(), What::Name, Due::Ok);
                self.message(kind, body, What::Data, Due::Err(Code::BadState));
            }
            Kind::BadType => {
                self.bytes.extend([0xff, 1, 2, 3]);
                let end = self.bytes.len() - 3;
                let (what, due) = (What::Name, Due::Last(Code::BadType));
                self.messages.push(Message { end, what, due });
            }
            Kind::Truncated => {
                let (what, due) = (What::Data, Due::Last(Code::Incomplete));
                self.message(kind, body, what, due);
                self.bytes.pop();
            }
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.has_begun && self.link.wire.is_none()
    }

    pub(super) fn next(&self) -> Option<Moment> {
        (self.link.wire.as_ref()).map(|_| self.moved + PATIENCE)
    }

    pub(super) fn act(&mut self, net: &mut Net<'_>) -> Result<bool, String> {
        if self.link.wire.is_none() {
            // It tries only once: a lost connection is the end of it.
            let begins = !self.has_begun && self.link.connect(net);
            self.has_begun |= begins;
            self.moved = net.now;
            return Ok(begins);
        }
        let mut did = self.read(net)?;
        if self.link.is_over() {
            let is_complete = self.answered == self.messages.len() || self.is_closing;
            if !is_complete && !self.link.is_disturbed() {
                return Err(format!("client {} is cut off without a word", self.link.id));
            }
            self.link.close();
            return Ok(true);
        }
        let rest = &self.bytes[self.sent..];
        let most = self.link.amount().min(rest.len());
        let sent = self.link.send(&rest[..most], net.now);
        self.sent += sent;
        did |= sent > 0;
        if self.sent == self.bytes.len() || self.is_closing {
            did |= self.link.end();
        }
        if did {
            self.moved = net.now;
        } else if net.now >= self.moved + PATIENCE {
            if !self.link.is_disturbed() {
                return Err(format!("client {} waits in vain", self.link.id));
            }
            self.link.close();
            did = true;
        }
        Ok(did)
    }

    fn read(&mut self, net: &mut Net<'_>) -> Result<bool, String> {
        let mut bytes = [0; 1024];
        let most = self.link.amount().min(bytes.len());
        let got = self.link.receive(&mut bytes[..most], net.now);
        self.reading.extend_from_slice(&bytes[..got]);
        while let [_, low, high, tail @ ..] = &self.reading[..] {
            let length = usize::from(u16::from_le_bytes([*low, *high]));
            let Some(text) = tail.get(..length) else {
                break;
            };
            let text = String::from_utf8_lossy(text).into_owned();
            self.reading.drain(..3 + length);
            let number = self.answered;
            self.answered += 1;
            self.heard(number, &text, net)
                .map_err(|why| format!("client {}, message {number}: {why}", self.link.id))?;
        }
        Ok(got > 0)
    }

    fn heard(&mut self, number: usize, text: &str, net: &mut Net<'_>) -> Result<(), String> {
        let (answer, disturbed) = (Answer::parse(text), self.link.is_disturbed());
        net.checks.figures.add("replies in scripts", 1);
        if let Answer::Refused(refusal) = &answer {
            // The connection may end for what is nobody's message.
            let ends = matches!(refusal.code, Some(Code::Timeout | Code::Shutdown));
            let cut = refusal.code == Some(Code::Incomplete) && disturbed;
            self.is_closing |= refusal.closes();
            if (ends || cut) && disturbed {
                return Ok(());
            }
        }
        let message = self.messages.get(number).ok_or("a reply too many")?.clone();
        let behind = if number == 0 {
            0
        } else {
            self.messages[number - 1].end
        };
        if self.sent <= behind {
            return Err(format!("{text:?} answers what was not sent"));
        }
        if message.what == What::Name {
            self.refused = None;
        }
        let due = match self.refused {
            Some(code) => Due::Err(code),
            None => message.due,
        };
        match (&answer, &due) {
            (Answer::Ok { receipt: None, .. }, Due::Ok) => return Ok(()),
            (
                Answer::Ok {
                    receipt: Some(it), ..
                },
                Due::Receipt(size, digest),
            ) => {
                let there = net.checks.there(&it.name).map(|(_, digest)| digest);
                // Nobody else has these names, and an unnamed file has a name of its own.
                if it.size == *size && there == Some(*digest) {
                    net.checks.figures.add("files stored", 1);
                    return Ok(());
                }
            }
            (Answer::Refused(it), Due::Err(code) | Due::Last(code)) if it.code == Some(*code) => {
                if matches!(message.what, What::Name | What::Part) {
                    self.refused = Some(*code);
                }
                return Ok(());
            }
            (Answer::Refused(it), due) => {
                let code = it.code.unwrap_or(Code::BadType);
                let is_disks = matches!(code, Code::Io | Code::NoSpace | Code::Unknown);
                let asks_disk = message.what != What::Name || matches!(due, Due::Ok);
                if is_disks && asks_disk && net.checks.disk_is_troubled {
                    // What has failed stays refused, up to the next name or behind its end.
                    self.refused = match message.what {
                        What::Name | What::Part => Some(code),
                        What::Data | What::End => None,
                    };
                    return Ok(());
                }
            }
            _ => {}
        }
        Err(format!("{text:?} is the answer, and {due:?} was due"))
    }
}
