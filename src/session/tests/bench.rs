//! What sessions are tried on: a store that answers when the test says so, and a socket pair.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use mio::net::UnixStream;

use crate::net::{Duplex, Stream, Throttle};
use crate::observe::{Counters, Tracer};
use crate::proto::{Machine, Moment, Order, Receiver, Rules, Seal};
use crate::reactor::{Readiness, Token, Visit};
use crate::session::{BUDGET, Note, Session, Splice, Splicing, Surroundings};
use crate::store::memory::{Files, MemoryUpload};
use crate::store::{Done, Error, Key, MemoryStore, Opening, Reserved, Store, Wake};

pub(super) const NOW: Moment = Moment::START;

/// A memory store whose commits end when the test says so, and which answers otherwise where the
/// test wants that.
#[derive(Debug, Default)]
pub(super) struct SlowStore {
    pub(super) inner: MemoryStore,
    pub(super) held: Vec<(MemoryUpload, Seal, Key)>,
    pub(super) full_after: Option<usize>,
    /// What it was asked to begin.
    pub(super) orders: Vec<Order>,
    /// What is said of the next uploads, in place of their being open.
    pub(super) openings: VecDeque<fn(MemoryUpload) -> Opening<MemoryUpload>>,
    /// What is said when the next room is asked for.
    pub(super) reserved: VecDeque<Result<Reserved, Error>>,
    /// How many bytes each of the next splices takes; behind them, none can be done.
    pub(super) splices: VecDeque<usize>,
    /// Uploads that were thrown away.
    pub(super) discarded: u32,
}

impl Store for SlowStore {
    type Upload = MemoryUpload;

    fn set_wake(&mut self, wake: Wake) {
        self.inner.set_wake(wake);
    }

    fn begin(&mut self, order: &Order, key: Key) -> Result<Opening<MemoryUpload>, Error> {
        self.orders.push(order.clone());
        match (self.inner.begin(order, key)?, self.openings.pop_front()) {
            (Opening::Open(upload) | Opening::Resumed(upload, _), Some(opening)) => {
                Ok(opening(upload))
            }
            (opening, _) => Ok(opening),
        }
    }

    fn reserve(
        &mut self,
        upload: &mut MemoryUpload,
        total: u64,
        key: Key,
    ) -> Result<Reserved, Error> {
        let reserved = self.inner.reserve(upload, total, key);
        self.reserved.pop_front().unwrap_or(reserved)
    }

    fn write(&mut self, upload: &mut MemoryUpload, bytes: &[u8]) -> Result<(), Error> {
        if let Some(left) = &mut self.full_after {
            *left = left
                .checked_sub(bytes.len())
                .ok_or(Error::Full(io::ErrorKind::StorageFull.into()))?;
        }
        self.inner.write(upload, bytes)
    }

    fn splice(
        &mut self,
        upload: &mut MemoryUpload,
        pipe: BorrowedFd<'_>,
        most: usize,
    ) -> Result<Option<usize>, Error> {
        let Some(piece) = self.splices.pop_front() else {
            return self.inner.splice(upload, pipe, most);
        };
        let mut bytes = vec![0; piece.min(most)];
        if self.full_after.is_none_or(|left| left >= bytes.len()) {
            rustix::io::read(pipe, &mut bytes[..]).expect("the bytes are there");
        }
        self.write(upload, &bytes)?;
        Ok(Some(bytes.len()))
    }

    fn commit(&mut self, upload: MemoryUpload, seal: Seal, key: Key) {
        self.held.push((upload, seal, key));
    }

    fn discard(&mut self, upload: MemoryUpload) {
        self.discarded += 1;
        self.inner.discard(upload);
    }

    fn taken(&self, upload: &MemoryUpload) -> Option<u64> {
        self.inner.taken(upload)
    }

    fn poll_done(&mut self) -> Option<Done> {
        self.inner.poll_done()
    }
}

