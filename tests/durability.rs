//! What an OK promises: in which order the system is asked for it. What a kill leaves is tried in
//! `kills.rs`, and what a power cut leaves in `power_cuts.rs`.

mod common;

use std::fs;
use std::process::Stdio;

use common::{Server, Starter, can_trace, command, data, data_header, digest, end, put, skipped};

/// Where in a trace a system call began, and where it had ended. A call that another thread's
/// interrupts stands on two lines.
fn span(trace: &[&str], call: &str, part: &str, from: usize) -> (usize, usize) {
    let begins = |line: &str| line.contains(&format!(" {call}(")) && line.contains(part);
    let begin = (from..trace.len()).find(|index| begins(trace[*index]));
    let begin = begin.unwrap_or_else(|| panic!("no {call} with {part} after {from}: {trace:#?}"));
    if !trace[begin].contains("unfinished") {
        return (begin, begin);
    }
    let process = trace[begin].split(' ').next().unwrap_or_default();
    let resumes = |line: &str| line.starts_with(process) && line.contains(" resumed>");
    let end = (begin + 1..trace.len()).find(|index| resumes(trace[*index]));
    (begin, end.expect("a call ends"))
}

/// What is looked at of a commit.
const CALLS: &str = "write,fsync,mkdirat,openat,openat2,linkat,renameat2,sendto";

/// What a server asks the system for while its clients do something; nothing where that can't be
/// traced.
fn traced(scene: impl FnOnce(&Server)) -> Option<String> {
    traced_with(CALLS, &[], scene)
}

/// The same of other calls, with further arguments of strace's.
fn traced_with(calls: &str, further: &[&str], scene: impl FnOnce(&Server)) -> Option<String> {
    if !can_trace() {
        return None;
    }
    let starter = Starter::new(&[]);
    let path = starter.home().join("trace");
    let file = path.to_str().expect("a temporary folder's path is text");
    let calls = format!("trace={calls}");
    let strace = ["strace", "-D", "-f", "-s", "99", "-o", file, "-e", &calls];
    let mut server = starter.under(&[&strace[..], further].concat()).start();
    scene(&server);
    server.stop();
    Some(fs::read_to_string(&path).expect("strace has written"))
}

#[test]
fn the_bytes_the_name_and_the_folder_are_synced_in_this_order_and_only_then_is_ok_said() {
    let Some(trace) = traced(|server| {
        server
            .client()
            .upload("order.txt", b"the bytes of the file")
    }) else {
        return;
    };
    let trace: Vec<&str> = trace.lines().collect();

    // What it tried when it started.
    let (_, start) = span(&trace, "write", "listening on", 0);
    let written = span(&trace, "write", "the bytes of the file", 0);
    let synced = span(&trace, "fsync", "", written.1);
    let named = span(&trace, "linkat", "order.txt", synced.1);
    // The folder's descriptor stands before the name in it.
    let before = trace[named.0].split(", \"order.txt\"").next();
    let folder = before.and_then(|before| before.rsplit(", ").next());
    let folder = format!("fsync({}", folder.expect("a descriptor"));
    let kept = span(&trace, "fsync", &folder, named.1);
    let said = span(&trace, "sendto", "durable=yes", kept.1);
    // Each begins after the one before has ended: that is what searching from its end means. And
    // nothing of the kind went before.
    assert_eq!(span(&trace, "fsync", "", start), synced);
    assert_eq!(span(&trace, "linkat", "order.txt", 0), named);
    assert_eq!(span(&trace, "sendto", "name=order.txt", 0), said);
    // The first sync is of what was written.
    let descriptor = trace[written.0].split(['(', ',']).nth(1);
    let file = format!("fsync({}", descriptor.expect("a descriptor"));
    assert!(trace[synced.0].contains(&file), "{trace:#?}");
}

