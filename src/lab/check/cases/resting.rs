//! What a server takes of the machine: processor time when it has nothing to do, memory while a
//! large file comes.

use std::thread;
use std::time::{Duration, Instant};

use super::super::bench::Bench;
use super::super::message::Message;
use super::super::shown::number;
use super::super::verdict::{Finding, Outcome, Verdict};
use super::upload::Upload;
use crate::lab::Task;

/// How long one look at the processor time is.
const LOOK: Duration = Duration::from_millis(250);
/// Glances at its threads in that time.
const GLANCES: u32 = 10;
/// A server that still works gets so many looks to come to rest.
const LOOKS: usize = 6;
/// Percent of one core above which it doesn't rest. A spinning loop takes 100, and still a good
/// part of that where other programs want the core too.
const BUSY_PERCENT: u128 = 20;

/// Why neither can be seen.
const NOT_STARTED: &str =
    "the server's processes can't be looked at; let it be started with --start, on Linux";

/// Bytes of the large file.
const LARGE: usize = 256 << 20;
/// What a server may take for it.
const FLAT: u64 = 64 << 20;
/// So much has to have come for the memory taken for it to tell anything.
const TELLING: u64 = 4 << 20;
/// Longest time that they may take; what has come by then is judged.
const LARGE_MOST: Duration = Duration::from_secs(15);

/// Clients connect and go without a word, one after a half-close and one at once.
pub(super) fn after_bare_connections(bench: &mut Bench) -> Outcome {
    expect_rest(
        bench,
        "before this case; one that went in an earlier case left a loop behind",
    )?;
    for half_closes in [true, false] {
        let mut probe = bench.connect()?;
        if half_closes {
            probe.half_close();
            probe.read_until(LOOK, |_| false);
        }
        // Dropped, it ends.
    }
    expect_rest(
        bench,
        "after clients that connected and went without a byte",
    )
}

/// Clients go in the middle of a message.
pub(super) fn after_early_ends(bench: &mut Bench) -> Outcome {
    expect_rest(
        bench,
        "before this case; one that went in an earlier case left a loop behind",
    )?;
    let body = bench.body(1000);
    let message = bench.file_message(&body);
    for bytes in [1, message.bytes.len() - 500] {
        let upload = Upload::open(bench)?;
        let mut probe = upload.probe;
        probe.send(&Message::of("part of a message", &message.bytes[..bytes]));
        probe.half_close();
        probe.read_until(LOOK, |_| false);
    }
    if bench.task == Task::Six {
        // The name alone, and the end right behind its OK.
        let mut upload = Upload::open(bench)?;
        upload.probe.half_close();
        upload.probe.read_until(LOOK, |_| false);
    }
    expect_rest(bench, "after clients that went in the middle of a message")
}

/// Expects a look in which the server takes next to no processor time.
fn expect_rest(bench: &mut Bench, when: &str) -> Outcome {
    let Some(before) = bench.server.as_ref().and_then(|server| server.cpu_time()) else {
        bench.cannot_see(NOT_STARTED);
        return Ok(());
    };
    let mut last = before;
    let mut shares = Vec::new();
    for _ in 0..LOOKS {
        let began = Instant::now();
        let wanted = wants_a_core(bench);
        let Some(now) = bench.server.as_ref().and_then(|server| server.cpu_time()) else {
            // It has died, which other cases tell.
            return Ok(());
        };
        let share = now.saturating_sub(last).as_millis() * 100 / began.elapsed().as_millis().max(1);
        last = now;
        if share < BUSY_PERCENT && wanted < GLANCES / 2 {
            return Ok(());
        }
        shares.push(format!("{share} %"));
    }
    Err(Verdict::Fail(Box::new(Finding {
        expected: "a server that waits for clients, and takes no processor time meanwhile"
            .to_owned(),
        got: format!(
            "it takes {} of a core, in looks of {} ms each, {when}",
            shares.join(", "),
            LOOK.as_millis()
        ),
        state: Some(
            "the stream has ended: the connection is closed, and its thread is gone".to_owned(),
        ),
        mistake: None,
        talk: Vec::new(),
    })))
}

