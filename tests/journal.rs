//! `serve --journal`: whoever has an OK is in it, whatever becomes of the disk or the server.

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use common::{
    Server, Starter, can_trace, command, data, digest, end, piecemeal, put, skipped, string,
};
use rustix::process::Signal;
use serde_json::Value;

/// A server that keeps a journal beside its folder.
fn starter(arguments: &[&str]) -> (Starter, PathBuf) {
    let home = tempfile::tempdir().expect("a temporary folder").keep();
    let path = home.join("journal");
    let arguments = [
        &["--journal", path.to_str().expect("a test's own")],
        arguments,
    ]
    .concat();
    (Starter::new(&arguments), path)
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).expect("a journal");
    assert!(text.is_empty() || text.ends_with('\n'), "{text}");
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
    text.lines().map(parse).collect()
}

fn names(path: &Path) -> Vec<String> {
    let names = lines(path);
    let names = names
        .iter()
        .map(|line| line["name"].as_str().expect("a test's own"));
    names.map(str::to_owned).collect()
}

fn remove(path: &Path) {
    fs::remove_dir_all(path.parent().expect("a test's own")).expect("it is there");
}

#[test]
fn each_stored_file_has_a_line_before_its_sender_is_told() {
    let (starter, path) = starter(&["--on-conflict", "rename"]);
    let server = starter.start();
    let mut client = server.client();
    for _ in 0..2 {
        client.send([string("a \"b\".txt"), data("bytes")].concat());
        client.ok();
        client.ok();
    }
    client.send([put("name=c.txt\nend=explicit"), data("more")].concat());
    client.send(end(format!("blake3={}", digest("more"))));
    for _ in 0..3 {
        client.ok();
    }
    // Nothing is waited for: the last OK is here, and so are the lines.
    let lines = lines(&path);
    let facts = lines.iter().map(|line| (&line["name"], &line["size"]));
    let facts: Vec<_> = facts
        .map(|(name, size)| {
            (
                name.as_str().expect("a test's own"),
                size.as_u64().expect("a test's own"),
            )
        })
        .collect();
    assert_eq!(
        facts,
        [("a \"b\".txt", 5), ("a \"b\" (2).txt", 5), ("c.txt", 4)]
    );
    assert_eq!(lines[2]["blake3"], digest("more"));
    assert!(lines[0].get("blake3").is_none() && lines[0].get("found").is_none());
    for line in &lines {
        assert_eq!(line["durable"], true);
        assert!(
            line["peer"]
                .as_str()
                .expect("a test's own")
                .starts_with("127.0.0.1:")
        );
        assert!(line["time"].as_str().expect("a test's own").ends_with('Z'));
    }
    remove(&path);
}

#[test]
fn what_is_refused_has_no_line() {
    let (starter, path) = starter(&[]);
    let server = starter.start();
    let mut client = server.client();
    client.upload("a.txt", b"bytes");
    client.send([string("a.txt"), data("other")].concat());
    client.refused("exists");
    client.refused("exists");
    client.send(put("name=b.txt\nend=explicit"));
    client.send([data("bytes"), end(format!("blake3={}", digest("others")))].concat());
    client.ok();
    client.ok();
    client.refused("digest");
    assert_eq!(names(&path), ["a.txt"]);
    remove(&path);
}

#[test]
fn several_workers_write_whole_lines_into_one_journal() {
    let (starter, path) = starter(&["--workers", "3", "--durability", "none"]);
    let server = starter.start();
    std::thread::scope(|scope| {
        for number in 0..9 {
            let mut client = server.client();
            scope.spawn(move || {
                for file in 0..10 {
                    client.upload(&format!("{number}-{file}.txt"), b"bytes");
                }
            });
        }
    });
    let mut names = names(&path);
    names.sort_unstable();
    assert_eq!(names, server.names());
    assert_eq!(names.len(), 90);
    remove(&path);
}

#[test]
fn a_journal_that_is_there_is_appended_to_and_a_line_that_a_crash_cut_off_stands_alone() {
    let (starter, path) = starter(&[]);
    fs::write(&path, "{\"name\":\"old.txt\"}\n{\"time\":\"2026-").expect("a test's own");
    let server = starter.start();
    server.err.wait_for(|line| line.contains("was cut off"));
    server.client().upload("a.txt", b"bytes");
    let text = fs::read_to_string(&path).expect("a test's own");
    let all: Vec<_> = text.lines().collect();
    assert_eq!(all[..2], ["{\"name\":\"old.txt\"}", "{\"time\":\"2026-"]);
    assert!(all[2].contains("\"a.txt\"") && all.len() == 3, "{text}");
    remove(&path);
}

