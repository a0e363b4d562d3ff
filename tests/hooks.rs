//! `serve --on-stored`: each stored file's program, once and in order, whatever it does.
//!
//! A hook that fails has its last line in the log, which is how these tests hear of it.

mod common;

use std::fs;
use std::path::Path;
use std::thread;

use common::{Server, Starter, data, digest, piecemeal, put, string};
use rustix::process::Signal;
use serde_json::Value;

/// A server that runs a script for each file, in a shell that the test chose. `$0` is the folder
/// beside the server's.
fn starter(script: &str, arguments: &[&str]) -> Starter {
    let starter = Starter::new(&[]);
    let home = starter.home().to_str().expect("UTF-8").to_owned();
    let words = ["--on-stored", "sh", "--on-stored-arg", "-c"];
    let words = [
        &words[..],
        &["--on-stored-arg", script, "--on-stored-arg", &home],
    ]
    .concat();
    starter.with(&[&words[..], arguments].concat())
}

fn server(script: &str, arguments: &[&str]) -> Server {
    starter(script, arguments).start()
}

/// What the hook of a file said last before it failed.
fn said(server: &Server, name: &str) -> String {
    let of = format!("the hook for {name} failed: exit status 1; it said last: ");
    let line = server.err.wait_for(|line| line.contains(&of));
    line.split_once(&of)
        .expect("it was looked for")
        .1
        .to_owned()
}

fn text(server: &Server, file: &str) -> String {
    fs::read_to_string(server.home().join(file)).expect("the hook wrote it")
}

#[test]
fn a_hook_is_told_the_facts_in_variables_and_on_its_input() {
    let script = "cat >\"$0/json\"; cd \"$0\"; env | grep ^PIECEMEAL_STORED_ | sort >variables; cat \"$PIECEMEAL_STORED_PATH\"; exit 1";
    let server = server(script, &[]);
    let mut client = server.client();
    let fields = format!("name=a \"b\".txt\nsize=5\nblake3={}", digest("bytes"));
    client.send([put(fields), data("bytes")].concat());
    client.ok();
    client.ok();
    assert_eq!(said(&server, "a \"b\".txt"), "bytes");
    let path = server
        .path("a \"b\".txt")
        .canonicalize()
        .expect("it is there");
    let path = path.to_str().expect("UTF-8");
    let json: Value = serde_json::from_str(&text(&server, "json")).expect("one object");
    assert_eq!(json["name"], "a \"b\".txt");
    assert_eq!(json["path"], path);
    assert_eq!((&json["size"], &json["durable"]), (&5.into(), &true.into()));
    assert_eq!(json["blake3"], digest("bytes"));
    let peer = json["peer"].as_str().expect("an address");
    assert!(peer.starts_with("127.0.0.1:"), "{peer}");
    let time = json["time"].as_str().expect("a time");
    let variables = text(&server, "variables");
    let variables: Vec<_> = variables.lines().collect();
    assert_eq!(
        variables,
        [
            format!("PIECEMEAL_STORED_BLAKE3={}", digest("bytes")),
            "PIECEMEAL_STORED_DURABLE=yes".to_owned(),
            "PIECEMEAL_STORED_NAME=a \"b\".txt".to_owned(),
            format!("PIECEMEAL_STORED_PATH={path}"),
            format!("PIECEMEAL_STORED_PEER={peer}"),
            "PIECEMEAL_STORED_SIZE=5".to_owned(),
            format!("PIECEMEAL_STORED_TIME={time}"),
        ]
    );
}

