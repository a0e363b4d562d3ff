//! What is there, against what the book says.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::Path;

use super::Plan;
use super::book::{Book, Outcome, Sent};
use crate::common::digest;

/// What a folder was found to be like.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Files that were acknowledged, and those of them that are as they were sent.
    pub(crate) acknowledged: usize,
    /// Acknowledged, and gone.
    pub(crate) lost: Vec<String>,
    /// Acknowledged, and without a line in the journal; or the other way round.
    pub(crate) unrecorded: Vec<String>,
    /// Visible, and not what anybody sent whole, or not under that name.
    pub(crate) wrong: Vec<String>,
}

/// A file's size and digest.
type Facts = (usize, String);

/// All visible files beneath a folder, by their names: everything but the server's work folder.
pub(crate) fn files_in(folder: &Path) -> io::Result<BTreeMap<String, Facts>> {
    let mut files = BTreeMap::new();
    for entry in walkdir::WalkDir::new(folder).min_depth(1) {
        let entry = entry?;
        let beneath = entry.path().strip_prefix(folder).expect("it is beneath");
        let name = beneath.to_string_lossy().into_owned();
        let is_ours = name == ".piecemeal" || name.starts_with(".piecemeal/");
        if !is_ours && !entry.file_type().is_dir() {
            let bytes = fs::read(entry.path())?;
            files.insert(name, (bytes.len(), digest(bytes)));
        }
    }
    Ok(files)
}

/// What a receipt or a line of the journal is about: a name, a size, and a digest where it has one.
type About = (String, u64, String);

impl Found {
    /// Compares each file with what was sent, and each receipt with the files.
    pub(crate) fn of(files: &BTreeMap<String, Facts>, book: &Book, plan: &Plan) -> Found {
        let sent = book.sent();
        let mut found = Found {
            wrong: book.broken(),
            ..Found::default()
        };
        let mut by_digest: HashMap<&str, Vec<&Sent>> = HashMap::new();
        let mut stored: BTreeMap<&str, Vec<(&Sent, u64)>> = BTreeMap::new();
        for upload in &sent {
            by_digest.entry(&upload.digest).or_default().push(upload);
            if let Outcome::Stored(name, when) = &upload.outcome {
                stored.entry(name).or_default().push((upload, *when));
            }
        }
        for (name, (size, digest)) in files {
            let mut same = by_digest.get(&**digest).into_iter().flatten();
            if !same.any(|upload| may_be(upload, name)) {
                found
                    .wrong
                    .push(format!("{name}, of {size} bytes, is nothing that was sent"));
            }
        }
        for (name, receipts) in &stored {
            found.acknowledged += receipts.len();
            // Who sends the same bytes to the same name is told of the file that is there.
            let is_one = receipts
                .iter()
                .all(|(one, _)| one.digest == receipts[0].0.digest);
            if !is_one && plan.conflict != "overwrite" {
                found
                    .wrong
                    .push(format!("{name} was promised to {}", receipts.len()));
            }
            let Some((_, digest)) = files.get(*name) else {
                found.lost.push(format!("{name} is gone"));
                continue;
            };
            let mut same = by_digest.get(&**digest).into_iter().flatten();
            let last = |upload: &&Sent| may_be(upload, name) && is_not_outdone(upload, receipts);
            if !same.any(last) {
                found
                    .lost
                    .push(format!("{name} is not the one that was promised"));
            }
        }
        found
    }

