//! A connected socket, TCP or Unix.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use socket2::{Domain, SockAddr, SockRef, Socket, TcpKeepalive, Type};

use super::address::Address;

/// A connected socket that never blocks.
#[derive(Debug)]
pub enum Stream {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(UnixStream),
}

/// How a TCP connection notices that its peer is gone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tuning {
    /// How long bytes that we sent may stay unacknowledged; `None` leaves it to the system, and so
    /// does [`Tuning::brief`].
    pub unacknowledged: Option<Duration>,
    /// Whether a connection lasts so short that a silent peer need not be asked whether it is still
    /// there. That saves four system calls a connection.
    pub brief: bool,
}

/// A stream socket that doesn't block, in one call where the system allows that.
#[cfg(target_os = "linux")]
const NONBLOCKING: Type = Type::STREAM.nonblocking();
#[cfg(not(target_os = "linux"))]
const NONBLOCKING: Type = Type::STREAM;

/// A silent peer is asked after this time whether it is still there …
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
/// … and again after this, …
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// … so many times.
const KEEPALIVE_PROBES: u32 = 4;

impl Tuning {
    /// Sets the options on a socket; accepted sockets inherit them from their listener.
    pub(super) fn apply(self, socket: &Socket) -> io::Result<()> {
        // Replies are small and awaited: they don't wait for more to fill a segment.
        socket.set_tcp_nodelay(true)?;
        if self.brief {
            return Ok(());
        }
        let keepalive = TcpKeepalive::new()
            .with_time(KEEPALIVE_IDLE)
            .with_interval(KEEPALIVE_INTERVAL)
            .with_retries(KEEPALIVE_PROBES);
        socket.set_tcp_keepalive(&keepalive)?;
        #[cfg(any(target_os = "linux", target_os = "android"))]
        socket.set_tcp_user_timeout(self.unacknowledged)?;
        Ok(())
    }
}

impl Stream {
    /// Begins to connect. The stream becomes writable when that has ended, well or not:
    /// [`Stream::connected`] tells.
    pub fn connect(address: &Address, tuning: Tuning) -> io::Result<Stream> {
        let (domain, target) = match address {
            Address::Tcp(address) => (Domain::for_address(*address), SockAddr::from(*address)),
            Address::Unix(path) => (Domain::UNIX, SockAddr::unix(path)?),
        };
        let socket = Socket::new(domain, NONBLOCKING, None)?;
        #[cfg(not(target_os = "linux"))]
        socket.set_nonblocking(true)?;
        if matches!(address, Address::Tcp(_)) {
            tuning.apply(&socket)?;
        }
        match socket.connect(&target) {
            Ok(()) => {}
            Err(error)
                if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {}
            Err(error) => return Err(error),
        }
        Ok(match address {
            Address::Tcp(_) => Stream::Tcp(TcpStream::from_std(socket.into())),
            Address::Unix(_) => Stream::Unix(UnixStream::from_std(socket.into())),
        })
    }

    /// Once writable: whether the connection is made, or why not. `Ok(false)` is not yet.
    pub fn connected(&self) -> io::Result<bool> {
        match self.socket().peer_addr() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                match self.socket().take_error()? {
                    Some(error) => Err(error),
                    None => Ok(false),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Sends bytes of a file, from an offset on and at most so many, without copying them through
    /// this program. Returns how many; 0 where the file ends before the offset, and `None` where
    /// the system can't send this file so: then it has to be read and written.
    pub fn send_file(&self, file: &File, offset: u64, most: usize) -> io::Result<Option<usize>> {
        #[cfg(not(target_os = "linux"))]
        {
            let _ = (file, offset, most);
            Ok(None)
        }
        #[cfg(target_os = "linux")]
        {
            let mut offset = offset;
            let sent = rustix::fs::sendfile(self, file, Some(&mut offset), most);
            match sent.map_err(io::Error::from) {
                Ok(sent) => Ok(Some(sent)),
                Err(error) if is_the_sockets(&error) => Err(error),
                // A file system that refuses, or a file that can't be read: the reader will tell
                // them apart.
                Err(_) => Ok(None),
            }
        }
    }

    /// Tells the peer that nothing more will come from here.
    pub fn finish_sending(&self) -> io::Result<()> {
        self.socket().shutdown(Shutdown::Write)
    }

    /// Makes the close that follows a reset: what was not sent yet is dropped, and the peer is told
    /// of an error and not of an end.
    pub fn reset_when_closed(&self) -> io::Result<()> {
        self.socket().set_linger(Some(Duration::ZERO))
    }

    fn socket(&self) -> SockRef<'_> {
        match self {
            Stream::Tcp(stream) => SockRef::from(stream),
            Stream::Unix(stream) => SockRef::from(stream),
        }
    }
}

/// Whether it is the socket that failed, and not the file that was to be sent over it.
#[cfg(target_os = "linux")]
fn is_the_sockets(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock
            | io::ErrorKind::Interrupted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::NotConnected
            | io::ErrorKind::TimedOut
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
    )
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Tcp(stream) => stream.as_fd(),
            Stream::Unix(stream) => stream.as_fd(),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buffer),
            Stream::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write(bytes),
            Stream::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Source for Stream {
    fn register(
        &mut self,
        registry: &Registry,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.register(registry, token, interest),
            Stream::Unix(stream) => stream.register(registry, token, interest),
        }
    }

    fn reregister(
        &mut self,
        registry: &Registry,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.reregister(registry, token, interest),
            Stream::Unix(stream) => stream.reregister(registry, token, interest),
        }
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.deregister(registry),
            Stream::Unix(stream) => stream.deregister(registry),
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_the_system_can_not_move_is_told_from_a_socket_that_takes_nothing() {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let stream = Stream::Unix(ours);
        let home = tempfile::tempdir().expect("a temporary folder");
        let path = home.path().join("file");
        std::fs::write(&path, "bytes").expect("the folder is there");
        let file = File::open(&path).expect("it was just made");
        let sent = |file, offset| stream.send_file(file, offset, 1 << 20);
        assert!(matches!(sent(&file, 1), Ok(Some(4))));
        assert!(matches!(sent(&file, 5), Ok(Some(0))), "it ends there");
        let unreadable = File::create(&path).expect("the folder is there");
        assert!(matches!(sent(&unreadable, 0), Ok(None)));
        drop(theirs);
        std::fs::write(&path, "bytes").expect("the folder is there");
        let error = sent(&file, 0).expect_err("nobody is there to take it");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
