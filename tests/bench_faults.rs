//! `bench` against servers that fail, or that are none; and what it leaves behind when it is ended.

mod common;

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{
    ClosedPort, Fake, Lines, PROGRAM, Ran, Server, bench, can_trace, command, errors, figures,
    number, signal, string, wait_until,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

#[test]
fn a_server_that_takes_the_one_for_the_other_is_told() {
    let names = Server::start(&[]);
    let ran = bench(&["--to", names.address(), "--say"]).exits(3);
    ran.line_with(&["piecemeal: ", "--strings message"]);
    let messages = Server::start(&["--strings", "message"]);
    let ran = bench(&["--to", messages.address()]).exits(3);
    ran.line_with(&["piecemeal: ", "--strings message", "--say"]);
    // A digest is announced, which works with either.
    let verified = ["--to", messages.address(), "--verify", "--files", "10"];
    assert_eq!(
        number(&figures(&bench(&verified).exits(0).out), "files"),
        10
    );
}

#[test]
fn failures_are_counted_by_their_code() {
    let server = Server::start(&["--max-size", "1000"]);
    let to = [
        "--to",
        server.address(),
        "--files",
        "60",
        "--connections",
        "4",
    ];
    let run = |extra: &[&str]| bench(&[&to[..], extra].concat());
    for extra in [
        &["--pipeline", "1"][..],
        &["--pipeline", "8"],
        &["--reconnect"],
    ] {
        let figures = figures(&run(&[extra, &["--size", "2000"]].concat()).exits(3).out);
        assert_eq!(errors(&figures, "too-large"), 60, "{figures}");
        assert_eq!(number(&figures, "files"), 0);
    }
    let mixed = figures(&run(&["--size", "500-1500"]).exits(23).out);
    let stored = number(&mixed, "files");
    assert_eq!(errors(&mixed, "too-large") + stored, 60, "{mixed}");
    assert_eq!(server.names().len() as u64, stored);
    let again = ["--size", "10", "--seed", "5"];
    run(&again).exits(0);
    let taken = figures(&run(&again).exits(3).out);
    assert_eq!(errors(&taken, "exists"), 60, "{taken}");
}

#[test]
fn those_that_a_full_server_turns_away_are_counted() {
    let server = Server::start(&["--max-connections", "2"]);
    let to = ["--to", server.address(), "--files", "100"];
    let ran = bench(&[&to[..], &["--connections", "8"]].concat());
    let figures = figures(&ran.out);
    let (stored, busy) = (number(&figures, "files"), errors(&figures, "busy"));
    assert_eq!(stored + busy + errors(&figures, "lost"), 100, "{figures}");
    assert_eq!(server.names().len() as u64, stored);
    assert!(stored > 0, "{figures}");
    // With no place left for it at all, none of its files can be stored.
    let server = Server::start(&["--max-connections", "2"]);
    let mut held = [server.client(), server.client()];
    for (number, client) in held.iter_mut().enumerate() {
        client.upload(&format!("held-{number}"), b"");
    }
    let to = ["--to", server.address(), "--files", "20"];
    let figures = self::figures(&bench(&to).exits(3).out);
    assert_eq!(number(&figures, "files"), 0);
    assert!(errors(&figures, "busy") > 0, "{figures}");
}

#[test]
fn a_server_that_turns_everybody_away_is_not_asked_in_a_circle() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let fake = Fake::playing(move |peer| {
        counted.fetch_add(1, Ordering::Relaxed);
        peer.take(1);
        peer.give(string("ERR busy\ntext=full\nretry=2"));
    });
    let to = ["--to", &fake.address, "--duration", "500ms"];
    let ran = bench(&[&to[..], &["--connections", "2"]].concat()).exits(3);
    assert!(errors(&figures(&ran.out), "busy") > 0);
    // Each of the two comes back every 100 ms, or later.
    let count = connections.load(Ordering::Relaxed);
    assert!((2..=14).contains(&count), "{count}");
}

#[test]
fn a_receipt_of_something_else_ends_with_6() {
    let receipts = [
        "OK\nname=other\nsize=5".to_owned(),
        format!("OK\nname=n-1-0\nsize=5\nblake3={}", common::digest("other")),
        format!("OK\nname=n-1-0\nsize=6\nblake3={}", common::digest("other")),
    ];
    for receipt in receipts {
        let fake = Fake::answering([string("OK\noffset=0"), string(receipt)].concat());
        let run = [
            "--to",
            &fake.address,
            "--verify",
            "--files",
            "1",
            "--size",
            "5",
        ];
        let name = ["--seed", "1", "--name-prefix", "n"];
        let figures = figures(&bench(&[&run[..], &name].concat()).exits(6).out);
        assert_eq!(errors(&figures, "wrong-answer"), 1, "{figures}");
    }
}

