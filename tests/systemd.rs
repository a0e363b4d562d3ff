//! Under a service manager: sockets that are handed over, being told of readiness, and rereading
//! settings while it runs.

mod common;

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::process::Command;

use common::{Client, GUARD, PROGRAM, Server, Starter, command, data, piecemeal, skipped, string};
use rustix::process::Signal;
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

/// A TCP and a Unix socket that listen, and where.
fn listening(home: &Path) -> (Vec<OwnedFd>, [String; 2]) {
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let path = home.join("handed-over.sock");
    let unix = UnixListener::bind(&path).expect("a free path");
    let addresses = [
        tcp.local_addr().expect("it is bound").to_string(),
        format!("unix:{}", path.display()),
    ];
    (vec![tcp.into(), unix.into()], addresses)
}

#[test]
fn sockets_that_are_handed_over_are_served_with_those_who_wait_at_them() {
    let home = tempfile::tempdir().unwrap();
    let (sockets, addresses) = listening(home.path());
    // Clients may come before there is a server: that is what the sockets are handed over for.
    let mut early: Vec<Client> = addresses.iter().map(|to| Client::connect(to)).collect();
    let mut server = Starter::new(&[]).inheriting(sockets).start();
    assert_eq!(server.addresses(), addresses);
    server
        .err
        .wait_for(|line| line == "sockets were handed over, so --bind is not used");
    for (number, client) in early.iter_mut().enumerate() {
        client.upload(&format!("early-{number}"), b"bytes");
    }
    for (number, address) in addresses.iter().enumerate() {
        Client::connect(address).upload(&format!("late-{number}"), b"bytes");
    }
    drop(early);
    server.stop();
    let path = addresses[1].strip_prefix("unix:").unwrap();
    assert!(Path::new(path).exists(), "its file is its maker's");
}

#[test]
fn several_loops_take_connections_from_a_socket_that_was_handed_over() {
    let home = tempfile::tempdir().unwrap();
    let (sockets, addresses) = listening(home.path());
    let starter = Starter::new(&["--workers", "3"]);
    let mut server = starter.inheriting(sockets).start();
    std::thread::scope(|scope| {
        for number in 0..24 {
            let address = &addresses[number % 2];
            scope.spawn(move || {
                let mut client = Client::connect(address);
                for file in 0..5 {
                    client.upload(&format!("{number}-{file}"), b"bytes");
                }
            });
        }
    });
    assert_eq!(server.names().len(), 120);
    server.stop();
}

#[test]
fn what_a_server_inherits_is_not_passed_on() {
    if !Path::new("/proc/self/fdinfo").exists() {
        return skipped("there is no /proc here");
    }
    let home = tempfile::tempdir().unwrap();
    let (sockets, _) = listening(home.path());
    let server = Starter::new(&[]).inheriting(sockets).start();
    let process = format!("/proc/{}", server.pid().as_raw_nonzero());
    let mut sockets = 0;
    for entry in fs::read_dir(format!("{process}/fd")).unwrap().flatten() {
        let number = entry.file_name().into_string().unwrap();
        let target = fs::read_link(entry.path()).unwrap_or_default();
        if number.parse::<u32>().unwrap() < 3 || !target.to_string_lossy().starts_with("socket:") {
            continue;
        }
        let about = fs::read_to_string(format!("{process}/fdinfo/{number}")).unwrap();
        let flags = about.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = u32::from_str_radix(flags.unwrap().trim(), 8).unwrap();
        assert_ne!(
            flags & 0o2_000_000,
            0,
            "{number} stays open in a child: {about}"
        );
        sockets += 1;
    }
    assert!(sockets >= 2, "{sockets}");
}

#[test]
fn sockets_that_are_for_another_process_are_left_alone() {
    let home = tempfile::tempdir().unwrap();
    let (_sockets, addresses) = listening(home.path());
    let server = Starter::new(&[])
        .variable("LISTEN_FDS", "2")
        .variable("LISTEN_PID", "1")
        .start();
    assert!(!addresses.iter().any(|address| address == server.address()));
    server.client().upload("a.txt", b"bytes");
}

#[test]
fn what_is_handed_over_and_does_not_listen_is_refused() {
    use command_fds::{CommandFdExt, FdMapping};
    let home = tempfile::tempdir().unwrap();
    let file = File::create(home.path().join("file")).unwrap();
    let deaf = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let datagram = UnixDatagram::unbound().unwrap();
    for unfit in [OwnedFd::from(file), deaf.into(), datagram.into()] {
        let mut command = command("sh");
        let script = "export LISTEN_PID=$$; exec \"$0\" serve --dir \"$1\"";
        command
            .args(["-c", script, PROGRAM])
            .arg(home.path().join("dir"))
            .env("LISTEN_FDS", "1");
        let mapping = FdMapping {
            parent_fd: unfit,
            child_fd: 3,
        };
        command.fd_mappings(vec![mapping]).unwrap();
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("handed over"), "{said}");
    }
}

