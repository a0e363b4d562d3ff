//! Somebody who may write in the server's folder, and puts there whatever could lead the server
//! astray, just where it is at work.
//!
//! Nothing is ever removed: what stood in the way is exchanged for a weapon, and then lies in the
//! attic. So in the end every file that was stored has to be somewhere, under its name.

use std::collections::HashMap;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::SmallRng;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;

use crate::uploads::{Case, name_of};

/// How far ahead of the client names are aimed at.
const AHEAD: u64 = 24;
/// Most weapons for each upload.
const MOST_EACH: u64 = 3;
/// How often who has to wait looks whether that is over.
pub(crate) const LOOK: Duration = Duration::from_micros(200);

/// What attackers of one server share.
#[derive(Debug)]
pub(crate) struct Battlefield {
    pub(crate) case: Case,
    /// The server's folder.
    pub(crate) folder: PathBuf,
    pub(crate) attic: PathBuf,
    /// What is outside, as links are to lead there.
    pub(crate) outside: PathBuf,
    /// The number of the upload that the client is at.
    pub(crate) at: AtomicU64,
    pub(crate) is_over: AtomicBool,
    /// Held while a folder is not where it belongs: two at that would put weapons back, and not it.
    pub(crate) folders: Mutex<()>,
    /// So many weapons were to be made: their names are numbers.
    pub(crate) weapons: AtomicU64,
    /// So many came to stand under a name that was free, and in the place of something.
    pub(crate) placed: AtomicU64,
    pub(crate) exchanged: AtomicU64,
}

/// What each thing in the attic was called where it was taken from.
pub(crate) type Taken = HashMap<String, String>;

struct Attacker<'a> {
    field: &'a Battlefield,
    folder: OwnedFd,
    attic: OwnedFd,
    random: SmallRng,
    taken: Taken,
}

/// What a weapon came to a name for.
enum Came {
    ForSomething,
    ForNothing,
}

/// Whether the file system of temporary folders exchanges files. Where it doesn't, there is no attack on
/// what is there.
pub(crate) fn can_exchange() -> bool {
    let home = tempfile::tempdir().expect("a temporary folder");
    let [one, other] = ["one", "other"].map(|name| home.path().join(name));
    for path in [&one, &other] {
        fs::write(path, "bytes").expect("written");
    }
    rustix::fs::renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE).is_ok()
}

impl Battlefield {
    /// Attacks until it is over.
    pub(crate) fn attack(&self, random: SmallRng) -> Taken {
        let open = |path: &Path| {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            rustix::fs::open(path, flags, Mode::empty()).expect("a folder")
        };
        let mut attacker = Attacker {
            field: self,
            folder: open(&self.folder),
            attic: open(&self.attic),
            random,
            taken: HashMap::new(),
        };
        while !self.is_over.load(Ordering::Relaxed) {
            // Where syncs take long, there would be a weapon under every name before its upload.
            let most = MOST_EACH * (self.at.load(Ordering::Relaxed) + AHEAD);
            if self.weapons.load(Ordering::Relaxed) < most {
                attacker.strike();
                thread::yield_now();
            } else {
                thread::sleep(LOOK);
            }
        }
        attacker.taken
    }
}

