//! The record beside a partial: what was announced, and how much of the file can be trusted.
//!
//! An upload that can be resumed is two files in the work folder: `ID.upload` has its bytes, and
//! `ID.record` is a text of fields, always replaced whole. A record says one of two things:
//!
//! - *closed*: nobody writes. The partial has exactly this length, was last changed at this time,
//!   and all of it was synced. If it looks otherwise, somebody else was there, and nothing of it
//!   is used.
//! - *open*: somebody writes, or was killed doing so. So many bytes were synced. What lies behind
//!   them is as good while the same kernel runs, since a write that has ended is in its memory;
//!   after a power cut it may be anything. So may it where a sync has failed, after which the record
//!   names no kernel.
//!
//! Nobody writes a record, or a partial, but who holds the lock on the partial.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::OnceLock;

use rustix::fs::{FlockOperation, Mode, OFlags};

use super::work::{self, Work};
use crate::proto::fields::{Fields, number};
use crate::proto::{Name, UploadId};

/// What the name of a partial that can be resumed ends in.
pub(super) const UPLOAD: &str = ".upload";
/// What the name of its record ends in.
pub(super) const RECORD: &str = ".record";

/// Most bytes of a record: a name of 1024 bytes, and a dozen short lines.
const RECORD_MOST: u64 = 4096;
/// The version of the form of a record. Another one's is not trusted.
const VERSION: &str = "1";

/// What an upload was announced as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) id: UploadId,
    pub(super) name: Name,
    pub(super) size: Option<u64>,
}

/// How a partial was left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Somebody writes, or was killed.
    Open {
        /// Bytes that were synced.
        synced: u64,
        /// Which start of the kernel the bytes behind them were written under, if it says.
        boot: Option<String>,
    },
    /// It was put away.
    Closed {
        /// Its bytes, all synced.
        length: u64,
        /// When it was last changed: seconds and nanoseconds since 1970.
        modified: (i64, i64),
    },
}

/// A record as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) upload: String,
    pub(super) name: String,
    pub(super) size: Option<u64>,
    pub(super) state: State,
}

impl Facts {
    /// What the partial is called in the work folder.
    pub(super) fn upload_name(&self) -> String {
        format!("{}{UPLOAD}", file_stem(&self.id))
    }

    /// What its record is called.
    pub(super) fn record_name(&self) -> String {
        format!("{}{RECORD}", file_stem(&self.id))
    }

    /// Writes the record, in place of the one that is there. `durably`, it survives a power cut.
    pub(super) fn write(&self, work: &Work, state: State, durably: bool) -> io::Result<()> {
        let record = Record {
            upload: self.id.to_string(),
            name: self.name.to_string(),
            size: self.size,
            state,
        };
        let temporary = work::part_name();
        let written = record
            .write_to(work, &temporary, durably)
            .and_then(|()| Ok(work.rename(&temporary, &self.record_name(), durably)?));
        if written.is_err() {
            let _ = work.take_away(&[&temporary]);
        }
        written
    }

    /// Reads the record. `None` is one that is missing or can't be trusted.
    pub(super) fn read(&self, work: &Work) -> Option<Record> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(work, self.record_name(), flags, Mode::empty()).ok()?;
        let file = File::from(file);
        if !file.metadata().is_ok_and(|file| file.is_file()) {
            return None;
        }
        let mut text = String::new();
        // One byte more than a good one has.
        file.take(RECORD_MOST + 1).read_to_string(&mut text).ok()?;
        Record::parse(&text).filter(|record| record.upload == self.id.as_str())
    }
}

impl State {
    /// That of a partial which is written from now on.
    pub(super) fn open(synced: u64) -> State {
        State::Open {
            synced,
            boot: boot().map(str::to_owned),
        }
    }

    /// That of one of which bytes may be lost, though the kernel that knew it still runs.
    pub(super) fn lost(synced: u64) -> State {
        State::Open { synced, boot: None }
    }
}

impl Record {
    /// Reads a record's text.
    pub(super) fn parse(text: &str) -> Option<Record> {
        if text.len() as u64 > RECORD_MOST {
            return None;
        }
        let fields = Fields::parse(text).ok()?;
        if fields.get("version") != Some(VERSION) {
            return None;
        }
        let synced = number(fields.get("synced")?)?;
        let state = match fields.get("state")? {
            "open" => State::Open {
                synced,
                boot: fields.get("boot").map(str::to_owned),
            },
            "closed" => {
                let (seconds, nanos) = fields.get("modified")?.split_once('.')?;
                State::Closed {
                    length: synced,
                    modified: (seconds.parse().ok()?, nanos.parse().ok()?),
                }
            }
            _ => return None,
        };
        let size = match fields.get("size") {
            Some(size) => Some(number(size)?),
            None => None,
        };
        Some(Record {
            upload: fields.get("upload")?.to_owned(),
            name: fields.get("name")?.to_owned(),
            size,
            state,
        })
    }

    /// How many bytes of a partial that has this length, and was changed then, can be gone on
    /// from.
    pub(super) fn trusted(&self, length: u64, modified: (i64, i64), boot: Option<&str>) -> u64 {
        if self.size.is_some_and(|size| length > size) {
            return 0;
        }
        match &self.state {
            State::Closed {
                length: was,
                modified: then,
            } if (*was, *then) == (length, modified) => length,
            State::Open { synced, boot: then } if *synced <= length => {
                let same_kernel = then.is_some() && then.as_deref() == boot;
                if same_kernel { length } else { *synced }
            }
            _ => 0,
        }
    }

