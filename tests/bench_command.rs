//! `bench` as a person uses it: what it counts is what a server has stored.

mod common;

use std::fs;
use std::process::Stdio;

use common::{
    GUARD, Lines, NUMBERS, PROGRAM, Server, bench, command, errors, figures, number, piecemeal,
    signal,
};
use rustix::process::Signal;

#[test]
fn without_a_server_it_starts_its_own_and_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let within = home.path().display().to_string();
    let ran = bench(&["--files", "300", "--temp-dir", &within]).exits(0);
    let figures = figures(&ran.out);
    assert_eq!(number(&figures, "files"), 300);
    assert_eq!(number(&figures, "bytes"), 300 * 4096);
    assert_eq!(number(&figures, "connections"), 64);
    assert_eq!(figures["errors"], serde_json::json!({}));
    assert_eq!(figures["durability"], "full");
    let of = |key: &str| figures[key].as_f64().unwrap();
    assert!(of("files_per_s") > 0.0 && of("bytes_per_s") > of("files_per_s"));
    assert!(of("p50_us") > 0.0 && of("p50_us") <= of("p90_us"));
    assert!(of("p90_us") <= of("p99_us") && of("p99_us") <= of("p999_us"));
    assert!(of("p999_us") <= of("max_us"));
    assert_eq!(
        fs::read_dir(home.path()).unwrap().count(),
        0,
        "the server's folder is left"
    );
}

#[test]
fn what_people_have_set_for_their_server_is_not_for_its_own() {
    let home = tempfile::tempdir().unwrap();
    let mut bench = command(PROGRAM);
    bench
        .args(["bench", "--files", "20", "--temp-dir"])
        .arg(home.path())
        .env("PIECEMEAL_MAX_SIZE", "1")
        .env("PIECEMEAL_BIND", "nowhere");
    let output = assert_cmd::Command::from_std(bench)
        .timeout(GUARD)
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for part in ["files     20 in", "rate", "p99.9", "errors    none"] {
        assert!(out.contains(part), "{out}");
    }
}

#[test]
fn what_it_counts_is_what_the_server_has() {
    for extra in [
        &["--pipeline", "1"][..],
        &["--pipeline", "16"],
        &["--reconnect"],
        &["--verify", "--pipeline", "7"],
        &["--connections", "3", "--pipeline", "1000"],
    ] {
        let server = Server::start(&[]);
        let arguments = [
            &["--to", server.address(), "--files", "200", "--seed", "7"][..],
            &["--size", "0-40000", "--name-prefix", "n"],
            extra,
        ];
        let figures = figures(&bench(&arguments.concat()).exits(0).out);
        let names = server.names();
        assert_eq!(number(&figures, "files"), 200, "{extra:?}");
        assert_eq!(names.len(), 200, "{extra:?}");
        assert!(names.iter().all(|name| name.starts_with("n-7-")));
        let sizes: Vec<u64> = names
            .iter()
            .map(|name| server.stored(name).len() as u64)
            .collect();
        assert_eq!(number(&figures, "bytes"), sizes.iter().sum::<u64>());
        assert!(sizes.iter().all(|size| *size <= 40_000));
        assert!(sizes.iter().any(|size| *size != sizes[0]), "{sizes:?}");
    }
}

#[test]
fn a_file_larger_than_all_buffers_arrives_whole() {
    for extra in [&["--verify"][..], &["--pipeline", "2"]] {
        let server = Server::start(&[]);
        let arguments = [
            &["--to", server.address(), "--files", "3", "--size", "20MB"][..],
            &["--connections", "1"],
            extra,
        ];
        let figures = figures(&bench(&arguments.concat()).exits(0).out);
        assert_eq!(number(&figures, "bytes"), 60_000_000);
        for name in server.names() {
            assert_eq!(server.stored(&name).len(), 20_000_000);
        }
    }
}

#[test]
fn each_file_has_a_connection_of_its_own_if_asked_for() {
    let connections = |extra: &[&str]| {
        let mut server = Server::start(&["-v"]);
        let to = ["--to", server.address(), "--connections", "2"];
        bench(&[&to[..], &["--files", "20"], extra].concat()).exits(0);
        // All its lines are there when it has ended.
        server.stop();
        let lines = server.err.so_far();
        let opened = lines.iter().filter(|line| line.ends_with(": connected"));
        opened.count()
    };
    assert_eq!(connections(&[]), 2);
    let anew = connections(&["--reconnect"]);
    assert!((20..=22).contains(&anew), "{anew}");
}

#[test]
fn a_unix_socket_is_as_good() {
    let home = tempfile::tempdir().unwrap();
    let bind = format!("unix:{}", home.path().join("socket").display());
    let server = Server::start(&["--bind", &bind]);
    for extra in [&["--pipeline", "4"][..], &["--reconnect"]] {
        let to = ["--to", &bind, "--files", "100"];
        let figures = figures(&bench(&[&to[..], extra].concat()).exits(0).out);
        assert_eq!(number(&figures, "files"), 100);
    }
    assert_eq!(server.names().len(), 200);
}

