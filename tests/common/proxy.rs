//! A line that breaks where a test wants: it stands between the program and a server.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use socket2::Socket;

/// Where a connection is cut; counted in bytes of that connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cut {
    /// Behind so many bytes to the server.
    pub(crate) up: Option<u64>,
    /// Behind so many bytes to the client, once there are more.
    pub(crate) down: Option<u64>,
    /// Whether the server sees a reset there, and not an end.
    pub(crate) reset: bool,
}

impl Cut {
    pub(crate) fn after(up: u64) -> Cut {
        Cut {
            up: Some(up),
            ..Cut::default()
        }
    }

    pub(crate) fn never() -> Cut {
        Cut::default()
    }
}

type Plan = dyn FnMut(usize) -> Cut + Send;
/// Runs where a connection is about to be cut; says whether it is to be.
type AtCut = dyn FnMut(usize) -> bool + Send;

/// The line. It ends with the test's process.
pub(crate) struct Proxy {
    pub(crate) address: String,
    shared: Arc<Shared>,
}

struct Shared {
    target: String,
    plan: Mutex<Box<Plan>>,
    at_cut: Mutex<Box<AtCut>>,
    up: AtomicU64,
    connections: AtomicUsize,
}

impl Proxy {
    /// A line to a server, `HOST:PORT` or `unix:PATH`, whose connections are cut as planned; they
    /// are numbered from 0 on.
    pub(crate) fn start(target: &str, plan: impl FnMut(usize) -> Cut + Send + 'static) -> Proxy {
        Proxy::with_hook(target, plan, |_| true)
    }

    /// The same, and something is done where a connection reaches its place to be cut: only if
    /// that says so is it cut. Nothing moves on the connection meanwhile.
    pub(crate) fn with_hook(
        target: &str,
        plan: impl FnMut(usize) -> Cut + Send + 'static,
        at_cut: impl FnMut(usize) -> bool + Send + 'static,
    ) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let shared = Arc::new(Shared {
            target: target.to_owned(),
            plan: Mutex::new(Box::new(plan)),
            at_cut: Mutex::new(Box::new(at_cut)),
            up: AtomicU64::new(0),
            connections: AtomicUsize::new(0),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = Socket::from(client.expect("a connection"));
                let shared = Arc::clone(&accepting);
                thread::spawn(move || shared.carry(&client));
            }
        });
        Proxy { address, shared }
    }

    /// Bytes that clients have sent to the server.
    pub(crate) fn bytes_up(&self) -> u64 {
        self.shared.up.load(Ordering::SeqCst)
    }

    /// Connections that there were.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Shared {
    /// Carries one connection's bytes both ways, until either side ends it or it is cut.
    fn carry(self: &Arc<Shared>, client: &Socket) {
        let number = self.connections.fetch_add(1, Ordering::SeqCst);
        let connected = match self.target.strip_prefix("unix:") {
            Some(path) => UnixStream::connect(path).map(Socket::from),
            None => TcpStream::connect(&self.target).map(Socket::from),
        };
        // A server that is not there just now is a line that is cut at once.
        let Ok(server) = connected else { return };
        let cut = {
            let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
            plan(number)
        };
        let both = |socket: &Socket| socket.try_clone().expect("a descriptor");
        let (to_client, from_server) = (both(client), both(&server));
        let down = cut.down;
        let back = thread::spawn(move || {
            if carry(&from_server, &to_client, Way::Down(down), |_| ()) == Ended::Cut {
                // The reply that would come next is lost, and the client sees the line break.
                let _ = to_client.shutdown(Shutdown::Both);
                let _ = from_server.shutdown(Shutdown::Both);
            } else {
                let _ = to_client.shutdown(Shutdown::Write);
            }
        });
        let count = |bytes| {
            self.up.fetch_add(bytes, Ordering::SeqCst);
        };
        let mut ended = carry(client, &server, Way::Up(cut.up), count);
        if ended == Ended::Cut {
            let is_cut = {
                let mut hook = self.at_cut.lock().unwrap_or_else(PoisonError::into_inner);
                hook(number)
            };
            if !is_cut {
                ended = carry(client, &server, Way::Up(None), count);
            }
        }
        if ended == Ended::Cut {
            // First, so that the client doesn't hear what the server says of it.
            let _ = client.shutdown(Shutdown::Both);
        }
        let _ = match ended {
            // With linger off, the close below is a reset, and what was not read is lost with it.
            Ended::Cut if cut.reset => {
                let none = Some(std::time::Duration::ZERO);
                server.set_linger(none).expect("a socket");
                server.shutdown(Shutdown::Read)
            }
            _ => server.shutdown(Shutdown::Write),
        };
        let _ = back.join();
    }
}

/// Which way bytes are carried, and how many of them at most.
#[derive(Clone, Copy, Debug)]
enum Way {
    Up(Option<u64>),
    Down(Option<u64>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// The reader's side is over.
    Over,
    /// So many bytes have passed.
    Cut,
}

/// Carries bytes one way, at most so many. It is cut behind the last of them, or, if they are on
/// their way down, only when more come, which are lost.
fn carry(mut from: &Socket, mut to: &Socket, way: Way, count: impl Fn(u64)) -> Ended {
    let mut buffer = vec![0; 64 << 10];
    let (most, until_more) = match way {
        Way::Up(most) => (most, false),
        Way::Down(most) => (most, true),
    };
    let mut left = most.unwrap_or(u64::MAX);
    loop {
        if left == 0 && !until_more {
            return Ended::Cut;
        }
        let room = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .clamp(1, buffer.len());
        let got = match from.read(&mut buffer[..room]) {
            Ok(0) => return Ended::Over,
            Ok(got) => got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return Ended::Over,
        };
        if left == 0 {
            return Ended::Cut;
        }
        count(got as u64);
        if to.write_all(&buffer[..got]).is_err() {
            return Ended::Over;
        }
        left -= got as u64;
    }
}
