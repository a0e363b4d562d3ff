//! Each task's lab server, started with nothing but its number, as the clients of other authors
//! see it. The clients are in lab/clients.py, in Python, and know nothing of the server.

mod common;
#[path = "lab/styles.rs"]
mod styles;

use std::thread;

use common::wait_until;
use styles::{Room, TYPES, noise, prose};

/// Where the types' lengths change, and a few that are plain.
const SIZES: [usize; 9] = [0, 1, 4, 255, 256, 4097, 65_535, 65_536, 300_000];

/// Texts that a server may stumble over.
fn texts() -> Vec<String> {
    let more = [
        "x",
        "Blåbærgrød og en 🐟",
        "1",
        "2 apples",
        "01",
        "OK",
        "QUIT",
    ];
    let mut texts = vec!["Hello from a student".to_owned(), "é".repeat(2048)];
    texts.extend(more.map(str::to_owned));
    texts
}

#[test]
fn the_first_server_says_what_it_received() {
    let Some(room) = Room::of_task("hello") else {
        return;
    };
    for text in texts() {
        for style in ["raw_half_close", "raw_waits", "raw_waits_for_the_end"] {
            let saw = room.run(style, &[&text]);
            saw.got(&format!("I have received: {text}"));
            room.line(&saw, &text);
        }
    }
}

#[test]
fn tasks_1_and_2_print_each_peers_address_and_end_in_order_whatever_it_says() {
    for (task, options) in [("1", &[][..]), ("2", &[]), ("2", &["--threads"])] {
        let Some(room) = Room::with(task, options) else {
            return;
        };
        for style in [
            "waits_for_the_end",
            "talks_at_each_enter",
            "says_nothing_and_half_closes",
            "sends_a_million_bytes_first",
            "connects_and_closes",
            "waits_for_the_end",
        ] {
            let saw = room.run(style, &[]);
            saw.got("");
            room.line(&saw, "");
        }
        assert!(room.server.names().is_empty());
    }
}

#[test]
fn task_3_answers_a_raw_text_however_the_client_ends_it() {
    let Some(room) = Room::of_task("3") else {
        return;
    };
    for text in texts() {
        for style in ["raw_half_close", "raw_waits", "raw_waits_for_the_end"] {
            let saw = room.run(style, &[&text]);
            saw.got(&format!("Message: {text}"));
            room.line(&saw, &text);
        }
        let saw = room.run("raw_closes_at_once", &[&text]);
        room.line(&saw, &text);
    }
    // A line as it was read, with its end.
    let saw = room.run("raw_half_close", &["a line\n"]);
    saw.got("Message: a line\n");
    room.line(&saw, "a line");
}

#[test]
fn task_3_takes_a_text_that_comes_late_or_in_pieces_or_whose_answer_nobody_reads() {
    let Some(patient) = Room::with("3", &["--quiet", "2s"]) else {
        return;
    };
    let Some(room) = Room::of_task("3") else {
        return;
    };
    let text = "Blåbærgrød og en 🐟";
    thread::scope(|at_once| {
        at_once.spawn(|| {
            let saw = patient.run("raw_small_sends", &[text]);
            saw.got(&format!("Message: {text}"));
            patient.line(&saw, text);
        });
        at_once.spawn(|| {
            let saw = room.run("raw_typed_slowly", &[text]);
            saw.got(&format!("Message: {text}"));
            room.line(&saw, text);
        });
        at_once.spawn(|| {
            let saw = room.run("raw_never_reads", &["nobody reads this"]);
            room.line(&saw, "nobody reads this");
        });
    });
}

#[test]
fn a_text_beyond_the_sheets_limit_ends_in_order_all_the_same() {
    for task in ["hello", "3"] {
        let Some(room) = Room::of_task(task) else {
            return;
        };
        for count in [4097, 10_000, 100_000] {
            let saw = room.run("raw_half_close", &[&"x".repeat(count)]);
            assert_eq!(saw.end, "end", "{saw:?}");
        }
        assert_eq!(room.run("sends_a_million_bytes_first", &[]).end, "end");
        let saw = room.run("raw_waits", &["the next one"]);
        room.line(&saw, "the next one");
    }
}

/// What tasks 4 and up do with strings.
fn prints_strings(room: &Room) {
    for text in texts() {
        for style in [
            "string_01",
            "string_01_in_two_sends",
            "string_00",
            "string_00_half_close",
            "string_01_half_close",
        ] {
            let saw = room.run(style, &[&text]);
            room.line(&saw, &text);
            // Nobody waits for an answer here, and a reply where none is due is a mistake.
            saw.got("");
        }
        let saw = room.run("string_ascii_1", &[&text]);
        saw.got(&format!("Message: {text}"));
        room.line(&saw, &text);
    }
    assert!(room.server.names().is_empty(), "{:?}", room.server.names());
}

#[test]
fn task_4_prints_strings_of_each_grammar() {
    let Some(room) = Room::of_task("4") else {
        return;
    };
    prints_strings(&room);
}

#[test]
fn task_5_prints_strings_of_each_grammar() {
    let Some(room) = Room::of_task("5") else {
        return;
    };
    prints_strings(&room);
}

