//! From what a person names to the files that are sent: folders are walked.

use std::ffi::OsStr;
use std::fs::FileType;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::{Failure, Item, Why};
use crate::proto::text::escaped;

/// What of a folder is sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Walk {
    /// Files, and folders, whose names begin with a dot.
    pub hidden: bool,
    /// What links point to, in place of nothing.
    pub follow_links: bool,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// The files, folder by folder, each one's in the order of their names.
    pub items: Vec<Item>,
    /// What ought to be sent and can't be.
    pub failures: Vec<Failure>,
    /// What is no file, folder or link, and what it is: `a pipe`, `a socket`, `a device`.
    pub special: Vec<(PathBuf, &'static str)>,
    /// Links that were not followed.
    pub links: Vec<PathBuf>,
    /// Hidden files and folders that were not looked at.
    pub hidden: Vec<PathBuf>,
}

impl Found {
    /// Adds the files of a folder. They are named for where they are in it, behind the folder's
    /// own name: its last part, or another that it is to have. Folders without files in them are
    /// not sent, since no message makes one.
    pub fn add_folder(&mut self, folder: &Path, name: Option<&str>, walk: Walk) {
        let name = match name.map(str::to_owned).map_or_else(|| own_name(folder), Ok) {
            Ok(name) => name,
            Err(why) => return self.fail(folder.to_owned(), String::new(), why),
        };
        let entries = WalkDir::new(folder)
            .min_depth(1)
            .follow_links(walk.follow_links)
            .sort_by_file_name();
        let mut entries = entries.into_iter();
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    let path = error.path().unwrap_or(folder).to_owned();
                    if is_hidden(path.file_name()) && !walk.hidden && path != folder {
                        self.hidden.push(path);
                    } else {
                        self.fail(path, String::new(), reason(error));
                    }
                    continue;
                }
            };
            let kind = entry.file_type();
            if is_hidden(Some(entry.file_name())) && !walk.hidden {
                if kind.is_dir() {
                    entries.skip_current_dir();
                }
                self.hidden.push(entry.into_path());
            } else if kind.is_file() {
                self.add_file(&name, folder, &entry);
            } else if kind.is_symlink() {
                self.links.push(entry.into_path());
            } else if !kind.is_dir() {
                self.special.push((entry.into_path(), special(kind)));
            }
        }
    }

    fn add_file(&mut self, name: &str, folder: &Path, entry: &DirEntry) {
        let path = entry.path();
        let below = path.strip_prefix(folder).unwrap_or(path);
        match joined(name, below) {
            Some(name) => self.items.push(Item {
                path: path.to_owned(),
                name,
            }),
            None => {
                let why = "its name, or that of a folder it is in, is not UTF-8";
                self.fail(path.to_owned(), String::new(), Why::Unnamed(why));
            }
        }
    }

    fn fail(&mut self, path: PathBuf, name: String, why: Why) {
        let item = Item { path, name };
        self.failures.push(Failure { item, why });
    }
}

/// The last part of a folder's path; where that is no name, of the path that it stands for.
fn own_name(folder: &Path) -> Result<String, Why> {
    let full;
    let name = match folder.file_name() {
        Some(name) => name,
        None => {
            full = folder
                .canonicalize()
                .map_err(|error| Why::Local(error.to_string()))?;
            full.file_name()
                .ok_or(Why::Unnamed("it has no name; --name gives it one"))?
        }
    };
    let name = name.to_str().map(str::to_owned);
    name.ok_or(Why::Unnamed(
        "its name is not UTF-8; --name gives it another",
    ))
}

/// A name with the parts of a path behind it, if all of them are text.
fn joined(name: &str, below: &Path) -> Option<String> {
    let mut joined = name.to_owned();
    for part in below {
        joined.push('/');
        joined.push_str(part.to_str()?);
    }
    Some(joined)
}

fn is_hidden(name: Option<&OsStr>) -> bool {
    name.is_some_and(|name| name.as_bytes().starts_with(b"."))
}

fn special(kind: FileType) -> &'static str {
    if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

/// Why a folder couldn't be walked on.
fn reason(error: walkdir::Error) -> Why {
    if let Some(above) = error.loop_ancestor() {
        let above = escaped(above.as_os_str().as_encoded_bytes()).to_string();
        return Why::Loop { above };
    }
    // Its own text has the path in it, raw.
    let error = error.into_io_error();
    Why::Local(
        error
            .unwrap_or_else(|| io::ErrorKind::Other.into())
            .to_string(),
    )
}
