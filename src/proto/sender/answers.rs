//! How a [`Sender`] reads replies, and what each is the answer to.

use std::mem;

use super::{Broken, Event, Sender, Stage, State, Streaming};
use crate::proto::digest::Digest;
use crate::proto::header::Length;
use crate::proto::kind::Kind;
use crate::proto::limits::{REPLY_MOST, SKIP_MOST};
use crate::proto::moment::Moment;
use crate::proto::reply::{Answer, Receipt, Refusal};

/// The reply that is being read.
#[derive(Debug)]
pub(super) enum Reading {
    Type,
    Len(Length),
    Text { left: usize, bytes: Vec<u8> },
}

/// What a reply to come is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// The answer to a PUT.
    Begin(u64),
    /// The answer to DATA that END follows.
    Part(u64),
    /// The receipt.
    Receipt {
        id: u64,
        size: u64,
        digest: Option<Digest>,
    },
    /// The answer to a message.
    Text(u64),
}

impl Expected {
    pub(super) fn id(&self) -> u64 {
        match self {
            Expected::Begin(id) | Expected::Part(id) | Expected::Text(id) => *id,
            Expected::Receipt { id, .. } => *id,
        }
    }
}

impl Sender {
    /// Takes bytes from the server.
    pub fn handle_bytes(&mut self, mut bytes: &[u8], now: Moment) -> Result<(), Broken> {
        self.moved = now;
        while let Some(&first) = bytes.first() {
            let took = match &mut self.reading {
                Reading::Type => {
                    if first != Kind::String.to_byte() {
                        return Err(Broken::NoReply(first));
                    }
                    self.reading = Reading::Len(Length::of(Kind::String));
                    1
                }
                Reading::Len(length) => {
                    let took = length.feed(bytes);
                    if let Some(value) = length.value() {
                        let left = usize::try_from(value).ok().filter(|_| value <= REPLY_MOST);
                        let left = left.ok_or(Broken::LongReply(value))?;
                        self.reading = Reading::Text {
                            left,
                            bytes: Vec::new(),
                        };
                    }
                    took
                }
                Reading::Text { left, bytes: text } => {
                    let took = bytes.len().min(*left);
                    text.extend_from_slice(&bytes[..took]);
                    *left -= took;
                    took
                }
            };
            bytes = &bytes[took..];
            if let Reading::Text {
                left: 0,
                bytes: text,
            } = &mut self.reading
            {
                let text = mem::take(text);
                self.reading = Reading::Type;
                let text = str::from_utf8(&text).map_err(|_| Broken::NotUtf8)?;
                self.reply(text)?;
            }
        }
        Ok(())
    }

    fn reply(&mut self, text: &str) -> Result<(), Broken> {
        let answer = Answer::parse(text);
        // It is taken from the queue only below, once the answer has made sense: the upload of a
        // reply that breaks the protocol is still unanswered.
        let Some(expected) = self.expected.front().cloned() else {
            return match answer {
                Answer::Refused(refusal) => {
                    self.state = State::Ended(self.state.upload());
                    self.events.push_back(Event::TurnedAway(refusal));
                    Ok(())
                }
                _ => Err(Broken::OneTooMany),
            };
        };
        match (answer, expected) {
            (Answer::Refused(refusal), expected) => self.refusal(expected.id(), refusal),
            (Answer::Ok { offset, .. }, Expected::Begin(id)) => {
                self.begun(id, offset.unwrap_or(0))?;
            }
            (Answer::Ok { .. }, Expected::Part(_)) => {}
            (Answer::Ok { receipt, .. }, Expected::Receipt { id, size, digest }) => {
                // What is still being sent, or was cut off, can't be stored.
                if self.refused == Some(id) || self.state.upload() == Some(id) {
                    return Err(Broken::WrongReceipt);
                }
                let same = |receipt: &Receipt| {
                    receipt.size == size && (digest.is_none() || receipt.digest == digest)
                };
                let receipt = receipt.filter(same).ok_or(Broken::WrongReceipt)?;
                self.events.push_back(Event::Stored(id, receipt));
            }
            (_, Expected::Text(id)) => {
                self.events.push_back(Event::Said(id, text.to_owned()));
            }
            (Answer::Text(_), _) => return Err(Broken::NotAnAnswer),
        }
        self.expected.pop_front();
        Ok(())
    }

    /// The server has taken a PUT.
    fn begun(&mut self, id: u64, offset: u64) -> Result<(), Broken> {
        match mem::replace(&mut self.state, State::Idle) {
            State::Asking(upload) if upload.id == id => {
                if offset > upload.size {
                    return Err(Broken::WrongOffset);
                }
                if offset > 0 {
                    self.events.push_back(Event::Resumed(id, offset));
                }
                self.begin_body(upload, offset);
            }
            State::Streaming(stream) if stream.id == id => {
                if offset > 0 {
                    return Err(Broken::WrongOffset);
                }
                self.state = State::Streaming(Streaming {
                    stage: Stage::Between,
                    ..stream
                });
            }
            // A small file's bytes follow its PUT at once, all of them.
            state => self.state = state,
        }
        Ok(())
    }

    /// The server has refused a message; an upload is told once, by the first of its replies.
    fn refusal(&mut self, id: u64, refusal: Refusal) {
        let closes = refusal.closes();
        if self.refused != Some(id) {
            self.refused = Some(id);
            self.events.push_back(Event::Refused(id, refusal));
        }
        let asked = match &self.state {
            State::Asking(upload) => upload.id == id,
            State::Streaming(stream) => stream.id == id && stream.stage == Stage::Asked,
            _ => false,
        };
        // The rest of a body that nobody wants is still due, unless it is so long that the server
        // won't wait for it; a stream has no end that anybody could wait for.
        let hopeless = match &self.state {
            State::Body { upload, offset } if upload.id == id => upload.size - offset > SKIP_MOST,
            State::Streaming(stream) => stream.id == id && !asked,
            _ => false,
        };
        if closes || hopeless {
            self.state = State::Ended(self.state.upload());
        } else if asked {
            self.state = State::Idle;
        }
    }
}
