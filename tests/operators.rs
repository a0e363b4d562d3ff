//! What an operator sees and sets: start-up lines, addresses, standard output, variables, usage.

mod common;

use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;

use common::{
    Client, PROGRAM, Server, Starter, command, data, data_eof, piecemeal, put, skipped, string,
};
use rustix::process::Signal;

#[test]
fn the_first_line_says_where_the_server_listens_and_nothing_more() {
    let server = Server::start(&[]);
    let line = server.err.wait_for(|_| true);
    let port = line.strip_prefix("listening on 127.0.0.1:").expect(&line);
    assert!(port.parse::<u16>().unwrap() > 0, "{line}");
    let sends = format!("  piecemeal send --to 127.0.0.1:{port} FILE");
    server.err.wait_for(|line| line == sends);
    server
        .err
        .wait_for(|line| line.starts_with("storing into "));
    server.err.wait_for(|line| line.starts_with("limits: "));
    server.client().upload("a.txt", b"bytes");
}

#[test]
fn a_quiet_server_says_where_it_listens_and_no_more() {
    let mut server = Server::start(&["-q"]);
    server.client().upload("a.txt", b"bytes");
    server.stop();
    assert_eq!(server.err.to_end().len(), 1);
    assert_eq!(server.out.to_end(), [""; 0]);
}

#[test]
fn a_server_that_others_can_reach_is_warned_of_and_one_that_they_can_not_is_not() {
    let mut server = Server::start(&["--bind", "0.0.0.0:0"]);
    let warns =
        |line: &str| line.starts_with("warning: 0.0.0.0:") && line.contains("other machines");
    server.err.wait_for(warns);
    // The command that is shown is one that works.
    let port = server.address().rsplit(':').next().unwrap();
    let sends = format!("  piecemeal send --to 127.0.0.1:{port} FILE");
    server.err.wait_for(|line| line == sends);
    server.stop();
    let mut server = Server::start(&[]);
    server.stop();
    assert!(
        !server
            .err
            .to_end()
            .iter()
            .any(|line| line.contains("warning"))
    );
}

#[test]
fn a_server_listens_at_several_addresses_at_once() {
    let home = tempfile::tempdir().unwrap();
    let unix = format!("unix:{}", home.path().join("socket").display());
    let mut binds = vec!["--bind", "127.0.0.1:0,127.0.0.1:0", "--bind", &unix];
    if TcpListener::bind("[::1]:0").is_ok() {
        binds.extend(["--bind", "[::1]:0"]);
    } else {
        skipped("there is no IPv6 here");
    }
    let server = Server::start(&binds);
    assert_eq!(server.addresses().len(), binds.len() / 2 + 1);
    for (number, address) in server.addresses().iter().enumerate() {
        Client::connect(address).upload(&format!("{number}.txt"), b"bytes");
    }
    assert_eq!(server.names().len(), server.addresses().len());
    let from = format!("stored 2.txt (5 bytes) from {unix}");
    server.out.wait_for(|line| line == from);
}

/// A server at a Unix socket.
fn at_socket(path: &Path) -> Server {
    Server::start(&["--bind", &format!("unix:{}", path.display())])
}

#[test]
fn a_sockets_file_is_there_while_the_server_runs_and_gone_afterwards() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("socket");
    let mut server = at_socket(&path);
    server.client().upload("a.txt", b"bytes");
    assert!(path.exists());
    server.stop();
    assert!(!path.exists());
}

#[test]
fn a_sockets_file_that_a_killed_server_left_is_replaced() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("socket");
    drop(at_socket(&path));
    assert!(path.exists(), "a killed server removes nothing");
    at_socket(&path).client().upload("a.txt", b"bytes");
    fs::remove_file(&path).unwrap();
    // A program that died without a word leaves the same.
    drop(UnixListener::bind(&path).unwrap());
    at_socket(&path).client().upload("a.txt", b"bytes");
}

