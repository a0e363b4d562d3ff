//! `serve --on-stored`: a program that is run for each stored file, after its OK is certain.
//!
//! It runs beside the server and never in its way: what the loop does for it is to send one message.
//! A file that is found to be there already, since its sender has asked again, is not stored, so no
//! hook is run for it.

pub(super) mod broker;
mod facts;
mod process;
mod queue;
mod submitter;

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use clap::Args;
use piecemeal::observe::LineSender;
use piecemeal::proto::text::escaped;
use piecemeal::server::{Ended, Event};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::units::{Limit, duration};
use broker::Broker;
use facts::Facts;
use queue::{Dispatcher, Plan};
use submitter::Submitter;

/// How often the end looks whether hooks have ended, or a signal has come.
const LOOK: Duration = Duration::from_millis(50);
/// At the end hooks have at least so long, however long the uploads took.
const LAST_CHANCE: Duration = Duration::from_secs(1);

/// How long a hook is waited for that was killed: one that hangs in the system can't end.
const UNKILLABLE: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(super) struct HookArguments {
    /// Run PROGRAM for each stored file, without a shell. It is told the facts in variables
    /// (PIECEMEAL_STORED_NAME, _PATH, _SIZE, _BLAKE3, _DURABLE, _PEER, _TIME) and as a JSON object on
    /// its standard input. For files of one connection it is run in their order
    #[arg(long, env = "PIECEMEAL_ON_STORED", value_name = "PROGRAM")]
    on_stored: Option<PathBuf>,

    /// An argument for that program; may be repeated
    #[arg(
        long,
        env = "PIECEMEAL_ON_STORED_ARG",
        value_name = "ARGUMENT",
        requires = "on_stored",
        allow_hyphen_values = true
    )]
    on_stored_arg: Vec<String>,

    /// How many of them may run at once
    #[arg(long, env = "PIECEMEAL_HOOK_JOBS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024), default_value = "4")]
    hook_jobs: u16,

    /// How long one may run before it is killed, and all that it has started; 0 is no limit
    #[arg(long, env = "PIECEMEAL_HOOK_TIMEOUT", value_name = "TIME", value_parser = duration, default_value = "60s")]
    hook_timeout: Limit<Duration>,
}

impl HookArguments {
    /// Starts the process that runs them, if there are any. `dir` is there already.
    ///
    /// # Errors
    /// Where there is no such program, so that a slip shows at the start.
    pub(super) fn prepare(&self, dir: &Path) -> io::Result<Prepared> {
        let Some(program) = &self.on_stored else {
            return Ok(Prepared(None));
        };
        let plan = Plan {
            program: find(program)?,
            arguments: self.on_stored_arg.clone(),
            dir: dir.canonicalize()?,
            jobs: self.hook_jobs.into(),
            timeout: self.hook_timeout.0,
        };
        let broker = Broker::start(&plan).map_err(|error| {
            io::Error::other(format!("can't start the process for hooks: {error}"))
        })?;
        Ok(Prepared(Some((plan, broker))))
    }
}

/// Hooks whose process is there, and whose threads are not.
#[derive(Debug)]
pub(super) struct Prepared(Option<(Plan, Broker)>);

impl Prepared {
    /// What is run, if anything is: a program, and its arguments.
    pub(super) fn command(&self) -> Option<(&Path, &[String])> {
        let (plan, _) = self.0.as_ref()?;
        Some((&plan.program, &plan.arguments))
    }

    /// # Errors
    /// Where there are no threads to be had.
    pub(super) fn start(self) -> io::Result<Hooks> {
        let dispatcher = self.0.map(|(plan, broker)| Dispatcher::start(plan, broker));
        Ok(Hooks {
            dispatcher: dispatcher.transpose()?,
            stopping: Arc::default(),
        })
    }
}

/// The hooks of a server, if it has any.
#[derive(Debug)]
pub(super) struct Hooks {
    dispatcher: Option<Dispatcher>,
    stopping: Arc<OnceLock<Instant>>,
}

/// Hears of what was stored.
#[derive(Clone, Debug)]
pub(super) struct Listener {
    submitter: Option<Submitter>,
    /// When the server was told to stop.
    stopping: Arc<OnceLock<Instant>>,
}

