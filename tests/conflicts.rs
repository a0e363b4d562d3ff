//! A name that is taken: what each policy does, and what a client may ask for.

mod common;

use std::thread;

use common::{Server, data, digest, end, put, string};

#[test]
fn a_server_that_renames_numbers_the_new_one_before_its_extension() {
    let server = Server::start(&["--on-conflict", "rename"]);
    let mut client = server.client();
    for (name, stored) in [
        ("report.pdf", "report.pdf"),
        ("report.pdf", "report (2).pdf"),
        ("report.pdf", "report (3).pdf"),
        ("report (2).pdf", "report (2) (2).pdf"),
        ("plain", "plain"),
        ("plain", "plain (2)"),
        ("a.tar.gz", "a.tar.gz"),
        ("a.tar.gz", "a.tar (2).gz"),
    ] {
        client.send([string(name), data(stored)].concat());
        client.ok();
        client.receipt(stored, stored.len());
        assert_eq!(server.stored(stored), stored.as_bytes());
    }
    server
        .out
        .wait_for(|line| line.starts_with("stored report (2).pdf "));
}

#[test]
fn a_server_that_overwrites_shows_the_old_file_until_the_new_one_is_whole() {
    let server = Server::start(&["--on-conflict", "overwrite"]);
    let mut client = server.client();
    client.upload("a.txt", b"old and longer");
    client.send(put("name=a.txt\nend=explicit"));
    client.send(data("new"));
    client.ok();
    client.ok();
    assert_eq!(server.stored("a.txt"), b"old and longer");
    client.send(end(""));
    client.receipt("a.txt", 3);
    assert_eq!(server.stored("a.txt"), b"new");
    assert_eq!(server.names(), ["a.txt"]);
}

#[test]
fn a_client_may_not_overwrite_where_the_server_does_not() {
    for policy in ["error", "rename"] {
        let server = Server::start(&["--on-conflict", policy]);
        let mut client = server.client();
        client.upload("a.txt", b"first");
        client.send([put("name=a.txt\nconflict=overwrite"), data("second")].concat());
        client.refused("bad-state");
        client.refused("bad-state");
        client.upload("b.txt", b"next");
        assert_eq!(server.stored("a.txt"), b"first");
    }
}

#[test]
fn a_client_may_ask_for_what_destroys_less_than_the_servers_policy() {
    for (policy, asks, stored) in [
        ("error", "rename", Some("a (2).txt")),
        ("rename", "error", None),
        ("overwrite", "rename", Some("a (2).txt")),
        ("overwrite", "error", None),
        ("overwrite", "overwrite", Some("a.txt")),
    ] {
        let server = Server::start(&["--on-conflict", policy]);
        let mut client = server.client();
        client.upload("a.txt", b"first");
        let fields = format!("name=a.txt\nconflict={asks}");
        client.send([put(fields), data("second")].concat());
        match stored {
            Some(name) => {
                client.ok();
                client.receipt(name, 6);
                assert_eq!(server.stored(name), b"second");
            }
            None => {
                client.refused("exists");
                client.refused("exists");
                assert_eq!(server.stored("a.txt"), b"first");
            }
        }
    }
}

#[test]
fn an_upload_that_is_there_already_is_recognised_by_its_digest() {
    let server = Server::start(&[]);
    let mut client = server.client();
    let body = vec![7; 100_000];
    let right = digest(&body);
    let fields = format!("name=a.bin\nsize=100000\nblake3={right}");
    client.send([put(&fields), data(&body)].concat());
    client.ok();
    client.receipt("a.bin", body.len());
    // As the protocol has it: the offset says that no bytes are due.
    client.send(put(&fields));
    assert_eq!(client.ok().key("offset"), Some("100000"));
    client.send(data(""));
    let reply = client.receipt("a.bin", body.len());
    assert_eq!(reply.key("blake3"), Some(&*right));
    // A client that didn't wait for the offset sends all the same.
    client.send([put(&fields), data(&body)].concat());
    assert_eq!(client.ok().key("offset"), Some("100000"));
    client.receipt("a.bin", body.len());
    // With END the digest may come last.
    client.send(put(format!("{fields}\nend=explicit")));
    client.send([data(""), end(format!("blake3={right}"))].concat());
    client.ok();
    client.ok();
    client.receipt("a.bin", body.len());
    assert_eq!(server.names(), ["a.bin"]);
}

#[test]
fn other_bytes_behind_the_digest_of_a_file_that_is_there_change_nothing() {
    let server = Server::start(&[]);
    let mut client = server.client();
    client.upload("a.txt", b"right");
    let right = digest("right");
    client.send(put(format!("name=a.txt\nsize=5\nblake3={right}")));
    client.send(data("wrong"));
    client.ok();
    client.refused("digest");
    client.upload("b.txt", b"next");
    assert_eq!(server.stored("a.txt"), b"right");
}

#[test]
fn many_clients_with_one_name_all_get_a_name_of_their_own_where_the_server_renames() {
    let server = Server::start(&["--on-conflict", "rename"]);
    let clients: Vec<_> = (0..20)
        .map(|number| {
            let mut client = server.client();
            thread::spawn(move || {
                let body = format!("body {number}");
                client.send([string("a.txt"), data(&body)].concat());
                client.ok();
                (client.ok().key("name").unwrap().to_owned(), body)
            })
        })
        .collect();
    let mut names = Vec::new();
    for client in clients {
        let (name, body) = client.join().unwrap();
        assert_eq!(server.stored(&name), body.as_bytes());
        names.push(name);
    }
    names.sort_unstable();
    assert_eq!(server.names(), names);
}
