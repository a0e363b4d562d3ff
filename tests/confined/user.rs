//! `serve --user`: root becomes somebody else, who is given what was made, and nothing else.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;

use crate::common::{self, PROGRAM, Server, Starter, command, piecemeal, skipped};
use crate::{each_thread, is_to_be_had};

/// Somebody who owns nothing here.
const NOBODY: &str = "65534:65534";
/// Runs a program where nothing is in /etc, and there are no users in it either.
const WITHOUT_USERS: [&str; 5] = [
    "unshare",
    "--mount",
    "sh",
    "-c",
    "mount -t tmpfs none /etc && exec \"$0\" \"$@\"",
];

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skipped("only root can become another user");
    }
    root
}

/// Whether a file system can be mounted that nobody else sees.
fn can_hide() -> bool {
    let mut command = common::command(WITHOUT_USERS[0]);
    let hidden = command.args(&WITHOUT_USERS[1..]).arg("true").output();
    let can = is_root() && hidden.is_ok_and(|output| output.status.success());
    if !can {
        skipped("nothing can be mounted here");
    }
    can
}

/// A server's starter whose folders anybody may walk through.
fn for_a_user(arguments: &[&str]) -> Starter {
    let starter = Starter::new(arguments);
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(starter.home(), open).expect("it is ours");
    fs::remove_dir(starter.home().join("stored")).expect("it is empty");
    starter.with(&["--user", NOBODY])
}

#[test]
fn root_becomes_the_user_who_is_given_what_was_made() {
    if !is_root() {
        return;
    }
    let starter = for_a_user(&[
        "--workers",
        "2",
        "--on-stored",
        "sh",
        "--on-stored-arg",
        "-c",
    ]);
    let log = starter.home().join("log");
    fs::create_dir(&log).unwrap();
    chown(&log, Some(65534), Some(65534)).unwrap();
    let journal = log.join("journal").display().to_string();
    let server = starter
        .with(&[
            "--on-stored-arg",
            "id -u; id -G; exit 1",
            "--journal",
            &journal,
        ])
        .start();
    for (key, value) in [
        ("Uid:", "65534\t65534\t65534\t65534"),
        ("Gid:", "65534\t65534\t65534\t65534"),
        ("Groups:", ""),
        ("CapEff:", "0000000000000000"),
        ("CapPrm:", "0000000000000000"),
    ] {
        for (name, line) in each_thread(&server, key) {
            assert_eq!(line, value, "{key} of {name}");
        }
    }
    server.client().upload("folder/a.txt", b"bytes");
    for path in [
        server.path(""),
        server.path("folder/a.txt"),
        log.join("journal"),
    ] {
        let facts = fs::metadata(&path).unwrap();
        assert_eq!(
            (facts.uid(), facts.gid()),
            (65534, 65534),
            "{}",
            path.display()
        );
    }
    // Its hooks are the user's, too.
    server
        .err
        .wait_for(|line| line.ends_with("it said last: 65534"));
}

#[test]
fn a_unix_socket_is_the_users_and_is_removed_where_the_user_may() {
    if !is_root() {
        return;
    }
    for may in [true, false] {
        let starter = for_a_user(&[]);
        let run = starter.home().join("run");
        fs::create_dir(&run).unwrap();
        if may {
            chown(&run, Some(65534), Some(65534)).unwrap();
        }
        let path = run.join("socket");
        let mut server = starter
            .with(&["--bind", &format!("unix:{}", path.display())])
            .start();
        assert_eq!(fs::metadata(&path).unwrap().uid(), 65534);
        server.client().upload("a.txt", b"bytes");
        server.stop();
        assert_eq!(path.exists(), !may);
        let said = server.err.so_far().join("\n");
        assert_eq!(said.contains("stays when the server ends"), !may, "{said}");
    }
}

