//! `send --receipts` and `verify`: what was stored is still there, and is still the same.

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use common::{Ran, Server, piecemeal};
use serde_json::Value;
use tempfile::TempDir;

/// Files that were sent, and the receipts of that.
struct Sent {
    server: Server,
    home: TempDir,
}

impl Sent {
    fn new(arguments: &[&str]) -> Sent {
        let sent = Sent {
            server: Server::start(&["--on-conflict", "overwrite"]),
            home: tempfile::tempdir().expect("a temporary folder"),
        };
        for name in ["a.txt", "b.txt", "c.txt"] {
            fs::write(sent.home.path().join(name), name).expect("the folder is there");
        }
        sent.send(arguments).exits(0);
        sent
    }

    fn send(&self, arguments: &[&str]) -> Ran {
        let receipts = self.receipts().display().to_string();
        let files = ["a.txt", "b.txt", "c.txt"].map(|name| self.home.path().join(name));
        let files = files.map(|path| path.display().to_string());
        let fixed = [
            "send",
            "--to",
            self.server.address(),
            "--receipts",
            &receipts,
        ];
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        piecemeal(&[&fixed[..], arguments, &files].concat())
    }

    fn receipts(&self) -> PathBuf {
        self.home.path().join("receipts")
    }

    fn verify(&self, arguments: &[&str]) -> Ran {
        verify(&self.receipts(), &self.server.path(""), arguments)
    }
}

fn verify(receipts: &Path, dir: &Path, arguments: &[&str]) -> Ran {
    let (receipts, dir) = (receipts.display().to_string(), dir.display().to_string());
    piecemeal(&[&["verify", "--receipts", &receipts, &dir], arguments].concat())
}

#[test]
fn what_was_sent_is_as_the_receipts_say() {
    let sent = Sent::new(&[]);
    let ran = sent.verify(&[]).exits(0);
    assert_eq!(ran.out, "");
    ran.line_with(&["3 files: 3 good"]);
    let text = fs::read_to_string(sent.receipts()).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 3);
    for line in lines {
        assert_eq!((&line["size"], &line["durable"]), (&5.into(), &true.into()));
        assert_eq!(
            line["blake3"],
            common::digest(line["name"].as_str().unwrap())
        );
        assert_eq!(line["to"], sent.server.address());
        assert!(line["time"].is_string());
    }
}

#[test]
fn what_changed_or_went_is_named_and_the_exit_code_says_so() {
    let sent = Sent::new(&[]);
    fs::remove_file(sent.server.path("a.txt")).unwrap();
    fs::write(sent.server.path("b.txt"), "b.tx").unwrap();
    fs::write(sent.server.path("c.txt"), "C.txt").unwrap();
    let ran = sent.verify(&[]).exits(6);
    let lines: Vec<_> = ran.out.lines().collect();
    assert_eq!(lines.len(), 3, "{ran:#?}");
    assert_eq!(lines[0], "missing a.txt");
    assert!(lines[1].starts_with("differs b.txt: 4 bytes, and not 5"));
    assert!(lines[2].starts_with("differs c.txt") && lines[2].contains("digest"));
    ran.line_with(&["3 files: 0 good; 1 missing; 2 different"]);
}

#[test]
fn the_same_is_told_as_json() {
    let sent = Sent::new(&[]);
    fs::remove_file(sent.server.path("a.txt")).unwrap();
    fs::write(sent.server.path("b.txt"), "other").unwrap();
    let ran = sent.verify(&["--json"]).exits(6);
    let events: Vec<Value> = ran
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let facts = events
        .iter()
        .map(|event| (event["event"].as_str(), event["name"].as_str()));
    let facts: Vec<_> = facts.map(|(event, name)| (event.unwrap(), name)).collect();
    assert_eq!(
        facts,
        [
            ("missing", Some("a.txt")),
            ("differs", Some("b.txt")),
            ("good", Some("c.txt")),
            ("summary", None)
        ]
    );
    let summary = &events[3];
    for (key, value) in [("good", 1), ("missing", 1), ("differ", 1), ("exit", 6)] {
        assert_eq!(summary[key], value, "{key}");
    }
}

#[test]
fn the_last_line_of_a_name_counts_and_receipts_are_appended() {
    let sent = Sent::new(&[]);
    fs::write(sent.home.path().join("a.txt"), "another").unwrap();
    sent.send(&[]).exits(0);
    let text = fs::read_to_string(sent.receipts()).unwrap();
    assert_eq!(text.lines().count(), 6, "{text}");
    sent.verify(&[]).exits(0).line_with(&["3 files: 3 good"]);
}

#[test]
fn without_a_digest_the_size_is_compared_and_that_is_said() {
    let sent = Sent::new(&["--no-verify"]);
    fs::write(sent.server.path("c.txt"), "C.txt").unwrap();
    sent.verify(&[])
        .exits(0)
        .line_with(&["3 good", "size alone"]);
    fs::write(sent.server.path("c.txt"), "longer").unwrap();
    sent.verify(&[]).exits(6);
}