/// Where no journal holds a folder and its files together, an inode that is used again while the disk
/// still has an old name for it has two after a power cut, and its check takes one of them away.
#[test]
fn without_a_journal_a_name_is_off_the_disk_before_its_file_is_free() {
    let Some(trace) = traced_with("openat,unlinkat,fsync,close", &[], |server| {
        let bytes = [7; 1000];
        let facts = format!("name=b\nsize={}\nupload=id", bytes.len());
        let mut client = server.client();
        client.send([put(facts), data(bytes)].concat());
        assert_eq!(
            [client.reply(), client.reply()].map(|it| it.status().to_owned()),
            ["OK", "OK"]
        );
    }) else {
        return;
    };
    let trace: Vec<&str> = trace.lines().collect();
    let record = |line: &&str| line.contains("id.record\"");
    let of_call = |call: &str, line: &str| line.contains(&format!(" {call}("));
    let at = |from: usize, is: &dyn Fn(&str) -> bool| {
        let found = (from..trace.len()).find(|index| is(trace[*index]));
        found.unwrap_or_else(|| panic!("nothing of the kind after {from}: {trace:#?}"))
    };
    let removed = at(0, &|line| of_call("unlinkat", line) && record(&line));
    let opened = trace[..removed]
        .iter()
        .rposition(|line| line.contains("O_PATH") && record(line));
    let Some(opened) = opened else {
        return match without_journals() {
            true => panic!("it was not held: {trace:#?}"),
            false => skipped("this file system has a journal"),
        };
    };
    // "1234 openat(5, "id.record", O_RDONLY|O_NOFOLLOW|O_CLOEXEC|O_PATH) = 9"
    let held = trace[opened].rsplit("= ").next().expect("it ended");
    let folder = trace[removed].split(['(', ',']).nth(1).expect("a folder");
    let synced = at(removed, &|line| line.contains(&format!(" fsync({folder})")));
    let closed = at(opened, &|line| line.contains(&format!(" close({held})")));
    assert!(synced < closed, "{trace:#?}");
}

const EXT: rustix::fs::FsWord = 0xef53;
const XFS: rustix::fs::FsWord = 0x5846_5342;
const BTRFS: rustix::fs::FsWord = 0x9123_683e;

/// The kind of file system that the tests' folders are on.
fn file_system() -> rustix::fs::FsWord {
    let here = rustix::fs::statfs(std::env::temp_dir()).expect("it is there");
    here.f_type
}

/// Whether nothing on this machine has a journal of ext4's, and the tests' folders are on one.
fn without_journals() -> bool {
    file_system() == EXT
        && fs::read_dir("/proc/fs/jbd2").map_or(true, |mut all| all.next().is_none())
}

/// How often a batch is sent that the server may sync by one call: it does so only while little
/// else on the machine waits for the disk, and where a few files come together.
const TRIES: u32 = 20;

#[test]
fn a_batch_whose_common_sync_fails_is_refused_and_so_is_all_that_comes_later() {
    if !can_trace() {
        return;
    }
    let can_be_calm = can_be_calm();
    for _ in 0..TRIES {
        let starter = Starter::new(&[]);
        let calm = calm(&starter);
        let before = if can_be_calm { &calm[..] } else { &[] };
        let before: Vec<&str> = before.iter().map(|word| &**word).collect();
        let path = starter.home().join("trace");
        let file = path.to_str().expect("a temporary folder's path is text");
        let inject = "inject=syncfs:error=EIO";
        let strace = ["strace", "-D", "-f", "-o", file, "-e", "trace=syncfs"];
        let mut server = starter
            .under(&before)
            .under(&[&strace[..], &["-e", inject]].concat())
            .start();
        let mut client = server.client();
        client.send(
            (0..30)
                .flat_map(|_| data(b"a small file"))
                .collect::<Vec<_>>(),
        );
        client.finish();
        let replies = String::from_utf8_lossy(&client.read_all()).into_owned();
        let stored = replies.matches("OK\nname=").count();
        let unknown = replies.matches("ERR unknown").count();
        let mut later = server.client();
        later.send(data(b"later"));
        let later = later.reply();
        let there = server.names().len();
        server.stop();
        if fs::read_to_string(&path).is_ok_and(|trace| trace.contains("INJECTED")) {
            assert!(stored < 30, "some were in the batch that failed");
            // What was linked and not synced may be there, and nobody was promised it.
            assert!(
                (stored..=stored + unknown).contains(&there),
                "{there}, {replies}"
            );
            assert_eq!(later.status(), "ERR io", "nothing is stored any more");
            return;
        }
        assert_eq!((stored, later.status()), (30, "OK"));
    }
    assert!(!can_be_calm, "no batch is ever synced by one call");
    skipped("the disk is never calm");
}

