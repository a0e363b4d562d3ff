//! Names with folders: what the server makes of them, and how `send` walks a folder.

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::thread;

use common::{Ran, Server, Starter, command, data, piecemeal, put, skipped, string};
use tempfile::TempDir;

fn send(to: &str, arguments: &[&str]) -> Ran {
    piecemeal(&[&["send", "--to", to], arguments].concat())
}

/// A folder, with files in it that hold their own names.
fn folder_with(names: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in names {
        make(folder.path(), name);
    }
    folder
}

fn make(folder: &Path, name: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("it is in the folder")).expect("made");
    fs::write(path, name).expect("written");
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary path is text")
}

/// Every file beneath a folder.
fn tree(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).expect("a folder").flatten() {
            if entry.file_type().expect("known").is_dir() {
                folders.push(entry.path());
            } else {
                let path = entry.path();
                let below = path.strip_prefix(folder).expect("it is beneath");
                found.push(text(below).to_owned());
            }
        }
    }
    found.sort_unstable();
    found
}

#[test]
fn folders_in_names_are_made_by_every_kind_of_announcement() {
    let server = Server::start(&[]);
    let mut client = server.client();
    client.upload("a/b/c.txt", b"1");
    client.upload("a/b/d.txt", b"2");
    let deep = vec!["d"; 31].join("/") + "/end";
    client.send([put(format!("name={deep}\nsize=4")), data("deep")].concat());
    client.ok();
    client.receipt(&deep, 4);
    assert_eq!(server.stored(&deep), b"deep");
    // One part more is more than a name may have.
    client.send([string(format!("d/{deep}")), data("deep")].concat());
    client.refused("bad-name");
    client.refused("bad-name");
    assert_eq!(tree(&server.path("a")), ["b/c.txt", "b/d.txt"]);
}

#[test]
fn a_flat_server_refuses_folders_and_says_that_it_is_flat() {
    let server = Server::start(&["--flat"]);
    server
        .err
        .wait_for(|line| line.starts_with("limits: ") && line.ends_with("; names flat"));
    let mut client = server.client();
    client.send([string("a/b"), data("bytes")].concat());
    client.refused("bad-name");
    client.refused("bad-name");
    client.upload("ab", b"bytes");
    assert_eq!(server.names(), ["ab"]);
    let files = folder_with(&["f/a"]);
    let ran = send(server.address(), &[text(&files.path().join("f"))]).exits(3);
    let line = ran.line_with(&["f/a: ", "(bad-name)", "keeps one folder"]);
    assert!(!line.contains("--name"), "{line}");
}

#[test]
fn a_link_or_a_file_where_a_folder_should_be_stays_as_it_is_and_is_not_followed() {
    for policy in ["error", "rename", "overwrite"] {
        let server = Server::start(&["--on-conflict", policy]);
        let outside = server.home().join("outside");
        fs::create_dir(&outside).unwrap();
        symlink(&outside, server.path("absolute")).unwrap();
        symlink("../outside", server.path("relative")).unwrap();
        symlink("../missing", server.path("dangling")).unwrap();
        let mut client = server.client();
        client.upload("file", b"kept");
        client.upload("folder/file", b"kept");
        symlink(&outside, server.path("folder/link")).unwrap();
        symlink("file", server.path("folder/to-file")).unwrap();
        for name in [
            "absolute/x",
            "relative/x",
            "relative/new/x",
            "dangling/x",
            "file/x",
            "folder/file/x",
            "folder/link/x",
            "folder/to-file/x",
        ] {
            client.send([string(name), data("evil")].concat());
            client.refused("bad-name");
            client.refused("bad-name");
        }
        client.upload("folder/other", b"good");
        assert_eq!(server.stored("file"), b"kept");
        assert_eq!(tree(&outside), [] as [&str; 0]);
        assert!(!server.home().join("missing").exists());
    }
}

#[test]
fn a_link_with_the_name_of_a_file_in_a_folder_is_never_followed() {
    for policy in ["error", "rename", "overwrite"] {
        let server = Server::start(&["--on-conflict", policy]);
        let precious = server.home().join("precious");
        fs::write(&precious, "precious").unwrap();
        fs::create_dir(server.path("a")).unwrap();
        symlink(&precious, server.path("a/link")).unwrap();
        let mut client = server.client();
        client.send([string("a/link"), data("bytes")].concat());
        if policy == "error" {
            client.refused("exists");
            client.refused("exists");
        } else {
            client.ok();
            let stored = client.ok().key("name").unwrap().to_owned();
            let expected = if policy == "rename" {
                "a/link (2)"
            } else {
                "a/link"
            };
            assert_eq!(stored, expected);
            assert_eq!(server.stored(&stored), b"bytes");
        }
        assert_eq!(fs::read(&precious).unwrap(), b"precious");
    }
}

