//! `lab check` against servers that are right, and against what is no server of the course at all.
//! tests/lab_broken.rs has those that are nearly right.

mod common;

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{ClosedPort, Fake, Lines, PROGRAM, Ran, command, signal, skipped};
use rustix::process::Signal;
use serde_json::Value;

/// A whole run waits for many things, one after the other; on a machine that does ten things at
/// once it may take minutes, and still be right.
const GUARD: Duration = Duration::from_secs(600);

/// Runs the checker to its end.
fn check(arguments: &[&str]) -> Ran {
    let mut checker = command(PROGRAM);
    checker.args(["lab", "check"]).args(arguments);
    let output = assert_cmd::Command::from_std(checker)
        .timeout(GUARD)
        .output()
        .expect("the program starts");
    Ran {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// An address that is free now. A server that is started has to be told its port, so it can't be
/// kept until then.
fn free_address() -> (String, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    (address.to_string(), address.port().to_string())
}

fn python_is_there() -> bool {
    let there = Command::new("python3")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    if there.is_err() {
        skipped("no python3 here: the servers in Python were not checked");
    }
    there.is_ok()
}

/// The command that runs a right server, as a student would write it.
fn good(task: &str, port: &str, grammar: &str) -> String {
    let root = env!("CARGO_MANIFEST_DIR");
    let name = match task {
        "hello" => task.to_owned(),
        "6" => format!("task6_{grammar}"),
        task => format!("task{task}"),
    };
    format!("exec python3 '{root}/tests/lab/right/{name}.py' {port}")
}

/// Checks a right server, in all its cases or in some.
fn passes(task: &str, grammar: &str, only: &str) {
    if !python_is_there() {
        return;
    }
    let (address, port) = free_address();
    let start = good(task, &port, grammar);
    let mut arguments = vec!["--task", task, "--grammar", grammar, "--start", &start];
    if !only.is_empty() {
        arguments.extend(["--only", only]);
    }
    arguments.push(&address);
    let ran = check(&arguments).exits(0);
    assert!(ran.out.lines().all(|line| !line.starts_with("FAIL")));
    assert!(ran.out.contains(" passed"), "{ran:#?}");
}

/// This project's own servers, in every case that there is.
#[test]
fn our_own_servers_pass_every_case() {
    let runs = [
        ("hello", "raw", ""),
        ("1", "raw", ""),
        ("2", "raw", ""),
        ("2", "raw", "--threads"),
        ("3", "raw", ""),
        ("3", "framed", "--strict"),
        ("4", "raw", ""),
        ("4", "framed", "--strict"),
        ("5", "raw", ""),
        ("5", "framed", "--strict"),
        ("6", "u1", ""),
        ("6", "u2", ""),
        ("6", "u3", ""),
        ("6", "u4", ""),
        ("6", "u1", "--threads"),
        ("6", "framed", "--strict"),
    ];
    // Most of a run is waiting, but not all of it.
    for some in runs.chunks(4) {
        std::thread::scope(|scope| {
            for (task, grammar, how) in some {
                scope.spawn(move || ours_passes(task, grammar, how));
            }
        });
    }
}

fn ours_passes(task: &str, grammar: &str, how: &str) {
    let (address, port) = free_address();
    let start = format!("exec '{PROGRAM}' lab serve --task {task} --bind 127.0.0.1:{port} {how}");
    let mut arguments = vec!["--task", task, &address, "--start", &start];
    arguments.extend(["--grammar", grammar, "--json"]);
    let ran = check(&arguments);
    let report: Value = serde_json::from_str(&ran.out).expect("a report");
    let cases = report["cases"].as_array().expect("cases");
    assert!(cases.len() >= 8);
    for case in cases {
        // A machine that does ten things at once can't always be told from a slow server.
        let fine = case["verdict"] == "pass" || case["verdict"] == "cant-tell";
        assert!(fine, "--task {task} {grammar} {how}: {case:#}");
    }
    let told = cases.iter().filter(|case| case["verdict"] == "pass");
    assert!(told.count() * 10 >= cases.len() * 9, "{}", ran.out);
}

#[test]
fn a_right_server_of_each_early_task_passes() {
    for task in ["hello", "1", "2", "3"] {
        passes(task, "u1", "");
    }
}

#[test]
fn a_right_server_of_task_four_passes() {
    passes("4", "u1", "");
}

#[test]
fn a_right_server_of_task_five_passes() {
    passes("5", "u1", "");
}

#[test]
fn a_right_server_of_task_six_passes() {
    passes("6", "u1", "");
}

#[test]
fn a_right_server_of_the_other_upload_grammars_passes() {
    for grammar in ["u2", "framed"] {
        passes("6", grammar, "6.1,6.2,6.3,6.7,6.9,6.13,6.22,6.23,6.26,6.30");
    }
}

#[test]
fn where_nobody_listens_that_is_said_in_one_line() {
    let closed = ClosedPort::new();
    let ran = check(&["--task", "6", &closed.address]).exits(3);
    assert!(ran.out.is_empty(), "{ran:#?}");
    ran.line_with(&["nobody listens at", &closed.address, "--start"]);
}

#[test]
fn a_web_server_is_known_for_one_and_its_bytes_reach_no_terminal() {
    let fake = Fake::answering("HTTP/1.0 400 Bad Request\r\n\r\n\x1b[2J");
    let ran = check(&["--task", "3", "--only", "3.1,3.2", &fake.address]).exits(1);
    assert!(ran.out.contains("FAIL 3.1"), "{ran:#?}");
    assert!(ran.out.contains("web server"), "{ran:#?}");
    assert!(ran.out.contains(r"\u{1b}[2J"), "{ran:#?}");
    let control = |c: char| c.is_control() && c != '\n';
    assert!(!ran.out.contains(control), "{ran:#?}");
}

#[test]
fn a_server_that_never_answers_fails_and_keeps_nobody() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = silent.local_addr().expect("bound").to_string();
    let ran = check(&["--task", "6", "--only", "6.1,6.2,6.36", &address]).exits(1);
    assert!(ran.out.contains("FAIL 6.1"), "{ran:#?}");
    assert!(ran.out.contains("the server is silent for 3 s"), "{ran:#?}");
    assert!(ran.out.contains("3 failed"), "{ran:#?}");
}

#[test]
fn a_port_that_accepts_and_closes_fails() {
    let fake = Fake::playing(|_| {});
    let ran = check(&["--task", "6", "--only", "6.1,6.2", &fake.address]).exits(1);
    assert!(ran.out.contains("FAIL 6.1"), "{ran:#?}");
    // The same is all that task 1 asks for.
    check(&["--task", "1", "--only", "1.1,1.2,1.4", &fake.address]).exits(0);
}

#[test]
fn what_cannot_be_seen_is_said_and_is_no_failure() {
    let fake = Fake::playing(|_| {});
    let ran = check(&["--task", "1", "--only", "1.1,1.8", &fake.address]).exits(3);
    assert!(ran.out.contains("CAN'T TELL 1.8"), "{ran:#?}");
    assert!(ran.out.contains("--start"), "{ran:#?}");
}

#[test]
fn a_command_that_fails_is_shown_with_what_it_printed() {
    let (address, _) = free_address();
    let start = "printf 'no such \\033[2J thing\\n' >&2; exit 7";
    let ran = check(&["--task", "6", "--start", start, &address]).exits(3);
    assert!(ran.err.contains("exit status: 7"), "{ran:#?}");
    assert!(ran.err.contains(r"| no such \u{1b}[2J thing"), "{ran:#?}");
    assert!(!ran.err.contains('\x1b'), "{ran:#?}");
}

#[test]
fn a_server_is_not_started_where_another_one_listens() {
    let other = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = other.local_addr().expect("bound").to_string();
    let ran = check(&["--task", "1", "--start", "exit 9", &address]).exits(3);
    ran.line_with(&["listens at", &address, "already"]);
}

#[test]
fn the_cases_are_listed_and_others_are_wrong_usage() {
    let ran = check(&["--task", "6", "--list"]).exits(0);
    assert!(ran.out.lines().count() > 40, "{ran:#?}");
    let listed = |ran: &Ran, id: &str| ran.out.lines().any(|line| line.trim().starts_with(id));
    assert!(!listed(&ran, "6.9 "), "it is not asked in u1: {ran:#?}");
    let ran = check(&["--task", "6", "--list", "--grammar", "u2"]).exits(0);
    assert!(listed(&ran, "6.9 "), "{ran:#?}");
    let ran = check(&["--task", "6", "--list", "--only", "6.2,6.3"]).exits(0);
    assert_eq!(ran.out.lines().count(), 2, "{ran:#?}");
    let usage = |arguments: &[&str], says: &str| {
        let ran = check(arguments).exits(2);
        assert!(ran.err.contains(says), "{ran:#?}");
    };
    usage(&["--task", "6", "--only", "6.999"], "6.1 to 6.");
    usage(&["--task", "5", "--grammar", "u3"], "u1, u2 or framed");
    usage(&["--task", "6", "--only", "6.9"], "not asked");
    usage(&["--task", "6", "--list", "--only", "6.9"], "not asked");
    usage(&["--task", "6", "--only", ""], "names no case");
    usage(&["--task", "6", "--dir", "/is/not/there"], "no folder");
}

#[test]
fn reports_for_programs_say_the_same() {
    let fake = Fake::playing(|_| {});
    let temporary = tempfile::tempdir().expect("a folder");
    let file = temporary.path().join("report.xml");
    let junit = file.to_str().expect("it is text");
    let cases = [
        "--task", "6", "--only", "6.1,6.47", "--json", "--junit", junit,
    ];
    let ran = check(&[&cases[..], &[&fake.address]].concat()).exits(1);
    let report: Value = serde_json::from_str(&ran.out).expect("it is JSON");
    assert_eq!(report["summary"]["fail"], 1, "{report:#}");
    assert_eq!(report["summary"]["cant_tell"], 1, "{report:#}");
    assert_eq!(report["exit"], 1);
    let first = &report["cases"][0];
    assert_eq!(first["id"], "6.1");
    assert_eq!(first["verdict"], "fail");
    for key in ["expected", "got", "state", "mistake", "talk"] {
        assert!(!first["finding"][key].is_null(), "{key}: {first:#}");
    }
    let command = first["command"].as_str().expect("a command");
    assert!(command.ends_with(&format!("--only 6.1 {}", fake.address)));

    let xml = fs::read_to_string(&file).expect("it was written");
    let xml = quick_junit::Report::deserialize_from_str(&xml).expect("it is JUnit's");
    let suite = &xml.test_suites[0];
    assert_eq!((suite.tests, suite.failures), (2, 1));
    assert!(suite.test_cases[0].name.starts_with("6.1 "));
}

#[test]
fn a_run_that_cannot_begin_is_reported_too() {
    let closed = ClosedPort::new();
    let temporary = tempfile::tempdir().expect("a folder");
    let file = temporary.path().join("report.xml");
    fs::write(&file, "an old report").expect("a file");
    let junit = file.to_str().expect("it is text");
    let arguments = ["--task", "6", "--json", "--junit", junit, &closed.address];
    let ran = check(&arguments).exits(3);
    let report: Value = serde_json::from_str(&ran.out).expect("it is JSON");
    let error = report["error"].as_str().expect("a reason");
    assert!(error.contains("nobody listens"), "{report:#}");
    assert_eq!(report["exit"], 3);
    let xml = fs::read_to_string(&file).expect("it was written");
    let xml = quick_junit::Report::deserialize_from_str(&xml).expect("it is JUnit's");
    assert_eq!((xml.tests, xml.errors), (1, 1));

    let nowhere = temporary.path().join("missing/report.xml");
    let junit = nowhere.to_str().expect("it is text");
    let ran = check(&["--task", "6", "--junit", junit, &closed.address]).exits(2);
    ran.line_with(&["can't write", "missing/report.xml", "--junit"]);
}

/// A hello server that ends itself when a text is no UTF-8.
const MORTAL: &str = r#"
import os, socket, sys
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", int(sys.argv[1])))
listener.listen()
open(f"pid-{os.getpid()}", "w").close()
while True:
    connection, _ = listener.accept()
    data = b""
    while piece := connection.recv(4096):
        data += piece
    connection.sendall(b"I have received: " + data.decode().encode())
    connection.close()
"#;

/// Writes the mortal server to a folder, and gives the command that runs it and its address.
fn mortal(folder: &Path) -> (String, String) {
    let script = folder.join("mortal.py");
    fs::write(&script, MORTAL).expect("a script");
    let (address, port) = free_address();
    // The shell stays in front of it, so that ending the command alone would leave it behind.
    let start = format!("python3 '{}' {port}; true", script.display());
    (start, address)
}

/// The servers that have run in a folder.
fn pids(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder").flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names
        .filter_map(|name| name.strip_prefix("pid-").map(str::to_owned))
        .collect()
}

#[test]
fn a_server_that_a_case_kills_is_started_again_and_none_is_left_behind() {
    if !python_is_there() {
        return;
    }
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = temporary.path().join("served");
    fs::create_dir(&folder).expect("a folder");
    let (start, address) = mortal(temporary.path());
    let served = folder.to_str().expect("it is text");
    let arguments = ["--task", "hello", "--only", "hello.1,hello.10,hello.11"];
    let more = ["--dir", served, "--start", &start, &address];
    let ran = check(&[&arguments[..], &more].concat()).exits(1);
    for line in ["PASS hello.1 ", "FAIL hello.10 ", "PASS hello.11 "] {
        assert!(ran.out.contains(line), "{line}: {ran:#?}");
    }
    assert!(ran.out.contains("UnicodeDecodeError"), "{ran:#?}");
    assert_eq!(pids(&folder).len(), 2, "it was started twice");
    assert!(TcpStream::connect(&address).is_err(), "it is still there");
}

#[test]
fn a_folder_of_ones_own_is_left_as_it_was() {
    let temporary = tempfile::tempdir().expect("a folder");
    fs::write(temporary.path().join("mine"), "").expect("a file");
    let (address, port) = free_address();
    let start =
        format!("exec '{PROGRAM}' lab serve --task 6 --bind 127.0.0.1:{port} --quiet 200ms");
    let dir = temporary.path().to_str().expect("it is text");
    let arguments = ["--task", "6", "--only", "6.1,6.2,6.25", "--dir", dir];
    let ran = check(&[&arguments[..], &["--start", &start, &address]].concat());
    assert!(ran.out.contains("PASS 6.1 "), "{ran:#?}");
    let left = fs::read_dir(temporary.path()).expect("a folder").flatten();
    let left: Vec<_> = left.map(|entry| entry.file_name()).collect();
    assert!(
        left.iter()
            .all(|name| name == "mine" || name == ".piecemeal"),
        "{left:?}"
    );
}

#[test]
fn a_port_that_an_earlier_run_left_taken_is_waited_for() {
    if !python_is_there() {
        return;
    }
    let temporary = tempfile::tempdir().expect("a folder");
    let (start, address) = mortal(temporary.path());
    // What a server without SO_REUSEADDR does for a minute, once.
    let refusal = "test -e tried || { touch tried; echo 'Address already in use'; exit 1; }";
    let start = format!("{refusal}; {start}");
    let arguments = ["--task", "hello", "--only", "hello.1", "--start", &start];
    let ran = check(&[&arguments[..], &[&address]].concat()).exits(0);
    assert!(ran.err.contains("waiting for"), "{ran:#?}");
    assert!(ran.err.contains(&address), "{ran:#?}");
}

#[test]
fn a_signal_ends_the_check_and_the_server() {
    if !python_is_there() {
        return;
    }
    let ends = [(Signal::INT, 130), (Signal::HUP, 129), (Signal::QUIT, 131)];
    for (sent, code) in ends {
        let temporary = tempfile::tempdir().expect("a folder");
        let (start, address) = mortal(temporary.path());
        let mut child = command(PROGRAM)
            .args([
                "lab", "check", "--task", "hello", "--start", &start, &address,
            ])
            .env("TMPDIR", temporary.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let lines = Lines::of(child.stdout.take().expect("it is piped"));
        lines.wait_for(|line| line.starts_with("PASS hello.1 "));
        signal(&child, sent);
        let status = child.wait().expect("it ends");
        assert_eq!(status.code(), Some(code));
        assert!(TcpStream::connect(&address).is_err(), "it is still there");
        let left = fs::read_dir(temporary.path()).expect("a folder").flatten();
        let left: Vec<_> = left.map(|entry| entry.file_name()).collect();
        assert_eq!(left, ["mortal.py"], "folders are left behind");
    }
}
