//! What `send` makes of streams: standard input, and the output of a command that it runs. The
//! rule is always the same: what did not come to a good end is not stored.

mod common;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;

use common::{
    Cut, GUARD, Lines, PROGRAM, Proxy, Ran, Server, command, piecemeal, piecemeal_with_input,
    signal, skipped, wait_until,
};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

/// Sends this as standard input.
fn send_input(to: &str, input: &[u8], arguments: &[&str]) -> Ran {
    piecemeal_with_input(&[&["send", "--to", to], arguments].concat(), input)
}

/// Sends what a shell's script writes.
fn send_script(to: &str, script: &str) -> Ran {
    let words = ["--name", "out", "--exec", "--", "sh", "-c", script];
    piecemeal(&[&["send", "--to", to], &words[..]].concat())
}

/// A sending that is under way, with its standard error.
fn sending(to: &str, arguments: &[&str], input: Stdio) -> (Child, Lines) {
    let mut command: Command = command(PROGRAM);
    command.args(["send", "--to", to]).args(arguments);
    command.stdin(input).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let err = Lines::of(child.stderr.take().expect("it is a pipe"));
    (child, err)
}

/// The one child that a process has.
fn child_of(process: u32) -> Option<Pid> {
    let children = format!("/proc/{process}/task/{process}/children");
    let children = fs::read_to_string(children).ok()?;
    Pid::from_raw(children.trim().parse().ok()?)
}

#[test]
fn standard_input_is_stored_as_it_is_whatever_its_size() {
    let server = Server::start(&[]);
    for size in [0, 1, 65_536, 262_144, 262_145, 9_000_000] {
        let (name, bytes) = (size.to_string(), noise(size));
        let ran = send_input(server.address(), &bytes, &["-", "--name", &name]).exits(0);
        ran.line_with(&["1 file stored"]);
        ran.line_with(&[&format!("stored - as {name} (")]);
        assert!(server.stored(&name) == bytes, "{size}");
    }
    assert_eq!(server.names().len(), 6);
}

#[test]
fn standard_input_needs_a_name_and_is_sent_alone() {
    let server = Server::start(&[]);
    for (arguments, why) in [
        (&["-"][..], "standard input has no name; --name"),
        (&["-", "file"], "is sent alone"),
        (&["--exec", "--", "true"], "--name"),
    ] {
        let ran = send_input(server.address(), b"", arguments).exits(2);
        ran.line_with(&[why]);
    }
    assert!(server.names().is_empty());
}

