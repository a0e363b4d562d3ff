//! Names: what is taken keeps each rule of docs/PROTOCOL.md, and stays where it belongs.

use std::path::{Component, Path};

use piecemeal::proto::Name;
use piecemeal::proto::name::{NameFault, NameRules};

use super::input::Input;
use super::plain::{assert_line, is_harmful, seen};

/// Tries one input: a server's rules, a number, and a name.
pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (how, number) = (input.byte(), input.byte());
    let Ok(text) = std::str::from_utf8(input.rest()) else {
        return;
    };
    let rules = NameRules {
        allow_hidden: how & 1 == 1,
        allow_folders: how & 2 == 2,
    };
    match Name::parse(text, rules) {
        Err(fault) => refused(text, rules, fault),
        Ok(name) => {
            assert_eq!(name.as_str(), text, "it is never rewritten");
            taken(text, rules);
            assert_eq!(Name::parse(name.as_str(), rules).as_ref(), Ok(&name));
            // Whoever allows more takes it too.
            assert_eq!(Name::parse(text, NameRules::LOOSEST).as_ref(), Ok(&name));
            assert_eq!(name.has_folders(), text.contains('/'));
            numbered(&name, rules, number.into());
        }
    }
}

/// The rules, as docs/PROTOCOL.md section 5 has them.
fn taken(text: &str, rules: NameRules) {
    assert_line(text);
    assert!(text.len() <= 1024 && !text.contains(['\\', ':', '\0']));
    let parts: Vec<&str> = text.split('/').collect();
    assert!(parts.len() <= 32 && (rules.allow_folders || parts.len() == 1));
    for part in &parts {
        assert!((1..=200).contains(&part.len()), "{part:?}");
        assert!(!part.ends_with('.') && !part.ends_with(' '));
        // And no rule is got round by what nobody sees.
        let seen = seen(part);
        assert!(!matches!(&*seen, "" | "." | ".."), "{part:?}");
        assert!(rules.allow_hidden || !seen.starts_with('.'), "{part:?}");
        assert!(!seen.eq_ignore_ascii_case(".piecemeal"), "{part:?}");
        assert!(!is_device(part), "{part:?}");
    }
    // It leads to one place beneath its folder, whatever the folder is called.
    let folder = Path::new("/srv/files");
    let path = folder.join(text);
    let below = path.strip_prefix(folder).expect("it is beneath");
    let mut steps = below.components();
    for part in parts {
        assert_eq!(steps.next(), Some(Component::Normal(part.as_ref())));
    }
    assert_eq!(steps.next(), None);
}

/// What Windows opens whatever folder it stands in, written as its documentation lists it.
fn is_device(part: &str) -> bool {
    const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "conin$", "conout$"];
    let stem = part.split('.').next().unwrap_or_default();
    let stem = stem.trim_end_matches(' ').to_lowercase();
    let is_port = |name: &str| {
        let mut rest = stem.strip_prefix(name).unwrap_or_default().chars();
        let digit = rest.next().is_some_and(|c| "0123456789¹²³".contains(c));
        digit && rest.next().is_none()
    };
    DEVICES.contains(&stem.as_str()) || is_port("com") || is_port("lpt")
}

/// A refusal names a rule that is broken.
fn refused(text: &str, rules: NameRules, fault: NameFault) {
    assert_line(&fault.to_string());
    let parts = || text.split('/');
    let any_seen = |is_such: &dyn Fn(&str) -> bool| parts().any(|part| is_such(&seen(part)));
    let is_broken = match fault {
        NameFault::Empty => parts().any(str::is_empty),
        NameFault::TooLong => {
            text.len() > 1024 || parts().count() > 32 || parts().any(|part| part.len() > 200)
        }
        // The rest of what isn't plain is unassigned, which is neither letter nor digit.
        NameFault::NotText => {
            let may_be_unassigned = |c: char| !c.is_ascii() && !c.is_alphanumeric();
            let is_bad = |c| is_harmful(c) || may_be_unassigned(c);
            text.chars().any(is_bad) || any_seen(&str::is_empty)
        }
        NameFault::Separator => text.contains(['\\', ':']),
        NameFault::Folder => text.contains('/') && !rules.allow_folders,
        NameFault::Dots => any_seen(&|part| matches!(part, "." | "..")),
        NameFault::Hidden => !rules.allow_hidden && any_seen(&|part| part.starts_with('.')),
        NameFault::BadEnd => parts().any(|part| part.ends_with(['.', ' '])),
        NameFault::Device => parts().any(is_device),
        NameFault::Reserved => any_seen(&|part| part.eq_ignore_ascii_case(".piecemeal")),
        NameFault::NotFolder => false,
    };
    assert!(is_broken, "{text:?} doesn't break it: {fault}");
}

/// The same name with a number is a name by the same rules, in the same folder, and another for
/// each number.
fn numbered(name: &Name, rules: NameRules, number: u32) {
    let folder = |name: &Name| {
        name.as_str()
            .rfind('/')
            .map(|at| name.as_str()[..at].to_owned())
    };
    let pair = [name.numbered(number), name.numbered(number + 1)];
    let folders = name.as_str().rfind('/').map_or(0, |at| at + 1);
    // The longest number and the longest character have room.
    assert!(pair.iter().all(Option::is_some) || folders > 1024 - 10);
    assert!(pair[0] != pair[1] || pair[0].is_none());
    for numbered in pair.into_iter().flatten() {
        assert_eq!(folder(&numbered), folder(name));
        // A name that is as long as may be, and numbered so already, is tried again: it is taken.
        assert!(&numbered != name || name.as_str().contains(" ("));
        let again = Name::parse(numbered.as_str(), rules);
        assert_eq!(
            again.as_ref(),
            Ok(&numbered),
            "{name:?} becomes {numbered:?}"
        );
    }
}
