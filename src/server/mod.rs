//! The server as a library: it listens, takes files from very many clients at once, and says what
//! it stored.
//!
//! ```
//! use piecemeal::client::{self, Item};
//! use piecemeal::server::{Config, Server};
//! use piecemeal::store::MemoryStore;
//!
//! let store = MemoryStore::new();
//! let files = store.files();
//! let config = Config { bind: vec!["127.0.0.1:0".parse()?], ..Config::default() };
//! let server = Server::bind(config, store)?.start()?;
//!
//! let options = client::Options::to(server.addresses()[0].clone().into());
//! let path = std::env::temp_dir().join(format!("piecemeal-example-{}", std::process::id()));
//! std::fs::write(&path, "whole")?;
//! let item = Item { path: path.clone(), name: "example.txt".into() };
//! let report = client::send(&options, vec![item], &mut client::Quiet)?;
//! std::fs::remove_file(&path)?;
//!
//! assert_eq!(report.stored, 1);
//! assert_eq!(files.get("example.txt").as_deref(), Some(&b"whole"[..]));
//! let summary = server.stop()?;
//! assert_eq!(summary.counts.stored, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! To keep files in a folder, give it a [`FolderStore`](crate::store::FolderStore). To hear of
//! each file, see [`Server::on_event`]; to watch every step of every connection,
//! [`Server::on_trace`].

mod accepting;
mod changing;
mod config;
mod descriptors;
mod hub;
mod listening;
mod per_ip;
mod protocol;
mod stopping;
mod workers;

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use signal_hook::consts::SIGHUP;
use signal_hook_mio::v1_0::Signals;

use crate::net::{Address, Listener};
use crate::observe::trace::Record;
use crate::observe::{Counters, Snapshot, Tracer};
use crate::proto::{Code, Fault, Receipt};
use crate::reactor::Reactor;
pub use crate::session::Splicing;
use crate::store::Store;
pub use changing::Changer;
pub use config::Config;
pub use descriptors::{Connections, possible_connections, raise_descriptor_limit};
use hub::{Entry, Hub};
pub use listening::Listening;
pub use protocol::{Full, Piecemeal, Protocol};
pub use stopping::{Ended, Stopper};
pub use workers::Workers;

/// A server that listens, and takes connections once it is run.
pub struct Server<S: Store, P: Protocol = Piecemeal> {
    reactor: Reactor<Entry<P, S>>,
    hub: Hub<P, S>,
    addresses: Vec<Address>,
}

/// A server that runs on a thread of its own.
#[derive(Debug)]
pub struct Running {
    addresses: Vec<Address>,
    counters: Arc<Counters>,
    stopper: Stopper,
    thread: JoinHandle<io::Result<Summary>>,
}

/// Something that happened, told on the loop's thread: whoever hears it must not block.
#[derive(Debug)]
pub enum Event<'a> {
    /// A file was stored, as its client is about to be told.
    Stored {
        /// Who sent it.
        peer: &'a Address,
        /// What its client is told.
        receipt: &'a Receipt,
        /// Which connection it came over. No two that are open at once have the same number in one
        /// server; in two of them they may.
        connection: usize,
    },
    /// A text came, where strings are messages.
    Message {
        /// Who sent it.
        peer: &'a Address,
        /// The text as it came; escape it before it is shown.
        text: &'a str,
    },
    /// The protocol's machine has something to say about a peer. Its text is plain already.
    Remark {
        /// The peer.
        peer: &'a Address,
        /// What there is to say.
        text: &'a str,
    },
    /// It was told to stop, while this many connections have something under way.
    Stopping {
        /// How many.
        under_way: usize,
    },
    /// A peer is told of a fault, its own or ours. Only where
    /// [`Rules::tell_faults`](crate::proto::Rules::tell_faults) asks for it.
    Refused {
        /// Who.
        peer: &'a Address,
        /// What it is told.
        fault: &'a Fault,
    },
    /// An upload failed, and not by its client's fault.
    Failed {
        /// Who sent it.
        peer: &'a Address,
        /// The code that its client is told.
        code: Code,
        /// Why, for a person.
        why: &'a str,
    },
}

/// How a server's run went.
#[derive(Clone, Copy, Debug)]
pub struct Summary {
    /// Why it ended.
    pub ended: Ended,
    /// Connections that were cut off in the middle of something when it ended.
    pub cut_off: usize,
    /// What was counted.
    pub counts: Snapshot,
}

