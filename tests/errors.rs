//! What the server refuses in a message, one test for each way: the code, what the reply carries,
//! whether the connection goes on, and that nothing of it is kept.
//!
//! Deadlines, limits on connections and stopping are in `endings.rs`, the disk's own failures in
//! `disk.rs`.

mod common;

use common::{Client, Server, data, data_eof, data_header, digest, end, put, string};

/// The connection is in step: what comes next is taken.
fn goes_on(server: &Server, client: &mut Client) {
    client.upload("next.txt", b"next");
    assert_eq!(server.names(), ["next.txt"], "nothing else is kept");
}

/// The connection has ended, and the server serves others.
fn closes(server: &Server, client: &mut Client) {
    client.expect_end();
    goes_on(server, &mut server.client());
}

#[test]
fn a_type_that_is_none_is_refused_and_the_reason_arrives_before_the_close() {
    let server = Server::start(&[]);
    for kind in [0, 11, 15, 18, 31, 32, 255] {
        let mut client = server.client();
        // What follows is more than one read takes, so that a plain close would reset.
        client.send([&[kind], &[7; 300_000][..]].concat());
        client.refused("bad-type");
        client.expect_end();
    }
    goes_on(&server, &mut server.client());
}

#[test]
fn a_body_that_ends_with_the_stream_is_refused_unless_the_server_was_told_to_take_it() {
    let server = Server::start(&[]);
    let mut client = server.client();
    client.send([string("a.txt"), data_eof("bytes")].concat());
    client.ok();
    let reply = client.refused("bad-type");
    assert!(reply.text().contains("--accept-eof"), "{reply}");
    closes(&server, &mut client);
}

#[test]
fn a_body_that_ends_with_the_stream_is_stored_where_the_server_was_told_to_take_it() {
    let server = Server::start(&["--accept-eof"]);
    let mut client = server.client();
    client.send([string("a.txt"), data_eof(vec![b'x'; 300_000])].concat());
    client.finish();
    client.ok();
    client.receipt("a.txt", 300_000);
    client.expect_end();
    assert_eq!(server.stored("a.txt"), vec![b'x'; 300_000]);
}

#[test]
fn a_body_that_ends_with_the_stream_must_have_the_announced_size() {
    let server = Server::start(&["--accept-eof"]);
    let mut client = server.client();
    client.send([put("name=a.txt\nsize=9"), data_eof("short")].concat());
    client.finish();
    client.ok();
    client.refused("digest");
    closes(&server, &mut client);
}

#[test]
fn a_body_that_ends_with_the_stream_leaves_no_room_for_an_end() {
    let server = Server::start(&["--accept-eof"]);
    let mut client = server.client();
    client.send([put("name=a.txt\nend=explicit"), data_eof("bytes")].concat());
    client.finish();
    client.ok();
    client.refused("bad-state");
    closes(&server, &mut client);
}

#[test]
fn a_text_longer_than_4096_bytes_is_refused_in_every_kind_of_message() {
    let server = Server::start(&[]);
    for message in [string, put, end] {
        let mut client = server.client();
        client.send(message(vec![b'a'; 4097]));
        let reply = client.refused("bad-length");
        assert_eq!(reply.key("limit"), Some("4096"));
        client.expect_end();
    }
    goes_on(&server, &mut server.client());
}

#[test]
fn a_name_that_is_no_text_is_refused_and_so_is_the_body_sent_behind_it() {
    let server = Server::start(&[]);
    let mut client = server.client();
    client.send([string(b"\xff\xfe"), data("body")].concat());
    client.refused("bad-text");
    client.refused("bad-text");
    goes_on(&server, &mut client);
}

#[test]
fn malformed_fields_are_refused_and_so_is_the_body_sent_behind_them() {
    let server = Server::start(&[]);
    let mut client = server.client();
    for fields in [
        &b"\xff"[..],
        b"",
        b"size=5",
        b"name",
        b"name=a\nname=b",
        b"name=a\nSIZE=5",
        b"name=a\nsize=five",
        b"name=a\nsize=-1",
        b"name=a\nsize=18446744073709551616",
        b"name=a\nblake3=abc",
        b"name=a\nend=later",
        b"name=a\nconflict=perhaps",
    ] {
        client.send([put(fields), data("body")].concat());
        client.refused("bad-text");
        client.refused("bad-text");
    }
    goes_on(&server, &mut client);
}

