//! The client's loop, turn by turn, with the server on the same thread: nothing happens in between.

use super::*;
use crate::client::Quiet;
use crate::proto::{Kind, header};
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::time::Duration;

const FILES: usize = 12;

/// What a server may say behind what a client looks for.
const MORE_WORDS: usize = 4000;

fn reply(text: &str, out: &mut Vec<u8>) {
    header::write_around(Kind::String, out, |out| {
        let words = "x".repeat(MORE_WORDS);
        write!(out, "{text}\nwords={words}").expect("memory takes it");
    });
}

/// All replies lie there before the first is read, more of them than one visit reads, and no event
/// comes for the rest.
#[test]
fn what_one_visit_leaves_unread_is_read_by_the_next() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let (path, socket) = (home.path().join("file"), home.path().join("socket"));
    std::fs::write(&path, "bytes").expect("the folder is there");
    let listener = UnixListener::bind(&socket).expect("the folder is there");
    let address: Address = format!("unix:{}", socket.display()).parse().expect("one");
    let options = Options {
        verify: false,
        ..Options::to(address.clone().into())
    };
    let item = |number| Item {
        path: path.clone(),
        name: format!("{number}"),
    };
    let mut reactor = Reactor::new().expect("a poll");
    let sources = Sources {
        hashing: Hashing::new(1, reactor.waker()),
        verify: false,
        sendfile: false,
        stream: None,
    };
    let mut quiet = Quiet;
    let mut driver = Driver {
        options: &options,
        addresses: vec![address],
        jobs: Jobs::new((0..FILES).map(item).collect(), &mut quiet, sources),
        wanted: 1,
        open: 0,
        rate: Rate::new(None, reactor.now()),
        retries: Retries::new(0),
    };
    driver.connect_more(&mut reactor);
    let (mut server, _) = listener.accept().expect("it connects");
    server.set_nonblocking(true).expect("a socket");
    let mut came: Vec<u8> = Vec::new();
    while came.windows(5).filter(|bytes| bytes == b"bytes").count() < FILES {
        reactor
            .turn(&mut driver, Some(Duration::ZERO))
            .expect("a poll");
        let mut bytes = [0; 4096];
        let got = server.read(&mut bytes).unwrap_or(0);
        came.extend(&bytes[..got]);
    }
    let mut replies = Vec::new();
    for number in 0..FILES {
        reply("OK\noffset=0", &mut replies);
        reply(
            &format!("OK\nname={number}\nsize=5\ndurable=yes"),
            &mut replies,
        );
    }
    let sent = server.write(&replies).expect("room");
    assert_eq!(sent, replies.len(), "they fit into the socket");
    for _ in 0..10 {
        reactor
            .turn(&mut driver, Some(Duration::ZERO))
            .expect("a poll");
    }
    assert_eq!(driver.open, 0);
    assert_eq!(driver.jobs.finish().stored, FILES);
}
