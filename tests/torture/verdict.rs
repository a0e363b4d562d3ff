//! What must be true whichever call has failed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rustix::process::Pid;

use super::load::{Outcome, Policy, Upload};
use crate::common::{Server, comes_true, digest};

/// The files that anybody can see in the server's folder.
pub(super) fn visible(server: &Server) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    walk(&server.path(""), "", &mut files);
    files
}

fn walk(folder: &Path, above: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let entry = entry.expect("an entry");
        let name = entry
            .file_name()
            .into_string()
            .expect("a name that we gave");
        if above.is_empty() && name == ".piecemeal" {
            continue;
        }
        let name = format!("{above}{name}");
        if entry.file_type().expect("it is there").is_dir() {
            walk(&entry.path(), &format!("{name}/"), files);
        } else {
            files.insert(name, fs::read(entry.path()).expect("a plain file"));
        }
    }
}

/// Every receipt has its file, every file is whole and somebody's, and what was refused isn't there.
pub(super) fn check_files(uploads: &[Upload], files: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (number, upload) in uploads.iter().enumerate() {
        let Outcome::Stored(receipt) = &upload.outcome else {
            continue;
        };
        let name = receipt.key("name").unwrap_or_default();
        let is_there = files.get(name).is_some_and(|bytes| {
            let later = uploads[number + 1..].iter();
            let replaces = |other: &&Upload| {
                other.policy == Policy::Replace && other.name == upload.name && may_be_there(other)
            };
            let mut others = later.filter(replaces);
            *bytes == upload.content || others.any(|other| other.content == *bytes)
        });
        if !is_there {
            wrong.push(format!(
                "{name} was answered OK, and is not there as it was sent"
            ));
        }
        let bytes = upload.content.len().to_string();
        let its_digest = digest(&upload.content);
        if receipt.key("size") != Some(&bytes)
            || receipt.key("blake3").is_some_and(|said| said != its_digest)
            || receipt.key("durable") != Some("yes")
        {
            wrong.push(format!("a receipt is wrong: {receipt}"));
        }
    }
    for (name, bytes) in files {
        let mut same = uploads
            .iter()
            .filter(|upload| upload.content == *bytes)
            .peekable();
        if same.peek().is_none() {
            wrong.push(format!("{name} is there, and not whole"));
        } else if !same.any(|upload| may_be_called(upload, name)) {
            wrong.push(format!("{name} is there, and was refused or is another's"));
        }
    }
    wrong
}

/// Whether an upload's file may be seen: where it was stored, and where nobody knows.
fn may_be_there(upload: &Upload) -> bool {
    match &upload.outcome {
        Outcome::Stored(_) | Outcome::Lost | Outcome::Cut => true,
        Outcome::Refused(code) => code == "unknown",
        Outcome::GivenUp => false,
    }
}

fn may_be_called(upload: &Upload, name: &str) -> bool {
    if let Outcome::Stored(receipt) = &upload.outcome {
        return receipt.key("name") == Some(name);
    }
    let fits = match (&upload.name, upload.policy) {
        (None, _) => name.len() == 12 && name.ends_with(".bin"),
        (Some(wanted), Policy::Rename) => {
            let stem = wanted.trim_end_matches(".txt");
            name == wanted || name.starts_with(&format!("{stem} ("))
        }
        (Some(wanted), _) => name == wanted,
    };
    fits && may_be_there(upload)
}

/// Whoever has a receipt is in the journal.
pub(super) fn check_journal(uploads: &[Upload], journal: &Path) -> Vec<String> {
    let lines = fs::read_to_string(journal).expect("the journal is there");
    let lines: Vec<serde_json::Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_default())
        .collect();
    let mut wrong = Vec::new();
    for upload in uploads {
        if let Outcome::Stored(receipt) = &upload.outcome {
            let name = receipt.key("name").unwrap_or_default();
            if !lines.iter().any(|line| line["name"] == name) {
                wrong.push(format!("{name} was answered OK, and is not in the journal"));
            }
        }
    }
    if lines.iter().any(serde_json::Value::is_null) {
        wrong.push("a line of the journal is torn".to_owned());
    }
    wrong
}

/// What is in the work folder that shouldn't be. Where nothing could be taken away, that is told
/// of a later look.
pub(super) fn left_behind(server: &Server, uploads: &[Upload], may_be_stale: bool) -> Vec<String> {
    let Ok(entries) = fs::read_dir(server.path(".piecemeal")) else {
        return Vec::new();
    };
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let names = names.map(|name| name.into_string().expect("a name that the server gave"));
    let is_kept = |name: &str| {
        let (stem, ending) = name.rsplit_once('.').unwrap_or((name, ""));
        let waits = |upload: &Upload| {
            upload.id == Some(stem)
                && (may_be_stale || !matches!(upload.outcome, Outcome::Stored(_)))
        };
        ["upload", "record"].contains(&ending) && uploads.iter().any(waits)
    };
    names.filter(|name| !is_kept(name)).collect()
}

/// The descriptors that a process has open, by kind.
pub(super) fn descriptors(process: Pid) -> BTreeMap<String, usize> {
    let folder = format!("/proc/{}/fd", process.as_raw_nonzero());
    let mut open = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("it runs") {
        let path = entry.expect("an entry").path();
        // It may have been closed in between.
        let Ok(target) = fs::read_link(path) else {
            continue;
        };
        let target = target.to_string_lossy().into_owned();
        let kind = match target.split_once(":[") {
            Some((kind, _)) => kind.to_owned(),
            None => target,
        };
        *open.entry(kind).or_insert(0) += 1;
    }
    open
}

/// Descriptors that are open beside those of before and the few that are made when they are first
/// needed.
fn leaked(before: &BTreeMap<String, usize>, process: Pid) -> Vec<String> {
    let open = descriptors(process).into_iter();
    let extra = open.filter(|(kind, count)| {
        let lazily = match kind.as_str() {
            "pipe" => 2,
            kind if kind.ends_with("/.piecemeal") => 1,
            _ => 0,
        };
        *count > before.get(kind).copied().unwrap_or(0) + lazily
    });
    extra
        .map(|(kind, count)| format!("{count} of {kind}"))
        .collect()
}

/// Waits until nothing is left behind: not a descriptor, and nothing in the work folder. What never
/// goes is told.
pub(super) fn check_traces(
    server: &Server,
    before: &BTreeMap<String, usize>,
    left: impl Fn() -> Vec<String>,
) -> Vec<String> {
    let mut found = (Vec::new(), Vec::new());
    let all_gone = comes_true(|| {
        found = (leaked(before, server.pid()), left());
        found.0.is_empty() && found.1.is_empty()
    });
    if all_gone {
        return Vec::new();
    }
    let (leaked, left) = found;
    vec![format!(
        "left open: {leaked:?}; left in .piecemeal: {left:?}"
    )]
}
