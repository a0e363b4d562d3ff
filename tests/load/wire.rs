//! A connection whose server may be gone at any moment, which is no failure.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};

use crate::common::GUARD;

pub(crate) struct Wire {
    stream: TcpStream,
    /// Whether the server has answered anything, so that it knows of the connection.
    is_known: bool,
    /// Whether it has said that it stops.
    is_told: bool,
}

/// A reply: its first line, and all of it.
#[derive(Debug)]
pub(crate) struct Answer(String);

impl Wire {
    pub(crate) fn connect(address: &str) -> io::Result<Wire> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(GUARD))?;
        stream.set_write_timeout(Some(GUARD))?;
        stream.set_nodelay(true)?;
        Ok(Wire {
            stream,
            is_known: false,
            is_told: false,
        })
    }

    /// Sends what the server takes of it. Where that fails, it may have said why, so the answer is
    /// still to be read.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        match self.stream.write_all(bytes.as_ref()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }

    /// Whether the server was there, and has gone without a word.
    pub(crate) fn is_left_alone(&mut self) -> bool {
        while self.answer().is_ok() {}
        self.is_known && !self.is_told
    }

    /// Ends the stream of this side.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    pub(crate) fn answer(&mut self) -> io::Result<Answer> {
        let mut header = [0; 3];
        self.stream.read_exact(&mut header)?;
        let mut text = vec![0; usize::from(u16::from_le_bytes([header[1], header[2]]))];
        self.stream.read_exact(&mut text)?;
        let text = String::from_utf8(text);
        let answer = Answer(text.map_err(|_| io::Error::other("a reply that is no text"))?);
        self.is_known = true;
        self.is_told |= answer.code() == "shutdown";
        Ok(answer)
    }
}

impl Answer {
    pub(crate) fn is_ok(&self) -> bool {
        self.0 == "OK" || self.0.starts_with("OK\n")
    }

    /// The code of an ERR.
    pub(crate) fn code(&self) -> &str {
        let line = self.0.lines().next().unwrap_or_default();
        line.strip_prefix("ERR ").unwrap_or_default()
    }

    /// The value of a key.
    pub(crate) fn key(&self, key: &str) -> Option<&str> {
        let mut lines = self.0.lines().skip(1);
        lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
    }

    /// Where a PUT goes on from.
    pub(crate) fn offset(&self) -> io::Result<usize> {
        let offset = self.key("offset").and_then(|offset| offset.parse().ok());
        offset.ok_or_else(|| io::Error::other(format!("no offset in {:?}", self.0)))
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}