#[test]
fn a_duration_ends_it() {
    let server = Server::start(&[]);
    let to = ["--to", server.address(), "--duration", "300ms"];
    let figures = figures(&bench(&to).exits(0).out);
    assert!(number(&figures, "files") > 0);
    assert_eq!(number(&figures, "files"), server.names().len() as u64);
}

#[test]
fn texts_are_measured_as_round_trips() {
    let server = Server::start(&["--strings", "message"]);
    let say = ["--say", "--files", "500"];
    for extra in [
        &["--pipeline", "1"][..],
        &["--pipeline", "16"],
        &["--reconnect"],
    ] {
        let to = ["--to", server.address()];
        let figures = figures(&bench(&[&to, &say[..], extra].concat()).exits(0).out);
        assert_eq!(number(&figures, "files"), 500);
        assert_eq!(number(&figures, "bytes"), 500 * 16);
        assert!(figures["files_per_s"].as_f64().unwrap() > 0.0);
    }
    assert!(server.names().is_empty());
    // One of its own shows texts too.
    let figures = figures(
        &bench(&[&say[..], &["--size", "4096"]].concat())
            .exits(0)
            .out,
    );
    assert_eq!(number(&figures, "bytes"), 500 * 4096);
}

#[test]
fn those_that_behave_badly_are_measured_apart() {
    let server = Server::start(&["-v"]);
    let ran = bench(
        &[
            &["--to", server.address(), "--connections", "40"][..],
            &["--mix", "slow=10,stalled=5,abort=5", "--duration", "3s"],
            &["--size", "100-2000"],
        ]
        .concat(),
    );
    let figures = figures(&ran.exits(0).out);
    assert_eq!(number(&figures, "connections"), 32);
    assert_eq!(figures["errors"], serde_json::json!({}));
    let mix = &figures["mix"];
    assert_eq!(number(&mix["slow"], "connections"), 4);
    assert_eq!(number(&mix["stalled"], "connections"), 2);
    assert_eq!(number(&mix["abort"], "connections"), 2);
    assert!(number(&mix["abort"], "ended") > 0, "{mix}");
    server.err.wait_for(|line| line.contains("reset by peer"));
    assert_eq!(
        number(&mix["stalled"], "files") + number(&mix["abort"], "files"),
        0
    );
    // What a slow one has sent may be stored although nobody waited for the receipt.
    let (good, slow) = (number(&figures, "files"), number(&mix["slow"], "files"));
    let stored = server.names().len() as u64;
    assert!(
        (good + slow..=good + slow + 4).contains(&stored),
        "{figures}"
    );
}

#[test]
fn a_stalled_client_stays_until_the_server_ends_it_and_comes_again() {
    let server = Server::start(&["--stall-timeout", "20ms", "-v"]);
    let mut running = command(PROGRAM)
        .args([
            "bench",
            "--json",
            "--to",
            server.address(),
            "--duration",
            "60s",
        ])
        .args([
            "--connections",
            "2",
            "--mix",
            "stalled=50",
            "--size",
            "1KiB",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = Lines::of(running.stdout.take().unwrap());
    server
        .err
        .wait_for_many(2, |line| line.ends_with(": closed"));
    signal(&running, Signal::INT);
    let lines = out.to_end();
    assert_eq!(running.wait().unwrap().code(), Some(130));
    let figures = figures(&lines[0]);
    assert_eq!(figures["errors"], serde_json::json!({}));
    let stalled = &figures["mix"]["stalled"];
    assert!(number(stalled, "ended") >= 1, "{figures}");
    assert!(errors(stalled, "timeout") >= 1, "{figures}");
}

#[test]
fn two_runs_are_compared_by_their_ratios() {
    let home = tempfile::tempdir().unwrap();
    let server = Server::start(&[]);
    let run = |name: &str| {
        let path = home.path().join(name);
        let ran = bench(&["--to", server.address(), "--files", "20"]).exits(0);
        fs::write(&path, ran.out).unwrap();
        path.display().to_string()
    };
    let (a, b) = (run("a.json"), run("b.json"));
    let ran = piecemeal(&["bench", "compare", &a, &b]).exits(0);
    for key in NUMBERS {
        assert!(ran.out.contains(key), "{ran:#?}");
    }
    let same = piecemeal(&["bench", "compare", &a, &a]).exits(0);
    assert_eq!(same.out.matches("1.00\n").count(), 7, "{same:#?}");
    // A variable that is meant for a run doesn't spoil a comparison.
    let mut with_variable = command(PROGRAM);
    with_variable
        .args(["bench", "compare", &a, &b])
        .env("PIECEMEAL_TO", server.address());
    let output = with_variable.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");

    fs::write(home.path().join("c"), "{\"files_per_s\": 1}").unwrap();
    let c = home.path().join("c").display().to_string();
    let ran = piecemeal(&["bench", "compare", &a, &c]).exits(9);
    ran.line_with(&["piecemeal: ", &c, "bench --json"]);
    let missing = home.path().join("none").display().to_string();
    let ran = piecemeal(&["bench", "compare", &missing, &b]).exits(9);
    ran.line_with(&["piecemeal: ", &missing, "can't read it"]);
}
