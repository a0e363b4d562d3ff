//! What was sent, and what the server has said of it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::wire::Answer;
use crate::common::{digest, put};

/// What all clients of a load have sent. Shared by their threads.
#[derive(Debug, Default)]
pub(crate) struct Book {
    /// Counts what happens, so that of two uploads of one name it can be told which was the later.
    clock: AtomicU64,
    acknowledged: AtomicUsize,
    bytes: AtomicUsize,
    left_alone: AtomicUsize,
    /// Whether the power is being cut, which takes the kernel some milliseconds. A sync that is
    /// under way then may be told that all is well though it isn't, and a server without power
    /// couldn't pass that on: what it says from now on counts for nothing.
    is_cut: AtomicBool,
    sent: Mutex<Vec<Sent>>,
    partials: Mutex<HashMap<String, Partial>>,
    /// Answers that break a promise by themselves.
    broken: Mutex<Vec<String>>,
}

/// One upload.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    /// As it was asked for; `None` leaves it to the server.
    pub(crate) name: Option<String>,
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) digest: String,
    pub(crate) begun: u64,
    pub(crate) outcome: Outcome,
    /// Whether its receipt has the digest: one that was told has.
    pub(crate) is_told: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing is known: it may be there, whole, or not.
    Open,
    /// Its last bytes were never sent, or it was refused: it must not be there.
    Never,
    /// Acknowledged under this name, at this time.
    Stored(String, u64),
}

/// An upload with an id that has no receipt yet.
#[derive(Clone, Debug)]
pub(crate) struct Partial {
    pub(crate) number: usize,
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    /// The highest offset that it was offered.
    pub(crate) offered: usize,
}

/// An upload that is to be sent once more.
#[derive(Debug)]
pub(crate) struct Again {
    pub(crate) number: usize,
    pub(crate) name: String,
    pub(crate) announcement: Vec<u8>,
    pub(crate) bytes: Arc<[u8]>,
}

impl Book {
    /// An upload begins, of which every byte will be sent if `whole`. Returns its number.
    pub(crate) fn begins(&self, name: Option<&str>, bytes: &[u8], whole: bool) -> usize {
        self.bytes.fetch_add(bytes.len(), Ordering::Relaxed);
        let mut sent = lock(&self.sent);
        sent.push(Sent {
            name: name.map(str::to_owned),
            bytes: bytes.into(),
            digest: digest(bytes),
            begun: self.clock.fetch_add(1, Ordering::SeqCst),
            outcome: if whole { Outcome::Open } else { Outcome::Never },
            is_told: false,
        });
        sent.len() - 1
    }

    /// The answer to what ends an upload. Returns whether it is a receipt.
    pub(crate) fn answered(&self, number: usize, answer: &Answer) -> bool {
        let now = self.clock.fetch_add(1, Ordering::SeqCst);
        // Looked at after the answer was read, so that what counts was said before.
        if self.is_cut.load(Ordering::SeqCst) {
            return false;
        }
        let mut sent = lock(&self.sent);
        let upload = &mut sent[number];
        if answer.is_ok() {
            let same_size = answer.key("size") == Some(&*upload.bytes.len().to_string());
            let digests = answer
                .key("blake3")
                .is_none_or(|told| told == upload.digest);
            if upload.outcome == Outcome::Never || !same_size || !digests {
                let why = format!("{:?} was answered {:?}", upload.name, answer.text());
                lock(&self.broken).push(why);
            }
            let name = answer.key("name").unwrap_or_default().to_owned();
            upload.outcome = Outcome::Stored(name, now);
            upload.is_told = answer.key("blake3").is_some();
            self.acknowledged.fetch_add(1, Ordering::Release);
            return true;
        }
        // These two leave it open; every other says that nothing was kept.
        if !["unknown", "shutdown"].contains(&answer.code()) {
            upload.outcome = Outcome::Never;
        }
        false
    }

    /// An upload is tried anew, whatever the last try came to.
    pub(crate) fn reopen(&self, number: usize) {
        let mut sent = lock(&self.sent);
        if !matches!(sent[number].outcome, Outcome::Stored(..)) {
            sent[number].outcome = Outcome::Open;
        }
    }

    /// The power is being cut, or is back.
    pub(crate) fn is_cut(&self, is_so: bool) {
        self.is_cut.store(is_so, Ordering::SeqCst);
    }

    /// How many receipts there are.
    pub(crate) fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::Acquire)
    }

    /// Bytes of all uploads.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// A connection was ended without a word.
    pub(crate) fn is_left_alone(&self) {
        self.left_alone.fetch_add(1, Ordering::Relaxed);
    }

    /// How many were.
    pub(crate) fn left_alone(&self) -> usize {
        self.left_alone.load(Ordering::Relaxed)
    }

    pub(crate) fn sent(&self) -> Vec<Sent> {
        lock(&self.sent).clone()
    }

    pub(crate) fn broken(&self) -> Vec<String> {
        lock(&self.broken).clone()
    }

    pub(crate) fn breaks(&self, why: String) {
        lock(&self.broken).push(why);
    }

    /// Uploads that have no receipt, and of which it can be told how a retry has to end: nobody
    /// else sends to their names.
    pub(crate) fn open(&self) -> Vec<Again> {
        let with_id: Vec<_> = self
            .partials()
            .iter()
            .map(|partial| partial.number)
            .collect();
        let all = self.sent().into_iter().enumerate();
        let open = all.filter(|(number, upload)| {
            upload.outcome == Outcome::Open && !with_id.contains(number)
        });
        let again = open.filter_map(|(number, upload)| {
            let name = upload.name.filter(|name| !name.contains("shared"))?;
            let fields = format!(
                "name={name}\nsize={}\nblake3={}",
                upload.bytes.len(),
                upload.digest
            );
            Some(Again {
                number,
                announcement: put(fields),
                name,
                bytes: upload.bytes,
            })
        });
        again.collect()
    }

    /// An upload with an id has got so far.
    pub(crate) fn keep(&self, partial: Partial) {
        lock(&self.partials).insert(partial.id.clone(), partial);
    }

    /// It has ended, well or not.
    pub(crate) fn forget(&self, id: &str) {
        lock(&self.partials).remove(id);
    }

    /// Those that can be gone on with.
    pub(crate) fn partials(&self) -> Vec<Partial> {
        lock(&self.partials).values().cloned().collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
