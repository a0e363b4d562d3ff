//! Section 5 of the protocol, written once more from its text: which rules a name breaks.

use crate::text::{Is, Tables};

/// What a server was told about names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    pub(crate) hidden: bool,
    pub(crate) folders: bool,
}

/// A rule, and words that only its refusal has.
pub(crate) type Rule = &'static str;

pub(crate) const UTF8: Rule = "not UTF-8";
pub(crate) const EMPTY: Rule = "at least one character";
pub(crate) const LONG: Rule = "200 bytes a part, 32 parts and 1024 bytes";
pub(crate) const TEXT: Rule = "control, invisible, private or unassigned";
pub(crate) const SEPARATOR: Rule = "no backslash and no colon";
pub(crate) const FOLDER: Rule = "one folder: a name has no /";
pub(crate) const DOTS: Rule = ". and .. are no names";
pub(crate) const HIDDEN: Rule = "start with a dot";
pub(crate) const END: Rule = "end in a dot or a space";
pub(crate) const DEVICE: Rule = "device on Windows";
pub(crate) const RESERVED: Rule = "the server's own";

/// What has to become of a name.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// The rules it breaks, any of which may be named.
    pub(crate) broken: Vec<Rule>,
    /// Whether it has a character that these tables don't know: then it may be refused as no text.
    pub(crate) unsure: bool,
}

impl Verdict {
    /// Whether a reply's text is right: `None` is an OK.
    pub(crate) fn allows(&self, refusal: Option<&str>) -> bool {
        match refusal {
            None => self.broken.is_empty(),
            Some(text) => {
                let named = |rule: &&Rule| text.contains(**rule);
                self.broken.iter().any(|rule| named(&rule)) || self.unsure && named(&&TEXT)
            }
        }
    }
}

/// Judges a name.
pub(crate) fn judge(tables: &Tables, name: &[u8], told: Told) -> Verdict {
    let Ok(name) = std::str::from_utf8(name) else {
        let broken = vec![UTF8];
        let unsure = false;
        return Verdict { broken, unsure };
    };
    let mut verdict = Verdict::default();
    let parts: Vec<&str> = name.split('/').collect();
    let mut breaks = |rule, is_broken: bool| {
        if is_broken {
            verdict.broken.push(rule);
        }
    };
    breaks(LONG, name.len() > 1024 || parts.len() > 32);
    breaks(FOLDER, parts.len() > 1 && !told.folders);
    for part in parts {
        let seen: String = part.chars().filter(|c| !tables.is_ignorable(*c)).collect();
        breaks(EMPTY, part.is_empty());
        breaks(TEXT, seen.is_empty() && !part.is_empty());
        breaks(LONG, part.len() > 200);
        breaks(TEXT, part.chars().any(|c| tables.is(c) == Is::NoText));
        breaks(SEPARATOR, part.contains('\\') || part.contains(':'));
        breaks(DOTS, seen == "." || seen == "..");
        breaks(HIDDEN, seen.starts_with('.') && !told.hidden);
        breaks(RESERVED, seen.to_lowercase() == ".piecemeal");
        breaks(END, part.ends_with('.') || part.ends_with(' '));
        breaks(DEVICE, is_device(part));
    }
    verdict.unsure = name.chars().any(|c| tables.is(c) == Is::Unknown);
    verdict
}

fn is_device(part: &str) -> bool {
    let stem: String = part.chars().take_while(|c| *c != '.').collect();
    let stem = stem.trim_end_matches(' ').to_ascii_lowercase();
    let words = ["con", "prn", "aux", "nul", "conin$", "conout$"];
    let digits = "0123456789¹²³".chars();
    let ports = digits.flat_map(|digit| [format!("com{digit}"), format!("lpt{digit}")]);
    words.contains(&&*stem) || ports.into_iter().any(|port| port == stem)
}
