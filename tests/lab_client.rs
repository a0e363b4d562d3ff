//! `lab client` against servers that share no code with it: small ones in Python, in the manner of
//! those that are written for the tasks.

mod common;
#[path = "lab/python.rs"]
mod python;

use std::fs;
use std::path::PathBuf;

use common::{Ran, Server, piecemeal, piecemeal_with_input, skipped};
use python::PythonServer;
use tempfile::TempDir;

/// The sizes around which a length field grows, and one of several segments.
const SIZES: [usize; 6] = [0, 1, 255, 256, 65_536, 300_000];

/// A folder with a file of each size, called by it.
struct Files(TempDir);

impl Files {
    fn new() -> Files {
        let files = Files(tempfile::tempdir().expect("a folder"));
        for size in SIZES {
            fs::write(files.path(&size.to_string()), content(size)).expect("the folder is there");
        }
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A line for each file of these sizes.
    fn lines(&self, sizes: &[usize]) -> String {
        let lines = sizes.iter().map(|size| self.line(&size.to_string()));
        lines.collect()
    }

    fn line(&self, name: &str) -> String {
        format!("{}\n", self.path(name).display())
    }
}

fn content(size: usize) -> Vec<u8> {
    (0..=250).cycle().take(size).collect()
}

fn client(to: &str, arguments: &[&str], input: impl AsRef<[u8]>) -> Ran {
    // A slow machine is no fault.
    let patient = ["lab", "client", "--timeout", "1m", "--to", to];
    let mut arguments = [&patient[..], arguments].concat();
    // A kept connection waits out the whole of it behind each file.
    if !arguments.contains(&"--quiet") && !arguments.contains(&"--keep") {
        arguments.extend(["--quiet", "1m"]);
    }
    piecemeal_with_input(&arguments, input.as_ref())
}

fn out_lines(ran: &Ran) -> Vec<&str> {
    ran.out.lines().collect()
}

/// Sends the files of all sizes, and compares what the server has.
fn uploads(kind: &str, arguments: &[&str]) {
    let Some(server) = PythonServer::start(kind) else {
        return skipped("no python3 here");
    };
    let files = Files::new();
    let arguments = [&["--task", "6"], arguments].concat();
    let ran = client(&server.address, &arguments, files.lines(&SIZES)).exits(0);
    assert_eq!(out_lines(&ran).len(), SIZES.len(), "{kind}: {ran:#?}");
    for size in SIZES {
        // Where the connection is kept, the client doesn't wait for the server to be done.
        let line = format!("stored {size}, {size} bytes");
        server.out.wait_for(|out| out == line);
        let stored = fs::read(server.path(&size.to_string())).expect("it was stored");
        assert!(
            stored == content(size),
            "{kind} {arguments:?}: {size} bytes"
        );
    }
}

#[test]
fn files_arrive_as_they_are_at_a_server_of_each_grammar() {
    for grammar in ["u1", "u2", "u3", "u4", "framed"] {
        uploads(grammar, &["--grammar", grammar]);
    }
}

#[test]
fn u1_is_the_grammar_where_none_is_chosen_and_a_server_may_close_behind_a_file() {
    uploads("u1-once", &[]);
}

#[test]
fn a_server_that_frames_only_half_of_it_is_understood() {
    uploads("framed-raw-answers", &["--grammar", "framed"]);
    uploads("framed-no-receipt", &["--grammar", "framed"]);
}

#[test]
fn one_connection_carries_all_files_where_it_is_asked_for() {
    for grammar in ["u1", "u2", "framed"] {
        let keep = ["--grammar", grammar, "--keep", "--quiet", "10ms"];
        uploads(grammar, &keep);
    }
    // One that doesn't frame its OK has no receipt to wait for.
    let keep = ["--grammar", "framed", "--keep", "--quiet", "10ms"];
    uploads("framed-raw-answers", &keep);
}

#[test]
fn files_arrive_as_they_are_in_whatever_pieces() {
    for grammar in ["u2", "framed"] {
        uploads(
            grammar,
            &["--grammar", grammar, "--pieces", "1,1,1,2,1,1,1,1,1"],
        );
        uploads(grammar, &["--grammar", grammar, "--dribble", "997B/0"]);
    }
}

#[test]
fn a_server_that_takes_one_file_a_connection_is_told_from_one_that_died() {
    let Some(server) = PythonServer::start("u1-once") else {
        return skipped("no python3 here");
    };
    let files = Files::new();
    let ran = client(
        &server.address,
        &["--task", "6", "--keep"],
        files.lines(&[1, 255, 256]),
    )
    .exits(23);
    ran.line_with(&[
        "/255:",
        "closed the connection behind the last file",
        "--keep",
    ]);
    // The one after it has a new connection again.
    server.out.wait_for(|line| line == "stored 256, 256 bytes");
    assert!(server.path("1").exists() && server.path("256").exists());
    assert!(!server.path("255").exists());
}

#[test]
fn a_connection_that_is_cut_stores_nothing_and_the_next_client_is_served() {
    let Some(server) = PythonServer::start("u1") else {
        return skipped("no python3 here");
    };
    let files = Files::new();
    let task = ["--task", "6"];
    for cut in ["0", "1", "4", "5", "7", "100"] {
        let ran = client(
            &server.address,
            &[&task[..], &["--cut-after", cut]].concat(),
            files.lines(&[65_536]),
        )
        .exits(4);
        ran.line_with(&["65536", &format!("cut after {cut} bytes")]);
    }
    client(&server.address, &task, files.lines(&[1])).exits(0);
    // It takes one connection after the other, so it is done with those before.
    assert_eq!(server.names(), ["1"]);
}

#[test]
fn each_enter_is_a_connection_and_says_what_became_of_it() {
    let (Some(closing), Some(holding)) =
        (PythonServer::start("close"), PythonServer::start("never"))
    else {
        return skipped("no python3 here");
    };
    for task in ["1", "2"] {
        let ran = client(
            &closing.address,
            &["--task", task, "--quiet", "1m"],
            "\n\nx\n",
        )
        .exits(0);
        let lines = out_lines(&ran);
        assert_eq!(lines.len(), 3, "{ran:#?}");
        for line in lines {
            assert!(
                line.starts_with(&format!("connected to {} from 127.0.0.1:", closing.address))
                    && line.ends_with("the server closed the connection"),
                "{line}"
            );
        }
        let ran = client(&holding.address, &["--task", task, "--quiet", "1ms"], "\n").exits(0);
        assert!(ran.out.ends_with("was still open after 1ms\n"), "{ran:#?}");
    }
}

#[test]
fn each_line_is_a_text_and_its_answer_is_printed() {
    for (kind, task, words) in [
        ("hello", "hello", "I have received: "),
        ("message", "3", "Message: "),
        ("received", "3", "Message received: "),
    ] {
        let Some(server) = PythonServer::start(kind) else {
            return skipped("no python3 here");
        };
        let input = "hello\r\ngr\u{fc}\u{df} dich\n\n\u{1b}[2J\nlast";
        let ran = client(&server.address, &["--task", task], input).exits(0);
        let texts = ["hello", "gr\u{fc}\u{df} dich", r"\u{1b}[2J", "last"];
        let expected: Vec<String> = texts.iter().map(|text| format!("{words}{text}")).collect();
        assert_eq!(out_lines(&ran), expected);
        ran.line_with(&["an empty text is not sent"]);
        let pieces = ["--task", task, "--dribble", "1B/1ms"];
        let ran = client(&server.address, &pieces, "in pieces\n").exits(0);
        assert_eq!(ran.out, format!("{words}in pieces\n"));
    }
}

#[test]
fn a_long_text_is_cut_between_two_characters_and_what_is_no_text_is_not_sent() {
    let Some(server) = PythonServer::start("message") else {
        return skipped("no python3 here");
    };
    let task = ["--task", "3"];
    let long = "x".to_owned() + &"\u{fc}".repeat(100_000) + "\nnext\n";
    let ran = client(&server.address, &task, long).exits(0);
    let cut = "x".to_owned() + &"\u{fc}".repeat(2047);
    let expected = [format!("Message: {cut}"), "Message: next".to_owned()];
    assert_eq!(out_lines(&ran), expected);
    ran.line_with(&["cut to 4095 bytes"]);

    let ran = client(&server.address, &task, b"\xff\xfe\nnext\n").exits(23);
    assert_eq!(ran.out, "Message: next\n");
    ran.line_with(&["no UTF-8"]);
}

#[test]
fn task_4_tells_texts_from_random_bytes_and_says_what_it_sent() {
    let Some(server) = PythonServer::start("task4") else {
        return skipped("no python3 here");
    };
    let input = "1\nhello\n2\n2 300\n\n2 0\nexit\n2 5\n";
    let ran = client(&server.address, &["--task", "4"], input).exits(0);
    let lines = out_lines(&ran);
    assert_eq!(lines.len(), 4, "{ran:#?}");
    assert_eq!(lines[0], "sent a text of 5 bytes as type 1");
    assert!(lines[2].starts_with("sent 300 bytes at random as type 2, blake3="));
    assert_eq!(
        server.out.wait_for(|line| line.starts_with("text ")),
        "text hello"
    );
    let mut sent: Vec<String> = lines[1..].iter().map(|line| digest_in(line)).collect();
    sent.sort();
    assert_eq!(server.digests(), sent);
}

#[test]
fn task_5_picks_the_smallest_type_for_each_size() {
    let Some(server) = PythonServer::start("task5") else {
        return skipped("no python3 here");
    };
    let input = "2 0\n2 255\n2 256\n2 65535\n2 65536\n2 300000\n1\nhello\n";
    let ran = client(&server.address, &["--task", "5"], input).exits(0);
    assert_eq!(out_lines(&ran)[6], "sent a text of 5 bytes as type 1");
    server.out.wait_for(|line| line == "text hello");
    let expected = [
        "type2-0.bin",
        "type2-255.bin",
        "type3-256.bin",
        "type3-65535.bin",
        "type4-300000.bin",
        "type4-65536.bin",
    ];
    assert_eq!(server.names(), expected);
    let mut sent: Vec<String> = out_lines(&ran)[..6]
        .iter()
        .map(|line| digest_in(line))
        .collect();
    sent.sort();
    assert_eq!(server.digests(), sent);
}

#[test]
fn what_a_grammar_cannot_say_is_not_sent() {
    let Some(server) = PythonServer::start("task5-u2") else {
        return skipped("no python3 here");
    };
    let task = ["--task", "5", "--grammar"];
    let input = "2 300\n2 4294967296\n2 1\n";
    let ran = client(&server.address, &[&task[..], &["u2"]].concat(), input).exits(23);
    ran.line_with(&["can't be sent", "length field of u2"]);
    assert_eq!(server.names(), ["type2-1.bin", "type2-300.bin"]);
    let ran = client(&server.address, &[&task[..], &["u3"]].concat(), input).exits(2);
    ran.line_with(&["u3 has none", "try u1, u2 or framed"]);
}

#[test]
fn files_that_cannot_be_sent_are_told_and_the_next_one_is_sent() {
    let Some(server) = PythonServer::start("u1") else {
        return skipped("no python3 here");
    };
    let files = Files::new();
    fs::create_dir(files.path("folder")).expect("it is new");
    let fifo = files.path("fifo");
    let mode = rustix::fs::Mode::RUSR;
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, mode).expect("it is new");
    let mut input = files.line("folder").into_bytes();
    input.extend(files.line("missing").bytes());
    input.extend(files.line("fifo").bytes());
    input.extend(b"/proc/version\n\n/\n\xff\n");
    input.extend(files.lines(&[1]).bytes());
    let ran = client(&server.address, &["--task", "6"], &input).exits(23);
    ran.line_with(&["/folder: can't read it: it is a folder"]);
    ran.line_with(&["/missing: can't read it: No such file"]);
    ran.line_with(&["/fifo: can't read it: it is not a plain file"]);
    ran.line_with(&["/proc/version: can't read it: its size is not known"]);
    ran.line_with(&[r"\xff: can't read it: No such file"]);
    assert_eq!(server.names(), ["1"]);
    // Where all of it fails for one reason, the exit says which.
    client(&server.address, &["--task", "6"], files.line("missing")).exits(9);
}