#[test]
fn where_the_user_cannot_write_is_said_at_the_start() {
    if !is_root() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let stored = home.path().join("stored");
    fs::create_dir(&stored).unwrap();
    let dir = stored.to_str().unwrap();
    let words = ["serve", "--bind", "127.0.0.1:0", "--dir", dir, "--user"];
    let run = |more: &[&str]| piecemeal(&[&words[..], more].concat()).exits(1);
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o700)).unwrap();
    run(&[NOBODY]).line_with(&["65534", dir, "closed to the user"]);
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    run(&[NOBODY]).line_with(&["65534", dir, "0:0's, with mode 755", "chown -R"]);
    chown(&stored, Some(65534), Some(65534)).unwrap();
    // What a server of root's has left there.
    fs::create_dir(stored.join(".piecemeal")).unwrap();
    run(&[NOBODY]).line_with(&["65534", ".piecemeal", "chown -R"]);
    fs::remove_dir(stored.join(".piecemeal")).unwrap();
    let journal = home.path().join("journal").display().to_string();
    run(&[NOBODY, "--journal", &journal]).line_with(&["journal", "as user 65534:65534"]);
    run(&["no-such-user"]).line_with(&["no-such-user", "no such user"]);
}

#[test]
fn only_root_becomes_another_user() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("stored");
    let words = |user: &str| {
        let mut command = command(PROGRAM);
        command
            .args(["serve", "--bind", "127.0.0.1:0", "--user", user, "--dir"])
            .arg(&dir);
        command
    };
    let mut command = words("65533:65533");
    if rustix::process::geteuid().is_root() {
        // The program may lie where only root can walk.
        let program = home.path().join("piecemeal");
        fs::copy(PROGRAM, &program).unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let args: Vec<_> = words("65533:65533")
            .get_args()
            .map(ToOwned::to_owned)
            .collect();
        command = common::command(&program);
        command.args(args).uid(65534).gid(65534);
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("only root can become another user"), "{said}");
    // Who is the user already is not hindered.
    let own = rustix::process::geteuid().as_raw();
    let group = rustix::process::getegid().as_raw();
    Server::start(&["--user", &format!("{own}:{group}")])
        .client()
        .upload("a.txt", b"bytes");
}

#[test]
fn a_socket_folder_that_the_user_cannot_walk_leaves_the_sandbox_whole() {
    if !is_root() || !is_to_be_had() {
        return;
    }
    let starter = for_a_user(&["--sandbox", "require"]);
    let run = starter.home().join("run");
    fs::create_dir_all(run.join("clients")).unwrap();
    fs::set_permissions(&run, fs::Permissions::from_mode(0o700)).unwrap();
    let path = run.join("clients/socket");
    let mut server = starter
        .with(&["--bind", &format!("unix:{}", path.display())])
        .start();
    server.client().upload("a.txt", b"bytes");
    server.stop();
    assert!(path.exists(), "nobody but root could remove it");
}

#[test]
fn numbers_of_a_user_and_a_group_need_no_list_of_users() {
    if !can_hide() {
        return;
    }
    let server = for_a_user(&[]).under(&WITHOUT_USERS).start();
    server.client().upload("a.txt", b"bytes");
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("stored");
    for (user, says) in [
        ("nobody", "--user nobody: there is no such user"),
        ("65534", "--user 65534: no user has this number"),
        ("65534:users", "--user 65534:users: there is no such group"),
    ] {
        let mut command = command(WITHOUT_USERS[0]);
        command.args(&WITHOUT_USERS[1..]);
        command.args([PROGRAM, "serve", "--bind", "127.0.0.1:0", "--user", user]);
        let output = command.arg("--dir").arg(&dir).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(says), "{said}");
    }
}

#[test]
fn a_server_that_stays_root_says_so() {
    if !is_root() {
        return;
    }
    let line = |server: Server| server.err.wait_for(|line| line.contains("sandbox"));
    let (says, auto) = ("the server stays root", ["--sandbox", "auto"]);
    assert!(line(Server::start(&auto)).contains(says));
    assert!(!line(for_a_user(&auto).start()).contains(says));
}

#[test]
fn where_proc_cannot_be_read_that_is_what_is_said() {
    if !can_hide() {
        return;
    }
    let mut without_proc = WITHOUT_USERS;
    without_proc[4] = "mount -t tmpfs none /proc && exec \"$0\" \"$@\"";
    let auto = Starter::new(&["--sandbox", "auto"]);
    let server = auto.under(&without_proc).start();
    let line = server.err.wait_for(|line| line.contains("sandbox"));
    assert!(line.contains("/proc can't be read"), "{line}");
    let mut command = command(without_proc[0]);
    command.args(&without_proc[1..]);
    let home = tempfile::tempdir().unwrap();
    command.args([PROGRAM, "serve", "--bind", "127.0.0.1:0", "--user", NOBODY]);
    let output = command.arg("--dir").arg(home.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("--user: /proc can't be read"), "{said}");
}
