//! A server that does whatever a test wants, to see what the program does about it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use super::GUARD;

/// A listening socket whose first connection is a test's to play with.
#[derive(Debug)]
pub(crate) struct Fake {
    pub(crate) address: String,
    told: Receiver<()>,
}

impl Fake {
    /// Plays a script to each connection; the end of the script closes it.
    pub(crate) fn playing(mut script: impl FnMut(&mut Peer) + Send + 'static) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let (tell, told) = channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.expect("a connection");
                stream.set_read_timeout(Some(GUARD)).expect("a socket");
                script(&mut Peer {
                    stream,
                    tell: tell.clone(),
                });
            }
        });
        Fake { address, told }
    }

    /// Waits until the script has got to [`Peer::tell_the_test`].
    pub(crate) fn wait_for_the_peer(&self) {
        self.told.recv_timeout(GUARD).expect("the script tells");
    }

    /// Answers the first byte that comes with these, ends its stream, and listens until the client
    /// has gone.
    pub(crate) fn answering(bytes: impl Into<Vec<u8>>) -> Fake {
        let bytes = bytes.into();
        Fake::playing(move |peer| {
            peer.take(1);
            peer.give(&bytes);
            peer.finish();
            peer.listen_to_the_end();
        })
    }
}

/// The client, as a fake server sees it.
#[derive(Debug)]
pub(crate) struct Peer {
    stream: TcpStream,
    tell: Sender<()>,
}

impl Peer {
    /// Reads so many bytes.
    pub(crate) fn take(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stream
            .read_exact(&mut bytes)
            .expect("the client sends");
        bytes
    }

    /// The same, from a client that may have gone.
    pub(crate) fn try_take(&mut self, count: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).ok()?;
        Some(bytes)
    }

    /// What one read brings.
    pub(crate) fn take_a_read(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; 1 << 20];
        let got = self.stream.read(&mut bytes).expect("the client sends");
        bytes.truncate(got);
        bytes
    }

    /// Reads until the stream is over, and says whether that was a reset.
    pub(crate) fn ends_in_a_reset(&mut self) -> bool {
        let ended = self.stream.read_to_end(&mut Vec::new());
        ended.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset)
    }

    /// Closes with a reset, whatever is still unread.
    pub(crate) fn reset(&self) {
        let socket = socket2::SockRef::from(&self.stream);
        let at_once = Some(std::time::Duration::ZERO);
        socket.set_linger(at_once).expect("a socket");
    }

    /// Reads whatever comes until the client ends its stream, or is gone.
    pub(crate) fn take_to_the_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = self.stream.read_to_end(&mut bytes);
        bytes
    }

    pub(crate) fn give(&mut self, bytes: impl AsRef<[u8]>) {
        // A client that has gone is what some tests want.
        let _ = self.stream.write_all(bytes.as_ref());
    }

    pub(crate) fn finish(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    pub(crate) fn tell_the_test(&self) {
        // Nobody waits any more when the test is over.
        let _ = self.tell.send(());
    }

    /// Reads nothing more, and keeps the connection open until the test's process ends.
    pub(crate) fn stand_still(&self) {
        std::mem::forget(self.stream.try_clone().expect("a descriptor"));
    }

    /// Reads until the client ends its stream, or is gone.
    pub(crate) fn listen_to_the_end(&mut self) {
        let _ = std::io::copy(&mut self.stream, &mut std::io::sink());
    }
}
