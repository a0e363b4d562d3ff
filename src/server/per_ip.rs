//! How many connections each IP address has, where that is limited.
//!
//! An address is counted as long as it has a connection, and costs nothing when it has none. Of
//! IPv6 it is the network that counts, its first 64 bits: that is what one customer, or one
//! machine, is usually given, so that another address of it is always at hand. Unix sockets have no
//! address, and aren't counted.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::net::Address;

/// Connections by address. Servers that share their addresses share this, so that the limit is one
/// of all of them together. It is locked for a look at the map and no longer, when a connection
/// comes and when it goes.
#[derive(Clone, Debug)]
pub(super) struct PerIp {
    most: usize,
    connections: Arc<Mutex<HashMap<Place, usize>>>,
}

/// What is counted as one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
    V4([u8; 4]),
    /// The network's part of an address.
    V6([u8; 8]),
}

impl PerIp {
    /// At most so many connections each, at least one.
    pub(super) fn new(most: usize) -> PerIp {
        PerIp {
            most: most.max(1),
            connections: Arc::default(),
        }
    }

    /// Counts a connection, unless there are as many as there may be. Whoever is counted has to
    /// [`leave`](PerIp::leave).
    pub(super) fn enter(&self, peer: &Address) -> bool {
        let Some(place) = place_of(peer) else {
            return true;
        };
        let mut connections = self.connections();
        let count = connections.entry(place).or_default();
        let has_room = *count < self.most;
        *count += usize::from(has_room);
        has_room
    }

    /// A connection that was counted has ended.
    pub(super) fn leave(&self, peer: &Address) {
        let Some(place) = place_of(peer) else { return };
        let mut connections = self.connections();
        if let Some(count) = connections.get_mut(&place) {
            *count -= 1;
            if *count == 0 {
                connections.remove(&place);
            }
        }
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<Place, usize>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn place_of(peer: &Address) -> Option<Place> {
    let Address::Tcp(address) = peer else {
        return None;
    };
    // A socket that listens for both kinds sees IPv4 addresses in a form of IPv6.
    Some(match address.ip().to_canonical() {
        IpAddr::V4(ip) => Place::V4(ip.octets()),
        IpAddr::V6(ip) => {
            let [network @ .., _, _, _, _, _, _, _, _] = ip.octets();
            Place::V6(network)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> Address {
        address.parse().expect("an address")
    }

    #[test]
    fn an_address_has_so_many_places_and_gets_each_back() {
        let per_ip = PerIp::new(2);
        let (one, other) = (at("10.0.0.1:1000"), at("10.0.0.2:1000"));
        assert!(per_ip.enter(&one) && per_ip.enter(&at("10.0.0.1:1001")));
        assert!(!per_ip.enter(&one) && !per_ip.clone().enter(&one));
        assert!(per_ip.enter(&other));
        per_ip.leave(&one);
        assert!(per_ip.enter(&one) && !per_ip.enter(&one));
        for _ in 0..2 {
            per_ip.leave(&one);
        }
        per_ip.leave(&other);
        assert!(per_ip.connections().is_empty(), "nobody is remembered");
    }

    #[test]
    fn an_ipv4_address_is_the_same_in_either_form_and_of_ipv6_the_network_counts() {
        let per_ip = PerIp::new(1);
        assert!(per_ip.enter(&at("10.0.0.1:1")));
        assert!(!per_ip.enter(&at("[::ffff:10.0.0.1]:1")));
        assert!(per_ip.enter(&at("[2001:db8:0:1::1]:1")));
        assert!(!per_ip.enter(&at("[2001:db8:0:1:ffff::2]:1")));
        assert!(per_ip.enter(&at("[2001:db8:0:2::1]:1")));
        for _ in 0..3 {
            assert!(per_ip.enter(&at("unix:/tmp/socket")));
        }
    }
}
