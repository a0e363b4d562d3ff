//! Peers that vanish without a word: no end and no reset ever comes, and nothing is acknowledged.
//!
//! A filter on their own socket drops whatever the server sends, so no privilege is needed.
//! `cargo test --release --test vanished_peers -- --ignored --nocapture` waits until the server's
//! defaults notice.
#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::time::{Duration, Instant};

use common::{Client, Server, Starter, data, data_header, end, put, string, wait_until};

/// Short, and yet longer than a client here needs for its next step, however busy the machine is.
const SHORT: &str = "5s";

/// Vanishes at one point of a session.
type Vanish = fn(&Server) -> Client;

const BEFORE: Vanish = |server| {
    let client = server.client();
    client.go_dark();
    client
};

const IN_A_HEADER: Vanish = |server| {
    let mut client = server.client();
    client.send([string("vanished"), vec![9, 5, 0]].concat());
    client.ok();
    client.go_dark();
    client
};

const IN_A_BODY: Vanish = |server| {
    let mut client = server.client();
    client.send(
        [
            string("vanished"),
            data_header(4, 3 << 20),
            vec![7; 1 << 20],
        ]
        .concat(),
    );
    client.ok();
    client.go_dark();
    client
};

const IN_A_BODY_TO_BE_RESUMED: Vanish = |server| {
    let mut client = server.client();
    let announced = put(format!("name=resumed\nsize={}\nupload=one", 3 << 20));
    client.send([announced, data_header(4, 3 << 20), vec![7; 1 << 20]].concat());
    client.ok();
    let has_all = |entry: fs::DirEntry| entry.metadata().is_ok_and(|facts| facts.len() == 1 << 20);
    wait_until("all of it has come", || {
        let mut kept = fs::read_dir(server.path(".piecemeal")).expect("it is there");
        kept.any(|entry| entry.is_ok_and(has_all))
    });
    client.go_dark();
    client
};

const BETWEEN: Vanish = |server| {
    let mut client = server.client();
    client.send(end("nothing=ended"));
    client.refused("bad-state");
    client.go_dark();
    client
};

const WITH_A_REPLY_ON_ITS_WAY: Vanish = |server| {
    let mut client = server.client();
    client.send(string("sent"));
    client.ok();
    client.go_dark();
    client.send(data("bytes"));
    client
};

const ALL: [Vanish; 6] = [
    BEFORE,
    IN_A_HEADER,
    IN_A_BODY,
    IN_A_BODY_TO_BE_RESUMED,
    BETWEEN,
    WITH_A_REPLY_ON_ITS_WAY,
];

#[test]
fn a_peer_that_vanishes_gives_its_place_back_at_its_deadline_wherever_it_was() {
    let server = Server::start(&[
        "--header-timeout",
        SHORT,
        "--stall-timeout",
        SHORT,
        "--idle-timeout",
        SHORT,
        "--max-connections",
        "6",
    ]);
    let before = server.descriptors_when_warm();
    let vanished: Vec<Client> = ALL.iter().map(|vanish| vanish(&server)).collect();
    server.upload_when_there_is_room("next");
    server.settles_to(before);
    assert_eq!(server.names(), ["next", "sent"]);
    // Of all that, only the partial that can be gone on with is kept, and its record.
    assert_eq!(server.partials(), 2);
    let mut client = server.client();
    client.send(put(format!("name=resumed\nsize={}\nupload=one", 3 << 20)));
    assert_eq!(client.ok().key("offset"), Some("1048576"));
    client.send(data(vec![7; 2 << 20]));
    client.receipt("resumed", 3 << 20);
    assert_eq!(server.partials(), 0);
    drop(vanished);
}

#[test]
fn bytes_that_are_never_acknowledged_end_a_connection_that_has_no_deadline() {
    let never = ["--idle-timeout", "0", "--header-timeout", "0"];
    let server = Server::start(&[&never[..], &["--stall-timeout", SHORT]].concat());
    let before = server.descriptors_when_warm();
    let vanished = WITH_A_REPLY_ON_ITS_WAY(&server);
    wait_until("it is stored", || server.names().len() == 1);
    server.settles_to(before);
    drop(vanished);
}

/// That a silent peer is asked can be seen at once; what comes of it takes longer than a minute.
#[test]
fn a_silent_peer_is_asked_whether_it_is_there() {
    let server = Server::start(&["--idle-timeout", "0"]);
    let mut client = server.client();
    client.upload("first", b"bytes");
    let port = server.address().rsplit(':').next().expect("a port");
    let port: u16 = port.parse().expect("a number");
    // While anything is unacknowledged there is another timer; it becomes this one soon.
    wait_until("its keepalive timer runs", || {
        let sockets = fs::read_to_string("/proc/net/tcp").expect("this is Linux");
        let mut ours = sockets.lines().filter(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            fields[1].ends_with(&format!(":{port:04X}")) && fields[3] == "01"
        });
        ours.any(|line| {
            line.split_whitespace()
                .nth(5)
                .is_some_and(|timer| timer.starts_with("02:"))
        })
    });
}

/// How many vanish of a kind.
const MANY: usize = 20;

/// Waits until none of these is left, and says how long that took.
#[expect(clippy::print_stdout, reason = "the figures are for whoever runs it")]
fn say_how_long(what: &str, server: &Server, before: usize, patience: Duration) {
    wait_until("all of them were there", || {
        server.descriptors() >= before + MANY
    });
    let began = Instant::now();
    while server.descriptors() > before {
        assert!(began.elapsed() < patience, "{what}: still there");
        std::thread::sleep(Duration::from_millis(20));
    }
    println!("{what}: gone after {:.1} s", began.elapsed().as_secs_f64());
}

#[test]
#[ignore = "takes ten minutes: waits for the defaults' deadlines"]
fn a_peer_that_vanishes_is_gone_after_the_defaults_deadlines() {
    let with = |arguments: &[&str], what: &str, vanish: Vanish, patience: u64| {
        let server = Starter::new(arguments).start();
        let before = server.descriptors_when_warm();
        let vanished: Vec<Client> = (0..MANY).map(|_| vanish(&server)).collect();
        say_how_long(what, &server, before, Duration::from_secs(patience));
        drop(vanished);
    };
    let forever = [
        "--idle-timeout",
        "0",
        "--header-timeout",
        "0",
        "--on-conflict",
        "rename",
    ];
    let renames = ["--on-conflict", "rename"];
    std::thread::scope(|scope| {
        scope.spawn(|| with(&[], "before the first byte", BEFORE, 30));
        scope.spawn(|| with(&renames, "in a header", IN_A_HEADER, 30));
        scope.spawn(|| with(&renames, "in a body", IN_A_BODY, 80));
        scope.spawn(|| with(&renames, "between messages", BETWEEN, 330));
        scope.spawn(|| with(&renames, "reply on its way", WITH_A_REPLY_ON_ITS_WAY, 100));
        scope.spawn(|| with(&forever, "silent, no deadline", BETWEEN, 150));
        scope.spawn(|| {
            let forever = [&forever[..], &["--stall-timeout", "0"]].concat();
            with(
                &forever,
                "silent, no deadline, no user timeout",
                BETWEEN,
                180,
            );
        });
    });
}
