//! What the replies of one connection say of the files that it has in flight.
//!
//! Replies come in the order of the messages: a text has one, a file two, the second of which is
//! its receipt, or the refusal that counts. So nothing has to be looked up.

use std::collections::VecDeque;
use std::time::Instant;

use super::Work;
use super::outcome::Tally;
use super::supply::{Item, Supply};
use crate::client::Why;
use crate::proto::reply::Answer;
use crate::proto::sender::Broken;

/// What the answer to a text begins with.
const MESSAGE: &[u8] = b"Message: ";
/// What a receipt begins with.
const RECEIPT: &[u8] = b"OK\nname=";

/// The files of one connection that have no answer yet.
#[derive(Debug, Default)]
pub(super) struct Answers {
    in_flight: VecDeque<Flight>,
    /// Whether the first of them has had the first of its two replies.
    named: bool,
    /// The code with which the server said that it closes.
    pub(super) ending: Option<&'static str>,
    /// How many have been answered here, well or not.
    pub(super) count: u64,
}

/// A file in flight.
#[derive(Debug)]
struct Flight {
    item: Item,
    begun: Instant,
}

/// How a reply begins.
enum Status {
    Ok,
    Refused { word: &'static str, closes: bool },
    Other,
}

impl Answers {
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    pub(super) fn expect(&mut self, item: Item, begun: Instant) {
        self.in_flight.push_back(Flight { item, begun });
    }

    /// Takes a reply's text.
    ///
    /// # Errors
    /// What makes all that would follow pointless: it is no such server.
    pub(super) fn take(
        &mut self,
        text: &[u8],
        supply: &Supply,
        tally: &mut Tally,
        now: Instant,
    ) -> Result<(), Why> {
        let Some(flight) = self.in_flight.front() else {
            // Only a server that turns people away speaks unasked.
            let Status::Refused { word, .. } = Status::of(text)? else {
                return Err(Broken::OneTooMany.into());
            };
            self.ending = Some(word);
            return Ok(());
        };
        let item = flight.item;
        let good = match (supply.work(), self.named) {
            (Work::Texts, _) => text.strip_prefix(MESSAGE) == Some(supply.payload.text(item.kind)),
            (_, false) => text == b"OK",
            (Work::Files, true) => text.starts_with(RECEIPT),
            (Work::VerifiedFiles, true) => is_receipt_of(item, supply, text)?,
        };
        let closes = if good {
            None
        } else {
            self.look_closer(text, supply.work(), tally)?
        };
        if let Some(word) = closes {
            self.ending = Some(word);
        }
        if supply.work() == Work::Texts || self.named || closes.is_some() {
            self.named = false;
            self.count += 1;
            let flight = self.in_flight.pop_front();
            if let Some(flight) = flight.filter(|_| good) {
                let size = supply.payload.kind(item.kind).size;
                tally.went_well(size, now.saturating_duration_since(flight.begun));
            }
        } else {
            self.named = true;
        }
        Ok(())
    }

    /// A reply that is not the good one: counts it, if it is the one that counts. Returns the
    /// code, if the server closes behind it.
    fn look_closer(
        &self,
        text: &[u8],
        work: Work,
        tally: &mut Tally,
    ) -> Result<Option<&'static str>, Why> {
        let is_last = self.named || work == Work::Texts;
        match Status::of(text)? {
            Status::Ok if work == Work::Texts => return Err(Why::TakenForName),
            // To a PUT it has an offset; and a wrong receipt is one file's failure.
            Status::Ok if !is_last => {}
            Status::Ok => tally.failed("wrong-answer", 1),
            Status::Refused { word, closes } => {
                if is_last || closes {
                    tally.failed(word, 1);
                }
                return Ok(closes.then_some(word));
            }
            Status::Other if work == Work::Texts && text.starts_with(MESSAGE) => {
                tally.failed("wrong-answer", 1);
            }
            Status::Other if work == Work::Files && text.starts_with(MESSAGE) => {
                return Err(Why::TakenForText);
            }
            Status::Other => return Err(Broken::NotAnAnswer.into()),
        }
        Ok(None)
    }

    /// The connection is over: whatever is in flight failed, of the server's last word or of
    /// `word`.
    pub(super) fn lose_all(&mut self, word: &'static str, tally: &mut Tally) {
        let lost = std::mem::take(&mut self.in_flight).len() as u64;
        tally.failed(self.ending.unwrap_or(word), lost);
    }
}

impl Status {
    fn of(text: &[u8]) -> Result<Status, Broken> {
        let text = str::from_utf8(text).map_err(|_| Broken::NotUtf8)?;
        Ok(match Answer::parse(text) {
            Answer::Ok { .. } => Status::Ok,
            Answer::Refused(refusal) => Status::Refused {
                // A word that this version doesn't know is the server's own, and isn't repeated.
                word: refusal.code.map_or("other", |code| code.as_str()),
                closes: refusal.closes(),
            },
            Answer::Text(_) => Status::Other,
        })
    }
}

fn is_receipt_of(item: Item, supply: &Supply, text: &[u8]) -> Result<bool, Broken> {
    let text = str::from_utf8(text).map_err(|_| Broken::NotUtf8)?;
    let kind = supply.payload.kind(item.kind);
    Ok(match Answer::parse(text) {
        Answer::Ok {
            receipt: Some(receipt),
            ..
        } => {
            receipt.size == kind.size
                && receipt.digest == kind.digest
                && receipt.name == supply.name(item)
        }
        _ => false,
    })
}
