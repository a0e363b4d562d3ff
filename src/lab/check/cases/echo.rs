//! A text and its answer: what the hello server and task 3's have in common.

use super::super::bench::{Bench, TOO_BUSY, TRIES};
use super::super::message::Message;
use super::super::probe::{Ending, Probe};
use super::super::shown::quoted;
use super::super::transcript::{Mark, Side};
use super::super::verdict::{Outcome, Verdict};
use crate::lab::Task;

/// Longest text of the sheet, in bytes.
pub(super) const TEXT_MOST: usize = 4096;

const ENDED: &str =
    "our stream has ended: it has the whole text, answers it, and ends the connection";

/// The words that stand before the text in an answer.
pub(super) fn prefix(bench: &Bench) -> &'static str {
    match bench.task {
        Task::Hello => "I have received: ",
        _ => "Message: ",
    }
}

fn message(bench: &Bench, text: &[u8]) -> Message {
    Message::text(bench.task, bench.grammar, text)
}

/// The bytes of the right answer.
fn answer(bench: &Bench, text: &[u8]) -> Vec<u8> {
    let raw = [prefix(bench).as_bytes(), text].concat();
    if bench.framed() {
        return bench.grammar.text(&raw).unwrap_or_default();
    }
    raw
}

/// Judges an answer that has come: right, with other words around it, or wrong.
fn judge(bench: &Bench, probe: &Probe, text: &[u8]) -> Outcome {
    let right = answer(bench, text);
    let got = probe.received();
    if got == right {
        return Ok(());
    }
    let expected = quoted(&right);
    if got.is_empty() {
        return Err(probe.fail_here("the text ends here", expected).state(ENDED));
    }
    let same = got.iter().zip(&right).take_while(|(a, b)| a == b).count();
    let mark = Mark::new(Side::Received, same, "the answer differs from here on");
    let verdict = probe.fail_at(&mark, expected, probe.got()).state(ENDED);
    if holds(got, text) {
        return Err(verdict.no_worse_than_weak(&format!(
            "the text comes back, but not as \"{}\" and the text alone: a client that compares will not know it",
            prefix(bench)
        )));
    }
    Err(verdict)
}

/// The same where other words are none of a case's business: one case is about them.
fn judge_text(bench: &Bench, probe: &Probe, text: &[u8]) -> Outcome {
    match judge(bench, probe, text) {
        Err(Verdict::Weak(_)) => Ok(()),
        outcome => outcome,
    }
}

fn holds(answer: &[u8], text: &[u8]) -> bool {
    answer.windows(text.len().max(1)).any(|part| part == text)
}

/// Sends a text by `send`, ends our side, and expects the answer. Tried again where a piece came so
/// late that a server may have taken the pause for the end.
fn exchange(bench: &mut Bench, text: &[u8], send: &dyn Fn(&mut Probe, &Message)) -> Outcome {
    let message = message(bench, text);
    for number in 0..TRIES {
        let mut probe = bench.connect()?;
        if number > 0 {
            probe.pace_blindly();
        }
        send(&mut probe, &message);
        let unfair = probe.paused() && !bench.framed();
        probe.half_close();
        probe.read_to_end();
        match judge_text(bench, &probe, text) {
            Err(Verdict::Fail(_)) if unfair => {}
            outcome => return outcome,
        }
    }
    Err(Verdict::CantTell(TOO_BUSY.to_owned()))
}

/// Whether a client is served at all, with whatever words.
pub(super) fn is_served(bench: &mut Bench) -> Outcome {
    exchange(bench, b"hello, server", &|probe, message| {
        probe.send(message);
    })
}

/// The one case that is about the words.
pub(super) fn whole(bench: &mut Bench) -> Outcome {
    let text = b"hello, server";
    let message = message(bench, text);
    let mut probe = bench.connect()?;
    probe.send(&message);
    probe.half_close();
    probe.read_to_end();
    judge(bench, &probe, text)
}

pub(super) fn ends_well(bench: &mut Bench) -> Outcome {
    let text = b"and then the end";
    let message = message(bench, text);
    let mut probe = bench.connect()?;
    probe.send(&message);
    probe.half_close();
    let right = answer(bench, text).len();
    probe.read_to_end();
    // Other words around the text are another case's to judge.
    let known = probe.received().len().max(right);
    probe
        .expect_end(known)
        .map_err(|verdict| verdict.state(ENDED))
}

pub(super) fn waiting(bench: &mut Bench) -> Outcome {
    let text = b"I wait for an answer";
    let message = message(bench, text);
    let mut probe = bench.connect()?;
    probe.send(&message);
    let patience = bench.watch.patience();
    probe.read_until(patience, |answer| holds(answer, text));
    let outcome = judge_text(bench, &probe, text);
    if bench.framed() {
        return outcome.map_err(|verdict| {
            verdict.state("ReadBody is complete by its length: it answers at once")
        });
    }
    let Err(verdict) = outcome else { return Ok(()) };
    if !probe.is_open() {
        return Err(verdict);
    }
    // Only one that answers once our stream has ended waits for that end.
    probe.half_close();
    probe.read_until(patience, |answer| holds(answer, text));
    Err(if judge_text(bench, &probe, text).is_ok() {
        verdict.no_worse_than_weak("the server reads on until the client ends its stream; a client that waits for its answer first, as the sheet lets it, waits for ever. Nothing in a raw text says that it is complete: a length would")
    } else {
        verdict
    })
}

pub(super) fn two_pieces(bench: &mut Bench) -> Outcome {
    // What is decided by who is faster is asked more than once.
    for _ in 0..3 {
        exchange(
            bench,
            b"the first piece, and the second",
            &|probe, message| {
                probe.send_cut(message, &[16]);
            },
        )?;
    }
    Ok(())
}

