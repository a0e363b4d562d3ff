//! Large files, as `send` sends them: moved by the system or copied, with a digest behind them or
//! without, and what comes of files that change meanwhile.

mod common;

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use common::{
    Fake, GUARD, Lines, PROGRAM, Peer, Ran, Server, can_trace, command, piecemeal, signal, skipped,
    string,
};
use rustix::process::Signal;
use tempfile::TempDir;

/// Far more than the sockets hold: a sender can't be done before its peer has read most of it.
const LARGE: u64 = 64 << 20;

fn send(to: &str, arguments: &[&str]) -> Ran {
    piecemeal(&[&["send", "--to", to], arguments].concat())
}

/// Bytes of which no two stretches are alike.
fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

/// A large file of zeros that was last written to long ago, and its path.
fn a_large_file() -> (TempDir, String) {
    let home = tempfile::tempdir().expect("a temporary folder");
    let path = home.path().join("large");
    let file = File::create(&path).expect("the folder is there");
    file.set_len(LARGE).expect("there is room for a hole");
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    file.set_modified(long_ago).expect("the file is ours");
    let path = path.display().to_string();
    (home, path)
}

/// The body of a STRING, PUT or END.
fn take_text(peer: &mut Peer) -> String {
    let header = peer.take(3);
    let length = u16::from_le_bytes([header[1], header[2]]);
    String::from_utf8(peer.take(usize::from(length))).expect("it is text")
}

/// Takes the header of a DATA message of [`LARGE`] bytes.
fn take_large_header(peer: &mut Peer) {
    assert_eq!(peer.take(5), common::data_header(4, LARGE));
}

/// Takes a PUT and the first bytes of the file, and no more for now.
fn take_the_beginning(peer: &mut Peer, beginning: usize) {
    take_text(peer);
    peer.give(string("OK\noffset=0"));
    take_large_header(peer);
    peer.take(beginning);
}

fn large_receipt(digest: &str) -> Vec<u8> {
    string(format!(
        "OK\nname=large\nsize={LARGE}\nblake3={digest}\ndurable=yes"
    ))
}

/// Runs the program under strace, or tells that it can't.
fn under_strace(trace: &[&str], arguments: &[&str]) -> Option<(Ran, String)> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let log = home.path().join("log");
    if !can_trace() {
        return None;
    }
    let mut traced = command("strace");
    traced.args(["-f", "-qq", "-o"]).arg(&log).args(trace);
    traced.arg(PROGRAM).args(arguments);
    let output = assert_cmd::Command::from_std(traced)
        .timeout(GUARD)
        .output()
        .expect("strace starts");
    let ran = Ran {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    Some((ran, fs::read_to_string(&log).expect("strace wrote it")))
}

#[test]
fn however_a_file_is_sent_it_arrives_as_it_is() {
    let home = tempfile::tempdir().unwrap();
    let unix = format!("unix:{}", home.path().join("socket").display());
    let server = Server::start(&["--bind", "127.0.0.1:0", "--bind", &unix]);
    let bytes = noise(9_000_000);
    let sizes = [0, 1, 1_048_576, 1_048_577, 2_000_000, 8_388_609, 9_000_000];
    let ways: [&[&str]; 5] = [
        &[],
        &["--no-sendfile"],
        &["--no-verify"],
        &["--no-verify", "--no-sendfile"],
        &["--pieces", "1,70000"],
    ];
    for to in [server.address(), &unix] {
        for way in ways {
            let mut arguments = way.to_vec();
            let paths = sizes.map(|size| {
                let path = home.path().join(size.to_string());
                fs::write(&path, &bytes[..size]).unwrap();
                path.display().to_string()
            });
            arguments.extend(paths.iter().map(String::as_str));
            send(to, &arguments).exits(0).line_with(&["7 files stored"]);
            for size in sizes {
                let stored = server.stored(&size.to_string());
                assert!(stored == bytes[..size], "{size} bytes to {to}, {way:?}");
                fs::remove_file(server.path(&size.to_string())).unwrap();
            }
        }
    }
}

#[test]
fn many_files_with_large_ones_among_them_go_over_several_connections() {
    let (server, home) = (Server::start(&[]), tempfile::tempdir().unwrap());
    let bytes = noise(6_000_000);
    let part = |number: usize| match number % 3 {
        0 => &bytes[number..number + 5_000_000],
        1 => &bytes[number..number + 100_000],
        _ => &bytes[number..number + 1_500_000],
    };
    let paths: Vec<String> = (0..30)
        .map(|number| {
            let path = home.path().join(number.to_string());
            fs::write(&path, part(number)).unwrap();
            path.display().to_string()
        })
        .collect();
    let mut arguments = vec!["-j", "4"];
    arguments.extend(paths.iter().map(String::as_str));
    // The second time they are there already.
    for _ in 0..2 {
        let ran = send(server.address(), &arguments).exits(0);
        ran.line_with(&["30 files stored"]);
    }
    assert_eq!(server.names().len(), 30);
    for number in 0..30 {
        assert!(server.stored(&number.to_string()) == part(number));
    }
}

