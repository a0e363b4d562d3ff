//! The introduction and task 3: a text comes, and goes back behind a few words.
//!
//! Nothing says how long the text is. A client that ends its stream has said it all; one that
//! waits for the answer with its stream open has only fallen silent. So the answer goes out after
//! a moment without a byte, and a client that thinks for longer in the middle of its text gets an
//! answer to half of it. There is no right length for that moment.

use std::time::Duration;

use super::Settings;
use super::desk::Desk;
use super::reader::Reader;
use super::text::Text;
use crate::lab::Grammar;
use crate::proto::Position;

#[derive(Debug)]
pub(super) struct Answer {
    words: &'static str,
    text: Text,
}

impl Answer {
    /// Answers with these words before the text.
    pub(super) fn new(words: &'static str) -> Answer {
        Answer {
            words,
            text: Text::default(),
        }
    }

    fn answer(&self, known_by: &str, desk: &mut Desk) {
        desk.count_message();
        // A length before the text can only be the framed grammar's, so the answer has one too.
        let framed = self.text.behind_length(&[1]);
        let text = framed.unwrap_or_else(|| self.text.raw());
        let answer = [self.words.as_bytes(), text].concat();
        desk.show(text);
        match framed.and_then(|_| Grammar::Framed.text(&answer)) {
            Some(message) => {
                desk.remark("framed: the text has a type and a length");
                desk.answer(&message);
            }
            None => {
                desk.remark(format!("raw text: {known_by}"));
                desk.answer(&answer);
            }
        }
        desk.finish();
    }
}

impl Reader for Answer {
    fn handle_bytes(&mut self, bytes: &[u8], _: &mut Desk) -> usize {
        self.text.push(bytes);
        bytes.len()
    }

    fn handle_silence(&mut self, desk: &mut Desk) {
        if self.text.is_empty() {
            desk.remark("said nothing");
            desk.finish();
        } else {
            self.answer("it was silent for a moment", desk);
        }
    }

    fn handle_end(&mut self, desk: &mut Desk) {
        if self.text.is_empty() {
            desk.finish();
        } else {
            self.answer("its stream has ended", desk);
        }
    }

    fn patience(&self, settings: &Settings) -> Duration {
        if self.text.is_empty() {
            settings.idle
        } else {
            settings.quiet
        }
    }

    fn position(&self) -> Position {
        Position {
            state: "ReadText",
            have: self.text.have(),
            need: None,
        }
    }

    fn is_idle(&self) -> bool {
        self.text.is_empty()
    }
}