#[test]
fn a_hangup_opens_it_anew_and_the_renamed_one_is_complete() {
    let (starter, path) = starter(&["-v"]);
    let mut server = starter.start();
    let mut client = server.client();
    client.upload("a.txt", b"bytes");
    let old = path.with_extension("1");
    fs::rename(&path, &old).expect("a test's own");
    client.upload("b.txt", b"bytes");
    server.signal(Signal::HUP);
    server.err.wait_for(|line| line.contains("opened anew"));
    client.upload("c.txt", b"bytes");
    assert_eq!(names(&old), ["a.txt", "b.txt"]);
    assert_eq!(names(&path), ["c.txt"]);
    server.stop();
    remove(&path);
}

/// A server whose files may have so many blocks, of 512 or 1024 bytes depending on the shell; its
/// journal has nearly as many bytes already.
fn nearly_full(arguments: &[&str]) -> (Server, PathBuf) {
    let (starter, path) = starter(arguments);
    let line = format!("{{\"{}\":0}}\n", "x".repeat(94));
    let shell = command("sh")
        .args(["-c", "ulimit -f 64; head -c 1M /dev/zero >\"$0\"; :"])
        .arg(&path)
        .stderr(Stdio::null())
        .status();
    assert!(shell.is_ok());
    let limit =
        usize::try_from(fs::metadata(&path).expect("a test's own").len()).expect("a test's own");
    assert!((32 << 10..=64 << 10).contains(&limit), "{limit}");
    // Room for two or three lines.
    fs::write(&path, line.repeat((limit - 1200) / line.len())).expect("a test's own");
    (starter.limited("-f 64").start(), path)
}

#[test]
fn a_journal_without_room_refuses_uploads_rather_than_leave_them_unrecorded() {
    let (server, path) = nearly_full(&["-v"]);
    let before = lines(&path).len();
    let mut client = server.client();
    let mut stored = Vec::new();
    loop {
        let name = format!("{}.txt", stored.len());
        client.send([string(&name), data("bytes")].concat());
        client.ok();
        let reply = client.reply();
        if reply.status() != "OK" {
            assert_eq!(reply.status(), "ERR no-space", "{reply}");
            break;
        }
        stored.push(name);
    }
    assert!(!stored.is_empty(), "there was room for one");
    assert_eq!(server.names(), stored, "what was refused has no name");
    assert_eq!(names_behind(&path, before), stored);
    server
        .err
        .wait_for(|line| line.contains("nothing is stored unrecorded"));
    // Once there is room, the same connection goes on.
    fs::rename(&path, path.with_extension("1")).expect("a test's own");
    server.signal(Signal::HUP);
    server.err.wait_for(|line| line.contains("opened anew"));
    client.upload("next.txt", b"bytes");
    assert_eq!(names(&path), ["next.txt"]);
    remove(&path);
}

fn names_behind(path: &Path, before: usize) -> Vec<String> {
    let behind = lines(path).split_off(before);
    let names = behind
        .iter()
        .map(|line| line["name"].as_str().expect("a test's own"));
    names.map(str::to_owned).collect()
}

#[test]
fn a_full_file_system_refuses_uploads_too() {
    let home = tempfile::tempdir().expect("a test's own");
    let disk = home.path().join("disk");
    fs::create_dir(&disk).expect("a test's own");
    // A file system of its own, which only the server and what it starts can see.
    let mount = "mount -t tmpfs -o size=64k none \"$1\" && shift && exec \"$@\"";
    let tried = command("unshare")
        .args(["-rm", "sh", "-c", mount, "sh"])
        .args([disk.as_os_str(), "true".as_ref()])
        .stderr(Stdio::null())
        .status();
    if !tried.is_ok_and(|status| status.success()) {
        return skipped("no file system can be mounted here");
    }
    let journal = disk.join("journal");
    let fill = "mount -t tmpfs -o size=64k none \"$1\" && head -c 60k /dev/zero >\"$1/ballast\" && shift && \
         exec \"$@\"";
    let starter = Starter::new(&["--journal", journal.to_str().expect("a test's own")]).under(&[
        "unshare",
        "-rm",
        "sh",
        "-c",
        fill,
        "sh",
        disk.to_str().expect("a test's own"),
    ]);
    let server = starter.start();
    let mut client = server.client();
    let mut stored = Vec::new();
    loop {
        let name = format!("{}-{}.txt", stored.len(), "x".repeat(180));
        client.send([string(&name), data("bytes")].concat());
        client.ok();
        let reply = client.reply();
        if reply.status() != "OK" {
            assert_eq!(reply.status(), "ERR no-space", "{reply}");
            break;
        }
        stored.push(name);
    }
    stored.sort_unstable();
    assert_eq!(server.names(), stored, "what was refused has no name");
    let seen = format!(
        "/proc/{}/root{}",
        server.pid().as_raw_pid(),
        journal.display()
    );
    let mut recorded = names(Path::new(&seen));
    recorded.sort_unstable();
    assert_eq!(recorded, stored);
}

