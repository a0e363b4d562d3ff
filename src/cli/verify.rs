//! `piecemeal verify`: is in a folder what a journal, or a file of receipts, says was stored?

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use clap::Args;
use piecemeal::proto::Digest;
use piecemeal::proto::name::{Name, NameRules};
use piecemeal::proto::text::escaped;
use piecemeal::store::journal::Entry;
use piecemeal::store::journal::entry::Misread;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::Serialize;

use super::json::{JsonArgument, line};
use super::units::show_count;
use super::{Exit, print, tell};

#[derive(Debug, Args)]
#[command(after_help = super::exit::VERIFY_HELP)]
pub(super) struct Arguments {
    /// What was stored: the file of `send --receipts`, or that of `serve --journal`. Of several
    /// lines for one name the last counts
    #[arg(long, env = "PIECEMEAL_RECEIPTS", value_name = "FILE")]
    receipts: PathBuf,

    /// The folder that has the files; links in it are not followed
    #[arg(value_name = "DIR")]
    dir: PathBuf,

    #[command(flatten)]
    json: JsonArgument,
}

/// What is known of a file that was stored.
#[derive(Debug)]
struct Stored {
    size: u64,
    digest: Option<Digest>,
}

/// What a look at a file has shown.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// It is as it was stored; without a digest only its size is known to be.
    Good {
        by_size: bool,
    },
    Missing,
    Differs(String),
    Unreadable(String),
}

/// How all of them stand.
#[derive(Debug, Default, Serialize)]
struct Tally {
    good: u64,
    /// Of the good ones, those of which only the size could be compared.
    by_size: u64,
    missing: u64,
    differ: u64,
    unreadable: u64,
    /// Lines that a crash has cut off.
    torn_lines: u64,
    malformed_lines: u64,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Event<'a> {
    Good {
        name: &'a str,
        by_size: bool,
    },
    Missing {
        name: &'a str,
    },
    Differs {
        name: &'a str,
        text: &'a str,
    },
    Unreadable {
        name: &'a str,
        text: &'a str,
    },
    Summary {
        #[serde(flatten)]
        tally: &'a Tally,
        exit: u8,
    },
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    match verify(arguments) {
        Ok(exit) => exit,
        Err((path, error)) => {
            let shown = escaped(path.as_os_str().as_encoded_bytes());
            tell(format_args!("piecemeal: can't read {shown}: {error}"));
            Exit::Local
        }
    }
}

fn verify(arguments: &Arguments) -> Result<Exit, (&Path, io::Error)> {
    let (receipts, dir) = (arguments.receipts.as_path(), arguments.dir.as_path());
    let mut tally = Tally::default();
    let stored = File::open(receipts)
        .and_then(|file| read(BufReader::new(file), &mut tally))
        .map_err(|error| (receipts, error))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder =
        rustix::fs::open(dir, flags, Mode::empty()).map_err(|error| (dir, error.into()))?;
    for (name, stored) in &stored {
        let found = look(&folder, name, stored);
        tally.count(&found);
        if arguments.json.json {
            print(line(event_of(name, &found)));
        } else if let Some(said) = line_of(name, &found) {
            print(said);
        }
    }
    let exit = tally.exit();
    if arguments.json.json {
        let (tally, exit) = (&tally, exit.code());
        print(line(Event::Summary { tally, exit }));
    }
    tell(tally.summary());
    Ok(exit)
}

/// The files that lines are about, the last of each name.
fn read(lines: impl BufRead, tally: &mut Tally) -> io::Result<BTreeMap<String, Stored>> {
    let mut stored = BTreeMap::new();
    for (index, line) in lines.split(b'\n').enumerate() {
        let (line, number) = (line?, index + 1);
        let text = String::from_utf8_lossy(&line);
        match entry(&text) {
            Ok((name, file)) => {
                stored.insert(name, file);
            }
            Err(Misread::Torn) => {
                tally.torn_lines += 1;
                tell(format_args!("line {number} was cut off, and says nothing"));
            }
            Err(Misread::Malformed(why)) => {
                tally.malformed_lines += 1;
                let why = escaped(&why);
                tell(format_args!("line {number} is not of a stored file: {why}"));
            }
        }
    }
    Ok(stored)
}

fn entry(line: &str) -> Result<(String, Stored), Misread> {
    let entry = Entry::parse(line)?;
    // What stands in a file may be anybody's: a name that no server would have taken leads nowhere.
    let rules = NameRules {
        allow_hidden: true,
        allow_folders: true,
    };
    let name = Name::parse(&entry.name, rules)
        .map_err(|fault| Misread::Malformed(format!("its name is none: {fault}")))?;
    let digest = entry.digest();
    if digest.is_none() && entry.blake3.is_some() {
        return Err(Misread::Malformed("its blake3 is no digest".to_owned()));
    }
    let size = entry.size;
    Ok((name.to_string(), Stored { size, digest }))
}

