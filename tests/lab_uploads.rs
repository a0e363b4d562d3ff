//! Task 6's lab server: uploads of each grammar, several on a socket, several at once, and what is
//! in the folder meanwhile.

mod common;
#[path = "lab/styles.rs"]
mod styles;

use std::fs;
use std::thread;

use common::{Client, Server, Starter, wait_until};
use styles::{Room, TYPES, noise, prose};

/// Where the types' lengths change, and a few that are plain.
const SIZES: [usize; 9] = [0, 1, 4, 255, 256, 4097, 65_535, 65_536, 300_000];

/// The upload clients that send one file, and are as quick as a program is.
const UPLOADS: [&str; 15] = [
    "u1_course",
    "u1_reads_on",
    "u1_three_sends",
    "u1_small_sends",
    "u1_type_and_name_apart",
    "u1_keeps",
    "u1_quit",
    "u1_quit_in_the_same_send",
    "u2",
    "u2_closes",
    "u2_in_pieces",
    "u3",
    "u3_half_close",
    "u4",
    "u4_half_close",
];

#[test]
fn task_6_stores_what_each_upload_grammar_sends() {
    let Some(room) = Room::of_task("6") else {
        return;
    };
    let mut names = Vec::new();
    for size in SIZES {
        for style in UPLOADS {
            let bytes = noise(size as u64, size);
            let name = format!("{style}-{size}.bin");
            let path = room.file(&name, &bytes);
            let saw = room.run(style, &[&path]);
            saw.got("OK");
            room.stored(&name, &bytes);
            room.line(&saw, &name);
            names.push(name);
        }
        for (kind, too_large) in TYPES {
            if (size as u64) < too_large {
                let name = format!("u1-type-{kind}-{size}.txt");
                let path = room.file(&name, &prose(size));
                room.run("u1_of_type", &[&path, kind]).got("OK");
                room.stored(&name, &prose(size));
                names.push(name);
            }
        }
    }
    room.ends_with(&names.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn task_6_takes_names_of_any_length_and_language() {
    let Some(room) = Room::of_task("6") else {
        return;
    };
    let longest = "x".repeat(200);
    let names = [
        "a",
        "ab",
        "abc",
        "two words.txt",
        "Blåbærgrød 🐟.txt",
        "QUITE",
        "OK",
        &longest,
    ];
    for name in names {
        for style in ["u1_course", "u2", "u3", "u4"] {
            let bytes = format!("{name} by {style}").into_bytes();
            let path = room.file(name, &bytes);
            room.run(style, &[&path]).got("OK");
            let there = || fs::read(room.server.path(name)).is_ok_and(|got| got == bytes);
            wait_until(name, there);
        }
    }
    room.ends_with(&names);
}

#[test]
fn task_6_keeps_the_socket_for_more_uploads() {
    let Some(room) = Room::of_task("6") else {
        return;
    };
    let sizes = [70_000, 0, 1, 300, 5, 65_536];
    let mut names = Vec::new();
    for style in ["u1_keeps", "u1_quit", "u1_quit_later", "u2", "u2_in_pieces"] {
        let own: Vec<String> = (sizes.iter())
            .map(|size| format!("{style}-{size}"))
            .collect();
        let paths: Vec<String> = (own.iter().zip(sizes))
            .map(|(name, size)| room.file(name, &noise(8, size)))
            .collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        room.run(style, &paths).got(&"OK".repeat(sizes.len()));
        for (name, size) in own.iter().zip(sizes) {
            room.stored(name, &noise(8, size));
        }
        names.extend(own);
    }
    // Neither QUIT nor what there was of it stays.
    room.ends_with(&names.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn task_6_takes_clients_whose_users_think_and_names_that_come_in_pieces() {
    let Some(room) = Room::of_task("6") else {
        return;
    };
    let Some(patient) = Room::with("6", &["--quiet", "2s"]) else {
        return;
    };
    thread::scope(|at_once| {
        for style in ["u1_thinks", "u2_thinks", "u3_thinks"] {
            let room = &room;
            at_once.spawn(move || {
                let (large, small) = (format!("{style}.large"), format!("{style}.small"));
                let mut paths = vec![room.file(&large, &noise(9, 70_000))];
                if style != "u3_thinks" {
                    paths.push(room.file(&small, &noise(10, 100)));
                }
                let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
                room.run(style, &paths).got(&"OK".repeat(paths.len()));
                room.stored(&large, &noise(9, 70_000));
                if style != "u3_thinks" {
                    room.stored(&small, &noise(10, 100));
                }
            });
        }
        at_once.spawn(|| {
            let path = patient.file("in pieces.txt", b"bytes");
            patient.run("u1_name_in_small_sends", &[&path]).got("OK");
            patient.stored("in pieces.txt", b"bytes");
        });
    });
}

#[test]
fn task_6_takes_data_without_a_name_and_prints_strings_that_end() {
    let Some(room) = Room::of_task("6") else {
        return;
    };
    let mut known = Vec::new();
    for size in [0, 1, 1000, 70_000] {
        let bytes = noise(11, size);
        let path = room.file("unnamed", &bytes);
        for style in ["data_02_length_4", "data_02_length_4_in_three_sends"] {
            room.run(style, &[&path]).got("");
            room.stored_unnamed(&mut known, &bytes);
        }
    }
    let saw = room.run("string_01_half_close", &["a string, as in task 4"]);
    room.line(&saw, "a string, as in task 4");
    assert_eq!(room.server.names().len(), known.len());
}

#[test]
fn task_6_keeps_small_files_apart_that_follow_each_other_at_once() {
    let Some(room) = Room::of_task("6") else {
        return;
    };
    let mut names = Vec::new();
    for (what, contents) in [
        ("zeros", vec![0; 20]),
        ("text", prose(20)),
        ("noise", noise(14, 20)),
    ] {
        for style in ["u1_keeps", "u1_quit", "u2"] {
            let own: Vec<String> = (0..20)
                .map(|size| format!("{style}-{what}-{size}"))
                .collect();
            let paths: Vec<String> = (own.iter().enumerate())
                .map(|(size, name)| room.file(name, &contents[..size]))
                .collect();
            let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
            room.run(style, &paths).got(&"OK".repeat(paths.len()));
            for (size, name) in own.iter().enumerate() {
                room.stored(name, &contents[..size]);
            }
            names.extend(own);
        }
        for size in 0..20 {
            let name = format!("same-{what}-{size}");
            let path = room.file(&name, &contents[..size]);
            room.run("u1_quit_in_the_same_send", &[&path]).got("OK");
            room.stored(&name, &contents[..size]);
            names.push(name);
        }
    }
    room.ends_with(&names.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn the_console_says_which_grammar_a_client_spoke_and_how_that_was_known() {
    let Some(room) = Room::of_task("6") else {
        return;
    };
    for (style, grammar, known_by) in [
        ("u1_course", "u1", "silence"),
        ("u2", "u2", "third byte"),
        ("u3", "u3", "type 3"),
        ("u4", "u4", "type 5"),
    ] {
        let path = room.file(style, b"bytes");
        let saw = room.run(style, &[&path]);
        let line = room.line(&saw, known_by);
        assert!(line.contains(grammar) && line.contains(style), "{line}");
        room.line(&saw, &format!("stored {style} (5 bytes)"));
    }
}

#[test]
fn the_projects_own_framing_is_understood_and_with_strict_nothing_else() {
    for (options, ok) in [(&[][..], "OK"), (&["--strict"], "\x01\x02\0OK")] {
        let Some(room) = Room::with("6", options) else {
            return;
        };
        let paths = [1000, 70_000].map(|size| room.file(&size.to_string(), &noise(12, size)));
        let saw = room.run("framed", &[&paths[0], &paths[1]]);
        assert!(saw.got.starts_with(ok), "{saw:?}");
        assert_eq!(saw.end, "end", "{saw:?}");
        for size in [1000, 70_000] {
            room.stored(&size.to_string(), &noise(12, size));
        }
    }
    let Some(room) = Room::with("6", &["--strict"]) else {
        return;
    };
    // Read as a length, these letters are more than a STRING can have.
    let path = room.file("not framed", b"bytes");
    let saw = room.run("u1_course", &[&path]);
    assert_ne!(saw.got, "OK", "{saw:?}");
    let Some(room) = Room::with("3", &["--strict"]) else {
        return;
    };
    room.run("framed_string", &["Hello"])
        .got("\x01\x0e\0Message: Hello");
}

#[test]
fn clients_of_every_style_are_served_at_once() {
    let Some(room) = Room::of_task("6") else {
        return;
    };
    let bytes = noise(13, 300_000);
    thread::scope(|at_once| {
        for style in UPLOADS {
            let (room, bytes) = (&room, &bytes);
            at_once.spawn(move || {
                let path = room.file(style, bytes);
                room.run(style, &[&path]).got("OK");
                room.stored(style, bytes);
            });
        }
    });
    room.ends_with(&UPLOADS);
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
fn a_part_is_there_from_the_name_on_and_grows_until_it_is_the_file() {
    let server = Starter::lab("6", &[]).start();
    let bytes = noise(1, 300_000);
    let whole = common::data(&bytes);
    let header = whole.len() - bytes.len();
    let mut client = server.client();
    u1_name(&mut client, "a.bin");
    assert_eq!(server.names(), ["a.bin.part"]);
    let mut sent = 0;
    for until in [
        2,
        header,
        header + 1,
        header + 5000,
        header + 200_000,
        whole.len() - 1,
    ] {
        client.send(&whole[sent..until]);
        sent = until;
        let arrived = &bytes[..until.saturating_sub(header)];
        wait_for_file(&server, "a.bin.part", arrived);
        assert_eq!(server.names(), ["a.bin.part"]);
    }
    client.send(&whole[sent..]);
    wait_for_file(&server, "a.bin", &bytes);
    assert_eq!(server.names(), ["a.bin"]);
    // The socket is good for more.
    u1_upload(&mut client, "b.bin", b"bytes");
    wait_for_file(&server, "b.bin", b"bytes");
}

#[test]
fn a_part_grows_for_every_upload_grammar() {
    let server = Starter::lab("6", &[]).start();
    let u2_name = b"\x01\x02\0u2";
    let u2_data = b"\x02\x40\x42\x0f\0";
    for (name, first, then) in [
        ("u2", &u2_name[..], &u2_data[..]),
        ("u3", b"\x03u3", b""),
        ("u4", b"\x05u4", b""),
    ] {
        let mut client = server.client();
        client.send(first);
        assert_eq!(client.take(2), b"OK");
        let part = format!("{name}.part");
        assert!(server.path(&part).exists(), "{part}");
        client.send(then);
        client.send(noise(2, 70_000));
        wait_for_file(&server, &part, &noise(2, 70_000));
        assert!(!server.path(name).exists(), "{name}");
        if name == "u2" {
            client.send(vec![7; 930_000]);
        }
        client.finish();
        wait_until(name, || server.path(name).exists());
        assert!(!server.path(&part).exists(), "{part}");
        assert_eq!(server.stored(name)[..70_000], noise(2, 70_000));
        assert_eq!(client.read_all(), b"");
    }
}

#[test]
fn an_upload_that_dies_leaves_nothing_and_the_file_of_that_name_as_it_was() {
    let Some(room) = Room::of_task("6") else {
        return;
    };
    let path = room.file("a.bin", &noise(3, 100_000));
    for how in ["fin", "rst"] {
        let saw = room.run("u1_dies", &[&path, how]);
        saw.got("OK");
        room.holds(&[]);
    }
    let mut client = room.server.client();
    u1_upload(&mut client, "a.bin", b"the first one");
    wait_for_file(&room.server, "a.bin", b"the first one");
    for how in ["fin", "rst"] {
        room.run("u1_dies", &[&path, how]).got("OK");
        room.holds(&["a.bin"]);
        assert_eq!(room.server.stored("a.bin"), b"the first one");
    }
    room.run("u1_course", &[&path]).got("OK");
    wait_for_file(&room.server, "a.bin", &noise(3, 100_000));
    room.ends_with(&["a.bin"]);
}

#[test]
fn a_reset_ends_an_upload_that_has_no_size_too() {
    let server = Starter::lab("6", &[]).start();
    for first in [b"\x03cut", b"\x05cut"] {
        let mut client = server.client();
        client.send(first);
        assert_eq!(client.take(2), b"OK");
        client.send(noise(4, 50_000));
        wait_for_file(&server, "cut.part", &noise(4, 50_000));
        client.reset();
        wait_until("an empty folder", || server.names().is_empty());
    }
}

#[test]
fn a_second_upload_of_a_name_replaces_the_first() {
    let server = Starter::lab("6", &[]).start();
    let mut client = server.client();
    for bytes in [&b"the first, which is longer"[..], b"the second", b""] {
        u1_upload(&mut client, "a.txt", bytes);
        wait_for_file(&server, "a.txt", bytes);
        assert_eq!(server.names(), ["a.txt"]);
    }
}

#[test]
fn two_uploads_of_one_name_at_once_are_never_mixed() {
    let server = Starter::lab("6", &[]).start();
    let (one, two) = (noise(6, 200_000), noise(7, 150_000));
    let mut first = server.client();
    let mut second = server.client();
    u1_name(&mut first, "a.bin");
    second.send(b"\x01a.bin");
    second.send_quietly(&common::data(&two)[..70_000]);
    first.send_quietly(&common::data(&one)[..70_000]);
    first.send_quietly(&common::data(&one)[70_000..]);
    second.send_quietly(&common::data(&two)[70_000..]);
    first.finish_quietly();
    second.finish_quietly();
    first.read_what_comes();
    second.read_what_comes();
    wait_until("one file", || server.names() == ["a.bin"]);
    let stored = server.stored("a.bin");
    assert!(stored == one || stored == two, "{} bytes", stored.len());
}

#[test]
fn a_name_that_ends_in_part_does_not_touch_another_upload() {
    let server = Starter::lab("6", &[]).start();
    let bytes = noise(8, 10_000);
    let mut client = server.client();
    u1_name(&mut client, "a.bin");
    let whole = common::data(&bytes);
    client.send(&whole[..5000]);
    let mut other = server.client();
    other.send(b"\x01a.bin.part");
    if other.read_what_comes_first() == b"OK" {
        other.send_quietly(common::data(b"another file"));
    }
    other.finish_quietly();
    other.read_what_comes();
    client.send(&whole[5000..]);
    wait_for_file(&server, "a.bin", &bytes);
}
