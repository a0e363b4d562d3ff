//! The whole sandbox, entered as a server enters it, and tried on every thread.
//!
//! It needs a process that has one thread, which the usual harness has not: so this is a program of
//! its own, which calls itself for each of its tests.

#![expect(clippy::print_stdout, reason = "it stands in for the harness")]

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("skipped: only Linux has a sandbox");
}

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::{self, File, OpenOptions};
    use std::io::{self, ErrorKind, Read, Write};
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::path::{Path, PathBuf};
    use std::process::Command;
    use std::sync::mpsc::channel;
    use std::thread;

    use piecemeal::sandbox::{self, Access, Place, Wall};

    /// A test, in a folder of its own.
    type Test = fn(&Path);

    /// How a test ends that has come to its end. No other program ends so: what a test tries is also to
    /// become another one, and where nobody hinders it there, it has failed.
    const PASSED: i32 = 42;

    const TESTS: &[(&str, Test)] = &[
        (
            "what_an_intruder_would_do_is_refused_on_every_thread",
            every_thread,
        ),
        ("threads_that_run_already_keep_it_out", threads_before),
        ("what_a_journal_and_settings_need_stays", other_places),
    ];

    pub(super) fn main() {
        let mut words = std::env::args().skip(1);
        if let (Some("--run"), Some(name), Some(home)) =
            (words.next().as_deref(), words.next(), words.next())
        {
            let (_, test) = TESTS
                .iter()
                .find(|(test, _)| *test == name)
                .expect("a test");
            test(Path::new(&home));
            std::process::exit(PASSED);
        }
        let mut failed = 0;
        for (name, _) in TESTS {
            let home = tempfile::tempdir().expect("a folder");
            let own = std::env::current_exe().expect("this program");
            let run = Command::new(own)
                .args(["--run", name])
                .arg(home.path())
                .status();
            let well = run.expect("it starts").code() == Some(PASSED);
            println!("test {name} ... {}", if well { "ok" } else { "FAILED" });
            failed += usize::from(!well);
        }
        println!("{} passed, {failed} failed", TESTS.len() - failed);
        std::process::exit(i32::from(failed > 0));
    }

    /// Everything that is tried, with what has to be there before.
    struct Tries {
        home: PathBuf,
        tcp: TcpListener,
        udp: UdpSocket,
        within: PathBuf,
    }

    impl Tries {
        fn prepare(home: &Path) -> Tries {
            let within = home.join("within");
            fs::create_dir(&within).expect("a folder");
            fs::write(home.join("outside"), "bytes").expect("a file");
            let all = fs::Permissions::from_mode(0o666);
            fs::set_permissions(home.join("outside"), all).expect("its permissions");
            Tries {
                tcp: TcpListener::bind("127.0.0.1:0").expect("a port"),
                udp: UdpSocket::bind("127.0.0.1:0").expect("a port"),
                home: home.to_owned(),
                within,
            }
        }

        fn place(&self) -> Place {
            Place {
                path: self.within.clone(),
                access: Access::Store,
            }
        }

        fn all(&self) -> Vec<(&'static str, io::Result<()>)> {
            let outside = self.home.join("outside");
            let address = self.tcp.local_addr().expect("bound");
            let Err(run) = nix::unistd::execv(c"/bin/true", &[c"true"]);
            vec![
                ("exec", Err(run.into())),
                ("a process", Command::new("/bin/true").status().map(drop)),
                ("a connection", TcpStream::connect(address).map(drop)),
                ("a datagram", self.udp.send_to(b"x", address).map(drop)),
                ("connecting what is there", self.udp.connect(address)),
                ("listening", TcpListener::bind("127.0.0.1:0").map(drop)),
                (
                    "a Unix socket",
                    UnixStream::connect(self.home.join("s")).map(drop),
                ),
                (
                    "making one",
                    UnixListener::bind(self.within.join("s")).map(drop),
                ),
                ("reading", fs::read(&outside).map(drop)),
                ("reading passwords", File::open("/etc/passwd").map(drop)),
                ("reading a folder", fs::read_dir("/").map(drop)),
                ("reading memory", File::open("/proc/self/mem").map(drop)),
                (
                    "writing",
                    OpenOptions::new().append(true).open(&outside).map(drop),
                ),
                ("making a file", fs::write(self.home.join("new"), "bytes")),
                ("removing", fs::remove_file(&outside)),
                (
                    "its permissions",
                    fs::set_permissions(&outside, fs::Permissions::from_mode(0o600)),
                ),
                (
                    "its owner",
                    std::os::unix::fs::lchown(&outside, Some(1), None),
                ),
                (
                    "a program in the folder",
                    fs::write(self.within.join("p"), "#!/bin/sh\n").and_then(|()| {
                        let none = [c"p", c"--run", c"no such test", c"."];
                        let Err(run) = nix::unistd::execv(c"/proc/self/exe", &none);
                        Err(run.into())
                    }),
                ),
                (
                    "signals",
                    rustix::process::test_kill_process(
                        rustix::process::getppid().expect("a parent"),
                    )
                    .map_err(io::Error::from),
                ),
                (
                    "memory without a name",
                    rustix::fs::memfd_create("m", rustix::fs::MemfdFlags::CLOEXEC)
                        .map(drop)
                        .map_err(io::Error::from),
                ),
            ]
        }

        fn all_refused(&self) {
            for (what, result) in self.all() {
                let error = result.expect_err(what);
                assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{what}: {error}");
            }
            // What it is there for goes on.
            let file = self.within.join(format!("{:?}", thread::current().id()));
            fs::write(&file, "bytes").expect("within");
            fs::remove_file(&file).expect("within");
        }
    }

    /// Whether this kernel has all of it; else there is nothing to be tried.
    fn entered(places: &[Place]) -> bool {
        let report = sandbox::enter(places);
        // What this kernel has and doesn't stand is no reason to skip anything.
        let said = report.to_string();
        for fault in ["threads run already", "tried and not refused"] {
            assert!(!said.contains(fault), "{said}");
        }
        if !report.is_whole() {
            println!("skipped: {report}");
        }
        report.is_whole()
    }

    fn every_thread(home: &Path) {
        let tries = Tries::prepare(home);
        // So that a try is known to be one.
        let waits = TcpStream::connect(tries.tcp.local_addr().expect("bound"));
        waits.expect("nothing is refused yet");
        fs::read("/etc/passwd").expect("nothing is refused yet");
        let (mut ends, mut theirs) = io::pipe().expect("a pipe");
        if !entered(&[tries.place()]) {
            return;
        }
        tries.all_refused();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    tries.all_refused();
                    // And what a thread starts.
                    thread::scope(|scope| {
                        scope.spawn(|| tries.all_refused());
                    });
                });
            }
        });
        // What was open stays.
        theirs.write_all(b"x").expect("a pipe");
        ends.read_exact(&mut [0]).expect("a pipe");
        tries.tcp.set_nonblocking(true).expect("a socket");
        tries.tcp.accept().expect("who connected before");
    }

    fn threads_before(home: &Path) {
        let tries = Tries::prepare(home);
        let (go_on, wait) = channel::<()>();
        let thread = thread::spawn(move || wait.recv());
        let report = sandbox::enter(&[tries.place()]);
        assert!(
            matches!(&report.files, Wall::Missing(why) if why.contains("threads run already")),
            "{report:?}"
        );
        fs::read("/etc/passwd").expect("nothing was given up");
        drop(go_on);
        let _ = thread.join();
    }

    fn other_places(home: &Path) {
        let folder = |name: &str| {
            let path = home.join(name);
            fs::create_dir(&path).expect("a folder");
            fs::write(path.join("old"), "bytes").expect("a file");
            path
        };
        let (log, settings, run) = (folder("log"), folder("settings"), folder("run"));
        let place = |path: &PathBuf, access| Place {
            path: path.clone(),
            access,
        };
        let places = [
            place(&log, Access::Append),
            place(&settings, Access::Read),
            place(&run, Access::Remove),
            place(&home.join("not-there"), Access::Read),
        ];
        if !entered(&places) {
            return;
        }
        let denied = |result: io::Result<()>| {
            assert_eq!(
                result.map_err(|error| error.kind()),
                Err(ErrorKind::PermissionDenied)
            );
        };
        fs::write(log.join("new"), "bytes").expect("a new journal");
        fs::read(log.join("old")).expect("the old one");
        denied(fs::remove_file(log.join("old")));
        denied(fs::rename(log.join("old"), log.join("moved")));
        fs::read(settings.join("old")).expect("settings");
        denied(fs::write(settings.join("old"), "other"));
        fs::remove_file(run.join("old")).expect("a socket's file");
        denied(fs::write(run.join("new"), "bytes"));
        denied(fs::read_dir(&run).map(drop));
    }
}