/// Lets the time of a look pass. In how many of its glances the server had something to do: where
/// other programs hold the cores, a loop that spins gets few percent of one, but it wants them.
fn wants_a_core(bench: &Bench) -> u32 {
    let mut wanted = 0;
    for _ in 0..GLANCES {
        thread::sleep(LOOK / GLANCES);
        let server = bench.server.as_ref();
        if server.and_then(|server| server.wants_a_core()) == Some(true) {
            wanted += 1;
        }
    }
    wanted
}

/// A file of 256 MiB comes, but for its last byte; then the connection is cut off. A server that
/// keeps parts of files keeps this one until the end of the run, when what has our names is removed.
pub(super) fn memory(bench: &mut Bench) -> Outcome {
    let Some(before) = bench.server.as_ref().and_then(|server| server.memory()) else {
        bench.cannot_see(NOT_STARTED);
        return Ok(());
    };
    let mut upload = Upload::open(bench)?;
    let header = Message::header(bench.task, bench.grammar, LARGE);
    upload.probe.send(&header);
    upload
        .probe
        .transcript
        .note("and 256 MiB of data, but for the last byte");
    let piece = bench.body(1 << 20);
    let until = Instant::now() + LARGE_MOST;
    let (mut sent, mut most) = (0, 0);
    while sent < LARGE && Instant::now() < until && most <= FLAT && !bench.watch.interrupted() {
        let piece = &piece[..piece.len().min(LARGE - 1 - sent).max(1)];
        if sent + piece.len() >= LARGE || !upload.probe.send_unseen(piece) {
            break;
        }
        sent += piece.len();
        let now = bench.server.as_ref().and_then(|server| server.memory());
        most = most.max(now.unwrap_or(0).saturating_sub(before));
    }
    let mib = |bytes: u64| number(usize::try_from(bytes >> 20).unwrap_or(usize::MAX));
    let came = mib(sent as u64);
    let verdict = upload.probe.fail(
        format!(
            "memory that doesn't grow with the file: {} MiB at most, however large it is",
            mib(FLAT)
        ),
        format!(
            "{} MiB more than before, when {came} MiB had come",
            mib(most)
        ),
    );
    let timed_out = Instant::now() >= until;
    upload.probe.reset();
    let growth = Growth::of(sent as u64, most, timed_out);
    if growth == Growth::WithTheFile {
        return Err(verdict.no_worse_than_weak("memory as large as the file: the bytes are collected and written at the end, so that one large file, or many at once, ends the server; write each piece as it comes (extra task 2)"));
    }
    if growth == Growth::Unknown {
        return Err(Verdict::CantTell(format!(
            "only {came} MiB of 256 went through within {} s, and {} MiB of memory were taken, which is neither flat nor as much as came",
            LARGE_MOST.as_secs(),
            mib(most)
        )));
    }
    Ok(())
}

/// How a server's memory grew while a file came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Growth {
    Flat,
    WithTheFile,
    Unknown,
}

impl Growth {
    /// Judges by how many bytes had come and how many more the server held at most. Whoever appends
    /// each piece to the ones before copies all of them each time, and gets so slow that the limit
    /// is never reached; so when time is up, the proportion tells.
    fn of(came: u64, most: u64, timed_out: bool) -> Growth {
        let telling = timed_out && came >= TELLING;
        if most > FLAT || (telling && most >= came / 4 * 3) {
            Growth::WithTheFile
        } else if came >= 2 * FLAT || (telling && most <= came / 4) {
            Growth::Flat
        } else {
            Growth::Unknown
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_server_is_judged_by_the_part_of_the_file_that_came() {
        let mib = |n: u64| n << 20;
        let late = |came, most| Growth::of(mib(came), mib(most), true);
        assert_eq!(late(21, 22), Growth::WithTheFile);
        assert_eq!(late(21, 16), Growth::WithTheFile);
        assert_eq!(late(21, 1), Growth::Flat);
        assert_eq!(late(21, 10), Growth::Unknown);
        assert_eq!(late(3, 3), Growth::Unknown);
        assert_eq!(late(3, 0), Growth::Unknown);
        // It may have refused the rest, and taken little only therefore.
        assert_eq!(Growth::of(mib(21), mib(1), false), Growth::Unknown);
        assert_eq!(Growth::of(mib(255), mib(20), false), Growth::Flat);
        assert_eq!(Growth::of(mib(70), mib(65), false), Growth::WithTheFile);
    }
}
