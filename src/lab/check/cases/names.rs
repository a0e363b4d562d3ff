//! Names and their `OK`: what only task 6 has.

use std::time::Duration;

use super::super::bench::{Bench, NO_FOLDER, TRIES};
use super::super::message::Message;
use super::super::probe::Probe;
use super::super::shown::bytes;
use super::super::transcript::{Mark, Side};
use super::super::verdict::{Outcome, Verdict};
use super::survive::expect_noticed;
use super::upload::{Upload, expect_ok, is_served};

/// Why nobody can ask for more where only a pause ends a name.
const RAW: &str = "type and name are taken by one recv, which works as long as both travel in one segment, as the sheet's clients send them; nothing in this grammar says where a name ends, so only a server that waits for a quiet moment does better. A length before the name would";
/// How long an answer to a name has time to bring too much.
const TOO_MUCH: Duration = Duration::from_millis(150);

/// Stores a file whose name is sent by `send`. Tried again where it failed and a piece had come so
/// late that a server may have taken the pause for the name's end.
fn store_named(bench: &mut Bench, name: &str, send: &dyn Fn(&mut Probe, &Message)) -> Outcome {
    for left in (0..TRIES).rev() {
        let before = bench.snapshot();
        let body = bench.body(60);
        let message = bench.name_message(name);
        let mut probe = bench.connect()?;
        if left + 1 < TRIES {
            probe.pace_blindly();
        }
        send(&mut probe, &message);
        let unfair = probe.paused() && !bench.framed();
        let mut outcome = expect_ok(bench, &mut probe, 0);
        if outcome.is_ok() {
            probe.send(&bench.file_message(&body));
            bench.leave(&mut probe);
            outcome = bench.expect_stored(&mut probe, &before, &body, Some(name));
        }
        if outcome.is_ok() || left == 0 || !unfair {
            return outcome.map_err(|verdict| {
                verdict.state("type and name have come, in pieces: the name is complete, with every byte of it")
            });
        }
    }
    Ok(())
}

/// In a raw grammar a name in pieces is more than can be asked for.
fn soften(bench: &Bench, outcome: Outcome) -> Outcome {
    use super::super::case::names_have_lengths;
    match outcome {
        Err(verdict) if !names_have_lengths(bench.grammar) => Err(verdict.no_worse_than_weak(RAW)),
        outcome => outcome,
    }
}

pub(super) fn just_ok(bench: &mut Bench) -> Outcome {
    let mut upload = Upload::open(bench)?;
    let known = upload.probe.received().len();
    upload
        .probe
        .read_until(TOO_MUCH, |received| received.len() > known);
    if upload.probe.received().len() > known {
        let mark = Mark::new(Side::Received, known, "nothing is due from here on");
        return Err(upload
            .probe
            .fail_at(&mark, "OK and nothing more", upload.probe.got()));
    }
    // The upload goes on as if nothing had been, so that no server is left in the lurch.
    let body = bench.body(10);
    upload.probe.send(&bench.file_message(&body));
    upload.expect_stored(bench, &body)
}

pub(super) fn apart(bench: &mut Bench) -> Outcome {
    let name = bench.name(".txt");
    let outcome = store_named(bench, &name, &|probe, message| probe.send_apart(message));
    soften(bench, outcome)
}

pub(super) fn bytewise(bench: &mut Bench) -> Outcome {
    let name = bench.name(".txt");
    let outcome = store_named(bench, &name, &|probe, message| probe.send_bytewise(message));
    soften(bench, outcome)
}

pub(super) fn every_cut(bench: &mut Bench) -> Outcome {
    let name = bench.name("");
    for cut in bench.name_message(&name).cuts() {
        let name = format!("{name}.{cut}");
        let outcome = store_named(bench, &name, &|probe, message| {
            probe.send_cut(message, &[cut])
        });
        soften(bench, outcome)?;
    }
    Ok(())
}

pub(super) fn letters(bench: &mut Bench) -> Outcome {
    let name = bench.name("-r\u{f8}d-\u{20ac}-\u{5831}\u{544a}.txt");
    store_named(bench, &name, &|probe, message| probe.send(message))
}

pub(super) fn all_in_one(bench: &mut Bench) -> Outcome {
    let before = bench.snapshot();
    let name = bench.name(".txt");
    let body = bench.body(80);
    let mut probe = bench.connect()?;
    probe.send(&bench.name_message(&name).then(&bench.file_message(&body)));
    probe.half_close();
    bench
        .expect_stored(&mut probe, &before, &body, Some(&name))
        .map_err(|verdict| verdict.state("ReadType behind the name: its length said where it ends, and the bytes behind it are the next message"))
}