#[test]
fn a_link_is_not_followed_and_a_name_leads_nowhere_else() {
    let sent = Sent::new(&[]);
    let elsewhere = sent.home.path().join("a.txt");
    fs::remove_file(sent.server.path("a.txt")).unwrap();
    symlink(&elsewhere, sent.server.path("a.txt")).unwrap();
    let ran = sent.verify(&[]).exits(6);
    assert!(ran.out.starts_with("differs a.txt: a link"), "{ran:#?}");
    // Nor in the middle of a name; and what no server would take is no name.
    symlink(sent.home.path(), sent.server.path("folder")).unwrap();
    let line =
        |name: &str| format!("{{\"time\":\"\",\"name\":\"{name}\",\"size\":5,\"durable\":true}}\n");
    fs::write(sent.receipts(), line("folder/a.txt")).unwrap();
    sent.verify(&[]).exits(6);
    for name in ["../a.txt", "/etc/passwd", "x/../../a.txt"] {
        fs::write(sent.receipts(), line(name)).unwrap();
        let ran = sent.verify(&[]).exits(9);
        ran.line_with(&["line 1 is not of a stored file"]);
    }
}

#[test]
fn a_file_in_a_folder_is_found_there_and_what_is_no_file_is_none() {
    let home = tempfile::tempdir().unwrap();
    let (dir, receipts) = (home.path().join("dir"), home.path().join("receipts"));
    fs::create_dir_all(dir.join("one/two/none.txt")).unwrap();
    fs::write(dir.join("one/two/a.txt"), "bytes").unwrap();
    let line = |name: &str| {
        let digest = common::digest("bytes");
        format!(
            "{{\"time\":\"\",\"name\":\"{name}\",\"size\":5,\"durable\":true,\"blake3\":\"{digest}\"}}\n"
        )
    };
    fs::write(&receipts, line("one/two/a.txt")).unwrap();
    verify(&receipts, &dir, &[]).exits(0);
    fs::write(&receipts, line("one/two/none.txt")).unwrap();
    let ran = verify(&receipts, &dir, &[]).exits(6);
    assert!(ran.out.contains("no plain file"), "{ran:#?}");
}

#[test]
fn a_line_that_a_crash_cut_off_is_passed_over_and_another_that_is_none_is_an_error() {
    let sent = Sent::new(&[]);
    let text = fs::read_to_string(sent.receipts()).unwrap();
    fs::write(sent.receipts(), format!("{}\n{text}", &text[..30])).unwrap();
    sent.verify(&[]).exits(0).line_with(&["line 1 was cut off"]);
    // Receipts go on behind a line that was cut off.
    fs::write(sent.receipts(), format!("{text}{}", &text[..30])).unwrap();
    sent.send(&[]).exits(0);
    sent.verify(&[]).exits(0).line_with(&["line 4 was cut off"]);
    fs::write(sent.receipts(), format!("{text}nonsense\n")).unwrap();
    sent.verify(&[]).exits(9).line_with(&["line 4 is not"]);
}

#[test]
fn a_journal_of_the_server_is_verified_likewise() {
    let home = tempfile::tempdir().unwrap();
    let journal = home.path().join("journal");
    let server = Server::start(&["--journal", journal.to_str().unwrap()]);
    server.client().upload("a.txt", b"bytes");
    verify(&journal, &server.path(""), &[]).exits(0);
    fs::remove_file(server.path("a.txt")).unwrap();
    verify(&journal, &server.path(""), &[]).exits(6);
}

#[test]
fn receipts_that_can_not_be_written_are_no_success() {
    let sent = Sent::new(&[]);
    fs::remove_file(sent.receipts()).unwrap();
    symlink("/dev/full", sent.receipts()).unwrap();
    let ran = sent.send(&["--on-conflict", "overwrite"]).exits(9);
    ran.line_with(&["can't write receipts", "No space"]);
    fs::remove_file(sent.receipts()).unwrap();
    fs::create_dir(sent.receipts()).unwrap();
    sent.send(&[]).exits(9).line_with(&["can't write receipts"]);
}

#[test]
fn what_can_not_be_read_ends_with_9() {
    let home = tempfile::tempdir().unwrap();
    let missing = home.path().join("missing");
    let ran = verify(&missing, home.path(), &[]).exits(9);
    ran.line_with(&["can't read", "missing"]);
    fs::write(&missing, "").unwrap();
    verify(&missing, &home.path().join("nowhere"), &[]).exits(9);
}

#[test]
fn receipts_that_were_never_written_prove_nothing() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let receipts = home.path().join("receipts");
    // Empty, and with nothing but a line that a crash has cut off.
    for text in ["", "{\"name\":\"a"] {
        fs::write(&receipts, text).expect("the folder is there");
        let ran = verify(&receipts, home.path(), &[]).exits(9);
        ran.line_with(&["nothing was compared"]);
    }
}
