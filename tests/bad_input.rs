//! Peers that lie, vanish or never read, and operators who make mistakes or don't read either.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind};
use std::process::Stdio;
use std::thread;

use common::{
    Client, PROGRAM, Ran, Server, Starter, command, data, data_header, digest, piecemeal, put,
    signal, string,
};
use rustix::process::Signal;

#[test]
fn a_length_near_2_to_the_64_costs_no_memory_and_wraps_nowhere() {
    let server = Server::start(&["--max-size", "1GiB"]);
    for length in [u64::MAX, u64::MAX - 7, 1 << 63, (1 << 63) - 1] {
        let mut client = server.client();
        client.send([data_header(8, length), b"bytes".to_vec()].concat());
        client.refused("too-large");
        client.expect_end();
    }
    let mut client = server.client();
    client.send(put("name=a.txt\nend=explicit"));
    client.send([data("0123456789"), data_header(8, u64::MAX - 5)].concat());
    client.ok();
    client.ok();
    client.refused("too-large");
    client.expect_end();
    server.client().upload("next.txt", b"next");
    assert_eq!(server.names(), ["next.txt"]);
}

#[test]
fn pieces_that_are_more_than_2_to_the_64_bytes_together_are_refused_without_a_limit_too() {
    let server = Server::start(&[]);
    let mut client = server.client();
    client.send(put("name=a.txt\nend=explicit"));
    client.send([data("0123456789"), data_header(8, u64::MAX - 5)].concat());
    client.ok();
    client.ok();
    client.refused("bad-state");
    client.expect_end();
    server.client().upload("next.txt", b"next");
}

#[test]
fn a_type_byte_and_then_the_end_is_no_reason_to_answer() {
    let server = Server::start(&[]);
    for bytes in [&[][..], &[1], &[1, 5], &[9, 0, 0, 0, 0, 0, 0, 0]] {
        let mut client = server.client();
        client.send(bytes);
        client.finish();
        client.expect_end();
    }
    server.client().upload("next.txt", b"next");
}

#[test]
fn a_type_byte_and_then_nothing_times_out() {
    let server = Server::start(&["--header-timeout", "300ms"]);
    for kind in [1, 9, 16] {
        let mut client = server.client();
        client.send([kind]);
        assert_eq!(client.refused("timeout").key("what"), Some("header"));
        client.expect_end();
    }
}

#[test]
fn a_peer_that_vanishes_in_the_middle_of_a_body_leaves_nothing() {
    let server = Server::start(&["--max-connections", "1"]);
    for unread in [true, false] {
        let mut client = server.client();
        client.send([string("a.txt"), data_header(4, 10_000_000)].concat());
        if !unread {
            client.ok();
        }
        client.send(vec![0; 3_000_000]);
        // With the reply unread this is a reset, else an ordinary end.
        drop(client);
        // There is only one place, so whoever is served comes after the end of the other.
        server.upload_when_there_is_room("next.txt");
        assert_eq!(server.names(), ["next.txt"]);
        fs::remove_file(server.path("next.txt")).unwrap();
    }
}

#[test]
fn a_peer_that_never_reads_its_replies_is_closed_and_others_are_served_meanwhile() {
    let home = tempfile::tempdir().unwrap();
    let unix = format!("unix:{}", home.path().join("socket").display());
    let server = Server::start(&[
        "--strings",
        "message",
        "--stall-timeout",
        "300ms",
        "--bind",
        "127.0.0.1:0",
        "--bind",
        &unix,
    ]);
    // Over TCP the system notices it too, so only the other one shows what the server does.
    for (number, address) in server.addresses().iter().enumerate() {
        let mut deaf = Client::connect(address);
        let talking = thread::spawn(move || {
            let message = string([b'x'; 4096]);
            loop {
                if let Err(error) = deaf.try_send(&message) {
                    return error.kind();
                }
            }
        });
        let mut other = server.client();
        for file in 0..100 {
            let name = format!("{number} {file}.txt");
            other.send([put(format!("name={name}")), data("bytes")].concat());
            other.ok();
            other.receipt(&name, 5);
        }
        let how = talking.join().unwrap();
        let closed = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
        assert!(closed.contains(&how), "{address}: {how:?}");
    }
}

#[test]
fn replies_that_are_read_late_are_all_there_and_in_order() {
    let server = Server::start(&["--strings", "message"]);
    let mut client = server.client();
    let mut sending = client.again();
    const MESSAGES: usize = 20_000;
    let sender = thread::spawn(move || {
        for number in 0..MESSAGES {
            sending.send(string(number.to_string()));
        }
    });
    for number in 0..MESSAGES {
        assert_eq!(client.reply().text(), format!("Message: {number}"));
    }
    sender.join().unwrap();
}

