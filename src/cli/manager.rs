//! The service manager, systemd or one that does as it does: sockets that it hands over, and what
//! it is told of how far the server is. Without one, nothing here does anything.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use listenfd::ListenFd;
use rustix::net::SendFlags;
use rustix::time::{ClockId, clock_gettime};

/// A manager that doesn't take a word for so long is not waited for any longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sockets that were made before this process was, for it to listen at: `LISTEN_FDS` of them, if
/// `LISTEN_PID` is this process. Both variables are taken away, since they are not for programs
/// that are started from here. To be called once, before there are other threads.
///
/// # Errors
/// Where one is no TCP or Unix socket.
pub(super) fn listening_sockets() -> io::Result<Arc<[OwnedFd]>> {
    let mut handed_over = ListenFd::from_env();
    let sockets = (0..handed_over.len()).map(|index| {
        if let Ok(Some(unix)) = handed_over.take_unix_listener(index) {
            return Ok(unix.into());
        }
        let tcp = handed_over.take_tcp_listener(index);
        let tcp = tcp.map_err(|error| {
            let text = format!("can't listen on what was handed over in LISTEN_FDS: {error}");
            io::Error::new(error.kind(), text)
        })?;
        Ok(tcp.expect("each is taken once").into())
    });
    sockets.collect()
}

/// It serves: whoever waits for it may go on.
pub(super) fn ready() {
    say("READY=1", SendFlags::empty());
}

/// It rereads its settings, until it is ready again.
pub(super) fn reloading() {
    // With it, the manager can tell this answer from one to an earlier request.
    let now = clock_gettime(ClockId::Monotonic);
    let now_us = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
    let text = format!("RELOADING=1\nMONOTONIC_USEC={now_us}");
    say(&text, SendFlags::empty());
}

/// It stops. This never waits, since it is said on the loop's thread.
pub(super) fn stopping() {
    say("STOPPING=1", SendFlags::DONTWAIT);
}

/// Where it listens, connected once: later the server may have given up the right to.
static NEWS: OnceLock<Option<io::Result<UnixDatagram>>> = OnceLock::new();

/// Connects to whoever wants to be told, if anybody does. Who isn't there is said when there is
/// something to tell.
pub(super) fn connect() {
    NEWS.get_or_init(|| {
        let path = env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty())?;
        Some(connect_to(&path))
    });
}

fn connect_to(path: &OsStr) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address(path)?)?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// Tells it something; `flags` may say not to wait.
fn say(text: &str, flags: SendFlags) {
    connect();
    let Some(Some(news)) = NEWS.get() else {
        return;
    };
    let told = match news {
        Ok(socket) => rustix::net::send(socket, text.as_bytes(), flags)
            .map(drop)
            .map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = told {
        let what = text.lines().next().unwrap_or_default();
        log::warn!("the service manager at NOTIFY_SOCKET can't be told {what}: {error}");
    }
}

/// A path; on Linux, what starts with `@` is a name that has no file.
fn address(path: &OsStr) -> io::Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    if let Some(name) = path.as_bytes().strip_prefix(b"@") {
        use std::os::linux::net::SocketAddrExt;
        return SocketAddr::from_abstract_name(name);
    }
    SocketAddr::from_pathname(path)
}
