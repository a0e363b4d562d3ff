//! Which machine a connection gets.

use std::sync::Arc;

use crate::proto::limits::BUSY_RETRY_S;
use crate::proto::{Fault, Machine, Moment, Receiver, Rules};

/// What a server speaks. Another protocol is another of these, and nothing else here changes.
pub trait Protocol {
    /// One connection's machine.
    type Machine: Machine;

    /// The machine of a connection that was accepted.
    fn accepted(&self, now: Moment) -> Self::Machine;

    /// The machine of a connection that there is no room for: it says so, and ends.
    fn turned_away(&self, full: Full, now: Moment) -> Self::Machine;

    /// Connections that are accepted from now on get other rules. A protocol that has none has
    /// nothing to do.
    fn change_rules(&mut self, rules: Rules) {
        let _ = rules;
    }
}

/// What there are too many connections of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The whole server's.
    Server,
    /// Those from the peer's address.
    Address,
}

/// The protocol of docs/PROTOCOL.md.
#[derive(Clone, Debug)]
pub struct Piecemeal(Arc<Rules>);

impl Piecemeal {
    /// The protocol, with these rules for every connection.
    pub fn new(rules: Rules) -> Piecemeal {
        Piecemeal(Arc::new(rules))
    }
}

impl Protocol for Piecemeal {
    type Machine = Receiver;

    fn accepted(&self, now: Moment) -> Receiver {
        Receiver::new(Arc::clone(&self.0), now)
    }

    fn turned_away(&self, full: Full, now: Moment) -> Receiver {
        let retry = BUSY_RETRY_S;
        let fault = match full {
            Full::Server => Fault::Busy { retry },
            Full::Address => Fault::BusyAddress { retry },
        };
        Receiver::refusing(Arc::clone(&self.0), fault, now)
    }

    fn change_rules(&mut self, rules: Rules) {
        // Whether steps and faults are kept was settled when somebody began to listen, or nobody did.
        let Rules {
            trace, tell_faults, ..
        } = *self.0;
        self.0 = Arc::new(Rules {
            trace,
            tell_faults,
            ..rules
        });
    }
}
