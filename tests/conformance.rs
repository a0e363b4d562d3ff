//! The server as clients see it that share no code with it: a client in Python that was written
//! from the protocol's page alone, the student's client in `examples/`, and the bytes that stand
//! in docs/PROTOCOL.md.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::time::Duration;

use piecemeal::proto::Code;
use tempfile::TempDir;

/// Without a byte from the server for so long, something is wrong.
const PATIENCE: Duration = Duration::from_secs(30);

/// The real program on a free port, storing into a folder of its own. It dies with the value.
struct Server {
    child: Child,
    address: String,
    folder: TempDir,
    /// Kept open, so that the server can go on printing.
    _stderr: BufReader<ChildStderr>,
}

impl Server {
    fn start(options: &[&str]) -> Server {
        let folder = tempfile::tempdir().expect("a folder");
        let mut child = Command::new(env!("CARGO_BIN_EXE_piecemeal"))
            .env_clear()
            .args(["serve", "--quiet", "--bind", "127.0.0.1:0", "--dir"])
            .arg(folder.path())
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut stderr = BufReader::new(child.stderr.take().expect("it was piped"));
        let mut line = String::new();
        let address = loop {
            line.clear();
            let count = stderr.read_line(&mut line).expect("the server's lines");
            assert_ne!(count, 0, "the server ended before it listened");
            if let Some(address) = line.trim_end().strip_prefix("listening on ") {
                break address.to_owned();
            }
        };
        Server {
            child,
            address,
            folder,
            _stderr: stderr,
        }
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn content(&self, name: &str) -> Vec<u8> {
        fs::read(self.folder().join(name)).expect(name)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a script of this repository, or returns `None` where there is no Python to run it with.
fn python(script: &str, arguments: &[&Path]) -> Option<Output> {
    let there = Command::new("python3").arg("--version").output();
    if !there.is_ok_and(|there| there.status.success()) {
        note("no python3 here: the clients in Python were not run");
        return None;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(script);
    let mut command = Command::new("python3");
    // Nothing is to be written beside the scripts, and names are to be UTF-8 everywhere.
    command.args(["-B", "-X", "utf8"]);
    let output = command.arg(script).args(arguments).output();
    Some(output.expect("python3 runs"))
}

#[expect(clippy::print_stderr, reason = "it is for whoever runs the tests")]
fn note(text: &str) {
    eprintln!("{text}");
}

fn shown(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    [out, err]
        .map(|text| String::from_utf8_lossy(text))
        .concat()
}

#[test]
fn a_client_written_from_the_protocols_page_agrees_with_the_server() {
    let server = Server::start(&[]);
    let arguments = [Path::new(&server.address), server.folder()];
    if let Some(output) = python("tests/conformance.py", &arguments) {
        assert!(output.status.success(), "{}", shown(&output));
    }
}

#[test]
fn they_agree_about_a_server_with_options_too() {
    let options = "--strings message --accept-eof --allow-hidden --max-size 1000";
    let mut options: Vec<&str> = options.split(' ').collect();
    options.extend(["--on-conflict", "overwrite"]);
    let server = Server::start(&options);
    let arguments = [
        Path::new(&server.address),
        server.folder(),
        "options".as_ref(),
    ];
    if let Some(output) = python("tests/conformance.py", &arguments) {
        assert!(output.status.success(), "{}", shown(&output));
    }
}

#[test]
fn the_students_client_uploads_files() {
    let server = Server::start(&[]);
    let home = tempfile::tempdir().expect("a folder");
    let large: Vec<u8> = (0..=255).cycle().take(300_001).collect();
    let contents: [(&str, &[u8]); 5] = [
        ("empty", b""),
        ("hello.txt", b"hello\n"),
        ("a b (2).txt", &[b'x'; 255]),
        ("\u{fc}ber.txt", &[b'y'; 256]),
        ("large.bin", &large),
    ];
    let paths = contents.map(|(name, content)| {
        let path = home.path().join(name);
        fs::write(&path, content).expect("a file to send");
        path
    });
    let mut arguments = vec![Path::new(&server.address)];
    arguments.extend(paths.iter().map(|path| path.as_path()));
    let Some(output) = python("examples/upload.py", &arguments) else {
        return;
    };
    let all_ok: String = paths
        .iter()
        .map(|path| format!("{}: OK\n", path.display()))
        .collect();
    assert!(output.status.success(), "{}", shown(&output));
    assert_eq!(shown(&output), all_ok);
    for (name, content) in contents {
        assert_eq!(server.content(name), content, "{name}");
    }

    // What fails is told, and what follows it is uploaded all the same.
    let hidden = home.path().join(".hidden");
    let other = home.path().join("other.txt");
    fs::write(&hidden, "x").expect("a file to send");
    fs::write(&other, "other").expect("a file to send");
    let arguments = [arguments[0], &paths[1], &hidden, &other];
    let output = python("examples/upload.py", &arguments).expect("it was there before");
    let [taken, hidden, other] = [&paths[1], &hidden, &other].map(|path| path.display());
    assert_eq!(
        shown(&output),
        format!("{taken}: ERR exists\n{hidden}: ERR bad-name\n{other}: OK\n")
    );
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(server.content("other.txt"), b"other");
}

/// One worked example of docs/PROTOCOL.md: a connection of its own to a fresh server.
#[derive(Debug, Default)]
struct Example {
    /// What the server is started with.
    options: Vec<String>,
    /// Where the example stands in the page.
    line: usize,
    turns: Vec<Turn>,
}

/// Bytes that go one way. `None` is a byte that is another each time, in the server's only.
#[derive(Debug)]
struct Turn {
    by_client: bool,
    /// None at all, by the client, is the end of its stream.
    bytes: Vec<Option<u8>>,
}

fn protocol_page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/PROTOCOL.md");
    fs::read_to_string(path).expect("docs/PROTOCOL.md")
}

/// The examples are the fenced blocks of the kind `wire`. Their lines say who sends, then the
/// bytes as hex, then, behind a `#`, what they are. Where that is a text in quotes, a type or a
/// length, the bytes must agree with it.
fn examples(page: &str) -> Vec<Example> {
    let mut examples = Vec::new();
    let mut open: Option<Example> = None;
    for (index, line) in page.lines().enumerate() {
        let place = index + 1;
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(kind)) if kind.split(' ').next() == Some("wire") => {
                open = Some(Example {
                    options: kind.split(' ').skip(1).map(str::to_owned).collect(),
                    line: place,
                    turns: Vec::new(),
                });
            }
            (None, _) => {}
            (Some(_), Some(_)) => examples.extend(open.take()),
            (Some(_), None) if line.is_empty() => {}
            (Some(example), None) => example.add(line, place),
        }
    }
    examples
}

impl Example {
    fn add(&mut self, line: &str, place: usize) {
        let (who, rest) = line.split_once(": ").expect(line);
        let by_client = match who {
            "C" => true,
            "S" => false,
            _ => panic!("line {place}: C or S sends, not {who}"),
        };
        let (hex, meaning) = rest.split_once('#').expect("every byte is explained");
        let bytes: Vec<Option<u8>> = hex
            .split_whitespace()
            .map(|byte| match byte {
                ".." if !by_client => None,
                _ => Some(u8::from_str_radix(byte, 16).expect(line)),
            })
            .collect();
        if let Some(quoted) = meaning.trim().strip_prefix('"') {
            let (text, _) = quoted.split_once('"').expect("the text's end");
            let text = text.replace("\\n", "\n").into_bytes();
            assert!(
                text.len() == bytes.len()
                    && bytes
                        .iter()
                        .zip(&text)
                        .all(|(byte, &text)| byte.is_none_or(|byte| byte == text)),
                "docs/PROTOCOL.md:{place}: the bytes are not the text beside them"
            );
        }
        for (label, end) in [("type ", ':'), ("length: ", ',')] {
            if let Some(number) = meaning.trim().strip_prefix(label) {
                let number = number.split(end).next().and_then(|text| text.parse().ok());
                let bytes = bytes.iter().rev().copied();
                let value = bytes.fold(0, |value: u64, byte| {
                    value << 8 | u64::from(byte.unwrap_or(0))
                });
                assert_eq!(number, Some(value), "docs/PROTOCOL.md:{place}");
            }
        }
        match self.turns.last_mut() {
            Some(turn) if turn.by_client == by_client && !bytes.is_empty() => {
                turn.bytes.extend(bytes);
            }
            _ => self.turns.push(Turn { by_client, bytes }),
        }
    }

