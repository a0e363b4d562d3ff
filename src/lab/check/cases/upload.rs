//! Files on their way: what tasks 4, 5 and 6 have in common. In task 6 a name goes before, and is
//! answered; from there on they are the same.

use super::super::bench::{Bench, NO_FOLDER};
use super::super::folder::Snapshot;
use super::super::message::Message;
use super::super::probe::{Ending, Probe};
use super::super::transcript::{Mark, Side};
use super::super::verdict::{Finding, Outcome, Verdict};
use crate::lab::Task;

/// An upload that can begin: the connection is there, and the name, if the task has one, is
/// answered.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) probe: Probe,
    before: Snapshot,
    name: Option<String>,
}

impl Upload {
    /// One more file, under a name of its own where the task has names.
    pub(super) fn open(bench: &mut Bench) -> Outcome<Upload> {
        let name = bench.name(".bin");
        Upload::named(bench, &name)
    }

    /// The same under a certain name.
    pub(super) fn named(bench: &mut Bench, name: &str) -> Outcome<Upload> {
        let before = bench.snapshot();
        let mut probe = bench.connect()?;
        if bench.task != Task::Six {
            return Ok(Upload {
                probe,
                before,
                name: None,
            });
        }
        probe.send(&bench.name_message(name));
        expect_ok(bench, &mut probe, 0)?;
        Ok(Upload {
            probe,
            before,
            name: Some(name.to_owned()),
        })
    }

    /// After the last byte: expects the file, and where replies are messages, its receipt.
    pub(super) fn expect_stored(&mut self, bench: &mut Bench, body: &[u8]) -> Outcome {
        let known = self.probe.received().len();
        bench.leave(&mut self.probe);
        if bench.framed() {
            expect_reply(&mut self.probe, known)?;
        }
        bench
            .expect_stored(&mut self.probe, &self.before, body, self.name.as_deref())
            .map_err(|verdict| verdict.state("all bytes of the file have come: it is complete and is stored, with exactly these bytes"))?;
        if bench.folder.is_none() && self.probe.read_to_end() == Ending::Open {
            return Err(self
                .probe
                .fail_here("all is sent", "the end of the connection"));
        }
        Ok(())
    }

    /// After an end that came too early: expects that nothing is kept.
    pub(super) fn expect_nothing_kept(&mut self, bench: &mut Bench) -> Outcome {
        bench.expect_nothing_kept(&mut self.probe, &self.before)
    }
}

/// Expects the answer to a name, behind `known` bytes that came before it: `OK`, and nothing more.
pub(super) fn expect_ok(bench: &Bench, probe: &mut Probe, known: usize) -> Outcome {
    let right: &[u8] = if bench.framed() {
        b"\x01\x02\0OK"
    } else {
        b"OK"
    };
    probe.read_count(known + right.len());
    let got = &probe.received()[known..];
    if got == right {
        return Ok(());
    }
    let state = "the name is complete: it is answered OK, and the server waits for the type of what follows (ReadType)";
    let same = got.iter().zip(right).take_while(|(a, b)| a == b).count();
    let verdict = if got.is_empty() {
        probe.fail_here("the name ends here", "OK")
    } else {
        let word = if same == right.len() {
            "nothing belongs behind OK"
        } else {
            "OK should stand here"
        };
        let mark = Mark::new(Side::Received, known + same, word);
        probe.fail_at(
            &mark,
            if bench.framed() {
                "OK as a STRING: 01 02 00 4f 4b"
            } else {
                "the two bytes OK"
            },
            probe.got(),
        )
    };
    let verdict = verdict.state(state);
    if bench.framed() && got.starts_with(b"OK") {
        return Err(verdict.mistake("the answer is the bare text: in this grammar an answer is a message like any other, with a type and a length before its text"));
    }
    Err(verdict)
}