impl Listener {
    pub(super) fn hear(&self, event: &Event<'_>) {
        let Some(hooks) = &self.submitter else {
            return;
        };
        match event {
            Event::Stored {
                peer,
                receipt,
                connection,
            } => hooks.submit(*connection, Facts::of(receipt, peer)),
            Event::Stopping { .. } => {
                self.stopping.get_or_init(Instant::now);
            }
            _ => {}
        }
    }
}

impl Hooks {
    pub(super) fn listener(&self) -> Listener {
        Listener {
            submitter: self.dispatcher.as_ref().map(Dispatcher::submitter),
            stopping: Arc::clone(&self.stopping),
        }
    }

    /// Lets those that wait or run come to their end, once the server has come to its own, for as
    /// long as that has taken less than `patience`; a signal ends them at once. Says how many were
    /// not run, and returns why it has ended.
    pub(super) fn finish(
        self,
        ended: Ended,
        patience: Option<Duration>,
        err: &LineSender,
    ) -> io::Result<Ended> {
        let Some(dispatcher) = self.dispatcher else {
            return Ok(ended);
        };
        let now = Instant::now();
        let mut until = match ended {
            Ended::Forced(_) => Some(now),
            Ended::Stopped => patience.and_then(|patience| {
                let until = self.stopping.get_or_init(|| now).checked_add(patience)?;
                Some(until.max(now + LAST_CHANCE))
            }),
        };
        // The server's own handlers are gone, and the signals would go unheard.
        let signalled = Arc::new(AtomicUsize::new(0));
        for signal in [SIGINT, SIGTERM] {
            let number = usize::try_from(signal).unwrap_or_default();
            signal_hook::flag::register_usize(signal, Arc::clone(&signalled), number)?;
        }
        dispatcher.finish(until);
        let mut ended = ended;
        let mut is_told = false;
        while !dispatcher.ends_within(LOOK) {
            if !is_told {
                err.line("waiting for hooks; a second signal ends at once");
                is_told = true;
            }
            let signal = signalled.swap(0, Ordering::Relaxed);
            if let (Ok(signal @ 1..), Ended::Stopped) = (i32::try_from(signal), ended) {
                ended = Ended::Forced(signal);
                until = Some(Instant::now());
                dispatcher.finish(until);
            }
            if until.is_some_and(|until| until.elapsed() > UNKILLABLE) {
                log::warn!("a hook was killed and doesn't end; it is left alone");
                return Ok(ended);
            }
        }
        match dispatcher.join() {
            0 => {}
            1 => log::warn!("1 hook was not run"),
            left => log::warn!("{left} hooks were not run"),
        }
        Ok(ended)
    }
}

/// The program of a path, or of a name as a shell would look for it.
fn find(program: &Path) -> io::Result<PathBuf> {
    let shown = || escaped(program.as_os_str().as_encoded_bytes()).to_string();
    let is_program = |path: &Path| {
        let facts = path.metadata();
        facts.is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
    };
    if program.components().count() > 1 {
        // The hook runs where the server runs, whatever becomes of that folder's name.
        let path = std::path::absolute(program)?;
        return match is_program(&path) {
            true => Ok(path),
            false => Err(no_program(&shown())),
        };
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let mut paths = std::env::split_paths(&folders).map(|folder| folder.join(program));
    paths
        .find(|path| is_program(path))
        .ok_or_else(|| no_program(&shown()))
}

fn no_program(shown: &str) -> io::Error {
    let hint = if shown.contains(' ') {
        "it takes one program, and --on-stored-arg its arguments"
    } else {
        "give a path like ./hook.sh, or a name that is in PATH"
    };
    io::Error::other(format!("--on-stored {shown}: no such program; {hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_by_path_and_by_name_and_a_command_line_is_none() {
        assert!(
            find(Path::new("sh"))
                .expect("every system has one")
                .is_absolute()
        );
        assert_eq!(
            find(Path::new("/bin/sh")).expect("by path"),
            Path::new("/bin/sh")
        );
        let words = find(Path::new("sh -c true")).expect_err("a command line");
        assert!(words.to_string().contains("--on-stored-arg"), "{words}");
        find(Path::new("/etc/passwd")).expect_err("no program");
        find(Path::new("/")).expect_err("a folder");
        find(Path::new("no-such-program")).expect_err("nowhere");
    }
}
