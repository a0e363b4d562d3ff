//! Very many at once: those who are refused all hear why, and a burst of connections loses nobody.
//!
//! `cargo test --release --test crowds -- --ignored --nocapture` does the same with thousands;
//! `PIECEMEAL_CROWD` says with how many who are refused.

mod common;

use std::fs;
use std::net::{SocketAddr, TcpStream};

use common::{
    Crowd, GUARD, Server, Starter, Told, data, data_eof, data_header, put, skipped, string,
};
use rustix::process::Signal;

/// What follows a refused header. More than a server reads at once, and with some of them than the
/// buffers of both ends hold: it is in flight when the server has made up its mind.
const BODY: usize = 1 << 20;
/// How many are refused at once. Each of them sends a MiB to a server that throws it away.
const AT_ONCE: usize = 250;

/// A way to be refused: what is sent before the body, and the statuses of all answers.
type Way = (Vec<u8>, &'static [&'static str]);

/// What is wrong with each. The server's limits are below the body's size; "" stands for the code of
/// the one that is passed.
fn ways() -> Vec<Way> {
    let behind = |begin: Vec<u8>| [begin, data_header(4, BODY as u64)].concat();
    let announced = put(format!("name=b\nsize={BODY}"));
    vec![
        // These bodies are read to their end, so that the next message is found.
        (behind(vec![]), &[""]),
        (behind(announced), &["", ""]),
        (behind(string("../b")), &["ERR bad-name", "ERR bad-name"]),
        (behind(put([255])), &["ERR bad-text", "ERR bad-text"]),
        (
            behind(put("name=b\nsize=x")),
            &["ERR bad-text", "ERR bad-text"],
        ),
        (behind(string("taken")), &["ERR exists", "ERR exists"]),
        // And with these the connection ends.
        (data_header(8, 65 << 20), &[""]),
        (data_header(8, u64::MAX), &[""]),
        (data_eof(""), &["ERR bad-type"]),
        (vec![99], &["ERR bad-type"]),
        (vec![1, 255, 255], &["ERR bad-length"]),
    ]
}

#[track_caller]
fn expect_told(told: &Told, expected: &[&str], code: &str) {
    assert_eq!(told.broken, None, "{expected:?} {code}: {told:?}");
    let statuses = told.replies.iter().map(|reply| reply.status());
    let expected = expected.iter().map(|status| match *status {
        "" => code,
        status => status,
    });
    assert!(statuses.eq(expected.clone()), "{told:?}");
}

/// So many who are refused for what they say, and whose bodies are on their way.
fn refused_for_what_they_say(count: usize) {
    let limits = [("--max-size", "ERR too-large"), ("--quota", "ERR no-space")];
    for (limit, code) in limits {
        let server = Server::start(&[limit, "512KiB"]);
        server.client().upload("taken", b"bytes");
        let ways = ways();
        let mut left = count / 2;
        while left > 0 {
            let at_once = left.min(AT_ONCE);
            let says = |number: usize| (ways[number % ways.len()].0.clone(), BODY);
            let crowd = Crowd::new(server.address(), at_once, says).run();
            for (number, told) in crowd.iter().enumerate() {
                expect_told(told, ways[number % ways.len()].1, code);
            }
            left -= at_once;
        }
        server.client().upload("next", b"next");
        assert_eq!(server.names(), ["next", "taken"]);
    }
}

/// Descriptors that a server may have made meanwhile and keeps, whoever comes and goes.
const SHARED: usize = 3;

/// So many who come while there is no room.
fn refused_for_want_of_room(count: usize) {
    // Of one address, no more than 256 are told at once; of all together, the others wait for that.
    let limits = [("--max-connections", 300), ("--max-per-ip", 120)];
    for (limit, most) in limits {
        let server = Server::start(&[limit, "2"]);
        let mut places = [server.client(), server.client()];
        for (number, client) in places.iter_mut().enumerate() {
            client.upload(&format!("{number}"), b"bytes");
        }
        let before = server.descriptors();
        let mut left = count / 2;
        while left > 0 {
            let at_once = left.min(most);
            let begin = [string("late"), data_header(4, BODY as u64)].concat();
            let crowd = Crowd::new(server.address(), at_once, |_| (begin.clone(), BODY));
            for told in crowd.run() {
                expect_told(&told, &["ERR busy"], limit);
                assert_eq!(told.replies[0].key("retry"), Some("2"));
            }
            left -= at_once;
            // These have all that they are due, and the server may yet have to hear that they have gone:
            // until then they count among those who are told.
            server.settles_to(before + SHARED);
        }
        for client in &mut places {
            client.send(data("still served"));
            client.ok();
        }
        assert_eq!(server.names().len(), 4);
    }
}

/// So many connections while the server's loop stands still.
fn burst(count: usize) {
    let most = fs::read_to_string("/proc/sys/net/core/somaxconn");
    let most = most.ok().and_then(|text| text.trim().parse().ok());
    if most.is_none_or(|most: usize| most < count) {
        return skipped("the system lets fewer connections wait (net.core.somaxconn)");
    }
    let server = Starter::new(&["--durability", "none"]).start();
    let address: SocketAddr = server.address().parse().expect("an address");
    server.signal(Signal::STOP);
    // Whoever finds no room in the queue is not made to wait there: his connecting times out.
    let connect = |number| {
        let connected = TcpStream::connect_timeout(&address, GUARD);
        connected.unwrap_or_else(|error| panic!("connection {number}: {error}"))
    };
    let waiting: Vec<TcpStream> = (0..count).map(connect).collect();
    let crowd = Crowd::of(waiting, |number| {
        ([string(format!("{number}")), data("bytes")].concat(), 0)
    });
    server.signal(Signal::CONT);
    for told in crowd.run() {
        expect_told(&told, &["OK", "OK"], "");
    }
    assert_eq!(server.names().len(), count);
}

/// How many, if it isn't said.
fn count(default: usize) -> usize {
    let asked = std::env::var("PIECEMEAL_CROWD").ok();
    asked.map_or(default, |asked| asked.parse().expect("a number"))
}

#[test]
fn everybody_who_is_refused_for_what_he_says_hears_why_while_his_body_is_in_flight() {
    refused_for_what_they_say(88);
}

#[test]
fn everybody_who_is_refused_for_want_of_room_hears_so_while_his_body_is_in_flight() {
    refused_for_want_of_room(80);
}

#[test]
fn a_burst_of_connections_while_the_loop_stands_still_loses_nobody() {
    burst(400);
}

#[test]
#[ignore = "takes minutes: 10,000 bodies of a MiB"]
fn ten_thousand_who_are_refused_all_hear_why() {
    refused_for_what_they_say(count(10_000));
    refused_for_want_of_room(count(10_000));
}

#[test]
#[ignore = "needs 8,000 descriptors"]
fn a_burst_of_4_000_connections_loses_nobody() {
    burst(4_000);
}
