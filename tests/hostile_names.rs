//! Peers that aim at files that aren't theirs.

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use common::{Server, command, data, digest, put, string};

/// Everything under a folder: paths, sizes and where links point.
fn picture(folder: &Path) -> Vec<String> {
    let mut seen = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let facts = fs::symlink_metadata(&path).expect("it is there");
        let link = fs::read_link(&path).ok();
        if facts.is_dir() {
            seen.extend(picture(&path));
        } else {
            seen.push(format!("{} {} {link:?}", path.display(), facts.len()));
        }
    }
    seen.sort_unstable();
    seen
}

#[test]
fn hostile_names_are_refused_and_nothing_outside_the_folder_changes() {
    let server = Server::start(&["--on-conflict", "overwrite"]);
    fs::write(server.home().join("precious"), "precious").unwrap();
    let before = picture(server.home());
    let absolute = server.home().join("x").display().to_string();
    let long = "x".repeat(201);
    let mut client = server.client();
    for name in [
        "",
        ".",
        "..",
        "/",
        "//",
        "../x",
        "../precious",
        "../../x",
        "a/../../x",
        "/etc/x",
        "/proc/self/cwd/x",
        &absolute,
        "stored/../x",
        "a/./b",
        "a//b",
        "a/.b",
        "./a",
        "a/",
        "a\\b",
        "..\\x",
        "C:x",
        "a:b",
        "a\0b",
        "../x\0.txt",
        "a\nb",
        "a\rb",
        "\x1b[2J",
        "\x7f",
        "\u{9b}2J",
        "a\u{202e}b",
        "\u{200b}",
        "\u{feff}a",
        "a\u{2028}b",
        ".hidden",
        ".piecemeal",
        ".piecemeal/x",
        "a/.piecemeal/x",
        "a/.PieceMeal",
        "a/CON/b",
        "a./b",
        "CON",
        "con.txt",
        "nul",
        "COM1",
        "COM\u{b9}.txt",
        "lpt9.tar.gz",
        "a.",
        "a ",
        "...",
        &long,
        "e\u{e000}",
        "~/../x/",
    ] {
        client.send([string(name), data("evil")].concat());
        client.refused("bad-name");
        client.refused("bad-name");
        if !name.contains('\n') {
            client.send([put(format!("name={name}")), data("evil")].concat());
            client.refused("bad-name");
            client.refused("bad-name");
        }
    }
    assert_eq!(picture(server.home()), before);
    for name in [
        "a..b",
        "x",
        &long[1..],
        "~",
        "-rf",
        "$(id)",
        "a b",
        "консоль",
        "COM10",
        "%2e%2e",
    ] {
        client.upload(name, b"good");
    }
}

#[test]
fn a_link_with_the_name_of_an_upload_is_never_followed() {
    for policy in ["error", "rename", "overwrite"] {
        let server = Server::start(&["--on-conflict", policy]);
        let precious = server.home().join("precious");
        fs::write(&precious, "precious").unwrap();
        symlink(&precious, server.path("link")).unwrap();
        symlink("../missing", server.path("dangling")).unwrap();
        symlink("..", server.path("up")).unwrap();
        for link in ["link", "dangling", "up"] {
            let mut client = server.client();
            client.send(string(link));
            if policy == "error" {
                client.refused("exists");
                // Not even the same bytes behind the link count as the same file.
                let same = digest("precious");
                for size in ["", "\nsize=8"] {
                    client.send(put(format!("name={link}{size}\nblake3={same}")));
                    client.send(data("precious"));
                    client.refused("exists");
                    client.refused("exists");
                }
                continue;
            }
            client.ok();
            client.send(data("upload"));
            let name = client.ok().key("name").unwrap().to_owned();
            assert_eq!(server.stored(&name), b"upload");
            assert_eq!(name == link, policy == "overwrite");
        }
        assert_eq!(fs::read(&precious).unwrap(), b"precious");
        assert!(!server.home().join("missing").exists());
        assert_eq!(fs::read_dir(server.home()).unwrap().count(), 2);
    }
}

#[test]
fn a_folder_or_a_pipe_with_the_name_of_an_upload_stays_as_it_is() {
    let server = Server::start(&["--on-conflict", "overwrite"]);
    fs::create_dir(server.path("folder")).unwrap();
    let mut client = server.client();
    client.send([string("folder"), data("bytes")].concat());
    client.ok();
    client.refused("exists");
    assert!(server.path("folder").is_dir());

    let server = Server::start(&[]);
    let made = command("mkfifo").arg(server.path("pipe")).status();
    assert!(made.unwrap().success());
    let mut client = server.client();
    let nothing = digest("");
    client.send(
        [
            put(format!("name=pipe\nsize=0\nblake3={nothing}")),
            data(""),
        ]
        .concat(),
    );
    client.refused("exists");
    client.refused("exists");
    client.upload("next.txt", b"next");
}
