//! `serve --user` and `--sandbox`: what the server gives up before it serves.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use piecemeal::observe::LineSender;
use piecemeal::proto::name::RESERVED;
use piecemeal::proto::text::escaped;
use piecemeal::sandbox::{self, Access, Made, Place, User};
use rustix::fs::Access as May;

/// What the store and the server read of the system when they start: the kernel's start, what waits
/// for the disk, journals of file systems, and which descriptors are open. (`tests/tidy.rs` sees to it
/// that none is missing.)
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
    /// The program that is run for each file, and its arguments.
    pub(super) hook: Option<(&'a Path, &'a [String])>,
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
        // Links are followed before the sandbox may forbid it.
        let (places, words, mut gaps) = (needs.places(), needs.words(), needs.gaps());
        let report = sandbox::enter(&places);
        if !report.is_whole() {
            gaps.insert(0, report.to_string());
        }
        let gaps = gaps.join("; ");
        match self.sandbox {
            _ if gaps.is_empty() => Ok(Confined::Whole(words)),
            SandboxArgument::Require => Err(gaps),
            _ => Ok(Confined::Part(gaps + root())),
        }
    }
}

impl Needs<'_> {
    fn places(&self) -> Vec<Place> {
        let mut places = Vec::new();
        let mut add = |path: PathBuf, access| places.push(Place { path, access });
        add(self.dir.to_owned(), Access::Store);
        // By their folders, since another file may take the place of each.
        for folder in self.journal.map(folders_of).into_iter().flatten() {
            add(folder, Access::Append);
        }
        for folder in self.settings.map(folders_of).into_iter().flatten() {
            add(folder, Access::Read);
        }
        for folder in self.sockets.iter().filter_map(|path| folder_of(path)) {
            add(folder, Access::Remove);
        }
        for fact in FACTS {
            add(fact.into(), Access::Read);
        }
        places
    }

    /// What an intruder could rewrite, so that it would be run or obeyed outside of the sandbox, now
    /// or after the next start: a text for a person about each.
    fn gaps(&self) -> Vec<String> {
        let (program, arguments) = self.hook.unzip();
        // A shell's script is an argument. Other words are no files, and a folder isn't run.
        let scripts = arguments.unwrap_or_default().iter().map(Path::new);
        let scripts = scripts.filter(|path| path.is_file());
        let hooks = program
            .into_iter()
            .chain(scripts)
            .map(|path| ("hook", path));
        let files = hooks.chain(self.settings.map(|path| ("file of settings", path)));
        let writable = self.writable();
        let gaps = files.filter_map(|(what, path)| {
            let is_beneath = |folder: &Path| ways_to(path).any(|way| way.starts_with(folder));
            let (folder, hint) = writable.iter().find(|(folder, _)| is_beneath(folder))?;
            let (path, folder) = (shown(path), shown(folder));
            Some(format!(
                "the {what} {path} could be rewritten, since the server may write in {folder}: {hint}"
            ))
        });
        gaps.collect()
    }

    /// Where it can write, and what helps a file that is beneath.
    fn writable(&self) -> Vec<(PathBuf, &'static str)> {
        let stored = "keep it outside of the folder that files are stored into";
        let journal = "put the journal into a folder of its own";
        let journals = self.journal.map(folders_of).unwrap_or_default();
        let journals = journals.into_iter().map(|folder| (folder, journal));
        [(self.dir.to_owned(), stored)]
            .into_iter()
            .chain(journals)
            .filter_map(|(folder, hint)| Some((folder.canonicalize().ok()?, hint)))
            .collect()
    }

    /// What is in force, in one line.
    fn words(&self) -> String {
        let mut words = format!("sandbox: files are opened only in {}", shown(self.dir));
        for folder in self.journal.map(folders_of).into_iter().flatten() {
            words += &format!(", {} (journal)", shown(&folder));
        }
        for folder in self.settings.map(folders_of).into_iter().flatten() {
            words += &format!(", {} (settings, to be read)", shown(&folder));
        }
        words += "; no programs are run, and no connections made";
        words += root();
        if self.hook.is_some() {
            words += "; hooks are not bound by it";
        }
        words
    }
}

/// The folder that something is in, whatever the path is from.
fn folder_of(path: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(path).ok()?;
    absolute.parent().map(Path::to_owned)
}

/// The folder that a file is in and, where it is a link, that of the file that it leads to.
fn folders_of(path: &Path) -> Vec<PathBuf> {
    let real = path.canonicalize().ok();
    let paths = [Some(path), real.as_deref()].into_iter().flatten();
    let mut folders: Vec<_> = paths.filter_map(folder_of).collect();
    folders.dedup();
    folders
}

/// The folders that are walked on the way to a file, also by links.
fn ways_to(path: &Path) -> impl Iterator<Item = PathBuf> {
    let folders = folders_of(path).into_iter();
    let walked = folders.flat_map(|folder| {
        let above: Vec<_> = folder.ancestors().map(Path::to_owned).collect();
        above
    });
    walked.filter_map(|folder| folder.canonicalize().ok())
}

/// What there is to say of a server that stays root: what it has open leaves root more ways.
fn root() -> &'static str {
    match rustix::process::geteuid().is_root() {
        true => "; the server stays root (--user NAME changes that)",
        false => "",
    }
}

fn shown(path: &Path) -> String {
    escaped(path.as_os_str().as_encoded_bytes()).to_string()
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
                let (path, name) = (shown(made.path()), user.name());
                io::Error::new(
                    error.kind(),
                    format!("can't give {path} to user {name}: {error}"),
                )
            })?;
        }
    }
    user.drop_privileges()
}

/// Says where the user can't write, before clients are told so one by one.
pub(super) fn check_folder(user: &User, dir: &Path) -> io::Result<()> {
    let work = dir.join(RESERVED);
    for folder in [dir, work.as_path()] {
        let all = May::READ_OK | May::WRITE_OK | May::EXEC_OK;
        let Err(error) = rustix::fs::access(folder, all) else {
            continue;
        };
        if folder == work && error == rustix::io::Errno::NOENT {
            continue;
        }
        let (path, name) = (shown(folder), user.name());
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
                "user {name} can't write into the folder {path}: {whose}; chown -R gives it away"
            ),
        ));
    }
    Ok(())
}

/// Says so where a socket's file will be left behind.
pub(super) fn check_socket(path: &Path) {
    let may = May::WRITE_OK | May::EXEC_OK;
    let folder = folder_of(path);
    if folder.is_some_and(|folder| rustix::fs::access(folder, may).is_err()) {
        let path = shown(path);
        log::warn!(
            "the file of the socket {path} stays when the server ends: its folder is not the user's"
        );
    }
}
