//! `send --receipts`: a line for each stored file, so that what is at the other end can be checked.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use piecemeal::client::{Anew, Failure, Item, Progress, Retry};
use piecemeal::net::{Address, Endpoint};
use piecemeal::proto::Receipt;
use piecemeal::proto::text::escaped;
use piecemeal::store::journal::{Entry, end_last_line};

#[derive(Debug, Args)]
pub(super) struct ReceiptsArgument {
    /// Append a JSON line for each stored file to FILE, which `piecemeal verify` reads
    #[arg(long, env = "PIECEMEAL_RECEIPTS", value_name = "FILE")]
    receipts: Option<PathBuf>,
}

impl ReceiptsArgument {
    /// Opens the file, if there is to be one.
    ///
    /// # Errors
    /// Where it can't be opened; the error names it.
    pub(super) fn open(&self, to: &Endpoint) -> io::Result<Option<Receipts>> {
        let open = |path: &PathBuf| Receipts::open(path, to);
        self.receipts.as_ref().map(open).transpose()
    }
}

/// A file of receipts.
#[derive(Debug)]
pub(super) struct Receipts {
    file: File,
    path: PathBuf,
    to: String,
    /// The first error. The files are stored all the same, and that is for the end to tell.
    failed: Option<io::Error>,
}

impl Receipts {
    fn open(path: &Path, to: &Endpoint) -> io::Result<Receipts> {
        let mut options = OpenOptions::new();
        let options = options.read(true).append(true).create(true);
        let opened = options.open(path).and_then(|file| {
            end_last_line(&file)?;
            Ok(file)
        });
        Ok(Receipts {
            file: opened.map_err(|error| named(path, &error))?,
            path: path.to_owned(),
            to: to.to_string(),
            failed: None,
        })
    }

    /// Makes the lines survive a power cut.
    ///
    /// # Errors
    /// Where that failed, or a line could not be written.
    pub(super) fn finish(self) -> io::Result<()> {
        let synced = match self.failed {
            Some(error) => Err(error),
            None => self.file.sync_all(),
        };
        synced.map_err(|error| named(&self.path, &error))
    }
}

impl Progress for Receipts {
    /// Each line is handed to the system at once, so that a killed client has those of all files
    /// that it knew to be stored.
    fn stored(&mut self, _: &Item, receipt: &Receipt) {
        let mut line = String::new();
        let entry = Entry {
            to: Some((&*self.to).into()),
            ..Entry::of(receipt)
        };
        entry.write(&mut line);
        if let Err(error) = self.file.write_all(line.as_bytes()) {
            self.failed.get_or_insert(error);
        }
    }
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    let shown = escaped(path.as_os_str().as_encoded_bytes());
    io::Error::other(format!("can't write receipts to {shown}: {error}"))
}

/// Several who hear how a sending goes.
pub(super) struct Several<'a>(pub(super) Vec<&'a mut dyn Progress>);

impl Progress for Several<'_> {
    fn connected(&mut self, to: &Address) {
        self.0.iter_mut().for_each(|it| it.connected(to));
    }

    fn begun(&mut self, item: &Item, size: Option<u64>) {
        self.0.iter_mut().for_each(|it| it.begun(item, size));
    }

    fn moved(&mut self, bytes: u64) {
        self.0.iter_mut().for_each(|it| it.moved(bytes));
    }

    fn taken_back(&mut self, bytes: u64) {
        self.0.iter_mut().for_each(|it| it.taken_back(bytes));
    }

    fn resumed(&mut self, item: &Item, offset: u64) {
        self.0.iter_mut().for_each(|it| it.resumed(item, offset));
    }

    fn anew(&mut self, item: &Item, why: Anew) {
        self.0.iter_mut().for_each(|it| it.anew(item, why));
    }

    fn retrying(&mut self, retry: &Retry<'_>) {
        self.0.iter_mut().for_each(|it| it.retrying(retry));
    }

    fn stored(&mut self, item: &Item, receipt: &Receipt) {
        self.0.iter_mut().for_each(|it| it.stored(item, receipt));
    }

    fn failed(&mut self, failure: &Failure) {
        self.0.iter_mut().for_each(|it| it.failed(failure));
    }
}
