//! Clients, whose server answers with every character there is.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::common::Server;
use crate::evil::{NO_UTF8, forgery, scalars, tricks};
use crate::hostile::{self, PLACES, Place};
use crate::screen::Screen;
use crate::{run, run_on_terminal};

/// Files of one byte each, enough for a reply of each text.
fn files(count: usize) -> TempDir {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join("files");
    fs::create_dir(&folder).expect("it is new");
    for number in 0..count {
        fs::write(folder.join(format!("f{number}")), "x").expect("written");
    }
    home
}

/// Every scalar, in texts for a reply; each trick alone; and bytes that are no UTF-8.
fn replies() -> Vec<Vec<u8>> {
    let mut replies: Vec<Vec<u8>> = tricks().into_iter().map(String::into_bytes).collect();
    replies.push(forgery().into_bytes());
    replies.extend(scalars(2_000).into_iter().map(String::into_bytes));
    replies
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary path is text")
}

#[test]
fn a_hostile_servers_replies_reach_no_terminal_raw() {
    let screen = Screen::new();
    let replies = replies();
    let home = files(replies.len());
    let folder = home.path().join("files");
    let receipts = home.path().join("receipts");
    for place in PLACES {
        for (arguments, as_json) in [(&["--progress", "plain"][..], false), (&["--json"], true)] {
            let server = hostile::server(place, replies.clone());
            let common = [
                "send",
                "--to",
                &server.address,
                "--retries",
                "0",
                "--receipts",
                text(&receipts),
            ];
            let arguments = [&common, arguments, &[text(&folder)]].concat();
            let printed = run(&arguments, &[("RUST_LOG", "trace".as_ref())], b"");
            let what = format!("{place:?}, {arguments:?}");
            screen.takes(&what, &printed.err);
            screen.takes(&what, &printed.out);
            if as_json {
                let events = screen.takes_json(&what, &printed.out);
                assert!(!events.is_empty(), "{what}: {printed:?}");
            }
            let told = printed.out.len() + printed.err.len();
            if matches!(place, Place::Text | Place::Name) {
                // Each reply is to one of the files, and a forged key or digest makes no name of it.
                let sent: usize = replies.iter().map(Vec::len).sum();
                // A file whose bytes went ahead has two replies, and the first is told: some of the
                // texts, and how many of them depends on who was faster.
                assert!(
                    told > sent / 8,
                    "{what}: replies are shown: {told} of {sent}"
                );
            }
        }
    }
    // What a hostile server had written down is looked at some day, and checked.
    let written = fs::read(&receipts).expect("there were receipts");
    assert!(screen.takes_json("receipts", &written).len() > replies.len());
}

#[test]
fn replies_that_are_no_utf8_reach_no_terminal_raw() {
    let screen = Screen::new();
    let home = files(1);
    for place in PLACES {
        for bytes in NO_UTF8 {
            let server = hostile::server(place, vec![bytes.to_vec()]);
            let folder = home.path().join("files");
            let printed = run(
                &[
                    "send",
                    "--to",
                    &server.address,
                    "--retries",
                    "0",
                    text(&folder),
                ],
                &[],
                b"",
            );
            screen.takes(&format!("{place:?}"), &[printed.out, printed.err].concat());
            let said = run(&["say", "--to", &server.address, "hello"], &[], b"");
            screen.takes(&format!("say, {place:?}"), &[said.out, said.err].concat());
        }
    }
}

#[test]
fn a_bar_on_a_terminal_shows_nothing_of_a_hostile_server_raw() {
    let screen = Screen::new();
    let home = files(60);
    let folder = home.path().join("files");
    for place in PLACES {
        let texts = tricks()
            .into_iter()
            .chain([forgery()])
            .map(String::into_bytes);
        let server = hostile::server(place, texts.collect());
        let words = [
            "send",
            "--to",
            &server.address,
            "--retries",
            "0",
            text(&folder),
        ]
        .map(OsString::from);
        let Some(shown) = run_on_terminal(&words) else {
            return;
        };
        screen.takes_with_own_sequences(&format!("{place:?}"), &shown);
        assert!(shown.len() > 50, "something is shown");
    }
}

#[test]
fn what_is_said_and_answered_is_shown_as_plain_text() {
    let screen = Screen::new();
    let lines = scalars(4_000).join("\n");
    let server = Server::start(&["--strings", "message", "--quiet"]);
    for arguments in [&["say"][..], &["say", "--json"]] {
        let arguments = [arguments, &["--to", server.address()]].concat();
        let printed = run(&arguments, &[], lines.as_bytes());
        assert_eq!(printed.code, Some(0), "{arguments:?}");
        assert!(printed.out.len() > lines.len(), "answers are shown");
        screen.takes("say", &printed.out);
        screen.takes("say", &printed.err);
    }
    let hostile = hostile::server(Place::Whole, replies());
    let hellos = "hello\n".repeat(replies().len());
    for arguments in [&["say"][..], &["say", "--json"]] {
        let arguments = [arguments, &["--to", &hostile.address]].concat();
        let printed = run(&arguments, &[], hellos.as_bytes());
        screen.takes("say", &[printed.out, printed.err].concat());
    }
    for place in PLACES {
        for trick in tricks().into_iter().chain([forgery()]) {
            let hostile = hostile::server(place, vec![trick.into_bytes()]);
            let printed = run(&["say", "--to", &hostile.address, "hello"], &[], b"");
            screen.takes("say", &[printed.out, printed.err].concat());
        }
        if !crate::takes_all() {
            break;
        }
    }
}