#[test]
fn a_sockets_path_that_is_in_use_or_no_socket_is_left_alone() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("socket");
    let server = at_socket(&path);
    let dir = home.path().join("other").display().to_string();
    let serve = |path: &Path| {
        let bind = format!("unix:{}", path.display());
        let ran = piecemeal(&["serve", "--dir", &dir, "--bind", &bind]).exits(1);
        ran.line_with(&["piecemeal: ", "can't listen on", &bind])
            .to_owned()
    };
    serve(&path);
    server
        .client()
        .upload("a.txt", b"the first one is not disturbed");
    let file = home.path().join("file");
    fs::write(&file, "precious").unwrap();
    serve(&file);
    assert_eq!(fs::read(&file).unwrap(), b"precious");
}

#[test]
fn an_address_of_another_machine_can_not_be_listened_at() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().display().to_string();
    let ran = piecemeal(&["serve", "--dir", &dir, "--bind", "192.0.2.1:9000"]).exits(1);
    ran.line_with(&["can't listen on 192.0.2.1:9000", "no such address"]);
}

#[test]
fn a_line_is_printed_for_each_file_that_is_stored_and_for_no_other() {
    let mut server = Server::start(&[]);
    let mut client = server.client();
    client.upload("two words.txt", b"bytes");
    client.upload("länge.txt", b"");
    client.send(data("unnamed"));
    let unnamed = client.ok().key("name").unwrap().to_owned();
    let (stem, dot_bin) = unnamed.split_at(8);
    assert!(stem.bytes().all(|byte| byte.is_ascii_alphanumeric()) && dot_bin == ".bin");
    client.send([string("two words.txt"), data("again")].concat());
    client.refused("exists");
    client.refused("exists");
    client.finish();
    client.expect_end();
    server.stop();
    let lines = server.out.to_end();
    let starts = [
        "stored two words.txt (5 bytes) from 127.0.0.1:".to_owned(),
        "stored länge.txt (0 bytes) from 127.0.0.1:".to_owned(),
        format!("stored {unnamed} (7 bytes) from 127.0.0.1:"),
    ];
    assert_eq!(lines.len(), starts.len(), "{lines:#?}");
    for (line, start) in lines.iter().zip(starts) {
        assert!(line.starts_with(&start), "{line}");
    }
    server
        .err
        .wait_for(|line| line.starts_with("stopped; 3 files stored"));
}

#[test]
fn nothing_that_a_peer_says_reaches_the_terminal_raw() {
    let server = Server::start(&["--strings", "message", "-v"]);
    let mut client = server.client();
    let evil =
        "\x1b[2J\x1b]0;title\x07\r\nstored forged.txt (5 bytes) from 1.2.3.4:5\u{202e}\u{9b}";
    client.send(string(evil));
    assert_eq!(client.reply().text(), format!("Message: {evil}"));
    client.send(put("name=\x1b[2J"));
    client.refused("bad-name");
    client.send(string("a plain text, länger"));
    client.reply();
    let plain = server
        .out
        .wait_for(|line| line.ends_with(": a plain text, länger"));
    assert!(plain.starts_with("message from 127.0.0.1:"), "{plain}");
    let lines = server.out.so_far();
    assert_eq!(lines.len(), 2, "one line for each message: {lines:#?}");
    let shown = server.err.so_far().into_iter().chain(lines);
    for line in shown {
        let bad = |c: char| c.is_control() || c == '\u{202e}';
        assert!(!line.contains(bad), "{line:?}");
    }
}

#[test]
fn the_longest_message_comes_back_whole() {
    let server = Server::start(&["--strings", "message"]);
    let mut client = server.client();
    let longest = "é".repeat(2048);
    client.send([string(&longest), string("")].concat());
    assert_eq!(client.reply().text(), format!("Message: {longest}"));
    assert_eq!(client.reply().text(), "Message: ");
    client.send(string(b"\xff"));
    client.refused("bad-text");
    // An upload needs no name, or one from a PUT.
    client.send([data("unnamed"), put("name=a.txt"), data("bytes")].concat());
    client.ok();
    client.ok();
    client.receipt("a.txt", 5);
}

