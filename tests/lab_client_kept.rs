//! `lab client --keep` against servers that say something behind each file, and the variables that
//! stand for its flags.

mod common;

use std::fs::{self, File};
use std::io::Write;
use std::process::Stdio;
use std::sync::mpsc::channel;

use common::{Fake, GUARD, Lines, PROGRAM, Peer, command};
use tempfile::TempDir;

/// More than two sockets hold, so that it can't be sent before the server reads it.
const LARGE: usize = 64 << 20;

/// The name of the file that is sent, and its message in the grammar u1.
const NAME: &str = "large.bin";
const NAMED: &[u8] = b"\x01large.bin";

/// A folder with a sparse file of so many bytes, and the line that has it sent.
fn file_of(size: usize) -> (TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(NAME);
    let file = File::create(&path).expect("it is new");
    file.set_len(size as u64).expect("it may be large");
    let line = format!("{}\n", path.display());
    (folder, line)
}

const KEEP: [&str; 7] = ["lab", "client", "--task", "6", "--keep", "--timeout", "1m"];

/// Reads a file's data: a type, so many bytes of length, and the bytes.
fn take_file(peer: &mut Peer, length_bytes: usize, size: usize) {
    let header = peer.take(1 + length_bytes);
    assert_eq!(usize::from(header[0]), length_bytes + 1);
    for _ in 0..size / 1024 {
        peer.take(1024);
    }
}

#[test]
fn words_behind_a_file_do_not_meet_the_next_files_answer() {
    let server = Fake::playing(|peer| {
        for _ in 0..3 {
            assert_eq!(peer.take(NAMED.len()), NAMED);
            peer.give("OK");
            // The client has heard the OK when it sends a byte, and can't be done with the file
            // before these words are there, so that no moment is too short for them.
            peer.take(1);
            peer.give("File received");
            peer.take(4 + LARGE);
        }
        peer.take_to_the_end();
    });
    let (_folder, line) = file_of(LARGE);
    let arguments = [&KEEP[..], &["--quiet", "1ms", "--to", &server.address]].concat();
    let ran = common::piecemeal_with_input(&arguments, line.repeat(3).as_bytes()).exits(0);
    let said = ran.out.lines();
    let said = said.filter(|line| line.ends_with("bytes; the server said \"File received\""));
    assert_eq!(said.count(), 3, "{ran:#?}");
}

#[test]
fn words_that_come_late_belong_to_the_file_before() {
    let (say, told_to_say) = channel::<()>();
    let server = Fake::playing(move |peer| {
        assert_eq!(peer.take(NAMED.len()), NAMED);
        peer.give("OK");
        take_file(peer, 2, 1024);
        told_to_say.recv_timeout(GUARD).expect("the test says when");
        peer.give("Late words");
        peer.tell_the_test();
        assert_eq!(peer.take(NAMED.len()), NAMED);
        peer.give("OK");
        take_file(peer, 2, 1024);
        peer.take_to_the_end();
    });
    let (_folder, line) = file_of(1024);
    let mut child = command(PROGRAM)
        .args(KEEP)
        .args(["--quiet", "1ms", "--to", &server.address])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let out = Lines::of(child.stdout.take().expect("it is a pipe"));
    let err = Lines::of(child.stderr.take().expect("it is a pipe"));
    let mut input = child.stdin.take().expect("it is a pipe");

    input.write_all(line.as_bytes()).expect("it reads");
    out.wait_for(|line| line.ends_with("sent, 1024 bytes"));
    say.send(()).expect("the script listens");
    server.wait_for_the_peer();
    input.write_all(line.as_bytes()).expect("it reads");
    out.wait_for_many(2, |line| line.ends_with("sent, 1024 bytes"));
    err.wait_for(|line| line == "behind the last file the server said \"Late words\"");
    drop(input);
    let ended = child.wait().expect("it ends");
    assert_eq!(ended.code(), Some(0), "{:?}", err.so_far());
}

#[test]
fn its_variables_are_its_own() {
    let server = Fake::playing(|peer| {
        peer.take_to_the_end();
    });
    let (_folder, line) = file_of(0);
    let lines = tempfile::NamedTempFile::new().expect("a file");
    fs::write(&lines, line).expect("it is there");
    let with = |name: &str, value: &str| {
        command(PROGRAM)
            .args(["lab", "client"])
            // What `serve --quiet` and `lab serve --keep` understand.
            .env("PIECEMEAL_QUIET", "1")
            .env("PIECEMEAL_KEEP", "30s")
            .env("PIECEMEAL_LAB_TO", &server.address)
            .env("PIECEMEAL_LAB_TASK", "1")
            .env("PIECEMEAL_LAB_QUIET", "1ms")
            .env(name, value)
            .stdin(File::open(&lines).expect("it is there"))
            .output()
            .expect("the program starts")
    };
    let ran = with("PIECEMEAL_LAB_TIMEOUT", "1m");
    let out = String::from_utf8_lossy(&ran.stdout);
    assert!(out.ends_with("was still open after 1ms\n"), "{ran:?}");
    let ran = with("PIECEMEAL_LAB_KEEP", "1");
    let err = String::from_utf8_lossy(&ran.stderr);
    assert!(err.contains("--keep is for task 6"), "{ran:?}");
}