pub(super) fn end_behind_ok(bench: &mut Bench) -> Outcome {
    let mut upload = Upload::open(bench)?;
    upload.probe.half_close();
    expect_noticed(bench, &mut upload.probe).map_err(|verdict| {
        verdict.state("ReadType: the stream has ended instead, so the connection is closed")
    })?;
    bench.remember(&upload.probe);
    bench.expect_still_serving("an end right behind OK")
}

pub(super) fn same_name(bench: &mut Bench) -> Outcome {
    let Some(folder) = bench.folder.clone() else {
        bench.cannot_see(NO_FOLDER);
        return Ok(());
    };
    let name = bench.name(".txt");
    let before = bench.snapshot();
    let bodies = [bench.body(900), bench.body(300)];
    let mut last = None;
    for body in &bodies {
        // The second may be refused, renamed, or written over the first.
        let mut probe = bench.connect()?;
        probe.send(&bench.name_message(&name));
        if expect_ok(bench, &mut probe, 0).is_ok() {
            probe.send(&bench.file_message(body));
        }
        probe.half_close();
        probe.read_to_end();
        last = Some(probe);
        bench.watch.poll(bench.watch.patience() / 3, || {
            let fresh = folder.fresh_since(&before);
            fresh
                .iter()
                .any(|file| folder.holds(file, body))
                .then_some(())
        });
    }
    let Some(mut probe) = last else { return Ok(()) };
    let fresh = folder.fresh_since(&before);
    let one = fresh.iter().find(|file| file.name() == name.as_bytes());
    let whole = one.is_some_and(|file| bodies.iter().any(|body| folder.holds(file, body)));
    if whole {
        return Ok(());
    }
    let stored = one.map(|file| folder.head(file)).unwrap_or_default();
    let size = one.map_or(0, |file| file.size);
    probe.transcript.stored(&name, size, stored);
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let mark = Mark::new(
        Side::Stored,
        300.min(size),
        "this is of neither upload alone",
    );
    Err(probe.fail_at(
        &mark,
        "the first upload's 900 bytes or the second's 300 under the name, whole",
        format!("{} that are neither", bytes(size)),
    ))
}

pub(super) fn second_upload(bench: &mut Bench) -> Outcome {
    let before = bench.snapshot();
    let bodies = [bench.body(70), bench.body(90)];
    let names = [bench.name(".txt"), bench.name(".txt")];
    let mut upload = Upload::named(bench, &names[0])?;
    let probe = &mut upload.probe;
    probe.send(&bench.file_message(&bodies[0]));
    if bench.framed() {
        // A receipt: its length tells where it ends.
        probe.read_count(8);
        let length = match probe.received().get(5..8) {
            Some([1, low, high]) => usize::from(u16::from_le_bytes([*low, *high])),
            _ => 0,
        };
        probe.read_count(8 + length);
    } else {
        // There is no receipt: the file's being there tells that its end was seen.
        bench.expect_stored(probe, &before, &bodies[0], Some(&names[0]))?;
    }
    let known = probe.received().len();
    probe.send(&bench.name_message(&names[1]));
    let second = expect_ok(bench, probe, known);
    if second.is_err() {
        return second.map_err(|verdict| verdict.no_worse_than_weak("the server closes, or listens no more, after one file. The plain task allows that; extra task 1 asks for more"));
    }
    probe.send(&bench.file_message(&bodies[1]));
    probe.half_close();
    bench.expect_stored(probe, &before, &bodies[1], Some(&names[1]))
}

pub(super) fn grows(bench: &mut Bench) -> Outcome {
    let Some(folder) = bench.folder.clone() else {
        bench.cannot_see(NO_FOLDER);
        return Ok(());
    };
    let before = bench.snapshot();
    let mut upload = Upload::open(bench)?;
    // More than a server may hold back in a buffer of its own.
    let body = bench.body(2 << 20);
    let message = bench.file_message(&body);
    upload.probe.send(&Message::of(
        "all but the last byte",
        &message.bytes[..message.bytes.len() - 1],
    ));
    let seen = bench.watch.poll(bench.watch.patience() / 2, || {
        let fresh = folder.fresh_since(&before);
        fresh.iter().any(|file| file.size > 0).then_some(())
    });
    let verdict: Option<Verdict> = seen.is_none().then(|| {
        upload.probe.fail_here(
            "here the data stops, one byte before its end",
            "a file that has grown to nearly 2 MiB, under its name or another (NAME.part)",
        ).got("no file with a byte in it")
        .no_worse_than_weak("nothing is written before all is there, so all of it is in memory. The plain task allows that; extra task 2 asks for more")
    });
    let last = message.bytes.len() - 1;
    upload
        .probe
        .send(&Message::of("the last byte", &message.bytes[last..]));
    upload.expect_stored(bench, &body)?;
    verdict.map_or(Ok(()), Err)?;
    is_served(bench)
}
