//! Uploads that are cut off and gone on with, over real connections and across a server's death.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use common::{
    Client, Reply, Server, Starter, command, data, data_header, digest, end, put, skipped,
    wait_until,
};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rustix::process::Signal;

/// Bytes that have no pattern; the same each time.
fn noise(size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    SmallRng::seed_from_u64(5).fill_bytes(&mut bytes);
    bytes
}

fn announce(name: &str, size: usize) -> Vec<u8> {
    put(format!("name={name}\nsize={size}\nupload=Id_1"))
}

fn offset(reply: &Reply) -> usize {
    let offset = reply.key("offset").expect("a PUT's reply has it");
    offset.parse().expect("a number")
}

/// Announces an upload and gives the offset that it goes on from.
fn resume(client: &mut Client, announcement: &[u8]) -> usize {
    client.send(announcement);
    offset(&client.ok())
}

/// Sends `sent` bytes of what is left and breaks off, once the server has them.
fn break_off(server: &Server, bytes: &[u8], sent: usize) {
    let mut client = server.client();
    let from = resume(&mut client, &announce("a.bin", bytes.len()));
    client.send(data_header(8, (bytes.len() - from) as u64));
    client.send(&bytes[from..from + sent]);
    client.finish();
    let reply = client.refused("incomplete");
    assert!(reply.text().contains("kept"), "{reply}");
    client.expect_end();
}

/// Sends all that is left, and gives how much that was.
fn complete(server: &Server, bytes: &[u8]) -> usize {
    let mut client = server.client();
    let from = resume(&mut client, &announce("a.bin", bytes.len()));
    client.send(data(&bytes[from..]));
    client.receipt("a.bin", bytes.len());
    assert!(server.stored("a.bin") == bytes);
    bytes.len() - from
}

/// A path in the server's work folder.
fn in_work(server: &Server, name: &str) -> PathBuf {
    server.path(".piecemeal").join(name)
}

/// What an upload of the id `Id_1` is called there.
const FILE: &str = "+id_1.upload";

#[test]
fn an_upload_that_was_cut_off_twice_goes_on_and_no_byte_is_sent_twice() {
    let server = Server::start(&[]);
    let bytes = noise(3_000_000);
    break_off(&server, &bytes, 1_000_000);
    assert!(server.names().is_empty(), "nobody sees a part of it");
    break_off(&server, &bytes, 1_500_000);
    assert_eq!(complete(&server, &bytes), 500_000);
    assert!(!in_work(&server, FILE).exists());
}

#[test]
fn a_connection_that_is_reset_leaves_what_the_server_has_read() {
    let server = Server::start(&[]);
    let bytes = noise(300_000);
    let mut client = server.client();
    resume(&mut client, &announce("a.bin", bytes.len()));
    client.send(data_header(8, bytes.len() as u64));
    client.send(&bytes[..100_000]);
    client.reset();
    // How much that is, only the server knows: the reset may have overtaken some of it.
    let left = complete(&server, &bytes);
    assert!((200_000..=bytes.len()).contains(&left), "{left}");
}

/// Sends the first part of an upload, and waits until the server has all of it.
fn send_first_part(server: &Server, bytes: &[u8], part: usize) -> Client {
    let mut client = server.client();
    assert_eq!(resume(&mut client, &announce("a.bin", bytes.len())), 0);
    client.send(data_header(8, bytes.len() as u64));
    client.send(&bytes[..part]);
    let path = in_work(server, FILE);
    wait_until("it has come", || {
        fs::metadata(&path).is_ok_and(|file| file.len() == part as u64)
    });
    client
}

#[test]
fn an_upload_goes_on_after_the_server_was_killed() {
    let bytes = noise(2_000_000);
    let mut server = Server::start(&[]);
    let _client = send_first_part(&server, &bytes, 1_200_000);
    server = server.killed(&[]).start();
    break_off(&server, &bytes, 300_000);
    server = server.killed(&[]).start();
    assert_eq!(complete(&server, &bytes), 500_000);
}

#[test]
fn an_upload_goes_on_after_the_server_was_stopped_in_the_middle() {
    let bytes = noise(200_000);
    let mut server = Server::start(&["--shutdown-timeout", "1ms"]);
    let mut client = send_first_part(&server, &bytes, 120_000);
    server.signal(Signal::TERM);
    client.refused("shutdown");
    server.wait();
    let server = server.killed(&[]).start();
    assert_eq!(complete(&server, &bytes), 80_000);
}