/// Expects one reply that is a STRING and begins with OK, behind `known` bytes.
fn expect_reply(probe: &mut Probe, known: usize) -> Outcome {
    probe.read_count(known + 3);
    let length = match probe.received().get(known..known + 3) {
        Some([1, low, high]) => usize::from(u16::from_le_bytes([*low, *high])),
        _ => {
            return Err(
                probe.fail_here("all is sent", "a reply: a STRING whose text begins with OK")
            );
        }
    };
    probe.read_count(known + 3 + length);
    let text = probe
        .received()
        .get(known + 3..known + 3 + length)
        .unwrap_or_default();
    if text == b"OK" || text.starts_with(b"OK\n") {
        return Ok(());
    }
    let mark = Mark::new(Side::Received, known + 3, "OK should stand here");
    Err(probe.fail_at(&mark, "a reply whose first line is OK", probe.got()))
}

/// Whether a client is served at all.
pub(super) fn is_served(bench: &mut Bench) -> Outcome {
    let mut upload = Upload::open(bench)?;
    let body = bench.body(12);
    let message = bench.file_message(&body);
    upload.probe.send(&message);
    bench.leave(&mut upload.probe);
    if upload.probe.read_to_end() == Ending::Open {
        return Err(upload
            .probe
            .fail_here("all is sent", "the end of the connection"));
    }
    Ok(())
}

/// Stores one file of a size, sent by `send`.
pub(super) fn store(
    bench: &mut Bench,
    size: usize,
    send: &dyn Fn(&mut Probe, &Message),
) -> Outcome {
    let mut upload = Upload::open(bench)?;
    let body = bench.body(size);
    send(&mut upload.probe, &bench.file_message(&body));
    upload.expect_stored(bench, &body)
}

fn store_sizes(bench: &mut Bench, sizes: &[usize]) -> Outcome {
    for size in sizes {
        store(bench, *size, &|probe, message| probe.send(message))?;
    }
    Ok(())
}

pub(super) fn whole(bench: &mut Bench) -> Outcome {
    store(bench, 100, &|probe, message| probe.send(message))
}

pub(super) fn apart(bench: &mut Bench) -> Outcome {
    store(bench, 300, &|probe, message| probe.send_apart(message))
}

pub(super) fn bytewise(bench: &mut Bench) -> Outcome {
    store(bench, 40, &|probe, message| probe.send_bytewise(message))?;
    // One with two bytes of length, where the header alone has two places to be cut at.
    store(bench, 260, &|probe, message| probe.send_bytewise(message))
}

pub(super) fn every_cut(bench: &mut Bench) -> Outcome {
    let cuts = bench.file_message(&[0; 12]).cuts();
    for cut in cuts {
        store(bench, 12, &|probe, message| probe.send_cut(message, &[cut]))?;
    }
    Ok(())
}

pub(super) fn length_cut(bench: &mut Bench) -> Outcome {
    for (size, cut) in [(300, 2), (70_000, 2), (70_000, 3)] {
        store(bench, size, &|probe, message| {
            probe.send_cut(message, &[cut])
        })?;
    }
    Ok(())
}

pub(super) fn empty(bench: &mut Bench) -> Outcome {
    store_sizes(bench, &[0])
}

pub(super) fn small(bench: &mut Bench) -> Outcome {
    store_sizes(bench, &[1, 2, 254, 255])
}

pub(super) fn around_256(bench: &mut Bench) -> Outcome {
    store_sizes(bench, &[256, 257, 511, 512])
}

pub(super) fn around_4096(bench: &mut Bench) -> Outcome {
    store_sizes(bench, &[4094, 4095, 4096, 4097, 8192])
}

pub(super) fn around_65536(bench: &mut Bench) -> Outcome {
    store_sizes(bench, &[65_535, 65_536, 65_537])
}

pub(super) fn large(bench: &mut Bench) -> Outcome {
    store_sizes(bench, &[1 << 20])
}

