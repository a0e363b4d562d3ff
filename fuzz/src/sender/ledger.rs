//! What was begun, what left and what was answered, written down apart from the machine.

use std::collections::BTreeMap;

use piecemeal::proto::Digest;
use piecemeal::proto::sender::{Check, Event, Upload};

/// What is due from the server next, as far as can be said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    pub(super) size: Option<u64>,
    pub(super) digest: Option<Digest>,
}

/// Something that was begun.
#[derive(Debug)]
struct Entry {
    what: What,
    /// The next byte that may leave.
    next: u64,
    is_answered: bool,
}

#[derive(Debug)]
enum What {
    Text,
    Upload {
        /// Bytes in all; of a stream, not before its end.
        size: Option<u64>,
        /// The digest that its receipt must have.
        digest: Option<Digest>,
        /// Whether its END is still to be sent.
        awaits_end: bool,
    },
}

#[derive(Debug, Default)]
pub(super) struct Ledger(BTreeMap<u64, Entry>);

impl Ledger {
    pub(super) fn begin(&mut self, upload: &Upload) {
        let digest = match upload.digest {
            Check::Known(digest) => Some(digest),
            Check::AtEnd | Check::None => None,
        };
        let what = What::Upload {
            size: Some(upload.size),
            digest,
            awaits_end: upload.digest == Check::AtEnd,
        };
        self.add(upload.id, what);
    }

    pub(super) fn begin_stream(&mut self, id: u64) {
        let what = What::Upload {
            size: None,
            digest: None,
            awaits_end: true,
        };
        self.add(id, what);
    }

    pub(super) fn say(&mut self, id: u64) {
        self.add(id, What::Text);
    }

    fn add(&mut self, id: u64, what: What) {
        let entry = Entry {
            what,
            next: 0,
            is_answered: false,
        };
        assert!(self.0.insert(id, entry).is_none());
    }

    fn entry(&mut self, id: u64) -> &mut Entry {
        self.0.get_mut(&id).expect("it was begun")
    }

    /// Bytes of a file have left.
    pub(super) fn sent(&mut self, id: u64, offset: u64, bytes: u64) {
        let entry = self.entry(id);
        assert_eq!(offset, entry.next, "each byte is offered once, in order");
        entry.next += bytes;
    }

    /// An upload's END follows, with this digest.
    pub(super) fn seal(&mut self, id: u64, with: Digest) {
        let entry = self.entry(id);
        let What::Upload {
            size,
            digest,
            awaits_end,
        } = &mut entry.what
        else {
            panic!("a text has no digest");
        };
        assert_eq!(Some(entry.next), *size, "a digest follows the last byte");
        assert!(std::mem::take(awaits_end), "it is sealed once");
        *digest = Some(with);
    }

    pub(super) fn end_stream(&mut self, id: u64, with: Option<Digest>) {
        let entry = self.entry(id);
        if let What::Upload {
            size,
            digest,
            awaits_end,
        } = &mut entry.what
        {
            (*size, *digest, *awaits_end) = (Some(entry.next), with, false);
        }
    }

    /// What the oldest that has no answer waits for.
    pub(super) fn due(&self) -> Option<Due> {
        let entry = self.0.values().find(|entry| !entry.is_answered)?;
        Some(match entry.what {
            What::Text => Due {
                size: None,
                digest: None,
            },
            What::Upload { size, digest, .. } => Due { size, digest },
        })
    }

    /// The machine says what became of something.
    pub(super) fn hear(&mut self, event: &Event) {
        match event {
            Event::Stored(id, receipt) => {
                let entry = self.entry(*id);
                let next = entry.next;
                let What::Upload {
                    size,
                    digest,
                    awaits_end,
                } = entry.what
                else {
                    panic!("a text is never stored");
                };
                assert_eq!(size, Some(receipt.size), "the receipt of another file");
                assert!(
                    !awaits_end && size == Some(next),
                    "stored before it was sent"
                );
                assert!(digest.is_none() || digest == receipt.digest);
                self.answer(*id);
            }
            Event::Refused(id, _) => self.answer(*id),
            Event::Said(id, _) => {
                assert!(matches!(self.entry(*id).what, What::Text));
                self.answer(*id);
            }
            Event::Resumed(id, offset) => {
                let entry = self.entry(*id);
                let What::Upload { size, .. } = entry.what else {
                    panic!("a text can't be resumed");
                };
                assert!(entry.next == 0 && *offset > 0 && size.is_some_and(|size| *offset <= size));
                entry.next = *offset;
            }
            Event::TurnedAway(_) => {}
        }
    }

    fn answer(&mut self, id: u64) {
        let entry = self.entry(id);
        assert!(!entry.is_answered, "{id} has two outcomes");
        entry.is_answered = true;
    }

    /// What the machine calls unanswered is what was begun and had no outcome.
    pub(super) fn check_unanswered(&self, ids: &[u64]) {
        let mine = self.0.iter().filter(|(_, entry)| !entry.is_answered);
        let mine: Vec<u64> = mine.map(|(id, _)| *id).collect();
        assert_eq!(ids, mine);
    }
}
