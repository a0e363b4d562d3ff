//! Finding what is beneath a folder, without ever being led out of it.
//!
//! The rules for names leave out `..` and a leading `/`, so only links could lead elsewhere, and
//! none is followed: neither in the middle of a name nor at its end.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// How a folder is opened that files go into, and that will be synced.
pub(super) const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

/// The folder that a name says, where it says one, and what the file is called in it.
pub(super) fn parts(name: &str) -> (Option<&str>, &str) {
    match name.rsplit_once('/') {
        Some((folder, file)) => (Some(folder), file),
        None => (None, name),
    }
}

/// Opens what has a name beneath a folder. Where a file or a link stands in the way, that is
/// [`Errno::NOTDIR`] or [`Errno::LOOP`].
pub(super) fn open(folder: &OwnedFd, name: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(folder, name, flags, Mode::empty(), resolve) {
        // Kernels before 5.6.
        Err(Errno::NOSYS) => open_in_steps(folder, name, flags),
        opened => opened,
    }
}

/// Syncs a folder. An interruption is no failure, as it is none where the standard library syncs a
/// file.
pub(super) fn sync(folder: &OwnedFd) -> io::Result<()> {
    Ok(rustix::io::retry_on_intr(|| rustix::fs::fsync(folder))?)
}

/// The same, one component at a time.
fn open_in_steps(folder: &OwnedFd, name: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let (folders, last) = parts(name);
    let mut reached: Option<OwnedFd> = None;
    for component in folders.into_iter().flat_map(|folders| folders.split('/')) {
        let from = reached.as_ref().unwrap_or(folder);
        reached = Some(rustix::fs::openat(from, component, step, Mode::empty())?);
    }
    let from = reached.as_ref().unwrap_or(folder);
    rustix::fs::openat(from, last, flags, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::io::Read;
    use std::os::unix::fs::symlink;

    #[test]
    fn both_ways_find_the_same_and_neither_follows_a_link() {
        let home = tempfile::tempdir().expect("a folder");
        let root = home.path().join("root");
        fs::create_dir_all(root.join("a/b")).expect("made");
        fs::create_dir(home.path().join("outside")).expect("made");
        for (path, text) in [
            ("root/top", "top"),
            ("root/a/b/deep", "deep"),
            ("outside/secret", "secret"),
        ] {
            fs::write(home.path().join(path), text).expect("written");
        }
        symlink("../outside", root.join("out")).expect("linked");
        symlink("b", root.join("a/in")).expect("linked");
        symlink("../top", root.join("a/up")).expect("linked");
        symlink("missing", root.join("a/dangling")).expect("linked");
        let folder = OwnedFd::from(File::open(&root).expect("it is there"));
        for (name, expected) in [
            ("top", Ok("top")),
            ("a/b/deep", Ok("deep")),
            ("missing", Err(&[Errno::NOENT][..])),
            ("a/missing/deep", Err(&[Errno::NOENT])),
            ("top/deep", Err(&[Errno::NOTDIR])),
            ("out/secret", Err(&[Errno::LOOP, Errno::NOTDIR])),
            ("a/in/deep", Err(&[Errno::LOOP, Errno::NOTDIR])),
            ("a/dangling/deep", Err(&[Errno::LOOP, Errno::NOTDIR])),
            ("a/up", Err(&[Errno::LOOP])),
            ("a/dangling", Err(&[Errno::LOOP])),
        ] {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let ways = [
                open(&folder, name, OFlags::RDONLY),
                open_in_steps(&folder, name, flags),
            ];
            for opened in ways {
                match (opened, expected) {
                    (Ok(file), Ok(expected)) => {
                        let mut text = String::new();
                        File::from(file).read_to_string(&mut text).expect("a file");
                        assert_eq!(text, expected, "{name}");
                    }
                    (Err(error), Err(allowed)) => assert!(allowed.contains(&error), "{name}"),
                    (opened, _) => panic!("{name}: {opened:?}"),
                }
            }
        }
    }
}
