//! Output for programs: every line is an object, and its words are those of docs/JSON.md.

mod common;

use std::fs;
use std::path::PathBuf;

use common::{
    ClosedPort, Fake, PROGRAM, Ran, Server, Starter, command, data, end, piecemeal,
    piecemeal_with_input, put, skipped, string,
};
use piecemeal::proto::Code;
use serde_json::Value;
use tempfile::TempDir;

/// The objects of some lines; each has what every one must have.
fn objects<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<Value> {
    let parse = |line: &str| {
        let object: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        assert!(
            object["event"].is_string() && object["time"].is_string(),
            "{line}"
        );
        object
    };
    lines.into_iter().map(parse).collect()
}

fn events(ran: &Ran) -> Vec<Value> {
    objects(ran.out.lines())
}

fn names(objects: &[Value]) -> Vec<&str> {
    let names = objects.iter().map(|object| object["event"].as_str());
    names.map(|name| name.expect("it was looked at")).collect()
}

/// Files to send.
struct Files(TempDir);

impl Files {
    fn new() -> Files {
        Files(tempfile::tempdir().expect("a temporary folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn make(&self, name: &str) -> String {
        fs::write(self.path(name), "bytes").expect("the folder is there");
        self.path(name).display().to_string()
    }
}

fn send(to: &str, arguments: &[&str]) -> Ran {
    piecemeal(&[&["send", "--json", "--to", to], arguments].concat())
}

/// The one failure of a sending, and the exit code that it ended with.
fn failure(ran: &Ran) -> Value {
    let events = events(ran);
    let last = events.last().expect("a summary");
    assert_eq!(last["event"], "summary", "{ran:#?}");
    assert_eq!(last["exit"].as_i64(), ran.code.map(i64::from), "{ran:#?}");
    assert_eq!((&last["stored"], &last["failed"]), (&0.into(), &1.into()));
    let mut failures = events
        .into_iter()
        .filter(|event| event["event"] == "failed");
    let failure = failures.next().expect("a failure");
    assert!(failures.next().is_none(), "{ran:#?}");
    assert!(!failure["text"].as_str().expect("a text").is_empty());
    failure
}

#[test]
fn a_sending_is_told_from_the_connection_to_the_summary() {
    let (server, files) = (Server::start(&[]), Files::new());
    let (one, two) = (files.make("one.txt"), files.make("two.txt"));
    let ran = send(server.address(), &[&one, &two]).exits(0);
    assert_eq!(ran.err.lines().count(), 0, "{ran:#?}");
    let events = events(&ran);
    let mut kinds = names(&events);
    assert_eq!((kinds[0], kinds[5]), ("connected", "summary"));
    kinds.sort_unstable();
    assert_eq!(
        kinds,
        ["begun", "begun", "connected", "stored", "stored", "summary"]
    );
    assert_eq!(events[0]["to"], server.address());
    let stored = events
        .iter()
        .find(|event| event["event"] == "stored")
        .unwrap();
    assert_eq!(
        (&stored["name"], &stored["path"]),
        (&"one.txt".into(), &(&*one).into())
    );
    assert_eq!(
        (&stored["size"], &stored["durable"]),
        (&5.into(), &true.into())
    );
    assert_eq!(stored["blake3"], common::digest("bytes"));
    let summary = &events[5];
    assert_eq!(
        (&summary["stored"], &summary["bytes"]),
        (&2.into(), &10.into())
    );
    assert_eq!(
        (&summary["failed"], &summary["exit"]),
        (&0.into(), &0.into())
    );
    assert!(summary["seconds"].is_number());
}

#[test]
fn every_code_of_the_protocol_is_told_as_it_came() {
    let files = Files::new();
    let path = files.make("a.txt");
    let words = Code::ALL.map(Code::as_str);
    for word in words.into_iter().chain(["later-code"]) {
        let reply = string(format!("ERR {word}\ntext=why not\nretry=3"));
        let server = Fake::answering(reply);
        // Otherwise it waits as long as it is asked to, before each further try.
        let ran = send(&server.address, &["--retries", "0", &path]);
        let failure = failure(&ran);
        assert_eq!(failure["code"], word, "{failure}");
        assert_eq!(
            (&failure["path"], &failure["name"]),
            (&(&*path).into(), &"a.txt".into())
        );
        assert!(
            failure["text"].as_str().unwrap().contains("why not"),
            "{failure}"
        );
        assert_eq!(failure["retry"], 3);
        assert_ne!(ran.code, Some(0));
    }
}

#[test]
fn what_went_wrong_at_this_end_has_words_of_its_own() {
    let files = Files::new();
    let path = files.make("a.txt");
    let (closed, server) = (ClosedPort::new(), Server::start(&[]));
    let lost = Fake::playing(|peer| {
        peer.take(1);
    });
    let broken = Fake::answering(vec![2, 1, 7]);
    let silent = Fake::playing(|peer| peer.stand_still());
    for (to, arguments, code) in [
        (&*closed.address, &[&*path][..], "connect"),
        (&lost.address, &[&path], "lost"),
        (&broken.address, &[&path], "protocol"),
        (&silent.address, &["--timeout", "300ms", &path], "silent"),
        (server.address(), &["/no/such/file"], "local"),
        (server.address(), &["--name", "a\\b", &path], "name"),
        (server.address(), &["--cut-after", "3", &path], "cut"),
    ] {
        let arguments = [&["--retries", "0"], arguments].concat();
        let failure = failure(&send(to, &arguments));
        assert_eq!(failure["code"], code, "{failure}");
    }
    // What keeps a whole sending from beginning has no file, and no summary.
    let ran = send("no-such-host.invalid:9", &[&path]).exits(4);
    let failed = events(&ran);
    assert_eq!(names(&failed), ["failed"]);
    assert_eq!(
        (&failed[0]["code"], failed[0].get("path")),
        (&"resolve".into(), None)
    );
}

/// A folder with a file, and a link back to it, which can't be followed.
fn folder_with_a_loop(files: &Files) -> String {
    let folder = files.path("folder");
    fs::create_dir(&folder).expect("it is new");
    fs::write(folder.join("good"), "bytes").expect("the folder is there");
    std::os::unix::fs::symlink(".", folder.join("loop")).expect("the name is free");
    folder.display().to_string()
}

#[test]
fn what_a_folder_has_that_cannot_be_sent_is_told_like_the_rest() {
    let (server, files) = (Server::start(&[]), Files::new());
    let folder = folder_with_a_loop(&files);
    let ran = send(server.address(), &["--follow-links", &folder]).exits(23);
    let events = events(&ran);
    let failed: Vec<_> = (events.iter())
        .filter(|event| event["event"] == "failed")
        .collect();
    assert_eq!(failed.len(), 1, "{ran:#?}");
    assert_eq!(failed[0]["code"], "loop");
    assert_eq!(failed[0]["path"], format!("{folder}/loop"));
    let summary = events.last().expect("a summary");
    assert_eq!(
        (&summary["stored"], &summary["failed"]),
        (&1.into(), &1.into())
    );
}

#[test]
fn a_dry_run_is_told_to_programs_too() {
    let files = Files::new();
    let folder = folder_with_a_loop(&files);
    let dry = |arguments: &[&str]| {
        let ran = send("127.0.0.1:1", &[&["--dry-run"], arguments].concat());
        let events = events(&ran);
        (ran.code, events)
    };
    let (code, told) = dry(&["--follow-links", &folder]);
    assert_eq!(
        (code, names(&told)),
        (Some(23), vec!["listed", "failed", "summary"])
    );
    assert_eq!(
        (&told[0]["name"], &told[0]["size"]),
        (&"folder/good".into(), &5.into())
    );
    assert_eq!(
        (&told[2]["stored"], &told[2]["failed"]),
        (&0.into(), &1.into())
    );
    // It ends as the sending would, and neither reads a stream nor runs a command.
    let (code, told) = dry(&["/no/such/file"]);
    assert_eq!((code, names(&told)), (Some(9), vec!["failed", "summary"]));
    let made = files.path("made").display().to_string();
    let (code, told) = dry(&["--name", "made", "--exec", "--", "touch", &made]);
    assert_eq!((code, names(&told)), (Some(0), vec!["listed", "summary"]));
    assert_eq!(
        (&told[0]["name"], told[0].get("size")),
        (&"made".into(), None)
    );
    assert!(!files.path("made").exists());
}

#[test]
fn a_stream_has_no_size_before_its_end() {
    let server = Server::start(&[]);
    let ran = send(
        server.address(),
        &["--name", "stream", "--exec", "--", "echo", "four"],
    );
    let told = events(&ran.exits(0));
    assert_eq!(names(&told), ["connected", "begun", "stored", "summary"]);
    assert_eq!((told[1].get("size"), &told[2]["size"]), (None, &5.into()));
}

#[test]
fn a_server_tells_of_its_life_and_of_each_file() {
    let starter = Starter::new(&["--json", "--quiet"]).limited("-f 64");
    let mut server = starter.start();
    let mut client = server.client();
    client.send([put("name=a.txt\nsize=5\nend=explicit"), data("bytes")].concat());
    client.send(end(format!("blake3={}", common::digest("bytes"))));
    for _ in 0..3 {
        client.ok();
    }
    client.send([string("b.txt"), data(vec![0; 500_000])].concat());
    client.ok();
    client.refused("no-space");
    client.finish();
    client.expect_end();
    server.stop();
    let lines = server.out.to_end();
    let events = objects(lines.iter().map(String::as_str));
    assert_eq!(
        names(&events),
        [
            "listening",
            "stored",
            "failed",
            "refused",
            "stopping",
            "stopped"
        ]
    );
    assert_eq!(events[0]["address"], server.address());
    let stored = &events[1];
    assert_eq!(
        (&stored["name"], &stored["size"]),
        (&"a.txt".into(), &5.into())
    );
    assert_eq!(stored["blake3"], common::digest("bytes"));
    assert_eq!(stored["durable"], true);
    assert_eq!(events[2]["code"], "no-space");
    assert_eq!(events[3]["code"], "no-space");
    for event in &events[1..4] {
        assert!(event["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
    }
    assert_eq!(events[4]["under_way"], 0);
    let stopped = &events[5];
    assert_eq!(
        (&stopped["stored"], &stopped["bytes"]),
        (&1.into(), &5.into())
    );
    assert_eq!(
        (&stopped["failed"], &stopped["cut_off"]),
        (&1.into(), &0.into())
    );
}

#[test]
fn a_text_of_a_peer_moves_no_cursor_and_means_what_it_said() {
    let text = "\u{1b}[2J\u{202e}evil \"quoted\" \u{e0001}\u{85}ü\n";
    let server = Server::start(&["--json", "--strings", "message"]);
    let ran = piecemeal(&["say", "--json", "--to", server.address(), text]).exits(0);
    let line = server.out.wait_for(|line| line.contains("message"));
    for line in [&*line, ran.out.trim_end()] {
        let plain = |c: char| !c.is_control() && !"\u{202e}\u{e0001}".contains(c);
        assert!(line.chars().all(plain) && line.contains('ü'), "{line:?}");
        assert_eq!(objects([line])[0]["text"], text);
    }
    let reply = &events(&ran)[0];
    assert_eq!(reply["event"], "reply");
    assert_eq!(reply["reply"], format!("Message: {text}"));
}

#[test]
fn each_line_that_is_said_has_its_reply_or_the_reason_why_not() {
    let server = Server::start(&["--strings", "message"]);
    let arguments = ["say", "--json", "--to", server.address()];
    let ran = piecemeal_with_input(&arguments, b"one\ntwo\n").exits(0);
    let replies = events(&ran);
    assert_eq!(names(&replies), ["reply", "reply"]);
    assert_eq!(
        (&replies[0]["text"], &replies[1]["text"]),
        (&"one".into(), &"two".into())
    );
    let closed = ClosedPort::new();
    let ran = piecemeal(&["say", "--json", "--to", &closed.address, "text"]).exits(4);
    let failed = &events(&ran)[0];
    assert_eq!(
        (&failed["event"], &failed["code"]),
        (&"failed".into(), &"connect".into())
    );
}

#[test]
fn a_log_for_programs_has_nothing_else_on_standard_error() {
    let starter = Starter::new(&["-v", "--log-format", "json"]).unsaid();
    let mut server = starter.start();
    server
        .err
        .wait_for(|line| line.contains("listening on 127.0.0.1:"));
    server.stop();
    let lines = server.err.to_end();
    assert!(lines.len() > 3, "{lines:?}");
    for line in &lines {
        let object: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        for key in ["time", "level", "target", "message"] {
            assert!(object[key].is_string(), "{key} in {line}");
        }
    }
}

#[test]
fn what_is_logged_for_programs_has_its_level() {
    let starter = Starter::new(&["--log-format", "json"]).limited("-f 64");
    let server = starter.unsaid().start();
    let said = server.err.wait_for(|line| line.contains("listening on "));
    let said: Value = serde_json::from_str(&said).unwrap();
    let address = said["message"]
        .as_str()
        .unwrap()
        .replace("listening on ", "");
    assert_eq!(said["level"], "info");
    let mut client = common::Client::connect(&address);
    client.send(data(vec![0; 500_000]));
    client.refused("no-space");
    let warned = server.err.wait_for(|line| line.contains("no space"));
    let warned: Value = serde_json::from_str(&warned).unwrap();
    assert_eq!(warned["level"], "warn");
    assert!(warned["target"].as_str().unwrap().starts_with("piecemeal"));
}

#[test]
fn a_trace_for_people_does_not_go_where_programs_read() {
    let ran = piecemeal(&["serve", "--json", "--trace"]).exits(2);
    ran.line_with(&["--trace-file"]);
}

#[test]
fn no_color_is_respected_on_a_terminal() {
    let help = |variable: &str, value: &str| {
        let mut command = command("script");
        command.args([
            "-qec",
            &format!("{PROGRAM} serve --bind nonsense"),
            "/dev/null",
        ]);
        command.env("TERM", "xterm").env(variable, value);
        command
            .stdin(std::process::Stdio::null())
            .output()
            .map(|it| it.stdout)
    };
    let (Ok(plain), Ok(coloured)) = (help("NO_COLOR", "1"), help("NOTHING", "1")) else {
        return skipped("script can't be run here");
    };
    if !coloured.contains(&0x1b) {
        return skipped("script makes no terminal here");
    }
    assert!(
        !plain.contains(&0x1b),
        "{}",
        String::from_utf8_lossy(&plain)
    );
}

/// A server that is asked for a code, and what asks for it.
struct Ask(Code, Starter, fn(&Server));

/// What leads a server to say each code, but for those that only a failing disk does.
fn asks() -> Vec<Ask> {
    let serve = |arguments: &[&str]| Starter::new(&["--json"]).with(arguments);
    let ask = |code, arguments: &[&str], ask| Ask(code, serve(arguments), ask);
    vec![
        ask(Code::BadType, &[], |server| say(server, vec![0])),
        ask(Code::BadLength, &[], |server| {
            say(server, string([b'a'; 5000]))
        }),
        ask(Code::BadText, &[], |server| say(server, string(b"\xff"))),
        ask(Code::BadName, &[], |server| say(server, string("../a"))),
        ask(Code::BadState, &[], |server| say(server, end(""))),
        ask(Code::Exists, &[], |server| {
            server.client().upload("a.txt", b"bytes");
            say(server, string("a.txt"));
        }),
        ask(Code::TooLarge, &["--max-size", "3"], |server| {
            say(server, data("bytes"))
        }),
        ask(Code::NoSpace, &[], |server| {
            say(server, put("name=a\nsize=9223372036854775808"))
        }),
        ask(Code::Digest, &[], |server| {
            let other = common::digest("other");
            let put = put(format!("name=a\nsize=5\nblake3={other}"));
            say(server, [put, data("bytes")].concat());
        }),
        ask(Code::Incomplete, &[], |server| {
            let mut client = server.client();
            client.send(common::data_header(1, 9));
            client.finish();
        }),
        ask(Code::Timeout, &["--header-timeout", "300ms"], |server| {
            say(server, vec![])
        }),
        ask(Code::Busy, &["--max-connections", "1"], |server| {
            let mut first = server.client();
            first.upload("a.txt", b"bytes");
            let mut second = server.client();
            second.refused("busy");
        }),
        ask(Code::Shutdown, &[], |server| {
            let mut client = server.client();
            client.upload("a.txt", b"bytes");
            server.signal(rustix::process::Signal::TERM);
            client.refused("shutdown");
        }),
        ask(Code::Io, &[], |server| {
            fs::remove_dir_all(server.path("")).expect("the folder is there");
            say(server, string("a.txt"));
        }),
    ]
}

/// Sends something, and stays until the server has answered it.
fn say(server: &Server, bytes: Vec<u8>) {
    let mut client = server.client();
    client.send_quietly(bytes);
    client.reply();
}

#[test]
fn a_server_tells_of_every_code_that_it_answers_with() {
    let mut told = Vec::new();
    for Ask(code, starter, ask) in asks() {
        let server = starter.start();
        ask(&server);
        let word = format!("\"code\":\"{code}\"");
        let refused = |line: &str| line.contains("\"refused\"") && line.contains(&word);
        let line = server.out.wait_for(refused);
        let event = &objects([&*line])[0];
        assert!(
            event["peer"].as_str().unwrap().starts_with("127.0.0.1:"),
            "{event}"
        );
        assert!(!event["text"].as_str().unwrap().is_empty(), "{event}");
        told.push(code);
    }
    // `unknown` takes a disk that fails to sync: `journal.rs` looks at it in the same output.
    let left: Vec<_> = Code::ALL
        .into_iter()
        .filter(|code| !told.contains(code))
        .collect();
    assert_eq!(left, [Code::Unknown]);
}
