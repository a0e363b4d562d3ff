//! Servers, whose peers send every character there is.

use rustix::process::Signal;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::common::{Client, Server, Starter, data, put, string};
use crate::evil::{NO_UTF8, forgery, scalars, size_of, tricks};
use crate::screen::Screen;

/// Messages that are sent ahead of their replies.
const AHEAD: usize = 100;

/// Ways to have all said that a server can say.
const LOUD: [&[&str]; 3] = [
    &["-vv", "--trace"],
    &["-v", "--log-format", "json"],
    &["-vv", "--json", "--log-format", "json"],
];

/// Starts it on a Unix socket of this name, and gives the address: what it says of one on a port
/// is no plain line where the log is JSON.
fn start(starter: Starter, socket: &str) -> (Server, String) {
    let address = format!("unix:{}", starter.home().join(socket).display());
    let starter = starter.with(&["--bind", &address]);
    let server = starter.variable("RUST_LOG", "trace").unsaid().start();
    server.err.wait_for(|line| line.contains("listening on"));
    (server, address)
}

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
    let mut texts = scalars(4000);
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
        let quick = ["--durability", "none", "--allow-hidden"];
        let quick = [arguments, &quick, &["--on-conflict", "rename"]].concat();
        let (mut server, address) = start(Starter::new(&quick), "socket");
        let mut client = Client::connect(&address);
        exchange(&mut client, &messages);
        // Whatever is taken is stored too, and told of.
        let short = scalars(190).into_iter().take(40);
        for text in tricks().into_iter().chain(short) {
            client.send([string(&text), data(b"x")].concat());
            client.reply();
            client.reply();
        }
        client.upload("last.txt", b"x");
        let as_json = arguments.contains(&"--json");
        let printed = printed(&mut server, &screen, &format!("{arguments:?}"), as_json);
        assert!(printed.len() > 10_000, "what is stored is told of");
    }
}

#[test]
fn messages_of_every_character_are_shown_as_plain_text() {
    let screen = Screen::new();
    for arguments in LOUD {
        let starter = Starter::new(arguments).with(&["--strings", "message"]);
        let (mut server, address) = start(starter, "socket");
        exchange(&mut Client::connect(&address), &announcements());
        let as_json = arguments.contains(&"--json");
        let printed = printed(&mut server, &screen, &format!("{arguments:?}"), as_json);
        assert!(
            printed.len() > size_of(&scalars(4_000)),
            "messages are shown"
        );
    }
}

#[test]
fn sockets_at_hostile_paths_are_shown_as_plain_text() {
    let screen = Screen::new();
    for (number, trick) in (0..).zip(tricks().into_iter().chain([forgery()])) {
        let starter = Starter::new(LOUD[number % LOUD.len()]);
        let home = starter.home();
        let (mut server, address) = start(starter, &format!("s{trick}"));
        // Its own end has such a path too.
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
        let bound = SockAddr::unix(home.join(format!("p{trick}"))).expect("short");
        socket.bind(&bound).expect("a free path");
        let to = address.strip_prefix("unix:").expect("it has one");
        let to = SockAddr::unix(to).expect("short");
        socket.connect(&to).expect("it listens");
        drop(socket);
        Client::connect(&address).upload("last.txt", b"x");
        let what = format!("a socket at {trick:?}");
        let printed = printed(&mut server, &screen, &what, false);
        let shown = String::from_utf8_lossy(&printed);
        assert!(
            shown.contains("connected"),
            "{what}: peers are shown: {shown}"
        );
    }
}
