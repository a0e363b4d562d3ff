//! What a server takes in all: the folder's quota and the disk's free space, connections of one
//! address, and the rate of all together; and the rate of a client.
//!
//! Of times only one thing is said: that a limited rate takes at least as long as it has to. A slow
//! machine makes that longer, never shorter.

mod common;

use std::fs;
use std::time::{Duration, Instant};

use common::{
    Client, Server, Starter, data, data_eof, data_header, digest, end, piecemeal,
    piecemeal_with_input, put, string, wait_until,
};

/// Bytes of the stored files.
fn stored_bytes(server: &Server) -> u64 {
    let size = |name: &String| fs::metadata(server.path(name)).expect("it is there").len();
    server.names().iter().map(size).sum()
}

#[test]
fn the_limits_are_said_at_the_start() {
    let arguments = [
        ["--quota", "10KiB"],
        ["--min-free", "1KiB"],
        ["--max-per-ip", "7"],
        ["--limit-rate", "10MiB/s"],
    ];
    let starter = Starter::new(&arguments.concat());
    fs::write(starter.home().join("stored/before"), [1; 2048]).expect("it is new");
    let server = starter.start();
    let line = server.err.wait_for(|line| line.starts_with("limits: "));
    let whole = "; from one address 7; all together 10.0 MiB/s; quota 10.0 KiB, of which 2.0 KiB \
                 are used; free space left 1.0 KiB";
    assert!(line.ends_with(whole), "{line}");
}

#[test]
fn what_just_fits_the_quota_is_stored_and_one_byte_more_is_refused_before_it_travels() {
    let server = Server::start(&["--quota", "1000"]);
    let mut client = server.client();
    client.upload("first", &[1; 400]);
    client.send(put("name=second\nsize=601"));
    let refused = client.refused("no-space");
    assert_eq!(refused.key("limit"), Some("1000"));
    assert!(refused.key("text").expect("a text").contains("folder"));
    // Nor is a size believed that comes with the bytes.
    client.send([string("second"), data([1; 601])].concat());
    client.ok();
    client.refused("no-space");
    client.send(data([1; 601]));
    client.refused("no-space");
    client.upload("second", &[1; 600]);
    client.upload("empty", &[]);
    client.send(data([1]));
    client.refused("no-space");
    assert_eq!(stored_bytes(&server), 1000);
    server.err.wait_for(|line| line.contains("quota"));
}

#[test]
fn a_stream_that_reaches_the_quota_in_the_middle_leaves_nothing_and_others_go_on() {
    for splice in ["never", "always"] {
        let server = Server::start(&["--quota", "1000000", "--accept-eof", "--splice", splice]);
        let mut client = server.client();
        client.send(put("name=pieces\nend=explicit"));
        client.send(
            [
                data(vec![1; 600_000]),
                data(vec![1; 400_001]),
                data("more"),
                end(""),
            ]
            .concat(),
        );
        client.ok();
        client.ok();
        for _ in 0..3 {
            assert_eq!(client.refused("no-space").key("limit"), Some("1000000"));
        }
        client.upload("small", b"small");
        let mut stream = server.client();
        stream.send([string("stream"), data_eof(vec![1; 1_500_000])].concat());
        stream.finish();
        stream.ok();
        stream.refused("no-space");
        stream.expect_end();
        assert_eq!(server.names(), ["small"]);
        // All that they had is there for others, to the last byte.
        let rest = vec![2; 1_000_000 - 5];
        client.send(put("name=rest\nend=explicit"));
        client.send([data(&rest), end(format!("blake3={}", digest(&rest)))].concat());
        client.ok();
        client.ok();
        client.receipt("rest", rest.len());
    }
}

#[test]
fn a_stream_that_could_be_resumed_does_not_keep_the_folder_full_that_refused_it() {
    let server = Server::start(&["--quota", "1000"]);
    let mut client = server.client();
    client.send(put("name=pieces\nend=explicit\nupload=one"));
    client.ok();
    client.send([data([1; 600]), data([1; 600]), end("")].concat());
    client.ok();
    for _ in 0..2 {
        client.refused("no-space");
    }
    client.upload("other", &[2; 1000]);
    assert_eq!(server.names(), ["other"]);
}

