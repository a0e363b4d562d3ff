//! A tree beside the server's folder, which nobody may touch, read or add to.

use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What nobody but its owner may know: no receipt may ever be about these bytes.
pub(crate) const SECRET: &[u8] = b"the secret that lies outside";

/// The tree, and how it looked.
#[derive(Debug)]
pub(crate) struct Canary {
    pub(crate) root: PathBuf,
    before: BTreeMap<PathBuf, Look>,
}

/// All of an entry that doesn't change by a further link to it.
#[derive(Debug, PartialEq, Eq)]
struct Look {
    inode: u64,
    mode: u32,
    owner: (u32, u32),
    size: u64,
    changed: (i64, i64),
    /// Of what was never linked elsewhere, when it was last read.
    read: Option<(i64, i64)>,
    content: Vec<u8>,
}

impl Canary {
    pub(crate) fn new(home: &Path) -> Canary {
        let root = home.join("outside");
        fs::create_dir_all(root.join("folder/deep")).expect("made");
        fs::create_dir_all(root.join("folder/e1")).expect("made");
        for (path, bytes) in [
            ("secret", SECRET),
            ("linked", b"a file with a second link"),
            ("folder/f1", b"inner"),
            ("folder/deep/x", b"x"),
            ("empty", b""),
        ] {
            fs::write(root.join(path), bytes).expect("written");
            // Read later than written: so the next read is marked where few are.
            let day = |number: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(86_400 * number);
            let times = FileTimes::new()
                .set_accessed(day(10_000))
                .set_modified(day(11_000));
            let file = File::options()
                .write(true)
                .open(root.join(path))
                .expect("it is there");
            file.set_times(times).expect("it is ours");
        }
        symlink("folder", root.join("link")).expect("linked");
        let mut canary = Canary {
            root,
            before: BTreeMap::new(),
        };
        // Its folders are read by this very look, so only files say when they were read.
        canary.before = canary.look();
        canary
    }

    /// Expects that nothing in it has changed.
    pub(crate) fn is_untouched(&self) {
        let after = self.look();
        let paths: Vec<_> = after.keys().collect();
        assert_eq!(
            paths,
            self.before.keys().collect::<Vec<_>>(),
            "something was made outside"
        );
        for (path, look) in &after {
            // Contents last: to compare them reads the file.
            let before = &self.before[path];
            assert_eq!(look, before, "{} has changed", path.display());
        }
        assert_eq!(
            fs::read(self.root.join("secret")).expect("it is there"),
            SECRET
        );
    }

    fn look(&self) -> BTreeMap<PathBuf, Look> {
        let mut seen = BTreeMap::new();
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            seen.insert(folder.clone(), look(&folder));
            for entry in fs::read_dir(&folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if fs::symlink_metadata(&path).expect("it is there").is_dir() {
                    folders.push(path);
                } else {
                    seen.insert(path.clone(), look(&path));
                }
            }
        }
        seen
    }
}

fn look(path: &Path) -> Look {
    let facts = fs::symlink_metadata(path).expect("it is there");
    let is_secret = path.ends_with("secret");
    let content = match facts.is_file() && !is_secret {
        true => fs::read(path).expect("it is ours"),
        false => fs::read_link(path).map_or_else(
            |_| Vec::new(),
            |to| to.into_os_string().into_encoded_bytes(),
        ),
    };
    Look {
        inode: facts.ino(),
        mode: facts.mode(),
        owner: (facts.uid(), facts.gid()),
        size: facts.size(),
        changed: (facts.mtime(), facts.mtime_nsec()),
        read: is_secret.then(|| (facts.atime(), facts.atime_nsec())),
        content,
    }
}
