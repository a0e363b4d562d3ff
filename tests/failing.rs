//! What `send` and `say` do when something is wrong: with a file, with the way there, or with the
//! server. Exit codes are a contract with scripts; lines are for people, and name the file, the
//! reason and what would help.

mod common;

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use common::{
    ClosedPort, Fake, GUARD, Lines, PROGRAM, Ran, Server, Starter, command, piecemeal,
    piecemeal_with_input, signal, string,
};
use rustix::process::Signal;
use tempfile::TempDir;

/// A folder with one small file in it, and the file's path.
fn a_file() -> (TempDir, String) {
    let home = tempfile::tempdir().expect("a temporary folder");
    let path = home.path().join("a.txt");
    fs::write(&path, "bytes").expect("the folder is there");
    let path = path.display().to_string();
    (home, path)
}

/// A path beside the file.
fn beside(home: &TempDir, name: &str) -> String {
    home.path().join(name).display().to_string()
}

/// Sends without a second try: what is tried again, and when, is another matter (`retries.rs`).
fn send(to: &str, arguments: &[&str]) -> Ran {
    piecemeal(&[&["send", "--retries", "0", "--to", to], arguments].concat())
}

#[test]
fn a_server_that_is_not_there_ends_with_4_and_the_way_to_start_one() {
    let (home, path) = a_file();
    let closed = ClosedPort::new();
    let to = &closed.address;
    let other = beside(&home, "other.txt");
    fs::write(&other, "other").unwrap();
    let ran = send(to, &[&path, &other]).exits(4);
    let said = format!("piecemeal: 2 files, from {path} on: ");
    ran.line_with(&[&said, to, "refused", "piecemeal serve"]);
    ran.line_with(&["0 files stored", "2 files failed"]);
    let ran = piecemeal(&["say", "--to", to, "text"]).exits(4);
    ran.line_with(&[to, "refused", "piecemeal serve"]);
    let missing = beside(&home, "no socket");
    send(&format!("unix:{missing}"), &[&path])
        .exits(4)
        .line_with(&[&missing]);
}

#[test]
fn a_host_that_has_no_address_ends_with_4() {
    let (_home, path) = a_file();
    let to = "no-such-host.invalid:9000";
    send(to, &[&path]).exits(4).line_with(&["can't find", to]);
    piecemeal(&["say", "--to", to, "text"]).exits(4);
}

#[test]
fn a_server_that_closes_without_a_word_ends_with_4() {
    let (_home, path) = a_file();
    let fake = Fake::playing(|peer| {
        peer.take(1);
    });
    send(&fake.address, &[&path])
        .exits(4)
        .line_with(&[&path, "lost", "send it again"]);
    let fake = Fake::playing(|peer| {
        peer.take(1);
        peer.finish();
        peer.listen_to_the_end();
    });
    send(&fake.address, &[&path])
        .exits(4)
        .line_with(&[&path, "lost"]);
    piecemeal(&["say", "--to", &fake.address, "text"]).exits(4);
}

#[test]
fn files_that_can_not_be_read_end_with_9_and_hang_nothing() {
    let (home, _) = a_file();
    let server = Server::start(&[]);
    let (missing, folder, pipe) = (
        beside(&home, "missing"),
        beside(&home, "folder\n"),
        beside(&home, "pipe"),
    );
    fs::create_dir(&folder).unwrap();
    fs::write(format!("{folder}/file"), "x").unwrap();
    assert!(command("mkfifo").arg(&pipe).status().unwrap().success());
    for (path, why) in [
        (&*missing, "No such file"),
        (&*pipe, "not a plain file"),
        ("/dev/zero", "not a plain file"),
        ("/proc/cpuinfo", "size is not known"),
        ("/", "it has no name; --name gives it one"),
    ] {
        let ran = send(server.address(), &[path]).exits(9);
        ran.line_with(&["piecemeal: ", path, why]);
    }
    // A folder is walked; that it can't have its name is told of what is in it.
    send(server.address(), &[&folder])
        .exits(9)
        .line_with(&["folder\\n/file: can't be called folder\\n/file"]);
    let all = [&*missing, &*folder, &*pipe];
    send(server.address(), &all)
        .exits(9)
        .line_with(&["3 files failed"]);
    assert!(server.names().is_empty());
}