/// A server in which this call fails for the journal, and for nothing else.
fn failing(call: &str, path: &Path, starter: Starter) -> Option<Server> {
    if !can_trace() {
        return None;
    }
    let inject = format!("inject={call}:error=EIO:when=1");
    let trace = format!("trace={call}");
    let path = path.to_str().expect("a test's own");
    let strace = ["strace", "-D", "-f", "-qq", "-o", "/dev/null"];
    let filter = ["-P", path, "-e", &trace, "-e", &inject];
    Some(starter.under(&[&strace[..], &filter].concat()).start())
}

#[test]
fn a_line_that_could_not_be_written_or_synced_makes_the_answer_unknown_and_a_retry_is_recorded() {
    for call in ["write", "fdatasync"] {
        let (starter, path) = starter(&["-v", "--json", "--on-conflict", "rename"]);
        fs::write(&path, "").expect("a test's own");
        let Some(server) = failing(call, &path, starter) else {
            return;
        };
        let message = [
            put("name=a.txt\nend=explicit"),
            data("bytes"),
            end(format!("blake3={}", digest("bytes"))),
        ]
        .concat();
        let mut client = server.client();
        client.send(&message);
        client.ok();
        client.ok();
        client.refused("unknown");
        client.expect_end();
        assert_eq!(server.names(), ["a.txt"], "the file has its name");
        for event in ["failed", "refused"] {
            let event = format!("\"event\":\"{event}\",\"code\":\"unknown\"");
            server.out.wait_for(|line| line.contains(&event));
        }
        // Nothing more is stored, not even begun.
        let mut other = server.client();
        other.send(string("b.txt"));
        other.refused("io");
        fs::rename(&path, path.with_extension("1")).expect("a test's own");
        server.signal(Signal::HUP);
        server.err.wait_for(|line| line.contains("opened anew"));
        let mut retry = server.client();
        retry.send(&message);
        retry.ok();
        retry.ok();
        retry.receipt("a.txt", 5);
        assert_eq!(server.names(), ["a.txt"]);
        let found = lines(&path);
        assert_eq!(found.len(), 1, "{call}: {found:?}");
        assert_eq!(
            (found[0]["name"].as_str(), found[0]["found"].as_bool()),
            (Some("a.txt"), Some(true))
        );
        drop(server);
        remove(&path);
    }
}

#[test]
fn a_file_whose_line_a_crash_prevented_gets_it_when_it_is_sent_again() {
    let (starter, path) = starter(&[]);
    let server = starter.start();
    // As a server left it that died between the name and the line.
    fs::write(server.path("a.txt"), "bytes").expect("a test's own");
    let announced = format!("name=a.txt\nsize=5\nblake3={}", digest("bytes"));
    for _ in 0..3 {
        let mut client = server.client();
        client.send(put(&announced));
        assert_eq!(client.ok().key("offset"), Some("5"));
        client.send(data(""));
        client.receipt("a.txt", 5);
    }
    let lines = lines(&path);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0]["found"], true);
    remove(&path);
}

#[test]
fn a_journal_that_can_not_be_kept_is_said_at_the_start() {
    let home = tempfile::tempdir().expect("a test's own");
    let (stored, beside) = (home.path().join("stored"), home.path().join("no/journal"));
    fs::create_dir(&stored).expect("a test's own");
    let dir = stored.to_str().expect("a test's own");
    let inside = stored.join("journal");
    let [to_nothing, to_a_file] = ["link 1", "link 2"].map(|name| home.path().join(name));
    fs::write(stored.join("file"), "a client's").expect("a test's own");
    symlink(stored.join("nothing"), &to_nothing).expect("a test's own");
    symlink(stored.join("file"), &to_a_file).expect("a test's own");
    for (journal, why) in [
        (inside.to_str().expect("a test's own"), "clients store into"),
        (to_nothing.to_str().expect("text"), "clients store into"),
        (to_a_file.to_str().expect("text"), "clients store into"),
        (beside.to_str().expect("a test's own"), "No such file"),
        ("/dev/null", "no plain file"),
    ] {
        let ran = piecemeal(&[
            "serve",
            "--bind",
            "127.0.0.1:0",
            "--dir",
            dir,
            "--journal",
            journal,
        ]);
        ran.exits(1).line_with(&["journal", why]);
    }
    let (starter, path) = starter(&[]);
    let _first = starter.start();
    let second = ["--bind", "127.0.0.1:0", "--dir", dir, "--journal"];
    let ran = piecemeal(
        &[
            &["serve"],
            &second[..],
            &[path.to_str().expect("a test's own")],
        ]
        .concat(),
    );
    ran.exits(1).line_with(&["another server writes to it"]);
    remove(&path);
}
