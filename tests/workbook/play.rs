//! A page's commands, run as a reader would run them.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use super::common::{GUARD, Lines, PROGRAM, command, skipped};
use super::page::{Page, Typed, words};
use super::root;

/// How often a case is tried that comes out otherwise than it should.
const TRIES: u32 = 3;

/// Plays one page.
pub(crate) struct Player<'a> {
    page: &'a Page,
    /// The folder that its commands work in.
    folder: TempDir,
    server: Option<Server>,
}

/// A server that the page has started.
struct Server {
    child: Child,
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already, which is no failure.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl<'a> Player<'a> {
    pub(crate) fn new(page: &'a Page) -> Player<'a> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let bin = folder.path().join(".path");
        fs::create_dir(&bin).expect("it is new");
        std::os::unix::fs::symlink(PROGRAM, bin.join("piecemeal")).expect("it is new");
        Player {
            page,
            folder,
            server: None,
        }
    }

    /// Returns how many verdicts other than PASS it has seen.
    pub(crate) fn play(mut self) -> usize {
        let mut failing = 0;
        for block in &self.page.blocks {
            match block.info.as_str() {
                "console server" => {
                    self.server = None;
                    self.server = Some(self.serve(&block.typed()[0].command));
                }
                "console checked" => {
                    for typed in block.typed() {
                        if typed.command.starts_with("piecemeal lab check ") {
                            failing += self.check(&typed);
                        } else {
                            self.compare(&typed);
                        }
                    }
                }
                "console" | "text" | "python" | "rust" => {}
                other => panic!("{}: a block of {other:?}", self.page.name),
            }
        }
        failing
    }

    /// A command as the reader's shell runs it, with both outputs in one.
    fn shell(&self, line: &str) -> Command {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut shell = command("sh");
        shell
            .args(["-c", &format!("exec 2>&1\n{line}")])
            .current_dir(self.folder.path())
            .env("LAB", root().join("tests/lab"))
            .env(
                "PATH",
                format!("{}/.path:{path}", self.folder.path().display()),
            )
            .env("PIECEMEAL_BIND", "127.0.0.1:0")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        if let Some(server) = &self.server {
            shell.env("PIECEMEAL_TO", &server.address);
        }
        shell
    }

    fn serve(&self, line: &str) -> Server {
        let line = format!("exec {}", line.replace(" 9000", " 0"));
        let mut child = self.shell(&line).spawn().expect("sh runs");
        let lines = Lines::of(child.stdout.take().expect("it is a pipe"));
        let said = lines.wait_for(|line| line.starts_with("listening on "));
        let address = said
            .split([' ', ','])
            .nth(2)
            .expect("it says where")
            .to_owned();
        Server { child, address }
    }

    /// Runs a command until it prints what the page says. What only looks may look again, since
    /// nothing tells when another program has stored a file.
    fn compare(&self, typed: &Typed) {
        let looks = ["ls ", "wc ", "find "]
            .iter()
            .any(|word| typed.command.starts_with(word));
        let until = Instant::now() + GUARD;
        loop {
            let output = self.shell(&typed.command).output().expect("sh runs");
            let printed = String::from_utf8_lossy(&output.stdout).into_owned();
            let lines: Vec<&str> = printed.lines().collect();
            if fits(&typed.prints, &lines) {
                return;
            }
            let is_over = !looks || Instant::now() > until;
            let Typed { command, prints } = typed;
            assert!(
                !is_over,
                "{}: {command} printed {lines:#?}, not {prints:#?}",
                self.page.name
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs the checker, compares its verdicts with the page's, and expects our own server to pass.
    fn check(&self, typed: &Typed) -> usize {
        let expected = verdicts(&typed.prints);
        let page = &self.page.name;
        assert!(
            !expected.is_empty(),
            "{page}: no verdict of {}",
            typed.command
        );
        let Some(seen) = self.run_check(&typed.command, &|seen| seen == expected) else {
            return 0;
        };
        assert_eq!(seen, expected, "{page}: {}", typed.command);

        let words = words(&typed.command);
        let after = |option: &str| {
            let mut pairs = words.windows(2);
            pairs.find(|pair| pair[0] == option).map(|pair| pair[1])
        };
        let task = after("--task").expect("a check has a task");
        let strict = match after("--grammar") {
            Some("framed") => " --strict",
            _ => "",
        };
        let ours = format!("piecemeal lab serve --task {task}{strict} --bind 127.0.0.1:9000");
        let parts: Vec<&str> = typed.command.split('"').collect();
        let [before, _, behind] = parts[..] else {
            panic!(
                "{page}: a check that is played starts its server: {}",
                typed.command
            );
        };
        let command = format!("{before}\"{ours}\"{behind}");
        let passes = |seen: &[String]| seen.iter().all(|verdict| verdict.starts_with("PASS"));
        if let Some(seen) = self.run_check(&command, &passes) {
            assert!(passes(&seen), "{command}: {seen:?}");
        }
        let failing = expected
            .iter()
            .filter(|verdict| !verdict.starts_with("PASS"));
        failing.count()
    }

    /// The verdicts that the checker comes to, at a port that nobody else has. A busy machine can
    /// upset a case, so it has several tries to come to what is right. Returns nothing where the
    /// checker says each time that it can't tell for that reason.
    fn run_check(
        &self,
        command: &str,
        is_right: &dyn Fn(&[String]) -> bool,
    ) -> Option<Vec<String>> {
        let held = HeldPort::new();
        let command = format!("{} {}", command.replace("9000", &held.port), held.address());
        let mut seen = None;
        for _ in 0..TRIES {
            let output = self.shell(&command).output().expect("sh runs");
            let printed = String::from_utf8_lossy(&output.stdout).into_owned();
            if output.status.code() == Some(3) && printed.contains("too busy") {
                continue;
            }
            let lines: Vec<String> = printed.lines().map(str::to_owned).collect();
            let verdicts = verdicts(&lines);
            let failed = verdicts.iter().any(|verdict| verdict.starts_with("FAIL"));
            let code = Some(i32::from(failed));
            assert_eq!(output.status.code(), code, "{command}\n{printed}");
            let done = is_right(&verdicts);
            seen = Some(verdicts);
            if done {
                break;
            }
        }
        if seen.is_none() {
            skipped(&format!("{command}: the machine is too busy for it"));
        }
        seen
    }
}

/// A port that is ours until a server takes it over, which reuses addresses as servers do.
struct HeldPort {
    port: String,
    _bound: Socket,
}

impl HeldPort {
    fn new() -> HeldPort {
        let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_reuse_address(true).expect("it is new");
        socket.bind(&any.into()).expect("a free port");
        let bound = socket.local_addr().expect("it is bound");
        HeldPort {
            port: bound.as_socket().expect("TCP").port().to_string(),
            _bound: socket,
        }
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

/// The lines with a verdict.
fn verdicts(lines: &[String]) -> Vec<String> {
    let words = ["PASS ", "WEAK ", "FAIL ", "CAN'T TELL "];
    let found = lines
        .iter()
        .filter(|line| words.iter().any(|word| line.starts_with(word)));
    found.cloned().collect()
}

/// Whether lines are those that were expected, with `…` for what may differ.
fn fits(expected: &[String], lines: &[&str]) -> bool {
    match (expected, lines) {
        ([], []) => true,
        ([skip, rest @ ..], _) if skip == "…" => {
            (0..=lines.len()).any(|from| fits(rest, &lines[from..]))
        }
        ([first, rest @ ..], [line, others @ ..]) => {
            let same = match first.strip_suffix('…') {
                Some(start) => line.starts_with(start),
                None => first == line,
            };
            same && fits(rest, others)
        }
        _ => false,
    }
}
