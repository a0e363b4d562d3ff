//! Taking connections: so many in a visit, and none that there are no descriptors for.

use std::time::Duration;

use super::hub::{Entry, Hub};
use super::{Full, Protocol};
use crate::net::{Accepted, Address, Listener, Stream};
use crate::reactor::{Reactor, Readiness, Visit};
use crate::session::{CLAIM, Session};
use crate::store::Store;

/// Connections accepted in one visit of a listener, before it is another's turn.
const ACCEPTS: usize = 64;
/// How long accepting rests where there is no descriptor, unless one comes free before.
const ACCEPT_REST: Duration = Duration::from_millis(500);
/// Connections that may be told that there are too many, at once; further ones wait.
const REFUSED_MOST: usize = 256;
/// Whether a session was taken, or is being turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Taken,
    Refused,
}

impl Kind {
    /// Descriptors that are counted for it.
    pub(super) fn descriptors(self) -> usize {
        match self {
            Kind::Taken => CLAIM,
            Kind::Refused => 1,
        }
    }
}

impl<P: Protocol, S: Store> Hub<P, S> {
    /// Takes those who wait, as many as there is room for.
    pub(super) fn accept(
        &mut self,
        reactor: &mut Reactor<Entry<P, S>>,
        listener: &Listener,
        ready: &mut Readiness,
    ) -> Visit {
        for _ in 0..ACCEPTS {
            let Some(kind) = self.room() else {
                return self.rest(reactor);
            };
            match listener.accept() {
                Accepted::Connection(stream, peer) => self.take(reactor, stream, peer, kind),
                Accepted::Nobody => {
                    ready.readable = false;
                    return Visit::Wait(None);
                }
                Accepted::Gone(error) => log::debug!("{}: accept: {error}", listener.address()),
                Accepted::NoRoom(error) => {
                    log::warn!("{}: accept: {error}; others wait", listener.address());
                    return self.rest(reactor);
                }
            }
        }
        Visit::Again(None)
    }

    /// What the next connection would be, or `None` where it has to wait for another to end.
    pub(super) fn room(&self) -> Option<Kind> {
        let kind = if self.taken < self.connections.most {
            Kind::Taken
        } else if self.connections.as_asked && self.refused < REFUSED_MOST {
            Kind::Refused
        } else {
            return None;
        };
        let spare = self.spare.saturating_sub(self.store.unclaimed());
        (spare >= kind.descriptors()).then_some(kind)
    }

    /// Stops accepting for a while. The listener's bit stays, so no event is needed to go on.
    fn rest(&mut self, reactor: &Reactor<Entry<P, S>>) -> Visit {
        self.accepting_rests = true;
        Visit::Wait(Some(reactor.now() + ACCEPT_REST))
    }

    /// Lets the listeners go on, if they rest.
    pub(super) fn accept_again(&mut self, reactor: &mut Reactor<Entry<P, S>>) {
        if std::mem::take(&mut self.accepting_rests) {
            for listener in &self.listeners {
                reactor.queue(*listener);
            }
        }
    }

    /// What a connection is to be when its address is looked at, and what there are too many of
    /// if it is refused. With `None` there are too many even of those who are told so.
    fn admit(&self, peer: &Address, kind: Kind) -> Option<(Kind, Full)> {
        match (&self.per_ip, kind) {
            (Some(per_ip), Kind::Taken) if !per_ip.enter(peer) => {
                (self.refused < REFUSED_MOST).then_some((Kind::Refused, Full::Address))
            }
            _ => Some((kind, Full::Server)),
        }
    }

    fn take(
        &mut self,
        reactor: &mut Reactor<Entry<P, S>>,
        stream: Stream,
        peer: Address,
        kind: Kind,
    ) {
        let now = reactor.now();
        log::debug!("{peer}: connected");
        let Some((kind, full)) = self.admit(&peer, kind) else {
            self.counters.turned_away.add(1);
            return log::debug!("{peer}: closed unheard, as too many are being turned away");
        };
        let machine = match kind {
            Kind::Taken => self.protocol.accepted(now),
            Kind::Refused => self.protocol.turned_away(full, now),
        };
        let shown = self.tracer.is_some().then(|| peer.clone());
        let counted = (self.per_ip.is_some() && kind == Kind::Taken).then(|| peer.clone());
        let wrap = |stream| Entry::Session(Session::new(stream, peer, machine), kind);
        let token = match reactor.insert(stream, wrap) {
            Ok(token) => token,
            Err(error) => {
                if let (Some(per_ip), Some(address)) = (&self.per_ip, counted) {
                    per_ip.leave(&address);
                }
                return log::warn!("can't register a connection: {error}");
            }
        };
        if let (Some(tracer), Some(peer)) = (&mut self.tracer, shown) {
            tracer.connected(token.to_raw(), &peer, now);
        }
        self.spare -= kind.descriptors();
        match kind {
            Kind::Taken => {
                self.taken += 1;
                self.counters.accepted.add(1);
            }
            Kind::Refused => {
                self.refused += 1;
                self.counters.turned_away.add(1);
            }
        }
    }
}