#[test]
fn a_standard_input_that_is_closed_is_no_empty_file() {
    let server = Server::start(&[]);
    let script = |redirect: &str| {
        let line = format!(r#""$0" send --to "$1" - --name x {redirect}"#);
        let mut shell = command("sh");
        shell.args(["-c", &line, PROGRAM, server.address()]);
        shell.status().unwrap().code()
    };
    assert_eq!(script("<&-"), Some(2));
    assert!(server.names().is_empty());
    assert_eq!(script("</dev/null"), Some(0));
    assert_eq!(server.stored("x"), b"");
}

#[test]
fn a_pipeline_stores_what_tar_wrote() {
    let (server, home) = (Server::start(&[]), tempfile::tempdir().unwrap());
    fs::create_dir(home.path().join("folder")).unwrap();
    for (name, size) in [("a", 5_000_000), ("b", 0), ("c", 123)] {
        fs::write(home.path().join("folder").join(name), noise(size)).unwrap();
    }
    let script = r#"tar c folder | "$0" send --to "$1" - --name d.tar"#;
    let mut pipeline = command("sh");
    pipeline.current_dir(home.path());
    pipeline.args(["-c", script, PROGRAM, server.address()]);
    assert!(pipeline.status().unwrap().success());
    let mut direct = command("sh");
    direct.current_dir(home.path());
    let tar = direct.args(["-c", "tar c folder"]).output().unwrap();
    assert!(server.stored("d.tar") == tar.stdout);
    let mut exec = command(PROGRAM);
    exec.current_dir(home.path());
    exec.args([
        "send",
        "--to",
        server.address(),
        "--name",
        "e.tar",
        "--exec",
    ]);
    exec.args(["--", "tar", "c", "folder"]);
    assert!(exec.status().unwrap().success());
    assert!(server.stored("e.tar") == tar.stdout);
}

#[test]
fn a_commands_output_is_stored_only_if_it_ends_well() {
    let server = Server::start(&[]);
    send_script(server.address(), "printf bytes").exits(0);
    assert_eq!(server.stored("out"), b"bytes");
    fs::remove_file(server.path("out")).unwrap();
    for (script, why) in [
        ("exit 3", "ended with exit code 3"),
        (
            "head -c 3000000 /dev/zero; exit 1",
            "ended with exit code 1",
        ),
        (
            "head -c 3000000 /dev/zero; kill -9 $$",
            "was killed by signal 9 (SIGKILL)",
        ),
        ("exec >&-; kill -15 $$", "was killed by signal 15 (SIGTERM)"),
    ] {
        let ran = send_script(server.address(), script).exits(10);
        ran.line_with(&["piecemeal: ", "the command ", why, "nothing was stored"]);
        assert_eq!(retries(&ran), 0, "{ran:#?}");
    }
    let missing = ["--name", "out", "--exec", "--", "/no/such/program"];
    let ran = piecemeal(&[&["send", "--to", server.address()], &missing[..]].concat()).exits(10);
    ran.line_with(&["/no/such/program", "can't be run", "No such file"]);
    assert!(server.names().is_empty());
}

fn retries(ran: &Ran) -> usize {
    ran.err.matches("; trying again in ").count()
}

#[test]
fn what_a_command_says_of_itself_is_passed_through() {
    let server = Server::start(&[]);
    let ran = send_script(server.address(), "echo what a pity >&2; exit 1").exits(10);
    ran.line_with(&["what a pity"]);
    // And its standard input is ours.
    let words = ["--name", "copy", "--exec", "--", "cat"];
    send_input(server.address(), b"through", &words).exits(0);
    assert_eq!(server.stored("copy"), b"through");
}

/// Something is done to the sending, given its number, once the server has half of it.
fn in_the_middle_of(server: &Server, arguments: &[&str], act: fn(u32)) -> (Option<i32>, Lines) {
    let (tell, told) = channel();
    let (acted, act_done) = channel::<()>();
    let act_done = std::sync::Mutex::new(act_done);
    let proxy = Proxy::with_hook(
        server.address(),
        |_| Cut::after(3_000_000),
        move |_| {
            let _ = tell.send(());
            let _ = act_done.lock().expect("nobody panics").recv_timeout(GUARD);
            // The line is good; what ends is at its other side.
            false
        },
    );
    let (mut child, err) = sending(&proxy.address, arguments, Stdio::null());
    told.recv_timeout(GUARD).expect("it comes so far");
    act(child.id());
    acted.send(()).expect("the line waits");
    err.to_end();
    (child.wait().expect("it is our child").code(), err)
}

#[test]
fn a_tar_that_is_killed_in_the_middle_leaves_nothing() {
    let (server, home) = (Server::start(&[]), tempfile::tempdir().unwrap());
    // More than all the buffers on the way hold, so that it is still at it.
    let big = fs::File::create(home.path().join("big")).unwrap();
    big.set_len(100_000_000).unwrap();
    let folder = home.path().display().to_string();
    let words = ["--name", "d.tar", "--exec", "--", "tar", "c", "-C", &folder];
    let words = [&words[..], &["."]].concat();
    if !Path::new("/proc/thread-self/children").exists() {
        return skipped("there is no /proc");
    }
    let (code, err) = in_the_middle_of(&server, &words, |sending| {
        let tar = child_of(sending).expect("it runs tar");
        kill_process(tar, Signal::KILL).expect("tar runs");
    });
    let lines = err.so_far();
    assert_eq!(code, Some(10), "{lines:#?}");
    assert!(
        lines.iter().any(|line| line.contains("SIGKILL")),
        "{lines:#?}"
    );
    assert!(server.names().is_empty());
}

#[test]
fn a_sending_that_is_ended_in_the_middle_leaves_nothing_and_no_command() {
    let server = Server::start(&[]);
    let home = tempfile::tempdir().unwrap();
    for (which, code) in [
        (Signal::INT, Some(130)),
        (Signal::TERM, Some(143)),
        (Signal::KILL, None),
    ] {
        let number = home.path().join("number");
        let script = format!("echo $$ >{}; exec cat /dev/zero", number.display());
        let words = ["--name", "out", "--exec", "--", "sh", "-c", &script];
        let act = match which {
            Signal::INT => |sending| end(sending, Signal::INT),
            Signal::TERM => |sending| end(sending, Signal::TERM),
            _ => |sending| end(sending, Signal::KILL),
        };
        let (ended, err) = in_the_middle_of(&server, &words, act);
        assert_eq!(ended, code, "{:#?}", err.so_far());
        let number = fs::read_to_string(number).unwrap();
        let command = Pid::from_raw(number.trim().parse().unwrap()).unwrap();
        if code.is_some() {
            assert_eq!(test_kill_process(command), Err(Errno::SRCH), "{which:?}");
        } else {
            // Nobody could end it; but nobody reads what it writes either, and it hears of that.
            wait_until("the command has ended", || {
                test_kill_process(command).is_err() || is_dead(command)
            });
        }
    }
    // It knows by now that these connections have ended: it says so before it stops.
    let mut server = server;
    server.stop();
    assert!(server.names().is_empty());
}

fn end(sending: u32, which: Signal) {
    let sending = i32::try_from(sending).ok().and_then(Pid::from_raw);
    kill_process(sending.expect("a process"), which).expect("it runs");
}

/// Whether a process has ended and is only still to be waited for, by whoever has inherited it.
fn is_dead(process: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_pid()));
    status.is_ok_and(|status| status.contains(") Z "))
}

