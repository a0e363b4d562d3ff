//! Which characters are text, by other tables than the program's own.

#![allow(dead_code, reason = "each test file uses its own part")]

use regex_syntax::hir::{Class, HirKind};

/// The tables of `regex-syntax`, which somebody else makes from another version of Unicode.
#[derive(Debug)]
pub(crate) struct Tables {
    /// General category C: control, format, private use, unassigned.
    other: Vec<(u32, u32)>,
    unassigned: Vec<(u32, u32)>,
    separators: Vec<(u32, u32)>,
    ignorable: Vec<(u32, u32)>,
}

/// What the tables say of a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Is {
    /// Visible, or a space, or what belongs to the character before it.
    Text,
    /// Nothing that may reach a terminal.
    NoText,
    /// Unassigned in the version of these tables, and perhaps text in a later one.
    Unknown,
}

impl Tables {
    pub(crate) fn new() -> Tables {
        Tables {
            other: ranges(r"\p{C}"),
            unassigned: ranges(r"\p{Cn}"),
            separators: ranges(r"[\p{Zl}\p{Zp}]"),
            ignorable: ranges(r"\p{Default_Ignorable_Code_Point}"),
        }
    }

    pub(crate) fn is(&self, c: char) -> Is {
        let code = u32::from(c);
        // Never assigned, in any version to come.
        let is_none = code & 0xfffe == 0xfffe || (0xfdd0..=0xfdef).contains(&code);
        if !is_none && has(&self.unassigned, c) {
            Is::Unknown
        } else if is_none || has(&self.other, c) || has(&self.separators, c) {
            Is::NoText
        } else {
            Is::Text
        }
    }

    /// The last and the first of neighbouring characters that are of different kinds.
    pub(crate) fn borders(&self) -> impl Iterator<Item = u32> {
        let kinds = [
            &self.other,
            &self.unassigned,
            &self.separators,
            &self.ignorable,
        ];
        let ranges = kinds.into_iter().flatten();
        ranges.flat_map(|(first, last)| [first.saturating_sub(1), *first, *last, last + 1])
    }

    /// Whether programs may skip it.
    pub(crate) fn is_ignorable(&self, c: char) -> bool {
        has(&self.ignorable, c)
    }
}

fn has(ranges: &[(u32, u32)], c: char) -> bool {
    let code = u32::from(c);
    let behind = ranges.partition_point(|(first, _)| *first <= code);
    behind > 0 && code <= ranges[behind - 1].1
}

fn ranges(class: &str) -> Vec<(u32, u32)> {
    let hir = regex_syntax::Parser::new().parse(class).expect("a class");
    let HirKind::Class(Class::Unicode(class)) = hir.into_kind() else {
        panic!("{class} is no class");
    };
    let pair =
        |range: &regex_syntax::hir::ClassUnicodeRange| (range.start().into(), range.end().into());
    class.iter().map(pair).collect()
}
