//! The workbook in docs/lab, kept true: what its pages name is there, and what they show happens.
//!
//! A block that is fenced as ```` ```console ```` is something to type, behind `$ `, and what it
//! prints. Options, files and functions that are named are looked up. With a word behind `console`
//! the block is played, too, in the order of the page:
//!
//! - `server`: its command is started, and runs until the page starts another one;
//! - `checked`: its commands print what the page says. A line that ends in `…` may go on, and a line
//!   that is `…` stands for any number of lines. Of the checker's report only the verdicts count,
//!   and our own server passes the cases that somebody else's fails.
//!
//! Where the outcome depends on how fast things are, a block is not played.

mod common;
#[path = "workbook/page.rs"]
mod page;
#[path = "workbook/play.rs"]
mod play;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use common::{piecemeal, skipped};
use page::{pages, words};
use play::Player;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What stands between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn the_servers_that_the_pages_name_are_there() {
    let mut seen = BTreeSet::new();
    for page in pages() {
        for (at, _) in page.text.match_indices(".py") {
            let before = &page.text[..at];
            let from = before.rfind(|c: char| c.is_whitespace() || "`\"([".contains(c));
            let path = &before[from.map_or(0, |from| from + 1)..];
            let name = path.rsplit('/').next().expect("there is one");
            let is_own = path.starts_with("/tmp/lab/");
            if name.starts_with("task") && !is_own || path.starts_with("$LAB/") {
                let folder = if path.contains("right/") {
                    "right"
                } else {
                    "broken"
                };
                let file = root().join(format!("tests/lab/{folder}/{name}.py"));
                assert!(file.exists(), "{} names {path}.py", page.name);
                seen.insert(name.to_owned());
            }
        }
    }
    assert!(seen.len() > 15, "only {seen:?} were seen");
}

#[test]
fn the_functions_to_look_for_are_in_the_files_to_open() {
    let mut checked = 0;
    for page in pages() {
        let rows = page
            .text
            .lines()
            .filter(|line| line.starts_with("| [") && line.contains("]("));
        for row in rows {
            let cells: Vec<&str> = row.split(" | ").collect();
            let [link, names, _] = cells[..] else {
                continue;
            };
            let path = link.split_once("](").expect("it was filtered").1;
            let path = root().join("docs/lab").join(path.trim_end_matches(')'));
            let code = fs::read_to_string(&path).expect("a file to open");
            for name in quoted(names) {
                let words = code.split(|c: char| !c.is_alphanumeric() && c != '_');
                assert!(
                    words.into_iter().any(|word| word == name),
                    "{}: no {name} in {path:?}",
                    page.name
                );
                checked += 1;
            }
        }
    }
    assert!(checked > 30, "only {checked} names were seen");
}

#[test]
fn the_rust_that_the_pages_show_is_in_the_sources() {
    for page in pages() {
        for block in page.blocks.iter().filter(|block| block.info == "rust") {
            let code = fs::read_to_string(root().join("src/proto/header.rs")).expect("a source");
            for line in &block.lines {
                let is_there = code.lines().any(|there| there.trim() == line.trim());
                assert!(is_there, "{}: {line}", page.name);
            }
        }
    }
}

#[test]
fn every_option_on_a_page_is_in_the_help() {
    let mut helps: BTreeMap<Vec<String>, String> = BTreeMap::new();
    let mut checked = 0;
    for page in pages() {
        let typed = page.typed();
        let mentioned = quoted(&page.text).filter(|text| text.starts_with("piecemeal "));
        let commands = typed
            .iter()
            .map(|typed| typed.command.as_str())
            .chain(mentioned);
        for part in commands.flat_map(|command| command.split('|')) {
            let words = words(part);
            let Some(("piecemeal", words)) =
                words.split_first().map(|(first, rest)| (*first, rest))
            else {
                continue;
            };
            let is_name = |word: &&&str| word.chars().all(|c| c.is_ascii_lowercase());
            let most = if words[0] == "lab" { 2 } else { 1 };
            let subcommand: Vec<String> = words
                .iter()
                .take(most)
                .take_while(is_name)
                .map(|word| (*word).to_owned())
                .collect();
            let help = helps.entry(subcommand.clone()).or_insert_with(|| {
                let mut arguments = subcommand.clone();
                arguments.push("--help".into());
                piecemeal(&arguments).exits(0).out
            });
            for option in words.iter().filter(|word| word.starts_with("--")) {
                let there = help.split_whitespace().any(|word| word == *option);
                assert!(
                    there,
                    "{}: {option} is no option of {subcommand:?}",
                    page.name
                );
                checked += 1;
            }
        }
    }
    for page in pages() {
        for option in quoted(&page.text).filter(|text| text.starts_with("--")) {
            let option = option.split(' ').next().expect("there is one");
            let there = helps
                .values()
                .any(|help| help.split_whitespace().any(|word| word == option));
            assert!(there, "{}: {option} is no option", page.name);
        }
    }
    assert!(checked > 50, "only {checked} options were seen");
}

#[test]
fn the_pages_show_what_happens() {
    let python = Command::new("python3").arg("--version").output();
    if python.is_err() {
        return skipped("no python3 here: the workbook's commands were not run");
    }
    let pages = pages();
    let failing: usize = thread::scope(|scope| {
        let played: Vec<_> = pages
            .iter()
            .map(|page| scope.spawn(|| Player::new(page).play()))
            .collect();
        played
            .into_iter()
            .map(|page| page.join().expect("the page is true"))
            .sum()
    });
    // Some depend on a machine that isn't too busy; most don't.
    assert!(failing >= 8, "only {failing} cases were seen to fail");
}