pub(super) fn large_in_pieces(bench: &mut Bench) -> Outcome {
    store(bench, 20_000, &|probe, message| {
        let cuts: Vec<usize> = (1000..message.bytes.len()).step_by(1000).collect();
        probe.send_cut(message, &cuts);
    })
}

/// After a file: nothing comes but the end of the connection. In a framed grammar its receipt.
pub(super) fn no_reply(bench: &mut Bench) -> Outcome {
    let mut upload = Upload::open(bench)?;
    let body = bench.body(100);
    let known = upload.probe.received().len();
    upload.probe.send(&bench.file_message(&body));
    bench.leave(&mut upload.probe);
    upload.probe.read_to_end();
    let got = upload.probe.received().len();
    if got == known || bench.framed() {
        return Ok(());
    }
    let mark = Mark::new(Side::Received, known, "nothing is due from here on");
    let verdict = upload.probe.fail_at(
        &mark,
        "nothing after the data but the end of the connection",
        upload.probe.got(),
    );
    let verdict = verdict.state("the file is complete: it is stored, and nobody is told");
    Err(match bench.task {
        Task::Six => verdict,
        _ => verdict.no_worse_than_weak("the sheet asks for no answer here; a client that sends its next message takes it for the answer to that"),
    })
}

/// After a file the connection ends, and not by a reset.
pub(super) fn ends_well(bench: &mut Bench) -> Outcome {
    let mut upload = Upload::open(bench)?;
    let body = bench.body(5000);
    upload.probe.send(&bench.file_message(&body));
    bench.leave(&mut upload.probe);
    upload.probe.read_to_end();
    let known = upload.probe.received().len();
    upload.probe.expect_end(known).map_err(|verdict| {
        verdict.state("the file is complete and our stream has ended: the connection is closed")
    })
}

/// One more byte behind a good file, in the same segment.
pub(super) fn trailing(bench: &mut Bench) -> Outcome {
    for extra in [&b"\n"[..], b"\0\0\0"] {
        let mut upload = Upload::open(bench)?;
        let body = bench.body(200);
        let message = bench.file_message(&body).and("more", extra);
        upload.probe.send(&message);
        upload.probe.half_close();
        bench
            .expect_stored(&mut upload.probe, &upload.before, &body, upload.name.as_deref())
            .map_err(|verdict| verdict.state("the length says where the file ends: it is complete, and what follows is another message, good or bad"))?;
    }
    Ok(())
}

/// A length on more bytes than needed.
pub(super) fn wide_length(bench: &mut Bench) -> Outcome {
    let mut upload = Upload::open(bench)?;
    let body = bench.body(5);
    let message = Message::of("type 9", &[9])
        .and("length, 8 bytes", &5u64.to_le_bytes())
        .and("data", &body);
    upload.probe.send(&message);
    let stored = upload.expect_stored(bench, &body);
    if bench.framed() {
        return stored;
    }
    stored.map_err(|verdict| verdict.no_worse_than_weak("the sheet lets you choose which types there are; a server that knows all eight widths serves every client"))
}

/// Two files without a name get two names.
pub(super) fn two_files(bench: &mut Bench) -> Outcome {
    let Some(folder) = bench.folder.clone() else {
        bench.cannot_see(NO_FOLDER);
        return Ok(());
    };
    let before = bench.snapshot();
    let bodies = [bench.body(50), bench.body(50)];
    for body in &bodies {
        let mut upload = Upload::open(bench)?;
        upload.probe.send(&bench.file_message(body));
        upload.expect_stored(bench, body)?;
    }
    let fresh = folder.fresh_since(&before);
    let kept = |body: &Vec<u8>| fresh.iter().any(|file| folder.holds(file, body));
    if bodies.iter().all(kept) {
        return Ok(());
    }
    let got = format!("{} new file", fresh.len());
    Err(Verdict::Fail(Box::new(Finding {
        expected: "two new files, one for each upload".to_owned(),
        got,
        ..Finding::default()
    })))
}
