//! The committer's part in the journal: room for the lines of a batch before its files get their
//! names, and the lines themselves before anybody is told.

use std::io;

use super::committer::{Job, Placed};
use super::folders::copy;
use super::root::Root;
use crate::proto::Receipt;
use crate::store::Error;
use crate::store::journal::{Entry, Room};

/// What a line has beside its name and its peer, with the largest size there is.
const FRAME: usize = 256;
/// What a name may gain by its number, and the length of a random one.
const NUMBER: usize = 16;

/// How each job of a batch stands.
type Safe = Vec<Result<(), Error>>;

/// Makes room for the lines of those that are safe. Where there is none, they are refused, while
/// none of them has a name yet.
pub(super) fn make_room<'a>(
    root: &'a Root,
    batch: &[Job],
    mut safe: Safe,
) -> (Option<Room<'a>>, Safe) {
    let Some(journal) = root.record.get() else {
        return (None, safe);
    };
    let lines = batch.iter().zip(&safe).filter(|(_, safe)| safe.is_ok());
    let bytes: usize = lines.map(|(job, _)| line_most(job)).sum();
    match journal.make_room(bytes as u64) {
        Ok(room) => (Some(room), safe),
        Err(error) => {
            for job in safe.iter_mut().filter(|job| job.is_ok()) {
                *job = Err(Error::Unrecorded(copy(&error)));
            }
            (None, safe)
        }
    }
}

/// Writes a line for each that got its name, and syncs them together. Who has a name but no line
/// is told that it isn't known whether the file is safe: asked again, it is found, and recorded.
pub(super) fn record(
    root: &Root,
    room: Room<'_>,
    batch: &[Job],
    results: &mut [Result<Placed, Error>],
) {
    let mut lines = String::new();
    let mut receipts = Vec::new();
    for (job, result) in batch.iter().zip(results.iter()) {
        if let Ok(Placed::New(receipt)) = result {
            let entry = Entry {
                peer: job.peer.as_deref().map(Into::into),
                ..Entry::of(receipt)
            };
            entry.write(&mut lines);
            receipts.push(receipt);
        }
    }
    if receipts.is_empty() {
        return;
    }
    if let Err(error) = room.append(&lines, receipts, root.durable) {
        for result in results.iter_mut() {
            if let Ok(Placed::New(_)) = result {
                let why = format!("the journal: {error}");
                *result = Err(Error::Unknown(io::Error::new(error.kind(), why)));
            }
        }
    }
}

/// Records a file that was there already, unless that was done lately: the server that stored it
/// may have died before it wrote the line.
pub(super) fn record_found(root: &Root, receipt: &Receipt) -> Result<(), Error> {
    match root.record.get() {
        Some(journal) => journal
            .record_found(receipt, root.durable)
            .map_err(Error::Unrecorded),
        None => Ok(()),
    }
}

/// The most bytes that a job's line can have. Of what may stand in a name or an address, JSON
/// makes two bytes of one at most.
fn line_most(job: &Job) -> usize {
    let name = job.name.as_ref().map_or(0, |name| name.as_str().len());
    let peer = job.peer.as_ref().map_or(0, |peer| peer.len());
    FRAME + 2 * (name + NUMBER) + 2 * peer
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::Durability;
    use super::super::root::Naming;
    use super::*;
    use crate::proto::name::NameRules;
    use crate::proto::{Conflict, Digest, Metadata, Name, Seal};
    use crate::store::Key;

    /// The line that a job has in the end: with a number in its name, or with a random one.
    fn line_of(job: &Job) -> String {
        let name = match &job.name {
            Some(name) => name.numbered(9999).expect("it is short").to_string(),
            None => crate::store::random_name(),
        };
        let receipt = Receipt {
            name,
            size: job.seal.size,
            digest: job.seal.digest,
            durable: false,
        };
        let mut line = String::new();
        let entry = Entry {
            peer: job.peer.as_deref().map(Into::into),
            found: true,
            ..Entry::of(&receipt)
        };
        entry.write(&mut line);
        line
    }

    #[test]
    fn the_room_that_is_reserved_is_enough_for_any_line_and_not_for_many() {
        let home = tempfile::tempdir().expect("a folder");
        let root = Root::open(home.path(), Durability::None, Naming::Best, None).expect("it opens");
        let rules = NameRules {
            allow_hidden: true,
            allow_folders: true,
        };
        // JSON doubles a quotation mark and nothing else that may stand in a name.
        let long = |letter: &str| [&letter.repeat(190); 5].map(String::as_str).join("/");
        let names = ["a".to_owned(), long("n"), long("\""), "\"".repeat(200)];
        let names = names.map(|name| Some(Name::parse(&name, rules).expect("a good name")));
        for name in names.into_iter().chain([None]) {
            for peer in [
                None,
                Some("[fe80::1%eth0]:65535".into()),
                Some("\\".repeat(108).into()),
            ] {
                let job = Job {
                    unfinished: Arc::new(root.create().expect("a file")),
                    name: name.clone(),
                    conflict: Conflict::Rename,
                    metadata: Metadata::default(),
                    written: 0,
                    chase: None,
                    synced: false,
                    compared: false,
                    peer,
                    seal: Seal {
                        size: u64::MAX,
                        digest: Some(Digest([0xff; 32])),
                    },
                    key: Key {
                        connection: 0,
                        ticket: 0,
                    },
                };
                let (line, room) = (line_of(&job).len(), line_most(&job));
                assert!(line <= room, "{line} bytes in room for {room}: {job:?}");
                assert!(room <= 2 * line, "{room} bytes for {line}: {job:?}");
            }
        }
    }
}
