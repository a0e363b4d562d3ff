//! What `send` sends where it is no file: standard input, or a command's output.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use piecemeal::client::{Input, Item};
use rustix::fs::{FileType, OFlags};

use crate::cli::tell;

/// The stream that the arguments ask for, if they do, or why they make no sense.
pub(super) fn asked_for(
    exec: bool,
    is_named: bool,
    words: &[PathBuf],
) -> Result<Option<Input>, String> {
    if exec {
        let Some((program, arguments)) = words.split_first() else {
            return Err("piecemeal: --exec needs a command behind `--`".to_owned());
        };
        let mut command = Command::new(program);
        command.args(arguments);
        return Ok(Some(Input::Command(Box::new(command))));
    }
    if !words.iter().any(|word| word == Path::new("-")) {
        return Ok(None);
    }
    if words.len() > 1 {
        let why = "piecemeal: - is standard input, and is sent alone; a file of that name is ./-";
        return Err(why.to_owned());
    }
    if !is_named {
        return Err("piecemeal: standard input has no name; --name gives it one".to_owned());
    }
    let stdin = io::stdin();
    if is_closed(&stdin) {
        return Err(
            "piecemeal: standard input is closed; </dev/null sends an empty file".to_owned(),
        );
    }
    if stdin.is_terminal() {
        tell("reading from the terminal; Ctrl-D ends it");
    }
    // Not the buffered one: what is at hand is sent at once.
    let file = stdin.as_fd().try_clone_to_owned().map(File::from);
    let file = file.map_err(|error| format!("piecemeal: can't read standard input: {error}"))?;
    Ok(Some(Input::Reader(Box::new(file))))
}

/// Whether the program was started without a standard input. Rust's runtime then opens /dev/null in
/// its place, for writing too, as nobody does who means an empty input.
fn is_closed(stdin: &io::Stdin) -> bool {
    let null = std::fs::metadata("/dev/null").map(|null| null.rdev());
    let is_null = rustix::fs::fstat(stdin).is_ok_and(|facts| {
        FileType::from_raw_mode(facts.st_mode) == FileType::CharacterDevice
            && null.is_ok_and(|null| null == facts.st_rdev)
    });
    is_null
        && rustix::fs::fcntl_getfl(stdin).is_ok_and(|flags| flags & OFlags::ACCMODE == OFlags::RDWR)
}

/// What the stream is called here and there.
pub(super) fn item(words: &[PathBuf], name: String) -> Item {
    let words: Vec<_> = words.iter().map(|word| word.as_os_str()).collect();
    Item {
        path: words.join(" ".as_ref()).into(),
        name,
    }
}
