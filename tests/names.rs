//! Every short name and very many longer ones: each is taken exactly as it is, or refused with the
//! rule that it breaks.
//!
//! The rules are written out anew in `names/oracle.rs`, with other tables of characters.
//! `PIECEMEAL_NAMES=1000000` tries so many made-up names; CI tries fewer.

mod common;
#[path = "names/oracle.rs"]
mod oracle;
#[path = "names/soup.rs"]
mod soup;
#[path = "names/text.rs"]
mod text;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use common::{Client, Server, data, put, string};
use oracle::{Told, judge};
use piecemeal::proto::name::{Name, NameRules};
use piecemeal::proto::text::{is_plain, is_unseen};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use text::{Is, Tables};

/// Made-up names that CI tries; a tenth of them go through a server.
const NAMES: u64 = 30_000;
/// Messages that are sent ahead of their replies.
const AHEAD: usize = 200;

/// Each way in which a server can be told about names, and how it is told.
const SERVERS: [(Told, &[&str]); 3] = [
    (
        Told {
            hidden: false,
            folders: true,
        },
        &[],
    ),
    (
        Told {
            hidden: true,
            folders: true,
        },
        &["--allow-hidden"],
    ),
    (
        Told {
            hidden: false,
            folders: false,
        },
        &["--flat"],
    ),
];

fn names_to_try() -> u64 {
    let set = std::env::var("PIECEMEAL_NAMES").ok();
    set.map_or(NAMES, |set| set.parse().expect("a number of names"))
}

/// All names of one and of two bytes.
fn short_names() -> impl Iterator<Item = Vec<u8>> {
    let ones = (0..=255).map(|byte| vec![byte]);
    ones.chain((0..=u16::MAX).map(|pair| pair.to_be_bytes().to_vec()))
}

/// Announces names, and gives those that were taken. Each reply has to be the right one.
fn announce(client: &mut Client, tables: &Tables, told: Told, names: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut taken = Vec::new();
    for names in names.chunks(AHEAD) {
        client.send(names.iter().flat_map(string).collect::<Vec<u8>>());
        for name in names {
            let reply = client.reply();
            let refusal = match reply.status() {
                "OK" => None,
                "ERR bad-name" | "ERR bad-text" => reply.key("text"),
                status => panic!("{}: {status}", name.escape_ascii()),
            };
            let verdict = judge(tables, name, told);
            let shown = name.escape_ascii();
            assert!(
                verdict.allows(refusal),
                "{shown}: {reply}, and not {verdict:?}"
            );
            if refusal.is_none() {
                taken.push(name.clone());
            }
        }
    }
    taken
}

/// Stores a file under each name, with the name in it, and looks whether each receipt says that
/// very name, byte for byte.
fn store(client: &mut Client, names: &[Vec<u8>], as_put: bool) {
    for names in names.chunks(AHEAD) {
        for name in names {
            let announced = match as_put {
                true => put([b"name=", &name[..]].concat()),
                false => string(name),
            };
            client.send([announced, data(name)].concat());
        }
        for name in names {
            client.ok();
            let name = std::str::from_utf8(name).expect("it was taken");
            client.receipt(name, name.len());
        }
    }
}