#[test]
fn only_large_files_are_moved_by_the_system_and_only_where_that_is_wanted() {
    let (server, home) = (Server::start(&[]), tempfile::tempdir().unwrap());
    let (small, large) = (home.path().join("small"), home.path().join("large"));
    fs::write(&small, noise(1_000_000)).unwrap();
    fs::write(&large, noise(3_000_000)).unwrap();
    for (path, way, moved) in [
        (&small, "--progress=plain", false),
        (&large, "--progress=plain", true),
        (&large, "--no-sendfile", false),
    ] {
        let path = path.display().to_string();
        let arguments = ["send", "--to", server.address(), way, &path];
        let Some((ran, log)) = under_strace(&["-e", "trace=sendfile"], &arguments) else {
            return;
        };
        ran.exits(0);
        assert_eq!(log.contains("sendfile("), moved, "{path}, {way}: {log}");
        fs::remove_file(server.path(Path::new(&path).file_name().unwrap().to_str().unwrap()))
            .unwrap();
    }
}

#[test]
fn where_the_system_refuses_in_the_middle_the_rest_is_copied() {
    let (server, home) = (Server::start(&[]), tempfile::tempdir().unwrap());
    let path = home.path().join("large");
    let bytes = noise(20_000_000);
    fs::write(&path, &bytes).unwrap();
    let path = path.display().to_string();
    for error in ["EINVAL", "ENOSYS", "EIO"] {
        let inject = format!("inject=sendfile:error={error}:when=3+");
        let trace = ["-e", "trace=sendfile", "-e", &inject];
        let arguments = ["send", "--to", server.address(), &path];
        let Some((ran, log)) = under_strace(&trace, &arguments) else {
            return;
        };
        ran.exits(0);
        assert_eq!(log.matches(error).count(), 1, "it is tried once: {log}");
        assert!(server.stored("large") == bytes, "{error}");
        fs::remove_file(server.path("large")).unwrap();
    }
}

#[test]
fn a_server_is_not_blamed_for_a_digest_that_takes_long() {
    let (server, home) = (Server::start(&[]), tempfile::tempdir().unwrap());
    let path = home.path().join("large");
    fs::write(&path, noise(1_100_000)).unwrap();
    let path = path.display().to_string();
    // Only the digest reads. Each of its nine reads takes longer than the server may be silent.
    let trace = ["-e", "inject=pread64:delay_enter=600ms"];
    let arguments = [
        "send",
        "--to",
        server.address(),
        "--timeout",
        "500ms",
        &path,
    ];
    if let Some((ran, log)) = under_strace(&trace, &arguments) {
        ran.exits(0).line_with(&["1 file stored"]);
        assert!(log.contains("DELAYED"), "{log}");
    }
}

#[test]
fn a_file_that_shrinks_on_the_way_is_not_completed() {
    for way in ["--progress=plain", "--no-sendfile", "--no-verify"] {
        let (_home, path) = a_large_file();
        let shrinking = path.clone();
        let fake = Fake::playing(move |peer| {
            take_the_beginning(peer, 1_000_000);
            let file = File::options().write(true).open(&shrinking).unwrap();
            file.set_len(100_000).unwrap();
            let rest = peer.take_to_the_end();
            assert!((rest.len() as u64) < LARGE - 1_000_000, "nothing makes up");
        });
        let ran = send(&fake.address, &[way, &path]).exits(9);
        ran.line_with(&["piecemeal: ", &path, "it shrank while it was sent"]);
    }
}

#[test]
fn a_file_that_grows_on_the_way_is_sent_as_it_was_announced() {
    for way in ["--progress=plain", "--no-sendfile"] {
        let (_home, path) = a_large_file();
        let digest = common::digest(fs::read(&path).unwrap());
        let growing = path.clone();
        let fake = Fake::playing(move |peer| {
            take_the_beginning(peer, 1_000_000);
            let mut file = File::options().append(true).open(&growing).unwrap();
            file.write_all(&noise(5_000_000)).unwrap();
            peer.take(usize::try_from(LARGE).unwrap() - 1_000_000);
            assert_eq!(
                take_text(peer),
                format!("size={LARGE}\nblake3={digest}\n"),
                "it is END that follows, and of these bytes"
            );
            peer.give(string("OK"));
            peer.give(large_receipt(&digest));
            peer.listen_to_the_end();
        });
        let ran = send(&fake.address, &[way, &path]).exits(0);
        ran.line_with(&["1 file stored"]);
    }
}

