//! A client of thirty lines, as a student would write it, with assertions.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use socket2::{Domain, SockFilter, Socket, Type};

use super::GUARD;

/// A connection to a server, over which a test sends whatever bytes it likes.
#[derive(Debug)]
pub(crate) struct Client {
    socket: Socket,
}

impl Client {
    /// Connects to `HOST:PORT` or `unix:PATH`.
    pub(crate) fn connect(to: &str) -> Client {
        let socket = match to.strip_prefix("unix:") {
            Some(path) => UnixStream::connect(path).map(Socket::from),
            None => TcpStream::connect(to).map(Socket::from),
        };
        let socket = socket.expect("the server listens");
        socket.set_read_timeout(Some(GUARD)).expect("a socket");
        socket.set_write_timeout(Some(GUARD)).expect("a socket");
        Client { socket }
    }

    /// Connects to `HOST:PORT` from another address of this machine.
    pub(crate) fn connect_from(ip: [u8; 4], to: &str) -> Client {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let (from, to) = (
            SocketAddr::from((ip, 0)),
            to.parse::<SocketAddr>().expect("an address"),
        );
        socket.bind(&from.into()).expect("all of 127/8 is ours");
        socket.connect(&to.into()).expect("the server listens");
        socket.set_read_timeout(Some(GUARD)).expect("a socket");
        socket.set_write_timeout(Some(GUARD)).expect("a socket");
        Client { socket }
    }

