//! SIGHUP: a server rereads its settings. What can change while it runs changes, for connections
//! that come from then on; of the rest it says that it needs a restart. A file that has a fault
//! changes nothing.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use piecemeal::observe::LineSender;
use piecemeal::proto::text::escaped;
use piecemeal::server::{Changer, Config, Workers};
use piecemeal::store::FolderStore;

use super::config::Settings;
use super::{Command, manager};

/// The settings of `serve` that can change while it runs: what its rules are made of, and how many
/// connections it takes.
const CHANGEABLE: &[&str] = &[
    "accept-eof",
    "allow-hidden",
    "flat",
    "header-timeout",
    "idle-timeout",
    "max-connections",
    "max-size",
    "min-rate",
    "on-conflict",
    "stall-timeout",
    "strings",
];

/// What a server has of whoever started it.
#[derive(Debug)]
pub(super) struct Origin {
    settings: Settings,
    /// Sockets that were handed over for it to listen at.
    sockets: Arc<[OwnedFd]>,
}

impl Origin {
    /// To be called before there are other threads, since it takes variables away, and before the
    /// server gives up any right.
    ///
    /// # Errors
    /// Where something else than sockets was handed over.
    pub(super) fn new(settings: Settings) -> io::Result<Origin> {
        let sockets = manager::listening_sockets()?;
        manager::connect();
        Ok(Origin { settings, sockets })
    }

    /// The file that is reread, if there is one.
    pub(super) fn file(&self) -> Option<&Path> {
        self.settings.file.as_deref()
    }

    /// A configuration, with the sockets that were handed over.
    pub(super) fn extend(&self, config: Config) -> Config {
        let inherited = Arc::clone(&self.sockets);
        Config {
            inherited,
            ..config
        }
    }

    /// Listens for the signal from now on, and tells the manager that the server is ready. That is
    /// done before anybody else is told where it listens, who could send the signal at once.
    ///
    /// # Errors
    /// Where the signal's handler or a thread can't be had.
    pub(super) fn begin(
        self,
        workers: &mut Workers<FolderStore>,
        err: &LineSender,
    ) -> io::Result<()> {
        if !self.sockets.is_empty() {
            err.line("sockets were handed over, so --bind is not used");
        }
        let (hang_up, hangups) = channel();
        let rereading = Rereading {
            running: self.settings,
            changer: workers.changer(),
            err: err.clone(),
        };
        // Reading a file may take its time, which the loop hasn't got.
        thread::Builder::new()
            .name("reread".into())
            .spawn(move || rereading.run(&hangups))?;
        workers.first().on_hangup(move || {
            // It listens for as long as there is a server.
            let _ = hang_up.send(());
        })?;
        manager::ready();
        Ok(())
    }
}

struct Rereading {
    /// What the server runs with.
    running: Settings,
    changer: Changer,
    err: LineSender,
}

impl Rereading {
    fn run(mut self, hangups: &Receiver<()>) {
        while hangups.recv().is_ok() {
            // One reading answers all who asked before it began.
            while hangups.try_recv().is_ok() {}
            manager::reloading();
            for line in self.reread() {
                self.err.line(line);
            }
            manager::ready();
        }
    }

    /// Returns what there is to say of it.
    fn reread(&mut self) -> Vec<String> {
        let Some(file) = &self.running.file else {
            return vec!["SIGHUP: there is nothing to reread without --config FILE".to_owned()];
        };
        let file = escaped(file.as_os_str().as_encoded_bytes());
        let (arguments, settings) = match super::parse() {
            Ok((arguments, settings)) => (arguments, settings),
            Err(stop) => {
                let stop = stop.to_string();
                let why = stop.trim_end().replace('\n', " ");
                return vec![format!("SIGHUP: nothing has changed: {why}")];
            }
        };
        let Command::Serve(arguments) = arguments.command else {
            unreachable!("the words that the process was called with don't change");
        };
        let differing = self.running.differing(&settings).map(str::to_owned);
        let (now, later): (Vec<_>, Vec<_>) =
            differing.partition(|key| CHANGEABLE.contains(&key.as_str()));
        let mut lines = vec![if now.is_empty() {
            format!("reread {file}; nothing has changed for new connections")
        } else {
            format!(
                "reread {file}; changed for new connections: {}",
                now.join(", ")
            )
        }];
        if !later.is_empty() {
            lines.push(format!(
                "warning: what has changed in {} needs a restart",
                later.join(", ")
            ));
        }
        self.changer.change(&arguments.config());
        self.running.take(&settings, &now);
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_change_is_a_flag_of_the_server() {
        let commands = super::super::commands();
        let serve = commands.find_subcommand("serve").expect("it is a command");
        let longs: Vec<_> = serve
            .get_arguments()
            .filter_map(clap::Arg::get_long)
            .collect();
        for key in CHANGEABLE {
            assert!(longs.contains(key), "{key}");
        }
    }
}
