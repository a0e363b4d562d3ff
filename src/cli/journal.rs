//! `serve --journal`: a line for each stored file, before its sender is told.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use piecemeal::proto::text::escaped;
use piecemeal::server::Workers;
use piecemeal::store::{FolderStore, Journal};

#[derive(Debug, Args)]
pub(super) struct JournalArguments {
    /// Append a JSON line for each stored file to FILE, and sync it before the OK. Where the line
    /// can't be written, the upload is refused. SIGHUP opens FILE anew, after it was renamed. Give it a
    /// folder of its own: the server may write there
    #[arg(long, env = "PIECEMEAL_JOURNAL", value_name = "FILE")]
    journal: Option<PathBuf>,
}

impl JournalArguments {
    /// Where it is.
    pub(super) fn path(&self) -> Option<&Path> {
        self.journal.as_deref()
    }

    /// Opens it, if there is to be one.
    ///
    /// # Errors
    /// Those of [`Journal::open`]; and where clients could write to it, since it lies in the
    /// folder that they store into.
    pub(super) fn open(&self, dir: &Path) -> io::Result<Option<Arc<Journal>>> {
        let Some(path) = self.journal.as_deref() else {
            return Ok(None);
        };
        // The server may not be able to change its folder later, but a path stays what it was.
        let path = std::path::absolute(path)?;
        refuse_within(dir, &path, path.parent())?;
        let journal = Journal::open(&path)?;
        // Where it is a link, only now is there for certain what it leads to.
        refuse_within(dir, &path, Some(&path))?;
        Ok(Some(journal))
    }
}

/// Refuses a journal of which something lies in the folder that clients store into.
fn refuse_within(dir: &Path, journal: &Path, something: Option<&Path>) -> io::Result<()> {
    let real = |path: &Path| path.canonicalize().ok();
    match (real(dir), something.and_then(real)) {
        (Some(dir), Some(real)) if real.starts_with(&dir) => {
            let shown = escaped(journal.as_os_str().as_encoded_bytes()).to_string();
            Err(io::Error::other(format!(
                "the journal {shown} is in the folder that clients store into; keep it elsewhere"
            )))
        }
        _ => Ok(()),
    }
}

/// Has SIGHUP open the journal anew.
pub(super) fn listen(
    journal: Option<Arc<Journal>>,
    workers: &mut Workers<FolderStore>,
) -> io::Result<()> {
    match journal {
        Some(journal) => workers.on_hangup(move || journal.reopen_soon()),
        None => Ok(()),
    }
}
