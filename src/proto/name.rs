//! What a file may be called. The same rule holds on both ends: a name is taken as it is or
//! refused, and never rewritten, so that two names can't become one.

use std::borrow::Cow;
use std::fmt;

use thiserror::Error;

use super::text::{is_plain, is_unseen};

/// Most bytes of one component; file systems stop at 255, and a server needs room for its own.
pub const COMPONENT_MOST: usize = 200;
/// Most components of one name.
pub const COMPONENTS_MOST: usize = 32;
/// Most bytes of a whole name.
pub const NAME_MOST: usize = 1024;
/// The folder in which a server keeps what isn't finished. No client may name it.
pub const RESERVED: &str = ".piecemeal";

/// A name that keeps every rule of this page.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name(Box<str>);

/// What a server lets names do beyond the rules that always hold.
#[derive(Clone, Copy, Debug, Default)]
pub struct NameRules {
    /// Components may start with a dot.
    pub allow_hidden: bool,
    /// Names may have folders, parted by `/`.
    pub allow_folders: bool,
}

impl NameRules {
    /// The rules that hold on every server, whatever else one refuses.
    pub const LOOSEST: NameRules = NameRules {
        allow_hidden: true,
        allow_folders: true,
    };
}

/// The rule that a name breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NameFault {
    /// Nothing between two slashes, or nothing at all.
    #[error("a name has at least one character, and no empty part between slashes")]
    Empty,
    /// Too many bytes or components.
    #[error("a name has at most 200 bytes a part, 32 parts and 1024 bytes in all")]
    TooLong,
    /// A character that isn't plain text.
    #[error("a name has no control, invisible, private or unassigned characters")]
    NotText,
    /// A character that some system takes for a separator.
    #[error("a name has no backslash and no colon")]
    Separator,
    /// A `/` where the server keeps one flat folder.
    #[error("this server keeps one folder: a name has no /")]
    Folder,
    /// A file or a link where a folder is needed.
    #[error("a part of that name is a file or a link there, and no folder")]
    NotFolder,
    /// `.` or `..`.
    #[error(". and .. are no names")]
    Dots,
    /// A leading dot.
    #[error("a name doesn't start with a dot here")]
    Hidden,
    /// A dot or a space at the end, which Windows drops.
    #[error("a name doesn't end in a dot or a space")]
    BadEnd,
    /// `CON`, `nul.txt` and their like.
    #[error("that name is a device on Windows")]
    Device,
    /// The server's own folder.
    #[error("that name is the server's own")]
    Reserved,
}

impl Name {
    /// Checks a text against the rules.
    pub fn parse(text: &str, rules: NameRules) -> Result<Name, NameFault> {
        if text.len() > NAME_MOST || text.split('/').count() > COMPONENTS_MOST {
            return Err(NameFault::TooLong);
        }
        for component in text.split('/') {
            check_component(component, rules)?;
        }
        if !rules.allow_folders && text.contains('/') {
            return Err(NameFault::Folder);
        }
        Ok(Name(text.into()))
    }

