//! What clients do when their server is back: they ask again, and go on with what was broken off.

use std::fs;
use std::io;
use std::path::Path;

use super::{Book, Partial, Wire};
use crate::common::data;

/// How that went.
#[derive(Debug, Default)]
pub(crate) struct Again {
    /// Uploads with an id that were gone on with, and those of them that had to begin before what
    /// they had been offered already.
    pub(crate) resumed: usize,
    pub(crate) set_back: usize,
    /// Others that were sent anew.
    pub(crate) retried: usize,
    pub(crate) wrong: Vec<String>,
}

/// Goes on with every upload that has an id and no receipt, and sends anew what is open.
pub(crate) fn go_on(address: &str, stored: &Path, book: &Book) -> io::Result<Again> {
    let mut again = Again::default();
    let mut wire = Wire::connect(address)?;
    for partial in book.partials() {
        if again.finish(&mut wire, book, &partial)? {
            again.resumed += 1;
            if fs::read(stored.join(&partial.name))? != partial.bytes {
                again
                    .wrong
                    .push(format!("{} has other bytes", partial.name));
            }
        }
    }
    // A retry ends well, whether the first try has come through or not.
    for upload in book.open() {
        wire.send(&upload.announcement)?;
        let answer = wire.answer()?;
        if !answer.is_ok() {
            again
                .wrong
                .push(format!("{}: {}", upload.name, answer.text()));
            continue;
        }
        wire.send(data(&upload.bytes[answer.offset()?..]))?;
        let answer = wire.answer()?;
        if !book.answered(upload.number, &answer) {
            again
                .wrong
                .push(format!("{}: {}", upload.name, answer.text()));
        }
        again.retried += 1;
    }
    Ok(again)
}

impl Again {
    /// Announces an upload, sends what is left of it, and expects a receipt.
    fn finish(&mut self, wire: &mut Wire, book: &Book, partial: &Partial) -> io::Result<bool> {
        book.reopen(partial.number);
        wire.send(partial.announcement(true))?;
        let answer = wire.answer()?;
        if !answer.is_ok() {
            self.wrong
                .push(format!("{}: {}", partial.id, answer.text()));
            return Ok(false);
        }
        let from = answer.offset()?;
        self.set_back += usize::from(from < partial.offered);
        // A digest of bytes that aren't the right ones is refused here.
        wire.send(data(&partial.bytes[from..]))?;
        let answer = wire.answer()?;
        if !answer.is_ok() {
            let why = format!("{} from {from}: {}", partial.id, answer.text());
            self.wrong.push(why);
        }
        Ok(book.answered(partial.number, &answer))
    }
}
