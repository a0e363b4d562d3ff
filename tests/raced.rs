//! Uploads into a folder in which somebody else is at work: links, pipes, devices and other files
//! turn up under every name that the server is about to use, its own work files included.
//!
//! Whatever happens there, nothing outside the folder is changed or read, nobody waits for ever,
//! and what an OK named was that very file under that very name. `PIECEMEAL_RACES=100000` sends so
//! many uploads; CI sends fewer.

#[path = "raced/attacker.rs"]
mod attacker;
#[path = "raced/canary.rs"]
mod canary;
mod common;
#[path = "raced/uploads.rs"]
mod uploads;

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use attacker::{Battlefield, Taken};
use canary::Canary;
use common::{OnDrop, Server, skipped};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use uploads::{Case, Outcome, content_of};

/// Uploads that CI sends, of all kinds together.
const UPLOADS: u64 = 1_800;
const ATTACKERS: u64 = 2;

fn uploads_to_send() -> u64 {
    let set = std::env::var("PIECEMEAL_RACES").ok();
    set.map_or(UPLOADS, |set| set.parse().expect("a number of uploads"))
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for policy in ["error", "rename", "overwrite"] {
        for (folders, resumable) in [(false, false), (false, true), (true, false), (true, true)] {
            cases.push(Case {
                policy,
                folders,
                resumable,
            });
        }
    }
    cases
}

#[test]
fn nothing_outside_is_touched_and_no_ok_is_false_whatever_turns_up_in_the_folder() {
    let cases = cases();
    let count = uploads_to_send() / cases.len() as u64;
    if !attacker::can_exchange() {
        return skipped("no two files can be exchanged here (RENAME_EXCHANGE)");
    }
    let (mut stored, mut resumed, mut exchanged) = (0, 0, 0);
    for (number, case) in (0..).zip(cases) {
        let (outcome, attacks) = race(case, count, number);
        assert!(!outcome.stored.is_empty(), "none was stored: {case:?}");
        stored += outcome.stored.len() as u64;
        resumed += outcome.resumed;
        exchanged += attacks;
    }
    // How many come through depends on whom the system lets run when.
    let sent = uploads_to_send();
    assert!(stored * 10 > sent, "only {stored} of {sent} were stored");
    assert!(exchanged > 0, "nothing was ever in the way");
    if sent >= UPLOADS {
        assert!(resumed > 0, "none was gone on with");
    }
}

/// One server, one client, and those who are against them. Also gives how often these have exchanged
/// what was there.
fn race(case: Case, count: u64, seed: u64) -> (Outcome, u64) {
    let durability = if seed.is_multiple_of(2) {
        "full"
    } else {
        "none"
    };
    let server = Server::start(&[
        "--on-conflict",
        case.policy,
        "--durability",
        durability,
        "--partial-ttl",
        "3s",
    ]);
    let canary = Canary::new(server.home());
    let field = Battlefield {
        case,
        folder: server.path(""),
        attic: server.home().join("attic"),
        outside: canary.root.clone(),
        at: AtomicU64::new(0),
        is_over: AtomicBool::new(false),
        folders: Mutex::new(()),
        weapons: AtomicU64::new(0),
        placed: AtomicU64::new(0),
        exchanged: AtomicU64::new(0),
    };
    fs::create_dir(&field.attic).expect("it is new");
    let (outcome, taken) = thread::scope(|scope| {
        let attack = |number| {
            let random = SmallRng::seed_from_u64(seed * 100 + number);
            let field = &field;
            scope.spawn(move || field.attack(random))
        };
        let attackers: Vec<_> = (0..ATTACKERS).map(attack).collect();
        let ends = OnDrop(|| field.is_over.store(true, Ordering::Relaxed));
        let outcome = uploads::send(server.address(), count, &field);
        drop(ends);
        let joined = attackers
            .into_iter()
            .map(|attacker| attacker.join().expect("it ends well"));
        (outcome, joined.flatten().collect::<Taken>())
    });
    canary.is_untouched();
    expect_all(&outcome, &server, &field, &taken, case);
    let [placed, exchanged] =
        [&field.placed, &field.exchanged].map(|count| count.load(Ordering::Relaxed));
    assert!(placed + exchanged > 0, "no attack came through: {case:?}");
    // Nothing lasting was done to the server.
    server.client().upload("calm.txt", b"calm");
    report(case, count, &field, &outcome);
    (outcome, exchanged)
}

/// Expects each upload that has a receipt to be there, whole, under the name that it had.
fn expect_all(outcome: &Outcome, server: &Server, field: &Battlefield, taken: &Taken, case: Case) {
    let mut found = HashMap::new();
    collect(&server.path(""), &mut |name, bytes| {
        found.insert(bytes, name.to_owned());
    });
    collect(&field.attic, &mut |name, bytes| {
        let name = taken.get(name).map_or(name, |name| name);
        found.insert(bytes, name.to_owned());
    });
    for (number, name) in &outcome.stored {
        let (_, file) = name.rsplit_once('/').unwrap_or(("", name));
        let was = found.get(&content_of(*number)).map(String::as_str);
        assert_eq!(
            was,
            Some(file),
            "upload {number}, stored as {name}: {case:?}"
        );
    }
}

/// Every plain file below a folder: what it is called, and its bytes.
fn collect(folder: &Path, hear: &mut dyn FnMut(&str, Vec<u8>)) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let facts = fs::symlink_metadata(&path).expect("it is there");
        if facts.is_dir() {
            collect(&path, hear);
        } else if facts.is_file() {
            let name = path.file_name().expect("it has one").to_string_lossy();
            hear(&name, fs::read(&path).expect("a file"));
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "whoever runs a long one should see how it went"
)]
fn report(case: Case, count: u64, field: &Battlefield, outcome: &Outcome) {
    let [weapons, placed, exchanged] = [&field.weapons, &field.placed, &field.exchanged]
        .map(|count| count.load(Ordering::Relaxed));
    eprintln!(
        "{case:?}: {count} uploads, {weapons} attacks tried, {placed} put under a free name, \
         {exchanged} exchanged for what was there, {} stored, {} resumed, refused {:?}, \
         {} replies never came",
        outcome.stored.len(),
        outcome.resumed,
        outcome.refused,
        outcome.unanswered
    );
}