impl Attacker<'_> {
    fn strike(&mut self) {
        let at = self.field.at.load(Ordering::Relaxed) + self.random.random_range(0..AHEAD);
        let name = name_of(self.field.case, at);
        let (way, file) = name.rsplit_once('/').unwrap_or((".", &name));
        match self.random.random_range(0..10) {
            0 => self.swap_folder(".", ".piecemeal"),
            1..=4 => self.swap_work_file(),
            5 | 6 if way != "." => {
                // One of the folders on the way, the upper or the lower.
                let (above, below) = way.rsplit_once('/').expect("there are two");
                match self.random.random_range(0..2) {
                    0 => self.swap_folder(".", above),
                    _ => self.swap_folder(above, below),
                }
            }
            _ => match self.random.random_range(0..2) {
                0 => self.swap_for_a_moment(way, file),
                _ => drop(self.swap(way, file)),
            },
        }
    }

    /// One of the server's own files, whichever is there.
    fn swap_work_file(&mut self) {
        let Ok(work) = self.open(".piecemeal") else {
            return;
        };
        let Ok(entries) = Dir::read_from(&work) else {
            return;
        };
        let names = entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned());
        let names: Vec<_> = names.filter(|name| !name.starts_with('.')).collect();
        if !names.is_empty() {
            let name = &names[self.random.random_range(0..names.len())];
            let _ = self.swap_in(&work, name);
        }
    }

    fn swap_folder(&mut self, way: &str, name: &str) {
        if let Ok(_alone) = self.field.folders.try_lock() {
            self.swap_for_a_moment(way, name);
        }
    }

    fn swap_for_a_moment(&mut self, way: &str, name: &str) {
        let Some((folder, weapon)) = self.swap(way, name) else {
            return;
        };
        for _ in 0..self.random.random_range(0..30) {
            thread::yield_now();
        }
        if self.exchange(&weapon, &folder, name).is_err() {
            // Nothing was there before, and it is not to stand in the way for ever.
            let how = RenameFlags::NOREPLACE;
            let _ = rustix::fs::renameat_with(&folder, name, &self.attic, &weapon, how);
        }
    }

    fn swap(&mut self, way: &str, name: &str) -> Option<(OwnedFd, String)> {
        let folder = self.open(way).ok()?;
        let weapon = self.swap_in(&folder, name)?;
        Some((folder, weapon))
    }

    /// Puts a new weapon where a name is, or would be. What was there has the weapon's name then.
    fn swap_in(&mut self, folder: &OwnedFd, name: &str) -> Option<String> {
        let weapon = self.make_weapon()?;
        let came = match self.exchange(&weapon, folder, name).ok()? {
            Came::ForSomething => &self.field.exchanged,
            Came::ForNothing => &self.field.placed,
        };
        came.fetch_add(1, Ordering::Relaxed);
        self.taken.insert(weapon.clone(), name.to_owned());
        Some(weapon)
    }

    fn exchange(&self, weapon: &str, folder: &OwnedFd, name: &str) -> Result<Came, Errno> {
        let how = |flags| rustix::fs::renameat_with(&self.attic, weapon, folder, name, flags);
        match how(RenameFlags::EXCHANGE) {
            Err(Errno::NOENT) => how(RenameFlags::NOREPLACE).map(|()| Came::ForNothing),
            exchanged => exchanged.map(|()| Came::ForSomething),
        }
    }

    /// Opens a folder beneath the server's: an attacker who is led outside proves nothing.
    fn open(&self, way: &str) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        rustix::fs::openat2(&self.folder, way, flags, Mode::empty(), resolve)
    }

    /// Whatever could do harm.
    fn make_weapon(&mut self) -> Option<String> {
        let name = self
            .field
            .weapons
            .fetch_add(1, Ordering::Relaxed)
            .to_string();
        let (attic, outside) = (&self.attic, &self.field.outside);
        let link = |to: &Path| rustix::fs::symlinkat(to, attic, &name);
        let node = |kind, device| {
            rustix::fs::mknodat(attic, &name, kind, Mode::from_raw_mode(0o666), device)
        };
        let made = match self.random.random_range(0..12) {
            0 => link(&outside.join("secret")),
            1 => link(&outside.join("folder")),
            2 => link(&outside.join("missing")),
            3 => link(&outside.join("link")),
            4 => link(Path::new("../outside/folder")),
            5 => link(Path::new(".")),
            6 => node(FileType::Fifo, 0),
            7 => node(FileType::Socket, 0),
            // The null device; only root can make one.
            8 => node(FileType::CharacterDevice, rustix::fs::makedev(1, 3)),
            9 => rustix::fs::mkdirat(attic, &name, Mode::from_raw_mode(0o777)),
            10 => node(FileType::RegularFile, 0),
            _ => rustix::fs::linkat(CWD, outside.join("linked"), attic, &name, AtFlags::empty()),
        };
        made.is_ok().then_some(name)
    }
}