    /// The same connection for another thread.
    pub(crate) fn again(&self) -> Client {
        let socket = self.socket.try_clone().expect("a descriptor");
        Client { socket }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("the server takes bytes");
    }

    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.socket.write_all(bytes.as_ref())
    }

    /// Ends the stream of this side.
    pub(crate) fn finish(&mut self) {
        self.socket
            .shutdown(Shutdown::Write)
            .expect("the connection is there");
    }

    /// Sends what a peer that may have gone takes of it.
    pub(crate) fn send_quietly(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.try_send(bytes);
    }

    /// Ends the stream of this side, if there still is a connection.
    pub(crate) fn finish_quietly(&mut self) {
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// Ends the connection as a machine that lost its power: with a reset.
    pub(crate) fn reset(self) {
        let none = Some(Duration::ZERO);
        self.socket.set_linger(none).expect("a socket");
    }

    /// From now on hears nothing of the server, and so acknowledges nothing either. To the server it
    /// is a machine that lost its power, as long as nothing is sent and this isn't dropped.
    #[cfg(target_os = "linux")]
    pub(crate) fn go_dark(&self) {
        // One instruction: of each packet, keep 0 bytes.
        let filter = [SockFilter::new(0x06, 0, 0, 0)];
        self.socket.attach_filter(&filter).expect("a TCP socket");
    }

    /// Sends a byte that is to overtake the others.
    pub(crate) fn send_urgent(&mut self, byte: u8) {
        let sent = self.socket.send_out_of_band(&[byte]);
        assert_eq!(sent.expect("the server takes bytes"), 1);
    }

    /// The next bytes, so many of them.
    pub(crate) fn take(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.socket.read_exact(&mut bytes).expect("bytes come");
        bytes
    }

    /// All bytes up to the end, which has to be one, and no reset.
    #[track_caller]
    pub(crate) fn read_all(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.socket.read_to_end(&mut bytes) {
            Ok(_) => bytes,
            Err(error) => panic!("{error} came after {bytes:?}"),
        }
    }

    /// What comes next, be it bytes, the end, or a reset; these last two give nothing.
    pub(crate) fn read_what_comes_first(&mut self) -> Vec<u8> {
        let mut bytes = [0; 1024];
        match self.socket.read(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("nothing came"),
            count => bytes[..count.unwrap_or(0)].to_vec(),
        }
    }

    /// Reads until the other side ends, in order or not.
    pub(crate) fn read_what_comes(&mut self) {
        while !self.read_what_comes_first().is_empty() {}
    }

    /// The next reply, which has to be a STRING.
    pub(crate) fn reply(&mut self) -> Reply {
        let mut header = [0; 3];
        self.socket
            .read_exact(&mut header)
            .expect("a reply comes, and no end or reset");
        assert_eq!(header[0], 1, "every reply is a STRING");
        let mut text = vec![0; usize::from(u16::from_le_bytes([header[1], header[2]]))];
        self.socket.read_exact(&mut text).expect("the whole reply");
        Reply::of(text)
    }

    /// The next reply, if the connection is there for one. A silence fails the test.
    pub(crate) fn try_reply(&mut self) -> Option<Reply> {
        let mut header = [0; 3];
        self.read_or_end(&mut header)?;
        assert_eq!(header[0], 1, "every reply is a STRING");
        let mut text = vec![0; usize::from(u16::from_le_bytes([header[1], header[2]]))];
        self.read_or_end(&mut text)?;
        Some(Reply(String::from_utf8(text).expect("a reply is text")))
    }

    fn read_or_end(&mut self, bytes: &mut [u8]) -> Option<()> {
        match self.socket.read_exact(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("nothing came"),
            read => read.ok(),
        }
    }

    /// The next reply, which has to be good.
    pub(crate) fn ok(&mut self) -> Reply {
        let reply = self.reply();
        assert_eq!(reply.status(), "OK", "{reply}");
        reply
    }

    /// The next reply, which has to be a receipt.
    pub(crate) fn receipt(&mut self, name: &str, size: usize) -> Reply {
        let reply = self.ok();
        assert_eq!(reply.key("name"), Some(name), "{reply}");
        assert_eq!(reply.key("size"), Some(&*size.to_string()), "{reply}");
        reply
    }

    /// The next reply, which has to refuse with this code, and say why in one line.
    pub(crate) fn refused(&mut self, code: &str) -> Reply {
        let reply = self.reply();
        assert_eq!(reply.status(), format!("ERR {code}"), "{reply}");
        let text = reply.key("text").expect("every ERR has a text");
        assert!(!text.is_empty() && !text.chars().any(char::is_control));
        reply
    }

    /// The server's side ends here: with no byte more, and no reset, which could have taken a
    /// reply with it.
    pub(crate) fn expect_end(&mut self) {
        let mut byte = [0];
        match self.socket.read(&mut byte) {
            Ok(0) => {}
            Ok(_) => panic!("a byte {byte:?} came where the end was due"),
            Err(error) => panic!("{error} came where the end was due"),
        }
    }

    /// Uploads a named file, and expects that to go well: the connection is in step and usable.
    pub(crate) fn upload(&mut self, name: &str, bytes: &[u8]) {
        self.send([super::string(name), super::data(bytes)].concat());
        assert_eq!(self.reply().text(), "OK");
        self.receipt(name, bytes.len());
    }
}

impl From<UnixStream> for Client {
    fn from(stream: UnixStream) -> Client {
        let socket = Socket::from(stream);
        socket.set_read_timeout(Some(GUARD)).expect("a socket");
        Client { socket }
    }
}

/// A reply's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply(String);

impl Reply {
    /// The replies in these bytes, all of which have to be whole.
    pub(crate) fn all_in(mut bytes: &[u8]) -> Vec<Reply> {
        let mut replies = Vec::new();
        while let [kind, low, high, rest @ ..] = bytes {
            assert_eq!(*kind, 1, "every reply is a STRING");
            let length = usize::from(u16::from_le_bytes([*low, *high]));
            let (text, others) = rest.split_at_checked(length).expect("a whole reply");
            let text = String::from_utf8(text.to_vec()).expect("a reply is text");
            replies.push(Reply(text));
            bytes = others;
        }
        assert!(bytes.is_empty(), "half a reply");
        replies
    }

    /// That of a STRING's body.
    pub(crate) fn of(text: Vec<u8>) -> Reply {
        Reply(String::from_utf8(text).expect("a reply is text"))
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// The first line.
    pub(crate) fn status(&self) -> &str {
        self.0.lines().next().unwrap_or_default()
    }

    /// The value of a key, on the lines that follow.
    pub(crate) fn key(&self, key: &str) -> Option<&str> {
        let mut lines = self.0.lines().skip(1);
        lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}