#[test]
fn a_receipt_promises_only_what_the_server_was_told_to_do() {
    for (level, durable) in [("full", "yes"), ("none", "no")] {
        let server = Server::start(&["--durability", level]);
        let mut client = server.client();
        client.send([put("name=a.txt"), data("bytes")].concat());
        client.ok();
        assert_eq!(client.receipt("a.txt", 5).key("durable"), Some(durable));
    }
}

#[test]
fn hidden_names_are_taken_where_the_server_was_told_to_but_never_its_own() {
    let server = Server::start(&["--allow-hidden"]);
    let mut client = server.client();
    client.upload(".hidden", b"bytes");
    for name in [".", "..", ".piecemeal"] {
        client.send(string(name));
        client.refused("bad-name");
    }
}

#[test]
fn every_setting_can_come_from_a_variable_and_a_flag_wins_over_it() {
    let server = Starter::new(&["--header-timeout", "1h"])
        .variable("PIECEMEAL_BIND", "127.0.0.1:0,127.0.0.1:0")
        .variable("PIECEMEAL_MAX_SIZE", "10")
        .variable("PIECEMEAL_MAX_CONNECTIONS", "7")
        .variable("PIECEMEAL_ON_CONFLICT", "rename")
        .variable("PIECEMEAL_DURABILITY", "none")
        .variable("PIECEMEAL_ACCEPT_EOF", "true")
        .variable("PIECEMEAL_ALLOW_HIDDEN", "1")
        .variable("PIECEMEAL_HEADER_TIMEOUT", "1ms")
        .variable("PIECEMEAL_STALL_TIMEOUT", "2h")
        .variable("PIECEMEAL_IDLE_TIMEOUT", "3h")
        .variable("PIECEMEAL_MIN_RATE", "5")
        .variable("PIECEMEAL_SHUTDOWN_TIMEOUT", "4h")
        .variable("PIECEMEAL_PARTIAL_TTL", "6h")
        .variable("PIECEMEAL_MAX_PER_IP", "8")
        .variable("PIECEMEAL_LIMIT_RATE", "9MiB")
        .variable("PIECEMEAL_QUOTA", "1GiB")
        .variable("PIECEMEAL_MIN_FREE", "1")
        .start();
    let limits = "limits: size 10 B; connections 7; header 1h; stall 2h; idle 3h; slowest 5 B/s; \
                  stop 4h; partials 6h; from one address 8; all together 9.0 MiB/s; \
                  quota 1.0 GiB, of which 0 B are used; free space left 1 B";
    server.err.wait_for(|line| line == limits);
    let mut client = server.client();
    client.upload(".hidden", b"bytes");
    client.send([string(".hidden"), data("again")].concat());
    client.ok();
    assert_eq!(client.receipt(".hidden (2)", 5).key("durable"), Some("no"));
    client.send(data([0; 11]));
    assert_eq!(client.refused("too-large").key("limit"), Some("10"));
    client.send([string("eof.txt"), data_eof("bytes")].concat());
    client.finish();
    client.ok();
    client.receipt("eof.txt", 5);
}

#[test]
fn a_switch_in_a_variable_can_be_off_and_messages_and_silence_can_be_set_there_too() {
    let mut server = Starter::new(&[])
        .variable("PIECEMEAL_STRINGS", "message")
        .variable("PIECEMEAL_ACCEPT_EOF", "0")
        .variable("PIECEMEAL_ALLOW_HIDDEN", "false")
        .variable("PIECEMEAL_QUIET", "1")
        .start();
    let mut client = server.client();
    client.send([string("a text"), put("name=.hidden"), data_eof("")].concat());
    assert_eq!(client.reply().text(), "Message: a text");
    client.refused("bad-name");
    client.refused("bad-type");
    client.expect_end();
    server.stop();
    assert_eq!(server.err.to_end().len(), 1);
}

#[test]
fn the_folder_can_come_from_a_variable() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    fs::write(&file, "").unwrap();
    let mut command = command(PROGRAM);
    command
        .args(["serve", "--bind", "127.0.0.1:0"])
        .env("PIECEMEAL_DIR", &file);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(&file.display().to_string()), "{said}");
}

