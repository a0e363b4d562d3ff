//! How a server comes about: all that needs a right which it won't have later, in the one order in
//! which that works.
//!
//! ```text
//!   listeners bound               ports below 1024 and folders of root's may need root
//!   folder made, and given to the user
//!   --user                        from here on as that user: what it can't do shows now
//!   journal, trace file opened    the journal is opened anew by the same user later
//!   process for hooks started     it is to run programs, so it stays outside
//!   --sandbox                     files, programs, connections
//!   (threads; the store; serving)
//! ```
//!
//! No thread is started before the end of it: what a thread has given up, only those have that it
//! starts later.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use piecemeal::sandbox::Made;
use piecemeal::server::{Listening, raise_descriptor_limit};
use piecemeal::store::{Journal, make_folders};

use super::Arguments;
use super::confine::{self, Confined};
use crate::cli::reread::Origin;
use crate::cli::{Exit, hooks, tracing};

/// What a server is made of.
pub(super) struct Prepared {
    pub(super) listening: Listening,
    pub(super) journal: Option<Arc<Journal>>,
    pub(super) tracing: tracing::Opened,
    pub(super) hooks: hooks::Prepared,
    /// What was given up.
    pub(super) confined: Confined,
}

/// Why there is no server.
#[derive(Debug)]
pub(super) enum Failure {
    /// The system has refused something.
    System(io::Error),
    /// Not all of a sandbox that is required is to be had; what is missing.
    Sandbox(String),
}

impl Failure {
    pub(super) fn exit(&self) -> Exit {
        match self {
            Failure::System(_) => Exit::Other,
            Failure::Sandbox(_) => Exit::Sandbox,
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::System(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::System(error) if error.kind() == io::ErrorKind::AddrInUse => {
                write!(f, "{error}; stop it, or choose another --bind")
            }
            Failure::System(error) => error.fmt(f),
            Failure::Sandbox(why) => {
                write!(
                    f,
                    "--sandbox require: {why}; --sandbox auto does with what there is"
                )
            }
        }
    }
}

/// Gets all of it ready.
pub(super) fn prepare(arguments: &Arguments, origin: &Origin) -> Result<Prepared, Failure> {
    raise_descriptor_limit();
    // A file size limit of the system (ulimit -f) is to be an error of one upload, not a death.
    let ignored = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGXFSZ, ignored)?;
    let user = arguments.confine.user()?;
    let config = origin.extend(arguments.config());
    let listening = Listening::bind(config, arguments.workers.into())?;
    let made = make_folders(&arguments.dir)?;
    if let Some(user) = &user {
        let folders = made.iter().map(|path| Made::Folder(path));
        let sockets = listening.own_files();
        let sockets = sockets.map(|(path, inode)| Made::Socket(path, inode));
        confine::become_user(user, folders.chain(sockets))?;
        confine::check_folder(user, &arguments.dir)?;
        let sockets = listening.own_files();
        sockets.for_each(|(path, _)| confine::check_socket(path));
    }
    let as_user = |error: io::Error| match &user {
        Some(user) if error.kind() == io::ErrorKind::PermissionDenied => {
            io::Error::new(error.kind(), format!("{error}, as user {}", user.name()))
        }
        _ => error,
    };
    let journal = arguments.journal.open(&arguments.dir).map_err(as_user)?;
    let tracing = arguments.tracing.open().map_err(as_user)?;
    let hooks = arguments.hooks.prepare(&arguments.dir).map_err(as_user)?;
    let needs = confine::Needs {
        dir: &arguments.dir,
        journal: arguments.journal.path(),
        settings: origin.file(),
        sockets: listening.own_files().map(|(path, _)| path).collect(),
        hook: hooks.command(),
    };
    let confined = arguments.confine.enter(&needs).map_err(Failure::Sandbox)?;
    drop(needs);
    Ok(Prepared {
        listening,
        journal,
        tracing,
        hooks,
        confined,
    })
}
