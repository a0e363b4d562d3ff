//! One cut: a disk, a server on it, clients; the power goes; what is there when it is back.

mod disk;
mod machine;
pub(crate) mod rows;
mod system;
pub(crate) mod tally;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;

use crate::common::can_trace;
use crate::load::{self, Again, Book, Found, Plan, files_in};
use disk::{Blank, Cut, Disk, FEW_TRIES, TRIES};
use machine::{Boot, Machine};
use rows::Row;

/// The longest that a load goes on before the cut.
const LOAD: Duration = Duration::from_millis(500);

/// How often it is looked whether the load has come so far.
const LOOK: Duration = Duration::from_micros(200);

/// Empty disks of one row, and where they are used.
pub(crate) struct Place {
    home: PathBuf,
    blanks: Vec<(Cut, Blank)>,
    boots: u64,
}

/// How one cut went.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) found: Found,
    pub(crate) cut: &'static str,
    pub(crate) features: Vec<&'static str>,
    pub(crate) again: Again,
    /// Whether the file system's check would have asked a person.
    pub(crate) asked: bool,
}

/// A folder for disks, with mounts that nobody else sees. They end with it, or at the latest with
/// the program.
pub(crate) struct Home(TempDir);

impl Home {
    /// Gives this thread mounts of its own, and makes a folder in memory. An error says that no cuts
    /// can be made here.
    pub(crate) fn new() -> io::Result<Home> {
        let folder = tempfile::tempdir()?;
        system::own_mounts()?;
        let tmpfs = ["-t", "tmpfs", "cuts"].map(OsStr::new);
        system::run("mount", tmpfs.into_iter().chain([folder.path().as_ref()]))?;
        let home = Home(folder);
        let blank = Blank::new(disk::Kind::Ext4, Cut::Log, home.path())?;
        let disk = blank.disk(home.path(), FEW_TRIES)?;
        system::shut_down(&disk.mounted)?;
        disk.unmount()?;
        machine::try_out(home.path())?;
        Ok(home)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // After a failure there may be disks in it that somebody still uses.
        let lazily = ["-R", "-l"].map(OsStr::new);
        let _ = system::run("umount", lazily.into_iter().chain([self.path().as_ref()]));
    }
}

impl Place {
    /// An error says that this row can't be tried here: the file system's tools may be there, and the
    /// kernel have none of it.
    pub(crate) fn new(home: &Home, row: &Row) -> io::Result<Place> {
        if row.lies && !can_trace() {
            return Err(io::Error::other("no sync can be made to lie"));
        }
        let blank = |cut: &Cut| {
            let blank = Blank::new(row.kind, *cut, home.path())?;
            blank.disk(home.path(), FEW_TRIES)?.unmount()?;
            Ok((*cut, blank))
        };
        Ok(Place {
            home: home.path().to_owned(),
            blanks: row.cuts.iter().map(blank).collect::<io::Result<_>>()?,
            boots: 0,
        })
    }

    /// One cut. An error is the trial's own.
    pub(crate) fn cut(&mut self, row: &Row, seed: u64) -> io::Result<Outcome> {
        let mut random = SmallRng::seed_from_u64(seed);
        let (cut, blank) = &self.blanks[random.random_range(0..self.blanks.len())];
        let (clients, most) = row.load(&mut random);
        let plan = Plan::new(seed, &mut random, clients, most);
        let (cut, mut disk) = (cut.name(), blank.disk(&self.home, TRIES)?);
        let keep = std::env::var_os("PIECEMEAL_CUTS_KEEP").map(PathBuf::from);
        disk.keeps = keep.is_some();
        let boot = self.boot(row, &plan, &disk);
        let book = Book::default();
        self.live_and_die(&boot, &disk, &plan, &book, &mut random)?;
        disk.recover()?;
        let mut outcome = Outcome {
            found: look(&disk, &plan, &book)?,
            cut,
            features: plan.features(),
            asked: disk.asked,
            ..Outcome::default()
        };
        // What lies is the disk before the cut.
        let boot = Boot {
            lies: false,
            ..boot
        };
        self.live_on(&boot, &disk, &book, &mut outcome)?;
        outcome.found.add(look(&disk, &plan, &book)?);
        if let Some(keep) = keep
            && outcome.found.faults().next().is_some()
        {
            fs::copy(disk.as_cut(), keep.join(format!("{}-{seed}", row.name)))?;
        }
        disk.unmount()?;
        Ok(outcome)
    }

    fn boot(&self, row: &Row, plan: &Plan, disk: &Disk) -> Boot {
        let mut arguments = plan.arguments();
        if plan.journal {
            let journal = journal_of(disk).to_string_lossy().into_owned();
            arguments.extend(["--journal".to_owned(), journal]);
        }
        arguments.extend(row.arguments.iter().map(|text| (*text).to_owned()));
        Boot {
            home: self.home.clone(),
            arguments,
            is_calm: row.is_calm,
            lies: row.lies,
        }
    }

    /// A server under load, until the power goes.
    fn live_and_die(
        &mut self,
        boot: &Boot,
        disk: &Disk,
        plan: &Plan,
        book: &Book,
        random: &mut SmallRng,
    ) -> io::Result<()> {
        self.boots += 1;
        let machine = Machine::start(boot, &disk.mounted, self.boots)?;
        let clients = usize::try_from(plan.clients).expect("few");
        let enough = random.random_range(0..40 * clients.min(8));
        let pause = Duration::from_micros(random.random_range(0..3000));
        let address = machine.address.clone();
        thread::scope(|scope| {
            for client in 0..plan.clients {
                let address = &address;
                scope.spawn(move || load::run(address, plan, client, book));
            }
            let begun = Instant::now();
            while book.acknowledged() < enough && begun.elapsed() < LOAD {
                thread::sleep(LOOK);
            }
            thread::sleep(pause);
            book.is_cut(true);
            let done = disk.cut(random);
            machine.dies();
            done
        })?;
        book.is_cut(false);
        Ok(())
    }

    /// The next server, which is asked for what is still open, and stopped.
    fn live_on(
        &mut self,
        boot: &Boot,
        disk: &Disk,
        book: &Book,
        outcome: &mut Outcome,
    ) -> io::Result<()> {
        self.boots += 1;
        let machine = Machine::start(boot, &disk.mounted, self.boots)?;
        let stored = disk.mounted.join("stored");
        outcome.again = load::go_on(&machine.address, &stored, book)?;
        let wrong = &mut outcome.found.wrong;
        wrong.append(&mut outcome.again.wrong);
        if machine.stops()? != Some(0) {
            wrong.push("the server didn't stop well".to_owned());
        }
        if let Ok(left) = fs::read_dir(stored.join(".piecemeal")) {
            wrong.push(format!("{} files are left in .piecemeal", left.count()));
        }
        Ok(())
    }
}

/// Where the server's journal is on a disk.
fn journal_of(disk: &Disk) -> PathBuf {
    disk.mounted.join("beside/journal")
}

/// What is on a disk, against what the book says.
fn look(disk: &Disk, plan: &Plan, book: &Book) -> io::Result<Found> {
    let stored = disk.mounted.join("stored");
    // The very folder may not have been kept yet, when nobody was promised anything.
    let files = match stored.exists() {
        true => files_in(&stored)?,
        false => BTreeMap::new(),
    };
    let mut found = Found::of(&files, book, plan);
    if plan.journal {
        found.check_journal(&journal_of(disk), &files, book);
    }
    Ok(found)
}
