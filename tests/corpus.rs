//! What fuzzing has found, once more: each input of fuzz/corpus goes to its target. So what was
//! broken once is tried in every run, and the targets can't rot. Fuzzing itself is fuzz/README.md's.

/// The targets, which know nothing of a fuzzer.
#[path = "../fuzz/src/lib.rs"]
pub mod targets;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A corpus is small: it is run in every run of the tests, and read by nobody.
const FILES_MOST: usize = 200;
const BYTES_MOST: usize = 200 << 10;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// Each file of a target's corpus, by its name.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = fuzz().join("corpus").join(target);
    let entries = fs::read_dir(folder).expect("every target has a corpus");
    let files = entries.map(|entry| {
        let path = entry.expect("an entry").path();
        let bytes = fs::read(&path).expect("a file of the corpus");
        (path.display().to_string(), bytes)
    });
    files.collect()
}

fn names_in(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(fuzz().join(folder)).expect("a folder of fuzz");
    let names = entries.map(|entry| {
        let path = entry.expect("an entry").path();
        let stem = path.file_stem().expect("a name");
        stem.to_string_lossy().into_owned()
    });
    names.collect()
}

/// Gives every file of a corpus to its target, and the first half of each too: an input may stop
/// anywhere.
fn run(name: &str) {
    let (_, check) = targets::TARGETS
        .iter()
        .find(|(target, _)| *target == name)
        .expect("it is a target");
    for (path, bytes) in corpus(name) {
        for input in [&bytes[..], &bytes[..bytes.len() / 2]] {
            let tried = std::panic::catch_unwind(|| check(input));
            assert!(tried.is_ok(), "{path} breaks it");
        }
    }
}

#[test]
fn the_receiver_keeps_its_promises_on_all_that_was_found() {
    run("receiver");
}

#[test]
fn the_sender_keeps_its_promises_on_all_that_was_found() {
    run("sender");
}

#[test]
fn fields_and_replies_read_back_whatever_was_found() {
    run("fields");
}

#[test]
fn names_keep_their_rules_on_all_that_was_found() {
    run("names");
}

#[test]
fn the_labs_machines_keep_their_promises_on_all_that_was_found() {
    run("lab");
}

#[test]
fn the_checker_shows_plain_lines_whatever_was_found() {
    run("check");
}

#[test]
fn traces_and_journals_are_read_or_refused_whatever_was_found() {
    run("trace");
}

#[test]
fn every_target_has_a_fuzz_target_and_a_small_corpus() {
    let known: BTreeSet<String> = targets::TARGETS
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    assert_eq!(names_in("fuzz_targets"), known);
    assert_eq!(names_in("corpus"), known);
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).expect("a manifest");
    for name in known {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")));
        let files = corpus(&name);
        let bytes: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(
            (1..=FILES_MOST).contains(&files.len()),
            "{name} has {}",
            files.len()
        );
        assert!(bytes <= BYTES_MOST, "{name} has {bytes} bytes");
    }
}
