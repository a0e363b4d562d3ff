//! The servers in Python, started for one test and killed with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::common::Lines;

/// A server of tests/lab/servers.py, with a folder of its own.
pub(crate) struct PythonServer {
    child: Child,
    pub(crate) address: String,
    folder: TempDir,
    /// What it says that it received.
    pub(crate) out: Lines,
}

impl PythonServer {
    /// Starts one, or returns `None` where there is no Python.
    pub(crate) fn start(kind: &str) -> Option<PythonServer> {
        let there = Command::new("python3").arg("--version").output();
        if !there.is_ok_and(|there| there.status.success()) {
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/servers.py");
        // Nothing is to be written beside the scripts, and names are to be UTF-8 everywhere.
        let mut child = Command::new("python3")
            .args(["-B", "-X", "utf8"])
            .arg(script)
            .arg(kind)
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 runs");
        let out = Lines::of(child.stdout.take().expect("it is a pipe"));
        let line = out.wait_for(|line| line.starts_with("listening on "));
        Some(PythonServer {
            child,
            address: line["listening on ".len()..].to_owned(),
            folder,
            out,
        })
    }

    /// A path in its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The names in its folder, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).expect("the folder is there");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").file_name())
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        names.sort_unstable();
        names
    }

    /// The digests of the files in its folder, sorted.
    pub(crate) fn digests(&self) -> Vec<String> {
        let names = self.names().into_iter();
        let mut digests: Vec<String> = names
            .map(|name| fs::read(self.path(&name)).expect("a file"))
            .map(|bytes| blake3::hash(&bytes).to_string())
            .collect();
        digests.sort_unstable();
        digests
    }
}

impl Drop for PythonServer {
    fn drop(&mut self) {
        // It may have ended already, which is no failure.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