#[test]
fn hooks_of_one_connection_run_in_order_and_hold_up_nobody_elses() {
    let script = "echo $PIECEMEAL_STORED_NAME >>\"$0/order\"; \
                  case $PIECEMEAL_STORED_NAME in slow) read line <\"$0/gate\";; esac; \
                  echo done >&2; exit 1";
    let starter = starter(script, &[]);
    let gate = starter.home().join("gate");
    make_pipe(&gate);
    let server = starter.start();
    let mut client = server.client();
    for name in ["slow", "second", "third"] {
        client.upload(name, b"bytes");
    }
    server.client().upload("other", b"bytes");
    assert_eq!(said(&server, "other"), "done");
    // The uploads are answered, another's hook has run, and these wait for the first of them.
    let order = text(&server, "order");
    assert!(!order.contains("second"), "{order}");
    fs::write(&gate, "go on\n").unwrap();
    assert_eq!(said(&server, "third"), "done");
    let order = text(&server, "order").replace("other\n", "");
    assert_eq!(order, "slow\nsecond\nthird\n");
}

fn make_pipe(path: &Path) {
    let made = common::command("mkfifo").arg(path).status();
    assert!(made.is_ok_and(|status| status.success()));
}

#[test]
fn no_more_hooks_run_at_once_than_may() {
    let script = "cd \"$0\"; touch run.$$; ls run.* 2>/dev/null | wc -l >>counts; rm run.$$; \
                  test $PIECEMEAL_STORED_NAME != last || { echo over; exit 1; }";
    let mut server = server(script, &["--hook-jobs", "2", "--durability", "none"]);
    thread::scope(|scope| {
        for number in 0..30 {
            let mut client = server.client();
            scope.spawn(move || client.upload(&number.to_string(), b"bytes"));
        }
    });
    server.client().upload("last", b"bytes");
    assert_eq!(said(&server, "last"), "over");
    server.stop();
    let counts = text(&server, "counts");
    let counts: Vec<u32> = counts
        .lines()
        .map(|line| line.trim().parse().unwrap())
        .collect();
    assert_eq!(counts.len(), 31);
    assert!(counts.iter().all(|count| *count <= 2), "{counts:?}");
}

#[test]
fn a_hook_that_hangs_is_killed_with_all_that_it_has_started() {
    let script = "sleep 1000 & echo $! >\"$0/child\"; wait";
    let server = server(script, &["--hook-timeout", "1s"]);
    let mut client = server.client();
    client.upload("a.txt", b"bytes");
    // What comes meanwhile is stored as ever.
    client.upload("b.txt", b"bytes");
    for name in ["a.txt", "b.txt"] {
        let of = format!("the hook for {name} failed: killed by signal 9");
        let line = server.err.wait_for(|line| line.contains(&of));
        assert!(line.contains("--hook-timeout"), "{line}");
    }
    let child = text(&server, "child");
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.trim()));
    // Nobody may have taken the dead process away yet.
    assert!(stat.is_err() || stat.is_ok_and(|stat| stat.contains(") Z ")));
}

#[test]
fn a_hook_that_dies_is_told_of_and_the_next_one_runs() {
    let script = "test $PIECEMEAL_STORED_NAME = b.txt && { echo here; exit 1; }; kill -9 $$";
    let server = server(script, &[]);
    let mut client = server.client();
    client.upload("a.txt", b"bytes");
    client.upload("b.txt", b"bytes");
    let dead = "the hook for a.txt failed: killed by signal 9";
    server.err.wait_for(|line| line.ends_with(dead));
    assert_eq!(said(&server, "b.txt"), "here");
}

#[test]
fn a_hook_that_floods_its_output_is_read_and_what_it_said_last_is_plain() {
    let script = "head -c 20000000 /dev/zero | tr '\\0' y; head -c 1000000 /dev/urandom >&2; \
                  printf '\\n\\033[2Jlast\\n'; exit 1";
    let server = server(script, &[]);
    server.client().upload("a.txt", b"bytes");
    assert_eq!(said(&server, "a.txt"), "\\u{1b}[2Jlast");
}

#[test]
fn a_hook_has_nothing_of_the_servers_open() {
    let script =
        "exec 3>&1; ls -l /proc/self/fd | grep -c -e socket -e stored -e anon_inode; exit 1";
    let starter = starter(script, &["--journal"]);
    let journal = starter.home().join("journal");
    let server = starter.with(&[journal.to_str().unwrap()]).start();
    let mut others: Vec<_> = (0..3).map(|_| server.client()).collect();
    others[0].send(string("b.txt"));
    others[0].ok();
    server.client().upload("a.txt", b"bytes");
    assert_eq!(said(&server, "a.txt"), "0");
}