    /// Plays the client's bytes; the server's must be those of the page, and no more.
    fn play(&self) -> io::Result<()> {
        let options: Vec<&str> = self.options.iter().map(String::as_str).collect();
        let server = Server::start(&options);
        let mut stream = TcpStream::connect(&server.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut has_ended = false;
        for turn in &self.turns {
            if turn.by_client && turn.bytes.is_empty() {
                stream.shutdown(Shutdown::Write)?;
                has_ended = true;
                continue;
            }
            if turn.by_client {
                if std::mem::take(&mut has_ended) {
                    let more = stream.read_to_end(&mut Vec::new())?;
                    assert_eq!(more, 0, "the server's last word was said");
                    stream = TcpStream::connect(&server.address)?;
                    stream.set_read_timeout(Some(PATIENCE))?;
                }
                let bytes: Vec<u8> = turn.bytes.iter().copied().flatten().collect();
                stream.write_all(&bytes)?;
                continue;
            }
            let mut got = Vec::new();
            let most = turn.bytes.len() as u64;
            // A reply that is too short ends in a timeout, or with the stream, and is compared too.
            let ended = (&stream).take(most).read_to_end(&mut got);
            let mut expected = turn.bytes.iter().zip(&got);
            assert!(
                got.len() == turn.bytes.len()
                    && expected.all(|(expected, got)| expected.is_none_or(|byte| byte == *got)),
                "docs/PROTOCOL.md:{}: the server said {got:02x?}, {:?}; {ended:?}",
                self.line,
                String::from_utf8_lossy(&got)
            );
        }
        // A server that closes after its reply may have done so by now.
        let _ = stream.shutdown(Shutdown::Write);
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest)?;
        assert!(
            rest.is_empty(),
            "docs/PROTOCOL.md:{}: the server went on with {rest:02x?}, {:?}",
            self.line,
            String::from_utf8_lossy(&rest)
        );
        Ok(())
    }
}

#[test]
fn the_examples_in_the_protocols_page_are_true() {
    let examples = examples(&protocol_page());
    assert!(examples.len() >= 6, "{} examples", examples.len());
    for example in examples {
        if let Err(error) = example.play() {
            panic!("docs/PROTOCOL.md:{}: {error}", example.line);
        }
    }
}

#[test]
fn every_error_code_has_a_row_in_the_protocols_page() {
    let page = protocol_page();
    for code in Code::ALL {
        let rows = page
            .lines()
            .filter(|line| line.starts_with(&format!("| `{code}` ")));
        assert_eq!(rows.count(), 1, "{code}");
    }
}