    fn write_to(&self, work: &Work, name: &str, durably: bool) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::openat(
            work,
            name,
            flags,
            Mode::from_raw_mode(0o600),
        )?);
        // So that another server's sweep leaves it alone.
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        file.write_all(self.to_string().as_bytes())?;
        if durably {
            file.sync_all().inspect_err(|_| work.set_failed())?;
        }
        Ok(())
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "version={VERSION}\nupload={}\nname={}",
            self.upload, self.name
        )?;
        if let Some(size) = self.size {
            writeln!(f, "size={size}")?;
        }
        match &self.state {
            State::Open { synced, boot } => {
                writeln!(f, "state=open\nsynced={synced}")?;
                boot.iter().try_for_each(|boot| writeln!(f, "boot={boot}"))
            }
            State::Closed {
                length,
                modified: (seconds, nanos),
            } => writeln!(
                f,
                "state=closed\nsynced={length}\nmodified={seconds}.{nanos}"
            ),
        }
    }
}

/// An id as part of a file's name. Some file systems take `a` and `A` for one, and ids do not, so
/// a capital becomes a sign that no id has, and its small letter.
fn file_stem(id: &UploadId) -> String {
    let mut stem = String::new();
    for character in id.as_str().chars() {
        if character.is_ascii_uppercase() {
            stem.push('+');
        }
        stem.push(character.to_ascii_lowercase());
    }
    stem
}

/// Which start of the kernel this is. Only Linux says.
pub(super) fn boot() -> Option<&'static str> {
    static BOOT: OnceLock<Option<String>> = OnceLock::new();
    let read = || {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let id = text.trim();
        (!id.is_empty()).then(|| id.to_owned())
    };
    BOOT.get_or_init(read).as_deref()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(size: Option<u64>, state: State) -> Record {
        Record {
            upload: "aB-1".into(),
            name: "a=b c.txt".into(),
            size,
            state,
        }
    }

    fn open(synced: u64, boot: &str) -> State {
        State::Open {
            synced,
            boot: Some(boot.into()),
        }
    }

    fn closed(length: u64, modified: (i64, i64)) -> State {
        State::Closed { length, modified }
    }

    #[test]
    fn a_record_reads_back() {
        for size in [None, Some(0), Some(u64::MAX)] {
            for state in [
                open(7, "x-y"),
                State::Open {
                    synced: 0,
                    boot: None,
                },
                closed(u64::MAX, (-5, 999_999_999)),
            ] {
                let record = record(size, state);
                assert_eq!(Record::parse(&record.to_string()), Some(record));
            }
        }
    }

    #[test]
    fn a_record_that_was_cut_off_or_is_of_another_version_is_none() {
        let text = record(Some(9), closed(7, (5, 6))).to_string();
        // The last line's digits can't be told from a shorter number's; the file's time can.
        let last = text.find("modified").expect("the last line");
        for cut in 0..last {
            assert_eq!(Record::parse(&text[..cut]), None, "{cut}");
        }
        assert_eq!(Record::parse(&text.replace("version=1", "version=2")), None);
        assert_eq!(Record::parse(&text.replace("closed", "ajar")), None);
        assert_eq!(Record::parse(&text.replace("synced=7", "synced=-7")), None);
        let long = text.replace("name=", &format!("name={}", "x".repeat(5000)));
        assert_eq!(Record::parse(&long), None);
    }

    #[test]
    fn a_partial_that_was_put_away_is_trusted_only_as_it_was_then() {
        let record = record(Some(10), closed(7, (5, 6)));
        assert_eq!(record.trusted(7, (5, 6), None), 7);
        for (length, modified) in [(6, (5, 6)), (8, (5, 6)), (7, (5, 7)), (0, (5, 6))] {
            assert_eq!(record.trusted(length, modified, None), 0);
        }
    }

    #[test]
    fn of_a_killed_servers_partial_all_is_trusted_only_while_the_same_kernel_runs() {
        let record = record(Some(10), open(4, "this"));
        assert_eq!(record.trusted(9, (0, 0), Some("this")), 9);
        assert_eq!(record.trusted(9, (0, 0), Some("next")), 4);
        assert_eq!(record.trusted(9, (0, 0), None), 4);
        assert_eq!(record.trusted(3, (0, 0), Some("this")), 0, "it shrank");
        assert_eq!(record.trusted(11, (0, 0), Some("this")), 0, "it grew");
    }

    #[test]
    fn two_ids_never_have_one_file_even_where_case_is_lost() {
        let ids = ["a", "A", "aa", "aA", "Aa", "AA", "-", "_", "a-", "a_"];
        let stems: std::collections::HashSet<String> = ids
            .iter()
            .map(|id| file_stem(&UploadId::parse(id).expect("a good id")).to_lowercase())
            .collect();
        assert_eq!(stems.len(), ids.len());
    }

    proptest! {
        #[test]
        fn what_is_trusted_is_never_more_than_is_there(
            size in proptest::option::of(0u64..20),
            synced in 0u64..20,
            length in 0u64..20,
            is_open: bool,
            same: bool,
        ) {
            let state = if is_open { open(synced, "x") } else { closed(synced, (1, 1)) };
            let boot = if same { "x" } else { "y" };
            let trusted = record(size, state).trusted(length, (1, 1), Some(boot));
            prop_assert!(trusted <= length && size.is_none_or(|size| trusted <= size));
        }

        #[test]
        fn any_text_is_a_record_or_none_and_never_panics(text: String) {
            let _ = Record::parse(&text);
        }

        #[test]
        fn different_ids_have_different_files(one in "[A-Ca-c_+-]{1,4}", other in "[A-Ca-c_+-]{1,4}") {
            let ids = (UploadId::parse(&one), UploadId::parse(&other));
            if let (Some(one), Some(other)) = ids {
                let same = file_stem(&one).to_lowercase() == file_stem(&other).to_lowercase();
                prop_assert_eq!(same, one == other);
            }
        }
    }
}
