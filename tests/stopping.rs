//! Signals, and the limits of the process.

mod common;

use std::fs;
use std::thread;

use common::{Server, Starter, data, data_header, string};
use rustix::process::Signal;

#[test]
fn either_signal_lets_a_server_finish_and_end_well() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut server = Server::start(&[]);
        server.client().upload("a.txt", b"bytes");
        server.signal(signal);
        assert_eq!(server.wait().code(), Some(0));
        server
            .err
            .wait_for(|line| line.starts_with("stopped; 1 file stored"));
        assert!(
            !server.path(".piecemeal").exists(),
            "nothing is left behind"
        );
    }
}

#[test]
fn a_second_signal_ends_a_server_at_once() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut server = Server::start(&["--shutdown-timeout", "0"]);
        let (mut client, mut idle) = (server.client(), server.client());
        client.send([string("a.txt"), data_header(1, 10), b"first".to_vec()].concat());
        client.ok();
        idle.upload("idle.txt", b"bytes");
        server.signal(signal);
        idle.refused("shutdown");
        server.signal(signal);
        assert_eq!(server.wait().code(), Some(code));
        assert_eq!(server.names(), ["idle.txt"]);
    }
}

#[test]
fn a_killed_server_leaves_nothing_that_looks_like_a_file() {
    let server = Server::start(&[]);
    let mut client = server.client();
    client.send(
        [
            string("a.txt"),
            data_header(4, 3_000_000),
            vec![0; 2_000_000],
        ]
        .concat(),
    );
    client.ok();
    let mut other = server.client();
    other.upload("b.txt", b"bytes");
    server.signal(Signal::KILL);
    // The folder outlives the server here, since its test does.
    server.err.to_end();
    assert_eq!(server.names(), ["b.txt"]);
}

#[test]
fn five_hundred_clients_are_served_where_there_are_only_64_descriptors() {
    let server = Starter::new(&[]).limited("-n 64").start();
    let clients: Vec<_> = (0..500)
        .map(|number| {
            // Each is connected before the first one sends.
            let mut client = server.client();
            (
                number,
                thread::spawn(move || client.upload(&format!("{number}.txt"), b"bytes")),
            )
        })
        .collect();
    for (number, client) in clients {
        assert!(client.join().is_ok(), "client {number}");
    }
    assert_eq!(server.names().len(), 500);
}

#[test]
fn clients_that_hold_every_place_do_not_keep_the_next_ones_waiting_for_ever() {
    let server = Starter::new(&[]).limited("-n 64").start();
    let mut holding: Vec<_> = (0..40).map(|_| server.client()).collect();
    // The first of them has a place; somebody at the end waits in the queue of the system.
    holding[0].upload("first.txt", b"bytes");
    let mut last = holding.pop().unwrap();
    last.send([string("last.txt"), data("bytes")].concat());
    drop(holding);
    last.ok();
    last.receipt("last.txt", 5);
}

#[test]
fn more_connections_than_there_are_descriptors_for_are_warned_of() {
    let starter = Starter::new(&["--max-connections", "1000"]).limited("-n 64");
    let server = starter.start();
    let line = server
        .err
        .wait_for(|line| line.starts_with("warning: 1000 connections"));
    assert!(line.contains("64") && line.contains("ulimit -n"), "{line}");
    server.client().upload("a.txt", b"bytes");
}

#[test]
fn a_folder_that_is_missing_is_made_and_its_parents_too() {
    let starter = Starter::new(&[]);
    fs::remove_dir(starter.home().join("stored")).unwrap();
    let server = starter.start();
    server.client().upload("a.txt", b"bytes");
    assert_eq!(server.stored("a.txt"), b"bytes");
}
