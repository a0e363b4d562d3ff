//! `serve --sandbox` and `--user`: what a running server can't do any more, on each of its threads,
//! and what goes on all the same. Where this system lacks a part of it, that is said.

mod common;
#[path = "confined/gaps.rs"]
mod gaps;
#[path = "confined/user.rs"]
mod user;

use std::fs::{self, File};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::thread;

use common::{Client, GUARD, Server, Starter, can_trace, piecemeal, skipped, wait_until};
use rustix::fs::{CWD, FileType, Mode};
use rustix::process::Signal;

/// Whether this system has all of it.
fn is_to_be_had() -> bool {
    let server = Server::start(&[]);
    let said = |line: &str| line.contains("sandbox");
    let line = server.err.wait_for(said);
    // These would be the program's own fault, and no reason to skip anything.
    for fault in ["threads run already", "tried and not refused"] {
        assert!(!line.contains(fault), "{line}");
    }
    let whole = line.starts_with("sandbox: ");
    if !whole {
        skipped("this kernel has not all of the sandbox");
    }
    whole
}

/// One line of `/proc/PID/task/*/status` for each thread, and what the thread is called.
fn each_thread(server: &Server, key: &str) -> Vec<(String, String)> {
    let process = server.pid().as_raw_nonzero();
    let threads = fs::read_dir(format!("/proc/{process}/task")).expect("it runs");
    let line = |path: &Path| {
        let status = fs::read_to_string(path.join("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        let name = fs::read_to_string(path.join("comm")).unwrap_or_default();
        Some((name.trim().to_owned(), line.trim().to_owned()))
    };
    let lines: Vec<_> = threads
        .filter_map(|thread| line(&thread.ok()?.path()))
        .collect();
    assert!(!lines.is_empty(), "{key}");
    lines
}

/// The same of this test's thread, and so of what it starts before that gives anything up. Who runs the
/// tests may have filters of their own.
fn own(key: &str) -> String {
    let status = fs::read_to_string("/proc/thread-self/status").expect("this is Linux");
    let mut lines = status.lines().filter_map(|line| line.strip_prefix(key));
    lines.next().unwrap_or_default().trim().to_owned()
}

#[test]
fn every_thread_of_a_server_has_given_the_rights_up() {
    if !is_to_be_had() {
        return;
    }
    let starter = Starter::new(&["--workers", "2", "--sandbox", "require"]);
    let journal = starter.home().join("journal");
    let hook = ["--on-stored", "true", "--quota", "1GiB"];
    let server = starter
        .with(&["--journal", &journal.display().to_string()])
        .with(&hook)
        .start();
    let mut client = server.client();
    client.upload("small", b"bytes");
    client.upload("large", &vec![0; 3 << 20]);
    let filters: u32 = own("Seccomp_filters:").parse().expect("a number");
    for (key, value) in [
        ("NoNewPrivs:", "1"),
        ("Seccomp:", "2"),
        ("Seccomp_filters:", &*(filters + 2).to_string()),
    ] {
        let threads = each_thread(&server, key);
        assert!(threads.len() > 10, "{threads:?}");
        for (name, line) in threads {
            assert_eq!(line, value, "{key} of {name}");
        }
    }
}

#[test]
fn no_thread_runs_before_the_sandbox_is_entered() {
    if !is_to_be_had() || !can_trace() {
        return;
    }
    let starter = Starter::new(&["--workers", "2", "--on-stored", "true"]);
    let trace = starter.home().join("strace");
    let file = trace.to_str().expect("UTF-8");
    let words = ["strace", "-D", "-f", "-o", file, "-e"];
    let calls = "trace=clone,clone3,landlock_restrict_self,seccomp,setuid";
    let mut server = starter.under(&[&words[..], &[calls]].concat()).start();
    server.client().upload("a.txt", b"bytes");
    server.stop();
    let trace = fs::read_to_string(&trace).expect("it was traced");
    let lines: Vec<&str> = trace.lines().collect();
    let found = |at: Option<usize>| at.unwrap_or_else(|| panic!("not in {trace}"));
    let first = |what: &str| found(lines.iter().position(|line| line.contains(what)));
    let last = |what: &str| found(lines.iter().rposition(|line| line.contains(what)));
    // There are two filters.
    let entered = last("landlock_restrict_self(").max(last("seccomp(SECCOMP_SET_MODE_FILTER"));
    assert!(entered < first("CLONE_THREAD"), "{trace}");
}

#[test]
fn it_is_said_what_is_in_force_and_a_folder_that_is_everything_is_a_gap() {
    let off = Server::start(&["--sandbox", "off"]);
    off.err.wait_for(|line| line == "sandbox: off");
    let own = own("Seccomp:");
    for (name, line) in each_thread(&off, "Seccomp:") {
        assert_eq!(line, own, "{name}");
    }
    if !is_to_be_had() {
        let stored = off.path("").display().to_string();
        let words = ["serve", "--bind", "127.0.0.1:0", "--dir", &stored];
        let ran = piecemeal(&[&words[..], &["--sandbox", "require"]].concat());
        // All of it, or a part.
        ran.exits(11).line_with(&["--sandbox require", "refused"]);
        return;
    }
    let server = Server::start(&["--sandbox", "require"]);
    let line = server.err.wait_for(|line| line.starts_with("sandbox: "));
    assert!(
        line.contains(
            server
                .path("")
                .to_str()
                .expect("UTF-8")
                .trim_end_matches('/')
        )
    );
    // What is beneath `/` is all there is, so a try to read elsewhere isn't refused.
    let everything = [
        "serve",
        "--bind",
        "127.0.0.1:0",
        "--dir",
        "/",
        "--sandbox",
        "require",
    ];
    let ran = piecemeal(&everything).exits(11);
    ran.line_with(&["--sandbox require", "not refused: reading outside"]);
    assert!(!Path::new("/.piecemeal").exists());
}

#[test]
fn what_a_server_does_later_goes_on_in_the_sandbox() {
    if !is_to_be_had() {
        return;
    }
    let starter = Starter::new(&["--sandbox", "require", "--quota", "1GiB", "--workers", "1"]);
    let home = starter.home();
    for folder in ["settings", "log", "run"] {
        fs::create_dir(home.join(folder)).unwrap();
    }
    let path = |name: &str| home.join(name).display().to_string();
    fs::write(path("settings/s.toml"), "[serve]\nmax-size = 10").unwrap();
    let manager = UnixDatagram::bind(path("manager")).unwrap();
    manager.set_read_timeout(Some(GUARD)).unwrap();
    let hears = |says: &str| {
        let mut bytes = [0; 512];
        let count = manager.recv(&mut bytes).unwrap();
        assert!(bytes[..count].starts_with(says.as_bytes()), "{says}");
    };
    let socket = format!("unix:{}", path("run/socket"));
    let mut server = starter
        .with(&[
            "--config",
            &path("settings/s.toml"),
            "--journal",
            &path("log/journal"),
        ])
        .with(&["--trace-file", &path("trace"), "--bind", &socket])
        .variable("NOTIFY_SOCKET", &path("manager"))
        .start();
    hears("READY=1");
    let mut client = Client::connect(&socket);
    client.upload("a.txt", b"bytes");

    // Another file takes the place of that of the settings, as editors do it.
    fs::write(path("settings/new"), "[serve]\nmax-size = 20").unwrap();
    fs::rename(path("settings/new"), path("settings/s.toml")).unwrap();
    fs::rename(path("log/journal"), path("log/journal.1")).unwrap();
    server.signal(Signal::HUP);
    server
        .err
        .wait_for(|line| line.ends_with("changed for new connections: max-size"));
    hears("RELOADING=1");
    hears("READY=1");
    let mut number = 0;
    // It is opened by a thread of its own.
    wait_until("there is a journal again", || {
        Path::new(&path("log/journal")).exists()
    });
    // Several at once, and in folders: a batch, whose sync looks at the kernel's table.
    thread::scope(|scope| {
        for _ in 0..8 {
            number += 1;
            let (socket, name) = (&socket, format!("folder-{}/{number}", number % 2));
            scope.spawn(move || Client::connect(socket).upload(&name, b"some more bytes"));
        }
    });
    drop(client);
    server.stop();
    hears("STOPPING=1");
    let line = |file: &str| fs::read_to_string(path(file)).unwrap().lines().count();
    assert_eq!((line("log/journal.1"), line("log/journal")), (1, 8));
    assert!(line("trace") > 20);
    assert!(
        !Path::new(&path("run/socket")).exists(),
        "its file goes with it"
    );
}

#[test]
fn a_hook_is_not_bound_by_the_sandbox() {
    if !is_to_be_had() {
        return;
    }
    let script = "grep -e NoNewPrivs -e ^Seccomp: /proc/self/status | tr -d '\\t\\n'; exit 1";
    let server = Server::start(&[
        "--sandbox",
        "require",
        "--on-stored",
        "sh",
        "--on-stored-arg",
        "-c",
        "--on-stored-arg",
        script,
    ]);
    let line = server.err.wait_for(|line| line.starts_with("sandbox: "));
    assert!(line.ends_with("hooks are not bound by it"), "{line}");
    server.client().upload("a.txt", b"bytes");
    let own = fs::read_to_string("/proc/self/status").unwrap();
    let own = own
        .lines()
        .filter(|line| line.starts_with("NoNewPrivs") || line.starts_with("Seccomp:"));
    let own = own.collect::<String>().replace('\t', "");
    server
        .err
        .wait_for(|line| line.ends_with(&format!("it said last: {own}")));
}

#[test]
fn a_server_whose_process_for_hooks_dies_says_so_and_goes_on() {
    // A hook that outlives the process which has started it, and ends with this test: when nobody has
    // the pipe open any more.
    let script = "exec <\"$0\"; : >\"$0.open\"; read -r line";
    let starter = Starter::new(&["--on-stored", "sh", "--on-stored-arg", "-c"]);
    let pipe = starter.home().join("pipe");
    rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
    let _held = File::options().read(true).write(true).open(&pipe).unwrap();
    let words = [script, "--on-stored-arg", pipe.to_str().expect("UTF-8")];
    let mut server = starter.with(&["--on-stored-arg"]).with(&words).start();
    let mut client = server.client();
    client.upload("a.txt", b"bytes");
    let open = server.home().join("pipe.open");
    wait_until("the hook runs", || open.exists());
    let children = format!("/proc/{0}/task/{0}/children", server.pid().as_raw_nonzero());
    let Ok(children) = fs::read_to_string(children) else {
        return skipped("this kernel doesn't tell whose child a process is");
    };
    let broker = children
        .split_whitespace()
        .next()
        .expect("a child")
        .parse()
        .expect("a number");
    let broker = rustix::process::Pid::from_raw(broker).expect("a process");
    rustix::process::kill_process(broker, Signal::KILL).expect("it runs");
    server
        .err
        .wait_for(|line| line.contains("the process that runs hooks has died"));
    client.upload("b.txt", b"bytes");
    client.upload("c.txt", b"bytes");
    server.stop();
    // Whoever uploads could else have a line of the log for each file.
    let said = server.err.so_far().join("\n");
    assert!(!said.contains("the hook for b.txt"), "{said}");
    assert!(said.contains("2 hooks were not run"), "{said}");
}

#[test]
fn the_unit_lets_the_server_enter_its_sandbox() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/piecemeal.service");
    let unit = fs::read_to_string(unit).unwrap();
    let allowed: Vec<&str> = unit
        .lines()
        .filter_map(|line| line.strip_prefix("SystemCallFilter="))
        .flat_map(str::split_whitespace)
        .collect();
    // systemd's own sets had none of these when the unit was written.
    for call in [
        "landlock_create_ruleset",
        "landlock_add_rule",
        "landlock_restrict_self",
        "seccomp",
    ] {
        assert!(allowed.contains(&call), "{call}");
    }
}