/// What is in a folder: the names of all files, as they are on the disk, and what each holds.
fn tree(folder: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    fn walk(folder: &Path, above: &[u8], found: &mut BTreeMap<Vec<u8>, Vec<u8>>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let entry = entry.expect("an entry");
            let name = [above, &entry.file_name().into_vec()].concat();
            if entry.file_type().expect("it is there").is_dir() {
                walk(&entry.path(), &[&name[..], b"/"].concat(), found);
            } else {
                found.insert(name, fs::read(entry.path()).expect("a file"));
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(folder, b"", &mut found);
    found
}

#[track_caller]
fn expect_exactly(server: &Server, names: &[Vec<u8>]) {
    let expected: BTreeMap<_, _> = names
        .iter()
        .map(|name| (name.clone(), name.clone()))
        .collect();
    let found = tree(&server.path(""));
    for name in found.keys().chain(expected.keys()) {
        let shown = name.escape_ascii();
        assert_eq!(found.get(name), expected.get(name), "{shown}");
    }
}

#[test]
fn every_name_of_one_and_two_bytes_is_taken_as_it_is_or_refused_with_its_rule() {
    let tables = Tables::new();
    let names: Vec<_> = short_names().collect();
    assert_eq!(names.len(), 256 + 65_536);
    for (told, arguments) in SERVERS {
        let server = Server::start(&[&["--durability", "none"], arguments].concat());
        let mut client = server.client();
        // What the others were told is about dots and slashes; of the rest, some will do.
        let about = |name: &[u8]| name.contains(&b'.') || name.contains(&b'/');
        let numbered = names.iter().zip(0_u32..);
        let some = numbered
            .filter(|(name, number)| told.hidden || about(name) || number.is_multiple_of(7));
        let some: Vec<_> = some.map(|(name, _)| name.clone()).collect();
        let taken = announce(&mut client, &tables, told, &some);
        assert!(taken.len() * 9 > some.len(), "only {}", taken.len());
        if told.hidden {
            store(&mut client, &taken, false);
            expect_exactly(&server, &taken);
        }
    }
}

#[test]
fn made_up_names_are_taken_as_they_are_or_refused_with_their_rule() {
    let tables = Tables::new();
    let mut random = SmallRng::seed_from_u64(20_261_128);
    let mut through_server = Vec::new();
    let mut taken = 0;
    for (number, (told, _)) in (0..names_to_try()).zip(SERVERS.into_iter().cycle()) {
        let name = soup::name(&mut random);
        let rules = NameRules {
            allow_hidden: told.hidden,
            allow_folders: told.folders,
        };
        let verdict = judge(&tables, &name, told);
        if let Ok(text) = std::str::from_utf8(&name) {
            let parsed = Name::parse(text, rules);
            let refusal = parsed.as_ref().err().map(ToString::to_string);
            assert!(
                verdict.allows(refusal.as_deref()),
                "{text:?}: {parsed:?}, and not {verdict:?}"
            );
            if let Ok(parsed) = parsed {
                assert_eq!(parsed.as_str(), text);
                let numbered = parsed.numbered(2);
                assert!(numbered.is_some() || text.len() > 1_000, "{text:?}");
                if let Some(numbered) = numbered {
                    let verdict = judge(&tables, numbered.as_str().as_bytes(), told);
                    assert!(verdict.broken.is_empty(), "{numbered}: {verdict:?}");
                }
                taken += 1;
            }
        }
        if number % 10 == 0 {
            through_server.push(name);
        }
    }
    assert!(taken > names_to_try() / 20, "only {taken} were good names");
    for (told, arguments) in SERVERS {
        let server = Server::start(&[&["--durability", "none"], arguments].concat());
        let taken = announce(&mut server.client(), &tables, told, &through_server);
        assert!(!taken.is_empty());
        if !told.folders {
            continue;
        }
        // Each in a folder of its own, since one's file may be another's folder.
        let numbered = (0..).zip(
            taken
                .into_iter()
                .filter(|name| name.len() < 900)
                .take(2_000),
        );
        let names =
            numbered.map(|(number, name)| [format!("{number}/").into_bytes(), name].concat());
        let names: Vec<_> = names
            .filter(|name| judge(&tables, name, told).broken.is_empty())
            .collect();
        store(&mut server.client(), &names, true);
        expect_exactly(&server, &names);
    }
}

#[test]
fn twins_that_only_a_person_takes_for_one_name_stay_two_files() {
    let names: Vec<Vec<u8>> = [
        "caf\u{e9}.txt",
        "cafe\u{301}.txt",
        "Caf\u{e9}.txt",
        "CAF\u{c9}.TXT",
        "\u{1112}\u{1161}\u{11ab}",
        "\u{d55c}",
        "\u{212b}",
        "\u{c5}",
        "A\u{30a}",
        "\u{2126}",
        "\u{3a9}",
        "\u{fb01}le",
        "file",
        "ﬁle2",
        "file2",
        "stra\u{df}e",
        "strasse",
        "STRASSE",
        "\u{130}",
        "i",
        "I",
        "\u{131}",
        "ＣＯＮ",
        "ＣＯＮ.txt",
        "ＣＯＭ１",
        "COM⁴",
        "COM①",
        "COM１",
        "CОN",
        "con\u{301}",
        "a\u{fe0f}",
        "a",
        "\u{430}",
        "readme",
        "README",
        "ReadMe",
        "x\u{3000}",
        "x\u{a0}",
        "x",
        "x\u{2009}y",
        "x y",
        "\u{2024}\u{2024}",
        "\u{ff0e}\u{ff0e}",
        "a\u{2215}b",
        "a\u{ff0f}b",
        "a\u{ff1a}b",
        "a\u{ff3c}b",
    ]
    .iter()
    .map(|name| name.as_bytes().to_vec())
    .collect();
    for policy in ["error", "rename", "overwrite"] {
        let server = Server::start(&["--durability", "none", "--on-conflict", policy]);
        store(&mut server.client(), &names, false);
        let deep = names.iter().map(|name| [name, &b".d/"[..], name].concat());
        let deep: Vec<_> = deep.collect();
        store(&mut server.client(), &deep, true);
        expect_exactly(&server, &[&names[..], &deep].concat());
    }
    // Those that Windows takes for devices are refused, whatever digits they are written with.
    let server = Server::start(&[]);
    for name in [
        "COM¹",
        "com².log",
        "Lpt³ .a.b",
        "d/COM¹/f",
        "CONIN$",
        "conout$.txt",
        "aux.h",
    ] {
        let mut client = server.client();
        client.send(string(name));
        let reply = client.refused("bad-name");
        assert!(reply.text().contains(oracle::DEVICE), "{name}: {reply}");
    }
}

#[test]
fn every_character_is_plain_where_other_tables_say_so_too() {
    let tables = Tables::new();
    let mut newer = 0;
    for c in '\0'..=char::MAX {
        match tables.is(c) {
            Is::Text => assert!(is_plain(c), "{c:?} is text"),
            Is::NoText => assert!(!is_plain(c), "{c:?} is none"),
            Is::Unknown => newer += u32::from(is_plain(c)),
        }
        let is_ignorable = is_plain(c) && tables.is_ignorable(c);
        assert_eq!(is_unseen(c), is_ignorable, "{c:?}");
    }
    // Two later versions have added so many, and no table of a good version has more.
    assert!(
        newer < 50_000,
        "{newer} characters are text that no Unicode knows"
    );
}

#[test]
fn what_nobody_sees_hides_no_name_that_is_not_the_clients() {
    let server = Server::start(&["--allow-hidden"]);
    let mut client = server.client();
    for name in [
        ".piecemeal\u{fe0f}",
        ".piece\u{34f}meal/x.upload",
        "..\u{fe0f}",
        "..\u{fe0f}/x",
        "a/.\u{3164}./b",
        "\u{115f}",
        ".Piecemeal\u{e0101}/a",
    ] {
        client.send([string(name), data("evil")].concat());
        client.refused("bad-name");
        client.refused("bad-name");
    }
    assert!(server.names().is_empty());
}

#[test]
fn a_name_that_is_no_text_leaves_no_way_to_write_under_it() {
    let server = Server::start(&["--durability", "none"]);
    let mut client = server.client();
    for byte in 0x80..=0xff_u8 {
        let name = OsString::from_vec(vec![b'a', byte, b'b']).into_vec();
        client.send([string(&name), data("evil")].concat());
        client.refused("bad-text");
        client.refused("bad-text");
        client.send([put([b"name=", &name[..]].concat()), data("evil")].concat());
        client.refused("bad-text");
        client.refused("bad-text");
    }
    assert!(server.names().is_empty());
}
