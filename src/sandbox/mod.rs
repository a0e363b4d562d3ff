//! What a process gives up once it has all that it needs: its user, files, and system calls.
//!
//! Nothing here knows what the process is for. Whoever calls says which places it goes on needing;
//! [`enter`] puts all others, and what no server needs of the system, out of reach, and then tries
//! whether they are. There is no way back, and threads and programs that are started afterwards
//! have no more than who has started them.
//!
//! ```text
//!   user.rs       root becomes somebody else
//!   files.rs      Landlock: opening, making and removing files elsewhere is refused
//!   calls.rs      seccomp: programs, connections, and what changes the system are refused;
//!                 refused.rs is the list
//!   self_test.rs  tries what is to be refused
//! ```
//!
//! **All of it is for the thread that calls, and those that it starts later.** Landlock can't
//! reach other threads before Linux 7.0, so both ways in refuse to work where there are any,
//! rather than leave some of them outside.
//!
//! Only Linux has these. Elsewhere `elsewhere.rs` says so.

#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod calls;
#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod files;
#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod refused;
#[cfg(target_os = "linux")]
mod self_test;
#[cfg(all(test, target_os = "linux"))]
mod tests;
#[cfg(target_os = "linux")]
mod user;

use std::fmt;
#[cfg(target_os = "linux")]
use std::io;
use std::path::{Path, PathBuf};

#[cfg(not(target_os = "linux"))]
pub use elsewhere::{User, enter};
#[cfg(target_os = "linux")]
pub use user::User;

/// What stays possible at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Files and folders are made, read, written, moved, linked and removed in this folder; symbolic
    /// links, pipes, sockets and devices are not.
    Store,
    /// Files are made in this folder, read and written, and none is moved or removed.
    Append,
    /// This file is read, or what is in this folder. Nothing has to be there.
    Read,
    /// Files are removed from this folder, where it can be reached.
    Remove,
}

/// A place that stays within reach, with all that is beneath it.
#[derive(Clone, Debug)]
pub struct Place {
    /// A file or folder.
    pub path: PathBuf,
    /// What for.
    pub access: Access,
}

/// What was made for a user, and is to be given to them.
#[derive(Clone, Copy, Debug)]
pub enum Made<'a> {
    /// A folder.
    Folder(&'a Path),
    /// The file of a Unix socket, with its inode's number.
    Socket(&'a Path, u64),
}

impl Made<'_> {
    /// Where it is.
    pub fn path(&self) -> &Path {
        match self {
            Made::Folder(path) | Made::Socket(path, _) => path,
        }
    }
}

/// How far something is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wall {
    /// As it is meant.
    Whole,
    /// Not all of it; what is missing, for a person.
    Part(String),
    /// Not at all; why, for a person.
    Missing(String),
}

/// What is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Files elsewhere are out of reach.
    pub files: Wall,
    /// System calls that a server doesn't need are refused.
    pub calls: Wall,
}

impl Report {
    /// Whether there is nothing to add.
    pub fn is_whole(&self) -> bool {
        self.files == Wall::Whole && self.calls == Wall::Whole
    }

    /// Nothing is in force, for one reason.
    fn missing(why: &str) -> Report {
        Report {
            files: Wall::Missing(why.to_owned()),
            calls: Wall::Missing(why.to_owned()),
        }
    }
}

/// What is missing, and why.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let walls = [
            (&self.files, "files elsewhere"),
            (&self.calls, "system calls"),
        ];
        let missing = walls.iter().filter_map(|(wall, what)| match wall {
            Wall::Whole => None,
            Wall::Part(why) => Some(format!("{what} are refused in part: {why}")),
            Wall::Missing(why) => Some(format!("{what} are not refused: {why}")),
        });
        f.write_str(&missing.collect::<Vec<_>>().join("; "))
    }
}

/// Gives up all but these places, and what no server needs of the system, for this thread and those
/// that it starts. Then tries whether that is so. Each part is in force as far as this kernel has
/// it, whatever became of the other.
#[cfg(target_os = "linux")]
pub fn enter(places: &[Place]) -> Report {
    if let Err(why) = check_alone() {
        return Report::missing(&format!("{why}; it would not reach other threads"));
    }
    // Without this, a program with another's rights could be started and get around it all.
    if let Err(error) = rustix::thread::set_no_new_privs(true) {
        return Report::missing(&format!("new privileges can't be given up: {error}"));
    }
    let self_test = self_test::SelfTest::prepare();
    let files = files::restrict(places);
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    let calls = calls::restrict();
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let calls = Wall::Missing("their numbers are known for x86-64 and ARM64".into());
    self_test.check(Report { files, calls })
}

/// An error where this is not the process's only thread, or nobody can tell.
#[cfg(target_os = "linux")]
fn check_alone() -> io::Result<()> {
    let tasks = std::fs::read_dir("/proc/self/task").map_err(|error| {
        let text = format!("/proc can't be read, so there may be other threads: {error}");
        io::Error::new(error.kind(), text)
    })?;
    match tasks.count() {
        1 => Ok(()),
        _ => Err(io::Error::other("threads run already")),
    }
}
