//! A disk that is full, and one that fails.
//!
//! Full is made with a limit on the size of files; failing with the help of `strace`, which makes
//! single system calls fail. Where that isn't there, the tests say so and pass.

mod common;

use std::fs;

use common::{Server, Starter, can_trace, data, data_header, end, put, string};

/// More than the limit below lets a file have, and less than what is reserved beforehand.
const TOO_MUCH: usize = 500_000;

/// A server whose files may have 64 blocks: 32 or 64 KiB, depending on the shell.
fn cramped() -> Server {
    Starter::new(&[]).limited("-f 64").start()
}

#[test]
fn a_body_larger_than_any_disk_is_refused_and_the_connection_closes() {
    let server = Server::start(&[]);
    for length in [1 << 63, u64::MAX - 1, u64::MAX] {
        let mut client = server.client();
        client.send([data_header(8, length), vec![0; 300_000]].concat());
        client.refused("no-space");
        client.expect_end();
    }
    server.client().upload("next.txt", b"next");
    assert_eq!(server.names(), ["next.txt"]);
}

#[test]
fn a_size_larger_than_any_disk_is_refused_before_the_bytes_travel() {
    let server = Server::start(&[]);
    let mut client = server.client();
    for size in [i64::MAX as u64, 1 << 63, u64::MAX] {
        client.send([put(format!("name=a.txt\nsize={size}")), data("bytes")].concat());
        client.refused("no-space");
        client.refused("no-space");
    }
    client.upload("next.txt", b"next");
    assert_eq!(server.names(), ["next.txt"]);
}

/// What some file systems do when they are asked for more than they have: they give all of it, then
/// say no, and whatever others write meanwhile fails. So they must not be asked.
#[test]
fn a_size_that_is_not_free_is_refused_without_taking_what_is_free_from_others() {
    let Some(starter) = Starter::new(&[]).on_small_disk("size=16m") else {
        return;
    };
    if !can_trace() {
        return;
    }
    let calls = starter.home().join("calls");
    let path = calls.to_str().expect("a temporary folder's path is text");
    let strace = ["strace", "-D", "-f", "-qq", "-e", "trace=fallocate", "-o"];
    let server = starter.under(&[&strace[..], &[path]].concat()).start();
    let mut client = server.client();
    // The smaller ones are reserved by the loop, the larger ones by another thread.
    for large in [17 << 20, 64 << 20, 10_u64 << 40] {
        client.send(put(format!("name=a.txt\nsize={large}")));
        client.refused("no-space");
        client.send(put(format!("name=a.txt\nsize={large}\nupload=one")));
        client.refused("no-space");
    }
    client.send(put(format!("name=a.txt\nsize={}", 12 << 20)));
    client.ok();
    let calls = fs::read_to_string(calls).expect("strace writes it");
    assert_eq!(calls.lines().count(), 1, "{calls}");
    assert!(calls.contains(&format!("{}", 12 << 20)), "{calls}");
}

#[test]
fn a_disk_that_is_full_in_the_middle_of_a_short_body_lets_the_connection_go_on() {
    let server = cramped();
    let mut client = server.client();
    client.send([string("a.txt"), data(vec![0; TOO_MUCH])].concat());
    client.ok();
    client.refused("no-space");
    client.upload("next.txt", b"next");
    assert_eq!(server.names(), ["next.txt"]);
}

#[test]
fn a_disk_that_is_full_in_the_middle_of_pieces_refuses_their_end_too() {
    let server = cramped();
    let mut client = server.client();
    client.send(put("name=a.txt\nend=explicit"));
    client.send(
        [
            data("first"),
            data(vec![0; TOO_MUCH]),
            data("more"),
            end(""),
        ]
        .concat(),
    );
    client.ok();
    client.ok();
    for _ in 0..3 {
        client.refused("no-space");
    }
    client.upload("next.txt", b"next");
    assert_eq!(server.names(), ["next.txt"]);
}

#[test]
fn a_disk_that_is_full_says_so_to_the_operator_too() {
    let server = cramped();
    let mut client = server.client();
    client.send(data(vec![0; TOO_MUCH]));
    client.refused("no-space");
    server.err.wait_for(|line| line.contains("no space"));
}

#[test]
fn a_folder_that_was_removed_is_the_servers_fault_and_the_connection_goes_on() {
    let server = Server::start(&[]);
    fs::remove_dir_all(server.path("")).unwrap();
    let mut client = server.client();
    for _ in 0..2 {
        client.send([string("a.txt"), data("bytes"), put("name=b.txt\nsize=5")].concat());
        client.refused("io");
        client.refused("io");
        client.refused("io");
    }
    server.err.wait_for(|line| line.contains("create a file"));
}

