//! Lab servers and peers that stall, die, lie or aim at files that aren't theirs.

mod common;
#[path = "lab/styles.rs"]
mod styles;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::thread;

use common::{Client, Server, Starter, piecemeal, wait_until};
use rustix::process::Signal;
use styles::noise;

const TASKS: [&str; 7] = ["hello", "1", "2", "3", "4", "5", "6"];

/// Every task's server, and task 2's other one.
fn servers() -> impl Iterator<Item = (&'static str, Server)> {
    let plain = TASKS.map(|task| (task, &[][..]));
    let all = plain.into_iter().chain([("2", &["--threads"][..])]);
    all.map(|(task, options)| (task, Starter::lab(task, options).start()))
}

/// A client as the sheet has it for the task, to see that the server still serves.
#[track_caller]
fn is_served(server: &Server, task: &str) {
    let mut client = server.client();
    match task {
        "1" | "2" => {}
        "hello" | "3" => {
            client.send("still there?");
            client.finish();
            let answer = if task == "3" {
                "Message: "
            } else {
                "I have received: "
            };
            assert_eq!(
                client.read_all(),
                format!("{answer}still there?").as_bytes()
            );
        }
        "4" => {
            client.send(b"\x02still there?");
            client.finish();
        }
        "5" => {
            client.send(b"\x03\x0c\0still there?");
            client.finish();
        }
        _ => u1_upload(&mut client, "still there", b"yes"),
    }
    client.finish_quietly();
    assert_eq!(client.read_all(), b"", "task {task}");
}

/// U1's first message, and the `OK` to it.
#[track_caller]
fn u1_name(client: &mut Client, name: &str) {
    client.send([b"\x01", name.as_bytes()].concat());
    assert_eq!(client.take(2), b"OK");
}

#[track_caller]
fn u1_upload(client: &mut Client, name: &str, bytes: &[u8]) {
    u1_name(client, name);
    client.send(common::data(bytes));
}

#[track_caller]
fn wait_for_file(server: &Server, name: &str, bytes: &[u8]) {
    wait_until(name, || {
        fs::read(server.path(name)).is_ok_and(|got| got == bytes)
    });
}

#[test]
fn data_that_ends_early_is_not_kept_by_task_5() {
    let mut server = Starter::lab("5", &[]).start();
    for header in [&b"\x03\x10\x27"[..], b"\x04\x10\x27\0", b"\x05\x10\x27\0\0"] {
        for bytes in [&b""[..], b"x", &noise(5, 9_999)] {
            let mut client = server.client();
            client.send([header, bytes].concat());
            client.finish();
            assert_eq!(client.read_all(), b"");
            let mut client = server.client();
            client.send([header, bytes].concat());
            client.reset();
        }
    }
    let mut client = server.client();
    client.send([b"\x03\x10\x27", &noise(5, 10_000)[..]].concat());
    wait_until("one file", || {
        server.names().iter().any(|name| !name.ends_with(".part"))
    });
    drop(client);
    server.stop();
    let names = server.names();
    assert_eq!(names.len(), 1, "{names:?}");
    assert_eq!(server.stored(&names[0]), noise(5, 10_000));
}

/// Everything under a folder, and the sizes of files.
fn picture(folder: &Path) -> Vec<String> {
    let mut seen = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let facts = fs::symlink_metadata(&path).expect("it is there");
        if facts.is_dir() {
            seen.push(format!("{}/", path.display()));
            seen.extend(picture(&path));
        } else {
            seen.push(format!("{} {}", path.display(), facts.len()));
        }
    }
    seen.sort_unstable();
    seen
}

