//! Which file is next, and the messages that carry it.

use std::io::Write;

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::payload::Payload;
use super::{Plan, Work};
use crate::proto::header;
use crate::proto::kind::Kind;

/// Hands out files until there have been enough.
#[derive(Debug)]
pub(super) struct Supply {
    work: Work,
    pub(super) payload: Payload,
    random: SmallRng,
    /// What every name begins with.
    base: String,
    /// Kept for its memory.
    text: Vec<u8>,
    /// The number of the next file: each file has another, so that each name is new.
    next: u64,
    /// Files that may still be begun.
    left: u64,
}

/// A file, or a text, that was handed out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    /// Makes its name unlike all others.
    pub(super) number: u64,
    /// Which kind of the payload it is.
    pub(super) kind: usize,
}

impl Supply {
    pub(super) fn new(plan: &Plan) -> Supply {
        let mut random = SmallRng::seed_from_u64(plan.seed);
        Supply {
            work: plan.work,
            payload: Payload::make(plan.work, &plan.sizes, &mut random),
            random,
            base: format!("{}-{}-", plan.name_prefix, plan.seed),
            text: Vec::new(),
            next: 0,
            left: plan.files.unwrap_or(u64::MAX),
        }
    }

    pub(super) fn work(&self) -> Work {
        self.work
    }

    /// Whether an item has bytes that follow its messages.
    pub(super) fn carries_files(&self) -> bool {
        self.work != Work::Texts
    }

    pub(super) fn has_more(&self) -> bool {
        self.left > 0
    }

    /// No file is begun from now on.
    pub(super) fn close(&mut self) {
        self.left = 0;
    }

    /// Begins the next file: appends its messages up to where its bytes begin, or the whole text.
    pub(super) fn begin(&mut self, out: &mut Vec<u8>) -> Option<Item> {
        self.left = self.left.checked_sub(1)?;
        let item = self.number_one();
        match self.work {
            Work::Texts => message(Kind::String, self.payload.text(item.kind), out),
            Work::Files => {
                self.write_name(item);
                message(Kind::String, &self.text, out);
                self.write_data_header(item, out);
            }
            Work::VerifiedFiles => {
                self.write_put(item);
                message(Kind::Put, &self.text, out);
                self.write_data_header(item, out);
            }
        }
        Some(item)
    }

    /// The whole of a named file for a client that behaves badly, cut to `most` bytes. It doesn't
    /// count among the files that are to be sent.
    pub(super) fn write_apart(&mut self, most: u64, out: &mut Vec<u8>) -> u64 {
        let item = self.number_one();
        self.write_name(item);
        message(Kind::String, &self.text, out);
        let size = self.payload.kind(item.kind).size.min(most);
        header::write(Kind::data_for(size), size, out);
        self.payload.append(item.kind, size, out)
    }

    /// The name that an item was given.
    pub(super) fn name(&self, item: Item) -> String {
        format!("{}{}", self.base, item.number)
    }

    fn number_one(&mut self) -> Item {
        let item = Item {
            number: self.next,
            kind: self.payload.pick(&mut self.random),
        };
        self.next += 1;
        item
    }

    fn write_name(&mut self, item: Item) {
        self.text.clear();
        // Writing to a Vec can't fail.
        let _ = write!(self.text, "{}{}", self.base, item.number);
    }

    fn write_put(&mut self, item: Item) {
        let kind = self.payload.kind(item.kind);
        self.text.clear();
        let (base, number, size) = (&self.base, item.number, kind.size);
        let _ = write!(self.text, "name={base}{number}\nsize={size}\n");
        if let Some(digest) = kind.digest {
            let _ = writeln!(self.text, "blake3={digest}");
        }
    }

    fn write_data_header(&self, item: Item, out: &mut Vec<u8>) {
        let size = self.payload.kind(item.kind).size;
        header::write(Kind::data_for(size), size, out);
    }
}

fn message(kind: Kind, body: &[u8], out: &mut Vec<u8>) {
    header::write(kind, body.len() as u64, out);
    out.extend_from_slice(body);
}
