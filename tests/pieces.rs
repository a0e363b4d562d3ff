//! Streams that are sent in chosen pieces, or cut on purpose: `--dribble`, `--pieces`,
//! `--cut-after`.

mod common;

use std::fs;
use std::sync::mpsc::channel;

use common::{Fake, GUARD, Ran, Server, piecemeal, piecemeal_with_input, string};

fn send(to: &str, arguments: &[&str]) -> Ran {
    piecemeal(&[&["send", "--to", to], arguments].concat())
}

/// A file in the server's home; its path as an argument.
fn make(server: &Server, name: &str, size: usize) -> (String, Vec<u8>) {
    let bytes: Vec<u8> = (0..=250).cycle().take(size).collect();
    let path = server.home().join(name);
    fs::write(&path, &bytes).expect("the folder is there");
    (path.display().to_string(), bytes)
}

#[test]
fn a_file_arrives_as_it_is_in_whatever_pieces() {
    let server = Server::start(&[]);
    let plans: [&[&str]; 5] = [
        &["--pieces", "1,1,1,2,1"],
        &["--pieces", "1,3,2,1000", "--dribble", "64KiB/0"],
        &["--dribble", "7B/0"],
        &["--dribble", "100KiB/1ms"],
        &["--cut-after", "100MB"],
    ];
    let mut stored = 0;
    // The largest is announced and answered before its bytes are sent.
    for size in [0, 1, 300, 3 << 20] {
        let (path, bytes) = make(&server, "file", size);
        for plan in plans {
            if size > 300 && plan == ["--dribble", "7B/0"] {
                continue;
            }
            stored += 1;
            let name = stored.to_string();
            send(
                server.address(),
                &[plan, &["--name", &name, &path]].concat(),
            )
            .exits(0);
            assert!(server.stored(&name) == bytes, "{size} bytes by {plan:?}");
        }
    }
}

#[test]
fn several_files_over_one_connection_may_be_cut_up_too() {
    let server = Server::start(&[]);
    let files = [0, 1, 2, 500].map(|size| make(&server, &format!("f{size}"), size));
    let mut arguments = vec!["--pieces", "50,1,1,1,1,1,1,200"];
    arguments.extend(files.iter().map(|(path, _)| path.as_str()));
    send(server.address(), &arguments).exits(0);
    for (size, (_, bytes)) in [0, 1, 2, 500].iter().zip(&files) {
        assert_eq!(server.stored(&format!("f{size}")), *bytes);
    }
}

#[test]
fn a_connection_that_is_cut_stores_nothing_and_says_what_was_done() {
    let server = Server::start(&[]);
    let (path, _) = make(&server, "file", 300);
    for cut in ["0", "1", "100", "200"] {
        let ran = send(server.address(), &["--cut-after", cut, &path]).exits(4);
        ran.line_with(&[&path, &format!("cut after {cut} bytes")]);
    }
    assert_eq!(server.names(), [""; 0]);
}

#[test]
fn each_connection_is_cut_for_itself_so_every_file_has_its_try() {
    let server = Server::start(&[]);
    let (large, _) = make(&server, "large", 5000);
    let (small, bytes) = make(&server, "small", 10);
    let ran = send(server.address(), &["--cut-after", "4000", &large, &small]).exits(23);
    ran.line_with(&[&large, "cut after 4000 bytes"]);
    assert_eq!(server.names(), ["small"]);
    assert_eq!(server.stored("small"), bytes);
}

#[test]
fn the_bytes_behind_a_piece_wait_for_the_pause_and_an_answer_is_heard_meanwhile() {
    let (tell, told) = channel();
    let server = Fake::playing(move |peer| {
        let first = peer.take(3);
        peer.give(string(b"ERR busy\ntext=try later"));
        peer.finish();
        // Had the client gone on before its pause was over, its bytes would have come.
        let rest = peer.take_to_the_end();
        tell.send((first, rest)).expect("the test listens");
    });
    let ran = send(&server.address, &["--dribble", "3B/1h", file!()]);
    ran.exits(3).line_with(&["busy"]);
    let (first, rest) = told.recv_timeout(GUARD).expect("the script ends");
    assert_eq!((first[0], rest), (16, Vec::new()));
}

#[test]
fn what_is_said_in_pieces_is_answered_and_what_is_cut_is_not() {
    let server = Server::start(&["--strings", "message"]);
    let say = |arguments: &[&str], input: &str| {
        let arguments = [&["say", "--to", server.address()], arguments].concat();
        piecemeal_with_input(&arguments, input.as_bytes())
    };
    let ran = say(&["--dribble", "1B/1ms"], "hello\nthere\n").exits(0);
    assert_eq!(ran.out, "Message: hello\nMessage: there\n");
    let ran = say(&["--pieces", "1,1,1,2,1", "hello"], "").exits(0);
    assert_eq!(ran.out, "Message: hello\n");
    let ran = say(&["--cut-after", "10"], "hello\nthere\n").exits(4);
    assert_eq!(ran.out, "Message: hello\n");
    ran.line_with(&["cut after 10 bytes, as --cut-after says"]);
}

#[test]
fn what_is_no_plan_is_a_usage_error_that_says_what_would_be_one() {
    for command in ["send", "say"] {
        for (flag, value, help) in [
            ("--pieces", "1,x", "try 1,3,2,1000"),
            ("--pieces", "0", "try 1,3,2,1000"),
            ("--dribble", "1s", "try 1B/100ms"),
            ("--dribble", "0B/1s", "try 1B/100ms"),
            ("--cut-after", "soon", "try 100, 64KiB"),
        ] {
            let ran = piecemeal(&[command, flag, value, "file"]).exits(2);
            ran.line_with(&[value, help]);
        }
    }
}
