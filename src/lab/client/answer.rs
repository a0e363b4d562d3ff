//! What a server says, put together from whatever pieces it comes in.
//!
//! A framed answer says itself how long it is. A raw one doesn't: only `OK` is known by its own
//! two bytes, and everything else is over when the stream is, when the server has been quiet for
//! a moment, or when it has said as much as any text may have.
//!
//! A server is given up when it is silent while something is due, so each wait begins anew with
//! each byte. Where nothing is due, it may end the connection or let it stand: it is listened to
//! for a moment only, and neither is a failure.

use std::time::Duration;

use super::wire::{Heard, Wire};
use super::{Failure, Settings};
use crate::lab::Grammar;
use crate::proto::Kind;
use crate::proto::limits::TEXT_MOST;
use crate::proto::reply::Answer;

/// What a server did when all was sent to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// What it said, unframed where it was framed; to be shown escaped.
    pub said: Vec<u8>,
    /// Whether it had not ended the connection, for as long as that was waited for.
    pub left_open: bool,
}

/// Bytes in front of a framed answer's text: its type, and its length on two.
const FRAME: usize = 3;

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answered {
    /// What was said, without its frame.
    pub(super) text: Vec<u8>,
    /// Whether it had one.
    pub(super) framed: bool,
}

/// What the first bytes of an answer are.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Begun {
    /// They may still become an answer that says where it ends.
    Unclear,
    /// A whole answer; so many bytes belong to it.
    Whole(Answered, usize),
    /// Words that nothing but time will end.
    Words,
}

/// Looks at what has come so far.
fn begun(bytes: &[u8], grammar: Grammar) -> Begun {
    match bytes {
        b"" | b"O" => Begun::Unclear,
        b"OK" => Begun::Whole(raw(b"OK".to_vec()), 2),
        // Some servers take framed messages and answer raw, so this is decided by what comes.
        [first, rest @ ..] if grammar.frames_answers() && *first == Kind::String.to_byte() => {
            let [low, high, text @ ..] = rest else {
                return Begun::Unclear;
            };
            let length = usize::from(u16::from_le_bytes([*low, *high]));
            match text.get(..length) {
                Some(text) => Begun::Whole(framed(text), FRAME + length),
                None => Begun::Unclear,
            }
        }
        _ => Begun::Words,
    }
}

fn raw(text: Vec<u8>) -> Answered {
    let framed = false;
    Answered { text, framed }
}

fn framed(text: &[u8]) -> Answered {
    let text = text.to_vec();
    let framed = true;
    Answered { text, framed }
}

/// Whether an answer is an `OK`. Behind a framed one there may be more lines.
fn is_ok(text: &[u8], grammar: Grammar) -> bool {
    let first = text.split(|&byte| byte == b'\n').next();
    text == b"OK" || grammar.frames_answers() && first == Some(b"OK")
}

impl Wire {
    /// Waits for one answer. `None` is the end of the stream instead of one.
    pub(super) fn hear_answer(&mut self, settings: &Settings) -> Result<Option<Answered>, Failure> {
        loop {
            let silence = match begun(&self.heard, settings.grammar) {
                Begun::Whole(answer, length) => {
                    self.heard.drain(..length);
                    return Ok(Some(answer));
                }
                Begun::Unclear => settings.timeout,
                Begun::Words if self.heard.len() as u64 >= TEXT_MOST => {
                    return Ok(Some(raw(self.take_heard())));
                }
                Begun::Words => earlier(settings.timeout, Some(settings.quiet)),
            };
            match self.hear(silence) {
                Heard::Bytes => {}
                Heard::End if self.heard.is_empty() => return Ok(None),
                Heard::Nothing if self.heard.is_empty() => {
                    return Err(Failure::Silent(self.patience()));
                }
                Heard::Broken(how) => {
                    let said = self.take_heard();
                    return Err(Failure::Lost { how, said });
                }
                Heard::End | Heard::Nothing | Heard::TooMuch => {
                    return Ok(Some(raw(self.take_heard())));
                }
            }
        }
    }

    /// Waits for the `OK` to a name, and says whether it was framed.
    pub(super) fn hear_ok(&mut self, settings: &Settings) -> Result<bool, Failure> {
        match self.hear_answer(settings)? {
            None => Err(Failure::Closed),
            Some(answer) if is_ok(&answer.text, settings.grammar) => Ok(answer.framed),
            Some(answer) => Err(Failure::NotOk(answer.text)),
        }
    }

    /// Hears what the server says when all was sent to it. With `answer_due` it has to say
    /// something, or to end the connection; else it may do as it likes.
    pub(super) fn hear_behind(
        &mut self,
        settings: &Settings,
        answer_due: bool,
    ) -> Result<Reply, Failure> {
        let mut texts = Vec::new();
        if answer_due {
            texts.push(self.hear_receipt(settings)?);
        }
        let mut reply = self.hear_out(Some(settings.quiet), settings.grammar)?;
        texts.push(reply.said);
        texts.retain(|text| !text.is_empty());
        reply.said = texts.join(&b'\n');
        Ok(reply)
    }

