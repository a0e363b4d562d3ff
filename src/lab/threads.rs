//! A task's server with a thread a connection, as the course's sheet has it.
//!
//! The machine is the one that the reactor drives. Only what drives it differs: here a thread does
//! one thing after the other, and where the socket has nothing it sleeps, in the middle of its
//! loop, with all that it knows on its stack. That is easy to read and to write. Its price is a
//! stack and a place in the scheduler for each connection, idle ones included; docs/lab/task-2.md
//! has the figures. Compare [`session`](crate::session), where the same steps are taken by a
//! visitor that must never wait.

mod room;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use super::{LabMachine, Settings};
use crate::net::Address;
use crate::proto::{Action, Begun, Fault, Machine, Moment, Want};
use crate::session::Note;
use crate::store::growing::GrowingUpload;
use crate::store::{Done, Error, GrowingStore, Key, Opening, Store};
pub use room::{Room, THREADS_MOST};

/// Connections that may wait to be accepted, as for the reactor's listeners.
const BACKLOG: i32 = 4096;
/// Bytes of one read. They lie on the stack for as long as the thread waits, so each connection
/// pays for them. Four times as many would take an eighth off the processor time of a large file.
const READ: usize = 16 << 10;
/// How long accepting rests when the system has no descriptor or no thread left.
const REST: Duration = Duration::from_millis(100);
/// Every answer comes at once, so nothing has to be told apart.
const KEY: Key = Key {
    connection: 0,
    ticket: 0,
};

/// Hears what happens, on the connection's own thread.
pub type Hear = Arc<dyn Fn(&Address, Note) + Send + Sync>;

/// Listens at an address; port 0 is any free one.
///
/// # Errors
/// Where the address can't be listened at.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Serves for ever, each connection on a thread of its own. Those for whom there is no room wait
/// in the system's queue.
pub fn serve(
    listener: &TcpListener,
    settings: &Arc<Settings>,
    store: &GrowingStore,
    room: &Arc<Room>,
    hear: &Hear,
) {
    loop {
        let place = room.enter();
        let (stream, peer) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) => {
                log::warn!("accept: {error}");
                thread::sleep(REST);
                continue;
            }
        };
        let peer = Address::Tcp(peer);
        let connection = Connection {
            machine: LabMachine::new(Arc::clone(settings), Moment::START),
            idle: settings.idle,
            started: Instant::now(),
            stream,
            store: store.clone(),
            upload: None,
            peer: peer.clone(),
            hear: Arc::clone(hear),
        };
        let spawned = thread::Builder::new()
            .name("connection".into())
            .spawn(move || {
                // Last of all, when the descriptors are free too.
                let _place = place;
                let mut connection = connection;
                if let Err(error) = connection.converse() {
                    log::debug!("{}: connection lost: {error}", connection.peer);
                }
            });
        if let Err(error) = spawned {
            log::warn!("{peer}: no thread: {error}");
            thread::sleep(REST);
        }
    }
}

/// One connection, and all that its thread has.
struct Connection {
    machine: LabMachine,
    idle: Duration,
    started: Instant,
    stream: TcpStream,
    store: GrowingStore,
    upload: Option<GrowingUpload>,
    peer: Address,
    hear: Hear,
}