#[test]
fn a_verbose_server_logs_connections_and_a_more_verbose_one_every_step() {
    for (flag, word) in [("-v", "connected"), ("-vv", "ReadLen")] {
        let mut server = Server::start(&[flag]);
        server.client().upload("a.txt", b"bytes");
        server.err.wait_for(|line| line.contains(word));
        server.signal(Signal::TERM);
        assert_eq!(server.wait().code(), Some(0));
    }
}

#[test]
fn wrong_usage_ends_with_2_and_says_what_would_be_right() {
    for (arguments, says) in [
        (&["serve", "--max-size", "ten"][..], "try 64KiB"),
        (&["serve", "--idle-timeout", "10"], "try 10s"),
        (&["serve", "--max-connections", "many"], "try 1000"),
        (&["serve", "--bind", "127.0.0.1"], "try 127.0.0.1:9000"),
        (
            &["serve", "--bind", "example.org:9000"],
            "not an IP address",
        ),
        (&["serve", "--bind", "unix:"], "path"),
        (&["serve", "--on-conflict", "perhaps"], "rename"),
        (&["serve", "--durability", "half"], "full"),
        (&["serve", "--strings", "both"], "message"),
        (&["serve", "--bnid", "127.0.0.1:0"], "--bind"),
        (&["serve", "extra"], "extra"),
        (&["sned"], "send"),
        (&["send"], "FILE"),
        (&["send", "-j", "0", "file"], "0"),
        (&["send", "--to", "nowhere", "file"], "try 127.0.0.1:9000"),
        (
            &["send", "--name", "x", "one", "two"],
            "--name is for one file",
        ),
        (&["say", "one", "two"], "two"),
        (&[], "Usage"),
    ] {
        let ran = piecemeal(arguments).exits(2);
        assert!(ran.err.contains(says), "{arguments:?}: {ran:#?}");
    }
}

#[test]
fn help_names_every_exit_code() {
    let help = piecemeal(&["--help"]).exits(0).out;
    for code in [
        "0", "1", "2", "3", "4", "6", "7", "8", "9", "23", "130", "143",
    ] {
        let named = help
            .lines()
            .any(|line| line.split_whitespace().next() == Some(code));
        assert!(named, "{code} is missing in {help}");
    }
    piecemeal(&["--version"]).exits(0);
}

#[test]
fn a_verbose_server_tells_its_own_steps_and_no_librarys() {
    let mut server = Server::start(&["-vv"]);
    server.client().upload("a.txt", b"bytes");
    server.stop();
    let lines = server.err.so_far();
    assert!(
        lines.iter().any(|line| line.contains("TRACE piecemeal")),
        "{lines:#?}"
    );
    assert!(
        !lines.iter().any(|line| line.contains(" mio")),
        "{lines:#?}"
    );
}

#[test]
fn a_level_for_all_modules_in_the_environment_overrides_the_flags() {
    let mut server = Starter::new(&[]).variable("RUST_LOG", "debug").start();
    server.client().upload("a.txt", b"bytes");
    server.stop();
    let lines = server.err.so_far();
    assert!(
        lines.iter().any(|line| line.contains("DEBUG piecemeal")),
        "{lines:#?}"
    );
}

#[test]
fn failures_that_were_not_told_one_by_one_are_counted_at_the_stop() {
    let mut server = Starter::new(&[]).limited("-f 64").start();
    let mut client = server.client();
    let failures = 300;
    for _ in 0..failures {
        client.send([string("a.txt"), data(vec![0; 80_000])].concat());
        client.ok();
        client.refused("no-space");
    }
    server.stop();
    let said = server.err.so_far();
    let told = said.iter().filter(|line| line.contains("no space"));
    let told = told.count();
    let counted = said.iter().filter_map(|line| {
        let (before, _) = line.split_once(" more failures were not told")?;
        before.rsplit(' ').next()?.parse::<usize>().ok()
    });
    assert!(told > 0 && told < failures, "{said:#?}");
    assert_eq!(told + counted.sum::<usize>(), failures, "{said:#?}");
}