impl<S: Store> Server<S> {
    /// Listens at every address of the configuration.
    ///
    /// # Errors
    /// Where one can't be listened at; the error says which, why, and who has it. Where
    /// [`Config::signals`] is set, when the handlers can't be installed.
    pub fn bind(config: Config, store: S) -> io::Result<Server<S>> {
        let protocol = Piecemeal::new(config.rules);
        Server::bind_with(config, protocol, store)
    }
}

impl<S: Store, P: Protocol> Server<S, P> {
    /// The same for another protocol. Of the configuration's rules it uses only how long bytes
    /// may stay unacknowledged.
    ///
    /// # Errors
    /// Those of [`Server::bind`].
    pub fn bind_with(config: Config, protocol: P, store: S) -> io::Result<Server<S, P>> {
        let Listening { config, sockets } = Listening::bind(config, 1)?;
        Server::with_listeners(
            config,
            (protocol, store),
            sockets.into_iter().flatten().collect(),
            1,
        )
    }

    /// One of so many servers of the process, with sockets that listen.
    fn with_listeners(
        mut config: Config,
        (protocol, mut store): (P, S),
        listeners: Vec<Listener>,
        servers: usize,
    ) -> io::Result<Server<S, P>> {
        let mut reactor = Reactor::new()?;
        let share = |rate: u64| rate.div_ceil(servers as u64);
        config.limit_rate = config.limit_rate.map(share);
        let addresses = listeners
            .iter()
            .map(|listener| listener.address().clone())
            .collect();
        let waker = reactor.waker();
        let stopper = Stopper::new(waker.clone());
        store.set_wake(Box::new(move || waker.wake()));
        let connections = descriptors::share(config.max_connections, servers);
        let speaking = (protocol, store);
        let hub = Hub::new(
            &mut reactor,
            &config,
            listeners,
            speaking,
            stopper,
            connections,
        )?;
        Ok(Server {
            reactor,
            hub,
            addresses,
        })
    }

    /// Where it listens, with real ports, in the configuration's order.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// How many connections it takes, and what that follows from.
    pub fn connections(&self) -> Connections {
        self.hub.connections
    }

    /// Its counters; they go on counting while it runs.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.hub.counters)
    }

    /// Stops it from another thread.
    pub fn stopper(&self) -> Stopper {
        self.hub.stopper.clone()
    }

    /// Has `hear` called for each event.
    pub fn on_event(&mut self, hear: impl FnMut(Event<'_>) + Send + 'static) {
        self.hub.hear = Some(Box::new(hear));
    }

    /// Has `hear` called for each thing that happens on a connection, on the loop's thread: it
    /// must not block. Steps between states are told where the machines keep them
    /// ([`Rules::trace`](crate::proto::Rules::trace)).
    pub fn on_trace(&mut self, hear: impl FnMut(&Record) + Send + 'static) {
        self.hub.tracer = Some(Tracer::new(hear));
    }

    /// Has `hear` called for each SIGHUP, on the loop's thread: it must not block. Until there is
    /// somebody to call, the signal ends the process, as it always does.
    ///
    /// # Errors
    /// Where the signal's handler can't be installed.
    pub fn on_hangup(&mut self, hear: impl FnMut() + Send + 'static) -> io::Result<()> {
        if self.hub.hangups.is_empty() {
            let signals = Signals::new([SIGHUP])?;
            self.reactor.insert(signals, Entry::Signals)?;
        }
        self.hub.hangups.push(Box::new(hear));
        Ok(())
    }

    /// Gives it other rules, from another thread.
    pub fn changer(&self) -> Changer {
        Changer(vec![self.hub.slot.clone()])
    }

    /// Serves until it is stopped.
    ///
    /// # Errors
    /// Where the system's poll fails. What one connection does never ends the server.
    pub fn run(self) -> io::Result<Summary> {
        let Server {
            mut reactor, hub, ..
        } = self;
        hub.run(&mut reactor)
    }
}

impl<S, P> Server<S, P>
where
    S: Store + Send + 'static,
    S::Upload: Send,
    P: Protocol + Send + 'static,
    P::Machine: Send,
{
    /// Serves on a thread of its own.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub fn start(self) -> io::Result<Running> {
        Ok(Running {
            addresses: self.addresses.clone(),
            counters: self.counters(),
            stopper: self.stopper(),
            thread: thread::Builder::new()
                .name("server".into())
                .spawn(move || self.run())?,
        })
    }
}

impl<S: Store, P: Protocol> std::fmt::Debug for Server<S, P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

impl Running {
    /// Where it listens.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Its counters.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Lets it finish what is under way, and waits until it has ended.
    ///
    /// # Errors
    /// Where its run has failed.
    pub fn stop(self) -> io::Result<Summary> {
        self.stopper.stop();
        self.thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the server has panicked")))
    }
}
