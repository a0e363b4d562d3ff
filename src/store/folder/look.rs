//! Is the file that has a name the one with this digest?
//!
//! To answer means to read the whole file, and anybody may ask with a hundred bytes. So those who
//! ask at a PUT stand in a queue of their own, where they hold up nobody else; and the digest of a
//! file is remembered while the file stays as it is, so that asking again costs next to nothing.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use super::reports::Reports;
use super::root::Root;
use super::{digest, recording};
use crate::proto::{Digest, Name, Receipt};
use crate::store::{Done, Error, Key};

/// Files whose digests are remembered. When there are more, all are forgotten.
const REMEMBERED: usize = 4096;

/// A file that changed so recently could change once more without its times showing it.
const SETTLED: Duration = Duration::from_secs(1);

/// A question.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) name: Name,
    pub(super) digest: Digest,
    pub(super) key: Key,
}

pub(super) fn start(
    root: Arc<Root>,
    looks: Receiver<Look>,
    reports: Reports,
) -> io::Result<JoinHandle<()>> {
    let run = move || {
        let mut block = digest::block();
        let mut remembered = HashMap::new();
        for Look { name, digest, key } in looks {
            let found = look(&root, name.as_str(), digest, &mut remembered, &mut block);
            reports.send([Done::Looked(key, found)]);
        }
    };
    thread::Builder::new().name("look".into()).spawn(run)
}

/// What shows that a file has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(facts: &Metadata) -> Stamp {
        Stamp {
            device: facts.dev(),
            inode: facts.ino(),
            size: facts.size(),
            modified: (facts.mtime(), facts.mtime_nsec()),
            changed: (facts.ctime(), facts.ctime_nsec()),
        }
    }

    fn is_settled(&self) -> bool {
        let since = |passed: Duration| i64::try_from(passed.as_secs()).unwrap_or(i64::MAX);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        now.is_ok_and(|now| since(now).saturating_sub(self.changed.0) > since(SETTLED))
    }
}

fn look(
    root: &Root,
    name: &str,
    digest: Digest,
    remembered: &mut HashMap<Stamp, Digest>,
    block: &mut [u8],
) -> Result<Option<Receipt>, Error> {
    let Some((file, facts)) = open(root, name)? else {
        return Ok(None);
    };
    let stamp = Stamp::of(&facts);
    // Now, and not after the read, which may take longer than a file takes to settle.
    let is_settled = stamp.is_settled();
    let known = remembered.get(&stamp).copied();
    let has = match known {
        Some(known) => known,
        None => digest::of_file_while(&file, facts.len(), block, &|| !root.is_closing())?,
    };
    if known.is_none() && is_settled {
        if remembered.len() >= REMEMBERED {
            remembered.clear();
        }
        remembered.insert(stamp, has);
    }
    receipt(root, name, &file, &facts, digest, has)
}

/// The receipt of the file that has a name, where its bytes have that digest. It is made as
/// durable as an upload would be.
pub(super) fn identical(
    root: &Root,
    name: &str,
    digest: Digest,
    block: &mut [u8],
) -> Result<Option<Receipt>, Error> {
    let Some((file, facts)) = open(root, name)? else {
        return Ok(None);
    };
    let has = digest::of_file(&file, facts.len(), block)?;
    receipt(root, name, &file, &facts, digest, has)
}

fn open(root: &Root, name: &str) -> Result<Option<(File, Metadata)>, Error> {
    let Some(file) = root.open_file(name)? else {
        return Ok(None);
    };
    let facts = file
        .metadata()
        .map_err(|error| Error::from_call("look at a file", error))?;
    Ok(Some((file, facts)))
}

fn receipt(
    root: &Root,
    name: &str,
    file: &File,
    facts: &Metadata,
    wanted: Digest,
    has: Digest,
) -> Result<Option<Receipt>, Error> {
    if has != wanted {
        return Ok(None);
    }
    if root.durable {
        file.sync_all().map_err(|error| {
            root.set_failed();
            Error::from_call("sync a file", error)
        })?;
        if !root.sync_way_to(name)? {
            return Ok(None);
        }
        // Whose sync failed while this was read has heard of it, and this one's descriptors don't.
        if root.has_failed() {
            return Err(Error::Failed);
        }
    }
    let receipt = Receipt {
        name: name.to_owned(),
        size: facts.len(),
        digest: Some(has),
        durable: root.durable,
    };
    recording::record_found(root, &receipt)?;
    Ok(Some(receipt))
}