#[test]
fn a_name_that_no_server_takes_ends_with_9_before_anything_is_sent() {
    let (_home, path) = a_file();
    // No server is needed to know it.
    let closed = ClosedPort::new();
    let to = &closed.address;
    for name in ["../x", "CON", "a\\b", "\x1b[2J"] {
        let ran = send(to, &["--name", name, &path]).exits(9);
        ran.line_with(&[&path, "can't be called", "--name gives it another"]);
        assert!(!ran.err.contains('\x1b'));
    }
    send(to, &["--name", "", &path])
        .exits(2)
        .line_with(&["--name is empty"]);
    // What only this server refuses, the server says.
    let server = Server::start(&["--flat"]);
    for name in [".hidden", "a/b"] {
        let ran = send(server.address(), &["--name", name, &path]).exits(3);
        ran.line_with(&[&path, "(bad-name)", "--name gives it another"]);
    }
}

#[test]
fn some_files_that_fail_do_not_keep_the_others_from_being_stored() {
    let (home, path) = a_file();
    let (missing, other) = (beside(&home, "missing"), beside(&home, "other.txt"));
    fs::write(&other, "other").unwrap();
    let server = Server::start(&[]);
    let ran = send(server.address(), &[&missing, &path, &other]).exits(23);
    ran.line_with(&["piecemeal: ", &missing, "No such file"]);
    ran.line_with(&["2 files stored", "1 file failed"]);
    assert_eq!(server.names(), ["a.txt", "other.txt"]);
}

#[test]
fn files_that_fail_for_different_reasons_end_with_23() {
    let (home, path) = a_file();
    let missing = beside(&home, "missing");
    let server = Server::start(&["--max-size", "1"]);
    let ran = send(server.address(), &[&missing, &path]).exits(23);
    ran.line_with(&[&path, "(too-large)", "--max-size"]);
    ran.line_with(&[&missing, "No such file"]);
}

#[test]
fn a_refused_file_ends_with_3_whether_it_is_small_or_large() {
    let (home, path) = a_file();
    let large = beside(&home, "large");
    fs::write(&large, vec![0; 5_000_000]).unwrap();
    let server = Server::start(&["--max-size", "1"]);
    let ran = send(server.address(), &[&path, &large]).exits(3);
    ran.line_with(&[&path, "(too-large)", "1 bytes", "--max-size"]);
    ran.line_with(&[&large, "(too-large)", "1 bytes", "--max-size"]);
    assert!(server.names().is_empty());
}

#[test]
fn a_server_that_is_full_ends_with_3_and_the_advice_to_come_back() {
    let (_home, path) = a_file();
    let server = Server::start(&["--max-connections", "1"]);
    let mut holder = server.client();
    holder.upload("held.txt", b"bytes");
    let ran = send(server.address(), &[&path]).exits(3);
    ran.line_with(&[&path, "(busy)", "try again"]);
    let ran = piecemeal(&["say", "--to", server.address(), "text"]).exits(3);
    ran.line_with(&["(busy)", "try again"]);
}

#[test]
fn a_server_that_refuses_in_the_middle_of_a_file_is_quoted() {
    let (home, _) = a_file();
    let (first, large) = (beside(&home, "first"), beside(&home, "large"));
    // Less than what is reserved beforehand, and more than a file may have.
    fs::write(&first, vec![1; 900_000]).unwrap();
    fs::write(&large, vec![2; 9_000_000]).unwrap();
    let server = Starter::new(&[]).limited("-f 64").start();
    let ran = send(server.address(), &[&first, &large]).exits(3);
    ran.line_with(&[&first, "(no-space)", "make room"]);
    ran.line_with(&[&large, "(no-space)", "make room"]);
    assert!(server.names().is_empty());
}

