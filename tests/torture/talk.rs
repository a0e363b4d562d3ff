//! A client that takes what comes: a connection that breaks is no failure here, and silence is.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};

use crate::common::{GUARD, Reply};

/// No server may do this, whichever call of it fails: give no answer, or a wrong one.
#[derive(Debug)]
pub(super) struct Hung(pub(super) String);

/// A connection that is made when it is needed, and made anew behind any refusal.
pub(super) struct Talk<'a> {
    to: &'a str,
    stream: Option<TcpStream>,
}

impl Talk<'_> {
    pub(super) fn new(to: &str) -> Talk<'_> {
        Talk { to, stream: None }
    }

    /// Sends, and reads so many replies; fewer where the connection ends before.
    pub(super) fn exchange(&mut self, bytes: &[u8], wanted: usize) -> Result<Vec<Reply>, Hung> {
        self.send(bytes);
        self.replies(wanted)
    }

    /// Sends what the server takes. Where it takes no more, it may have said why.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        let to = self.to;
        let stream = self.stream.get_or_insert_with(|| {
            let stream = TcpStream::connect(to).expect("the server listens");
            stream.set_read_timeout(Some(GUARD)).expect("a socket");
            stream.set_write_timeout(Some(GUARD)).expect("a socket");
            stream
        });
        let _ = stream.write_all(bytes);
    }

    pub(super) fn replies(&mut self, wanted: usize) -> Result<Vec<Reply>, Hung> {
        let mut replies = Vec::new();
        while replies.len() < wanted {
            match self.reply() {
                Ok(reply) => replies.push(reply),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(Hung(format!("no answer came after {replies:?}")));
                }
                Err(_) => break,
            }
        }
        let all_good = replies.iter().all(|reply| reply.status() == "OK");
        if replies.len() < wanted || !all_good {
            self.stream = None;
        }
        Ok(replies)
    }

    /// Ends this side's stream. Returns what the server says to that before it ends its own.
    pub(super) fn finish(&mut self) -> Result<Vec<Reply>, Hung> {
        if let Some(stream) = &self.stream {
            // It may be lost already.
            let _ = stream.shutdown(Shutdown::Write);
        }
        self.replies(usize::MAX)
    }

    fn reply(&mut self) -> io::Result<Reply> {
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let mut header = [0; 3];
        stream.read_exact(&mut header)?;
        let mut text = vec![0; usize::from(u16::from_le_bytes([header[1], header[2]]))];
        stream.read_exact(&mut text)?;
        Ok(Reply::of(text))
    }
}