#[test]
fn hostile_names_get_no_ok_and_nothing_is_written() {
    let server = Starter::lab("6", &[]).start();
    fs::write(server.home().join("precious"), "precious").unwrap();
    fs::create_dir(server.path("folder")).unwrap();
    let before = picture(server.home());
    let absolute = server.home().join("x").display().to_string();
    let long = "x".repeat(300);
    for name in [
        "../x",
        "../precious",
        "/tmp/piecemeal-was-here",
        &absolute,
        "a/b",
        "folder/b",
        "folder/../../precious",
        "..",
        ".",
        "/",
        "a\\b",
        "..\\x",
        "a\nb",
        "x\x1b[2J\x1b]0;title\x07",
        "\u{202e}gpj.exe",
        &long,
    ] {
        let length = u16::try_from(name.len()).unwrap().to_le_bytes();
        let sized = [&b"\x01"[..], &length].concat();
        for first in [&b"\x01"[..], &sized, b"\x03", b"\x05"] {
            // Behind these types, what is no text may be a length, and its data yet to come.
            if first[0] != 1 && name.chars().any(|c| c < ' ' || name.len() > 200) {
                continue;
            }
            let mut client = server.client();
            client.send([first, name.as_bytes()].concat());
            let answer = client.read_what_comes_first();
            assert!(!answer.starts_with(b"OK"), "{name:?} after {first:?}");
            // Its author may well go on with the data.
            client.send_quietly(noise(9, 100_000));
            client.finish_quietly();
            client.read_what_comes();
            assert_eq!(picture(server.home()), before, "{name:?} after {first:?}");
        }
    }
    for empty in [&b"\x01\0\0"[..], b"\x01", b"\x03", b"\x05"] {
        let mut client = server.client();
        client.send(empty);
        client.finish();
        assert!(!client.read_all().starts_with(b"OK"), "{empty:?}");
    }
    assert!(!Path::new("/tmp/piecemeal-was-here").exists());
    is_served(&server, "6");
    wait_for_file(&server, "still there", b"yes");
    let shown = [server.out.so_far(), server.err.so_far()].concat();
    for line in shown {
        let bad = |c: char| c.is_control() || c == '\u{202e}';
        assert!(!line.contains(bad), "{line:?}");
    }
}

#[test]
fn a_name_that_is_a_folders_or_leads_elsewhere_harms_nothing() {
    let server = Starter::lab("6", &[]).start();
    let precious = server.home().join("precious");
    fs::write(&precious, "precious").unwrap();
    fs::create_dir(server.path("folder")).unwrap();
    fs::create_dir(server.path("b.part")).unwrap();
    symlink(&precious, server.path("link")).unwrap();
    symlink(&precious, server.path("c.part")).unwrap();
    // Nobody's upload: a file of that name is all it is.
    fs::write(server.path("d.part"), "somebody's own").unwrap();
    for name in ["folder", "b", "link", "c", "d"] {
        let mut client = server.client();
        client.send([b"\x01", name.as_bytes()].concat());
        if client.read_what_comes_first() == b"OK" {
            client.send_quietly(common::data(b"bytes"));
        }
        client.finish_quietly();
        client.read_what_comes();
    }
    assert_eq!(fs::read(&precious).unwrap(), b"precious");
    assert_eq!(fs::read(server.path("d.part")).unwrap(), b"somebody's own");
    assert!(server.path("folder").is_dir() && server.path("b.part").is_dir());
    assert!(!server.path("folder.part").exists() && !server.path("d").exists());
    is_served(&server, "6");
    wait_for_file(&server, "still there", b"yes");
}

#[test]
fn nothing_that_a_peer_says_reaches_the_terminal_raw() {
    let evil = "\x1b[2J\x1b]0;title\x07\r\nmessage from 1.2.3.4:5: forged\u{202e}\u{9b}";
    for task in ["hello", "3", "4", "5", "6"] {
        let mut server = Starter::lab(task, &[]).start();
        let kind = if ["hello", "3"].contains(&task) {
            ""
        } else {
            "\x01"
        };
        for evil in [evil.as_bytes(), b"\xff\xfe\x80 no text"] {
            let mut client = server.client();
            client.send([kind.as_bytes(), evil].concat());
            client.finish();
            client.read_all();
        }
        server.stop();
        for line in [server.out.to_end(), server.err.to_end()].concat() {
            let bad = |c: char| c.is_control() || c == '\u{202e}';
            assert!(!line.contains(bad), "task {task}: {line:?}");
            assert!(
                !line.starts_with("message from 1.2.3.4"),
                "task {task}: {line}"
            );
        }
    }
}

#[test]
fn any_bytes_at_all_end_in_order_and_the_next_client_is_served() {
    for (task, mut server) in servers() {
        let before = picture(server.home());
        for round in 0_u32..300 {
            let random = noise(u64::from(round), 3000);
            let length = usize::from(u16::from_le_bytes([random[0], random[1]])) % 2900;
            let mut bytes = random[2..2 + length].to_vec();
            if let Some(first) = bytes.first_mut() {
                *first = u8::try_from(round % 256).expect("less than 256");
            }
            let mut client = server.client();
            client.send_quietly(&bytes);
            match round % 5 {
                // Some hang up as a program that was killed.
                0 => client.reset(),
                1 => drop(client),
                _ => {
                    client.finish();
                    client.read_all();
                }
            }
        }
        is_served(&server, task);
        server.stop();
        let stored = server.path("").display().to_string();
        let outside = |seen: &String| !seen.starts_with(&stored);
        let before: Vec<String> = before.into_iter().filter(outside).collect();
        let after: Vec<String> = picture(server.home()).into_iter().filter(outside).collect();
        assert_eq!(before, after, "task {task} wrote outside its folder");
        let parts = server.names();
        assert!(
            !parts.iter().any(|name| name.ends_with(".part")),
            "{parts:?}"
        );
    }
}