#[test]
fn task_4_stores_bytes_until_the_peer_closes() {
    let Some(room) = Room::of_task("4") else {
        return;
    };
    let mut known = Vec::new();
    for size in SIZES.into_iter().filter(|size| *size > 0) {
        // Only four zeros would be a length that fits, of nothing.
        let zeros = vec![0; if size == 4 { 5 } else { size }];
        let contents = [noise(1, size), prose(size), vec![2; size], zeros];
        for (number, bytes) in contents.iter().enumerate() {
            let path = room.file(&format!("{size}-{number}"), bytes);
            for style in [
                "data_02",
                "data_02_half_close",
                "data_02_in_two_sends",
                "data_02_small_sends",
            ] {
                let saw = room.run(style, &[&path]);
                saw.got("");
                room.stored_unnamed(&mut known, bytes);
                room.line(&saw, known.last().expect("it was just stored"));
            }
        }
    }
    assert_eq!(room.server.names().len(), known.len());
}

#[test]
fn task_4_knows_a_length_of_four_bytes_that_fits() {
    let Some(room) = Room::of_task("4") else {
        return;
    };
    let styles = [
        "data_02_length_4",
        "data_02_length_4_in_three_sends",
        "data_02_length_4_thinks",
    ];
    room.stores_unnamed_at_once(&styles, &[0, 1, 300, 65_536, 300_000, 1_000_000]);
}

#[test]
fn task_4_waits_for_the_end_of_the_stream_however_long_it_takes() {
    let Some(room) = Room::of_task("4") else {
        return;
    };
    thread::scope(|at_once| {
        // The first half of the zeros says, read as a length, that nothing follows.
        for bytes in [vec![0; 8], noise(2, 5000)] {
            let room = &room;
            at_once.spawn(move || {
                let path = room.file(&format!("{}", bytes.len()), &bytes);
                room.run("data_02_thinks", &[&path]).got("");
            });
        }
    });
    wait_until("both files", || room.server.names().len() == 2);
    let names = room.server.names();
    let mut stored: Vec<Vec<u8>> = names.iter().map(|name| room.server.stored(name)).collect();
    stored.sort_by_key(Vec::len);
    assert_eq!(stored, [vec![0; 8], noise(2, 5000)]);
}

#[test]
fn task_5_stores_data_of_every_type_and_size() {
    let Some(room) = Room::of_task("5") else {
        return;
    };
    let mut known = Vec::new();
    for size in SIZES.into_iter().chain([1_000_000]) {
        let bytes = noise(3, size);
        let path = room.file(&size.to_string(), &bytes);
        let mut runs = vec![
            ("sized", vec![&*path]),
            ("sized_half_close", vec![&path]),
            ("sized_in_three_sends", vec![&path]),
            ("sized_small_sends", vec![&path]),
            ("data_02_length_4", vec![&path]),
            ("data_02_length_4_in_three_sends", vec![&path]),
        ];
        for (kind, too_large) in TYPES {
            if (size as u64) < too_large {
                runs.push(("sized_of_type", vec![&path, kind]));
            }
        }
        for kind in ["6", "7", "8", "9"] {
            runs.push(("sized_of_type", vec![&path, kind]));
        }
        for (style, arguments) in runs {
            let saw = room.run(style, &arguments);
            saw.got("");
            room.stored_unnamed(&mut known, &bytes);
            room.line(&saw, known.last().expect("it was just stored"));
        }
    }
    assert_eq!(room.server.names().len(), known.len());
}

#[test]
fn task_5_takes_clients_that_think_and_clients_that_count_on_the_server_to_close() {
    let Some(room) = Room::of_task("5") else {
        return;
    };
    let styles = [
        "sized_thinks",
        "sized_waits_for_the_end",
        "data_02_length_4_thinks",
        "data_02_length_4_waits_for_the_end",
    ];
    room.stores_unnamed_at_once(&styles, &[0, 200, 256, 70_000]);
}

#[test]
fn task_5_takes_several_messages_on_one_socket() {
    let Some(room) = Room::of_task("5") else {
        return;
    };
    let contents = [noise(5, 300), noise(6, 70_000), noise(7, 1000)];
    let paths: Vec<String> = (contents.iter().zip(["a", "b", "c"]))
        .map(|(bytes, name)| room.file(name, bytes))
        .collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    room.run("sized_keeps_the_socket", &paths).got("");
    wait_until("three files", || room.server.names().len() == 3);
    let stored: Vec<Vec<u8>> = (room.server.names().iter())
        .map(|name| room.server.stored(name))
        .collect();
    for bytes in &contents {
        assert!(
            stored.contains(bytes),
            "one of {} bytes is missing",
            bytes.len()
        );
    }
}

#[test]
fn whoever_connects_and_goes_is_dropped_quietly() {
    for task in ["hello", "1", "2", "3", "4", "5", "6"] {
        let Some(room) = Room::of_task(task) else {
            return;
        };
        room.run("connects_and_closes", &[]);
        room.run("says_nothing_and_half_closes", &[]);
        if ["4", "5", "6"].contains(&task) {
            for kind in ["00", "01", "03", "05", "31", "ff"] {
                room.run("sends_hex_and_closes", &[kind]);
                let saw = room.run("sends_hex_and_half_closes", &[kind]);
                assert_eq!(saw.end, "end", "{task} {kind}: {saw:?}");
            }
        }
        if task == "6" {
            // A name that nothing follows, once before its OK and once after.
            room.run("sends_hex_and_closes", &["016e616d65"]);
            room.run("sends_hex_and_closes", &["0104006e616d65"]);
            room.run("u1_name_only", &["name"]).got("OK");
        }
        room.ends_with(&[]);
    }
}
