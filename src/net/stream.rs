//! A connected socket, TCP or Unix.

use std::io::{self, Read, Write};
use std::net::Shutdown;
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
    /// How long bytes that we sent may stay unacknowledged; `None` leaves it to the system.
    pub unacknowledged: Option<Duration>,
}

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
        let socket = Socket::new(domain, Type::STREAM, None)?;
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
        if let Some(error) = self.socket().take_error()? {
            return Err(error);
        }
        match self.socket().peer_addr() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
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