impl Connection {
    /// From the first byte to the last.
    fn converse(&mut self) -> io::Result<()> {
        // The reactor's machines have a deadline for this; a thread that writes looks at no clock.
        self.stream.set_write_timeout(Some(self.idle))?;
        let mut buffer = [0; READ];
        loop {
            self.act()?;
            if !self.machine.output().is_empty() {
                // May be less than all of it: the rest comes with the next turn.
                let sent = self.stream.write(self.machine.output())?;
                self.machine.handle_sent(sent, self.now());
                continue;
            }
            let most = match self.machine.want() {
                Want::Close => return Ok(()),
                Want::Wait => unreachable!("the store has answered, and the answers are out"),
                Want::Bytes => READ,
                Want::Body(left) | Want::Discard(left) => {
                    usize::try_from(left).map_or(READ, |left| left.min(READ))
                }
            };
            let left = self.machine.deadline().map(|until| until.since(self.now()));
            if left.is_some_and(|left| left.is_zero()) {
                self.machine.handle_deadline(self.now());
                continue;
            }
            self.stream.set_read_timeout(left)?;
            match self.stream.read(&mut buffer[..most]) {
                Ok(0) => self.machine.handle_end(self.now()),
                Ok(got) => self.feed(&buffer[..got])?,
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted
                    | io::ErrorKind::WouldBlock
                    | io::ErrorKind::TimedOut => {}
                    _ => return Err(error),
                },
            }
        }
    }

    /// Hands over what one read brought: it may be part of a message, or several.
    fn feed(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let now = self.now();
            let most =
                |left: u64| usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
            let took = match self.machine.want() {
                Want::Bytes => self.machine.handle_bytes(bytes, now),
                Want::Body(left) => {
                    let part = &bytes[..most(left)];
                    self.append(part);
                    self.machine.handle_moved(part.len() as u64, self.now());
                    part.len()
                }
                Want::Discard(left) => {
                    self.machine.handle_moved(most(left) as u64, now);
                    most(left)
                }
                Want::Wait | Want::Close => return Ok(()),
            };
            bytes = &bytes[took..];
            self.act()?;
        }
        Ok(())
    }

    /// Does what the machine asks for.
    fn act(&mut self) -> io::Result<()> {
        while let Some(action) = self.machine.poll_action() {
            match action {
                Action::Begin(order) => {
                    self.upload = None;
                    let begun = match self.store.begin(&order, KEY) {
                        Ok(Opening::Open(upload)) => {
                            self.upload = Some(upload);
                            Ok(Begun::Open)
                        }
                        Ok(_) => unreachable!("this store opens at once"),
                        Err(error) => Err(self.failed(&error)),
                    };
                    self.machine.handle_begun(begun, self.now());
                }
                Action::Reserve(_) => self.machine.handle_begun(Ok(Begun::Open), self.now()),
                Action::Write(bytes) => self.append(&bytes),
                Action::Commit(ticket, seal) => {
                    let upload = self.upload.take().expect("what is committed was begun");
                    self.store.commit(upload, seal, KEY);
                    let Some(Done::Stored(_, stored)) = self.store.poll_done() else {
                        unreachable!("this store commits at once")
                    };
                    if let Ok(receipt) = &stored {
                        (self.hear)(&self.peer, Note::Stored(receipt.clone()));
                    }
                    let stored = stored.map_err(|error| self.failed(&error));
                    self.machine.handle_stored(ticket, stored, self.now());
                }
                Action::Abort | Action::Discard => self.upload = None,
                Action::Show(text) => (self.hear)(&self.peer, Note::Message(text)),
                Action::Remark(text) => (self.hear)(&self.peer, Note::Remark(text)),
                Action::FinishSending => {
                    self.upload = None;
                    self.stream.shutdown(std::net::Shutdown::Write)?;
                }
            }
        }
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) {
        let upload = self.upload.as_mut().expect("a body comes after a begin");
        if let Err(error) = self.store.write(upload, bytes) {
            self.upload = None;
            let fault = self.failed(&error);
            self.machine.handle_write_failed(fault, self.now());
        }
    }

    /// Tells people of what is this side's fault, and gives what the peer is told.
    fn failed(&self, error: &Error) -> Fault {
        if error.is_ours() {
            let code = Fault::from(error).code();
            (self.hear)(&self.peer, Note::Failed(code, error.to_string()));
        }
        error.into()
    }

    fn now(&self) -> Moment {
        Moment::after_start(self.started.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::{Grammar, Task};
    use std::sync::mpsc::channel;

    /// A server with room for so many, and the names of what it stores, in order.
    fn start(
        room: usize,
    ) -> (
        SocketAddr,
        std::sync::mpsc::Receiver<String>,
        tempfile::TempDir,
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = GrowingStore::open(folder.path()).expect("it opens");
        let listener = listen(([127, 0, 0, 1], 0).into()).expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let (stored, heard) = channel();
        let hear: Hear = Arc::new(move |_, note| {
            if let Note::Stored(receipt) = note {
                let _ = stored.send(receipt.name);
            }
        });
        let settings = Arc::new(Settings::of(Task::Six));
        // It ends with the test's process.
        thread::spawn(move || serve(&listener, &settings, &store, &Room::new(room), &hear));
        (address, heard, folder)
    }

    fn connect(address: SocketAddr, name: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(address).expect("it listens");
        let name = Grammar::U2.name(name).expect("it is short");
        stream.write_all(&name).expect("it is sent");
        stream
    }

    fn expect_ok(stream: &mut TcpStream) {
        let mut answer = [0; 2];
        stream.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"OK");
    }

    #[test]
    fn who_finds_no_room_is_served_once_another_has_gone() {
        const FILE: &[u8] = &[2, 3, 0, 0, 0, b'a', b'b', b'c'];
        let (address, heard, _folder) = start(1);
        let mut first = connect(address, b"first");
        expect_ok(&mut first);
        let mut second = connect(address, b"second");
        second.write_all(FILE).expect("it is sent");
        first.write_all(FILE).expect("it is sent");
        assert_eq!(heard.recv().expect("a file"), "first");
        drop(first);
        expect_ok(&mut second);
        assert_eq!(heard.recv().expect("a file"), "second");
    }
}
