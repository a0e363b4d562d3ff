//! Peers that try things: each of them is served what it asks for or told why not, costs a bounded
//! amount, and harms nobody else.

mod common;

use std::io::{ErrorKind, IoSlice, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::thread;

use common::{
    Client, GUARD, Server, Starter, data, data_eof, data_header, end, put, string, wait_until,
};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::Signal;

/// More than a server may grow by for a hundred peers, whatever they do; in KiB.
const MEMORY_KIB: u64 = 16 << 10;
/// A deadline that a test waits for.
const SHORT: &str = "500ms";
/// One that no test gets to, however busy the machine is.
const LONG: &str = "10m";

/// Expects that somebody else is served, and that the server is as it was.
#[track_caller]
fn unharmed(server: &Server, descriptors: usize) {
    server.client().upload("somebody else's", b"bytes");
    server.settles_to(descriptors);
}

#[test]
fn whoever_speaks_another_protocol_is_told_so_in_order() {
    let server = Server::start(&["--header-timeout", LONG]);
    let before = server.descriptors_when_warm();
    let hello = [&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3][..], &[7; 507]].concat();
    let words: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        &hello,
        &[0; 4096],
        b"\r\n\r\n",
    ];
    for word in words {
        let mut client = server.client();
        client.send(word);
        client.refused("bad-type");
        client.expect_end();
    }
    for number in 0..200 {
        let client = server.client();
        if number % 2 == 0 {
            client.reset();
        }
    }
    unharmed(&server, before);
}

#[test]
fn whoever_begins_by_chance_like_this_protocol_is_told_at_the_deadline() {
    let server = Server::start(&["--header-timeout", SHORT]);
    let mut client = server.client();
    // A DATA message, and half of a strange length.
    client.send(b"\x09\r\n\r\n");
    assert_eq!(client.refused("timeout").key("what"), Some("header"));
    client.expect_end();
}

#[test]
fn urgent_data_loses_only_the_urgent_byte() {
    // The deadline is when the server looks again; nobody is blamed for what had come by then.
    let server = Server::start(&["--stall-timeout", SHORT]);
    let before = server.descriptors_when_warm();
    for (number, at) in [1, 50_000, 99_999].into_iter().enumerate() {
        let mut client = server.client();
        let name = format!("{number}");
        let body: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        client.send(string(&name));
        client.ok();
        // All of it lies there when the server looks, and nothing that comes later wakes it.
        server.signal(Signal::STOP);
        client.send([data_header(4, 100_000), body[..at].to_vec()].concat());
        client.send_urgent(b'!');
        client.send(&body[at..]);
        server.signal(Signal::CONT);
        client.receipt(&name, body.len());
        assert!(server.stored(&name) == body);
    }
    unharmed(&server, before);
}

#[test]
fn urgent_data_loses_only_the_urgent_byte_of_a_body_that_is_spliced() {
    // Long enough for a megabyte to be sent in, and waited for only where a read was cut short.
    let server = Server::start(&["--stall-timeout", "2s", "--accept-eof"]);
    let before = server.descriptors_when_warm();
    let body: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
    // So little lies behind this mark that the stream may have ended when the mark is met.
    let near_the_end = body.len() - 20_000;
    for (at, to_the_end) in [
        (20_000, false),
        (500_000, false),
        (20_000, true),
        (near_the_end, true),
    ] {
        let mut client = server.client();
        let name = format!("{at}-{to_the_end}");
        client.send(string(&name));
        client.ok();
        let (head, tail) = body.split_at(at);
        let begun = if to_the_end {
            data_eof(head)
        } else {
            [data_header(4, body.len() as u64), head.to_vec()].concat()
        };
        client.send(begun);
        client.send_urgent(b'!');
        client.send(tail);
        if to_the_end {
            client.finish();
        }
        client.receipt(&name, body.len());
        assert!(server.stored(&name) == body, "{name}");
    }
    unharmed(&server, before);
}

