//! What a server can be told.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use crate::net::Address;
use crate::proto::Rules;
use crate::session::Splicing;

/// A server's configuration. The default is that of the command line, without signals.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen.
    pub bind: Vec<Address>,
    /// Sockets that listen already, from whoever started the process. Where there are any, they
    /// are listened at, and [`Config::bind`] is not.
    pub inherited: Arc<[OwnedFd]>,
    /// What it takes.
    pub rules: Rules,
    /// Most connections at once; a further one is told `busy`. With `None` the limit follows from
    /// the descriptors that the process may have, and further ones wait in the listening queue.
    pub max_connections: Option<usize>,
    /// Most connections at once from one IP address, or one /64 network of IPv6; a further one is
    /// told `busy`. Several servers that share their addresses count together.
    pub max_per_ip: Option<usize>,
    /// Most bytes a second that all connections together bring. Each of several servers that share
    /// their addresses has its part.
    pub limit_rate: Option<u64>,
    /// How long a stop waits for what is under way; `None` is until it is done.
    pub shutdown_timeout: Option<Duration>,
    /// Whether bodies go the fast way.
    pub splicing: Splicing,
    /// Whether SIGINT and SIGTERM stop it. A second one ends it at once.
    pub signals: bool,
}

impl Default for Config {
    fn default() -> Self {
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, crate::net::DEFAULT_PORT));
        Config {
            bind: vec![Address::Tcp(loopback)],
            inherited: Arc::default(),
            rules: Rules::default(),
            max_connections: None,
            max_per_ip: None,
            limit_rate: None,
            shutdown_timeout: Some(Duration::from_secs(10)),
            splicing: Splicing::default(),
            signals: false,
        }
    }
}
