//! `send`, `say` and `demo` as a person uses them, against a server that works.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{GUARD, Ran, Server, command, piecemeal, piecemeal_with_input};
use tempfile::TempDir;

/// A folder with files to send.
struct Files(TempDir);

impl Files {
    fn new() -> Files {
        Files(tempfile::tempdir().expect("a temporary folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A file with these bytes; its path as an argument.
    fn make(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        fs::write(self.path(name), bytes).expect("the folder is there");
        self.path(name).display().to_string()
    }
}

fn send(to: &str, arguments: &[&str]) -> Ran {
    piecemeal(&[&["send", "--to", to], arguments].concat())
}

#[test]
fn a_file_is_sent_under_its_own_name_and_the_summary_says_so() {
    let (server, files) = (Server::start(&[]), Files::new());
    let path = files.make("report.pdf", vec![b'x'; 1536]);
    let ran = send(server.address(), &[&path]).exits(0);
    ran.line_with(&["stored", &path, "1.5 KiB"]);
    ran.line_with(&["1 file stored, 1.5 KiB in"]);
    assert_eq!(server.stored("report.pdf"), vec![b'x'; 1536]);
    assert_eq!(ran.out, "", "standard output is for results");
}

#[test]
fn files_of_every_awkward_size_arrive_as_they_are() {
    let (server, files) = (Server::start(&[]), Files::new());
    let sizes = [
        0, 1, 255, 256, 65_535, 65_536, 262_144, 262_145, 1_048_575, 1_048_576, 1_048_577,
        8_388_608, 8_388_609, 20_000_000,
    ];
    let bytes: Vec<u8> = (0..20_000_000_u32)
        .map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes()[0])
        .collect();
    let paths = sizes.map(|size| files.make(&size.to_string(), &bytes[..size]));
    send(server.address(), &paths.each_ref().map(String::as_str)).exits(0);
    for size in sizes {
        assert!(server.stored(&size.to_string()) == bytes[..size], "{size}");
    }
}

#[test]
fn an_empty_file_is_a_file() {
    let (server, files) = (Server::start(&[]), Files::new());
    let path = files.make("empty", "");
    let ran = send(server.address(), &[&path]).exits(0);
    ran.line_with(&["1 file stored"]);
    assert_eq!(server.stored("empty"), b"");
}

#[test]
fn many_files_go_over_several_connections() {
    let (server, files) = (Server::start(&["-v"]), Files::new());
    let names: Vec<String> = (0..50).map(|number| format!("{number:02}.txt")).collect();
    let paths: Vec<String> = names
        .iter()
        .map(|name| files.make(name, name.repeat(1000)))
        .collect();
    let mut arguments = vec!["-j", "4"];
    arguments.extend(paths.iter().map(String::as_str));
    let ran = send(server.address(), &arguments).exits(0);
    ran.line_with(&["50 files stored"]);
    assert_eq!(server.names(), names);
    for name in &names {
        assert_eq!(server.stored(name), name.repeat(1000).as_bytes());
    }
    let connected = |line: &str| line.contains("connected");
    server.err.wait_for_many(4, connected);
    let lines = server.err.so_far();
    assert_eq!(lines.iter().filter(|line| connected(line)).count(), 4);
}

#[test]
fn a_file_can_be_given_another_name() {
    let (server, files) = (Server::start(&[]), Files::new());
    let path = files.make("draft", "bytes");
    let ran = send(server.address(), &["--name", "final.txt", &path]).exits(0);
    ran.line_with(&["stored", &path]);
    assert_eq!(server.names(), ["final.txt"]);
}

#[test]
fn the_name_that_a_server_chose_is_shown() {
    let (server, files) = (Server::start(&["--on-conflict", "rename"]), Files::new());
    let path = files.make("a.txt", "first");
    send(server.address(), &[&path]).exits(0);
    files.make("a.txt", "second");
    let ran = send(server.address(), &[&path]).exits(0);
    ran.line_with(&[&path, "as a (2).txt"]);
    assert_eq!(server.stored("a (2).txt"), b"second");
}

#[test]
fn the_same_file_sent_again_succeeds_and_other_bytes_under_its_name_do_not() {
    let (server, files) = (Server::start(&[]), Files::new());
    let path = files.make("a.txt", "first");
    for _ in 0..3 {
        send(server.address(), &[&path]).exits(0);
    }
    assert_eq!(server.names(), ["a.txt"]);
    files.make("a.txt", "other");
    let ran = send(server.address(), &[&path]).exits(3);
    ran.line_with(&["piecemeal: ", &path, "(exists)", "--on-conflict rename"]);
    assert_eq!(server.stored("a.txt"), b"first");
}

#[test]
fn a_large_file_sent_again_succeeds_too() {
    let (server, files) = (Server::start(&[]), Files::new());
    let path = files.make("large", vec![b'x'; 3_000_000]);
    for _ in 0..2 {
        send(server.address(), &[&path]).exits(0);
    }
    files.make("large", vec![b'y'; 3_000_000]);
    send(server.address(), &[&path])
        .exits(3)
        .line_with(&["(exists)"]);
    assert_eq!(server.stored("large"), vec![b'x'; 3_000_000]);
}

#[test]
fn many_large_files_sent_again_are_all_recognised_and_failures_keep_their_order() {
    let (server, files) = (Server::start(&[]), Files::new());
    let paths: Vec<String> = (0..12)
        .map(|number| files.make(&format!("{number:02}"), vec![number; 1_100_000]))
        .collect();
    let mut arguments = vec!["-j", "4"];
    arguments.extend(paths.iter().map(String::as_str));
    for _ in 0..2 {
        send(server.address(), &arguments)
            .exits(0)
            .line_with(&["12 files stored"]);
    }
    for number in [3, 7, 9] {
        files.make(&format!("{number:02}"), vec![b'x'; 1_100_000]);
    }
    let ran = send(server.address(), &arguments).exits(23);
    let failed: Vec<&str> = ran
        .err
        .lines()
        .filter_map(|line| line.strip_prefix("piecemeal: ")?.split(": ").next())
        .collect();
    assert_eq!(failed, [&paths[3], &paths[7], &paths[9]]);
}

#[test]
fn a_client_can_ask_for_a_policy() {
    let (server, files) = (Server::start(&[]), Files::new());
    let path = files.make("a.txt", "first");
    send(server.address(), &[&path]).exits(0);
    files.make("a.txt", "second");
    send(server.address(), &["--on-conflict", "rename", &path]).exits(0);
    assert_eq!(server.stored("a (2).txt"), b"second");
    let ran = send(server.address(), &["--on-conflict", "overwrite", &path]).exits(3);
    ran.line_with(&[&path, "(bad-state)"]);
    assert_eq!(server.stored("a.txt"), b"first");
}

#[test]
fn a_server_is_found_by_name_by_socket_and_by_variable() {
    let home = tempfile::tempdir().unwrap();
    let unix = format!("unix:{}", home.path().join("socket").display());
    let server = Server::start(&["--bind", "127.0.0.1:0", "--bind", &unix]);
    let files = Files::new();
    // The name may have an IPv6 address too, where nobody listens.
    let port = server.address().rsplit(':').next().unwrap();
    send(&format!("localhost:{port}"), &[&files.make("host", "1")]).exits(0);
    send(&unix, &[&files.make("unix", "2")]).exits(0);
    let mut variable = command(common::PROGRAM);
    variable.args(["send", &files.make("variable", "3")]);
    variable.env("PIECEMEAL_TO", server.address());
    assert!(variable.output().unwrap().status.success());
    assert_eq!(server.names(), ["host", "unix", "variable"]);
}

#[test]
fn progress_can_be_lines_or_nothing() {
    let (server, files) = (Server::start(&[]), Files::new());
    let path = files.make("a.txt", "bytes");
    let ran = send(server.address(), &["--progress", "none", &path]).exits(0);
    assert_eq!(ran.err, "");
    let ran = send(server.address(), &["--progress", "plain", &path]).exits(0);
    assert_eq!(ran.err.lines().count(), 2, "{ran:#?}");
    send(server.address(), &["--progress", "bar", &path]).exits(0);
}

#[test]
fn what_a_server_that_is_not_durable_has_stored_is_said_to_be_so() {
    let (server, files) = (Server::start(&["--durability", "none"]), Files::new());
    let path = files.make("a.txt", "bytes");
    send(server.address(), &[&path])
        .exits(0)
        .line_with(&["not durable"]);
}

#[test]
fn a_text_is_said_and_comes_back() {
    let server = Server::start(&["--strings", "message"]);
    let to = server.address();
    let ran = piecemeal(&["say", "--to", to, "hello, wörld"]).exits(0);
    assert_eq!(ran.out, "Message: hello, wörld\n");
    let ran = piecemeal_with_input(&["say", "--to", to], b"one\ntwo\n\nlast").exits(0);
    assert_eq!(
        ran.out,
        "Message: one\nMessage: two\nMessage: \nMessage: last\n"
    );
    server.out.wait_for(|line| line.ends_with(": last"));
}

#[test]
fn a_text_that_is_too_long_is_wrong_usage_and_one_that_just_fits_is_said() {
    let server = Server::start(&["--strings", "message"]);
    let to = server.address();
    let fits = "x".repeat(4096);
    let ran = piecemeal(&["say", "--to", to, &fits]).exits(0);
    assert_eq!(ran.out, format!("Message: {fits}\n"));
    let ran = piecemeal(&["say", "--to", to, &(fits + "x")]).exits(2);
    ran.line_with(&["4097 bytes", "4096"]);
}

#[test]
fn an_answer_is_shown_escaped() {
    let server = Server::start(&["--strings", "message"]);
    let ran = piecemeal(&["say", "--to", server.address(), "\x1b[2J"]).exits(0);
    assert!(
        !ran.out.contains('\x1b') && ran.out.contains("[2J"),
        "{ran:#?}"
    );
}

#[test]
fn the_demo_shows_that_every_file_is_as_it_was_sent() {
    let mut demo = command(common::PROGRAM);
    demo.arg("demo");
    let scratch = tempfile::tempdir().unwrap();
    demo.env("TMPDIR", scratch.path());
    let output = assert_cmd::Command::from_std(demo)
        .timeout(2 * GUARD)
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{out}");
    let row = |what: &str| {
        let row = out.lines().find_map(|line| line.trim().strip_prefix(what));
        row.map(str::trim).map(str::to_owned)
    };
    assert_eq!(row("files").as_deref(), Some("200"), "{out}");
    assert_eq!(row("different").as_deref(), Some("0"), "{out}");
    assert_eq!(row("refused").as_deref(), Some("0"), "{out}");
    assert!(is_empty(scratch.path()), "the demo leaves nothing behind");
}

#[test]
fn an_interrupted_demo_leaves_nothing_behind() {
    // A demo that is done before the signal comes has shown nothing.
    for _ in 0..10 {
        let scratch = tempfile::tempdir().unwrap();
        let mut demo = command(common::PROGRAM)
            .arg("demo")
            .env("TMPDIR", scratch.path())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let out = common::Lines::of(demo.stdout.take().unwrap());
        out.wait_for(|line| line.starts_with("a server on "));
        common::signal(&demo, rustix::process::Signal::INT);
        out.to_end();
        let code = demo.wait().unwrap().code();
        assert!(is_empty(scratch.path()), "{code:?}");
        if code == Some(130) {
            return;
        }
    }
    panic!("no demo was interrupted");
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).expect("a folder").next().is_none()
}
