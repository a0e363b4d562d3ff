//! What the sandbox leaves open, said at the start; and what has to stay open.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use rustix::process::Signal;

use crate::common::{Starter, piecemeal};
use crate::is_to_be_had;

/// A program that does nothing.
fn program(path: &Path) {
    fs::write(path, "#!/bin/sh\n").expect("a file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it is ours");
}

#[test]
fn a_hook_or_settings_that_an_intruder_could_rewrite_are_a_gap() {
    if !is_to_be_had() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name).display().to_string();
    for folder in ["stored", "log", "log/deep", "hooks"] {
        fs::create_dir(path(folder)).unwrap();
    }
    for hook in ["stored/hook", "log/hook", "log/deep/hook", "hooks/hook"] {
        program(Path::new(&path(hook)));
    }
    symlink(path("log/hook"), path("hooks/link")).unwrap();
    symlink(path("hooks/hook"), path("stored/link")).unwrap();
    symlink(path("hooks"), path("stored/way")).unwrap();
    fs::write(path("log/s.toml"), "[serve]\n").unwrap();
    fs::write(path("hooks/s.toml"), "[serve]\n").unwrap();
    let (dir, journal) = (path("stored"), path("log/journal"));
    let words = ["serve", "--bind", "127.0.0.1:0", "--dir", &dir];
    let own_folder = "put the journal into a folder of its own";
    let elsewhere = "keep it outside of the folder that files are stored into";
    let cases = [
        ("--on-stored", path("log/hook"), own_folder),
        ("--on-stored", path("log/deep/hook"), own_folder),
        ("--on-stored", path("hooks/link"), own_folder),
        ("--on-stored", path("stored/hook"), elsewhere),
        ("--on-stored", path("stored/link"), elsewhere),
        ("--on-stored", path("stored/way/hook"), elsewhere),
        ("--on-stored-arg", path("log/hook"), own_folder),
        ("--config", path("log/s.toml"), own_folder),
    ];
    for (number, (flag, value, says)) in cases.into_iter().enumerate() {
        // The process that runs hooks may end a moment after its server, and has what that locked.
        let journal = path(&format!("log/{number}"));
        let words = [&words[..], &["--journal", &journal]].concat();
        let shell = ["--on-stored", "sh"];
        let shell = if flag == "--on-stored-arg" {
            &shell[..]
        } else {
            &[]
        };
        let words = [&words[..], shell, &[flag, &value, "--sandbox", "require"]].concat();
        let ran = piecemeal(&words).exits(11);
        ran.line_with(&["--sandbox require", &value, says]);
    }
    // Elsewhere they are none, and neither is a folder that a hook is told of.
    let starter = Starter::new(&["--sandbox", "require", "--journal", &journal]);
    let hook = ["--on-stored", &path("hooks/hook"), "--on-stored-arg", &dir];
    let server = starter
        .with(&hook)
        .with(&["--config", &path("hooks/s.toml")])
        .start();
    server.err.wait_for(|line| line.starts_with("sandbox: "));
    drop(server);
    // And who doesn't insist is served.
    let hook = ["--on-stored", &path("log/hook"), "--journal", &journal];
    let server = Starter::new(&["--sandbox", "auto"]).with(&hook).start();
    let line = server
        .err
        .wait_for(|line| line.contains("sandbox has gaps"));
    assert!(line.contains(own_folder), "{line}");
    server.client().upload("a.txt", b"bytes");
}

#[test]
fn a_journal_that_is_a_link_is_opened_anew_where_it_leads_to() {
    if !is_to_be_had() {
        return;
    }
    let starter = Starter::new(&["-v", "--sandbox", "require"]);
    let path = |name: &str| starter.home().join(name);
    for folder in ["here", "there"] {
        fs::create_dir(path(folder)).unwrap();
    }
    let (link, real, old) = (path("here/link"), path("there/journal"), path("there/old"));
    symlink(&real, &link).unwrap();
    let server = starter
        .with(&["--journal", link.to_str().expect("UTF-8")])
        .start();
    let mut client = server.client();
    client.upload("a.txt", b"bytes");
    fs::rename(&real, &old).unwrap();
    server.signal(Signal::HUP);
    let said = server.err.wait_for(|line| {
        line.contains("journal was opened anew") || line.contains("written to as before")
    });
    assert!(said.contains("opened anew"), "{said}");
    client.upload("b.txt", b"bytes");
    let lines = |path| fs::read_to_string(path).unwrap().lines().count();
    assert_eq!((lines(&old), lines(&real)), (1, 1));
}
