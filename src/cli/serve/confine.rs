//! `serve --user` and `--sandbox`: what the server gives up before it serves.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use piecemeal::observe::LineSender;
use piecemeal::proto::text::escaped;
use piecemeal::sandbox::{self, Access, Made, Place, User};
use rustix::fs::Access as May;

/// What the store and the server read of the system when they start: the kernel's start, what waits
/// for the disk, journals of file systems, and which descriptors are open.
const FACTS: [&str; 4] = [
    "/proc/sys/kernel/random/boot_id",
    "/proc/meminfo",
    "/proc/fs/jbd2",
    "/proc/self/fd",
];

#[derive(Debug, Args)]
pub(super) struct ConfineArguments {
    /// Become this user once the addresses are listened at, for good. Only root can. A folder that
    /// was just made, and Unix sockets, are given to the user
    #[arg(long, env = "PIECEMEAL_USER", value_name = "NAME|UID[:GROUP]")]
    user: Option<String>,

    /// Give up what a server doesn't need before it serves: files elsewhere, running programs,
    /// connecting, and changing the system. Hooks are not bound by it
    #[arg(
        long,
        env = "PIECEMEAL_SANDBOX",
        value_name = "WHEN",
        default_value = "auto"
    )]
    sandbox: SandboxArgument,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SandboxArgument {
    /// As much of it as this system has; a warning says what is missing
    Auto,
    /// All of it, or the server doesn't start
    Require,
    /// None of it
    Off,
}

/// What the server goes on needing.
pub(super) struct Needs<'a> {
    pub(super) dir: &'a Path,
    pub(super) journal: Option<&'a Path>,
    /// The file of settings.
    pub(super) settings: Option<&'a Path>,
    /// Unix sockets, whose files go with it.
    pub(super) sockets: Vec<&'a Path>,
    pub(super) has_hooks: bool,
}

/// What was given up, for the start-up line.
#[derive(Debug)]
pub(super) enum Confined {
    Off,
    Whole(String),
    Part(String),
}

impl ConfineArguments {
    /// Whom to become.
    ///
    /// # Errors
    /// Where nobody is called so, or the process can't become that user.
    pub(super) fn user(&self) -> io::Result<Option<User>> {
        let user = self.user.as_deref().map(User::find).transpose()?;
        user.as_ref().map(User::check).transpose()?;
        Ok(user)
    }

    /// Enters the sandbox, if there is to be one.
    ///
    /// # Errors
    /// Where it is required: what of it is missing.
    pub(super) fn enter(&self, needs: &Needs<'_>) -> Result<Confined, String> {
        if self.sandbox == SandboxArgument::Off {
            return Ok(Confined::Off);
        }
        let report = sandbox::enter(&needs.places());
        match self.sandbox {
            _ if report.is_whole() => Ok(Confined::Whole(needs.words())),
            SandboxArgument::Require => Err(report.to_string()),
            _ => Ok(Confined::Part(report.to_string())),
        }
    }
}

impl Needs<'_> {
    fn places(&self) -> Vec<Place> {
        let mut places = Vec::new();
        let mut add = |path: PathBuf, access| places.push(Place { path, access });
        add(self.dir.to_owned(), Access::Store);
        // By their folders, since another file may take the place of each.
        if let Some(folder) = self.journal.and_then(super::start::folder_of) {
            add(folder, Access::Append);
        }
        for folder in self.settings_folders() {
            add(folder, Access::Read);
        }
        for folder in self
            .sockets
            .iter()
            .filter_map(|path| super::start::folder_of(path))
        {
            add(folder, Access::Remove);
        }
        for fact in FACTS {
            add(fact.into(), Access::Read);
        }
        places
    }

    /// Where the file of settings is, and where it leads to if it is a link.
    fn settings_folders(&self) -> Vec<PathBuf> {
        let given = self.settings.map(Path::to_owned);
        let real = given.as_ref().and_then(|path| path.canonicalize().ok());
        let paths = given.iter().chain(&real);
        let mut folders: Vec<_> = paths
            .filter_map(|path| super::start::folder_of(path))
            .collect();
        folders.dedup();
        folders
    }

    /// What is in force, in one line.
    fn words(&self) -> String {
        let shown = |path: &Path| escaped(path.as_os_str().as_encoded_bytes()).to_string();
        let mut words = format!("sandbox: files are opened only in {}", shown(self.dir));
        if let Some(folder) = self.journal.and_then(super::start::folder_of) {
            words += &format!(", {} (journal)", shown(&folder));
        }
        for folder in self.settings_folders() {
            words += &format!(", {} (settings, to be read)", shown(&folder));
        }
        words += "; no programs are run, and no connections made";
        if self.has_hooks {
            words += "; hooks are not bound by it";
        }
        words
    }
}

impl Confined {
    pub(super) fn tell(&self, quiet: bool, err: &LineSender) {
        match self {
            Confined::Part(missing) => {
                err.line(format!("warning: the sandbox has gaps: {missing}"));
            }
            _ if quiet => {}
            Confined::Whole(words) => err.line(words.clone()),
            Confined::Off => err.line("sandbox: off"),
        }
    }
}

/// Becomes a user, who is given what root has just made.
pub(super) fn become_user<'a>(user: &User, made: impl Iterator<Item = Made<'a>>) -> io::Result<()> {
    if !user.is_current() {
        for made in made {
            user.give(made).map_err(|error| {
                let shown = escaped(made.path().as_os_str().as_encoded_bytes());
                let name = user.name();
                io::Error::new(
                    error.kind(),
                    format!("can't give {shown} to user {name}: {error}"),
                )
            })?;
        }
    }
    user.drop_privileges()
}

/// Says where the user can't write, before clients are told so one by one.
pub(super) fn check_folder(user: &User, dir: &Path) -> io::Result<()> {
    let work = dir.join(".piecemeal");
    for folder in [dir, work.as_path()] {
        let all = May::READ_OK | May::WRITE_OK | May::EXEC_OK;
        let Err(error) = rustix::fs::access(folder, all) else {
            continue;
        };
        if folder == work && error == rustix::io::Errno::NOENT {
            continue;
        }
        let (shown, name) = (escaped(folder.as_os_str().as_encoded_bytes()), user.name());
        let whose = folder.metadata().map_or_else(
            |_| "a folder above it is closed to the user".to_owned(),
            |facts| {
                let (uid, gid, mode) = (facts.uid(), facts.gid(), facts.mode() & 0o7777);
                format!("it is {uid}:{gid}'s, with mode {mode:o}")
            },
        );
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!(
                "user {name} can't write into the folder {shown}: {whose}; chown -R gives it away"
            ),
        ));
    }
    Ok(())
}

/// Says so where a socket's file will be left behind.
pub(super) fn check_socket(path: &Path) {
    let may = May::WRITE_OK | May::EXEC_OK;
    let folder = super::start::folder_of(path);
    if folder.is_some_and(|folder| rustix::fs::access(folder, may).is_err()) {
        let shown = escaped(path.as_os_str().as_encoded_bytes());
        log::warn!(
            "the file of the socket {shown} stays when the server ends: its folder is not the user's"
        );
    }
}
