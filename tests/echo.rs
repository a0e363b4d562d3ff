//! The echo example at work: what students copy from has to be right.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

/// A running example; stopped when it is dropped, also by a test that fails.
struct Echo {
    process: Child,
    address: String,
}

impl Echo {
    fn start() -> Echo {
        // A plain `cargo test` builds the examples too, into a folder beside this test's.
        let here = std::env::current_exe().expect("a running program has a path");
        let folder = here.ancestors().nth(2).expect("a test lies in deps");
        let program: PathBuf = folder.join("examples/echo");
        let mut process = Command::new(program)
            .arg("127.0.0.1:0")
            .stdout(Stdio::piped())
            .spawn()
            .expect("built by a plain `cargo test`, or by `cargo build --example echo`");
        let out = process.stdout.take().expect("it was piped");
        let mut line = String::new();
        BufReader::new(out)
            .read_line(&mut line)
            .expect("a line of text");
        let address = line
            .strip_prefix("listening on ")
            .unwrap_or_else(|| panic!("{line:?}"));
        Echo {
            process,
            address: address.trim_end().to_owned(),
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("it listens");
        // A test that would hang fails instead.
        let patience = Some(Duration::from_secs(20));
        stream.set_read_timeout(patience).expect("a valid time");
        stream.set_write_timeout(patience).expect("a valid time");
        stream
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Bytes in which a piece that is lost, doubled or moved shows.
fn bytes(seed: u32, count: usize) -> Vec<u8> {
    let mut state = seed;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    })
    .take(count)
    .collect()
}

/// Sends everything from another thread, ends its side, and reads to the end, `pause` after each
/// of the first reads.
fn exchange(mut stream: TcpStream, sent: &[u8], pause: Duration) -> Vec<u8> {
    let mut writer = stream.try_clone().expect("a second handle");
    thread::scope(|scope| {
        scope.spawn(move || {
            writer.write_all(sent).expect("it takes everything");
            writer.shutdown(Shutdown::Write).expect("still connected");
        });
        let mut back = Vec::new();
        let mut block = [0; 10_000];
        for turn in 0.. {
            let got = stream.read(&mut block).expect("it answers");
            if got == 0 {
                break;
            }
            back.extend_from_slice(&block[..got]);
            if turn < 30 {
                thread::sleep(pause);
            }
        }
        back
    })
}

#[test]
fn a_client_that_reads_slowly_gets_every_byte_back() {
    let echo = Echo::start();
    // More than the sockets' own buffers hold, so that the server has to wait for the reader.
    let sent = bytes(1, 16 << 20);
    let back = exchange(echo.connect(), &sent, Duration::from_millis(10));
    assert!(back == sent, "{} of {} bytes", back.len(), sent.len());
}

#[test]
fn two_clients_at_once_get_their_own_bytes_back() {
    let echo = Echo::start();
    thread::scope(|scope| {
        let clients = [2, 3].map(|seed| {
            let stream = echo.connect();
            scope.spawn(move || {
                let sent = bytes(seed, 1 << 20);
                exchange(stream, &sent, Duration::from_millis(1)) == sent
            })
        });
        for client in clients {
            assert!(client.join().expect("no panic"), "other bytes came back");
        }
    });
}

#[test]
fn a_client_that_vanishes_leaves_the_others_alone() {
    let echo = Echo::start();
    let mut rude = echo.connect();
    rude.write_all(&bytes(4, 1 << 20))
        .expect("it takes a megabyte");
    // Closed with bytes unread, which resets the connection.
    drop(rude);
    let sent = bytes(5, 100_000);
    assert!(exchange(echo.connect(), &sent, Duration::ZERO) == sent);
}
