//! A client that uploads files, each with a content of its own, while its server is attacked.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::thread;

use crate::attacker::{Battlefield, LOOK};
use crate::canary::SECRET;
use crate::common::{Client, Reply, data, data_header, digest, put, string};

/// Uploads that are sent ahead of their replies.
const AHEAD: u64 = 16;

/// One kind of upload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) policy: &'static str,
    pub(crate) folders: bool,
    pub(crate) resumable: bool,
}

/// What became of them.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// The names that receipts gave to uploads, by their numbers.
    pub(crate) stored: BTreeMap<u64, String>,
    /// How many were refused, by code.
    pub(crate) refused: BTreeMap<String, u64>,
    /// Replies that never came, since a connection was closed.
    pub(crate) unanswered: u64,
    /// Uploads that went on from some offset on a second connection.
    pub(crate) resumed: u64,
}

/// What an upload is to be called. There are new folders all the time: two attackers at once may
/// leave a weapon in the place of one.
pub(crate) fn name_of(case: Case, number: u64) -> String {
    match case.folders {
        true => format!("d{}/e{}/f{number}", number / 40, number % 3),
        false => format!("f{number}"),
    }
}

/// The bytes of an upload.
pub(crate) fn content_of(number: u64) -> Vec<u8> {
    let filling = "-".repeat(usize::try_from(number % 61).expect("it is small") * 97);
    format!("upload {number} {filling} end").into_bytes()
}

/// Sends so many uploads, and says where it is. There is an attack for each, however the system
/// deals out its processors.
pub(crate) fn send(to: &str, count: u64, field: &Battlefield) -> Outcome {
    let case = field.case;
    let mut outcome = Outcome::default();
    let mut client = Client::connect(to);
    for first in (0..count).step_by(usize::try_from(AHEAD).expect("it is small")) {
        field.at.store(first, Ordering::Relaxed);
        while field.weapons.load(Ordering::Relaxed) < first {
            thread::sleep(LOOK);
        }
        let numbers = first..count.min(first + AHEAD);
        let mut expected = Vec::new();
        let mut messages = Vec::new();
        for number in numbers {
            if case.resumable && number % 8 == 3 {
                cut_off(to, case, number);
            }
            if number % 8 == 5 {
                messages.extend(put(format!(
                    "name={}\nsize={}\nblake3={}",
                    name_of(case, number),
                    SECRET.len(),
                    digest(SECRET)
                )));
                expected.push(Expected::NoSecret);
            }
            if case.resumable && number % 8 == 3 {
                // The offset has to be known before the bytes can be sent.
                messages.extend(announcement(case, number));
                expected.push(Expected::Offset);
                client.send_quietly(std::mem::take(&mut messages));
                let offset = outcome.take(&mut client, &mut expected);
                let content = content_of(number);
                let rest =
                    content.get(usize::try_from(offset.unwrap_or(0)).expect("it is small")..);
                messages.extend(data(rest.expect("no more was sent")));
            } else {
                messages.extend(announcement(case, number));
                messages.extend(data(content_of(number)));
                expected.push(Expected::Anything);
            }
            expected.push(Expected::Receipt(number));
        }
        client.send_quietly(messages);
        outcome.take(&mut client, &mut expected);
        if !expected.is_empty() {
            outcome.unanswered += expected.len() as u64;
            client = Client::connect(to);
        }
    }
    outcome
}

/// A reply that is due, and what it means.
#[derive(Debug)]
enum Expected {
    Anything,
    /// The answer to a question about the secret's digest, to which no link may lead.
    NoSecret,
    Offset,
    Receipt(u64),
}

impl Outcome {
    /// Takes the replies that are due, as long as they come. Gives the last offset.
    fn take(&mut self, client: &mut Client, expected: &mut Vec<Expected>) -> Option<u64> {
        let mut offset = None;
        let mut taken = 0;
        for due in expected.iter() {
            let Some(reply) = client.try_reply() else {
                break;
            };
            taken += 1;
            if let Some(code) = reply.status().strip_prefix("ERR ") {
                let refused = self.refused.entry(code.to_owned());
                *refused.or_default() += u64::from(matches!(due, Expected::Receipt(_)));
                continue;
            }
            assert_eq!(reply.status(), "OK", "{reply}");
            match due {
                Expected::Anything => {}
                Expected::NoSecret => {
                    assert_eq!(number(&reply, "offset"), 0, "it was read: {reply}")
                }
                Expected::Offset => {
                    offset = Some(number(&reply, "offset"));
                    self.resumed += u64::from(offset != Some(0));
                }
                Expected::Receipt(upload) => {
                    assert_eq!(
                        number(&reply, "size"),
                        content_of(*upload).len() as u64,
                        "{reply}"
                    );
                    let name = reply.key("name").expect("a receipt has a name").to_owned();
                    self.stored.insert(*upload, name);
                }
            }
        }
        expected.drain(..taken);
        offset
    }
}

fn number(reply: &Reply, key: &str) -> u64 {
    let value = reply.key(key).and_then(|value| value.parse().ok());
    value.unwrap_or_else(|| panic!("{key} in {reply}"))
}

/// Half an upload, whose connection ends then.
fn cut_off(to: &str, case: Case, number: u64) {
    let content = content_of(number);
    let mut client = Client::connect(to);
    client.send_quietly(announcement(case, number));
    if client
        .try_reply()
        .is_some_and(|reply| reply.status() == "OK")
    {
        let header = data_header(8, content.len() as u64);
        client.send_quietly([&header, &content[..content.len() / 2]].concat());
        client.finish_quietly();
        while client.try_reply().is_some() {}
    }
}

fn announcement(case: Case, number: u64) -> Vec<u8> {
    let (name, content) = (name_of(case, number), content_of(number));
    let size = content.len();
    let with_digest = match number % 2 {
        0 => format!("\nblake3={}", digest(&content)),
        _ => String::new(),
    };
    if case.resumable {
        put(format!(
            "name={name}\nsize={size}\nupload=u{number}{with_digest}"
        ))
    } else if number.is_multiple_of(3) {
        string(name)
    } else {
        put(format!("name={name}\nsize={size}{with_digest}"))
    }
}