#[test]
fn a_file_that_is_sent_again_has_one_hook() {
    let script = "echo $PIECEMEAL_STORED_NAME >>\"$0/order\"; test $PIECEMEAL_STORED_NAME != last || \
                  { echo over; exit 1; }";
    let server = server(script, &["--on-conflict", "rename"]);
    let mut client = server.client();
    for _ in 0..3 {
        // The bytes are sent whatever the server says.
        let fields = format!("name=a.txt\nsize=5\nblake3={}", digest("bytes"));
        client.send([put(fields), data("bytes")].concat());
        client.ok();
        client.receipt("a.txt", 5);
    }
    client.upload("last", b"bytes");
    assert_eq!(said(&server, "last"), "over");
    assert_eq!(text(&server, "order"), "a.txt\nlast\n");
}

#[test]
fn a_stop_waits_for_the_hooks_that_can_still_run() {
    let script = "sleep 0.2; echo $PIECEMEAL_STORED_NAME >>\"$0/order\"";
    let mut server = server(script, &["--shutdown-timeout", "0"]);
    let mut client = server.client();
    for name in ["a", "b", "c"] {
        client.upload(name, b"bytes");
    }
    server.stop();
    assert_eq!(text(&server, "order"), "a\nb\nc\n");
}

#[test]
fn a_stop_says_which_hooks_it_could_not_wait_for() {
    let mut server = server("sleep 1000", &["--shutdown-timeout", "1s"]);
    let mut client = server.client();
    for name in ["a", "b", "c"] {
        client.upload(name, b"bytes");
    }
    server.stop();
    let said = server.err.so_far().join("\n");
    assert!(
        said.contains("the hook for a failed: killed by signal 9"),
        "{said}"
    );
    assert!(said.contains("2 hooks were not run"), "{said}");
}

#[test]
fn a_second_signal_waits_for_no_hook() {
    let script = "echo ready >\"$0/gate\"; sleep 1000";
    let starter = starter(script, &["--shutdown-timeout", "0"]);
    let gate = starter.home().join("gate");
    make_pipe(&gate);
    let mut server = starter.start();
    server.client().upload("a", b"bytes");
    // It runs once it has written there.
    fs::read(&gate).unwrap();
    server.signal(Signal::TERM);
    server
        .err
        .wait_for(|line| line.starts_with("waiting for hooks"));
    server.signal(Signal::INT);
    assert_eq!(server.wait().code(), Some(130));
}

#[test]
fn a_program_that_is_not_there_is_said_at_the_start() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().to_str().unwrap();
    let arguments = [
        "serve",
        "--bind",
        "127.0.0.1:0",
        "--dir",
        dir,
        "--on-stored",
    ];
    let ran = piecemeal(&[&arguments[..], &["notify --all"]].concat());
    ran.exits(1).line_with(&["notify --all", "--on-stored-arg"]);
    let ran = piecemeal(&["serve", "--on-stored-arg", "x"]);
    ran.exits(2).line_with(&["--on-stored"]);
}

#[test]
fn of_hooks_that_fail_without_end_some_are_told_and_the_others_are_counted() {
    let mut server = Server::start(&["--on-stored", "false", "--shutdown-timeout", "0"]);
    let mut client = server.client();
    let files = 300;
    for number in 0..files {
        client.upload(&number.to_string(), b"");
    }
    server.stop();
    let said = server.err.so_far();
    let told = said.iter().filter(|line| line.contains("the hook for "));
    let told = told.count();
    let counted = said.iter().filter_map(|line| {
        let (before, _) = line.split_once(" more hooks failed")?;
        before.rsplit(' ').next()?.parse::<usize>().ok()
    });
    assert!(told < files, "each has its line");
    assert_eq!(told + counted.sum::<usize>(), files, "{said:#?}");
}
