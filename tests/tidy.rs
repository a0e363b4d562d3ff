//! The structure that docs/ARCHITECTURE.md describes, kept true.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Which floor each folder of src, or file directly in it, stands on.
const FLOORS: &[(&str, u8)] = &[
    ("proto", 0),
    ("reactor", 1),
    ("net", 1),
    ("store", 1),
    ("observe", 1),
    ("sandbox", 1),
    ("session", 2),
    ("server", 3),
    ("client", 3),
    ("lab", 3),
    ("cli", 4),
    ("main", 4),
    ("lib", 4),
];

/// What the lowest floor must never name: it has no sockets, files, clocks or threads.
const NOT_ON_FLOOR_0: &[&str] = &[
    "std::net",
    "std::fs",
    "std::io",
    "std::os",
    "std::thread",
    "std::env",
    "std::process",
    "Instant",
    "SystemTime",
    "mio::",
    "rustix::",
    "socket2::",
    "rand::",
    "log::",
];

/// A subject that needs more lines than this is most likely two.
const LINES_MOST: usize = 450;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files_below(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of the project") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(files_below(&path, ending));
        } else if path
            .extension()
            .is_some_and(|extension| extension == ending)
        {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn sources() -> Vec<(PathBuf, String)> {
    let files = files_below(&root().join("src"), "rs").into_iter();
    files
        .map(|path| (path.clone(), fs::read_to_string(path).expect("a source")))
        .collect()
}

/// The folder of src that a file belongs to.
fn folder_of(path: &Path) -> String {
    let below = path.strip_prefix(root().join("src")).expect("a source");
    let first = below
        .components()
        .next()
        .expect("a name")
        .as_os_str()
        .to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

fn floor_of(folder: &str) -> u8 {
    let floor = FLOORS.iter().find(|(name, _)| *name == folder);
    floor
        .unwrap_or_else(|| panic!("src/{folder} has no floor: add it to FLOORS and to the docs"))
        .1
}

fn is_test(path: &Path) -> bool {
    path.iter()
        .any(|part| part == "tests" || part == "tests.rs")
}

/// The lines that are code of the program: no comments, and no tests.
fn code_of(path: &Path, text: &str) -> Vec<(usize, String)> {
    if is_test(path) {
        return Vec::new();
    }
    // Tests stand last in a file, so what follows `mod tests {` is one.
    let program = text.split("mod tests {").next().unwrap_or_default();
    let lines = program.lines().enumerate();
    let code = lines.filter(|(_, line)| !line.trim_start().starts_with("//"));
    code.map(|(index, line)| (index + 1, line.to_owned()))
        .collect()
}

/// The folders that a line of code names.
fn named_in(line: &str) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for prefix in ["crate::", "piecemeal::"] {
        for (at, _) in line.match_indices(prefix) {
            let rest = &line[at + prefix.len()..];
            let word = |text: &str| -> String {
                text.chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect()
            };
            match rest.strip_prefix('{') {
                Some(list) => named.extend(list.split(',').map(|item| word(item.trim()))),
                None => {
                    named.insert(word(rest));
                }
            }
        }
    }
    named.retain(|name| FLOORS.iter().any(|(folder, _)| folder == name));
    named
}

#[test]
fn a_floor_uses_lower_floors_or_its_own_folder() {
    let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, text) in sources() {
        let own = folder_of(&path);
        for (number, line) in code_of(&path, &text) {
            for other in named_in(&line) {
                if other != own && own != "lib" {
                    let place = format!("{}:{number}", path.display());
                    assert!(
                        floor_of(&other) < floor_of(&own),
                        "{place} uses {other}: {line}"
                    );
                    arrows.entry(own.clone()).or_default().insert(other);
                }
            }
        }
    }
    // So that the check isn't one that sees nothing.
    assert!(
        arrows["session"].contains("store") && arrows["server"].contains("session"),
        "{arrows:?}"
    );
    assert!(!arrows.contains_key("proto"));
}

#[test]
fn the_lowest_floor_names_no_socket_file_or_clock() {
    for (path, text) in sources()
        .into_iter()
        .filter(|(path, _)| folder_of(path) == "proto")
    {
        for (number, line) in code_of(&path, &text) {
            for word in NOT_ON_FLOOR_0 {
                assert!(
                    !line.contains(word),
                    "{}:{number} names {word}: {line}",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn every_file_says_what_it_is_for_and_keeps_to_it() {
    for (path, text) in sources().into_iter().filter(|(path, _)| !is_test(path)) {
        assert!(
            text.starts_with("//! "),
            "{} opens without a word",
            path.display()
        );
        let lines = text.lines().count();
        assert!(lines <= LINES_MOST, "{} has {lines} lines", path.display());
    }
}

#[test]
fn the_docs_name_files_that_are_there() {
    let mut checked = 0;
    let mut pages = files_below(&root().join("docs"), "md");
    pages.push(root().join("README.md"));
    for page in pages {
        let text = fs::read_to_string(&page).expect("a page");
        for (_, rest) in text
            .match_indices("](")
            .map(|(at, _)| text.split_at(at + 2))
        {
            let target = rest.split([')', '#']).next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let from = page.parent().expect("a folder");
            assert!(
                from.join(target).exists(),
                "{} links to {target}",
                page.display()
            );
            checked += 1;
        }
    }
    assert!(checked > 10, "only {checked} links were seen");
}

#[test]
fn the_readme_shows_the_commands_that_the_checks_run() {
    let readme = fs::read_to_string(root().join("README.md")).expect("a README");
    let checks = fs::read_to_string(root().join(".ci/run")).expect("the checks");
    for command in ["cargo test", "cargo run --release -- demo"] {
        assert!(readme.contains(command), "README.md lacks {command}");
        let words: Vec<&str> = command.split(' ').collect();
        let run = checks.lines().any(|line| {
            line.split(' ')
                .filter(|word| *word != "--locked")
                .collect::<Vec<_>>()
                == words
        });
        assert!(run, ".ci/run lacks {command}");
    }
}

/// The texts of a line that stand in quotes and begin so.
fn quoted<'a>(line: &'a str, prefix: &str) -> Vec<&'a str> {
    let texts = line.split('"').skip(1).step_by(2);
    texts.filter(|text| text.starts_with(prefix)).collect()
}

#[test]
fn what_a_server_reads_in_proc_is_within_its_sandboxs_reach() {
    let confine = fs::read_to_string(root().join("src/cli/serve/confine.rs")).expect("a source");
    let (_, list) = confine.split_once("const FACTS").expect("the list");
    let (list, _) = list.split_once("];").expect("its end");
    let allowed: Vec<&str> = list.lines().flat_map(|line| quoted(line, "/")).collect();
    let mut read = BTreeSet::new();
    let serving = ["store", "server", "session", "reactor"];
    for (path, text) in sources() {
        if !serving.contains(&folder_of(&path).as_str()) {
            continue;
        }
        for (number, line) in code_of(&path, &text) {
            for file in quoted(&line, "/proc/") {
                let fact = allowed.iter().find(|allowed| file.starts_with(**allowed));
                let fact = fact.unwrap_or_else(|| {
                    let place = path.display();
                    panic!("{place}:{number} reads {file}: add it to FACTS")
                });
                read.insert(*fact);
            }
        }
    }
    assert_eq!(
        read.len(),
        allowed.len(),
        "{allowed:?}, of which {read:?} are read"
    );
}