#[test]
fn descriptors_that_are_sent_along_are_closed_and_the_bytes_are_taken() {
    let home = tempfile::tempdir().expect("a folder");
    let socket = home.path().join("socket");
    let unix = format!("unix:{}", socket.display());
    let binds = ["--bind", "127.0.0.1:0", "--bind", &unix];
    let server = Server::start(&[&binds[..], &["--stall-timeout", SHORT]].concat());
    let before = server.descriptors_when_warm();
    for splice in [10, 600_000] {
        let stream = UnixStream::connect(&socket).expect("it listens");
        let (passed, mut other) = UnixStream::pair().expect("a pair");
        other.set_read_timeout(Some(GUARD)).expect("a socket");
        let name = format!("{splice}");
        let mut sending = &stream;
        let begin = [string(&name), data_header(4, splice + 2)].concat();
        sending.write_all(&begin).expect("it reads");
        for _ in 0..2 {
            let descriptors = [passed.as_fd(); 8];
            let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
            let byte = [IoSlice::new(b"x")];
            let sent = sendmsg(&stream, &byte, &mut control, SendFlags::empty());
            assert_eq!(sent, Ok(1));
        }
        let rest = vec![b'x'; usize::try_from(splice).expect("small")];
        sending.write_all(&rest).expect("it reads");
        // Nobody has the other end any more.
        drop(passed);
        assert_eq!(other.read(&mut [0]).expect("the end comes"), 0);
        let mut client = Client::from(stream);
        client.ok();
        client.receipt(&name, rest.len() + 2);
    }
    unharmed(&server, before);
}

#[test]
fn an_address_with_far_too_many_connections_leaves_room_for_another() {
    let server = Server::start(&["--max-per-ip", "4", "--header-timeout", LONG]);
    let before = server.descriptors_when_warm();
    let silent: Vec<Client> = (0..600).map(|_| server.client()).collect();
    Client::connect_from([127, 0, 0, 2], server.address()).upload("elsewhere", b"bytes");
    drop(silent);
    server.upload_when_there_is_room("again");
    server.settles_to(before);
}

#[test]
fn lengths_and_sizes_that_are_promised_cost_nothing_before_they_come() {
    let server = Server::start(&["--quota", "1GiB", "--header-timeout", LONG]);
    let (before, memory) = (server.descriptors_when_warm(), server.status_kib("VmHWM"));
    let promises = [
        data_header(8, u64::MAX),
        data_header(8, 1 << 63),
        data_header(8, 1 << 50),
        put(format!("name=a\nsize={}", 1_u64 << 50)),
        put(format!("name=a\nsize={}\nupload=a", 1_u64 << 50)),
    ];
    for number in 0..200 {
        let mut client = server.client();
        client.send(&promises[number % promises.len()]);
        client.refused("no-space");
    }
    // Texts are short, but each of these could have had its 4096 bytes set aside.
    let waiting = |_| {
        let mut client = server.client();
        client.send([1, 0, 16, b'a']);
        client
    };
    let waiting: Vec<Client> = (0..100).map(waiting).collect();
    let grown = server.status_kib("VmHWM").saturating_sub(memory);
    assert!(grown < MEMORY_KIB, "{grown} KiB more");
    drop(waiting);
    unharmed(&server, before);
    assert_eq!(server.names(), ["somebody else's"]);
}

#[test]
fn who_takes_all_of_the_space_and_sends_nothing_loses_it_at_his_deadline() {
    let greedy = |server: &Server| {
        let mut greedy = server.client();
        greedy.send(put(format!("name=greedy\nsize={}", 1 << 20)));
        greedy.ok();
        greedy
    };
    let patient = Server::start(&["--quota", "1MiB", "--idle-timeout", LONG]);
    let _greedy = greedy(&patient);
    let mut other = patient.client();
    other.send(put("name=other\nsize=1"));
    other.refused("no-space");
    let server = Server::start(&["--quota", "1MiB", "--idle-timeout", SHORT]);
    let mut greedy = greedy(&server);
    assert_eq!(greedy.refused("timeout").key("what"), Some("connection"));
    wait_until("there is space", || {
        let mut other = server.client();
        other.send([string("other"), data("b")].concat());
        other.ok();
        other.reply().status() == "OK"
    });
}

