//! A listening socket, TCP or Unix.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use mio::event::Source;
use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token};
use rustix::io::Errno;
use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use super::address::Address;
use super::holder::holder_of;
use super::stream::{Stream, Tuning};

/// Connections that the system keeps until they are accepted. mio's own bind stops at 128, which
/// a burst of clients overflows; the system cuts this to its own limit.
const BACKLOG: i32 = 4096;

/// What the system may hold for each connection of bytes that its peer doesn't read; it takes twice
/// that, for its own bookkeeping. What a server says is short, and more is never under way. Left to
/// itself, Linux lets this grow to 4 MiB, so a thousand peers that never read would have 4 GiB.
const SEND_BUFFER: usize = 64 << 10;

/// A listening socket that never blocks.
#[derive(Debug)]
pub struct Listener {
    socket: ListenerSocket,
    address: Address,
    /// The inode of a Unix socket's file, so that only our own is removed.
    inode: Option<u64>,
}

#[derive(Debug)]
enum ListenerSocket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Whether an address is listened at by more than one socket of this process, among which the
/// system deals connections out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// By this one only.
    Alone,
    /// By this one first: the address must be free.
    First,
    /// By this one too.
    Further,
}

/// What an accept came to.
#[derive(Debug)]
pub enum Accepted {
    /// A connection, and its peer. Peers on a Unix socket have no address: the socket's stands
    /// for them.
    Connection(Stream, Address),
    /// Nobody waits.
    Nobody,
    /// The one that waited is gone, or its connection is broken; the next may be good.
    Gone(io::Error),
    /// There are no descriptors or no memory for it now; it goes on waiting.
    NoRoom(io::Error),
}

impl Listener {
    /// Listens at an address. An error says who has it already, where that can be found out.
    pub fn bind(address: &Address, tuning: Tuning) -> io::Result<Listener> {
        Listener::bind_shared(address, tuning, Sharing::Alone)
    }

    /// The same for one of several sockets at the address. Unix sockets can't be shared so.
    pub fn bind_shared(
        address: &Address,
        tuning: Tuning,
        sharing: Sharing,
    ) -> io::Result<Listener> {
        let bound = match address {
            Address::Tcp(wanted) => Listener::bind_tcp(*wanted, tuning, sharing),
            Address::Unix(path) => Listener::bind_unix(path),
        };
        bound.map_err(|error| explain(error, address))
    }

    /// Takes over a socket that listens already, as a service manager hands it on. The file of a
    /// Unix socket stays that manager's: it is not removed.
    ///
    /// # Errors
    /// Where it is something else than a listening stream socket, TCP or Unix, with an address.
    pub fn adopt(socket: OwnedFd, tuning: Tuning) -> io::Result<Listener> {
        let unfit = |what| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        let socket = Socket::from(socket);
        // What is no socket at all has no type either.
        if socket.r#type().ok() != Some(Type::STREAM) || !socket.is_listener().unwrap_or(false) {
            return unfit("it is no stream socket that listens");
        }
        let local = socket.local_addr()?;
        socket.set_cloexec(true)?;
        socket.set_nonblocking(true)?;
        let (socket, address) = if let Some(address) = local.as_socket() {
            tuning.apply(&socket)?;
            socket.set_send_buffer_size(SEND_BUFFER)?;
            let listener = ListenerSocket::Tcp(TcpListener::from_std(socket.into()));
            (listener, Address::Tcp(address))
        } else if let Some(path) = local.as_pathname() {
            let address = Address::Unix(path.to_owned());
            let listener = ListenerSocket::Unix(UnixListener::from_std(socket.into()));
            (listener, address)
        } else {
            return unfit("its address is neither TCP's nor a path");
        };
        Ok(Listener {
            socket,
            address,
            inode: None,
        })
    }

    /// Tunes connections that are accepted from now on.
    pub fn tune(&self, tuning: Tuning) -> io::Result<()> {
        match &self.socket {
            ListenerSocket::Tcp(socket) => tuning.apply(&SockRef::from(socket)),
            ListenerSocket::Unix(_) => Ok(()),
        }
    }

    /// The address with its real port.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The file of a Unix socket that is removed with this, and its inode's number.
    pub fn own_file(&self) -> Option<(&Path, u64)> {
        match &self.address {
            Address::Unix(path) => self.inode.map(|inode| (path.as_path(), inode)),
            Address::Tcp(_) => None,
        }
    }

    /// Takes one waiting connection.
    pub fn accept(&self) -> Accepted {
        let accepted = match &self.socket {
            ListenerSocket::Tcp(listener) => listener
                .accept()
                .map(|(stream, peer)| (Stream::Tcp(stream), Address::Tcp(peer))),
            ListenerSocket::Unix(listener) => listener
                .accept()
                .map(|(stream, _)| (Stream::Unix(stream), self.address.clone())),
        };
        match accepted {
            Ok((stream, peer)) => Accepted::Connection(stream, peer),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Accepted::Nobody,
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                    Accepted::NoRoom(error)
                }
                _ => Accepted::Gone(error),
            },
        }
    }

    fn bind_tcp(wanted: SocketAddr, tuning: Tuning, sharing: Sharing) -> io::Result<Listener> {
        let socket = Socket::new(Domain::for_address(wanted), Type::STREAM, None)?;
        // A server that is started again gets its port although old connections linger.
        socket.set_reuse_address(true)?;
        if wanted.is_ipv6() {
            // So that 0.0.0.0 and [::] can both be bound, and each means what it says.
            socket.set_only_v6(true)?;
        }
        socket.set_nonblocking(true)?;
        tuning.apply(&socket)?;
        // Accepted sockets inherit it, as they do the other options.
        socket.set_send_buffer_size(SEND_BUFFER)?;
        if sharing == Sharing::Further {
            socket.set_reuse_port(true)?;
        }
        socket.bind(&wanted.into())?;
        if sharing == Sharing::First {
            // Only now, so that the address is not shared with a stranger's socket.
            socket.set_reuse_port(true)?;
        }
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from_std(socket.into());
        let address = Address::Tcp(listener.local_addr()?);
        Ok(Listener {
            socket: ListenerSocket::Tcp(listener),
            address,
            inode: None,
        })
    }

    fn bind_unix(path: &Path) -> io::Result<Listener> {
        remove_dead_socket(path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SockAddr::unix(path)?)?;
        socket.listen(BACKLOG)?;
        let inode = std::fs::symlink_metadata(path).ok().map(|file| file.ino());
        let address = Address::Unix(PathBuf::from(path));
        let listener = UnixListener::from_std(socket.into());
        Ok(Listener {
            socket: ListenerSocket::Unix(listener),
            address,
            inode,
        })
    }
}

