//! Servers, whose peers send every character there is.

use std::os::unix::net::UnixStream;

use rustix::process::Signal;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::common::{Client, Server, Starter, data, put, string};
use crate::evil::{NO_UTF8, all_scalars, forgery, tricks};
use crate::screen::Screen;

/// Messages that are sent ahead of their replies.
const AHEAD: usize = 100;

/// Ways to have all said that a server can say.
const LOUD: [&[&str]; 3] = [
    &["-vv", "--trace"],
    &["-v", "--log-format", "json"],
    &["-vv", "--json", "--log-format", "json"],
];

fn exchange(client: &mut Client, messages: &[Vec<u8>]) {
    for messages in messages.chunks(AHEAD) {
        client.send(messages.concat());
        for _ in messages {
            client.reply();
        }
    }
}

/// Everything that it printed, after it was told to stop.
fn printed(server: &mut Server, screen: &Screen, what: &str, as_json: bool) -> Vec<u8> {
    server.signal(Signal::TERM);
    server.wait();
    let (out, err) = (server.out.raw_to_end(), server.err.raw_to_end());
    screen.takes(&format!("{what}: standard output"), &out);
    screen.takes(&format!("{what}: standard error"), &err);
    if as_json {
        screen.takes_json(what, &out);
    }
    [out, err].concat()
}

/// Texts in STRING and in PUT, as each of them may come.
fn announcements() -> Vec<Vec<u8>> {
    let mut texts = all_scalars(4000);
    // Each alone, too: a name that is refused for one character hides how the next is shown.
    texts.extend(tricks());
    texts.push(forgery());
    let put_lines = texts.iter().map(|text| put(format!("name={text}")));
    let keys = tricks()
        .into_iter()
        .map(|trick| put(format!("{trick}={trick}\nname=a")));
    let values = tricks()
        .into_iter()
        .map(|trick| put(format!("name=a\nsize={trick}\nconflict={trick}")));
    let no_text = NO_UTF8
        .iter()
        .flat_map(|bytes| [string(bytes), put([b"name=", *bytes].concat())]);
    let every_byte = (0..=255_u8).map(|byte| string([b'a', byte, b'b']));
    let strings = texts.iter().map(string);
    strings
        .chain(put_lines)
        .chain(keys)
        .chain(values)
        .chain(no_text)
        .chain(every_byte)
        .collect()
}

#[test]
fn names_of_every_character_are_told_and_logged_as_plain_text() {
    let screen = Screen::new();
    let messages = announcements();
    for arguments in LOUD {
        let quick = [
            arguments,
            &[
                "--durability",
                "none",
                "--allow-hidden",
                "--on-conflict",
                "rename",
            ],
        ];
        let starter = Starter::new(&quick.concat()).variable("RUST_LOG", "trace");
        let as_json = arguments.contains(&"--json");
        let mut server = if as_json {
            Server::start(&quick.concat())
        } else {
            starter.start()
        };
        let mut client = server.client();
        exchange(&mut client, &messages);
        // Whatever is taken is stored too, and told of.
        for text in tricks().iter().chain(&all_scalars(190)[..40]) {
            client.send([string(text), data(b"x")].concat());
            client.reply();
            client.reply();
        }
        client.upload("last.txt", b"x");
        printed(&mut server, &screen, &format!("{arguments:?}"), as_json);
    }
}

#[test]
fn messages_of_every_character_are_shown_as_plain_text() {
    let screen = Screen::new();
    for arguments in LOUD {
        let arguments = [arguments, &["--strings", "message"]].concat();
        let as_json = arguments.contains(&"--json");
        let mut server = Server::start(&arguments);
        let mut client = server.client();
        exchange(&mut client, &announcements());
        let printed = printed(&mut server, &screen, &format!("{arguments:?}"), as_json);
        assert!(printed.len() > 1_000_000, "messages are shown");
    }
}

#[test]
fn a_peer_on_a_unix_socket_with_a_hostile_path_is_shown_as_plain_text() {
    let screen = Screen::new();
    let starter = Starter::new(&["-vv", "--trace"]);
    let home = starter.home();
    let bind = format!("unix:{}", home.join("socket").display());
    let mut server = starter.with(&["--bind", &bind]).start();
    for (number, trick) in (0..).zip(tricks().into_iter().chain([forgery()])) {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
        let from = home.join(format!("{number}{trick}"));
        socket
            .bind(&SockAddr::unix(from).expect("short"))
            .expect("a free path");
        socket
            .connect(&SockAddr::unix(home.join("socket")).expect("short"))
            .expect("it listens");
        let stream = UnixStream::from(socket);
        drop(stream);
    }
    Client::connect(&bind).upload("last.txt", b"x");
    let printed = printed(&mut server, &screen, "unix peers", false);
    let shown = String::from_utf8_lossy(&printed);
    // Who has no address of its own is shown by the socket that it came to.
    assert!(shown.contains("connected: unix:"), "peers are shown: {shown}");
}