#[test]
fn a_server_that_refuses_and_closes_in_the_middle_of_a_file_is_quoted() {
    let (home, _) = a_file();
    let large = beside(&home, "large");
    fs::write(&large, vec![2; 30_000_000]).unwrap();
    let fake = Fake::playing(|peer| {
        peer.take(1);
        peer.give(string("OK\noffset=0"));
        peer.take(1_000_000);
        peer.give(string("ERR no-space\ntext=the disk is \x1b[2Jfull"));
        peer.finish();
        peer.listen_to_the_end();
    });
    let ran = send(&fake.address, &[&large]).exits(3);
    ran.line_with(&[&large, "(no-space)", "the disk is ", "make room"]);
    assert!(!ran.err.contains('\x1b'), "{ran:#?}");
}

#[test]
fn what_a_server_said_before_it_slammed_the_door_is_still_read() {
    let (home, _) = a_file();
    let large = beside(&home, "large");
    fs::write(&large, vec![2; 5_000_000]).unwrap();
    let socket = beside(&home, "socket");
    let listener = UnixListener::bind(&socket).unwrap();
    let rounds = 10;
    let server = thread::spawn(move || {
        for _ in 0..rounds {
            let (mut stream, _) = listener.accept().unwrap();
            let mut some = vec![0; 100_000];
            stream.read_exact(&mut some[..1]).unwrap();
            stream.write_all(&string("OK\noffset=0")).unwrap();
            stream.read_exact(&mut some).unwrap();
            // A Unix socket keeps what was written before it was closed, although bytes were left
            // unread; the client's next write fails.
            let reply = string("ERR io\ntext=the disk is on fire");
            stream.write_all(&reply).unwrap();
        }
    });
    for _ in 0..rounds {
        let ran = send(&format!("unix:{socket}"), &[&large]).exits(3);
        ran.line_with(&[&large, "(io)", "the disk is on fire", "log"]);
    }
    server.join().unwrap();
}

#[test]
fn each_way_to_be_refused_has_its_exit_code() {
    let (_home, path) = a_file();
    for (code, exit) in [
        ("bad-type", 3),
        ("bad-length", 3),
        ("bad-text", 3),
        ("bad-name", 3),
        ("bad-state", 3),
        ("exists", 3),
        ("too-large", 3),
        ("no-space", 3),
        ("digest", 6),
        ("incomplete", 3),
        ("timeout", 8),
        ("busy", 3),
        ("shutdown", 3),
        ("io", 3),
        ("unknown", 3),
        ("of-a-later-version", 3),
    ] {
        let fake = Fake::answering(string(format!("ERR {code}\ntext=because of it")));
        // The connection is lost behind it, which is not what the file failed of.
        let ran = send(&fake.address, &[&path]).exits(exit);
        ran.line_with(&[&path, &format!("({code})"), "because of it"]);
    }
}

