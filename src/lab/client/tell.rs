//! Tasks 4 and 5: a text or random bytes, told apart by their first byte.

use std::io::{self, Read};

use rand::Rng;
use rand::rngs::ThreadRng;

use super::wire::Wire;
use super::{Failure, Reply, Settings};
use crate::lab::{Grammar, Task};
use crate::proto::Digest;

/// What is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A text.
    Text(String),
    /// So many random bytes.
    Random(u64),
}

/// What was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its first byte.
    pub kind: u8,
    /// Bytes of the text or the data, without what stood in front of them.
    pub size: u64,
    /// The digest of random bytes, by which they can be known where they are stored.
    pub digest: Option<Digest>,
    /// What the server did then; most say nothing.
    pub reply: Reply,
}

/// Sends a message over a connection of its own. Task 4's data goes on until the stream ends, and
/// task 5's has its size in front of it.
///
/// # Errors
/// What can't be said in the grammar; what the connection can fail of; a refusal.
pub fn tell(settings: &Settings, task: Task, message: &Message) -> Result<Told, Failure> {
    let header = header(task, settings.grammar, message)?;
    let mut told = Told {
        kind: header[0],
        size: 0,
        digest: None,
        reply: Reply::default(),
    };
    let mut wire = Wire::connect(settings)?;
    match message {
        Message::Text(text) => {
            wire.send(&header[..])?;
            told.size = text.len() as u64;
        }
        Message::Random(size) => {
            let mut noise = Noise::default();
            wire.send((&header[..]).chain((&mut noise).take(*size)))?;
            told.size = *size;
            told.digest = Some(Digest(noise.hasher.finalize().into()));
        }
    }
    wire.finish();
    told.reply = wire.hear_behind(settings, settings.grammar.frames_answers())?;
    Ok(told)
}

/// A text's whole message, or what stands in front of the data.
fn header(task: Task, grammar: Grammar, message: &Message) -> Result<Vec<u8>, Failure> {
    let too_long = || {
        Failure::Unsendable(format!(
            "its size has no room in the length field of {grammar}"
        ))
    };
    match message {
        Message::Text(text) => grammar.text(text.as_bytes()).ok_or_else(too_long),
        Message::Random(_) if task == Task::Four && !grammar.frames_answers() => Ok(vec![2]),
        Message::Random(size) => match grammar.file_header(*size) {
            Some(header) if !header.is_empty() => Ok(header),
            Some(_) => Err(Failure::Unsendable(format!("{grammar} has no length"))),
            None => Err(too_long()),
        },
    }
}

/// Random bytes without end, and the digest of those that were read.
#[derive(Debug, Default)]
struct Noise {
    random: ThreadRng,
    hasher: blake3::Hasher,
}

impl Read for Noise {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.random.fill_bytes(buffer);
        self.hasher.update(buffer);
        Ok(buffer.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_has_its_size_in_front_of_it_from_task_5_on() {
        let data = |task, grammar, size| header(task, grammar, &Message::Random(size));
        assert_eq!(data(Task::Four, Grammar::U1, 300), Ok(vec![2]));
        assert_eq!(data(Task::Four, Grammar::U4, 300), Ok(vec![2]));
        assert_eq!(data(Task::Four, Grammar::Framed, 255), Ok(vec![2, 255]));
        assert_eq!(data(Task::Five, Grammar::U1, 255), Ok(vec![2, 255]));
        assert_eq!(data(Task::Five, Grammar::U1, 256), Ok(vec![3, 0, 1]));
        assert_eq!(data(Task::Five, Grammar::U2, 1), Ok(vec![2, 1, 0, 0, 0]));
    }

    #[test]
    fn what_has_no_room_in_its_length_field_is_refused_here() {
        for (grammar, size) in [(Grammar::U2, 1 << 32), (Grammar::U3, 1), (Grammar::U4, 0)] {
            let refused = header(Task::Five, grammar, &Message::Random(size));
            assert!(
                matches!(refused, Err(Failure::Unsendable(_))),
                "{grammar} {size}"
            );
        }
        let text = Message::Text("x".repeat(65_536));
        assert!(header(Task::Five, Grammar::Framed, &text).is_err());
    }

    #[test]
    fn the_digest_is_of_the_bytes_that_were_given_out() {
        let (mut noise, mut bytes) = (Noise::default(), Vec::new());
        let read = (&mut noise).take(100_000).read_to_end(&mut bytes);
        assert_eq!(read.expect("it never fails"), 100_000);
        assert_eq!(noise.hasher.finalize(), blake3::hash(&bytes));
    }
}