#[test]
fn a_server_that_refuses_in_the_middle_ends_the_stream_with_its_reason() {
    let server = Server::start(&["--max-size", "1MB"]);
    // Both would go on for ever.
    let ran = send_script(server.address(), "exec cat /dev/zero").exits(3);
    ran.line_with(&["(too-large)", "--max-size"]);
    let endless = Stdio::from(fs::File::open("/dev/zero").unwrap());
    let (mut child, err) = sending(server.address(), &["-", "--name", "out"], endless);
    let lines = err.to_end();
    assert_eq!(child.wait().unwrap().code(), Some(3), "{lines:#?}");
    assert!(server.names().is_empty());
}

#[test]
fn a_name_that_is_taken_is_told_before_the_command_is_run() {
    let (server, home) = (Server::start(&[]), tempfile::tempdir().unwrap());
    let seen = home.path().join("seen");
    let script = format!("touch {}; printf bytes", seen.display());
    server.client().upload("out", b"other");
    let ran = send_script(server.address(), &script).exits(3);
    ran.line_with(&["(exists)", "--name"]);
    assert!(!seen.exists());
    assert_eq!(server.stored("out"), b"other");
}

#[test]
fn a_stream_is_tried_again_only_while_all_of_it_is_there() {
    let server = Server::start(&[]);
    let bytes = noise(5_000_000);
    let words = ["-", "--name", "out"];
    // The announcement is lost; nothing was read before that.
    let proxy = Proxy::start(server.address(), |number| match number {
        0..3 => Cut::after(5),
        _ => Cut::never(),
    });
    let ran = send_input(&proxy.address, &bytes, &words).exits(0);
    assert_eq!(retries(&ran), 3);
    assert!(server.stored("out") == bytes);
    let words = ["-", "--name", "other"];
    let proxy = Proxy::start(server.address(), |_| Cut::after(1_000_000));
    let ran = send_input(&proxy.address, &bytes, &words).exits(4);
    ran.line_with(&["lost", "is gone, so it can't be sent again"]);
    assert_eq!((retries(&ran), proxy.connections()), (0, 1));
    assert_eq!(server.names(), ["out"]);
}

#[test]
fn a_reader_that_pauses_holds_up_nothing_but_itself() {
    let server = Server::start(&["-v"]);
    let (mut child, err) = sending(server.address(), &["-", "--name", "out"], Stdio::piped());
    server.err.wait_for(|line| line.contains("connected"));
    let mut stdin = child.stdin.take().unwrap();
    for part in ["one ", "two ", "three"] {
        stdin.write_all(part.as_bytes()).unwrap();
        // While it waits for more, the server has time for others.
        server.client().upload(part.trim(), b"bytes");
    }
    drop(stdin);
    err.to_end();
    assert!(child.wait().unwrap().success());
    assert_eq!(server.stored("out"), b"one two three");
    // A pause that never ends is ended by a signal.
    let (mut child, err) = sending(server.address(), &["-", "--name", "never"], Stdio::piped());
    server
        .err
        .wait_for_many(5, |line| line.contains("connected"));
    signal(&child, Signal::INT);
    err.to_end();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(server.names(), ["one", "out", "three", "two"]);
}

#[test]
fn a_stream_takes_no_more_memory_than_its_blocks() {
    let server = Server::start(&[]);
    let big = tempfile::tempfile().unwrap();
    big.set_len(64 << 20).unwrap();
    // What the largest child of this process has had at most tells of all of them.
    let (mut child, err) = sending(server.address(), &["-", "--name", "out"], Stdio::from(big));
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        if let Some(kib) = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()) {
            most = std::cmp::max(most, kib);
        }
    }
    assert!(child.wait().unwrap().success(), "{:#?}", err.so_far());
    assert!(most < 32 << 10, "{most} KiB");
}