/// Where a service manager would listen for news.
struct Manager(UnixDatagram);

impl Manager {
    fn at(path: &Path) -> Manager {
        Manager::of(UnixDatagram::bind(path).expect("a free path"))
    }

    fn of(socket: UnixDatagram) -> Manager {
        socket.set_read_timeout(Some(GUARD)).expect("a socket");
        Manager(socket)
    }

    fn next(&self) -> String {
        let mut bytes = [0; 512];
        let count = self.0.recv(&mut bytes).expect("there is news");
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    }
}

#[test]
fn the_manager_hears_that_the_server_is_ready_rereads_and_stops() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("notify.sock");
    let manager = Manager::at(&path);
    let mut server = Starter::new(&["-q"])
        .variable("NOTIFY_SOCKET", &path.display().to_string())
        .start();
    assert_eq!(manager.next(), "READY=1");
    server.signal(Signal::HUP);
    let reloading = manager.next();
    let since = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
    assert!(since.expect(&reloading).parse::<u64>().is_ok());
    assert_eq!(manager.next(), "READY=1");
    server.client().upload("a.txt", b"bytes");
    server.stop();
    assert_eq!(manager.next(), "STOPPING=1");
}

#[cfg(target_os = "linux")]
#[test]
fn the_manager_may_have_a_name_that_is_no_path() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::SocketAddr;
    let name = format!("piecemeal-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let manager = Manager::of(UnixDatagram::bind_addr(&address).unwrap());
    let server = Starter::new(&[]).variable("NOTIFY_SOCKET", &format!("@{name}"));
    let _server = server.start();
    assert_eq!(manager.next(), "READY=1");
}

#[test]
fn a_manager_that_is_not_there_stops_nobody() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("nobody.sock").display().to_string();
    let server = Starter::new(&[]).variable("NOTIFY_SOCKET", &path).start();
    server
        .err
        .wait_for(|line| line.contains("NOTIFY_SOCKET") && line.contains("READY=1"));
    server.client().upload("a.txt", b"bytes");
}

/// A server whose settings stand in a file, and the file.
fn with_settings(text: &str, arguments: &[&str]) -> (TempDir, Server, String) {
    let home = tempfile::tempdir().expect("a folder");
    let path = home.path().join("settings.toml").display().to_string();
    fs::write(&path, text).expect("a file");
    let server = Starter::new(&[&["--config", &path], arguments].concat()).start();
    (home, server, path)
}

/// Writes other settings, and waits for what the server says to them.
fn reread(server: &Server, path: &str, text: &str, says: &str) {
    fs::write(path, text).expect("a file");
    server.signal(Signal::HUP);
    server.err.wait_for(|line| line.contains(says));
}

/// What a client is told of a file of so many bytes.
fn limit(client: &mut Client, name: &str, size: usize) -> Option<String> {
    client.send([string(name), data(vec![0; size])].concat());
    client.ok();
    let reply = client.reply();
    if reply.status() == "OK" {
        return None;
    }
    assert_eq!(reply.status(), "ERR too-large");
    reply.key("limit").map(str::to_owned)
}

#[test]
fn a_reread_changes_what_new_connections_may_do_and_leaves_the_old_ones_alone() {
    let (_home, server, path) = with_settings("[serve]\nmax-size = 10", &["--workers", "2"]);
    let mut old = server.client();
    assert_eq!(limit(&mut old, "a", 11).as_deref(), Some("10"));
    let says = "changed for new connections: max-size, idle-timeout";
    let text = "[serve]\nmax-size = 20\nidle-timeout = '1h'";
    reread(&server, &path, text, says);
    // Enough of them that each loop gets some.
    for number in 0..16 {
        let mut new = server.client();
        assert_eq!(limit(&mut new, &format!("b{number}"), 11), None);
        assert_eq!(limit(&mut new, "c", 21).as_deref(), Some("20"));
    }
    assert_eq!(limit(&mut old, "d", 11).as_deref(), Some("10"));
    // Back to the default, by leaving it out.
    fs::write(&path, "[serve]\nidle-timeout = '1h'").unwrap();
    server.signal(Signal::HUP);
    server
        .err
        .wait_for(|line| line.ends_with("connections: max-size"));
    assert_eq!(limit(&mut server.client(), "e", 1000), None);
}

#[test]
fn a_reread_of_a_broken_file_changes_nothing_and_says_why() {
    let (home, mut server, path) = with_settings("[serve]\nmax-size = 10", &[]);
    for (text, says) in [
        (
            "[serve]\nmax-size = 20\nmin-rte = 1",
            ":3: [serve] has no key min-rte",
        ),
        ("[serve]\nmax-size = 'ten'", ":2: serve.max-size = 'ten': "),
        ("[serve", ":1: unclosed table"),
    ] {
        reread(&server, &path, text, says);
        let line = server.err.wait_for(|line| line.contains(says));
        assert!(line.starts_with("SIGHUP: nothing has changed: "), "{line}");
        assert_eq!(limit(&mut server.client(), "a", 11).as_deref(), Some("10"));
    }
    fs::remove_file(&path).unwrap();
    server.signal(Signal::HUP);
    server.err.wait_for(|line| line.contains("No such file"));
    assert_eq!(limit(&mut server.client(), "a", 11).as_deref(), Some("10"));
    server.stop();
    drop(home);
}

