//! Listening, before there is a server: so that a program can give up the right to, and start a
//! server with what it has.

use std::io;
use std::path::Path;

use super::Config;
use crate::net::{Address, Listener, Sharing, Tuning};

/// The sockets of one or several servers that are still to be started. Clients wait in their
/// queues.
#[derive(Debug)]
pub struct Listening {
    pub(super) config: Config,
    /// Those of each server, at least one's.
    pub(super) sockets: Vec<Vec<Listener>>,
}

impl Listening {
    /// Listens at every address of the configuration, for so many servers.
    ///
    /// # Errors
    /// Where one can't be listened at; the error says which, why, and who has it. Where there are
    /// several servers, a Unix socket, which can't be shared so.
    pub fn bind(config: Config, servers: usize) -> io::Result<Listening> {
        let servers = servers.max(1);
        let unix = |address: &&Address| matches!(address, Address::Unix(_));
        if let Some(address) =
            (config.bind.iter().find(unix)).filter(|_| servers > 1 && config.inherited.is_empty())
        {
            return Err(io::Error::other(format!(
                "{address} can't be shared by several workers: they need TCP addresses"
            )));
        }
        let mut sockets = Vec::new();
        let mut bind = config.bind.clone();
        for index in 0..servers {
            let sharing = match (servers, index) {
                (1, _) => Sharing::Alone,
                (_, 0) => Sharing::First,
                _ => Sharing::Further,
            };
            let own = listen(&config, &bind, sharing)?;
            // With their real ports.
            bind = own.iter().map(|socket| socket.address().clone()).collect();
            sockets.push(own);
        }
        Ok(Listening { config, sockets })
    }

    /// The Unix sockets that were made for this, and are removed with it, by their inodes' numbers.
    pub fn own_files(&self) -> impl Iterator<Item = (&Path, u64)> {
        self.sockets.iter().flatten().filter_map(Listener::own_file)
    }
}

fn listen(config: &Config, bind: &[Address], sharing: Sharing) -> io::Result<Vec<Listener>> {
    let tuning = Tuning {
        unacknowledged: config.rules.deadlines.stall,
        brief: false,
    };
    if config.inherited.is_empty() {
        let bound = bind
            .iter()
            .map(|address| Listener::bind_shared(address, tuning, sharing));
        return bound.collect();
    }
    let adopted = (1..).zip(&*config.inherited).map(|(number, socket)| {
        let adopted = socket.try_clone();
        let adopted = adopted.and_then(|socket| Listener::adopt(socket, tuning));
        adopted.map_err(|error| {
            let text = format!("can't listen on socket {number} of those handed over: {error}");
            io::Error::new(error.kind(), text)
        })
    });
    adopted.collect()
}