#[test]
fn no_server_ends_with_4() {
    let closed = ClosedPort::new();
    let ran = bench(&["--to", &closed.address]).exits(4);
    ran.line_with(&[
        "piecemeal: ",
        "can't connect",
        &closed.address,
        "is the server running",
    ]);
    let home = tempfile::tempdir().unwrap();
    let path = format!("unix:{}", home.path().join("none").display());
    bench(&["--to", &path]).exits(4);
    let ran = bench(&["--to", "no.such.host.invalid:9000"]).exits(4);
    ran.line_with(&["piecemeal: ", "is the name right?"]);
}

#[test]
fn a_server_that_hangs_up_without_a_word_ends_with_4() {
    let fake = Fake::playing(|_| {});
    bench(&["--to", &fake.address]).exits(4);
}

#[test]
fn a_server_that_dies_ends_it_with_4_and_the_figures_so_far() {
    let mut server = Server::start(&[]);
    let mut running = command(PROGRAM)
        .args([
            "bench",
            "--json",
            "--to",
            server.address(),
            "--duration",
            "60s",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let out = Lines::of(running.stdout.take().unwrap());
    let err = Lines::of(running.stderr.take().unwrap());
    server
        .out
        .wait_for_many(200, |line| line.starts_with("stored "));
    server.child().kill().unwrap();
    let lines = out.to_end();
    assert_eq!(running.wait().unwrap().code(), Some(4), "{lines:#?}");
    let figures = figures(&lines[0]);
    assert!(
        number(&figures, "files") > 0 && errors(&figures, "lost") > 0,
        "{figures}"
    );
    let parts = ["it ended early", "can't connect", "connections were made"];
    err.wait_for(|line| parts.iter().all(|part| line.contains(part)));
}

#[test]
fn what_is_no_piecemeal_server_ends_with_7() {
    for garbage in [
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        string("hello"),
        string(b"OK\xff"),
        vec![1, 0xff, 0xff],
    ] {
        let fake = Fake::answering(garbage);
        let ran = bench(&["--to", &fake.address, "--connections", "2"]).exits(7);
        ran.line_with(&["piecemeal: ", "is it a piecemeal server?"]);
    }
}

#[test]
fn a_server_that_never_answers_ends_with_8() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = silent.local_addr().unwrap().to_string();
    for extra in [
        &["--size", "1KiB"][..],
        &["--size", "30MB"],
        &["--reconnect"],
    ] {
        let run = ["--to", &to, "--timeout", "300ms", "--connections", "3"];
        let ran = bench(&[&run[..], extra].concat()).exits(8);
        ran.line_with(&["piecemeal: ", "silent", "--timeout"]);
        assert!(errors(&figures(&ran.out), "silent") > 0);
    }
}

#[test]
fn a_signal_ends_it_with_its_code_and_leaves_no_process_behind() {
    for (which, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let mut running = Running::start();
        assert_eq!(running.processes().len(), 2, "bench, and the server");
        signal(&running.child, which);
        let figures = running.ends_with(code);
        assert!(number(&figures, "files") > 0, "{figures}");
    }
}

#[test]
fn a_server_of_its_own_that_dies_ends_it_with_4_and_leaves_nothing() {
    let mut running = Running::start();
    let bench = Pid::from_child(&running.child);
    let server = running.processes().into_iter().find(|pid| *pid != bench);
    kill_process(server.expect("there are two"), Signal::KILL).unwrap();
    let figures = running.ends_with(4);
    assert!(errors(&figures, "lost") > 0, "{figures}");
    assert!(figures["ended"].is_string(), "{figures}");
}

#[test]
fn a_server_of_its_own_that_does_not_start_is_told() {
    let home = tempfile::tempdir().unwrap();
    let missing = home.path().join("missing").display().to_string();
    let ran = bench(&["--temp-dir", &missing]).exits(1);
    ran.line_with(&["piecemeal: ", "can't make a folder", "--temp-dir"]);
    let within = home.path().display().to_string();
    if let Some(ran) = bench_that_cannot_listen(&within) {
        ran.exits(1)
            .line_with(&["piecemeal: the server didn't start: can't listen"]);
    }
    // Nor does it start where there would be too few descriptors.
    let script = "ulimit -n 60; exec \"$0\" \"$@\"";
    let limited = |connections: &str| {
        let output = command("bash")
            .args(["-c", script, PROGRAM, "bench", "--temp-dir", &within])
            .args(["--connections", connections])
            .output()
            .unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), err)
    };
    let (code, err) = limited("50");
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("ulimit -n"), "{err}");
    assert_eq!(entries(home.path()), 0, "the server's folder is left");
}