#[test]
fn a_reread_names_what_needs_a_restart_and_what_a_flag_goes_before() {
    let (_home, server, path) = with_settings("[serve]\nmax-size = 10", &["--min-rate", "7"]);
    let text = "[serve]\nmax-size = 10\nworkers = 2\ndurability = 'none'\nmin-rate = 1";
    let restart = "warning: what has changed in durability, workers needs a restart";
    reread(&server, &path, text, restart);
    let nothing = "nothing has changed for new connections";
    server.err.wait_for(|line| line.contains(nothing));
    // It is said again for as long as it is so.
    server.signal(Signal::HUP);
    server.err.wait_for_many(2, |line| line == restart);
}

#[test]
fn a_reread_that_makes_names_flat_says_so() {
    let (_home, server, path) = with_settings("[serve]\nflat = false", &[]);
    server.client().upload("a/b", b"");
    let says = "changed for new connections: flat";
    reread(&server, &path, "[serve]\nflat = true", says);
    let mut client = server.client();
    client.send(string("a/c"));
    client.refused("bad-name");
}

#[test]
fn a_reread_gives_room_to_more_connections_or_to_fewer() {
    let (_home, server, path) = with_settings("[serve]\nmax-connections = 1", &[]);
    let mut first = server.client();
    first.upload("a", b"");
    server.client().refused("busy");
    let says = "changed for new connections: max-connections";
    reread(&server, &path, "[serve]\nmax-connections = 2", says);
    let mut second = server.client();
    second.upload("b", b"");
    server.client().refused("busy");
    reread(
        &server,
        &path,
        "[serve]\nmax-connections = 1\nmax-size = 9",
        "max-size, max-connections",
    );
    server.client().refused("busy");
    // Who is there stays.
    first.upload("c", b"");
    second.upload("d", b"");
}

#[test]
fn a_server_without_a_file_outlives_the_signal() {
    let mut server = Server::start(&["-q"]);
    server.signal(Signal::HUP);
    server
        .err
        .wait_for(|line| line == "SIGHUP: there is nothing to reread without --config FILE");
    server.client().upload("a.txt", b"bytes");
    server.stop();
}

#[test]
fn the_units_are_good_and_their_settings_are_the_programs() {
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist");
    let settings = dist.join("piecemeal.toml").display().to_string();
    piecemeal(&["serve", "--config", &settings, "--print-config"]).exits(0);
    let home = tempfile::tempdir().unwrap();
    let service = fs::read_to_string(dist.join("piecemeal.service")).unwrap();
    // In a folder of their own: the server may read what lies beside them.
    let settings = "--config /etc/piecemeal/piecemeal.toml\n";
    assert!(service.contains(&format!("ExecStart=/usr/bin/piecemeal serve {settings}")));
    // As if the program were installed.
    let service = service.replace("/usr/bin/piecemeal", PROGRAM);
    fs::write(home.path().join("piecemeal.service"), service).unwrap();
    let socket = home.path().join("piecemeal.socket");
    fs::copy(dist.join("piecemeal.socket"), socket).unwrap();
    for unit in ["piecemeal.service", "piecemeal.socket"] {
        let mut verify = Command::new("systemd-analyze");
        let verify = verify.arg("verify").arg(home.path().join(unit));
        let Ok(output) = verify.output() else {
            return skipped("there is no systemd-analyze here");
        };
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{unit}: {said}");
    }
}

#[test]
fn the_package_and_the_image_name_files_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let deb = &manifest["package"]["metadata"]["deb"];
    let assets = deb["assets"].as_array().unwrap();
    for asset in assets {
        let from = asset[0].as_str().unwrap();
        assert!(
            from == "target/release/piecemeal" || root.join(from).is_file(),
            "{from}"
        );
    }
    assert!(assets.len() >= 6);
    // Where the unit looks for them.
    let settings = assets
        .iter()
        .find(|asset| asset[0].as_str() == Some("dist/piecemeal.toml"));
    let folder = settings.expect("they are shipped")[1].as_str();
    assert_eq!(folder, Some("etc/piecemeal/"));
    assert_eq!(
        deb["conf-files"].as_array().unwrap()[0].as_str(),
        Some("/etc/piecemeal/piecemeal.toml")
    );
    let ignored = fs::read_to_string(root.join(".dockerignore")).unwrap();
    for kept in ignored.lines().filter_map(|line| line.strip_prefix('!')) {
        assert!(root.join(kept).exists(), "{kept}");
    }
}
