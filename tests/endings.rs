//! How connections end: streams that stop early, deadlines, too many connections, and a server
//! that is stopping.

mod common;

use std::os::unix::net::UnixStream;

use common::{Server, data, data_header, end, put, string};
use rustix::process::Signal;

/// Short, so that a test waits for it by reading; the others stay long.
const SHORT: &str = "300ms";

#[test]
fn a_stream_that_ends_in_a_body_keeps_nothing_and_is_told_so() {
    let server = Server::start(&[]);
    let mut client = server.client();
    client.send([string("a.txt"), data_header(4, 100), vec![0; 50]].concat());
    client.finish();
    client.ok();
    client.refused("incomplete");
    client.expect_end();
    assert!(server.names().is_empty());
    server.client().upload("next.txt", b"next");
}

#[test]
fn a_stream_that_ends_between_pieces_keeps_nothing() {
    let server = Server::start(&[]);
    let mut client = server.client();
    client.send([put("name=a.txt\nend=explicit"), data("piece")].concat());
    client.finish();
    client.ok();
    client.ok();
    client.expect_end();
    assert!(server.names().is_empty());
}

#[test]
fn a_stream_that_ends_after_whole_messages_gets_all_its_replies() {
    let server = Server::start(&[]);
    let mut client = server.client();
    client.send([string("a.txt"), data("bytes")].concat());
    client.finish();
    client.ok();
    client.receipt("a.txt", 5);
    client.expect_end();
}

#[test]
fn a_connection_that_never_sends_a_byte_times_out() {
    let server = Server::start(&["--header-timeout", SHORT]);
    let mut client = server.client();
    assert_eq!(client.refused("timeout").key("what"), Some("header"));
    client.expect_end();
}

#[test]
fn half_a_header_times_out_on_a_connection_that_was_served_before() {
    let server = Server::start(&["--header-timeout", SHORT]);
    let mut client = server.client();
    client.upload("a.txt", b"bytes");
    client.send([9, 5, 0, 0]);
    assert_eq!(client.refused("timeout").key("what"), Some("header"));
    client.expect_end();
}

#[test]
fn a_body_that_stands_still_times_out_and_keeps_nothing() {
    let server = Server::start(&["--stall-timeout", SHORT]);
    let mut client = server.client();
    client.send([string("a.txt"), data_header(2, 100), vec![0; 50]].concat());
    client.ok();
    assert_eq!(client.refused("timeout").key("what"), Some("body"));
    client.expect_end();
    assert!(server.names().is_empty());
}

#[test]
fn a_refused_body_that_stands_still_was_answered_already_and_is_closed() {
    let server = Server::start(&["--max-size", "10", "--stall-timeout", SHORT]);
    let mut client = server.client();
    client.send([data_header(2, 100), vec![0; 50]].concat());
    client.refused("too-large");
    client.expect_end();
}

#[test]
fn a_connection_that_is_idle_between_messages_times_out() {
    let server = Server::start(&["--idle-timeout", SHORT]);
    let mut client = server.client();
    client.upload("a.txt", b"bytes");
    assert_eq!(client.refused("timeout").key("what"), Some("connection"));
    client.expect_end();
}

#[test]
fn an_announced_upload_whose_bytes_never_come_times_out() {
    let server = Server::start(&["--idle-timeout", SHORT]);
    let mut client = server.client();
    client.send([put("name=a.txt\nend=explicit"), data("piece")].concat());
    client.ok();
    client.ok();
    assert_eq!(client.refused("timeout").key("what"), Some("connection"));
    client.expect_end();
    assert!(server.names().is_empty());
}

#[test]
fn a_connection_too_many_is_told_when_to_come_back_and_is_served_when_another_has_ended() {
    let server = Server::start(&["--max-connections", "2"]);
    let (mut one, mut two) = (server.client(), server.client());
    // They are accepted in turn: once the second is served, both are.
    two.upload("a.txt", b"bytes");
    let mut three = server.client();
    // It sends before it is told, as a client does that pipelines.
    three.send([string("b.txt"), data("bytes")].concat());
    let reply = three.refused("busy");
    let retry: u32 = reply
        .key("retry")
        .and_then(|text| text.parse().ok())
        .expect("seconds");
    assert!(retry > 0);
    three.expect_end();
    one.upload("c.txt", b"bytes");
    one.finish();
    one.expect_end();
    server.client().upload("b.txt", b"bytes");
}

#[test]
fn an_idle_connection_is_told_that_the_server_stops() {
    let mut server = Server::start(&[]);
    let mut client = server.client();
    client.upload("a.txt", b"bytes");
    server.signal(Signal::TERM);
    client.refused("shutdown");
    client.expect_end();
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn an_upload_that_is_under_way_is_finished_before_the_server_stops() {
    let mut server = Server::start(&[]);
    let (mut client, mut idle) = (server.client(), server.client());
    client.send([string("a.txt"), data_header(1, 10), b"first".to_vec()].concat());
    client.ok();
    let mut pieces = server.client();
    pieces.send([put("name=b.txt\nend=explicit"), data("first")].concat());
    pieces.ok();
    pieces.ok();
    idle.upload("idle.txt", b"bytes");
    server.signal(Signal::TERM);
    // When this one has been told, the stop has begun.
    idle.refused("shutdown");
    client.send("other");
    client.receipt("a.txt", 10);
    client.refused("shutdown");
    client.expect_end();
    pieces.send([data("other"), end("size=10")].concat());
    pieces.ok();
    pieces.receipt("b.txt", 10);
    pieces.refused("shutdown");
    pieces.expect_end();
    assert_eq!(server.wait().code(), Some(0));
    assert_eq!(server.stored("a.txt"), b"firstother");
    assert_eq!(server.stored("b.txt"), b"firstother");
}

#[test]
fn an_upload_that_stands_still_does_not_keep_a_server_from_stopping() {
    let mut server = Server::start(&["--shutdown-timeout", SHORT]);
    let mut client = server.client();
    client.send([string("a.txt"), data_header(1, 10), b"first".to_vec()].concat());
    client.ok();
    server.signal(Signal::TERM);
    client.refused("shutdown");
    client.expect_end();
    assert_eq!(server.wait().code(), Some(0));
    server
        .err
        .wait_for(|line| line.contains("1 connection was cut off"));
    assert!(server.names().is_empty());
}

#[test]
fn nobody_is_accepted_once_the_server_stops() {
    let home = tempfile::tempdir().unwrap();
    // Not a port, which somebody else could have been given by the time.
    let socket = home.path().join("socket");
    let mut server = Server::start(&["--bind", &format!("unix:{}", socket.display())]);
    let (mut client, mut idle) = (server.client(), server.client());
    client.send(string("a.txt"));
    client.ok();
    idle.upload("idle.txt", b"bytes");
    server.signal(Signal::TERM);
    idle.refused("shutdown");
    assert!(UnixStream::connect(&socket).is_err());
    client.send(data("bytes"));
    client.receipt("a.txt", 5);
    assert_eq!(server.wait().code(), Some(0));
    assert_eq!(server.names(), ["a.txt", "idle.txt"]);
}