#[test]
fn sixteen_connections_make_the_same_folders_at_once() {
    for workers in ["1", "3"] {
        let server = Server::start(&["--workers", workers]);
        thread::scope(|threads| {
            for client in 0..16 {
                let mut connection = server.client();
                threads.spawn(move || {
                    for number in 0..10 {
                        let name = format!("shared/{number}/{client}");
                        connection.upload(&name, name.as_bytes());
                    }
                });
            }
        });
        let stored = tree(&server.path("shared"));
        assert_eq!(stored.len(), 160);
        for name in stored {
            let name = format!("shared/{name}");
            assert_eq!(server.stored(&name), name.as_bytes());
        }
    }
}

#[test]
fn a_folder_is_sent_under_its_own_name_however_it_is_called() {
    let home = folder_with(&["photos/a/b.jpg", "photos/c.jpg"]);
    let photos = home.path().join("photos");
    let ways: [(&Path, &str); 5] = [
        (home.path(), "photos"),
        (home.path(), "photos/"),
        (home.path(), "./photos/."),
        (&photos, "."),
        (&photos.join("a"), ".."),
    ];
    for (from, argument) in ways {
        let server = Server::start(&[]);
        let mut sending = command(common::PROGRAM);
        sending.args(["send", "--to", server.address(), argument]);
        let output = sending.current_dir(from).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{argument}: {output:?}");
        assert_eq!(tree(&server.path("")), ["photos/a/b.jpg", "photos/c.jpg"]);
        assert_eq!(server.stored("photos/a/b.jpg"), b"photos/a/b.jpg");
    }
    let server = Server::start(&[]);
    send(server.address(), &["--name", "other", text(&photos)]).exits(0);
    assert_eq!(tree(&server.path("")), ["other/a/b.jpg", "other/c.jpg"]);
    // What is there already is recognised, file by file.
    let ran = send(
        server.address(),
        &["-j", "4", "--name", "other", text(&photos)],
    )
    .exits(0);
    ran.line_with(&["2 files stored"]);
}

#[test]
fn what_is_hidden_a_link_special_or_empty_is_left_out_and_said_to_be() {
    let home = folder_with(&["f/.git/config", "f/.profile", "f/seen", "target/behind"]);
    let folder = home.path().join("f");
    fs::create_dir(folder.join("empty")).unwrap();
    symlink("../target", folder.join("to-folder")).unwrap();
    symlink("seen", folder.join("to-file")).unwrap();
    let made = command("mkfifo").arg(folder.join("pipe")).status();
    assert!(made.unwrap().success());

    let server = Server::start(&["--allow-hidden"]);
    let ran = send(server.address(), &[text(&folder)]).exits(0);
    assert_eq!(tree(&server.path("")), ["f/seen"]);
    ran.line_with(&["f/pipe: left out: it is a pipe"]);
    ran.line_with(&["2 links left out", "--follow-links"]);
    ran.line_with(&["2 hidden names left out", "--hidden"]);

    let arguments = ["--hidden", "--follow-links", text(&folder)];
    let ran = send(server.address(), &arguments).exits(0);
    ran.line_with(&["f/pipe: left out"]);
    let all = [
        "f/.git/config",
        "f/.profile",
        "f/seen",
        "f/to-file",
        "f/to-folder/behind",
    ];
    assert_eq!(tree(&server.path("")), all);

    let empty = folder.join("empty");
    let ran = send(server.address(), &[text(&empty)]).exits(0);
    ran.line_with(&["0 files stored"]);
    assert!(!server.path("empty").exists());
}

#[test]
fn loops_of_links_are_named_and_everything_else_is_sent() {
    let home = folder_with(&["f/a/file", "f/z"]);
    let folder = home.path().join("f");
    symlink("..", folder.join("a/up")).unwrap();
    symlink(".", folder.join("a/self")).unwrap();
    symlink("turns", folder.join("turns")).unwrap();
    symlink("missing", folder.join("dangling")).unwrap();
    let server = Server::start(&[]);
    let arguments = ["--follow-links", text(&folder)];
    let ran = send(server.address(), &arguments).exits(23);
    ran.line_with(&["f/a/up: it is a link back to ", "/f: a loop"]);
    ran.line_with(&["f/a/self: it is a link back to ", "/f/a: a loop"]);
    ran.line_with(&["f/turns: can't read it: "]);
    ran.line_with(&["f/dangling: can't read it: No such file"]);
    ran.line_with(&["2 files stored", "4 files failed"]);
    assert_eq!(tree(&server.path("")), ["f/a/file", "f/z"]);
    send(server.address(), &[text(&folder)]).exits(0);
}

#[test]
fn of_a_thousand_good_names_and_a_bad_one_the_bad_one_is_named_and_the_others_go() {
    let names: Vec<String> = (0..1000).map(|n| format!("f/{}/{n}", n % 10)).collect();
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    // The client can't know that this server takes no hidden ones.
    names.push("f/5/.refused");
    let home = folder_with(&names);
    let folder = home.path().join("f");
    let server = Server::start(&["--durability", "none"]);
    let arguments = ["-j", "2", "--progress", "none", "--hidden", text(&folder)];
    let ran = send(server.address(), &arguments).exits(23);
    ran.line_with(&[
        "piecemeal: ",
        "f/5/.refused: the server refused it (bad-name)",
    ]);
    assert_eq!(ran.err.lines().count(), 1, "{ran:#?}");
    assert_eq!(tree(&server.path("")).len(), 1000);
}