#[test]
fn a_field_that_the_server_does_not_know_is_ignored() {
    let server = Server::start(&[]);
    let mut client = server.client();
    client.send([put("name=a.txt\ncolour=blue\nsize=5"), data("bytes")].concat());
    assert_eq!(client.ok().key("offset"), Some("0"));
    client.receipt("a.txt", 5);
}

#[test]
fn a_malformed_end_is_refused_and_the_connection_goes_on() {
    let server = Server::start(&[]);
    for fields in [&b"\xff"[..], b"size", b"size=x", b"blake3=00"] {
        let mut client = server.client();
        client.send(end(fields));
        client.refused("bad-text");
        client.upload(&format!("{}.txt", fields.len()), b"next");
    }
}

#[test]
fn a_name_that_breaks_a_rule_is_refused_until_another_name_replaces_it() {
    let server = Server::start(&[]);
    let mut client = server.client();
    client.send([string("../a"), data("one"), data("two")].concat());
    client.send([put("name=.hidden\nend=explicit"), data("three"), end("")].concat());
    for _ in 0..6 {
        client.refused("bad-name");
    }
    goes_on(&server, &mut client);
}

#[test]
fn an_end_without_an_upload_is_refused() {
    let server = Server::start(&[]);
    let mut client = server.client();
    client.send(end(""));
    client.refused("bad-state");
    client.send([string("a.txt"), end("")].concat());
    client.ok();
    client.refused("bad-state");
    goes_on(&server, &mut client);
}

#[test]
fn a_body_that_is_not_as_long_as_was_announced_is_refused() {
    let server = Server::start(&[]);
    let mut client = server.client();
    for body in ["shrt", "too long", ""] {
        client.send([put("name=a.txt\nsize=5"), data(body)].concat());
        client.ok();
        client.refused("bad-state");
    }
    goes_on(&server, &mut client);
}

#[test]
fn more_data_than_was_announced_is_refused_and_so_is_the_end_behind_it() {
    let server = Server::start(&[]);
    let mut client = server.client();
    client.send(put("name=a.txt\nsize=5\nend=explicit"));
    client.send([data("abc"), data("def"), end("")].concat());
    client.ok();
    client.ok();
    client.refused("bad-state");
    client.refused("bad-state");
    goes_on(&server, &mut client);
}

#[test]
fn a_name_that_is_taken_is_refused_and_the_file_stays_as_it_was() {
    let server = Server::start(&[]);
    let mut client = server.client();
    client.upload("a.txt", b"first");
    client.send([string("a.txt"), data("second")].concat());
    client.send([put("name=a.txt\nsize=5"), data("third")].concat());
    let other = digest("fifth");
    client.send(put(format!("name=a.txt\nsize=5\nblake3={other}")));
    for _ in 0..5 {
        client.refused("exists");
    }
    client.upload("b.txt", b"next");
    assert_eq!(server.stored("a.txt"), b"first");
    assert_eq!(server.names(), ["a.txt", "b.txt"]);
}

#[test]
fn a_name_that_was_taken_meanwhile_is_refused_when_the_body_is_there() {
    let server = Server::start(&[]);
    let (mut late, mut early) = (server.client(), server.client());
    late.send(string("a.txt"));
    late.ok();
    early.upload("a.txt", b"early");
    late.send(data("late"));
    late.refused("exists");
    late.upload("b.txt", b"next");
    assert_eq!(server.stored("a.txt"), b"early");
}

#[test]
fn a_file_over_the_limit_is_refused_when_it_is_announced() {
    let server = Server::start(&["--max-size", "1000"]);
    let mut client = server.client();
    client.send([put("name=a.txt\nsize=1001"), data([0; 1001])].concat());
    for _ in 0..2 {
        let reply = client.refused("too-large");
        assert_eq!(reply.key("limit"), Some("1000"));
    }
    goes_on(&server, &mut client);
}

#[test]
fn a_short_body_over_the_limit_is_read_away_and_the_connection_goes_on() {
    let server = Server::start(&["--max-size", "1000"]);
    let mut client = server.client();
    client.send([string("a.txt"), data([0; 1001]), data([0; 1_000_000])].concat());
    client.ok();
    for _ in 0..2 {
        let reply = client.refused("too-large");
        assert_eq!(reply.key("limit"), Some("1000"));
    }
    goes_on(&server, &mut client);
    client.upload("exact.txt", &[0; 1000]);
}

#[test]
fn a_body_of_just_64_mib_over_the_limit_is_read_away_and_the_connection_goes_on() {
    let server = Server::start(&["--max-size", "1000"]);
    let mut client = server.client();
    client.send(data(vec![0; 64 << 20]));
    client.refused("too-large");
    goes_on(&server, &mut client);
}