#[test]
fn options_that_do_not_go_together_are_told_before_anything_starts() {
    for (arguments, part) in [
        (&["--reconnect", "--pipeline", "2"][..], "--pipeline"),
        (&["--say", "--verify"], "--verify"),
        (&["--say", "--mix", "slow=10"], "--mix"),
        (&["--say", "--size", "4097"], "4096"),
        (&["--mix", "slow=50,abort=50"], "--connections"),
        (&["--mix", "quick=50"], "slow"),
        (&["--size", "2KiB-1KiB"], "smaller"),
        (&["--duration", "0"], "--files"),
        (&["--name-prefix", "a/b"], "--name-prefix"),
        (&["--files", "0"], "--files"),
        (&["--pipeline", "0"], "--pipeline"),
        (&["--connections", "0"], "--connections"),
    ] {
        let ran = bench(arguments).exits(2);
        assert!(ran.err.contains(part) && ran.out.is_empty(), "{ran:#?}");
    }
}

/// Entries of a folder.
fn entries(folder: &Path) -> usize {
    fs::read_dir(folder).expect("it is there").count()
}

/// Whether a file is one that a bench has sent.
fn is_benched(path: &Path) -> bool {
    let name = path
        .file_name()
        .expect("an entry has one")
        .to_string_lossy();
    name.starts_with("bench-")
}

/// A bench whose server gets an error when it wants to listen; none where that can't be done.
fn bench_that_cannot_listen(within: &str) -> Option<Ran> {
    if !can_trace() {
        return None;
    }
    let strace = ["-f", "-qq", "-o", "/dev/null", "-e", "trace=listen"];
    let mut traced = command("strace");
    traced.args(strace);
    traced.args(["-e", "inject=listen:error=EACCES"]);
    let output = traced
        .args([PROGRAM, "bench", "--temp-dir", within])
        .output()
        .expect("it was tried before");
    Some(Ran {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// A bench with a server of its own, which has answered something already.
struct Running {
    child: Child,
    out: Lines,
    home: TempDir,
}

impl Running {
    fn start() -> Running {
        let home = tempfile::tempdir().expect("a temporary folder");
        let mut child = command(PROGRAM)
            .args(["bench", "--json", "--duration", "60s", "--temp-dir"])
            .arg(home.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let out = Lines::of(child.stdout.take().expect("it is a pipe"));
        let running = Running { child, out, home };
        wait_until("some are answered", || {
            let folders = fs::read_dir(running.home.path()).expect("it is there");
            let files = folders
                .flatten()
                .filter_map(|folder| fs::read_dir(folder.path()).ok());
            let files = files.flatten().flatten();
            // More than there are connections, so some of them were answered.
            files.filter(|file| is_benched(&file.path())).count() > 100
        });
        running
    }

    /// It, and its server: whoever names its folder.
    fn processes(&self) -> Vec<Pid> {
        let folder = self.home.path().display().to_string();
        let processes = fs::read_dir("/proc").expect("this is Linux").flatten();
        let named = processes.filter(|process| {
            let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(&folder)
        });
        let numbers = named.filter_map(|process| process.file_name().to_str()?.parse().ok());
        numbers.filter_map(Pid::from_raw).collect()
    }

    /// Waits for its end, after which nothing of it may be left.
    fn ends_with(&mut self, code: i32) -> Value {
        let lines = self.out.to_end();
        let status = self.child.wait().expect("it is our child");
        assert_eq!(status.code(), Some(code), "{lines:#?}");
        assert_eq!(self.processes(), []);
        assert_eq!(entries(self.home.path()), 0, "the server's folder is left");
        figures(&lines[0])
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // So that a test that fails leaves nothing either.
        for process in self.processes() {
            let _ = kill_process(process, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}