/// A session at one end of a socket pair, and the test at the other.
pub(super) struct Bench<M = Receiver, T = Stream> {
    pub(super) session: Session<M, SlowStore, T>,
    pub(super) peer: UnixStream,
    pub(super) ready: Readiness,
    pub(super) store: SlowStore,
    pub(super) files: Files,
    pub(super) counters: Counters,
    pub(super) spare: usize,
    pub(super) notes: Vec<Note>,
    pub(super) tracer: Option<Tracer>,
    pub(super) scratch: Vec<u8>,
    pub(super) splice: Splice,
    pub(super) throttle: Option<Throttle<Token>>,
    pub(super) now: Moment,
}

const ALL: Readiness = Readiness {
    readable: true,
    writable: true,
    read_closed: false,
};

impl Bench {
    pub(super) fn new() -> Bench {
        Bench::with_rules(Rules::default())
    }

    pub(super) fn with_rules(rules: Rules) -> Bench {
        let machine = Receiver::new(Arc::new(rules), NOW);
        Bench::of(machine, Stream::Unix)
    }
}

impl<M: Machine, T: Duplex> Bench<M, T> {
    /// Any machine on any socket, which may be made of one end of a pair.
    pub(super) fn of(machine: M, stream: impl FnOnce(UnixStream) -> T) -> Bench<M, T> {
        let (ours, peer) = UnixStream::pair().expect("a pair");
        let address = "unix:test".parse().expect("an address");
        let store = SlowStore::default();
        Bench {
            session: Session::new(stream(ours), address, machine),
            peer,
            ready: ALL,
            files: store.inner.files(),
            store,
            counters: Counters::default(),
            spare: 0,
            notes: Vec::new(),
            tracer: None,
            scratch: vec![0; BUDGET],
            splice: Splice::new(Splicing::Auto),
            throttle: None,
            now: NOW,
        }
    }

    pub(super) fn with<R>(
        &mut self,
        work: impl FnOnce(
            &mut Session<M, SlowStore, T>,
            &mut Readiness,
            &mut Surroundings<'_, SlowStore>,
        ) -> R,
    ) -> R {
        let mut around = Surroundings {
            store: &mut self.store,
            scratch: &mut self.scratch,
            splice: &mut self.splice,
            counters: &self.counters,
            spare: &mut self.spare,
            notes: &mut self.notes,
            throttle: self.throttle.as_mut(),
            trace: self.tracer.as_mut().and_then(|tracer| tracer.of(1)),
            token: Token::from_raw(1),
            now: self.now,
        };
        work(&mut self.session, &mut self.ready, &mut around)
    }

    pub(super) fn visit(&mut self) -> Visit {
        self.with(|session, ready, around| session.visit(ready, around))
    }

    /// Visits as the reactor would, after an event.
    pub(super) fn event(&mut self) -> Visit {
        self.ready = ALL;
        self.visit()
    }

    /// The store has news, and the session is visited for it.
    pub(super) fn hear(&mut self, done: Done) -> Visit {
        self.with(|session, _, around| session.hear(done, around));
        self.visit()
    }

    /// The store ends every commit that it was asked for.
    pub(super) fn commit_all(&mut self) {
        for (upload, seal, key) in std::mem::take(&mut self.store.held) {
            self.store.inner.commit(upload, seal, key);
        }
        while let Some(done) = self.store.poll_done() {
            self.with(|session, _, around| session.hear(done, around));
        }
    }

    /// The codes and OKs that the peer can read now.
    pub(super) fn replies(&mut self) -> Vec<String> {
        let first = |text: &str| text.lines().next().unwrap_or_default().to_owned();
        self.texts().iter().map(|text| first(text)).collect()
    }

    /// The same with all that stands behind them.
    pub(super) fn texts(&mut self) -> Vec<String> {
        let mut bytes = vec![0; 1 << 16];
        let got = self.peer.read(&mut bytes).unwrap_or(0);
        let mut rest = &bytes[..got];
        let mut replies = Vec::new();
        while let [1, low, high, tail @ ..] = rest {
            let (text, after) = tail.split_at(usize::from(u16::from_le_bytes([*low, *high])));
            replies.push(String::from_utf8_lossy(text).into_owned());
            rest = after;
        }
        replies
    }
}