#[test]
fn a_server_that_breaks_the_protocol_ends_with_7() {
    let (home, path) = a_file();
    let large = beside(&home, "large");
    fs::write(&large, vec![2; 3_000_000]).unwrap();
    let other = common::digest("other");
    let receipt = |text: &str| [string("OK\noffset=0"), string(text)].concat();
    for (path, garbage) in [
        (&path, b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        (&path, b"220 mail.example.org ESMTP\r\n".to_vec()),
        (&path, vec![0; 10]),
        (&path, string("hello")),
        (&path, string(b"OK\xff")),
        (&path, vec![1, 0xff, 0xff]),
        (&path, receipt("hello")),
        (&large, string("OK\noffset=3000001")),
        // A receipt that isn't that of the file promises nothing.
        (&path, receipt("OK")),
        (&path, receipt("OK\nname=a.txt\nsize=5\ndurable=yes")),
        (&path, receipt("OK\nname=a.txt\nsize=4\ndurable=yes")),
        (
            &path,
            receipt(&format!("OK\nname=a.txt\nsize=5\nblake3={other}")),
        ),
    ] {
        let fake = Fake::answering(garbage);
        let ran = send(&fake.address, &[path]).exits(7);
        ran.line_with(&["piecemeal: ", path, "is it a piecemeal server?"]);
        ran.line_with(&["0 files stored", "1 file failed"]);
    }
    let fake = Fake::answering("HTTP/1.1 400 Bad Request\r\n\r\n");
    piecemeal(&["say", "--to", &fake.address, "text"]).exits(7);
}

#[test]
fn a_server_that_never_answers_ends_with_8() {
    let (home, path) = a_file();
    let large = beside(&home, "large");
    fs::write(&large, vec![2; 30_000_000]).unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = silent.local_addr().unwrap().to_string();
    for path in [&path, &large] {
        let ran = send(&to, &["--timeout", "300ms", path]).exits(8);
        ran.line_with(&["piecemeal: ", path, "silent", "--timeout"]);
    }
    // One that answers and then doesn't take the bytes is as bad.
    let fake = Fake::playing(|peer| {
        peer.take(1);
        peer.give(string("OK\noffset=0"));
        peer.stand_still();
    });
    send(&fake.address, &["--timeout", "300ms", &large]).exits(8);
}

#[test]
fn a_signal_during_a_sending_ends_it_with_the_signals_code() {
    let (home, path) = a_file();
    let other = beside(&home, "other.txt");
    fs::write(&other, "other").unwrap();
    for (which, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let fake = Fake::playing(|peer| {
            peer.take(1);
            peer.tell_the_test();
            peer.listen_to_the_end();
        });
        let mut sending = command(PROGRAM)
            .args(["send", "--to", &fake.address, &path, &other])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let err = Lines::of(sending.stderr.take().unwrap());
        fake.wait_for_the_peer();
        signal(&sending, which);
        let lines = err.to_end();
        assert_eq!(sending.wait().unwrap().code(), Some(code), "{lines:#?}");
        assert!(lines.iter().any(|line| line.contains(&path)), "{lines:#?}");
    }
}

#[test]
fn a_second_signal_ends_a_sending_whose_report_nobody_reads() {
    let (_home, path) = a_file();
    let fake = Fake::playing(|peer| {
        peer.take(1);
        peer.tell_the_test();
        peer.listen_to_the_end();
        peer.tell_the_test();
    });
    // A pipe that is full: whoever writes to it hangs.
    let (_reader, mut writer) = std::io::pipe().unwrap();
    rustix::fs::fcntl_setfl(&writer, rustix::fs::OFlags::NONBLOCK).unwrap();
    while writer.write(&[0; 4096]).is_ok() {}
    rustix::fs::fcntl_setfl(&writer, rustix::fs::OFlags::empty()).unwrap();
    let mut sending = command(PROGRAM)
        .args(["send", "--to", &fake.address, &path])
        .stdout(Stdio::piped())
        .stderr(writer)
        .spawn()
        .unwrap();
    let out = Lines::of(sending.stdout.take().unwrap());
    fake.wait_for_the_peer();
    signal(&sending, Signal::INT);
    // The connection ends, so the first one was heard.
    fake.wait_for_the_peer();
    signal(&sending, Signal::INT);
    out.to_end();
    assert_eq!(sending.wait().unwrap().signal(), Some(2));
}

#[test]
fn a_file_that_fails_at_a_broken_server_does_not_hide_what_was_stored() {
    let (home, path) = a_file();
    let other = beside(&home, "other.txt");
    fs::write(&other, "other").unwrap();
    let fake = Fake::answering(
        [
            string("OK\noffset=0"),
            string(format!(
                "OK\nname=a.txt\nsize=5\nblake3={}\ndurable=yes",
                common::digest("bytes")
            )),
            vec![0],
        ]
        .concat(),
    );
    let ran = send(&fake.address, &[&path, &other]).exits(23);
    ran.line_with(&["stored ", &path]);
    ran.line_with(&["piecemeal: ", &other]);
}

#[test]
fn a_client_that_is_short_of_descriptors_sends_every_file_all_the_same() {
    let home = tempfile::tempdir().unwrap();
    let paths: Vec<String> = (0..60)
        .map(|number| {
            // The large ones stay open while the server is asked for them.
            let size = if number % 2 == 0 { 10 } else { 1_100_000 };
            let path = beside(&home, &number.to_string());
            fs::write(&path, vec![1; size]).unwrap();
            path
        })
        .collect();
    // The second time, most of them are taken by others.
    for taken in ["", "eval \"exec $(echo {20..43}'</dev/null')\";"] {
        let server = Server::start(&[]);
        let script = format!("ulimit -n 64; {taken} exec \"$0\" \"$@\"");
        let mut sending = command("bash");
        sending
            .args(["-c", &script, PROGRAM, "send", "-j", "60"])
            .args(["--to", server.address()])
            .args(&paths);
        let output = assert_cmd::Command::from_std(sending)
            .timeout(GUARD)
            .output()
            .unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{err}");
        assert!(err.contains("60 files stored"), "{err}");
    }
}

#[test]
fn a_name_that_is_no_text_is_refused_and_never_rewritten() {
    let (home, _) = a_file();
    let server = Server::start(&[]);
    let path = home.path().join(OsStr::from_bytes(b"a\xffb"));
    fs::write(&path, "bytes").unwrap();
    let arguments = ["send", "--to", server.address()].map(OsStr::new);
    let ran = piecemeal(&[&arguments[..], &[path.as_os_str()]].concat()).exits(9);
    ran.line_with(&["a\\xffb", "not UTF-8", "--name gives it another"]);
    assert!(server.names().is_empty(), "{:?}", server.names());
    let named = ["--name", "a-b"].map(OsStr::new);
    piecemeal(&[&arguments[..], &named, &[path.as_os_str()]].concat()).exits(0);
    assert_eq!(server.names(), ["a-b"]);
}

#[test]
fn a_file_that_shrinks_while_it_is_sent_ends_with_9_and_the_next_one_is_sent() {
    let (home, path) = a_file();
    let large = beside(&home, "large");
    fs::write(&large, vec![2; 30_000_000]).unwrap();
    let (sent, digest) = (large.clone(), common::digest("bytes"));
    let connections = AtomicUsize::new(0);
    let fake = Fake::playing(move |peer| {
        peer.take(1);
        if connections.fetch_add(1, Ordering::Relaxed) == 0 {
            fs::write(&sent, "shrunk").unwrap();
            peer.give(string("OK\noffset=0"));
        } else {
            peer.give(string("OK\noffset=0"));
            peer.give(string(format!(
                "OK\nname=a.txt\nsize=5\nblake3={digest}\ndurable=yes"
            )));
        }
        peer.listen_to_the_end();
    });
    let ran = send(&fake.address, &[&large, &path]).exits(23);
    ran.line_with(&["piecemeal: ", &large, "shrank"]);
    ran.line_with(&["stored ", &path]);
}

#[test]
fn a_server_that_stops_between_two_files_is_quoted_for_all_that_are_left() {
    let (home, path) = a_file();
    let (second, third) = (beside(&home, "b.txt"), beside(&home, "c.txt"));
    fs::write(&second, "second").unwrap();
    fs::write(&third, "third").unwrap();
    let digest = common::digest("bytes");
    let receipt = format!("OK\nname=a.txt\nsize=5\nblake3={digest}\ndurable=yes");
    let stops = string("ERR shutdown\ntext=the server is stopping");
    let fake = Fake::answering([string("OK\noffset=0"), string(receipt), stops].concat());
    let ran = send(&fake.address, &[&path, &second, &third]).exits(23);
    ran.line_with(&["stored ", &path]);
    let said = format!("piecemeal: 2 files, from {second} on: ");
    ran.line_with(&[&said, "(shutdown)", "try again"]);
    assert_eq!(ran.err.lines().count(), 3, "{ran:#?}");
}

#[test]
fn a_text_that_the_server_takes_for_a_files_name_was_not_said() {
    let server = Server::start(&[]);
    let ran = piecemeal(&["say", "--to", server.address(), "hello"]).exits(3);
    ran.line_with(&["a file's name", "--strings message"]);
    assert_eq!(ran.out, "");
    let ran = piecemeal(&["say", "--to", server.address(), "what?\nhow?"]).exits(3);
    ran.line_with(&["(bad-name)", "--strings message"]);
    assert!(!ran.err.contains("--name"), "{ran:#?}");
}

#[test]
fn input_that_is_no_text_can_not_be_said() {
    let server = Server::start(&["--strings", "message"]);
    let ran = piecemeal_with_input(&["say", "--to", server.address()], b"one\n\xff\n");
    let ran = ran.exits(9);
    assert_eq!(ran.out, "Message: one\n");
    ran.line_with(&["standard input"]);
}