#[test]
fn a_flood_of_the_longest_texts_is_answered_in_step() {
    let server = Server::start(&[]);
    let memory = server.status_kib("VmHWM");
    let fields = |number: usize| {
        let mut fields = format!("name={number}");
        for field in 0..500 {
            let line = format!("\nx{field}=");
            if fields.len() + line.len() > 4000 {
                break;
            }
            fields += &line;
        }
        fields
    };
    const MESSAGES: usize = 2000;
    let mut client = server.client();
    let mut sending = client.again();
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..MESSAGES {
                let bad = string([b'a'; 4096]);
                sending.send([bad, put(fields(number)), end([b'='; 4096])].concat());
            }
        });
        for _ in 0..MESSAGES {
            client.refused("bad-name");
            client.ok();
            client.refused("bad-text");
        }
    });
    let grown = server.status_kib("VmHWM").saturating_sub(memory);
    assert!(grown < MEMORY_KIB, "{grown} KiB more");
    client.upload("still in step", b"bytes");
}

#[test]
fn peers_that_send_for_ever_and_never_read_cost_little_and_are_closed() {
    let server = Server::start(&["--strings", "message", "--stall-timeout", "2s"]);
    let before = server.descriptors();
    let memory = server.status_kib("VmHWM");
    let message = string([b'x'; 4096]);
    let mut unread = 0;
    thread::scope(|scope| {
        for _ in 0..20 {
            let mut deaf = server.client();
            let message = &message;
            scope.spawn(move || {
                let ended = loop {
                    if let Err(error) = deaf.try_send(message) {
                        break error.kind();
                    }
                };
                // Not the guard's time: that would be a connection that nobody has closed.
                let closed = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
                assert!(closed.contains(&ended), "{ended}");
            });
        }
        for number in 0..100 {
            let mut other = server.client();
            other.send([put(format!("name={number}")), data("bytes")].concat());
            other.ok();
            other.receipt(&format!("{number}"), 5);
            unread = unread.max(server.most_unread());
        }
    });
    let grown = server.status_kib("VmHWM").saturating_sub(memory);
    assert!(grown < MEMORY_KIB, "{grown} KiB more");
    // Nor does the system hold megabytes for each of them.
    assert!(unread < 300_000, "{unread} bytes wait for one peer");
    server.settles_to(before);
}

#[test]
fn many_uploads_that_could_be_resumed_and_never_are_go_when_their_time_is_over() {
    let server = Server::start(&["--partial-ttl", "1s"]);
    let before = server.descriptors_when_warm();
    for number in 0..200 {
        let mut client = server.client();
        let announced = put(format!("name={number}\nsize=2\nupload=id-{number}"));
        client.send([announced, data_header(1, 2), vec![7]].concat());
        client.ok();
    }
    wait_until("they are swept", || server.partials() == 0);
    unharmed(&server, before);
}

#[test]
fn two_that_take_an_upload_from_each_other_again_and_again_end_with_one_file() {
    let server = Starter::new(&["--durability", "none"]).start();
    let before = server.descriptors_when_warm();
    let announced = put("name=contested\nsize=1000\nupload=one");
    let mut last = server.client();
    last.send(&announced);
    last.ok();
    for _ in 0..60 {
        let mut next = server.client();
        next.send(&announced);
        let offset = next.ok();
        let offset: usize = offset
            .key("offset")
            .and_then(|text| text.parse().ok())
            .expect("one");
        // Whoever had it is told that it is gone, and ends.
        last.send_quietly([data_header(2, 1000)].concat());
        last.refused("bad-state");
        last.expect_end();
        next.send([data_header(2, 1000 - offset as u64), vec![7; 10]].concat());
        last = next;
    }
    let mut next = server.client();
    next.send(&announced);
    let offset = next.ok();
    let offset: usize = offset
        .key("offset")
        .and_then(|text| text.parse().ok())
        .expect("one");
    assert!((10..=600).contains(&offset), "{offset}");
    next.send(data(vec![7; 1000 - offset]));
    next.receipt("contested", 1000);
    drop((next, last));
    server.settles_to(before);
    assert_eq!(server.stored("contested"), [7; 1000]);
    assert_eq!(server.partials(), 0);
}
