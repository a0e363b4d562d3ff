//! A disk whose power can be cut: an image in memory, a file system on it, and two ways to lose
//! what wasn't kept.
//!
//! ```text
//!   Log     image ── loop ── file system       the file system is told to stop (FS_IOC_SHUTDOWN):
//!                                              what it has in memory, its log too, is lost
//!
//!   Cache   image ── loop ── plain file system ── file ── loop ── file system
//!                            └ is told to stop: what the upper one has written and not flushed
//!                              is lost, but for some pieces, in no order
//! ```
//!
//! The second is harsher, and nearer to a disk with a cache of its own: a write that no flush came
//! after may be there or not.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::SmallRng;

use super::system::{code, run, shut_down, write_part};

/// The file system that is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Ext4,
    /// ext4 without a journal.
    Bare,
    Xfs,
    Btrfs,
}

/// What a cut takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    Log,
    Cache,
}

/// The image's size.
const SIZE: u64 = 64 << 20;
/// That of the image which has it in it.
const OUTER_SIZE: u64 = 76 << 20;
/// A unit of what a disk's cache writes by itself.
const PIECE: i64 = 4096;
/// How often something is tried that a process which is just ending still holds.
pub(super) const TRIES: u32 = 400;
/// How often what may be impossible here. Others may take the loop device that was free.
pub(super) const FEW_TRIES: u32 = 10;

impl Kind {
    pub(super) fn make(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Kind::Ext4 => (
                "mkfs.ext4",
                &[
                    "-q",
                    "-F",
                    "-b",
                    "4096",
                    "-J",
                    "size=4",
                    "-N",
                    "8192",
                    "-E",
                    "lazy_itable_init=1,nodiscard",
                ],
            ),
            Kind::Bare => (
                "mkfs.ext4",
                &[
                    "-q",
                    "-F",
                    "-b",
                    "4096",
                    "-O",
                    "^has_journal",
                    "-N",
                    "8192",
                    "-E",
                    "nodiscard",
                ],
            ),
            Kind::Xfs => ("mkfs.xfs", &["-q", "-f", "-K"]),
            Kind::Btrfs => ("mkfs.btrfs", &["-q", "-f", "-M", "-K"]),
        }
    }

    fn option(self) -> &'static str {
        match self {
            // A copy of a file system has its name.
            Kind::Xfs => "loop,nouuid",
            _ => "loop",
        }
    }
}

/// Images of empty file systems, to be copied for each cut.
#[derive(Debug)]
pub(super) struct Blank {
    kind: Kind,
    cut: Cut,
    image: PathBuf,
}

/// One disk, in the middle of its life or after its cut.
#[derive(Debug)]
pub(super) struct Disk {
    kind: Kind,
    cut: Cut,
    image: PathBuf,
    /// Where the file system is mounted, and the one that has it in it.
    pub(super) mounted: PathBuf,
    outer: PathBuf,
    /// Whether the check of a file system without a journal couldn't mend it by itself.
    pub(super) asked: bool,
    /// Whether it is kept as the cut left it, for somebody to look at.
    pub(super) keeps: bool,
}

impl Blank {
    /// Makes a file system in a folder.
    pub(super) fn new(kind: Kind, cut: Cut, folder: &Path) -> io::Result<Blank> {
        let image = folder.join(format!("{kind:?}-{cut:?}").to_lowercase());
        File::create(&image)?.set_len(SIZE)?;
        let (program, arguments) = kind.make();
        let made = arguments
            .iter()
            .map(|text| (*text).into())
            .chain([image.clone()]);
        run(program, made)?;
        if cut == Cut::Cache {
            let inner = image.with_extension("inner");
            fs::rename(&image, &inner)?;
            File::create(&image)?.set_len(OUTER_SIZE)?;
            let plain = ["-q", "-F", "-O", "^has_journal", "-N", "16", "-b", "4096"];
            run(
                "mkfs.ext4",
                plain
                    .iter()
                    .map(|text| (*text).into())
                    .chain([image.clone()]),
            )?;
            let outer = folder.join("outer");
            fs::create_dir_all(&outer)?;
            mount(&image, &outer, "loop", TRIES)?;
            // Zeros too: what has its place already is written in place.
            let copied = outer.join("disk");
            run(
                "cp",
                ["--sparse=never".into(), inner.clone(), copied.clone()],
            )?;
            File::open(&copied)?.sync_all()?;
            unmount(&outer)?;
            fs::remove_file(inner)?;
        }
        Ok(Blank { kind, cut, image })
    }

