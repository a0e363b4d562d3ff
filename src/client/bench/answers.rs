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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::bench::{Mix, Plan};
    use std::time::Duration;

    fn supply(work: Work) -> Supply {
        let to = vec!["127.0.0.1:1".parse().expect("an address")];
        Supply::new(&Plan {
            to,
            connections: 1,
            work,
            sizes: 5..=5,
            files: None,
            duration: None,
            pipeline: 4,
            reconnect: false,
            mix: Mix::default(),
            seed: 3,
            name_prefix: "t".into(),
            timeout: None,
            connect_timeout: Duration::ZERO,
        })
    }

    /// What so many files in flight come to when these replies are taken.
    fn take(supply: &mut Supply, count: usize, replies: &[&str]) -> (Answers, Tally, Option<Why>) {
        let (mut answers, mut tally, now) = (Answers::default(), Tally::default(), Instant::now());
        for _ in 0..count {
            answers.expect(supply.begin(&mut Vec::new()).expect("no limit"), now);
        }
        for reply in replies {
            if let Err(why) = answers.take(reply.as_bytes(), supply, &mut tally, now) {
                return (answers, tally, Some(why));
            }
        }
        (answers, tally, None)
    }

    fn errors(tally: &Tally) -> Vec<(&'static str, u64)> {
        tally
            .errors
            .iter()
            .map(|(word, count)| (*word, *count))
            .collect()
    }

    #[test]
    fn a_file_is_done_by_its_receipt_and_a_refused_one_counts_once() {
        let replies = [
            "OK",
            "OK\nname=t-3-0\nsize=5\ndurable=no",
            "ERR exists\ntext=there",
            "ERR exists\ntext=there",
            "OK",
        ];
        let (mut answers, mut tally, why) = take(&mut supply(Work::Files), 3, &replies);
        assert!(why.is_none() && answers.in_flight() == 1);
        assert_eq!((tally.done, tally.bytes), (1, 5));
        assert_eq!(errors(&tally), [("exists", 1)]);
        answers.lose_all("lost", &mut tally);
        assert_eq!(errors(&tally), [("exists", 1), ("lost", 1)]);
    }

    #[test]
    fn behind_the_servers_last_word_every_file_fails_of_that_word() {
        let (mut answers, mut tally, why) = take(
            &mut supply(Work::Files),
            3,
            &["OK", "ERR shutdown\ntext=bye"],
        );
        assert!(why.is_none() && answers.ending == Some("shutdown"));
        answers.lose_all("lost", &mut tally);
        assert_eq!(errors(&tally), [("shutdown", 3)]);
        let (answers, ..) = take(&mut supply(Work::Files), 0, &["ERR busy\ntext=full"]);
        assert_eq!(answers.ending, Some("busy"));
    }

    #[test]
    fn a_code_that_nobody_knows_is_not_repeated() {
        let word = "ERR \u{1b}[2J\ntext=x";
        let (_, tally, why) = take(&mut supply(Work::Files), 1, &[word, word]);
        assert!(why.is_none() && errors(&tally) == [("other", 1)]);
    }

    #[test]
    fn a_verified_receipt_has_the_files_name_size_and_digest() {
        let mut made = supply(Work::VerifiedFiles);
        let item = made.begin(&mut Vec::new()).expect("no limit");
        let digest = made.payload.kind(item.kind).digest.expect("asked for");
        let other = blake3::hash(b"other").to_hex();
        for (receipt, is_good) in [
            (format!("name=t-3-0\nsize=5\nblake3={digest}"), true),
            (format!("name=t-3-1\nsize=5\nblake3={digest}"), false),
            (format!("name=t-3-0\nsize=6\nblake3={digest}"), false),
            (format!("name=t-3-0\nsize=5\nblake3={other}"), false),
            ("name=t-3-0\nsize=5".to_owned(), false),
            ("offset=5".to_owned(), false),
        ] {
            let replies = ["OK\noffset=0", &format!("OK\n{receipt}")];
            let (_, tally, why) = take(&mut supply(Work::VerifiedFiles), 1, &replies);
            assert!(why.is_none(), "{receipt}");
            assert_eq!(tally.done == 1, is_good, "{receipt}");
            assert_eq!(tally.errors.contains_key("wrong-answer"), !is_good);
        }
    }

    #[test]
    fn a_text_comes_back_as_it_is() {
        let mut made = supply(Work::Texts);
        let item = made.begin(&mut Vec::new()).expect("no limit");
        let text = str::from_utf8(made.payload.text(item.kind)).expect("letters");
        let good = format!("Message: {text}");
        let replies = [&good, "Message: other", "ERR bad-text\ntext=x"];
        let (answers, tally, why) = take(&mut supply(Work::Texts), 3, &replies);
        assert!(why.is_none() && answers.in_flight() == 0 && answers.count == 3);
        // The same seed gives the first one's text; nothing gives `other`.
        assert_eq!(tally.done, 1);
        assert_eq!(errors(&tally), [("bad-text", 1), ("wrong-answer", 1)]);
    }

    #[test]
    fn a_server_that_is_for_something_else_is_told_at_once() {
        let why = |work, count, reply| {
            let (_, _, why) = take(&mut supply(work), count, &[reply]);
            why.expect("it is pointless to go on")
        };
        assert!(matches!(why(Work::Texts, 1, "OK"), Why::TakenForName));
        let taken = why(Work::Files, 1, "Message: t-3-0");
        assert!(matches!(taken, Why::TakenForText));
        let broken = why(Work::Files, 1, "hello");
        assert!(matches!(broken, Why::Broken(Broken::NotAnAnswer)));
        let unasked = why(Work::Files, 0, "OK");
        assert!(matches!(unasked, Why::Broken(Broken::OneTooMany)));
    }
}