#[test]
fn who_announces_an_upload_takes_it_over_and_the_connection_before_ends() {
    for workers in ["1", "3"] {
        let server = Server::start(&["--workers", workers]);
        let bytes = noise(100_000);
        let mut before = server.client();
        let mut sent = resume(&mut before, &announce("a.bin", bytes.len()));
        for _ in 0..8 {
            // In one piece, which the system doesn't hold back.
            let header = data_header(8, (bytes.len() - sent) as u64);
            before.send([&header, &bytes[sent..sent + 10_000]].concat());
            sent += 10_000;
            let mut next = server.client();
            let from = resume(&mut next, &announce("a.bin", bytes.len()));
            // What was on its way is read before the first one ends.
            assert_eq!(from, sent);
            let reply = before.refused("bad-state");
            assert!(reply.text().contains("another connection"), "{reply}");
            before.expect_end();
            before = next;
        }
        before.send(data_header(8, (bytes.len() - sent) as u64));
        before.send(&bytes[sent..]);
        before.receipt("a.bin", bytes.len());
        assert!(server.stored("a.bin") == bytes);
    }
}

#[test]
fn two_who_send_one_upload_at_once_store_it_once_and_whole() {
    let server = Server::start(&["--workers", "2"]);
    let bytes = noise(400_000);
    let (server, bytes) = (&server, &bytes);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(move || {
                for _ in 0..5 {
                    let mut client = server.client();
                    client.send_quietly(announce("a.bin", bytes.len()));
                    let reply = client.reply();
                    if reply.status() != "OK" {
                        // It is there, or was taken over while it was opened.
                        assert!(
                            ["ERR exists", "ERR bad-state"].contains(&reply.status()),
                            "{reply}"
                        );
                        continue;
                    }
                    client.send_quietly(data(&bytes[offset(&reply)..]));
                    client.finish_quietly();
                    client.read_what_comes();
                }
            });
        }
    });
    if !server.path("a.bin").exists() {
        complete(server, bytes);
    }
    assert!(server.stored("a.bin") == *bytes);
    assert_eq!(server.names(), ["a.bin"]);
}

#[test]
fn another_name_or_size_is_refused_and_the_upload_goes_on_under_its_own() {
    let server = Server::start(&[]);
    let bytes = noise(5000);
    let mut holder = server.client();
    resume(&mut holder, &announce("a.bin", bytes.len()));
    let mut client = server.client();
    for (announcement, what) in [
        (announce("b.bin", bytes.len()), "name"),
        (announce("a.bin", 7), "size"),
    ] {
        client.send([announcement, data("skipped")].concat());
        let reply = client.refused("bad-state");
        assert!(reply.text().contains(what), "{reply}");
        client.refused("bad-state");
    }
    // The holder has heard nothing of it.
    holder.send(data(&bytes));
    holder.receipt("a.bin", bytes.len());
    let mut client = server.client();
    for id in ["", ".", "a b", "../x", &"x".repeat(65)] {
        client.send(put(format!("name=c\nupload={id}")));
        client.refused("bad-text");
    }
}

#[test]
fn a_digest_that_differs_begins_the_upload_again_from_zero_once() {
    let server = Server::start(&[]);
    let bytes = noise(100_000);
    break_off(&server, &bytes, 60_000);
    wait_until("it is put away", || is_put_away(&server));
    // As a disk that forgets, or a person: the length and the time are as they were.
    let path = in_work(&server, FILE);
    let modified = fs::metadata(&path)
        .and_then(|file| file.modified())
        .expect("it is there");
    let mut changed = fs::read(&path).expect("it is there");
    changed[5] ^= 1;
    fs::write(&path, changed).expect("ours");
    let file = fs::File::open(&path).expect("it is there");
    file.set_modified(modified).expect("ours");
    let announcement = put(format!(
        "name=a.bin\nsize={}\nupload=Id_1\nblake3={}",
        bytes.len(),
        digest(&bytes)
    ));
    let mut client = server.client();
    let from = resume(&mut client, &announcement);
    assert_eq!(from, 60_000);
    client.send(data(&bytes[from..]));
    client.refused("digest");
    assert_eq!(resume(&mut client, &announcement), 0);
    client.send(data(&bytes));
    client.receipt("a.bin", bytes.len());
    assert!(server.stored("a.bin") == bytes);
}

/// Whether nobody writes the upload, and its record says so.
fn is_put_away(server: &Server) -> bool {
    let record = in_work(server, FILE.replace(".upload", ".record").as_str());
    fs::read_to_string(record).is_ok_and(|record| record.contains("state=closed"))
}

#[test]
fn a_stream_of_unknown_size_goes_on_too_and_its_end_is_about_the_whole() {
    let server = Server::start(&[]);
    let bytes = noise(50_000);
    let announcement = put("name=log\nend=explicit\nupload=Id_1");
    let mut client = server.client();
    assert_eq!(resume(&mut client, &announcement), 0);
    client.send(data(&bytes[..20_000]));
    client.ok();
    client.send([data_header(4, 20_000), bytes[20_000..25_000].to_vec()].concat());
    client.finish();
    client.refused("incomplete");
    let mut client = server.client();
    assert_eq!(resume(&mut client, &announcement), 25_000);
    client.send(data(&bytes[25_000..]));
    client.ok();
    client.send(end(format!(
        "size={}\nblake3={}",
        bytes.len(),
        digest(&bytes)
    )));
    client.receipt("log", bytes.len());
    assert!(server.stored("log") == bytes);
}