#[test]
fn a_body_of_more_than_64_mib_over_the_limit_closes_and_its_sender_still_reads_why() {
    let server = Server::start(&["--max-size", "1000"]);
    let mut client = server.client();
    client.send(data_header(8, (64 << 20) + 1));
    let block = vec![0; 1 << 20];
    for _ in 0..64 {
        client.send(&block);
    }
    client.send([0]);
    // All of it was sent before the first byte of the reply is read.
    assert_eq!(client.refused("too-large").key("limit"), Some("1000"));
    closes(&server, &mut client);
}

#[test]
fn pieces_that_are_over_the_limit_together_are_refused_with_the_end_behind_them() {
    let server = Server::start(&["--max-size", "1000"]);
    let mut client = server.client();
    client.send(put("name=a.txt\nend=explicit"));
    client.send([data([0; 600]), data([0; 600]), end("")].concat());
    client.ok();
    client.ok();
    client.refused("too-large");
    client.refused("too-large");
    goes_on(&server, &mut client);
}

#[test]
fn a_body_of_unknown_length_is_refused_once_it_is_over_the_limit() {
    let server = Server::start(&["--max-size", "1000", "--accept-eof"]);
    let mut client = server.client();
    client.send(data_eof([0; 5000]));
    assert_eq!(client.refused("too-large").key("limit"), Some("1000"));
    client.finish();
    closes(&server, &mut client);
}

#[test]
fn bytes_that_have_another_digest_than_was_announced_are_not_kept() {
    let server = Server::start(&[]);
    let mut client = server.client();
    let other = digest("other");
    let fields = format!("name=a.txt\nsize=5\nblake3={other}");
    client.send([put(fields), data("bytes")].concat());
    client.ok();
    client.refused("digest");
    goes_on(&server, &mut client);
}

#[test]
fn an_end_with_another_digest_or_size_than_what_is_stored_keeps_nothing() {
    let server = Server::start(&[]);
    let mut client = server.client();
    let (right, wrong) = (digest("bytes"), digest("other"));
    for (announced, ended) in [
        (String::new(), format!("blake3={wrong}")),
        (String::new(), "size=6".to_owned()),
        (String::new(), format!("size=4\nblake3={right}")),
        ("\nsize=6".to_owned(), String::new()),
        (format!("\nblake3={wrong}"), String::new()),
        (format!("\nblake3={wrong}"), format!("blake3={right}")),
    ] {
        client.send(put(format!("name=a.txt\nend=explicit{announced}")));
        client.send([data("by"), data("tes"), end(ended)].concat());
        client.ok();
        client.ok();
        client.ok();
        client.refused("digest");
    }
    goes_on(&server, &mut client);
}

#[test]
fn an_end_with_the_right_digest_and_size_stores_the_pieces_as_one_file() {
    let server = Server::start(&[]);
    let mut client = server.client();
    let right = digest("bytes");
    client.send(put("name=a.txt\nend=explicit"));
    client.send([data("by"), data(""), data("tes")].concat());
    client.send(end(format!("size=5\nblake3={right}")));
    for _ in 0..4 {
        client.ok();
    }
    let reply = client.receipt("a.txt", 5);
    assert_eq!(reply.key("blake3"), Some(&*right));
    assert_eq!(reply.key("durable"), Some("yes"));
    assert_eq!(server.stored("a.txt"), b"bytes");
}

#[test]
fn a_second_name_replaces_the_first_and_what_came_for_it() {
    let server = Server::start(&[]);
    let mut client = server.client();
    client.send(put("name=a.txt\nend=explicit"));
    client.send([data("dropped"), string("b.txt"), put("name=c.txt")].concat());
    client.send([data("kept"), data("unnamed")].concat());
    for _ in 0..4 {
        client.ok();
    }
    client.receipt("c.txt", 4);
    let unnamed = client.ok().key("name").unwrap().to_owned();
    assert_eq!(server.stored("c.txt"), b"kept");
    assert_eq!(server.stored(&unnamed), b"unnamed");
    assert_eq!(server.names().len(), 2);
}

#[test]
fn a_stream_without_an_end_over_the_limit_is_read_for_64_mib_and_then_closed() {
    let server = Server::start(&["--max-size", "1000", "--accept-eof"]);
    let mut client = server.client();
    client.send(data_eof(vec![0; 70 << 20]));
    assert_eq!(client.refused("too-large").key("limit"), Some("1000"));
    // Its stream goes on, and the server's has ended all the same.
    closes(&server, &mut client);
}