#[test]
fn names_that_nobody_takes_are_named_and_the_others_go() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let home = folder_with(&["f/good", "f/a:b", "f/end.", "f/con"]);
    let folder = home.path().join("f");
    fs::write(folder.join(OsStr::from_bytes(b"\xff.txt")), "x").unwrap();
    fs::write(folder.join("\x1b[2J"), "x").unwrap();
    let server = Server::start(&[]);
    for dry in [&["--dry-run"][..], &[]] {
        let arguments = [dry, &[text(&folder)]].concat();
        let ran = send(server.address(), &arguments).exits(23);
        ran.line_with(&["f/\\xff.txt: ", "not UTF-8"]);
        ran.line_with(&["f/a:b: can't be called f/a:b: ", "no colon"]);
        ran.line_with(&["f/end.: "]);
        ran.line_with(&["f/con: ", "device"]);
        ran.line_with(&["[2J: "]);
        assert!(!ran.err.contains('\x1b') && !ran.out.contains('\x1b'));
        assert!(!ran.err.contains("--name"), "{ran:#?}");
    }
    assert_eq!(tree(&server.path("")), ["f/good"]);
}

#[test]
fn a_folder_that_can_not_be_read_is_named_and_the_others_go() {
    use std::os::unix::fs::PermissionsExt;
    let home = folder_with(&["f/closed/inside", "f/open/file"]);
    let folder = home.path().join("f");
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(home.path(), 0o755);
    mode(&folder.join("closed"), 0o000);
    let mut words = vec![common::PROGRAM];
    // The superuser may read everything.
    let other = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    if rustix::process::geteuid().is_root() {
        let mut tried = command(other[0]);
        tried
            .args(&other[1..])
            .args(["--", common::PROGRAM, "--version"]);
        let tried = tried.output();
        if !tried.is_ok_and(|tried| tried.status.success()) {
            mode(&folder.join("closed"), 0o755);
            return skipped("nobody here who may not read everything");
        }
        words = [&other[..], &["--"], &words].concat();
    }
    let server = Server::start(&[]);
    let mut sending = command(words[0]);
    sending.args(&words[1..]);
    sending.args(["send", "--to", server.address(), text(&folder)]);
    let output = sending.output().unwrap();
    mode(&folder.join("closed"), 0o755);
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(23), "{err}");
    assert!(
        err.contains("f/closed: can't read it: Permission denied"),
        "{err}"
    );
    assert_eq!(tree(&server.path("")), ["f/open/file"]);
}

#[test]
fn a_dry_run_lists_in_order_and_asks_no_server() {
    let home = folder_with(&["f/b/two", "f/a/one", "f/a.txt", "single"]);
    let folder = home.path().join("f");
    let closed = common::ClosedPort::new();
    let single = home.path().join("single");
    let arguments = ["--dry-run", text(&single), text(&folder)];
    let ran = send(&closed.address, &arguments).exits(0);
    let listed: Vec<&str> = ran.out.lines().collect();
    let line = |name: &str| {
        let size = name.len();
        format!("{} → {name}, {size} B", home.path().join(name).display())
    };
    let names = ["single", "f/a/one", "f/a.txt", "f/b/two"];
    assert_eq!(listed, names.map(line));
    ran.line_with(&["4 files would be sent, 27 B"]);
}

#[test]
fn two_files_that_would_have_one_name_are_named_before_anything_is_sent() {
    let home = folder_with(&["x/f/a", "y/f/a", "y/f/b"]);
    let (one, other) = (home.path().join("x/f"), home.path().join("y/f"));
    let server = Server::start(&[]);
    let ran = send(server.address(), &[text(&one), text(&other)]).exits(2);
    ran.line_with(&[
        text(&one.join("a")),
        text(&other.join("a")),
        "called f/a there",
    ]);
    send(server.address(), &[text(&one), text(&one)])
        .exits(2)
        .line_with(&[text(&one.join("a")), "is named twice"]);
    assert_eq!(server.names(), [] as [&str; 0]);
    let arguments = ["--on-conflict", "rename", text(&one), text(&other)];
    send(server.address(), &arguments).exits(0);
    assert_eq!(tree(&server.path("")), ["f/a", "f/a (2)", "f/b"]);
}

#[test]
fn a_servers_folder_that_is_missing_is_made_where_it_was_started_with_those_above_it() {
    // In place of the folder that a test's server has, after `serve --dir`.
    let script = "cd \"${3%/*}\" && shift 3 && exec \"$0\" serve --dir new/er \"$@\"";
    let server = Starter::new(&[]).under(&["sh", "-c", script]).start();
    server.client().upload("1", b"one");
    let stored = fs::read(server.home().join("new/er/1")).expect("it is there");
    assert_eq!(stored, b"one");
}
