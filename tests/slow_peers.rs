//! Peers that drip: they send a byte now and then, as slowly as they can without standing still.
//!
//! `cargo test --release --test slow_peers -- --ignored --nocapture` holds 9,000 of them and
//! measures what a fresh upload of a MiB costs among them. `PIECEMEAL_DRIPPERS`, `PIECEMEAL_ROUNDS`
//! and `PIECEMEAL_UPLOADS` (in a round) say it otherwise, and `PIECEMEAL_DURABILITY` how the server
//! stores.

mod common;
mod drip;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{OnDrop, Server, Starter, wait_until};
use drip::{Drip, Gone, Kind};

/// Only what a whole crowd does in common: that each was told the right thing.
fn expect_told(gone: &[Gone], kinds: &[Kind]) {
    for Gone { kind, replies, .. } in gone {
        let what = kind.what();
        let last = replies
            .last()
            .unwrap_or_else(|| panic!("{kind:?}: silence"));
        assert_eq!(last.status(), "ERR timeout", "{kind:?}: {last}");
        assert_eq!(last.key("what"), Some(what), "{kind:?}: {last}");
    }
    for kind in kinds {
        assert!(gone.iter().any(|gone| gone.kind == *kind), "{kind:?}");
    }
}

#[test]
fn those_who_drip_a_header_or_stand_still_are_told_which_and_others_are_served_meanwhile() {
    // Long beside the moment that this process may lose between a connect and its first bytes: who is
    // slow only there would be told of a header.
    let timeouts = ["--header-timeout", "5s", "--stall-timeout", "5s"];
    let server = Server::start(&timeouts);
    let before = server.descriptors_when_warm();
    let kinds = [Kind::Silent, Kind::Header, Kind::Stalled];
    let drip = Drip {
        kinds: &kinds,
        count: 150,
        each: Duration::from_millis(200),
        within: Duration::ZERO,
    };
    let (go_on, standing) = (AtomicBool::new(true), AtomicUsize::new(0));
    let gone = thread::scope(|scope| {
        let dripping = scope.spawn(|| drip.run(server.address(), &go_on, &standing));
        let ends = OnDrop(|| go_on.store(false, Ordering::Relaxed));
        wait_until("all have connected", || {
            standing.load(Ordering::Relaxed) == drip.count
        });
        server.client().upload("among them", &vec![7; 1 << 20]);
        drop(ends);
        dripping.join().expect("it drips")
    });
    assert!(gone.len() >= drip.count);
    expect_told(&gone, &kinds);
    server.settles_to(before);
    assert_eq!(server.names(), ["among them"]);
}

#[test]
#[ignore = "takes minutes, needs 19,000 descriptors in two processes, and measures"]
fn a_fresh_upload_is_no_slower_than_twice_its_time_among_9_000_who_drip() {
    let number = |name: &str, default: usize| {
        let asked = std::env::var(name).ok();
        asked.map_or(default, |asked| asked.parse().expect("a number"))
    };
    let (rounds, uploads) = (
        number("PIECEMEAL_ROUNDS", 3),
        number("PIECEMEAL_UPLOADS", 400),
    );
    let durability = std::env::var("PIECEMEAL_DURABILITY").unwrap_or_else(|_| "full".into());
    piecemeal::server::raise_descriptor_limit();
    let server = Starter::new(&["--durability", &durability]).start();
    let kinds = [Kind::Header, Kind::Text, Kind::Body];
    let drip = Drip {
        kinds: &kinds,
        count: number("PIECEMEAL_DRIPPERS", 9_000),
        each: Duration::from_secs(2),
        within: Duration::from_secs(8),
    };
    let (mut quiet, mut among, mut all_gone) = (Vec::new(), Vec::new(), Vec::new());
    upload(&server, "warm up", 50);
    for round in 0..rounds {
        let (descriptors, memory) = (server.descriptors(), server.status_kib("VmRSS"));
        quiet.extend(upload(&server, &format!("quiet {round}"), uploads));
        let (go_on, standing) = (AtomicBool::new(true), AtomicUsize::new(0));
        let (gone, stopped) = thread::scope(|scope| {
            let dripping = scope.spawn(|| drip.run(server.address(), &go_on, &standing));
            let ends = OnDrop(|| go_on.store(false, Ordering::Relaxed));
            let stand = || standing.load(Ordering::Relaxed) == drip.count;
            wait_until("all have connected", stand);
            let (cpu, began) = (server.cpu_s(), Instant::now());
            among.extend(upload(&server, &format!("among {round}"), uploads));
            let cpu = (server.cpu_s() - cpu) / began.elapsed().as_secs_f64();
            let grown = server.status_kib("VmRSS").saturating_sub(memory) << 10;
            say(&format!(
                "round {round}: {} descriptors, {} bytes of memory each, {:.0} % of a processor",
                server.descriptors(),
                grown / drip.count as u64,
                cpu * 100.0
            ));
            drop(ends);
            let stopped = Instant::now();
            (dripping.join().expect("it drips"), stopped)
        });
        say(&format!(
            "round {round}: all gone {:.1} s after the last came",
            stopped.elapsed().as_secs_f64()
        ));
        server.settles_to(descriptors);
        expect_told(&gone, &kinds);
        all_gone.extend(gone);
    }
    say_how_long(&all_gone);
    let ratio = compare(&mut quiet, &mut among);
    assert!(
        ratio <= 2.0,
        "p99 among them is {ratio:.2} times the quiet one"
    );
}

/// Uploads a MiB so many times, over a fresh connection each; says how long each took.
fn upload(server: &Server, prefix: &str, count: usize) -> Vec<Duration> {
    let body = vec![7; 1 << 20];
    let one = |number| {
        let began = Instant::now();
        let mut client = server.client();
        client.upload(&format!("{prefix} {number}"), &body);
        began.elapsed()
    };
    (0..count).map(one).collect()
}

/// Says how long each kind lived, counted from its first byte. They are looked at in turn, so the
/// moment lies between two looks.
fn say_how_long(gone: &[Gone]) {
    let mut ages: BTreeMap<&str, Vec<(Duration, Duration)>> = BTreeMap::new();
    for Gone { kind, age, .. } in gone {
        ages.entry(kind.name()).or_default().push(*age);
    }
    for (kind, ages) in ages {
        let soonest = ages.iter().map(|(_, gone)| *gone).min();
        let latest = ages.iter().map(|(there, _)| *there).max();
        let seconds = |age: Option<Duration>| age.unwrap_or_default().as_secs_f64();
        say(&format!(
            "{kind}: {} told to go; none gone before {:.1} s, none there after {:.1} s",
            ages.len(),
            seconds(soonest),
            seconds(latest),
        ));
    }
}

/// Says both, and gives the ratio of their p99.
fn compare(quiet: &mut [Duration], among: &mut [Duration]) -> f64 {
    let mut p99 = [0.0; 2];
    for (times, (what, p99)) in [quiet, among]
        .into_iter()
        .zip(["quiet", "among them"].into_iter().zip(&mut p99))
    {
        times.sort_unstable();
        let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1e3;
        say(&format!(
            "{what}: {} uploads, p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms, most {:.1} ms",
            times.len(),
            at(50),
            at(90),
            at(99),
            at(100)
        ));
        *p99 = at(99);
    }
    let ratio = p99[1] / p99[0];
    say(&format!("p99 among them is {ratio:.2} times the quiet one"));
    ratio
}

#[expect(clippy::print_stdout, reason = "the figures are for whoever runs it")]
fn say(line: &str) {
    println!("{line}");
}
