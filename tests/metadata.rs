//! Permissions and times: told by `send --keep-metadata`, kept by `serve --keep-metadata`.

mod common;

use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use common::{Client, Server, Starter, data, end, piecemeal, put};

/// The mode and time of last change of a stored file.
fn facts(server: &Server, name: &str) -> (u32, i64) {
    let facts = fs::metadata(server.path(name)).expect("it is stored");
    (facts.mode() & 0o7777, facts.mtime())
}

/// A server whose files are made with this umask.
fn with_umask(umask: &str, arguments: &[&str]) -> Server {
    let script = format!("umask {umask} && exec \"$0\" \"$@\"");
    Starter::new(arguments)
        .under(&["sh", "-c", &script])
        .start()
}

fn announce(client: &mut Client, name: &str, metadata: &str, bytes: &[u8]) {
    client.send([put(format!("name={name}\n{metadata}")), data(bytes)].concat());
    client.ok();
    client.receipt(name, bytes.len());
}

#[test]
fn a_mode_and_a_time_are_kept_and_the_umask_and_special_bits_are_not_overridden() {
    let server = with_umask("022", &["--keep-metadata"]);
    let mut client = server.client();
    for (number, (told, mode)) in [
        ("600", 0o600),
        ("0755", 0o755),
        ("777", 0o755),
        ("666", 0o644),
        ("4755", 0o755),
        ("7777", 0o755),
        ("0", 0),
    ]
    .into_iter()
    .enumerate()
    {
        let name = number.to_string();
        let metadata = format!("mode={told}\nmtime=1000000000");
        announce(&mut client, &name, &metadata, b"bytes");
        assert_eq!(facts(&server, &name), (mode, 1_000_000_000), "{told}");
    }
    // One of them alone, a time before the epoch, and in a folder.
    announce(&mut client, "mode", "mode=640", b"");
    assert_eq!(facts(&server, "mode").0, 0o640);
    announce(&mut client, "a/old", "mtime=-86400", b"");
    assert_eq!(facts(&server, "a/old"), (0o644, -86_400));
    // What is large is made safe elsewhere.
    announce(&mut client, "large", "mode=600\nmtime=7", &vec![1; 9 << 20]);
    assert_eq!(facts(&server, "large"), (0o600, 7));
    client.send(put("name=stream\nend=explicit\nmode=611\nmtime=8"));
    client.send([data("a"), data("b"), end("")].concat());
    for _ in 0..3 {
        client.ok();
    }
    client.receipt("stream", 2);
    assert_eq!(facts(&server, "stream"), (0o611, 8));
}

#[test]
fn without_being_told_to_a_server_keeps_neither() {
    let server = with_umask("027", &[]);
    announce(&mut server.client(), "a", "mode=777\nmtime=5", b"bytes");
    let (mode, mtime) = facts(&server, "a");
    assert_eq!(mode, 0o640);
    assert!(mtime > 1_000_000_000);
}

#[test]
fn what_is_no_mode_or_time_is_refused_whether_they_are_kept_or_not() {
    for keeping in [&["--keep-metadata"][..], &[]] {
        let server = Server::start(keeping);
        let mut client = server.client();
        for bad in [
            "mode=8",
            "mode=rw",
            "mode=00644",
            "mode=",
            "mtime=1.5",
            "mtime=now",
        ] {
            client.send([put(format!("name=a\n{bad}")), data("bytes")].concat());
            client.refused("bad-text");
            client.refused("bad-text");
        }
        assert_eq!(server.names(), [] as [&str; 0]);
    }
}

/// A file of mode 750 that was last changed long ago.
fn old_file(home: &tempfile::TempDir) -> PathBuf {
    let path = home.path().join("old");
    fs::write(&path, "bytes").expect("a file of our own");
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_234_567_890);
    let times = FileTimes::new().set_modified(long_ago);
    File::options()
        .write(true)
        .open(&path)
        .expect("a file of our own")
        .set_times(times)
        .expect("a file of our own");
    fs::set_permissions(&path, Permissions::from_mode(0o4750)).expect("a file of our own");
    path
}

#[test]
fn send_tells_them_only_if_it_is_asked_to() {
    let home = tempfile::tempdir().unwrap();
    let path = old_file(&home).display().to_string();
    let server = with_umask("002", &["--keep-metadata"]);
    let to = server.address();
    let keeping = ["send", "--to", to, "--keep-metadata"];
    piecemeal(&[&keeping[..], &["--name", "kept", &path]].concat()).exits(0);
    assert_eq!(facts(&server, "kept"), (0o750, 1_234_567_890));
    piecemeal(&["send", "--to", to, "--name", "not", &path]).exits(0);
    let (mode, mtime) = facts(&server, "not");
    assert_eq!(mode, 0o664);
    assert!(mtime > 1_234_567_890);
    // Sent again, it is recognised, and the file that is there stays as it is.
    piecemeal(&[&keeping[..], &["--name", "not", &path]].concat()).exits(0);
    assert_eq!(facts(&server, "not"), (mode, mtime));
}