#[test]
fn a_byte_at_a_time_is_as_good_as_all_at_once() {
    let server = Server::start(&[]);
    let mut client = server.client();
    let right = digest("bytes");
    let announced = put(format!("name=b.txt\nsize=5\nblake3={right}"));
    for byte in [string("a.txt"), data("bytes"), announced, data("bytes")].concat() {
        client.send([byte]);
    }
    client.ok();
    client.receipt("a.txt", 5);
    client.ok();
    client.receipt("b.txt", 5);
}

#[test]
fn two_clients_with_one_name_at_the_same_time_get_one_receipt_and_one_refusal() {
    let server = Server::start(&[]);
    for round in 0..20 {
        let name = format!("{round}.txt");
        let mut clients = [server.client(), server.client()];
        for client in &mut clients {
            client.send(string(&name));
        }
        for client in &mut clients {
            client.ok();
        }
        for (client, body) in clients.iter_mut().zip(["one", "two"]) {
            client.send(data(body));
        }
        let replies = clients.each_mut().map(Client::reply);
        let stored = replies.iter().position(|reply| reply.status() == "OK");
        let winner = stored.expect("one is stored");
        assert_eq!(replies[1 - winner].status(), "ERR exists");
        assert_eq!(server.stored(&name), ["one", "two"][winner].as_bytes());
    }
}

/// A server that can't start, with a folder that it can't use.
fn serve_into(folder: &str) -> Ran {
    piecemeal(&["serve", "--bind", "127.0.0.1:0", "--dir", folder]).exits(1)
}

#[test]
fn a_folder_that_can_not_be_used_is_named_when_the_server_does_not_start() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("a file");
    fs::write(&file, "").unwrap();
    let file = file.display().to_string();
    let beneath = format!("{file}/folder");
    for folder in [&*file, &*beneath, "/proc", "/dev/null", "/proc/none"] {
        let ran = serve_into(folder);
        ran.line_with(&["piecemeal: ", "folder", folder]);
        assert!(!ran.err.contains("listening"), "{ran:#?}");
    }
}

#[test]
fn a_port_that_is_taken_is_named_with_the_process_that_has_it() {
    let first = Server::start(&[]);
    let address = first.address();
    let dir = first.home().join("other").display().to_string();
    let ran = piecemeal(&["serve", "--bind", address, "--dir", &dir]).exits(1);
    let pid = format!("(pid {})", first.pid().as_raw_nonzero());
    let line = ran.line_with(&[address, "--bind"]);
    if cfg!(target_os = "linux") {
        assert!(line.contains(&pid), "{line}");
    }
    first
        .client()
        .upload("a.txt", b"the first one is not disturbed");
}

#[test]
fn a_closed_standard_output_does_not_stop_a_server() {
    let mut server = Starter::new(&[]).with_own_stdout().start();
    drop(server.child().stdout.take());
    let mut client = server.client();
    for number in 0..200 {
        client.upload(&format!("{number}.txt"), b"bytes");
    }
    client.finish();
    client.expect_end();
    server.stop();
    assert_eq!(server.names().len(), 200);
}

#[test]
fn a_standard_output_that_nobody_reads_does_not_stop_a_server_and_the_lost_lines_are_counted() {
    let mut server = Starter::new(&["--strings", "message"])
        .with_own_stdout()
        .start();
    let mut client = server.client();
    let mut sending = client.again();
    // Far more than a pipe and the queue of lines hold.
    const MESSAGES: usize = 10_000;
    let sender = thread::spawn(move || {
        for _ in 0..MESSAGES {
            sending.send(string([b'x'; 100]));
        }
        sending.send([put("name=a.txt"), data("bytes")].concat());
        sending.finish();
    });
    for _ in 0..MESSAGES {
        assert!(client.reply().text().starts_with("Message: "));
    }
    client.ok();
    client.receipt("a.txt", 5);
    client.expect_end();
    sender.join().unwrap();
    server.stop();
    server
        .err
        .wait_for(|line| line.contains("lines were dropped"));
}

#[test]
fn a_standard_error_that_nobody_reads_does_not_stop_a_server() {
    let home = tempfile::tempdir().unwrap();
    let mut serving = command(PROGRAM);
    serving.args([
        "serve",
        "-vv",
        "--strings",
        "message",
        "--bind",
        "127.0.0.1:0",
        "--dir",
    ]);
    serving
        .arg(home.path())
        .stderr(Stdio::piped())
        .stdout(Stdio::null());
    let mut serving = serving.spawn().unwrap();
    let mut stderr = BufReader::new(serving.stderr.take().unwrap());
    let address = loop {
        let mut line = String::new();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "it ended");
        if let Some(address) = line.trim_end().strip_prefix("listening on ") {
            break address.to_owned();
        }
    };
    // Every message is several lines of the log, so the pipe is soon full.
    let mut client = Client::connect(&address);
    for number in 0..3000 {
        client.send(string(number.to_string()));
        assert_eq!(client.reply().text(), format!("Message: {number}"));
    }
    signal(&serving, Signal::TERM);
    client.refused("shutdown");
    client.expect_end();
    assert_eq!(serving.wait().unwrap().code(), Some(0));
}
