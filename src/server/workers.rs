//! Several servers in one process, at the same addresses.
//!
//! One server is one thread with one loop, and that is the design. A machine with processors to
//! spare runs several of them: each has its own loop, slab and store, and they share nothing but
//! the listening address, which the system deals connections out from (`SO_REUSEPORT`), and the
//! counters. Sockets that were handed over are listened at by all of them, and whoever is first
//! takes a connection. A connection stays with the one that it was dealt to. So do the limits: each
//! takes its part of the connections and of the rate. Only how many connections an address has is
//! counted for all of them together, when one comes and when it goes.

use std::io;
use std::sync::Arc;

use super::{Changer, Config, Connections, Ended, Event, Listening, Piecemeal, Server, Summary};
use crate::store::Store;

/// Servers that share their addresses.
#[derive(Debug)]
pub struct Workers<S: Store> {
    /// The one that hears of signals.
    first: Server<S>,
    others: Vec<Server<S>>,
}

impl<S> Workers<S>
where
    S: Store + Send + 'static,
    S::Upload: Send,
{
    /// So many servers, at least one; `open` is called for the store of each.
    ///
    /// # Errors
    /// Those of [`Listening::bind`] and of [`Workers::of`].
    pub fn bind(
        config: Config,
        count: usize,
        open: impl FnMut() -> io::Result<S>,
    ) -> io::Result<Workers<S>> {
        Workers::of(Listening::bind(config, count)?, open)
    }

    /// Servers for sockets that listen already; `open` is called for the store of each.
    ///
    /// # Errors
    /// Those of `open`; and where [`Config::signals`](super::Config::signals) is set, when the
    /// handlers can't be installed.
    pub fn of(
        listening: Listening,
        mut open: impl FnMut() -> io::Result<S>,
    ) -> io::Result<Workers<S>> {
        let Listening { config, sockets } = listening;
        let (protocol, count) = (Piecemeal::new(config.rules), sockets.len());
        let mut servers = Vec::new();
        for (index, sockets) in sockets.into_iter().enumerate() {
            let config = Config {
                signals: config.signals && index == 0,
                ..config.clone()
            };
            let speaking = (protocol.clone(), open()?);
            servers.push(Server::with_listeners(config, speaking, sockets, count)?);
        }
        let mut others = servers.split_off(1);
        let mut first = servers.pop().expect("there is at least one");
        for other in &mut others {
            other.hub.counters = first.counters();
            other.hub.per_ip = first.hub.per_ip.clone();
            let following = (first.hub.followers).add(other.stopper(), &first.hub.stopper);
            other.hub.following = Some(following);
        }
        Ok(Workers { first, others })
    }

    /// The first of them; its addresses are everybody's.
    pub fn first(&mut self) -> &mut Server<S> {
        &mut self.first
    }

    /// How many connections they take together.
    pub fn connections(&self) -> Connections {
        let first = self.first.connections();
        let others = self.others.iter().map(|other| other.connections().most);
        Connections {
            most: first.most + others.sum::<usize>(),
            ..first
        }
    }

    /// Gives all of them other rules, from another thread.
    pub fn changer(&self) -> Changer {
        let all = [&self.first].into_iter().chain(&self.others);
        Changer(all.map(|server| server.hub.slot.clone()).collect())
    }

    /// Has `hear` called for each event, on the thread of whoever it happened to.
    pub fn on_event(&mut self, hear: impl Fn(&Event<'_>) + Send + Sync + 'static) {
        let hear = Arc::new(hear);
        for server in self.others.iter_mut().chain([&mut self.first]) {
            let hear = Arc::clone(&hear);
            server.on_event(move |event| hear(&event));
        }
    }

    /// Has `hear` called for each SIGHUP, on the first one's thread.
    ///
    /// # Errors
    /// Those of [`Server::on_hangup`].
    pub fn on_hangup(&mut self, hear: impl FnMut() + Send + 'static) -> io::Result<()> {
        self.first.on_hangup(hear)
    }

    /// Serves until the first is stopped; the others stop with it, and it ends when they have.
    ///
    /// # Errors
    /// Those of [`Server::run`], and where no thread can be started.
    pub fn run(self) -> io::Result<Summary> {
        let Workers { first, others } = self;
        let counters = first.counters();
        let others: Vec<_> = others
            .into_iter()
            .map(Server::start)
            .collect::<io::Result<_>>()?;
        let mut summary = first.run()?;
        if summary.ended == Ended::Stopped {
            for other in others {
                summary.cut_off += other.stop()?.cut_off;
            }
        }
        summary.counts = counters.snapshot();
        Ok(summary)
    }
}