impl Drop for Listener {
    /// Removes a Unix socket's file, unless another has taken its place.
    fn drop(&mut self) {
        if let (Address::Unix(path), Some(inode)) = (&self.address, self.inode)
            && std::fs::symlink_metadata(path).is_ok_and(|file| file.ino() == inode)
        {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Removes a socket's file that a killed server left behind: nobody answers at it.
fn remove_dead_socket(path: &Path) -> io::Result<()> {
    let Ok(file) = std::fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !file.file_type().is_socket() {
        let why = "there is a file of that name, and it is no socket";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
    }
    // Without waiting: a server whose queue is full is alive, too.
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        _ => Err(Errno::ADDRINUSE.into()),
    }
}

fn explain(error: io::Error, address: &Address) -> io::Error {
    let what = match error.kind() {
        io::ErrorKind::AddrInUse => match holder_of(address) {
            Some(holder) => {
                format!("{holder} listens there already")
            }
            None => "another program listens there already".to_owned(),
        },
        io::ErrorKind::PermissionDenied => {
            format!("{error}; ports below 1024 and other people's folders need more rights")
        }
        io::ErrorKind::AddrNotAvailable => format!("{error}; this machine has no such address"),
        _ => error.to_string(),
    };
    io::Error::new(error.kind(), format!("can't listen on {address}: {what}"))
}

impl Source for Listener {
    fn register(
        &mut self,
        registry: &Registry,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        // A listener is never writable; asking for it costs nothing and keeps one way to register.
        match &mut self.socket {
            ListenerSocket::Tcp(socket) => socket.register(registry, token, interest),
            ListenerSocket::Unix(socket) => socket.register(registry, token, interest),
        }
    }

    fn reregister(
        &mut self,
        registry: &Registry,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        match &mut self.socket {
            ListenerSocket::Tcp(socket) => socket.reregister(registry, token, interest),
            ListenerSocket::Unix(socket) => socket.reregister(registry, token, interest),
        }
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match &mut self.socket {
            ListenerSocket::Tcp(socket) => socket.deregister(registry),
            ListenerSocket::Unix(socket) => socket.deregister(registry),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn a_socket_that_listens_is_adopted_and_nothing_else_is() {
        let tuning = Tuning::default();
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = Address::Tcp(tcp.local_addr().expect("it is bound"));
        let adopted = Listener::adopt(tcp.into(), tuning).expect("it listens");
        assert_eq!(*adopted.address(), address);
        assert!(
            matches!(adopted.accept(), Accepted::Nobody),
            "it doesn't block"
        );

        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let unix = std::os::unix::net::UnixListener::bind(&path).expect("a free path");
        let adopted = Listener::adopt(unix.into(), tuning).expect("it listens");
        assert_eq!(*adopted.address(), Address::Unix(path.clone()));
        drop(adopted);
        assert!(path.exists(), "the file is its maker's");

        let file = std::fs::File::open(folder.path()).expect("a folder");
        let deaf = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let datagram = UnixDatagram::unbound().expect("a socket");
        for unfit in [OwnedFd::from(file), deaf.into(), datagram.into()] {
            let refused = Listener::adopt(unfit, tuning).expect_err("it is unfit");
            assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        }
    }
}
