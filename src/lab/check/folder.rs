//! The folder that the server stores into, and what is new in it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Files and folders that are looked at, at most; whoever points at `/` gets an answer too.
const ENTRIES_MOST: usize = 20_000;
/// Bytes of a file that are kept to be shown.
const HEAD_MOST: u64 = 1 << 20;
/// Folders within folders that are looked into.
const DEPTH_MOST: usize = 8;

/// Where files land.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
}

/// What a file was at a moment; one that has been written since differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    size: u64,
    changed: Option<SystemTime>,
    inode: u64,
}

/// What was in the folder at a moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot(BTreeMap<PathBuf, Stamp>);

/// A file that is new, or not what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fresh {
    /// Below the folder.
    pub path: PathBuf,
    /// Its bytes.
    pub size: u64,
}

impl Fresh {
    /// Its last part, as it is on disk.
    pub fn name(&self) -> &[u8] {
        let name = self.path.file_name().unwrap_or_default();
        name.as_encoded_bytes()
    }

    /// Whether its name says that it isn't finished.
    pub fn says_unfinished(&self) -> bool {
        let name = self.path.to_string_lossy().to_lowercase();
        let ends = [
            ".part",
            ".partial",
            ".tmp",
            ".temp",
            ".incomplete",
            ".upload",
        ];
        ends.iter().any(|end| name.ends_with(end))
            || self
                .path
                .iter()
                .any(|part| part.as_encoded_bytes().starts_with(b"."))
    }
}

impl Folder {
    /// The folder at a path.
    pub fn new(path: impl Into<PathBuf>) -> Folder {
        Folder { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is in it now.
    pub fn snapshot(&self) -> Snapshot {
        let mut found = BTreeMap::new();
        let mut seen = 0;
        let mut folders = vec![(self.path.clone(), 0)];
        while let Some((folder, depth)) = folders.pop() {
            // A folder that can't be read, or is gone again, has nothing to show.
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                seen += 1;
                let Ok(about) = entry.metadata() else {
                    continue;
                };
                if about.is_dir() && depth < DEPTH_MOST {
                    folders.push((entry.path(), depth + 1));
                } else if about.is_file() {
                    let path = entry.path();
                    let below = path.strip_prefix(&self.path).unwrap_or(&path).to_owned();
                    found.insert(below, Stamp::of(&about));
                }
            }
            if seen > ENTRIES_MOST {
                break;
            }
        }
        Snapshot(found)
    }

    /// What is new or has changed since.
    pub fn fresh_since(&self, before: &Snapshot) -> Vec<Fresh> {
        let now = self.snapshot().0.into_iter();
        let fresh = now.filter(|(path, stamp)| before.0.get(path) != Some(stamp));
        fresh
            .map(|(path, stamp)| Fresh {
                path,
                size: stamp.size,
            })
            .collect()
    }

    /// Whether a file has exactly these bytes.
    pub fn holds(&self, file: &Fresh, bytes: &[u8]) -> bool {
        file.size == bytes.len() as u64 && self.difference(file, bytes) == Some(bytes.len())
    }

    /// How many bytes a file has in common with these, from the first on. Looks at no more of it
    /// than there are of these, and holds little of it at a time. `None` if it can't be read.
    pub fn difference(&self, file: &Fresh, bytes: &[u8]) -> Option<usize> {
        let mut stored = fs::File::open(self.path.join(&file.path)).ok()?;
        let mut piece = [0; 16 << 10];
        let mut same = 0;
        while same < bytes.len() {
            let got = match stored.read(&mut piece) {
                Ok(0) => break,
                Ok(got) => got,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return None,
            };
            let pairs = piece[..got].iter().zip(&bytes[same..]);
            let equal = pairs.take_while(|(one, other)| one == other).count();
            same += equal;
            if equal < got {
                break;
            }
        }
        Some(same)
    }

    /// The first bytes of a file, to be shown. A server that takes a length at its word may have
    /// stored gigabytes.
    pub fn head(&self, file: &Fresh) -> Vec<u8> {
        let mut head = Vec::new();
        if let Ok(stored) = fs::File::open(self.path.join(&file.path)) {
            // What can't be read has nothing to show.
            let _ = stored.take(HEAD_MOST).read_to_end(&mut head);
        }
        head
    }
}

impl Stamp {
    fn of(about: &fs::Metadata) -> Stamp {
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(about);
        #[cfg(not(unix))]
        let inode = 0;
        Stamp {
            size: about.len(),
            changed: about.modified().ok(),
            inode,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_or_replaced_is_fresh_wherever_it_lies() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::new(temporary.path());
        let path = |name: &str| temporary.path().join(name);
        fs::write(path("old"), "old").unwrap();
        fs::write(path("replaced"), "one").unwrap();
        let before = folder.snapshot();
        assert_eq!(folder.fresh_since(&before), []);
        fs::create_dir(path("deep")).unwrap();
        fs::write(path("deep/new"), "new").unwrap();
        // A file of the same size under the same name has another inode.
        fs::write(path("replacement"), "two").unwrap();
        fs::rename(path("replacement"), path("replaced")).unwrap();
        let fresh = folder.fresh_since(&before);
        let paths: Vec<String> = fresh.iter().map(|f| f.path.display().to_string()).collect();
        assert_eq!(paths, ["deep/new", "replaced"]);
        assert!(folder.holds(&fresh[0], b"new") && !folder.holds(&fresh[0], b"old"));
    }

    #[test]
    fn a_huge_file_is_compared_and_shown_without_being_held() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::new(temporary.path());
        let before = folder.snapshot();
        let path = temporary.path().join("huge");
        fs::write(&path, "abc").unwrap();
        let all = 1 << 40;
        // It has a hole and takes no room, unless somebody reads it.
        let file = fs::File::options().write(true).open(&path).unwrap();
        if file.set_len(all).is_err() {
            return; // This file system has no files so large.
        }
        let fresh = folder.fresh_since(&before);
        assert_eq!(fresh[0].size, all);
        assert_eq!(folder.difference(&fresh[0], b"abd"), Some(2));
        assert_eq!(folder.difference(&fresh[0], b"abc\0"), Some(4));
        assert!(!folder.holds(&fresh[0], b"abc"));
        assert_eq!(folder.head(&fresh[0]).len(), 1 << 20);
    }

    #[test]
    fn a_partial_file_says_so_in_its_name() {
        let named = |path: &str| {
            Fresh {
                path: path.into(),
                size: 1,
            }
            .says_unfinished()
        };
        assert!(named("a.txt.part") && named(".a.txt") && named(".piecemeal/4711"));
        assert!(!named("a.txt") && !named("part.bin"));
    }
}