    /// Whether it has folders before the file's own name.
    pub fn has_folders(&self) -> bool {
        self.0.contains('/')
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same name with a number before its extension: `report (2).pdf`. Where the number
    /// would make the name too long, the stem gives way; an extension that leaves nothing of it is
    /// none. `None` where not even one character has room beside the number.
    pub fn numbered(&self, number: u32) -> Option<Name> {
        let (folder, file) = match self.0.rfind('/') {
            Some(slash) => self.0.split_at(slash + 1),
            None => ("", &*self.0),
        };
        let most = COMPONENT_MOST.min(NAME_MOST.saturating_sub(folder.len()));
        let extension = file.rfind('.').filter(|dot| *dot > 0);
        let parts = extension.map(|dot| file.split_at(dot));
        let candidates = parts.into_iter().chain([(file, "")]);
        candidates.into_iter().find_map(|(stem, extension)| {
            let tail = format!(" ({number}){extension}");
            let room = most.checked_sub(tail.len())?.min(stem.len());
            let end = (1..=room).rev().find(|end| stem.is_char_boundary(*end))?;
            let stem = &stem[..end];
            Some(Name(format!("{folder}{stem}{tail}").into()))
        })
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn check_component(component: &str, rules: NameRules) -> Result<(), NameFault> {
    if component.is_empty() {
        return Err(NameFault::Empty);
    }
    if component.len() > COMPONENT_MOST {
        return Err(NameFault::TooLong);
    }
    if !component.chars().all(is_plain) {
        return Err(NameFault::NotText);
    }
    if component.contains(['\\', ':']) {
        return Err(NameFault::Separator);
    }
    // Some file systems skip what nobody sees: there `..` with such a character in it is `..`.
    let seen = without_unseen(component);
    if seen.is_empty() {
        return Err(NameFault::NotText);
    }
    if seen == "." || seen == ".." {
        return Err(NameFault::Dots);
    }
    // Some file systems fold case, so every spelling of the server's folder is its own.
    if seen.eq_ignore_ascii_case(RESERVED) {
        return Err(NameFault::Reserved);
    }
    if seen.starts_with('.') && !rules.allow_hidden {
        return Err(NameFault::Hidden);
    }
    if component.ends_with(['.', ' ']) {
        return Err(NameFault::BadEnd);
    }
    if is_device(component) {
        return Err(NameFault::Device);
    }
    Ok(())
}

/// A component as it is read by a person, and by a file system that skips what a person can't see.
fn without_unseen(component: &str) -> Cow<'_, str> {
    if component.contains(is_unseen) {
        Cow::Owned(component.replace(is_unseen, ""))
    } else {
        Cow::Borrowed(component)
    }
}

/// Whether Windows would open a device under this name: it looks only at what stands before the
/// first dot, without trailing spaces, in any case.
fn is_device(component: &str) -> bool {
    let stem = component
        .split('.')
        .next()
        .unwrap_or_default()
        .trim_end_matches(' ');
    let stem = stem.to_ascii_uppercase();
    if matches!(
        stem.as_str(),
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$"
    ) {
        return true;
    }
    let port = stem
        .strip_prefix("COM")
        .or_else(|| stem.strip_prefix("LPT"));
    let mut rest = port.unwrap_or_default().chars();
    // The superscript digits count as digits there.
    matches!(
        (rest.next(), rest.next()),
        (Some('0'..='9' | '¹' | '²' | '³'), None)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FOLDERS: NameRules = NameRules {
        allow_hidden: false,
        allow_folders: true,
    };

    fn refused(text: &str) -> NameFault {
        Name::parse(text, FOLDERS).expect_err(text)
    }

    #[test]
    fn ordinary_names_are_taken_as_they_are() {
        for text in [
            "a",
            "report (2).pdf",
            "CONSOLE.txt",
            "COM10",
            "com",
            "Ærø.jpg",
            "a..b",
            "x y",
        ] {
            assert_eq!(
                Name::parse(text, NameRules::default())
                    .expect(text)
                    .as_str(),
                text
            );
        }
        assert!(Name::parse("a/b/c.txt", FOLDERS).is_ok());
        assert!(Name::parse(&"n".repeat(COMPONENT_MOST), FOLDERS).is_ok());
    }

    #[test]
    fn the_longest_and_the_deepest_name_are_taken_and_nothing_beyond() {
        let deepest = ["a"; COMPONENTS_MOST].join("/");
        assert!(Name::parse(&deepest, FOLDERS).is_ok());
        assert_eq!(refused(&format!("{deepest}/a")), NameFault::TooLong);
        let mut longest = vec!["n".repeat(199); 5].join("/");
        longest.push('/');
        longest.push_str(&"n".repeat(NAME_MOST - longest.len()));
        assert_eq!(longest.len(), NAME_MOST);
        assert!(Name::parse(&longest, FOLDERS).is_ok());
        assert_eq!(refused(&format!("{longest}n")), NameFault::TooLong);
    }

    #[test]
    fn a_name_says_whether_it_has_folders() {
        for (text, has) in [("a.b", false), ("a/b", true)] {
            let name = Name::parse(text, FOLDERS).expect(text);
            assert_eq!(name.has_folders(), has, "{text}");
        }
    }

    #[test]
    fn each_rule_refuses_what_it_is_for() {
        for text in ["", "a//b", "/a", "a/"] {
            assert_eq!(refused(text), NameFault::Empty, "{text:?}");
        }
        assert_eq!(refused(&"n".repeat(201)), NameFault::TooLong);
        assert_eq!(refused(&["a"; 33].join("/")), NameFault::TooLong);
        assert_eq!(
            refused(&vec!["n".repeat(199); 6].join("/")),
            NameFault::TooLong
        );
        for text in [
            "a\0b",
            "a\nb",
            "\u{202e}gpj.exe",
            "a\u{200b}b",
            "\u{e000}",
            "a\u{2028}b",
        ] {
            assert_eq!(refused(text), NameFault::NotText, "{text:?}");
        }
        for text in ["a\\b", "C:", "x:stream"] {
            assert_eq!(refused(text), NameFault::Separator, "{text:?}");
        }
        for text in [".", "..", "a/../b", "../x"] {
            assert_eq!(refused(text), NameFault::Dots, "{text:?}");
        }
        assert_eq!(refused(".profile"), NameFault::Hidden);
        for text in ["a.", "a ", "...a."] {
            let fault = refused(text);
            assert!(
                matches!(fault, NameFault::BadEnd | NameFault::Hidden),
                "{text:?}"
            );
        }
        for text in ["CON", "nul.txt", "COM¹", "lpt9.a.b", "aux .txt", "a/PRN"] {
            assert_eq!(refused(text), NameFault::Device, "{text:?}");
        }
        assert_eq!(
            Name::parse("a/b", NameRules::default()),
            Err(NameFault::Folder)
        );
    }

    #[test]
    fn hidden_names_can_be_allowed_but_never_the_servers_own_folder() {
        let rules = NameRules {
            allow_hidden: true,
            allow_folders: true,
        };
        assert!(Name::parse(".profile", rules).is_ok());
        for text in [".piecemeal", ".Piecemeal", "a/.piecemeal/b"] {
            assert_eq!(Name::parse(text, rules), Err(NameFault::Reserved));
        }
        assert_eq!(Name::parse("..", rules), Err(NameFault::Dots));
    }

    #[test]
    fn what_nobody_sees_in_a_name_hides_no_rule_from_it() {
        let rules = NameRules::LOOSEST;
        for text in [
            ".piecemeal\u{fe0f}",
            ".\u{34f}Piecemeal",
            "\u{3164}.piecemeal/x",
        ] {
            assert_eq!(Name::parse(text, rules), Err(NameFault::Reserved));
        }
        for text in ["..\u{fe0f}", ".\u{e0100}", "a/\u{180b}.\u{fe00}.\u{ffa0}/b"] {
            assert_eq!(Name::parse(text, rules), Err(NameFault::Dots));
        }
        assert_eq!(refused("\u{115f}.profile"), NameFault::Hidden);
        assert_eq!(refused("\u{3164}\u{fe0f}"), NameFault::NotText);
        assert!(Name::parse("\u{2600}\u{fe0f}.txt", FOLDERS).is_ok());
    }

    #[test]
    fn a_number_stands_before_the_extension() {
        let numbered = |text: &str, n| {
            Name::parse(
                text,
                NameRules {
                    allow_hidden: true,
                    allow_folders: true,
                },
            )
            .expect("good name")
            .numbered(n)
            .expect("it has room")
            .to_string()
        };
        assert_eq!(numbered("report.pdf", 2), "report (2).pdf");
        assert_eq!(numbered("a.b/noext", 3), "a.b/noext (3)");
        assert_eq!(numbered(".profile", 2), ".profile (2)");
        let long = numbered(&format!("{}.txt", "ø".repeat(98)), 10);
        assert!(
            long.len() <= COMPONENT_MOST && long.ends_with("ø (10).txt"),
            "{long}"
        );
        // Only the last component counts against its own limit.
        let long = numbered(&format!("d/{}", "n".repeat(COMPONENT_MOST)), 2);
        assert_eq!(long, format!("d/{} (2)", "n".repeat(COMPONENT_MOST - 4)));
        // The whole name has a limit as well: what the folders leave is the stem's.
        let folders = format!("{}/", vec!["n".repeat(199); 5].join("/"));
        for length in 1..=NAME_MOST - folders.len() {
            let name = numbered(&format!("{folders}{}", "s".repeat(length)), 23);
            let stem = length.min(NAME_MOST - folders.len() - " (23)".len());
            assert_eq!(name, format!("{folders}{} (23)", "s".repeat(stem)));
        }
    }

    #[test]
    fn a_number_never_makes_a_name_longer_than_a_name_may_be() {
        let numbered = |text: &str| {
            let name = Name::parse(text, NameRules::LOOSEST).expect("good name");
            name.numbered(2).map(|name| name.to_string())
        };
        // An extension that leaves no room for a stem gives way with it.
        let long = format!("a.{}", "x".repeat(198));
        assert_eq!(numbered(&long), Some(format!("{} (2)", &long[..196])));
        let folders = [&*"n".repeat(199); 5].join("/");
        assert_eq!(
            numbered(&format!("{folders}/{}", "y".repeat(24))),
            Some(format!("{folders}/{} (2)", "y".repeat(20)))
        );
        // Five bytes are room for the number and one of the name's own.
        let folders = format!("{folders}/{}", "m".repeat(18));
        assert_eq!(
            numbered(&format!("{folders}/abcde")),
            Some(format!("{folders}/a (2)"))
        );
        assert_eq!(numbered(&format!("{folders}/øbcd")), None);
        assert_eq!(numbered(&format!("{folders}m/abcd")), None);
    }

    proptest! {
        #[test]
        fn a_name_that_is_taken_never_leaves_its_folder(text in "[./a \\\\:~\u{0}-\u{20}é]{0,12}") {
            let rules = NameRules { allow_hidden: true, allow_folders: true };
            if let Ok(name) = Name::parse(&text, rules) {
                prop_assert_eq!(name.as_str(), &text);
                let depth = text.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
                prop_assert!(depth);
                let numbered = name.numbered(2).expect("it is short");
                prop_assert!(Name::parse(numbered.as_str(), rules).is_ok());
            }
        }
    }
}