/// What is put before a server so that it sees, wherever it looks, that nothing waits for the disk.
fn calm(starter: &Starter) -> [String; 5] {
    let table = starter.home().join("meminfo");
    fs::write(&table, "Dirty: 64 kB\nWriteback: 0 kB\n").expect("written");
    let script = format!(
        "mount --bind '{}' /proc/meminfo && exec \"$0\" \"$@\"",
        table.display()
    );
    ["unshare", "-rm", "sh", "-c", &script].map(str::to_owned)
}

/// Whether that can be done here, and `syncfs` is trusted: this kernel's, on this file system.
fn can_be_calm() -> bool {
    let starter = Starter::new(&[]);
    let calm = calm(&starter);
    let tried = command(&calm[0])
        .args(&calm[1..])
        .args(["strace", "-f", "-o", "/dev/null", "true"])
        .stderr(Stdio::null())
        .status();
    let version = rustix::system::uname();
    let version = version.release().to_string_lossy().into_owned();
    let mut numbers = version
        .split(['.', '-'])
        .map_while(|number| number.parse().ok());
    let version: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let is_trusted = version >= (5, 17) && [EXT, XFS, BTRFS].contains(&file_system());
    is_trusted && tried.is_ok_and(|status| status.success())
}

#[test]
fn a_new_folder_is_synced_into_the_one_above_it_before_ok_is_said() {
    let Some(trace) = traced(|server| {
        server
            .client()
            .upload("a/b/order.txt", b"the bytes of the file")
    }) else {
        return;
    };
    let trace: Vec<&str> = trace.lines().collect();
    let (_, start) = span(&trace, "write", "listening on", 0);
    let synced = span(&trace, "fsync", "", start);
    let made = span(&trace, "mkdirat", "\"b\"", synced.1);
    let named = span(&trace, "linkat", "\"order.txt\"", made.1);
    let said = span(&trace, "sendto", "durable=yes", named.1);
    // The two folders' descriptors, and the root's.
    let argument = |at: usize, before: &str| {
        let text = trace[at].split(before).next().unwrap_or_default();
        let text = text.rsplit(['(', ' ']).next().unwrap_or_default();
        text.to_owned()
    };
    let root = argument(span(&trace, "mkdirat", "\"a\"", 0).0, ", \"a\"");
    let above = argument(made.0, ", \"b\"");
    let folder = argument(named.0, ", \"order.txt\"");
    assert!(root != above && above != folder, "{trace:#?}");
    for folder in [root, above, folder] {
        let call = format!("fsync({folder}");
        let kept = span(&trace, "fsync", &call, named.1);
        assert!(kept.1 < said.0, "{trace:#?}");
    }
    assert_eq!(
        synced_folders(&trace[start..]),
        3,
        "each of them once: {trace:#?}"
    );
}

