//! What `send` sends: the files and folders that were named, and what is said of the rest.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use clap::builder::FalseyValueParser;
use clap::{ArgAction, Args};
use piecemeal::client::{Found, Item, Walk};
use piecemeal::proto::text::escaped;

use super::tell;
use super::units::show_count;

/// The flags that say what of a folder is sent.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct GatherArguments {
    /// Of folders, send what is hidden too: files and folders whose names begin with a dot
    #[arg(long, env = "PIECEMEAL_HIDDEN", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    hidden: bool,

    /// Of folders, send what links point to; without it, links in them are left out
    #[arg(long, env = "PIECEMEAL_FOLLOW_LINKS", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    follow_links: bool,

    /// List what would be sent, under which names, and send nothing
    #[arg(long, env = "PIECEMEAL_DRY_RUN", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    pub(super) dry_run: bool,
}

impl GatherArguments {
    /// Finds what is to be sent. A single file or folder may have another name than its own.
    pub(super) fn gather(self, paths: &[PathBuf], name: Option<&str>) -> Found {
        let walk = Walk {
            hidden: self.hidden,
            follow_links: self.follow_links,
        };
        let mut found = Found::default();
        for path in paths {
            if path.is_dir() {
                found.add_folder(path, name, walk);
            } else {
                let own = || path.file_name().and_then(|own| own.to_str());
                let name = name.or_else(own).unwrap_or_default().to_owned();
                let path = path.clone();
                // A name that is none is told from the path; see `reason` in `send`.
                found.items.push(Item { path, name });
            }
        }
        found
    }
}

/// Two files that would have one name there, if there are any. Which of them is stored would be a
/// matter of luck.
pub(super) fn clash(items: &[Item]) -> Option<(&Item, &Item)> {
    let mut names: HashMap<&str, &Item> = HashMap::with_capacity(items.len());
    let named = items.iter().filter(|item| !item.name.is_empty());
    for item in named {
        if let Some(other) = names.insert(&item.name, item) {
            return Some((other, item));
        }
    }
    None
}

/// What is said of two such files.
pub(super) fn clash_line(one: &Item, other: &Item) -> String {
    let (first, second, name) = (shown(&one.path), shown(&other.path), escaped(&one.name));
    if one.path == other.path {
        return format!("piecemeal: {first} is named twice");
    }
    format!(
        "piecemeal: {first} and {second} would both be called {name} there; send one with another --name, or both with --on-conflict rename"
    )
}

/// Says what of the folders is left out on purpose. Where only failures are to be shown, what can't
/// be sent at all is one.
pub(super) fn tell_left_out(found: &Found, only_failures: bool) {
    for (path, what) in &found.special {
        tell(format_args!(
            "piecemeal: {}: left out: it is {what}",
            shown(path)
        ));
    }
    if only_failures {
        return;
    }
    let left_out = [
        (
            &found.links,
            "link",
            "--follow-links sends what they point to",
        ),
        (&found.hidden, "hidden name", "--hidden sends them"),
    ];
    for (paths, what, hint) in left_out {
        if let Some(first) = paths.first() {
            let count = show_count(paths.len() as u64, what);
            let first = shown(first);
            tell(format_args!("{count} left out, {first} first; {hint}"));
        }
    }
}

/// A path for a person.
pub(super) fn shown(path: &Path) -> String {
    escaped(path.as_os_str().as_encoded_bytes()).to_string()
}