/// Looks whether a file is as it was stored.
fn look(folder: &OwnedFd, name: &str, stored: &Stored) -> Found {
    let file = match open(folder, name) {
        Ok(file) => file,
        Err(Errno::NOENT | Errno::NOTDIR) => return Found::Missing,
        Err(Errno::LOOP | Errno::MLINK) => {
            return Found::Differs("a link stands in its place".to_owned());
        }
        Err(error) => return Found::Unreadable(error.to_string()),
    };
    match compare(file, stored) {
        Ok(found) => found,
        Err(error) => Found::Unreadable(error.to_string()),
    }
}

/// Opens what is beneath the folder, one component after another, and follows no link.
fn open(folder: &OwnedFd, name: &str) -> Result<File, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let (folders, last) = name.rsplit_once('/').unwrap_or(("", name));
    let mut at = folder.try_clone().map_err(|_| Errno::MFILE)?;
    for component in folders.split('/').filter(|component| !component.is_empty()) {
        let folder = flags | OFlags::DIRECTORY;
        at = rustix::fs::openat(&at, component, folder, Mode::empty())?;
    }
    rustix::fs::openat(&at, last, flags, Mode::empty()).map(File::from)
}

fn compare(mut file: File, stored: &Stored) -> io::Result<Found> {
    let facts = file.metadata()?;
    if !facts.is_file() {
        return Ok(Found::Differs("it is no plain file".to_owned()));
    }
    if facts.len() != stored.size {
        let (has, had) = (show_count(facts.len(), "byte"), stored.size);
        return Ok(Found::Differs(format!("{has}, and not {had}")));
    }
    let Some(digest) = stored.digest else {
        return Ok(Found::Good { by_size: true });
    };
    let mut hasher = blake3::Hasher::new();
    let mut block = vec![0; 1 << 20];
    loop {
        match file.read(&mut block) {
            Ok(0) => break,
            Ok(got) => {
                hasher.update(&block[..got]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(if Digest(hasher.finalize().into()) == digest {
        Found::Good { by_size: false }
    } else {
        Found::Differs("its bytes have another digest".to_owned())
    })
}

fn line_of(name: &str, found: &Found) -> Option<String> {
    let name = escaped(name);
    match found {
        Found::Good { .. } => None,
        Found::Missing => Some(format!("missing {name}")),
        Found::Differs(why) => Some(format!("differs {name}: {why}")),
        Found::Unreadable(why) => Some(format!("unreadable {name}: {why}")),
    }
}

fn event_of<'a>(name: &'a str, found: &'a Found) -> Event<'a> {
    match found {
        Found::Good { by_size } => Event::Good {
            name,
            by_size: *by_size,
        },
        Found::Missing => Event::Missing { name },
        Found::Differs(text) => Event::Differs { name, text },
        Found::Unreadable(text) => Event::Unreadable { name, text },
    }
}

impl Tally {
    fn count(&mut self, found: &Found) {
        match found {
            Found::Good { by_size } => {
                self.good += 1;
                self.by_size += u64::from(*by_size);
            }
            Found::Missing => self.missing += 1,
            Found::Differs(_) => self.differ += 1,
            Found::Unreadable(_) => self.unreadable += 1,
        }
    }

    fn exit(&self) -> Exit {
        if self.missing + self.differ > 0 {
            Exit::Digest
        } else if self.unreadable + self.malformed_lines > 0 || self.all() == 0 {
            // Receipts that were never written are no proof of anything.
            Exit::Local
        } else {
            Exit::Success
        }
    }

    fn all(&self) -> u64 {
        self.good + self.missing + self.differ + self.unreadable
    }

    fn summary(&self) -> String {
        let all = self.all();
        if all == 0 {
            return "piecemeal: there are no receipts in it, so nothing was compared".to_owned();
        }
        let mut summary = format!("{}: {} good", show_count(all, "file"), self.good);
        for (count, what) in [
            (self.missing, "missing"),
            (self.differ, "different"),
            (self.unreadable, "unreadable"),
        ] {
            if count > 0 {
                summary.push_str(&format!("; {count} {what}"));
            }
        }
        if self.by_size > 0 {
            let by_size = self.by_size;
            summary.push_str(&format!(
                "; {by_size} have no digest, and were compared by size alone"
            ));
        }
        summary
    }
}
