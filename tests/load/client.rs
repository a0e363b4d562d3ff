//! One client: uploads of all kinds, one after another, until its connection can't be had any more.

use std::io;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::book::{Book, Partial};
use super::wire::Wire;
use super::{Plan, content};
use crate::common::{data, data_header, digest, end, put, string};

/// Once so much was sent, files are small: the disk is too.
const BUDGET: usize = 16 << 20;
/// How small.
const SMALL: usize = 2000;

/// Sends until the server is gone or says that it goes.
pub(crate) fn run(address: &str, plan: &Plan, number: u64, book: &Book) {
    let seed = plan.seed.wrapping_mul(1000) + number;
    let mut client = Client {
        address,
        plan,
        number,
        book,
        random: SmallRng::seed_from_u64(seed),
        files: 0,
    };
    while client.connection().is_ok_and(|goes_on| goes_on) {}
}

struct Client<'a> {
    address: &'a str,
    plan: &'a Plan,
    number: u64,
    book: &'a Book,
    random: SmallRng,
    files: u64,
}

impl Client<'_> {
    /// One connection; whether another one is to follow.
    fn connection(&mut self) -> io::Result<bool> {
        if self.plan.partials && self.random.random_ratio(1, 4) {
            return self.with_id();
        }
        self.on_wire(Client::files)
    }

    /// Does something over a new connection. One that the server was about to answer ends with a
    /// word of its, unless it is killed.
    fn on_wire<T>(
        &mut self,
        talk: impl FnOnce(&mut Self, &mut Wire) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut wire = Wire::connect(self.address)?;
        let done = talk(self, &mut wire);
        if done.is_err() && wire.is_left_alone() {
            self.book.is_left_alone();
        }
        done
    }

    /// Files until the connection ends.
    fn files(&mut self, wire: &mut Wire) -> io::Result<bool> {
        loop {
            let goes_on = match self.random.random_range(0..16) {
                0..=4 => self.named(wire, 1)?,
                5..=6 => {
                    let files = self.random.random_range(2..12);
                    self.named(wire, files)?
                }
                7..=9 => self.announced(wire, true)?,
                10..=11 => self.stream(wire)?,
                12 => self.announced(wire, false)?,
                13 => return self.broken_off(wire),
                14 if self.plan.partials => return Ok(true),
                _ => self.unnamed(wire)?,
            };
            if !goes_on {
                return Ok(false);
            }
        }
    }

    /// STRING and DATA, so many of them sent ahead.
    fn named(&mut self, wire: &mut Wire, files: usize) -> io::Result<bool> {
        let mut message = Vec::new();
        let mut numbers = Vec::new();
        for _ in 0..files {
            let (name, bytes) = self.file();
            numbers.push(self.book.begins(Some(&name), &bytes, true));
            message.extend([string(&name), data(&bytes)].concat());
        }
        wire.send(message)?;
        for number in numbers {
            let first = wire.answer()?;
            if ends(first.code()) {
                return Ok(false);
            }
            let answer = wire.answer()?;
            self.book.answered(number, &answer);
            if ends(answer.code()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn unnamed(&mut self, wire: &mut Wire) -> io::Result<bool> {
        let (_, bytes) = self.file();
        let number = self.book.begins(None, &bytes, true);
        wire.send(data(&bytes))?;
        let answer = wire.answer()?;
        self.book.answered(number, &answer);
        Ok(!ends(answer.code()))
    }

    /// PUT with size and digest, the right one or another's.
    fn announced(&mut self, wire: &mut Wire, is_right: bool) -> io::Result<bool> {
        let (name, bytes) = self.file();
        // An empty file's digest is right for every empty file.
        let told = if is_right {
            digest(&bytes)
        } else {
            digest(b"another's")
        };
        let number = self.book.begins(Some(&name), &bytes, is_right);
        let fields = format!("name={name}\nsize={}\nblake3={told}", bytes.len());
        // Pieces, so that some of a body is there while the rest is on its way.
        let message = data(&bytes);
        wire.send(put(fields))?;
        for piece in message.chunks(50_000) {
            wire.send(piece)?;
        }
        let first = wire.answer()?;
        if ends(first.code()) {
            return Ok(false);
        }
        let answer = wire.answer()?;
        self.book.answered(number, &answer);
        Ok(!ends(answer.code()))
    }

    /// A size that nobody knows beforehand.
    fn stream(&mut self, wire: &mut Wire) -> io::Result<bool> {
        let (name, bytes) = self.file();
        let number = self.book.begins(Some(&name), &bytes, true);
        wire.send(put(format!("name={name}\nend=explicit")))?;
        let parts: Vec<_> = bytes.chunks((bytes.len() / 3).max(1)).collect();
        for part in &parts {
            wire.send(data(part))?;
        }
        let fields = format!("size={}\nblake3={}", bytes.len(), digest(&bytes));
        wire.send(end(fields))?;
        for _ in 0..=parts.len() {
            if ends(wire.answer()?.code()) {
                return Ok(false);
            }
        }
        let answer = wire.answer()?;
        self.book.answered(number, &answer);
        Ok(!ends(answer.code()))
    }

    /// Leaves in the middle of a body; nothing may ever be seen of that.
    fn broken_off(&mut self, wire: &mut Wire) -> io::Result<bool> {
        let (name, bytes) = self.file();
        self.book.begins(Some(&name), &bytes, false);
        let header = data_header(8, bytes.len() as u64 + 1);
        wire.send([string(&name), header, bytes].concat())?;
        Ok(true)
    }

    /// An upload with an id, broken off a few times and gone on with.
    fn with_id(&mut self) -> io::Result<bool> {
        let (name, mut bytes) = self.file();
        // What is broken off has to have a middle.
        let size = bytes.len().max(100) * 3;
        bytes = content(self.plan.seed, self.next_number(), size);
        // Its name is its own, so that what becomes of it says nothing of others.
        let folder = name
            .rsplit_once('/')
            .map_or(String::new(), |(folder, _)| format!("{folder}/"));
        let name = format!("{folder}{}-{}.id", self.number, self.files);
        let id = format!("{}-{}-{}", self.plan.seed, self.number, self.files);
        let number = self.book.begins(Some(&name), &bytes, true);
        let mut partial = Partial {
            number,
            id,
            name,
            bytes,
            offered: 0,
        };
        self.book.keep(partial.clone());
        loop {
            match self.on_wire(|client, wire| client.part(wire, &mut partial))? {
                Some(goes_on) => return Ok(goes_on),
                None => continue,
            }
        }
    }

    /// Goes on with an upload, over a connection of its own. `None` is to be gone on with.
    fn part(&mut self, wire: &mut Wire, partial: &mut Partial) -> io::Result<Option<bool>> {
        wire.send(partial.announcement(false))?;
        let answer = wire.answer()?;
        if !answer.is_ok() {
            return Ok(Some(!ends(answer.code())));
        }
        let from = answer.offset()?;
        if from < partial.offered {
            let why = format!(
                "{} was offered {} and then {from}",
                partial.id, partial.offered
            );
            self.book.breaks(why);
        }
        partial.offered = from;
        self.book.keep(partial.clone());
        let rest = &partial.bytes[from..];
        let part = self.random.random_range(0..=rest.len());
        let is_last = self.random.random_ratio(1, 3);
        wire.send(data_header(8, rest.len() as u64))?;
        wire.send(&rest[..if is_last { rest.len() } else { part }])?;
        if !is_last {
            wire.finish()?;
        }
        let answer = wire.answer()?;
        let has_ended = self.book.answered_partial(partial, &answer);
        Ok(has_ended.then(|| !ends(answer.code())))
    }

    fn next_number(&mut self) -> u64 {
        self.files += 1;
        (self.number << 32) + self.files
    }

    /// A file that nobody else sends, though others may send one of this name.
    fn file(&mut self) -> (String, Vec<u8>) {
        let number = self.next_number();
        let most = if self.book.bytes() > BUDGET {
            SMALL
        } else {
            self.plan.most
        };
        // As many of each order of magnitude.
        let bits = self.random.random_range(0..=most.ilog2());
        let size = self.random.random_range(0..=(1usize << bits).min(most));
        let is_shared = self.random.random_ratio(1, 5);
        let file = match is_shared && self.plan.conflict != "error" {
            true => format!("shared-{}.txt", self.random.random_range(0..4)),
            false => format!("{}-{}.txt", self.number, self.files),
        };
        let name = match self.plan.folders {
            true => {
                let letter = |random: &mut SmallRng| ["a", "b", "c"][random.random_range(0..3)];
                let depth = self.random.random_range(0..4);
                let folders: Vec<_> = (0..depth).map(|_| letter(&mut self.random)).collect();
                [&folders[..], &[&file]].concat().join("/")
            }
            false => file,
        };
        (name, content(self.plan.seed, number, size))
    }
}

/// Whether the server closes after an answer of this code.
fn ends(code: &str) -> bool {
    ["shutdown", "unknown", "io", "incomplete", "timeout", "busy"].contains(&code)
}

impl Partial {
    /// The PUT, with the digest or without.
    pub(crate) fn announcement(&self, with_digest: bool) -> Vec<u8> {
        let size = self.bytes.len();
        let mut fields = format!("name={}\nsize={size}\nupload={}", self.name, self.id);
        if with_digest {
            fields.push_str(&format!("\nblake3={}", digest(&self.bytes)));
        }
        put(fields)
    }
}

impl Book {
    /// The answer to an upload with an id; whether it has come to its end.
    fn answered_partial(&self, partial: &Partial, answer: &super::wire::Answer) -> bool {
        if answer.code() == "incomplete" {
            return false;
        }
        if self.answered(partial.number, answer) {
            self.forget(&partial.id);
        }
        true
    }
}
