//! Real shortages: a disk that is full, has no inodes or is read-only, a sync that takes long, little
//! memory. Each client is told the right thing, the others go on, and when the shortage is over,
//! so does the server.
//!
//! Small disks are mounted in a namespace that is the server's own, and go with it. What is said of
//! times is only measured, by hand:
//!
//! ```text
//! cargo test --release --test shortages -- --ignored --nocapture
//! ```

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{
    Client, Lines, OnDrop, Server, Starter, can_trace, command, data, data_header, end, put,
    skipped, string, wait_until,
};

/// A server whose folder is a small disk of its own.
fn on_small_disk(options: &str, arguments: &[&str]) -> Option<Server> {
    let starter = Starter::new(arguments).on_small_disk(options)?;
    Some(starter.start())
}

/// A path in the server's folder, as it is seen from outside of its namespace.
fn inside(server: &Server, name: &str) -> PathBuf {
    let root = format!("/proc/{}/root", server.pid().as_raw_nonzero());
    let path = server.path(name);
    PathBuf::from(root).join(path.strip_prefix("/").expect("it is absolute"))
}

fn names(server: &Server) -> Vec<String> {
    let entries = fs::read_dir(inside(server, "")).expect("the folder is there");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let names = names.map(|name| name.into_string().expect("a name that we gave"));
    names.filter(|name| name != ".piecemeal").collect()
}

/// A file's bytes, which no other's are.
fn content(name: &str, size: usize) -> Vec<u8> {
    name.bytes().cycle().take(size).collect()
}

/// Uploads a file in one of several ways; gives the code that it was refused with, if it was.
fn upload(client: &mut Client, name: &str, size: usize, way: usize) -> Option<String> {
    let bytes = content(name, size);
    let (message, replies) = match way % 3 {
        0 => ([string(name), data(&bytes)].concat(), 2),
        1 => {
            let announced = put(format!("name={name}\nsize={size}"));
            ([announced, data(&bytes)].concat(), 2)
        }
        _ => {
            let announced = put(format!("name={name}\nend=explicit"));
            let (one, other) = bytes.split_at(size / 2);
            ([announced, data(one), data(other), end("")].concat(), 4)
        }
    };
    client.send(message);
    let replies: Vec<_> = (0..replies).map(|_| client.reply()).collect();
    let refusal = replies.iter().find(|reply| reply.status() != "OK")?;
    // Whatever follows is answered alike.
    let last = replies.last().expect("there are some");
    assert_eq!(last.status(), refusal.status(), "{replies:?}");
    Some(refusal.status().trim_start_matches("ERR ").to_owned())
}

/// Clients fill the disk until each of them was refused; all that was answered OK is there, and
/// nothing else. Then room is made, and there is service as before.
fn fill(server: &Server, size: usize) {
    let stored: Vec<String> = thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|number| {
                scope.spawn(move || {
                    let mut client = server.client();
                    let mut stored = Vec::new();
                    loop {
                        let name = format!("{number}-{}", stored.len());
                        match upload(&mut client, &name, size, stored.len() + number) {
                            None => stored.push(name),
                            Some(code) => {
                                assert_eq!(code, "no-space");
                                return stored;
                            }
                        }
                    }
                })
            })
            .collect();
        let stored = clients
            .into_iter()
            .map(|client| client.join().expect("it ends well"));
        stored.flatten().collect()
    });
    assert!(!stored.is_empty());
    let mut there = names(server);
    there.sort_unstable();
    let mut expected = stored.clone();
    expected.sort_unstable();
    assert_eq!(there, expected);
    for name in &stored {
        let bytes = fs::read(inside(server, name)).expect("it is there");
        assert!(bytes == content(name, size), "{name}");
        fs::remove_file(inside(server, name)).expect("it is there");
    }
    let mut client = server.client();
    for way in 0..3 {
        assert_eq!(
            upload(&mut client, &format!("after-{way}"), size, way),
            None
        );
    }
    assert!(fs::read_dir(inside(server, ".piecemeal")).map_or(0, Iterator::count) == 0);
}

#[test]
fn a_disk_that_is_full_refuses_and_stores_again_when_there_is_room() {
    for splice in ["never", "always"] {
        if let Some(server) = on_small_disk("size=6m", &["--splice", splice]) {
            fill(&server, 200_000);
        }
    }
}

#[test]
fn a_disk_without_inodes_is_full_and_stores_again_when_there_are_some() {
    if let Some(server) = on_small_disk("size=64m,nr_inodes=60", &[]) {
        fill(&server, 100);
    }
}