    /// Waits for the answer that is due behind what was sent. It is empty where the server ends
    /// its stream instead.
    pub(super) fn hear_receipt(&mut self, settings: &Settings) -> Result<Vec<u8>, Failure> {
        match self.hear_answer(settings)? {
            None => Ok(Vec::new()),
            Some(Answered { text, .. }) if refused(&text, settings.grammar) => {
                Err(Failure::Refused(text))
            }
            Some(Answered { text, .. }) => Ok(text),
        }
    }

    /// Reads until the stream ends, or is silent for so long; `None` is for ever.
    pub(super) fn hear_out(
        &mut self,
        silence: Option<Duration>,
        grammar: Grammar,
    ) -> Result<Reply, Failure> {
        let ended = loop {
            match self.hear(silence) {
                Heard::Bytes => {}
                ended => break ended,
            }
        };
        let heard = self.take_heard();
        let said = if grammar.frames_answers() {
            unframed(&heard).unwrap_or(heard)
        } else {
            heard
        };
        match ended {
            Heard::Broken(how) => Err(Failure::Lost { how, said }),
            Heard::TooMuch => Err(Failure::Endless),
            ended => {
                let left_open = matches!(ended, Heard::Nothing);
                Ok(Reply { said, left_open })
            }
        }
    }

    fn take_heard(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.heard)
    }
}

/// The texts of framed answers, each but the first on a line of its own; `None` where the bytes
/// are something else.
fn unframed(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut texts = Vec::new();
    while !bytes.is_empty() {
        match begun(bytes, Grammar::Framed) {
            Begun::Whole(answer, length) if answer.framed => {
                texts.push(answer.text);
                bytes = &bytes[length..];
            }
            _ => return None,
        }
    }
    Some(texts.join(&b'\n'))
}

/// What a framed answer means. A text that is neither an `OK` nor a refusal is for a person.
fn refused(text: &[u8], grammar: Grammar) -> bool {
    let text = str::from_utf8(text).unwrap_or_default();
    grammar.frames_answers() && matches!(Answer::parse(text), Answer::Refused(_))
}

fn earlier(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    [one, other].into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_ok_is_known_by_its_two_bytes_and_only_by_them() {
        for grammar in Grammar::ALL {
            assert_eq!(begun(b"", grammar), Begun::Unclear);
            assert_eq!(begun(b"O", grammar), Begun::Unclear);
            assert_eq!(begun(b"OK", grammar), Begun::Whole(raw(b"OK".to_vec()), 2));
            for other in [&b"OK\n"[..], b"OKAY", b"ok", b"NO", b"X"] {
                assert_eq!(begun(other, grammar), Begun::Words, "{other:?}");
            }
        }
    }

    #[test]
    fn a_framed_answer_is_one_only_where_answers_are_framed() {
        let bytes = b"\x01\x02\x00OK";
        assert_eq!(
            begun(bytes, Grammar::Framed),
            Begun::Whole(framed(b"OK"), 5)
        );
        assert_eq!(begun(bytes, Grammar::U1), Begun::Words);
        for short in 1..bytes.len() {
            assert_eq!(begun(&bytes[..short], Grammar::Framed), Begun::Unclear);
        }
    }

    #[test]
    fn a_receipt_is_an_ok_where_answers_are_framed() {
        let receipt = b"OK\nname=a\nsize=1";
        assert!(is_ok(receipt, Grammar::Framed) && !is_ok(receipt, Grammar::U1));
        assert!(is_ok(b"OK", Grammar::U1) && !is_ok(b"OKAY", Grammar::Framed));
        assert!(refused(b"ERR exists\ntext=no", Grammar::Framed));
        assert!(!refused(b"ERR exists", Grammar::U1));
    }

    #[test]
    fn several_framed_answers_are_unframed_and_anything_else_is_left_alone() {
        let two = b"\x01\x01\x00a\x01\x02\x00bc";
        assert_eq!(unframed(two), Some(b"a\nbc".to_vec()));
        assert_eq!(unframed(b""), Some(Vec::new()));
        for other in [&b"OK"[..], b"Message: a", b"\x01\x05\x00a"] {
            assert_eq!(unframed(other), None, "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn an_answer_in_any_pieces_is_the_same_answer(text in "[a-zK]{0,40}", cut: usize, in_frame: bool) {
            let (grammar, bytes) = if in_frame {
                let message = Grammar::Framed.text(text.as_bytes());
                (Grammar::Framed, message.expect("it is short"))
            } else {
                (Grammar::U1, b"OK".to_vec())
            };
            // No beginning of it is taken for something else.
            let short = &bytes[..cut % bytes.len()];
            prop_assert_eq!(begun(short, grammar), Begun::Unclear);
            let expected = if in_frame { framed(text.as_bytes()) } else { raw(b"OK".to_vec()) };
            let length = bytes.len();
            prop_assert_eq!(begun(&bytes, grammar), Begun::Whole(expected, length));
        }
    }
}
