//! Messages as a client lays them out, with what each of their bytes is.

use super::dump::Field;
use crate::lab::{Grammar, Task};

/// A message that is to be sent, whole or in pieces.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// All of its bytes.
    pub bytes: Vec<u8>,
    /// What they are, in order.
    pub fields: Vec<Field>,
}

impl Message {
    /// Bytes that are one field.
    pub fn of(name: &'static str, bytes: &[u8]) -> Message {
        Message::default().and(name, bytes)
    }

    /// The same with one more field.
    #[must_use]
    pub fn and(mut self, name: &'static str, bytes: &[u8]) -> Message {
        self.bytes.extend_from_slice(bytes);
        self.fields.push((name, bytes.len()));
        self
    }

    /// The same with another message behind it.
    #[must_use]
    pub fn then(mut self, other: &Message) -> Message {
        self.bytes.extend_from_slice(&other.bytes);
        self.fields.extend_from_slice(&other.fields);
        self
    }

    /// The message that carries a text in a task. Before task 4 a raw text has nothing in front.
    pub fn text(task: Task, grammar: Grammar, text: &[u8]) -> Message {
        if task < Task::Four && !grammar.frames_answers() {
            return Message::of("text", text);
        }
        let whole = grammar.text(text).unwrap_or_default();
        Message::split(&whole, text.len(), "text")
    }

    /// The message that names a file.
    pub fn name(grammar: Grammar, name: &[u8]) -> Message {
        let whole = grammar.name(name).unwrap_or_default();
        Message::split(&whole, name.len(), "name")
    }

    /// What stands before a file of so many bytes: in task 4 just a type, unless it is framed.
    pub fn header(task: Task, grammar: Grammar, size: usize) -> Message {
        if task == Task::Four && !grammar.frames_answers() {
            return Message::of("type 2, data", &[2]);
        }
        let whole = grammar.file_header(size as u64).unwrap_or_default();
        Message::split(&whole, 0, "data")
    }

    /// A file with what stands before it.
    pub fn file(task: Task, grammar: Grammar, body: &[u8]) -> Message {
        Message::header(task, grammar, body.len()).and("data", body)
    }

    /// Takes a laid out message apart: a type, a length if there is room for one, and the body. A
    /// body that is too long for its grammar could not be laid out: then there is no message.
    fn split(whole: &[u8], body: usize, name: &'static str) -> Message {
        let (head, body) = whole.split_at(whole.len().saturating_sub(body));
        let mut message = Message::default();
        if let [kind, length @ ..] = head {
            message = message.and("type", &[*kind]);
            if !length.is_empty() {
                message = message.and("length", length);
            }
        }
        if body.is_empty() {
            return message;
        }
        message.and(name, body)
    }

    /// Where its fields meet.
    pub fn seams(&self) -> Vec<usize> {
        let mut at = 0;
        let mut seams = Vec::new();
        for (_, size) in &self.fields {
            at += size;
            seams.push(at);
        }
        seams.pop();
        seams
    }

    /// Every place where it can be cut in two.
    pub fn cuts(&self) -> std::ops::Range<usize> {
        1..self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_has_a_field_and_the_seams_lie_between_them() {
        let file = Message::file(Task::Six, Grammar::U1, b"abc");
        assert_eq!(file.bytes, b"\x02\x03abc");
        assert_eq!(file.fields, [("type", 1), ("length", 1), ("data", 3)]);
        assert_eq!(file.seams(), [1, 2]);
        let name = Message::name(Grammar::U2, b"x.txt");
        assert_eq!(name.fields, [("type", 1), ("length", 2), ("name", 5)]);
    }

    #[test]
    fn what_is_too_long_for_a_length_of_two_bytes_is_no_message() {
        let long = vec![b'a'; 65_536];
        assert_eq!(Message::name(Grammar::U2, &long).bytes, b"");
        assert_eq!(Message::text(Task::Six, Grammar::Framed, &long).bytes, b"");
        let fits = Message::name(Grammar::U2, &long[1..]);
        assert_eq!(fits.fields, [("type", 1), ("length", 2), ("name", 65_535)]);
    }

    #[test]
    fn a_raw_text_has_a_type_from_task_four_on() {
        let text = |task| Message::text(task, Grammar::U1, b"hi").bytes;
        assert_eq!(text(Task::Three), b"hi");
        assert_eq!(text(Task::Four), b"\x01hi");
        let framed = Message::text(Task::Hello, Grammar::Framed, b"hi");
        assert_eq!(framed.bytes, b"\x01\x02\0hi");
    }
}
