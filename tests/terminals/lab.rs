//! The lab's servers, clients and checker, whose other ends are somebody else's programs.

use std::sync::{Arc, Mutex};
use std::thread;

use rustix::process::Signal;

use crate::common::{Client, Fake, Starter};
use crate::evil::{NO_UTF8, forgery, scalars, tricks};
use crate::run;
use crate::screen::Screen;

const TASKS: [&str; 7] = ["hello", "1", "2", "3", "4", "5", "6"];

/// What a peer of the course may send: texts without a length, and with one.
fn noises() -> Vec<Vec<u8>> {
    let mut noises: Vec<Vec<u8>> = tricks().into_iter().map(String::into_bytes).collect();
    noises.push(forgery().into_bytes());
    noises.extend(NO_UTF8.map(<[u8]>::to_vec));
    let scalars = scalars(4_000).into_iter().map(String::into_bytes);
    let few = if crate::takes_all() { usize::MAX } else { 6 };
    noises.extend(scalars.take(few));
    noises
}

/// A server that answers whoever connects, and whatever they say, with what is there then.
fn answering(with: &Arc<Mutex<Vec<u8>>>) -> Fake {
    let with = Arc::clone(with);
    Fake::playing(move |peer| {
        let _ = peer.try_take(1);
        let bytes = with.lock().expect("nobody fails with it").clone();
        peer.give(&bytes);
        peer.finish();
        peer.listen_to_the_end();
    })
}

#[test]
fn the_labs_servers_show_nothing_of_their_peers_raw() {
    let screen = Screen::new();
    thread::scope(|scope| {
        for task in TASKS {
            let screen = &screen;
            scope.spawn(move || {
                let mut server = Starter::lab(task, &["-vv", "--trace", "--quiet", "20ms"]).start();
                for noise in noises() {
                    let length = u16::try_from(noise.len())
                        .expect("texts are shorter")
                        .to_le_bytes();
                    let framed = [&[1], &length[..], &noise, &[2, 1, b'x']].concat();
                    for bytes in [noise.clone(), framed] {
                        let mut client = Client::connect(server.address());
                        client.send_quietly(bytes);
                        client.finish_quietly();
                        client.read_what_comes();
                    }
                }
                server.signal(Signal::TERM);
                server.wait();
                screen.takes(&format!("task {task}"), &server.out.raw_to_end());
                screen.takes(&format!("task {task}"), &server.err.raw_to_end());
            });
        }
    });
}

#[test]
fn the_labs_clients_show_nothing_of_their_servers_raw() {
    let screen = Screen::new();
    let home = tempfile::tempdir().expect("a folder");
    let file = home.path().join("file");
    std::fs::write(&file, "x").expect("written");
    thread::scope(|scope| {
        for task in TASKS {
            let (screen, file) = (&screen, &file);
            scope.spawn(move || {
                let answer = Arc::default();
                let server = answering(&answer);
                for noise in noises() {
                    let length = u16::try_from(noise.len())
                        .expect("texts are shorter")
                        .to_le_bytes();
                    let framed = [&[1], &length[..], &noise].concat();
                    for bytes in [noise.clone(), framed] {
                        *answer.lock().expect("nobody fails with it") = bytes;
                        let arguments = [
                            "lab",
                            "client",
                            "--task",
                            task,
                            "--to",
                            &server.address,
                            "--quiet",
                            "20ms",
                            "--timeout",
                            "2s",
                        ];
                        let input = format!("{}\n", file.display());
                        let printed = run(&arguments, &[], input.as_bytes());
                        screen.takes(
                            &format!("client {task}"),
                            &[printed.out, printed.err].concat(),
                        );
                    }
                }
            });
        }
    });
}

#[test]
fn the_checker_shows_nothing_of_a_hostile_server_raw() {
    let screen = Screen::new();
    let all = [tricks().concat(), forgery()].concat();
    let mut noise = all.into_bytes();
    noise.extend(NO_UTF8.concat());
    let cases: &[&str] = match crate::takes_all() {
        true => &["1.1", "2.1", "3.1,3.4,3.7", "4.1", "5.1", "6.1,6.2"],
        false => &["3.1", "6.1"],
    };
    for case in cases {
        let (task, _) = case.split_once('.').expect("a task and a case");
        for more in [&[][..], &["--json"]] {
            let server = answering(&Arc::new(Mutex::new(noise.clone())));
            let arguments = [
                "lab",
                "check",
                "--task",
                task,
                "--only",
                case,
                &server.address,
            ];
            let printed = run(&[&arguments, more].concat(), &[], b"");
            let what = format!("check {case}");
            screen.takes(&what, &printed.out);
            screen.takes(&what, &printed.err);
            assert!(printed.out.len() > 100, "{what}: {printed:?}");
        }
    }
}
