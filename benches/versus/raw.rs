//! Senders of the bench's own, for work that no load generator does: one large body by sendfile,
//! single files at a steady rate, and connections that stand idle.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// A server that is silent for so long ends the measurement.
const PATIENCE: Duration = Duration::from_secs(60);
/// A server that takes so long for all of them has shown what it does.
const STEADY_MOST: Duration = Duration::from_secs(20);
/// As much as the system sends by one call.
const CHUNK: u64 = 1 << 30;

/// What a server understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speech {
    /// STRING with the name, DATA_8B with the bytes.
    Piecemeal,
    /// PUT, over a connection that is kept.
    Http,
}

impl Speech {
    /// What goes before the bytes of a file.
    pub(crate) fn announce(self, name: &str, size: u64) -> Vec<u8> {
        match self {
            Speech::Piecemeal => {
                let length = u16::try_from(name.len()).expect("names here are short");
                let mut message = vec![1];
                message.extend(length.to_le_bytes());
                message.extend(name.as_bytes());
                message.push(9);
                message.extend(size.to_le_bytes());
                message
            }
            Speech::Http => {
                format!("PUT /{name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n")
                    .into_bytes()
            }
        }
    }

    /// Reads until the server has said that the file is stored.
    pub(crate) fn read_receipt(self, from: &mut impl Read) -> Result<(), String> {
        match self {
            Speech::Piecemeal => {
                for _ in ["name", "bytes"] {
                    let reply = read_reply(from).map_err(lost)?;
                    let first = reply.lines().next().unwrap_or_default();
                    if first != "OK" {
                        return Err(format!("the server said {first:?}"));
                    }
                }
                Ok(())
            }
            Speech::Http => {
                let mut head = Vec::new();
                // Nothing follows it: the next request is sent when this one is answered.
                while !head.ends_with(b"\r\n\r\n") {
                    let mut piece = [0; 1024];
                    match from.read(&mut piece).map_err(lost)? {
                        0 => return Err("the connection was closed".to_owned()),
                        read => head.extend(&piece[..read]),
                    }
                }
                // 201: made; it has no body here.
                if head.starts_with(b"HTTP/1.1 201 ") {
                    return Ok(());
                }
                let line = String::from_utf8_lossy(&head);
                Err(format!("the server said {:?}", line.lines().next()))
            }
        }
    }
}

fn read_reply(from: &mut impl Read) -> io::Result<String> {
    let mut header = [0; 3];
    from.read_exact(&mut header)?;
    let mut text = vec![0; usize::from(u16::from_le_bytes([header[1], header[2]]))];
    from.read_exact(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn lost(error: io::Error) -> String {
    format!("the connection: {error}")
}

/// A connection that gives up when nothing moves.
pub(crate) fn connect(port: u16) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(("127.0.0.1", port)).map_err(lost)?;
    let prepare = || {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))
    };
    prepare().map_err(lost)?;
    Ok(stream)
}

/// Sends the first bytes of a file by sendfile, and waits for the receipt. Gives the time from
/// the first byte to the receipt.
pub(crate) fn send_file(
    stream: &mut TcpStream,
    speech: Speech,
    name: &str,
    file: &File,
    size: u64,
) -> Result<Duration, String> {
    let start = Instant::now();
    stream
        .write_all(&speech.announce(name, size))
        .map_err(lost)?;
    let mut offset = 0;
    while offset < size {
        let most = usize::try_from((size - offset).min(CHUNK)).unwrap_or(usize::MAX);
        match rustix::fs::sendfile(&*stream, file, Some(&mut offset), most) {
            Ok(0) => return Err("the file to send is too short".to_owned()),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => {
                // What the server had to say explains it best.
                let said = speech.read_receipt(stream);
                return Err(said.err().unwrap_or_else(|| lost(error.into())));
            }
        }
    }
    speech.read_receipt(stream)?;
    Ok(start.elapsed())
}

/// Sends a small file at each tick, over one connection, and gives how long each took in
/// microseconds, sorted. A time begins when the file is due, so a late one delays those behind
/// it, and they count that too.
pub(crate) fn send_steadily(
    port: u16,
    speech: Speech,
    body: &[u8],
    tick: Duration,
    count: u32,
) -> Result<Vec<f64>, String> {
    let mut stream = connect(port)?;
    let mut times = Vec::with_capacity(count as usize);
    let start = Instant::now() + tick;
    for number in 0..count {
        let due = start + tick * number;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let mut message = speech.announce(&format!("small-{number}"), body.len() as u64);
        message.extend(body);
        stream.write_all(&message).map_err(lost)?;
        speech.read_receipt(&mut stream)?;
        times.push(due.elapsed().as_secs_f64() * 1e6);
        if start.elapsed() > STEADY_MOST {
            break;
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
    times.sort_by(f64::total_cmp);
    Ok(times)
}

/// Connections that say nothing.
pub(crate) fn idle(port: u16, count: usize) -> Result<Vec<TcpStream>, String> {
    (0..count)
        .map(|number| {
            TcpStream::connect(("127.0.0.1", port))
                .map_err(|error| format!("connection {number} of {count}: {error}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_announced_as_the_server_expects_it() {
        let message = Speech::Piecemeal.announce("ab", 513);
        assert_eq!(message, *b"\x01\x02\0ab\x09\x01\x02\0\0\0\0\0\0");
        let text = String::from_utf8(Speech::Http.announce("ab", 7)).expect("it is text");
        assert!(text.starts_with("PUT /ab HTTP/1.1\r\n"), "{text}");
        assert!(text.ends_with("Content-Length: 7\r\n\r\n"), "{text}");
    }

    #[test]
    fn a_refusal_is_no_receipt() {
        let mut good = &b"\x01\x02\0OK\x01\x05\0OK\na="[..];
        assert_eq!(Speech::Piecemeal.read_receipt(&mut good), Ok(()));
        let mut bad = &b"\x01\x02\0OK\x01\x06\0ERR io"[..];
        let error = Speech::Piecemeal.read_receipt(&mut bad);
        assert!(error.is_err_and(|error| error.contains("ERR io")));
        let mut made = &b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"[..];
        assert_eq!(Speech::Http.read_receipt(&mut made), Ok(()));
        let mut refused = &b"HTTP/1.1 403 Forbidden\r\n\r\n"[..];
        let error = Speech::Http.read_receipt(&mut refused);
        assert!(error.is_err_and(|error| error.contains("403")));
        let mut cut = &b"\x01\x02\0OK"[..];
        assert!(Speech::Piecemeal.read_receipt(&mut cut).is_err());
    }
}
