//! A page of the workbook, and what is to be typed on it.

use std::fs;
use std::path::{Path, PathBuf};

use super::root;

/// A page, and its fenced blocks.
pub(crate) struct Page {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) blocks: Vec<Block>,
}

/// What stands between two fences.
pub(crate) struct Block {
    /// What stands behind the opening fence.
    pub(crate) info: String,
    pub(crate) lines: Vec<String>,
}

/// A command, and the lines that it is said to print.
pub(crate) struct Typed {
    pub(crate) command: String,
    pub(crate) prints: Vec<String>,
}

impl Page {
    fn read(path: &Path) -> Page {
        let text = fs::read_to_string(path).expect("a page");
        let mut blocks: Vec<Block> = Vec::new();
        let mut indent = None;
        for line in text.lines() {
            let inner = line.trim_start();
            let depth = line.len() - inner.len();
            match (inner.strip_prefix("```"), indent) {
                (Some(info), None) => {
                    indent = Some(depth);
                    let (info, lines) = (info.to_owned(), Vec::new());
                    blocks.push(Block { info, lines });
                }
                (Some(_), Some(_)) => indent = None,
                (None, Some(indent)) => {
                    let block = blocks.last_mut().expect("it was opened");
                    block
                        .lines
                        .push(line.get(indent..).unwrap_or("").to_owned());
                }
                (None, None) => {}
            }
        }
        assert!(indent.is_none(), "{} ends in a block", path.display());
        let name = path.file_name().expect("a name").to_string_lossy();
        Page {
            name: name.into_owned(),
            text,
            blocks,
        }
    }

    /// All that is to be typed.
    pub(crate) fn typed(&self) -> Vec<Typed> {
        let consoles = self
            .blocks
            .iter()
            .filter(|block| block.info.starts_with("console"));
        consoles.flat_map(Block::typed).collect()
    }
}

impl Block {
    pub(crate) fn typed(&self) -> Vec<Typed> {
        let mut all: Vec<Typed> = Vec::new();
        for line in &self.lines {
            match (line.strip_prefix("$ "), all.last_mut()) {
                (Some(command), _) => all.push(Typed {
                    command: command.to_owned(),
                    prints: Vec::new(),
                }),
                (None, Some(typed)) => typed.prints.push(line.clone()),
                (None, None) => panic!("a console begins with a command, not with {line:?}"),
            }
        }
        all
    }
}

pub(crate) fn pages() -> Vec<Page> {
    let mut paths: Vec<PathBuf> = fs::read_dir(root().join("docs/lab"))
        .expect("the workbook")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    assert_eq!(paths.len(), 7, "six tasks and an index: {paths:?}");
    paths.iter().map(|path| Page::read(path)).collect()
}

/// The words of a command line, as far as options go: quotes are left out.
pub(crate) fn words(command: &str) -> Vec<&str> {
    let plain: Vec<&str> = command.split(['"', '\'']).step_by(2).collect();
    plain.into_iter().flat_map(str::split_whitespace).collect()
}
