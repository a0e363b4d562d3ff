//! The thread-a-connection example at work: what a reactor is compared with has to be right too.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use common::{GUARD, data, data_header, string};

/// A running example and its folder; both go when it is dropped, also by a test that fails.
struct Threads {
    process: Child,
    address: String,
    folder: TempDir,
}

impl Threads {
    fn start() -> Threads {
        // A plain `cargo test` builds the examples too, into a folder beside this test's.
        let here = std::env::current_exe().expect("a running program has a path");
        let beside = here.ancestors().nth(2).expect("a test lies in deps");
        let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let mut process = Command::new(beside.join("examples/threads"))
            .arg("127.0.0.1:0")
            .arg(folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("built by a plain `cargo test`, or by `cargo build --example threads`");
        let out = process.stdout.take().expect("it was piped");
        let mut line = String::new();
        let read = BufReader::new(out).read_line(&mut line);
        read.expect("a line of text");
        let address = line.trim_end().strip_prefix("listening on ");
        Threads {
            address: address.unwrap_or_else(|| panic!("{line:?}")).to_owned(),
            process,
            folder,
        }
    }

    /// Sends all at once, ends the stream, and gives the replies' texts.
    fn talk(&self, bytes: &[u8]) -> Vec<String> {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_read_timeout(Some(GUARD)).expect("a valid time");
        stream.write_all(bytes).expect("it reads");
        stream.shutdown(Shutdown::Write).expect("it is connected");
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("it answers and ends");
        let mut rest = &all[..];
        let mut texts = Vec::new();
        while let [1, low, high, more @ ..] = rest {
            let (text, others) = more.split_at(usize::from(u16::from_le_bytes([*low, *high])));
            texts.push(String::from_utf8(text.to_vec()).expect("a reply is text"));
            rest = others;
        }
        assert!(rest.is_empty(), "no reply: {rest:?}");
        texts
    }

    fn stored(&self) -> Vec<(String, usize)> {
        let entries = fs::read_dir(self.folder.path()).expect("its folder");
        let mut files: Vec<_> = entries
            .map(|entry| {
                let entry = entry.expect("an entry");
                let size = fs::read(entry.path()).expect("a file").len();
                (entry.file_name().into_string().expect("text"), size)
            })
            .collect();
        files.sort();
        files
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn files_sent_ahead_are_stored_and_answered_in_order() {
    let server = Threads::start();
    let large = vec![7; 300_000];
    let sent = [
        string("one"),
        data(b"1"),
        string("two"),
        data(&large),
        string("none"),
        data(b""),
    ];
    let replies = server.talk(&sent.concat());
    let receipt = |name: &str, size: usize| format!("OK\nname={name}\nsize={size}\ndurable=no");
    let receipts = [
        receipt("one", 1),
        receipt("two", 300_000),
        receipt("none", 0),
    ];
    let expected: Vec<&str> = receipts.iter().flat_map(|it| ["OK", it]).collect();
    assert_eq!(replies, expected);
    let stored = [("none", 0), ("one", 1), ("two", 300_000)];
    assert_eq!(
        server.stored(),
        stored.map(|(name, size)| (name.to_owned(), size))
    );
    assert_eq!(
        fs::read(server.folder.path().join("two")).expect("stored"),
        large
    );
}

#[test]
fn a_refusal_keeps_in_step_and_stores_nothing() {
    let server = Threads::start();
    let sent = [
        string("good"),
        string("../bad"),
        data(b"for a bad name"),
        string("taken"),
        data(b"first"),
        string("taken"),
        data(b"second"),
        vec![99],
    ];
    let replies = server.talk(&sent.concat());
    let first = |reply: &String| reply.lines().next().map(str::to_owned);
    let firsts: Vec<_> = replies.iter().filter_map(first).collect();
    let expected = [
        "OK",
        "ERR bad-name",
        "ERR bad-state",
        "OK",
        "OK",
        "OK",
        "ERR exists",
    ];
    assert_eq!(firsts[..7], expected);
    assert_eq!(firsts[7..], ["ERR bad-type"]);
    assert_eq!(server.stored(), [("taken".to_owned(), 5)]);
}

#[test]
fn half_a_file_is_none() {
    let server = Threads::start();
    let sent = [string("half"), data_header(8, 10), b"five.".to_vec()];
    assert_eq!(server.talk(&sent.concat()), ["OK"]);
    assert!(server.stored().is_empty());
}