    /// A disk with it, mounted after so many tries at most.
    pub(super) fn disk(&self, folder: &Path, tries: u32) -> io::Result<Disk> {
        let disk = Disk {
            kind: self.kind,
            cut: self.cut,
            image: folder.join("image"),
            mounted: folder.join("mounted"),
            outer: folder.join("outer"),
            asked: false,
            keeps: false,
        };
        fs::create_dir_all(&disk.mounted)?;
        fs::create_dir_all(&disk.outer)?;
        copy(&self.image, &disk.image)?;
        disk.mount(tries)?;
        Ok(disk)
    }
}

impl Disk {
    fn mount(&self, tries: u32) -> io::Result<()> {
        let option = self.kind.option();
        match self.cut {
            Cut::Log => mount(&self.image, &self.mounted, option, tries),
            Cut::Cache => {
                mount(&self.image, &self.outer, "loop", tries)?;
                let inner = mount(&self.outer.join("disk"), &self.mounted, option, tries);
                inner.or_else(|why| unmount(&self.outer).and(Err(why)))
            }
        }
    }

    /// Cuts the power. What happens from now on never reaches the disk.
    pub(super) fn cut(&self, random: &mut SmallRng) -> io::Result<()> {
        match self.cut {
            Cut::Log => shut_down(&self.mounted),
            Cut::Cache => {
                let disk = File::open(self.outer.join("disk"))?;
                let pieces = i64::try_from(SIZE).expect("small") / PIECE;
                for _ in 0..[0, 0, 20, 200][random.random_range(0..4)] {
                    let length = PIECE << random.random_range(0..8);
                    write_part(&disk, random.random_range(0..pieces) * PIECE, length);
                }
                shut_down(&self.outer)?;
                // So that nobody waits for it. Not every file system can be told.
                let _ = shut_down(&self.mounted);
                Ok(())
            }
        }
    }

    /// Has the machine start again: what is on the disk is mended and mounted. Nobody uses it any
    /// more: a sync that was under way when the power went may still have ended well.
    pub(super) fn recover(&mut self) -> io::Result<()> {
        let copied = self.image.with_extension("cut");
        if self.cut == Cut::Log {
            // A file system without a journal would write more when it is unmounted.
            copy(&self.image, &copied)?;
        }
        unmount(&self.mounted)?;
        match self.cut {
            Cut::Log => fs::rename(copied, &self.image)?,
            Cut::Cache => {
                unmount(&self.outer)?;
                self.check(&self.image)?;
                mount(&self.image, &self.outer, "loop", TRIES)?;
            }
        }
        let disk = match self.cut {
            Cut::Log => self.image.clone(),
            Cut::Cache => self.outer.join("disk"),
        };
        if self.keeps {
            copy(&disk, &self.as_cut())?;
        }
        if self.kind == Kind::Bare {
            self.asked = self.check(&disk)?;
        }
        mount(&disk, &self.mounted, self.kind.option(), TRIES)
    }

    /// The file system as the cut left it, before any check; once it has recovered, if it keeps that.
    pub(super) fn as_cut(&self) -> PathBuf {
        self.image.with_extension("as-cut")
    }

    /// Whether a person would have been asked; who is asked says yes.
    fn check(&self, image: &Path) -> io::Result<bool> {
        let (done, _) = code("e2fsck", ["-p".as_ref(), image])?;
        if done < 4 {
            return Ok(false);
        }
        let (done, said) = code("e2fsck", ["-fy".as_ref(), image])?;
        match done {
            0..4 => Ok(true),
            done => Err(io::Error::other(format!(
                "e2fsck ended with {done}: {said}"
            ))),
        }
    }

    pub(super) fn unmount(&self) -> io::Result<()> {
        unmount(&self.mounted)?;
        match self.cut {
            Cut::Log => Ok(()),
            Cut::Cache => unmount(&self.outer),
        }
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    run("cp", ["--sparse=always".as_ref(), from, to])
}

fn mount(image: &Path, folder: &Path, options: &str, tries: u32) -> io::Result<()> {
    let arguments = ["-o".as_ref(), options.as_ref(), image, folder];
    patiently(tries, || run("mount", arguments))
}

fn unmount(folder: &Path) -> io::Result<()> {
    patiently(TRIES, || run("umount", [folder]))
}

/// Tries again while somebody who is just ending holds a device, or while somebody else has taken
/// the one that was free.
fn patiently(most: u32, try_it: impl Fn() -> io::Result<()>) -> io::Result<()> {
    let mut tries = 1;
    loop {
        match try_it() {
            Err(_) if tries < most => {
                tries += 1;
                thread::sleep(Duration::from_millis(5));
            }
            done => return done,
        }
    }
}
