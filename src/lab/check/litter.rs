//! What a run leaves in a folder that is somebody's own, and taking it away again.
//!
//! A server may keep what the checker sends it: most of 256 MiB, and names that no terminal should
//! see. All names that the checker makes begin with the run's own number, so that its files are known
//! from anybody else's, whatever the server adds behind.

use std::fs;
use std::path::Path;

use super::bench::Bench;

/// Folders and files that are looked at, at most, and folders within folders.
const ENTRIES_MOST: usize = 20_000;
const DEPTH_MOST: usize = 8;

impl Bench {
    /// Ends a started server, and removes what is named as this run names its files. Files that
    /// the server named itself can't be known for sure, and stay.
    pub(super) fn tidy_up(&mut self) {
        // It may have such a file open, and write it anew.
        self.server = None;
        if let Some(folder) = &self.folder {
            remove(folder.path(), &self.prefix());
        }
    }
}

/// Removes all files and folders below a folder whose names begin with a prefix, or with it behind a
/// dot, as hidden files do.
fn remove(folder: &Path, prefix: &str) {
    let mut left = ENTRIES_MOST;
    let mut folders = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        // A folder that can't be read has nothing that can be removed.
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            left = left.saturating_sub(1);
            if left == 0 {
                return;
            }
            // Of the entry itself: a link is never followed.
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let name = entry.file_name();
            let name = name.as_encoded_bytes();
            let name = name.strip_prefix(b".").unwrap_or(name);
            // What can't be removed stays: the verdicts don't depend on it.
            if !name.starts_with(prefix.as_bytes()) {
                if is_folder && depth < DEPTH_MOST {
                    folders.push((entry.path(), depth + 1));
                }
            } else if is_folder {
                let _ = fs::remove_dir_all(entry.path());
            } else {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn only_what_bears_the_prefix_is_removed() {
        let temporary = tempfile::tempdir().unwrap();
        let path = |name: &[u8]| temporary.path().join(OsStr::from_bytes(name));
        for folder in ["deep", "check-ab-9"] {
            fs::create_dir(path(folder.as_bytes())).unwrap();
        }
        let kept: [&[u8]; 4] = [b"a.txt", b"check-ac-1.txt", b"my-check-ab-1", b"deep/b"];
        let removed: [&[u8]; 6] = [
            b"check-ab-1.txt",
            b"check-ab-2.bin.part",
            b".check-ab-3",
            b"check-ab-4\n\x1b[2J\r.txt",
            b"check-ab-5\xff\xc3.txt",
            b"check-ab-9/a.txt",
        ];
        for name in kept.iter().chain(&removed) {
            fs::write(path(name), "").unwrap();
        }
        fs::write(path(b"deep/check-ab-7"), "").unwrap();
        std::os::unix::fs::symlink("deep", path(b"check-ab-8")).unwrap();
        remove(temporary.path(), "check-ab-");
        assert!(kept.iter().all(|name| path(name).is_file()));
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 4);
        assert_eq!(fs::read_dir(path(b"deep")).unwrap().count(), 1);
    }
}