#[test]
fn a_digest_that_differs_is_told_from_a_file_that_was_changed() {
    for changes in [false, true] {
        let (_home, path) = a_large_file();
        let changing = path.clone();
        let fake = Fake::playing(move |peer| {
            take_the_beginning(peer, 1_000_000);
            peer.take(usize::try_from(LARGE).unwrap() - 1_000_000);
            take_text(peer);
            if changes {
                let mut file = File::options().write(true).open(&changing).unwrap();
                file.write_all(b"other bytes").unwrap();
            }
            peer.give(string("OK"));
            peer.give(string("ERR digest\ntext=the bytes have another"));
            peer.listen_to_the_end();
        });
        let ran = send(&fake.address, &[&path]).exits(6);
        let line = ran.line_with(&["piecemeal: ", &path, "(digest)", "the bytes have another"]);
        let why = "it changed while it was sent; the server refused it";
        assert_eq!(line.contains(why), changes, "{line}");
    }
}

#[test]
fn without_verifying_a_file_has_no_digest_before_or_behind_it() {
    let (home, large) = a_large_file();
    let small = home.path().join("small");
    fs::write(&small, "bytes").unwrap();
    let small = small.display().to_string();
    let fake = Fake::playing(|peer| {
        assert_eq!(take_text(peer), format!("name=large\nsize={LARGE}\n"));
        peer.give(string("OK\noffset=0"));
        take_large_header(peer);
        peer.take(usize::try_from(LARGE).unwrap());
        peer.give(string(format!("OK\nname=large\nsize={LARGE}\ndurable=yes")));
        assert_eq!(take_text(peer), "name=small\nsize=5\n");
        assert_eq!(peer.take(7), b"\x02\x05bytes");
        peer.give(string("OK\noffset=0"));
        peer.give(string("OK\nname=small\nsize=5\ndurable=yes"));
        peer.listen_to_the_end();
    });
    let ran = send(
        &fake.address,
        &["--no-verify", "--no-resume", &large, &small],
    )
    .exits(0);
    ran.line_with(&["2 files stored"]);
}

#[test]
fn without_verifying_what_is_there_already_is_recognised_all_the_same() {
    let (server, home) = (Server::start(&[]), tempfile::tempdir().unwrap());
    let paths = [3_000_000, 5].map(|size| {
        let path = home.path().join(size.to_string());
        fs::write(&path, noise(size)).unwrap();
        path.display().to_string()
    });
    let arguments = ["--no-verify", &paths[0], &paths[1]];
    for _ in 0..3 {
        let ran = send(server.address(), &arguments).exits(0);
        ran.line_with(&["2 files stored"]);
    }
    assert_eq!(server.names(), ["3000000", "5"]);
    for path in &paths {
        let length = fs::read(path).unwrap().len();
        fs::write(path, vec![b'x'; length]).unwrap();
    }
    let ran = send(server.address(), &arguments).exits(3);
    for path in &paths {
        ran.line_with(&["piecemeal: ", path, "(exists)"]);
    }
    assert!(server.stored("3000000") == noise(3_000_000));
}

#[test]
fn a_signal_ends_a_sending_in_the_middle_of_a_digest() {
    let (_home, path) = a_large_file();
    let fake = Fake::playing(|peer| {
        take_the_beginning(peer, 40_000_000);
        peer.tell_the_test();
        peer.listen_to_the_end();
    });
    let mut sending = sending(&fake, &[&path]);
    let err = Lines::of(sending.stderr.take().unwrap());
    fake.wait_for_the_peer();
    signal(&sending, Signal::INT);
    let lines = err.to_end();
    let code = sending.wait().unwrap().code();
    // It may have sent its last byte before the signal came, but nobody answers it.
    assert_eq!(code, Some(130), "{lines:#?}");
}

#[test]
fn a_large_file_takes_no_memory_to_send() {
    for way in ["--progress=plain", "--no-sendfile", "--no-verify"] {
        let (_home, path) = a_large_file();
        let verified = way != "--no-verify";
        let fake = Fake::playing(move |peer| {
            take_the_beginning(peer, usize::try_from(LARGE).unwrap());
            if verified {
                take_text(peer);
            }
            peer.tell_the_test();
            peer.listen_to_the_end();
        });
        let mut sending = sending(&fake, &[way, &path]);
        fake.wait_for_the_peer();
        let status = fs::read_to_string(format!("/proc/{}/status", sending.id()));
        sending.kill().unwrap();
        sending.wait().unwrap();
        let Ok(status) = status else {
            return skipped("there is no /proc");
        };
        let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let most: u64 = most
            .unwrap()
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .unwrap();
        assert!(most < 32 << 10, "{way}: {most} KiB");
    }
}

/// A sending that is under way.
fn sending(fake: &Fake, arguments: &[&str]) -> std::process::Child {
    let mut sending: Command = command(PROGRAM);
    sending
        .args(["send", "--to", &fake.address])
        .args(arguments);
    sending.stderr(Stdio::piped()).spawn().expect("it starts")
}