#[test]
fn our_own_server_takes_what_is_framed() {
    let (server, files) = (Server::start(&[]), Files::new());
    fs::write(files.path(".hidden"), "x").expect("the folder is there");
    let task = ["--task", "6", "--grammar", "framed"];
    let lines = files.lines(&SIZES) + &files.line(".hidden") + "q\n" + &files.line("missing");
    let ran = client(server.address(), &task, lines).exits(23);
    ran.line_with(&[".hidden: the server answered \"ERR bad-name"]);
    for size in SIZES {
        assert!(server.stored(&size.to_string()) == content(size), "{size}");
    }
    let keep = [&task[..], &["--keep"]].concat();
    let ran = client(server.address(), &keep, files.lines(&[1, 255])).exits(3);
    ran.line_with(&["/255: the server answered \"ERR exists"]);

    let server = Server::start(&["--strings", "message"]);
    let task = ["--task", "3", "--grammar", "framed"];
    let ran = client(server.address(), &task, "hello\nthere\n").exits(0);
    assert_eq!(ran.out, "Message: hello\nMessage: there\n");
}

#[test]
fn wrong_usage_says_what_would_work() {
    for (arguments, help) in [
        (&["--task", "7"][..], "hello and 1 to 6"),
        (
            &["--task", "6", "--grammar", "u5"],
            "framed, u1, u2, u3 and u4",
        ),
        (&["--task", "3", "--keep"], "--keep is for task 6"),
        (
            &["--task", "6", "--keep", "--grammar", "u4"],
            "try u1, u2 or framed",
        ),
        (&["--task", "6", "--pieces", "x"], "try 1,3,2,1000"),
        (&["--task", "6", "--to", "nowhere"], "try 127.0.0.1:9000"),
    ] {
        let ran = piecemeal(&[&["lab", "client"], arguments].concat()).exits(2);
        ran.line_with(&[help]);
    }
    let ran = client("127.0.0.1:9", &["--task", "4"], "3\n2 x\n1").exits(2);
    ran.line_with(&["3: no choice"]);
    ran.line_with(&["x: not a size"]);
    ran.line_with(&["the text is missing"]);
}

/// The digest that a line of the client's ends with.
fn digest_in(line: &str) -> String {
    let (_, digest) = line.split_once("blake3=").expect("random bytes have one");
    digest.to_owned()
}