#[test]
fn a_client_that_sends_more_than_is_read_gets_an_end_and_no_reset() {
    // More than the buffers between the two can hold.
    let much = noise(10, 16 << 20);
    for (task, server) in servers() {
        for first in [
            &b""[..],
            b"\x01../x",
            b"\x03../x",
            b"\x00",
            b"\xff",
            b"1",
            b"\x09",
        ] {
            let mut client = server.client();
            client.send(first);
            client.send(&much);
            client.finish();
            client.read_all();
        }
        is_served(&server, task);
    }
}

#[test]
fn clients_that_stand_still_delay_nobody() {
    for (task, server) in servers() {
        let mut stalled = Vec::new();
        for first in [
            &b""[..],
            b"\x01",
            b"\x01na",
            b"\x01\x20\0x",
            b"\x02",
            b"\x04\0\0",
            b"\x05",
        ] {
            let mut client = server.client();
            client.send_quietly(first);
            stalled.push(client);
        }
        // One that has its OK, and stops in the middle of its data.
        if task == "6" {
            let mut client = server.client();
            u1_name(&mut client, "stalled");
            client.send(&common::data(noise(11, 10_000))[..5000]);
            stalled.push(client);
        }
        for _ in 0..5 {
            is_served(&server, task);
        }
        if task == "6" {
            let mut client = stalled.pop().expect("it was put there");
            client.send(&common::data(noise(11, 10_000))[5000..]);
            wait_for_file(&server, "stalled", &noise(11, 10_000));
        }
    }
}

#[test]
fn ctrl_c_ends_each_server_with_0_even_while_a_client_stands_still() {
    for (task, mut server) in servers() {
        is_served(&server, task);
        let _still = server.client();
        server.signal(Signal::INT);
        let status = server.wait();
        assert_eq!(
            status.code(),
            Some(0),
            "task {task}: {:#?}",
            server.err.so_far()
        );
    }
}

#[test]
fn many_clients_at_once_are_all_answered() {
    let server = Starter::lab("3", &[]).start();
    thread::scope(|at_once| {
        for number in 0..50 {
            let server = &server;
            at_once.spawn(move || {
                let mut client = server.client();
                let text = format!("client {number}");
                client.send(&text);
                assert_eq!(client.read_all(), format!("Message: {text}").as_bytes());
                server.out.wait_for(|line| line.contains(&text));
            });
        }
    });
}

#[test]
fn wrong_usage_says_what_would_be_right() {
    for (arguments, says) in [
        (&["lab", "serve", "--task", "7"][..], "hello"),
        (&["lab", "serve"], "--task"),
        (&["lab", "serve", "--task", "3", "--quiet", "50"], "try 10s"),
        (
            &["lab", "serve", "--task", "3", "--bind", "nowhere"],
            "try 127.0.0.1:9000",
        ),
    ] {
        let ran = piecemeal(arguments).exits(2);
        assert!(ran.err.contains(says), "{arguments:?}: {ran:#?}");
    }
}

#[test]
fn a_folder_that_can_not_be_is_an_error_that_names_it() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    fs::write(&file, "").unwrap();
    let dir = file.join("x").display().to_string();
    for task in ["2", "6"] {
        let arguments = [
            "lab",
            "serve",
            "--task",
            task,
            "--bind",
            "127.0.0.1:0",
            "--dir",
            &dir,
        ];
        let ran = piecemeal(&arguments).exits(1);
        ran.line_with(&["piecemeal: ", &dir]);
    }
}

#[test]
fn an_address_in_use_is_an_error_that_names_it() {
    let server = Starter::lab("3", &[]).start();
    for options in [&[][..], &["--threads"]] {
        let mut arguments = vec!["lab", "serve", "--task", "2", "--bind", server.address()];
        arguments.extend(options);
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().display().to_string();
        arguments.extend(["--dir", &dir]);
        let ran = piecemeal(&arguments).exits(1);
        ran.line_with(&["piecemeal: ", "can't listen on", server.address()]);
    }
}