#[test]
fn an_upload_that_fails_gives_back_what_was_reserved_for_it() {
    let server = Server::start(&["--quota", "20000000"]);
    for (size, part) in [(15_000, 10), (15_000_000, 300_000)] {
        let mut client = server.client();
        client.send(put(format!(
            "name=wrong\nsize={size}\nblake3={}",
            digest("other")
        )));
        client.ok();
        client.send(data(vec![1; size]));
        client.refused("digest");
        let mut dying = server.client();
        dying.send(put(format!("name=dying\nsize={size}")));
        dying.ok();
        dying.send([data_header(8, size as u64), vec![1; part]].concat());
        client.send(put("name=meanwhile\nsize=19999000"));
        client.refused("no-space");
        dying.finish();
        dying.refused("incomplete");
        // The same once more, but for the end.
        client.send(put("name=large\nsize=20000000"));
        client.ok();
        client.send(put("name=another\nsize=20000000"));
        client.ok();
        // Nor does an upload that is open keep anything when its connection turns elsewhere.
        client.send(put("name=."));
        client.refused("bad-name");
    }
    assert!(server.names().is_empty());
}

#[test]
fn a_file_that_is_replaced_makes_room_for_others() {
    let server = Server::start(&["--quota", "1000", "--on-conflict", "overwrite"]);
    let mut client = server.client();
    client.upload("a", &[1; 500]);
    client.upload("a", &[2; 100]);
    client.upload("b", &[1; 900]);
    assert_eq!(stored_bytes(&server), 1000);
}

#[test]
fn many_at_once_never_pass_the_quota_nor_stay_below_it() {
    for workers in ["1", "2"] {
        let server = Server::start(&["--quota", "500000", "--workers", workers]);
        std::thread::scope(|scope| {
            for number in 0..8 {
                let mut client = server.client();
                scope.spawn(move || {
                    for file in 0..20 {
                        let name = format!("{number}-{file}");
                        client.send([string(name), data([7; 10_000])].concat());
                        let (begun, stored) = (client.reply(), client.reply());
                        for reply in [begun, stored] {
                            assert!(["OK", "ERR no-space"].contains(&reply.status()), "{reply}");
                        }
                    }
                });
            }
        });
        assert_eq!(server.names().len(), 50, "with {workers}");
        assert_eq!(stored_bytes(&server), 500_000);
    }
}

#[test]
fn room_that_somebody_makes_is_found_without_a_restart() {
    let server = Server::start(&["--quota", "1000"]);
    let mut client = server.client();
    client.upload("full", &[1; 1000]);
    client.send(put("name=next\nsize=600"));
    client.refused("no-space");
    fs::remove_file(server.path("full")).expect("it is there");
    wait_until("it is counted again", || {
        client.send(put("name=next\nsize=600"));
        let reply = client.reply();
        assert!(["OK", "ERR no-space"].contains(&reply.status()), "{reply}");
        reply.status() == "OK"
    });
    client.send(data([1; 600]));
    client.receipt("next", 600);
}

#[test]
fn nothing_is_taken_where_more_has_to_stay_free_than_there_is() {
    let server = Server::start(&["--min-free", "9000000000000000000"]);
    let mut client = server.client();
    client.send([put("name=a\nsize=1"), string("a")].concat());
    for _ in 0..2 {
        let refused = client.refused("no-space");
        assert_eq!(refused.key("limit"), Some("9000000000000000000"));
        assert!(refused.key("text").expect("a text").contains("free space"));
    }
    client.send(data("bytes"));
    client.refused("no-space");
    assert!(server.names().is_empty());
    server.err.wait_for(|line| line.contains("free space"));
}

#[test]
fn a_disk_keeps_its_free_space() {
    let starter = Starter::new(&["--min-free", "8MiB", "--accept-eof"]);
    let Some(starter) = starter.on_small_disk("size=16m") else {
        return;
    };
    let server = starter.start();
    let mut client = server.client();
    client.upload("first", &vec![1; 4 << 20]);
    // 12 MiB are free, and 8 have to stay so.
    client.send(put(format!("name=large\nsize={}", 5 << 20)));
    assert_eq!(client.refused("no-space").key("limit"), Some("8388608"));
    let mut stream = server.client();
    stream.send([string("stream"), data_eof(vec![1; 6 << 20])].concat());
    stream.finish();
    stream.ok();
    stream.refused("no-space");
    client.upload("second", &vec![1; 3 << 20]);
    client.send(put(format!("name=third\nsize={}", 2 << 20)));
    client.refused("no-space");
    client.upload("fourth", b"fits");
}

