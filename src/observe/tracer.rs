//! Who hands on what is told of connections, and gives them their numbers.

use std::collections::HashMap;
use std::fmt;

use super::trace::{Record, What};
use crate::proto::Moment;

type Hear = Box<dyn FnMut(&Record) + Send>;

/// Numbers connections, and hands on what is told of them. The owner knows each by a key, which
/// another may have once it is closed. Only a server that is watched has one, so that the others'
/// connections don't carry a number.
pub struct Tracer {
    hear: Hear,
    numbers: HashMap<usize, u64>,
    last: u64,
}

impl Tracer {
    /// Has `hear` called for each record.
    pub fn new(hear: impl FnMut(&Record) + Send + 'static) -> Tracer {
        Tracer {
            hear: Box::new(hear),
            numbers: HashMap::new(),
            last: 0,
        }
    }

    /// A connection was accepted.
    pub fn connected(&mut self, key: usize, peer: &impl fmt::Display, now: Moment) {
        self.last += 1;
        self.numbers.insert(key, self.last);
        if let Some(mut watch) = self.of(key) {
            let peer = peer.to_string().into();
            watch.tell(now, What::Connected { peer });
        }
    }

    /// What there is to tell of a connection goes here. `None` for one that nobody told of.
    pub fn of(&mut self, key: usize) -> Option<Watch<'_>> {
        Some(Watch {
            connection: *self.numbers.get(&key)?,
            hear: &mut self.hear,
        })
    }

    /// A connection is gone.
    pub fn closed(&mut self, key: usize, now: Moment) {
        if let Some(mut watch) = self.of(key) {
            watch.tell(now, What::Closed);
        }
        self.numbers.remove(&key);
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracer")
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}

/// Tells of one connection.
pub struct Watch<'a> {
    connection: u64,
    hear: &'a mut Hear,
}

impl Watch<'_> {
    /// Hands on that something happened.
    pub fn tell(&mut self, now: Moment, what: What) {
        let since = now.since(Moment::START).as_micros();
        (self.hear)(&Record {
            at_us: u64::try_from(since).unwrap_or(u64::MAX),
            connection: self.connection,
            what,
        });
    }
}

impl fmt::Debug for Watch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("connection", &self.connection)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn a_number_is_never_used_again_though_its_key_is() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&heard);
        let mut tracer = Tracer::new(move |record| {
            hears.lock().expect("one thread").push(record.connection);
        });
        tracer.connected(7, &"a", Moment::START);
        tracer.closed(7, Moment::START);
        assert!(tracer.of(7).is_none(), "nothing is told of what is gone");
        tracer.connected(7, &"b", Moment::START);
        assert_eq!(*heard.lock().expect("one thread"), [1, 1, 2]);
    }
}