#[test]
fn a_retry_of_what_was_stored_is_told_so() {
    let server = Server::start(&[]);
    let bytes = noise(2_000_000);
    let announcement = put(format!(
        "name=a.bin\nsize={}\nupload=Id_1\nblake3={}",
        bytes.len(),
        digest(&bytes)
    ));
    let mut client = server.client();
    assert_eq!(resume(&mut client, &announcement), 0);
    client.send(data(&bytes));
    // Its client is gone before the receipt; the next asks while the file may be being stored.
    client.finish();
    drop(client);
    let mut client = server.client();
    let from = resume(&mut client, &announcement);
    client.send(data(&bytes[from..]));
    client.receipt("a.bin", bytes.len());
    assert_eq!(server.names(), ["a.bin"]);
}

#[test]
fn a_server_that_keeps_no_partials_begins_each_upload_at_0() {
    let server = Server::start(&["--partial-ttl", "0"]);
    server
        .err
        .wait_for(|line| line.contains("partials not kept"));
    let bytes = noise(1000);
    let mut client = server.client();
    assert_eq!(resume(&mut client, &announce("a.bin", bytes.len())), 0);
    client.send(data_header(8, bytes.len() as u64));
    client.send(&bytes[..500]);
    client.finish();
    let reply = client.refused("incomplete");
    assert!(reply.text().contains("nothing was kept"), "{reply}");
    assert_eq!(complete(&server, &bytes), 1000);
}

#[test]
fn what_is_abandoned_for_longer_than_the_time_is_swept_at_the_start_and_while_it_runs() {
    let starter = Starter::new(&[]);
    let work = starter.home().join("stored/.piecemeal");
    let leave = |name: &str, age: u64| {
        // A server takes the folder away when it is empty.
        fs::create_dir_all(&work).expect("it can be made");
        for ending in ["upload", "record"] {
            let file = fs::File::create(work.join(format!("{name}.{ending}"))).expect("ours");
            let then = SystemTime::now() - Duration::from_secs(age);
            file.set_modified(then).expect("ours");
        }
    };
    let is_there = |name: &str| {
        let mut endings = ["upload", "record"].into_iter();
        endings.any(|ending| work.join(format!("{name}.{ending}")).exists())
    };
    leave("old", 25 * 60 * 60);
    leave("new", 23 * 60 * 60);
    let server = starter.start();
    server.err.wait_for(|line| line.contains("partials 1day"));
    assert!(!is_there("old") && is_there("new"));
    let _server = server.killed(&["--partial-ttl", "4s"]).start();
    assert!(!is_there("new"));
    leave("later", 0);
    wait_until("it is swept", || !is_there("later"));
}

/// It was complete, had the permissions that its sender chose, and its server died then.
#[test]
fn a_partial_that_its_owner_may_not_open_keeps_no_server_from_starting() {
    let starter = Starter::new(&[]);
    let work = starter.home().join("stored/.piecemeal");
    fs::create_dir_all(&work).expect("it can be made");
    for name in ["a.part", "b.upload", "b.record", "c.part"] {
        fs::write(work.join(name), "").expect("ours");
    }
    let closed = fs::Permissions::from_mode(0o000);
    fs::set_permissions(work.join("b.upload"), closed).expect("ours");
    // Who may open everything shows nothing.
    let mut less = &[
        "setpriv",
        "--bounding-set",
        "-dac_override,-dac_read_search",
    ][..];
    if rustix::process::geteuid().is_root() {
        let mut tried = command(less[0]);
        let tried = tried.args(&less[1..]).arg("true").status();
        if !tried.is_ok_and(|status| status.success()) {
            return skipped("nobody here who may not open everything");
        }
    } else {
        less = &[];
    }
    let server = starter.under(less).start();
    // Nobody can go on with it, and the others are swept as ever.
    wait_until("they are gone", || !work.exists());
    drop(server);
}

#[test]
fn a_disk_that_is_full_in_the_middle_keeps_nothing_of_the_upload() {
    let server = Starter::new(&[]).limited("-f 64").start();
    let bytes = noise(500_000);
    let announcement = put("name=a.bin\nupload=Id_1");
    let mut client = server.client();
    resume(&mut client, &announcement);
    client.send(data(&bytes));
    client.refused("no-space");
    assert_eq!(resume(&mut client, &announcement), 0);
}