#[test]
fn the_way_to_a_file_that_is_found_is_synced_before_anybody_is_told_that_it_is_there() {
    // By a question that goes before an upload, and by an upload that is whole.
    for (is_asked, telling) in [(true, "offset=9"), (false, "name=a/b/there")] {
        let mut folders = Vec::new();
        let Some(trace) = traced_with(CALLS, &["-y"], |server| {
            let paths = ["a/b/there", "a/b", "a", ""].map(|path| server.path(path));
            let paths = paths.iter().map(|path| path.to_string_lossy().into_owned());
            folders = paths
                .map(|path| path.trim_end_matches('/').to_owned())
                .collect();
            // Nobody has synced it.
            let store = || {
                fs::create_dir_all(server.path("a/b")).expect("made");
                fs::write(server.path("a/b/there"), b"the bytes").expect("written");
            };
            let digest = format!("blake3={}", digest(b"the bytes"));
            let mut client = server.client();
            if is_asked {
                store();
                client.send(put(format!("name=a/b/there\nsize=9\n{digest}")));
                assert_eq!(client.ok().key("offset"), Some("9"));
                client.send(data(b""));
            } else {
                client.send(put("name=a/b/there\nend=explicit"));
                client.ok();
                store();
                client.send([data(b"the bytes"), end(digest)].concat());
                client.ok();
            }
            client.receipt("a/b/there", 9);
        }) else {
            return;
        };
        let trace: Vec<&str> = trace.lines().collect();
        let told = span(&trace, "sendto", telling, 0).0;
        let mut from = 0;
        for path in &folders {
            let synced = span(&trace, "fsync", &format!("<{path}>"), from);
            assert!(synced.1 < told, "{path} is not synced yet: {trace:#?}");
            from = synced.1;
        }
    }
}

/// How many syncs there are of anything but the files that are linked. These are synced a second
/// time where the file system needs it.
fn synced_folders(trace: &[&str]) -> usize {
    let part = |line: &&str, before: &str| {
        let (_, text) = line.split_once(before)?;
        text.split(['"', ')', ' ']).next().map(str::to_owned)
    };
    let files = trace.iter().filter_map(|line| part(line, "/proc/self/fd/"));
    let files: Vec<_> = files.collect();
    let synced = trace.iter().filter_map(|line| part(line, " fsync("));
    synced.filter(|synced| !files.contains(synced)).count()
}

#[test]
fn a_folder_that_is_known_costs_one_sync_and_a_flat_name_opens_none() {
    let Some(trace) = traced(|server| {
        let mut client = server.client();
        client.upload("a/b/1", b"1");
        client.upload("a/b/2", b"2");
        client.upload("flat", b"3");
    }) else {
        return;
    };
    let trace: Vec<&str> = trace.lines().collect();
    let first = span(&trace, "sendto", "name=a/b/1", 0).1;
    let second = span(&trace, "sendto", "name=a/b/2", first).1;
    let third = span(&trace, "sendto", "name=flat", second).1;
    let count = |call: &str, from: usize, to: usize| {
        let calls = trace[from..to].iter();
        calls
            .filter(|line| line.contains(&format!(" {call}(")))
            .count()
    };
    for (from, to) in [(first, second), (second, third)] {
        assert_eq!(synced_folders(&trace[from..to]), 1, "{trace:#?}");
        assert_eq!(count("mkdirat", from, to), 0, "{trace:#?}");
    }
    assert_eq!(count("openat2", second, third), 0, "{trace:#?}");
}

#[test]
fn nothing_that_the_store_opens_is_left_open_for_the_programs_that_a_server_starts() {
    let Some(trace) = traced(|server| {
        for name in ["flat", "a/b/1", "a/b/2"] {
            server.client().upload(name, b"1");
        }
        // Cut off, and gone on with.
        let begun = [&data_header(1, 6)[..], b"123"].concat();
        for (bytes, is_rest) in [(begun, false), (data(b"456"), true)] {
            let mut client = server.client();
            client.send(put("name=kept\nsize=6\nupload=Id_1"));
            client.ok();
            client.send(bytes);
            if is_rest {
                client.receipt("kept", 6);
            } else {
                client.finish();
                client.refused("incomplete");
            }
        }
    }) else {
        return;
    };
    let opens = |line: &&str| line.contains(" openat(") || line.contains(" openat2(");
    let opened: Vec<&str> = trace.lines().filter(opens).collect();
    for part in [
        "O_TMPFILE",
        ".upload\"",
        ".record\"",
        "\"b\"",
        "\".piecemeal\"",
    ] {
        let was = opened.iter().any(|line| line.contains(part));
        assert!(was, "nobody opens {part}: {opened:#?}");
    }
    for line in opened {
        assert!(line.contains("O_CLOEXEC"), "a child has it too: {line}");
    }
}