pub(super) fn bytewise(bench: &mut Bench) -> Outcome {
    exchange(bench, b"one at a time", &|probe, message| {
        probe.send_bytewise(message)
    })
}

pub(super) fn every_cut(bench: &mut Bench) -> Outcome {
    let text = "cut: \u{e9}\u{20ac}!".as_bytes();
    let cuts = message(bench, text).cuts();
    for cut in cuts {
        exchange(bench, text, &|probe, message| {
            probe.send_cut(message, &[cut])
        })?;
    }
    Ok(())
}

pub(super) fn characters_cut(bench: &mut Bench) -> Outcome {
    let text = "n\u{e4}\u{ef}\u{20ac}\u{1f600}".as_bytes();
    exchange(bench, text, &|probe, message| probe.send_bytewise(message))
}

/// A text in which each place can be told from every other.
pub(super) fn long_text(size: usize) -> Vec<u8> {
    let mut text = Vec::new();
    while text.len() < size {
        text.extend_from_slice(format!("{:06} ", text.len()).as_bytes());
    }
    text.truncate(size);
    text
}

pub(super) fn longest(bench: &mut Bench) -> Outcome {
    exchange(bench, &long_text(TEXT_MOST), &|probe, message| {
        probe.send(message)
    })
}

pub(super) fn longest_in_pieces(bench: &mut Bench) -> Outcome {
    exchange(bench, &long_text(TEXT_MOST), &|probe, message| {
        probe.send_cut(message, &[1000, 1024, 2048, 4095]);
    })
}

pub(super) fn too_long(bench: &mut Bench) -> Outcome {
    let text = long_text(6000);
    let message = message(bench, &text);
    let mut probe = bench.connect()?;
    probe.send(&message);
    probe.half_close();
    let ending = probe.read_to_end();
    let got = probe.received();
    // A server may refuse it, drop the rest, or take it all: what counts is that it says so in
    // good order.
    let fits = holds(got, &text[..TEXT_MOST]) || bench.framed() || got.is_empty();
    if ending == Ending::End && fits {
        return Ok(());
    }
    let expected =
        format!("the text, or its first {TEXT_MOST} bytes, and the end of the connection");
    let mark = Mark::new(Side::Received, got.len(), "the answer ends here");
    Err(probe
        .fail_at(&mark, expected, probe.got())
        .no_worse_than_weak("what the server did not read makes the kernel reset the connection when it is closed, and the reset can take the answer with it: read to the end of the stream, then close"))
}

pub(super) fn no_text(bench: &mut Bench) -> Outcome {
    let mut probe = bench.connect()?;
    probe.half_close();
    match probe.read_to_end() {
        Ending::Open => Err(probe
            .fail_here("here our stream ends", "the end of the connection, with or without an answer")
            .state("the stream has ended before a byte: nothing is to be answered, and the connection is closed")),
        Ending::End | Ending::Reset => {
            bench.remember(&probe);
            bench.expect_still_serving("a connection without a byte")
        }
    }
}

pub(super) fn no_utf8(bench: &mut Bench) -> Outcome {
    let message = message(bench, b"caf\xe9 \xff\xfe \xc3");
    let mut probe = bench.connect()?;
    probe.send(&message);
    probe.half_close();
    if probe.read_to_end() == Ending::Open {
        return Err(probe
            .fail_here("the text ends here", "any answer, or none, and the end of the connection")
            .mistake("decode() raises an exception on bytes that are no UTF-8, and the socket is never closed"));
    }
    bench.remember(&probe);
    bench.expect_still_serving("bytes that are no UTF-8")
}

/// One client that has sent `half` of a text stands still while another is served.
pub(super) fn stalled(bench: &mut Bench) -> Outcome {
    let framed = bench.framed();
    let mut silent = bench.connect()?;
    let mut half = bench.connect()?;
    let text = message(bench, b"half a te");
    silent.transcript.note("and sends nothing");
    if framed {
        half.send(&Message::of("half a message", &text.bytes[..5]));
    } else {
        half.send(&text);
    }
    half.pace();
    let served = is_served(bench);
    served.map_err(|verdict| match bench.task {
        Task::Hello => verdict.no_worse_than_weak("one client after the other is all that this first server promises; task 2 is about the rest"),
        _ => verdict.state("connections A and B stand still in the middle of a text; the one shown is a third, and is no business of theirs"),
    })
}

pub(super) fn reset(bench: &mut Bench) -> Outcome {
    let text = message(bench, b"never mind");
    for bytes in [0, text.bytes.len() / 2, text.bytes.len()] {
        let mut probe = bench.connect()?;
        probe.send(&Message::of("text", &text.bytes[..bytes]));
        probe.pace();
        probe.reset();
    }
    bench.expect_still_serving("a client that resets its connection")
}

pub(super) fn many_in_a_row(bench: &mut Bench) -> Outcome {
    for number in 0..20 {
        let text = format!("client {number}");
        exchange(bench, text.as_bytes(), &|probe, message| {
            probe.send(message)
        })?;
    }
    Ok(())
}

pub(super) fn two_at_once(bench: &mut Bench) -> Outcome {
    let (one, two) = (b"from the first ".as_slice(), b"from the second".as_slice());
    let messages = [message(bench, one), message(bench, two)];
    let mut first = bench.connect()?;
    let mut second = bench.connect()?;
    first.send(&messages[0]);
    second.send(&messages[1]);
    second.half_close();
    first.half_close();
    for (probe, text) in [(&mut second, two), (&mut first, one)] {
        probe.read_to_end();
        judge_text(bench, probe, text)?;
    }
    Ok(())
}