/// A server whose committing thread gets an error from its `number`-th sync.
fn failing(number: &str) -> Option<Server> {
    if !can_trace() {
        return None;
    }
    let inject = format!("inject=fsync:error=EIO:when={number}");
    // With -D the server is our own child, and strace ends when it does.
    let strace = ["strace", "-D", "-f", "-qq", "-o", "/dev/null"];
    let filter = ["-e", "trace=fsync", "-e", &inject];
    Some(
        Starter::new(&[])
            .under(&[&strace[..], &filter].concat())
            .start(),
    )
}

#[test]
fn a_file_that_can_not_be_synced_is_not_kept_and_nothing_is_promised_afterwards() {
    let Some(server) = failing("1") else { return };
    let mut client = server.client();
    client.send([string("a.txt"), data("bytes")].concat());
    client.ok();
    client.refused("io");
    // The syncs that follow would succeed, and mean nothing.
    client.send([string("b.txt"), data("bytes")].concat());
    client.refused("io");
    client.refused("io");
    client.send(data("bytes"));
    client.refused("io");
    let mut other = server.client();
    other.send(put("name=c.txt\nsize=5"));
    other.refused("io");
    assert!(server.names().is_empty());
    server.err.wait_for(|line| line.contains("sync a file"));
}

#[test]
fn a_folder_that_can_not_be_synced_leaves_it_unknown_whether_the_file_is_safe() {
    let Some(server) = failing("2") else { return };
    let mut client = server.client();
    client.send([string("a.txt"), data("bytes")].concat());
    client.ok();
    client.refused("unknown");
    client.expect_end();
    assert_eq!(server.names(), ["a.txt"], "the file has its name");
    let mut other = server.client();
    other.send(string("b.txt"));
    other.refused("io");
    server.err.wait_for(|line| line.contains("may not keep it"));
}

#[test]
fn a_folder_that_can_not_be_synced_for_a_partial_is_not_trusted_with_files_either() {
    if failing("1").is_none() {
        return;
    }
    let starter = Starter::new(&[]);
    let folder = starter.home().join("stored");
    let folder = folder.to_str().expect("a temporary folder's path is text");
    let strace = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-P", folder];
    let filter = ["-e", "trace=fsync", "-e", "inject=fsync:error=EIO"];
    let server = starter.under(&[&strace[..], &filter].concat()).start();
    let mut client = server.client();
    client.send(put("name=a.bin\nsize=100000\nupload=one"));
    client.ok();
    client.send([data_header(4, 100_000), vec![1; 50_000]].concat());
    client.finish();
    client.refused("incomplete");
    server.err.wait_for(|line| line.contains("can't be kept"));
    // The kernel has told of it once, and would not again.
    let mut other = server.client();
    other.send(string("b.txt"));
    other.refused("io");
}

/// Which of an upload's syncs it is that fails depends on the file system; what may follow doesn't.
#[test]
fn whichever_sync_fails_what_was_promised_is_there_and_nothing_else_but_the_unknown() {
    for number in 3..=8 {
        let Some(server) = failing(&number.to_string()) else {
            return;
        };
        let mut client = server.client();
        let mut promised = Vec::new();
        let (last, code) = loop {
            let name = format!("{}.txt", promised.len());
            client.send([string(&name), data("bytes")].concat());
            client.ok();
            match client.reply().status() {
                "OK" => promised.push(name),
                code => break (name, code.to_owned()),
            }
        };
        match code.as_str() {
            "ERR io" => {}
            "ERR unknown" => promised.push(last),
            other => panic!("{other} at sync {number}"),
        }
        assert_eq!(server.names(), promised, "sync {number}");
    }
}

#[test]
fn whichever_sync_fails_of_a_file_in_new_folders_it_is_never_said_to_be_safe() {
    for number in 1..=4 {
        let Some(server) = failing(&number.to_string()) else {
            return;
        };
        let mut client = server.client();
        client.send([string("a/b/c.txt"), data("bytes")].concat());
        client.ok();
        let reply = client.reply();
        match reply.status() {
            "ERR io" => assert!(!server.path("a/b/c.txt").exists()),
            "ERR unknown" => assert_eq!(server.stored("a/b/c.txt"), b"bytes"),
            other => panic!("{other} at sync {number}"),
        }
        let mut other = server.client();
        other.send(string("b.txt"));
        other.refused("io");
    }
}
