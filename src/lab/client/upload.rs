//! Task 6: a file's name, `OK`, and the file.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use super::wire::{Heard, Wire};
use super::{Failure, Reply, Settings};

/// Sends files, each over a connection of its own or all over one.
#[derive(Debug)]
pub struct Uploader {
    settings: Settings,
    keep: bool,
    /// The connection that the next file can use.
    open: Option<Wire>,
}

/// A file that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// What it was called.
    pub name: String,
    /// Its bytes.
    pub size: u64,
    /// What the server did then. Where answers are raw, it should say nothing. A connection that
    /// is kept is never [`left_open`](Reply::left_open).
    pub reply: Reply,
}

impl Uploader {
    /// Sends to a server. With `keep` all files go over one connection, where the grammar allows
    /// it; see [`check`](super::check).
    pub fn new(settings: Settings, keep: bool) -> Uploader {
        let keep = keep && !settings.grammar.ends_files_by_closing();
        Uploader {
            settings,
            keep,
            open: None,
        }
    }

    /// Sends a file under the last part of its path. Nothing is sent before the file is open, and
    /// nothing of the file before the server has answered its name with `OK`.
    ///
    /// # Errors
    /// All there are.
    pub fn send(&mut self, path: &Path) -> Result<Sent, Failure> {
        let grammar = self.settings.grammar;
        let (file, size) = open(path).map_err(|error| Failure::Local(error.to_string()))?;
        let name = name_of(path)?;
        let unsendable = |what: &str| Failure::Unsendable(format!("{what} in {grammar}"));
        let message = grammar
            .name(name.as_bytes())
            .ok_or_else(|| unsendable("its name has no room in the length field"))?;
        let header = grammar
            .file_header(size)
            .ok_or_else(|| unsendable("its size has no room in the length field"))?;

        let (mut wire, was_kept) = match self.open.take() {
            Some(wire) => (wire, true),
            None => (Wire::connect(&self.settings)?, false),
        };
        let agreed = wire
            .send(&message[..])
            .and_then(|_| wire.hear_ok(&self.settings));
        let frames_answers = agreed.map_err(|failure| match failure {
            Failure::Closed | Failure::Lost { .. } if was_kept => Failure::NotKept,
            failure => failure,
        })?;

        let whole = header.len() as u64 + size;
        let sent = wire.send((&header[..]).chain(file.take(size)));
        match sent {
            Ok(sent) if sent == whole => {}
            Ok(_) => {
                // Where only the end of the stream ends a file, an ordinary end would complete it.
                wire.abort();
                return Err(Failure::Local("it shrank while it was sent".to_owned()));
            }
            Err(failure) => {
                if matches!(failure, Failure::Local(_)) {
                    wire.abort();
                }
                return Err(failure);
            }
        }
        // A server that doesn't frame its OK has no receipt for the file either.
        let reply = self.after(wire, frames_answers)?;
        Ok(Sent {
            name: name.to_owned(),
            size,
            reply,
        })
    }

    /// What the server has said behind the last file since that was returned; to be asked for
    /// before the next file is sent, or it is taken for the answer to its name. Framed answers are
    /// left alone: they know themselves what they belong to.
    pub fn take_late_words(&mut self) -> Vec<u8> {
        let Some(wire) = &mut self.open else {
            return Vec::new();
        };
        if self.settings.grammar.frames_answers() {
            return Vec::new();
        }
        // The end of the stream, or a broken one, is met again by whoever uses it next.
        while matches!(wire.hear(Some(Duration::ZERO)), Heard::Bytes) {}
        std::mem::take(&mut wire.heard)
    }

    /// Ends the connection that was kept, if there is one, and says what the server did then.
    ///
    /// # Errors
    /// Where the connection is broken: then the server may not have taken the last file.
    pub fn finish(mut self) -> Result<Reply, Failure> {
        let Some(mut wire) = self.open.take() else {
            return Ok(Reply::default());
        };
        wire.finish();
        wire.hear_behind(&self.settings, false)
    }

    /// Hears what the server says behind a file. Raw words end only by a silence, so a connection
    /// that is kept is listened to for a moment: they must not meet the next file's `OK`.
    fn after(&mut self, mut wire: Wire, frames_answers: bool) -> Result<Reply, Failure> {
        if !self.keep {
            wire.finish();
            return wire.hear_behind(&self.settings, frames_answers);
        }
        let said = if frames_answers {
            wire.hear_receipt(&self.settings)?
        } else {
            wire.hear_behind(&self.settings, false)?.said
        };
        self.open = Some(wire);
        let left_open = false;
        Ok(Reply { said, left_open })
    }
}

/// The last part of a path, as the name that it is sent under.
fn name_of(path: &Path) -> Result<&str, Failure> {
    let unsendable = |why: &str| Failure::Unsendable(why.to_owned());
    let name = path
        .file_name()
        .ok_or_else(|| unsendable("its path ends in no name"))?;
    let name = name
        .to_str()
        .ok_or_else(|| unsendable("its name is no UTF-8"))?;
    if name.chars().any(char::is_control) {
        return Err(unsendable("its name has control characters"));
    }
    Ok(name)
}

/// Opens a plain file, and says how many bytes it has.
fn open(path: &Path) -> io::Result<(File, u64)> {
    // A pipe that nobody writes to would hang the open; it is refused below.
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nonblocking)
        .open(path)?;
    let facts = file.metadata()?;
    if facts.is_dir() {
        return Err(io::Error::other("it is a folder"));
    }
    if !facts.is_file() {
        return Err(io::Error::other("it is not a plain file"));
    }
    // The files of /proc say that they are empty, and are not.
    if facts.len() == 0 && file.read_at(&mut [0], 0)? > 0 {
        return Err(io::Error::other("its size is not known beforehand"));
    }
    Ok((file, facts.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_called_by_the_last_part_of_its_path() {
        assert_eq!(name_of(Path::new("/a/b/c.pdf")), Ok("c.pdf"));
        assert_eq!(name_of(Path::new("c d")), Ok("c d"));
        for bad in ["/", "..", "", "a/..", "a\nb", "a\u{1b}[2J"] {
            assert!(name_of(Path::new(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn only_a_plain_file_of_known_size_is_opened() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        std::fs::write(&path, "abc").expect("it is new");
        assert_eq!(open(&path).expect("it is plain").1, 3);
        let not_plain = [folder.path(), Path::new("/dev/null"), Path::new("missing")];
        for path in not_plain {
            assert!(open(path).is_err(), "{path:?}");
        }
    }
}