#[test]
fn an_address_has_so_many_connections_and_others_have_theirs() {
    for workers in ["1", "3"] {
        let server = Server::start(&["--max-per-ip", "2", "--workers", workers]);
        let mut clients = [server.client(), server.client()];
        for (number, client) in clients.iter_mut().enumerate() {
            client.upload(&format!("{number}"), b"bytes");
        }
        let mut third = server.client();
        let refused = third.refused("busy");
        assert_eq!(refused.key("retry"), Some("2"));
        assert!(refused.key("text").expect("a text").contains("one address"));
        third.expect_end();
        Client::connect_from([127, 0, 0, 2], server.address()).upload("elsewhere", b"bytes");
        let [first, mut second] = clients;
        drop(first);
        // The server hears of that when it hears of it.
        server.upload_when_there_is_room("again");
        second.upload("still", b"served");
    }
}

/// The least time that so many bytes take at a rate, an eighth of a second's bytes being free.
fn least_time(bytes: usize, rate: u32) -> Duration {
    let paid = u32::try_from(bytes).expect("a small file") - rate / 8;
    Duration::from_secs(1) * paid / rate
}

#[test]
fn a_server_takes_no_more_than_its_rate_from_all_together_however_it_reads() {
    for splice in ["never", "always"] {
        let server = Server::start(&["--limit-rate", "2MB", "--splice", splice]);
        let began = Instant::now();
        std::thread::scope(|scope| {
            for number in 0..4 {
                let mut client = server.client();
                scope.spawn(move || client.upload(&format!("{number}"), &vec![number; 300_000]));
            }
        });
        let took = began.elapsed();
        assert!(
            took >= least_time(1_200_000, 2_000_000),
            "{splice}: {took:?}"
        );
        for number in 0..4 {
            assert!(server.stored(&format!("{number}")) == vec![number; 300_000]);
        }
    }
}

#[test]
fn who_is_held_back_is_not_cut_for_standing_still() {
    // A turn comes each 125 ms, so that the server lets them all stand still for longer than this.
    let timeouts = ["--stall-timeout", "60ms", "--min-rate", "1GB"];
    let server = Server::start(&[&["--limit-rate", "100KB"], timeouts.as_slice()].concat());
    // What is sent at once lies in the server's system, whatever the clients do.
    let mut clients = [server.client(), server.client()];
    for (number, client) in clients.iter_mut().enumerate() {
        client.send([string(format!("{number}")), data([1; 30_000])].concat());
    }
    for (number, client) in clients.iter_mut().enumerate() {
        client.ok();
        client.receipt(&format!("{number}"), 30_000);
    }
    // It is not that nobody is cut any more.
    let mut silent = server.client();
    silent.send([string("silent"), data_header(4, 100_000), vec![1; 100]].concat());
    silent.ok();
    assert_eq!(silent.refused("timeout").key("what"), Some("body"));
}

#[test]
fn a_client_sends_no_faster_than_it_is_told_however_it_sends() {
    let server = Server::start(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    for (number, way) in [
        &[][..],
        &["--no-sendfile"],
        &["--no-verify"],
        &["--pieces", "1,2,3"],
        &["-j", "3"],
    ]
    .into_iter()
    .enumerate()
    {
        let names = ["large", "small", "tiny"].map(|name| format!("{name}-{number}"));
        let sizes = [2_000_000, 400_000, 1];
        let mut arguments = vec!["send", "--to", server.address(), "--limit-rate", "5MB"];
        arguments.extend(way);
        let paths = names.clone().map(|name| folder.path().join(name));
        for (path, size) in paths.iter().zip(sizes) {
            fs::write(path, vec![7; size]).expect("it is new");
        }
        let paths = paths.map(|path| path.to_str().expect("text").to_owned());
        arguments.extend(paths.iter().map(String::as_str));
        let began = Instant::now();
        piecemeal(&arguments).exits(0);
        let took = began.elapsed();
        assert!(
            took >= least_time(2_400_001, 5_000_000),
            "{way:?}: {took:?}"
        );
        for (name, size) in names.iter().zip(sizes) {
            assert!(server.stored(name) == vec![7; size], "{name}");
        }
    }
}

#[test]
fn a_stream_keeps_to_the_rate_too() {
    let server = Server::start(&[]);
    let bytes = vec![7; 1_500_000];
    let send = ["send", "-", "--name", "stream", "--to", server.address()];
    let began = Instant::now();
    piecemeal_with_input(&[&send[..], &["--limit-rate", "3MB"]].concat(), &bytes).exits(0);
    let took = began.elapsed();
    assert!(took >= least_time(1_500_000, 3_000_000), "{took:?}");
    assert!(server.stored("stream") == bytes);
}