#[test]
fn a_disk_that_becomes_read_only_in_the_middle_refuses_until_it_can_be_written_again() {
    let Some(server) = on_small_disk("size=64m", &[]) else {
        return;
    };
    let process = server.pid().as_raw_nonzero().to_string();
    let remount = |mode: &str| {
        let mut remount = command("nsenter");
        remount.args(["-t", &process, "-U", "-m", "--preserve-credentials"]);
        remount.args(["mount", "-o", &format!("remount,{mode}")]);
        let status = remount.arg(server.path("")).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    if !remount("rw") {
        return skipped("no disk can be mounted anew here");
    }
    let (refused, ended) = (AtomicUsize::new(0), AtomicBool::new(false));
    let stored: Vec<String> = thread::scope(|scope| {
        let (server, refused, ended) = (&server, &refused, &ended);
        let clients: Vec<_> = (0..3)
            .map(|number| {
                scope.spawn(move || {
                    let (mut client, mut stored) = (server.client(), Vec::new());
                    for file in 0.. {
                        if ended.load(Ordering::Acquire) {
                            break;
                        }
                        let name = format!("{number}-{file}");
                        match upload(&mut client, &name, 5000, file + number) {
                            None => stored.push(name),
                            Some(code) => {
                                assert_eq!(code, "io");
                                refused.fetch_add(1, Ordering::AcqRel);
                            }
                        }
                    }
                    stored
                })
            })
            .collect();
        let ends = OnDrop(|| ended.store(true, Ordering::Release));
        // Not while a file is open to be written.
        wait_until("it is read-only", || remount("ro"));
        wait_until("some are refused", || refused.load(Ordering::Acquire) >= 10);
        assert!(remount("rw"));
        let before = names(server).len();
        wait_until("some are stored", || names(server).len() > before + 10);
        drop(ends);
        let stored = clients
            .into_iter()
            .map(|client| client.join().expect("it ends well"));
        stored.flatten().collect()
    });
    let there = names(&server);
    assert_eq!(there.len(), stored.len());
    for name in stored {
        let bytes = fs::read(inside(&server, &name)).expect("it is there");
        assert!(bytes == content(&name, 5000), "{name}");
    }
}

/// A server whose syncs take so long, each; nothing where that can't be arranged.
fn slow_to_sync(delay: &str, further: &[&str]) -> Option<Server> {
    if !can_trace() {
        return None;
    }
    let calls = "fsync,fdatasync,syncfs";
    let strace = ["strace", "-D", "-f", "-qq", "-o", "/dev/null"];
    let trace = format!("trace={calls}");
    let inject = format!("inject={calls}:delay_enter={delay}");
    let filter = ["-e", &trace, "-e", &inject];
    Some(
        Starter::new(&[])
            .under(&[&strace[..], further, &filter].concat())
            .start(),
    )
}

/// Makes the syncs of a server that runs already take so long: it syncs when it starts, too. Whether that
/// can be arranged; else it is said.
fn slow_down(server: &Server, delay: &str) -> bool {
    let process = server.pid().as_raw_nonzero().to_string();
    let calls = "fsync,fdatasync,syncfs";
    let mut strace = command("strace")
        .args(["-f", "-o", "/dev/null", "-p", &process])
        .args(["-e", &format!("trace={calls}")])
        .args(["-e", &format!("inject={calls}:delay_enter={delay}")])
        .stderr(Stdio::piped())
        .spawn()
        .expect("it was tried before");
    let said = Lines::of(strace.stderr.take().expect("it is a pipe"));
    let is_attached = said.wait_for(|_| true).contains("attached");
    if !is_attached {
        skipped("strace can't be attached here");
    }
    // It ends with the server, or before.
    thread::spawn(move || strace.wait());
    is_attached
}

/// Makes a tracer stop the server for the calls that matter only. It can't be taken away again:
/// these calls would fail then.
const QUICKLY: &[&str] = &["--seccomp-bpf"];

/// Begins an upload whose receipt waits for the disk.
fn wait_for_the_disk(server: &Server, name: &str) -> Client {
    let mut client = server.client();
    // Sent at once, the first OK would come with the receipt.
    client.send(string(name));
    client.ok();
    client.send(data("bytes"));
    client
}

#[test]
fn a_disk_that_never_ends_a_sync_holds_up_nobody_who_needs_none() {
    if !can_trace() {
        return;
    }
    let server = Server::start(&[]);
    // Longer than any test.
    if !slow_down(&server, "1000s") {
        return;
    }
    let mut waiting = wait_for_the_disk(&server, "a.txt");
    let mut client = server.client();
    for number in 0..20 {
        client.send(string("."));
        client.refused("bad-name");
        client.send(put(format!("name={number}\nsize=5\n")));
        client.ok();
    }
    // A large body goes on coming, and so does the next.
    client.send(put("name=large\nend=explicit"));
    client.ok();
    for _ in 0..3 {
        client.send(data(vec![7; 10 << 20]));
        client.ok();
    }
    assert!(
        server.names().is_empty(),
        "nothing has a name before its sync"
    );
    server.end_tracing();
    waiting.receipt("a.txt", 5);
}

/// What half of these took at most, what all but a hundredth, and what the longest.
fn quantiles(mut took: Vec<Duration>) -> String {
    took.sort_unstable();
    let at = |part: usize| took[(took.len() - 1) * part / 100];
    format!(
        "{} times: p50 {:?}, p99 {:?}, max {:?}",
        took.len(),
        at(50),
        at(99),
        at(100)
    )
}

#[test]
#[ignore = "measures, for half a minute"]
fn what_others_wait_while_a_sync_takes_two_seconds() {
    for delay in ["0s", "2s"] {
        let Some(server) = slow_to_sync(delay, QUICKLY) else {
            return;
        };
        let (mut texts, mut puts, mut pieces) = (Vec::new(), Vec::new(), Vec::new());
        let ended = AtomicBool::new(false);
        thread::scope(|scope| {
            let (server, ended) = (&server, &ended);
            scope.spawn(move || {
                for number in 0.. {
                    if ended.load(Ordering::Acquire) {
                        break;
                    }
                    let mut waiting = wait_for_the_disk(server, &format!("wait-{number}"));
                    waiting.ok();
                }
            });
            let ends = OnDrop(|| ended.store(true, Ordering::Release));
            let mut client = server.client();
            let mut large = server.client();
            large.send(put("name=large\nend=explicit"));
            large.ok();
            let began = Instant::now();
            while began.elapsed() < Duration::from_secs(12) {
                let time = |took: &mut Vec<Duration>, work: &mut dyn FnMut()| {
                    let began = Instant::now();
                    work();
                    took.push(began.elapsed());
                };
                time(&mut texts, &mut || {
                    client.send(string("."));
                    client.refused("bad-name");
                });
                time(&mut puts, &mut || {
                    client.send(put("name=announced\nsize=5"));
                    client.ok();
                });
                if large_is_short(pieces.len()) {
                    time(&mut pieces, &mut || {
                        large.send(data(vec![7; 1 << 20]));
                        large.ok();
                    });
                }
            }
            drop(ends);
        });
        skipped(&format!(
            "a sync takes {delay} more: a refused name {}; PUT {}; 1 MiB {}",
            quantiles(texts),
            quantiles(puts),
            quantiles(pieces)
        ));
    }
}

/// No more than a gigabyte.
fn large_is_short(pieces: usize) -> bool {
    pieces < 1024
}

/// A group of processes that may have so much memory, caches included.
struct Group(PathBuf);

impl Group {
    fn new(bytes: u64) -> Option<Group> {
        let path = format!("/sys/fs/cgroup/memory/piecemeal-{}", std::process::id());
        let group = Group(path.into());
        fs::create_dir(&group.0).ok()?;
        fs::write(group.0.join("memory.limit_in_bytes"), bytes.to_string()).ok()?;
        Some(group)
    }

    fn peak(&self) -> String {
        fs::read_to_string(self.0.join("memory.max_usage_in_bytes")).unwrap_or_default()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // It may still hold a process that is about to end; then it stays, empty.
        let _ = fs::remove_dir(&self.0);
    }
}

/// Gibibytes that are sent; `PIECEMEAL_GIB` sets another number.
const GIB: usize = 5;
/// Connections that stand still in the middle of a header.
const CONNECTIONS: usize = 9000;

#[test]
#[ignore = "needs root and takes minutes"]
fn gibibytes_and_thousands_of_connections_fit_into_64_mib() {
    let Some(group) = Group::new(64 << 20) else {
        return skipped("no limited group of processes can be made here");
    };
    let set = std::env::var("PIECEMEAL_GIB")
        .ok()
        .and_then(|gib| gib.parse().ok());
    let gib: usize = set.unwrap_or(GIB);
    let server = Server::start(&["--durability", "none", "--header-timeout", "0"]);
    fs::write(
        group.0.join("cgroup.procs"),
        server.pid().as_raw_nonzero().to_string(),
    )
    .unwrap();
    piecemeal_limit();
    let mut client = server.client();
    let block = vec![7; 1 << 20];
    client.send(put("name=large"));
    client.ok();
    client.send(data_header(8, (gib as u64) << 30));
    for _ in 0..gib << 10 {
        client.send(&block);
    }
    client.receipt("large", gib << 30);
    let connections: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let mut client = server.client();
            client.send([16, 200]);
            client
        })
        .collect();
    client.upload("small", b"bytes");
    skipped(&format!(
        "{gib} GiB and {} connections: at most {} bytes",
        connections.len(),
        group.peak().trim()
    ));
    drop(connections);
    client.upload("later", b"bytes");
    drop(server);
}

/// This process needs as many descriptors as the server.
fn piecemeal_limit() {
    piecemeal::server::raise_descriptor_limit();
}
