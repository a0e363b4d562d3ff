//! Where everything lies: one folder that goes at the end, on errors, panics and signals too.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tempfile::TempDir;

use super::bare::price_of_a_file;
use super::process::kill_all;
use super::tell;

/// With less room on the disk, older folders go before the next row, which then is slower.
const ROOM: u64 = 8 << 30;
/// A folder where a file costs no more is taken; else the best of so many.
const USUAL_PRICE: Duration = Duration::from_micros(40);
const FOLDERS: usize = 8;

/// The bench's folder.
pub(crate) struct Place {
    folder: TempDir,
    /// Folders of files that were stored, kept until the end: files that are made right after
    /// many were removed are made ten times slower.
    used: Mutex<Vec<PathBuf>>,
    /// Programs' words.
    pub(crate) logs: PathBuf,
}

impl Place {
    pub(crate) fn make(within: &Path) -> io::Result<Place> {
        let folder = tempfile::Builder::new()
            .prefix("piecemeal-versus-")
            .tempdir_in(within)?;
        let logs = folder.path().join("logs");
        fs::create_dir(&logs)?;
        // ext4 then spreads the folders within over the disk, so that one whose files were
        // removed lately doesn't slow the next. Elsewhere it is refused, and does no harm.
        let mut spread = Command::new("chattr");
        spread.arg("+T").arg(folder.path());
        let _ = spread.stdout(Stdio::null()).stderr(Stdio::null()).status();
        Ok(Place {
            folder,
            used: Mutex::default(),
            logs,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A new, empty folder, on a part of the disk that makes files at its usual speed.
    pub(crate) fn fresh(&self) -> Result<PathBuf, String> {
        let mut best = None;
        for _ in 0..FOLDERS {
            let found = self.candidate();
            let (price, folder) = found.map_err(|error| format!("a folder: {error}"))?;
            let is_usual = price <= USUAL_PRICE;
            if best.as_ref().is_none_or(|(least, _)| price < *least) {
                best = Some((price, folder));
            }
            if is_usual {
                break;
            }
        }
        let (price, folder) = best.expect("there was one at least");
        if price > USUAL_PRICE {
            tell(format_args!(
                "the disk is slow now: a file takes {price:.0?} of processor time"
            ));
        }
        Ok(folder)
    }

    /// An empty folder, within one that has the files it was tried with.
    fn candidate(&self) -> io::Result<(Duration, PathBuf)> {
        let outer = TempDir::new_in(self.path())?.keep();
        let price = price_of_a_file(&outer)?;
        let folder = outer.join("fresh");
        fs::create_dir(&folder)?;
        let mut used = self.used.lock().expect("nobody panics in between");
        used.push(outer);
        Ok((price, folder))
    }

    /// Waits until what was written before is on the disk, and so in nobody's way.
    pub(crate) fn settle(&self) {
        if let Ok(folder) = File::open(self.path()) {
            let _ = rustix::fs::syncfs(folder.as_fd());
        }
    }

    /// Removes everything, on all processors: there may be millions of files.
    pub(crate) fn remove(self) {
        let folders = Mutex::new(self.used.into_inner().expect("nobody panics in between"));
        let next = || folders.lock().expect("nobody panics in between").pop();
        let threads = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while let Some(folder) = next() {
                        let _ = fs::remove_dir_all(folder);
                    }
                });
            }
        });
        // The rest goes with the folder itself.
        drop(self.folder);
    }

    /// Removes older folders where there is little room. Says whether it did.
    pub(crate) fn make_room(&self) -> bool {
        let room = rustix::fs::statvfs(self.path()).map(|it| it.f_bavail * it.f_frsize);
        let is_little = room.is_ok_and(|room| room < ROOM);
        if is_little {
            let mut used = self.used.lock().expect("nobody panics in between");
            for folder in used.drain(..) {
                let _ = fs::remove_dir_all(folder);
            }
            self.settle();
        }
        is_little
    }
}

/// Ends everything at a signal, or when so much time has passed that something must hang.
pub(crate) fn end_all_in_time(place: &Place, limit: Duration) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let (at_signal, at_limit) = (place.path().to_owned(), place.path().to_owned());
    thread::Builder::new().spawn(move || {
        if let Some(signal) = signals.forever().next() {
            end(&at_signal, 128 + signal, "ended by a signal");
        }
    })?;
    thread::Builder::new().spawn(move || {
        thread::sleep(limit);
        end(&at_limit, 1, "it takes too long: ended");
    })?;
    Ok(())
}

/// What has run is ended; then the folder goes, and the program.
fn end(folder: &Path, code: i32, why: &str) {
    let _nothing_starts = kill_all();
    let _ = writeln!(io::stderr(), "{why}; removing {}", folder.display());
    // Again, for what was being made while the first went through.
    while fs::remove_dir_all(folder).is_err() && folder.exists() {}
    std::process::exit(code);
}

/// Uses so many bytes of memory, or a third of what is free, and gives them back.
pub(crate) fn touch_memory(bytes: u64) {
    if bytes == 0 {
        return;
    }
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let free = super::process::figure(&info, "MemAvailable").unwrap_or(0.0) * 1024.0;
    let Ok(mut file) = tempfile::tempfile_in("/dev/shm") else {
        return;
    };
    let block = vec![1; 1 << 20];
    for written in 0..bytes >> 20 {
        let is_enough = (written << 20) as f64 > free / 3.0;
        if is_enough || file.write_all(&block).is_err() {
            break;
        }
    }
}