    /// Compares the receipts with the lines of a journal: each has its own, and no line is about what
    /// can't be there.
    pub(crate) fn check_journal(
        &mut self,
        journal: &Path,
        files: &BTreeMap<String, Facts>,
        book: &Book,
    ) {
        let text = fs::read(journal).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let sent = book.sent();
        let mut lines: HashMap<About, usize> = HashMap::new();
        // A line that nobody was told of may be cut off.
        let parsed = text
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        for line in parsed {
            let Some(name) = line["name"].as_str().map(str::to_owned) else {
                self.wrong
                    .push(format!("a line of the journal has no name: {line}"));
                continue;
            };
            if !files.contains_key(&name) {
                let why = format!("{name} has a line in the journal, and is gone");
                self.unrecorded.push(why);
            }
            let size = line["size"].as_u64().unwrap_or(u64::MAX);
            let digest = line["blake3"].as_str().unwrap_or_default().to_owned();
            let is_it = |upload: &&Sent| {
                let same = digest.is_empty() || digest == upload.digest;
                same && upload.bytes.len() as u64 == size && may_be(upload, &name)
            };
            if !sent.iter().any(|upload| is_it(&upload)) {
                let why = format!("a line of the journal is about nothing that was sent: {line}");
                self.wrong.push(why);
            }
            *lines.entry((name, size, digest)).or_default() += 1;
        }
        let mut promised: HashMap<About, usize> = HashMap::new();
        for upload in &sent {
            if let Outcome::Stored(name, _) = &upload.outcome {
                let digest = upload.is_told.then(|| upload.digest.clone());
                let size = upload.bytes.len() as u64;
                let about = (name.clone(), size, digest.unwrap_or_default());
                *promised.entry(about).or_default() += 1;
            }
        }
        for (about, receipts) in promised {
            let (name, _, digest) = &about;
            // What has a digest was sent by one alone, unless it is empty: then who sends it again is
            // told of the file that is there, and one line is enough.
            let wanted = if digest.is_empty() { receipts } else { 1 };
            let found = lines.get(&about).copied().unwrap_or(0);
            if found < wanted {
                let why = format!(
                    "{name} was promised {wanted} times, and has {found} lines in the journal"
                );
                self.unrecorded.push(why);
            }
        }
    }

    /// All that is not as it should be.
    pub(crate) fn faults(&self) -> impl Iterator<Item = &String> {
        let all = self.lost.iter().chain(&self.unrecorded);
        all.chain(&self.wrong)
    }

    /// Adds what another look has found.
    pub(crate) fn add(&mut self, other: Found) {
        self.acknowledged = other.acknowledged.max(self.acknowledged);
        let new = |theirs: Vec<String>, ours: &[String]| -> Vec<_> {
            theirs
                .into_iter()
                .filter(|one| !ours.contains(one))
                .collect()
        };
        self.lost.extend(new(other.lost, &self.lost));
        let unrecorded = new(other.unrecorded, &self.unrecorded);
        self.unrecorded.extend(unrecorded);
        self.wrong.extend(new(other.wrong, &self.wrong));
    }
}

/// Whether an upload may be what has a name.
fn may_be(upload: &Sent, name: &str) -> bool {
    match (&upload.outcome, &upload.name) {
        (Outcome::Never, _) => false,
        (Outcome::Stored(stored, _), _) => stored == name,
        (Outcome::Open, Some(asked)) => asked == name || is_numbered(asked, name),
        (Outcome::Open, None) => {
            let stem = name.strip_suffix(".bin").unwrap_or_default();
            stem.len() == 8 && stem.bytes().all(|byte| byte.is_ascii_alphanumeric())
        }
    }
}

/// Whether a name is that of another one with a number: `a (2).txt`.
fn is_numbered(asked: &str, name: &str) -> bool {
    let dot = asked.rfind('.').unwrap_or(asked.len());
    let (stem, ending) = asked.split_at(dot);
    let number = name
        .strip_prefix(stem)
        .and_then(|rest| rest.strip_suffix(ending))
        .and_then(|rest| rest.strip_prefix(" (")?.strip_suffix(')'));
    number.is_some_and(|number| number.parse::<u32>().is_ok())
}

/// Whether nobody was promised the name for an upload that began when this one had its receipt.
fn is_not_outdone(upload: &Sent, receipts: &[(&Sent, u64)]) -> bool {
    let Outcome::Stored(_, when) = upload.outcome else {
        return true;
    };
    !receipts.iter().any(|(later, _)| later.begun > when)
}
