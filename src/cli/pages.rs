//! `piecemeal completions` and `piecemeal man`: what clap knows of the commands, for a shell and for
//! `man`.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;
use piecemeal::proto::text::escaped;

use super::{Exit, tell};

#[derive(Debug, Args)]
#[command(after_help = "\
For instance, for bash:
  piecemeal completions bash >~/.local/share/bash-completion/completions/piecemeal")]
pub(super) struct CompletionsArguments {
    /// Which shell the script is for
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "\
To read it at once: piecemeal man | man -l -")]
pub(super) struct ManArguments {
    /// Write a page for each command into this folder; made if it is missing
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) fn completions(arguments: &CompletionsArguments, mut commands: Command) -> Exit {
    // Into memory first: clap's writer panics where a pipe is closed.
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut commands, "piecemeal", &mut script);
    emit(script)
}

pub(super) fn man(arguments: &ManArguments, commands: Command) -> Exit {
    let Some(dir) = &arguments.dir else {
        let mut page = Vec::new();
        return match Man::new(commands).render(&mut page) {
            Ok(()) => emit(page),
            Err(error) => failed(format_args!("can't write the page: {error}")),
        };
    };
    let made = std::fs::create_dir_all(dir);
    match made.and_then(|()| clap_mangen::generate_to(commands, dir)) {
        Ok(()) => Exit::Success,
        Err(error) => {
            let shown = escaped(dir.as_os_str().as_encoded_bytes());
            failed(format_args!("can't write pages into {shown}: {error}"))
        }
    }
}

/// Writes a text to standard output. A reader who has seen enough, as `head` has, is no failure;
/// a full disk is.
pub(super) fn emit(text: impl AsRef<[u8]>) -> Exit {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_ref()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            failed(format_args!("can't write to standard output: {error}"))
        }
        _ => Exit::Success,
    }
}

fn failed(why: impl std::fmt::Display) -> Exit {
    tell(format_args!("piecemeal: {why}"));
    Exit::Other
}
