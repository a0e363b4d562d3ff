//! Clients that end too early, stand still, or send nonsense: what is kept of it, and whether the
//! next client is served.

use std::time::Instant;

use super::super::bench::{Bench, TOO_BUSY, TRIES};
use super::super::message::Message;
use super::super::probe::{Ending, Probe};
use super::super::shown::quoted;
use super::super::verdict::{Outcome, Verdict};
use super::echo::{TEXT_MOST, long_text};
use super::upload::{Upload, store, whole};
use crate::lab::Task;
use crate::proto::text::escaped;

/// The stream ends in good order when half of the promised bytes have come.
pub(super) fn early_end(bench: &mut Bench) -> Outcome {
    for (promised, sent) in [(1000, 500), (200, 199), (70_000, 65_536)] {
        let mut upload = Upload::open(bench)?;
        let body = bench.body(promised);
        let message = Message::header(bench.task, bench.grammar, promised)
            .and("part of the data", &body[..sent]);
        upload.probe.send(&message);
        upload.probe.half_close();
        upload
            .probe
            .read_until(std::time::Duration::from_millis(500), |_| false);
        upload
            .expect_nothing_kept(bench)
            .map_err(|verdict| verdict.state(format!("ReadBody, {sent} of {promised} bytes have come: the stream ends, so the upload is thrown away")))?;
    }
    bench.expect_still_serving("an upload that ended too early")
}

/// The same, and the server has to notice the end and end the connection too.
pub(super) fn early_end_is_noticed(bench: &mut Bench) -> Outcome {
    let body = bench.body(1000);
    let message = bench.file_message(&body);
    for sent in [1, message.bytes.len() - 990, message.bytes.len() - 500] {
        let mut upload = Upload::open(bench)?;
        upload
            .probe
            .send(&Message::of("part of a message", &message.bytes[..sent]));
        upload.probe.half_close();
        expect_noticed(bench, &mut upload.probe)?;
    }
    Ok(())
}

/// Expects any end of the connection. A server that takes processor time instead asks the ended
/// stream again and again; what one that rests waits for, the case knows better.
pub(super) fn expect_noticed(bench: &Bench, probe: &mut Probe) -> Outcome {
    let taken = || bench.server.as_ref().and_then(|server| server.cpu_time());
    let (began, before) = (Instant::now(), taken());
    if probe.read_to_end() != Ending::Open {
        return Ok(());
    }
    let verdict = probe
        .fail_here("here our stream ends", "the end of the connection: nothing more can come")
        .state("the stream has ended in the middle of a message: the upload is thrown away and the connection closed");
    let spent = taken()
        .unwrap_or_default()
        .saturating_sub(before.unwrap_or_default());
    Err(if before.is_some() && spent > began.elapsed() / 5 {
        verdict
            .mistake("end of stream not noticed: recv gives b'' and the loop asks again, for ever")
    } else {
        verdict
    })
}

/// The connection is cut off in the middle of the data.
pub(super) fn reset(bench: &mut Bench) -> Outcome {
    let Upload { mut probe, .. } = Upload::open(bench)?;
    let body = bench.body(1000);
    let message = bench.file_message(&body);
    probe.send(&Message::of(
        "part of a message",
        &message.bytes[..message.bytes.len() - 400],
    ));
    probe.pace();
    probe.reset();
    // And at once, when the server has not even looked at it.
    bench.connect()?.reset();
    bench.expect_still_serving("a client that resets its connection")
}

/// The same, and nothing may be kept, since a length promised more.
pub(super) fn reset_keeps_nothing(bench: &mut Bench) -> Outcome {
    let before = bench.snapshot();
    reset(bench)?;
    // The plain exchange that follows a reset stores a file of its own, of 12 bytes.
    let Some(folder) = bench.folder.clone() else {
        bench.cannot_see(super::super::bench::NO_FOLDER);
        return Ok(());
    };
    let kept = bench.watch.poll(super::super::bench::ABSENCE, || {
        let mut fresh = folder.fresh_since(&before).into_iter();
        fresh.find(|file| !file.says_unfinished() && file.size > 12)
    });
    let Some(file) = kept else { return Ok(()) };
    let mut probe = bench.connect()?;
    let size = usize::try_from(file.size).unwrap_or(usize::MAX);
    let shown = super::super::shown::quoted(file.name());
    probe
        .transcript
        .note("an upload of 1,000 bytes was reset when 600 had come");
    probe
        .transcript
        .stored(&shown, file.size, folder.head(&file));
    Err(probe.fail(
        "no file: its bytes are not all there",
        format!("{shown} with {}", super::super::shown::bytes(size)),
    ))
}

/// Clients stand still before the first byte, behind the type, and in the data.
pub(super) fn stalled(bench: &mut Bench) -> Outcome {
    let body = bench.body(1000);
    let message = bench.file_message(&body);
    let mut standing = vec![bench.connect()?];
    if bench.task == Task::Six {
        // One that has its OK, and says nothing more.
        standing.push(Upload::open(bench)?.probe);
    }
    for sent in [1, message.bytes.len() - 500] {
        let mut upload = Upload::open(bench)?;
        upload
            .probe
            .send(&Message::of("part of a message", &message.bytes[..sent]));
        upload.probe.pace();
        standing.push(upload.probe);
    }
    let served = whole(bench);
    served.map_err(|verdict| {
        let text = format!("{} other connections stand still in the middle of a message; the one shown is no business of theirs", standing.len());
        verdict.state(text)
    })
}

/// Two uploads whose pieces come in turn.
pub(super) fn interleaved(bench: &mut Bench) -> Outcome {
    let bodies = [bench.body(3000), bench.body(3000)];
    let mut uploads = [Upload::open(bench)?, Upload::open(bench)?];
    let messages = bodies.clone().map(|body| bench.file_message(&body));
    let length = messages[0].bytes.len();
    for from in (0..length).step_by(1000) {
        for (upload, message) in uploads.iter_mut().zip(&messages) {
            let to = (from + 1000).min(length);
            upload
                .probe
                .send(&Message::of("a piece", &message.bytes[from..to]));
            upload.probe.pace();
        }
    }
    for (upload, body) in uploads.iter_mut().zip(&bodies) {
        upload.expect_stored(bench, body)?;
    }
    Ok(())
}

/// Connections without a byte, and with nothing but a type.
pub(super) fn bare(bench: &mut Bench) -> Outcome {
    for bytes in [&b""[..], b"\x01", b"\x02"] {
        let mut probe = bench.connect()?;
        if !bytes.is_empty() {
            probe.send(&Message::of("type", bytes));
        }
        probe.half_close();
        expect_noticed(bench, &mut probe)?;
    }
    // One that goes without waiting for anything.
    drop(bench.connect()?);
    bench.expect_still_serving("a connection without a message")
}

/// A type that no grammar has.
pub(super) fn unknown_type(bench: &mut Bench) -> Outcome {
    let mut probe = bench.connect()?;
    probe.send(&Message::of("type 0xee", &[0xee]).and("more", b"what is this?"));
    probe.half_close();
    if probe.read_to_end() == Ending::Open {
        return Err(probe
            .fail_here("here our stream ends", "a refusal, or just the end of the connection")
            .state("ReadType: there is no type 0xee, so nobody knows where this message ends; the connection is closed"));
    }
    bench.remember(&probe);
    bench.expect_still_serving("a message of an unknown type")
}

/// A length of nearly 4 GiB, and hardly any data.
pub(super) fn huge_promise(bench: &mut Bench) -> Outcome {
    let mut upload = Upload::open(bench)?;
    let Some(header) = bench.grammar.file_header(u64::from(u32::MAX)) else {
        return Ok(());
    };
    let (kind, length) = header.split_at(1);
    let message = Message::of("type", kind)
        .and("length, 4,294,967,295", length)
        .and("data", b"ten bytes.");
    upload.probe.send(&message);
    upload.probe.half_close();
    upload.probe.read_until(bench.watch.patience(), |_| false);
    upload.expect_nothing_kept(bench)?;
    bench.remember(&upload.probe);
    bench.expect_still_serving("a promise of 4 GiB that isn't kept")
}

/// Client after client.
pub(super) fn many_in_a_row(bench: &mut Bench) -> Outcome {
    for _ in 0..20 {
        store(bench, 30, &|probe, message| probe.send(message))?;
    }
    Ok(())
}

/// A text in task 4 or 5: the connection ends in good order, and the server prints it. `words` are
/// what follows a name of their own. Tried again where it failed and a piece came so late that a
/// server may have taken the pause for the end.
fn text(bench: &mut Bench, words: &str, send: &dyn Fn(&mut Probe, &Message)) -> Outcome {
    for number in 0..TRIES {
        let text = bench.name(words);
        let message = Message::text(bench.task, bench.grammar, text.as_bytes());
        let mut probe = bench.connect()?;
        if number > 0 {
            probe.pace_blindly();
        }
        send(&mut probe, &message);
        let unfair = probe.paused() && !bench.framed();
        probe.half_close();
        probe.read_to_end();
        let known = probe.received().len();
        let outcome = probe
            .expect_end(known)
            .and_then(|()| expect_printed(bench, &probe, &text));
        match outcome {
            Err(Verdict::Fail(_)) if unfair => {}
            outcome => return outcome,
        }
    }
    Err(Verdict::CantTell(TOO_BUSY.to_owned()))
}

/// Expects a text on the console of a server that was started here.
fn expect_printed(bench: &mut Bench, probe: &Probe, text: &str) -> Outcome {
    let Some(server) = &bench.server else {
        bench.cannot_see("what the server prints can't be seen; let it be started with --start");
        return Ok(());
    };
    // Whoever prints it as Python shows bytes, or escaped as we do, prints it too.
    let in_python: String = text
        .bytes()
        .map(|byte| match byte {
            b' '..=b'~' => char::from(byte).to_string(),
            byte => format!("\\x{byte:02x}"),
        })
        .collect();
    let ways = [text.to_owned(), escaped(text).to_string(), in_python];
    let shown = bench.watch.poll(bench.watch.patience(), || {
        let printed = server.printed();
        ways.iter().any(|way| printed.contains(way)).then_some(())
    });
    if shown.is_some() {
        return Ok(());
    }
    if server.printed().is_empty() {
        bench.cannot_see("the server prints nothing at all; what it prints may be held back in a buffer until it ends");
        return Ok(());
    }
    let expected = format!("{} on the server's console", quoted(text.as_bytes()));
    let verdict = probe.fail_here("the text ends here", expected);
    Err(verdict
        .got(format!("it printed last:{}", server.tail()))
        .state(
            "the stream has ended, or the length is reached: the text is complete, and is printed",
        ))
}

pub(super) fn text_whole(bench: &mut Bench) -> Outcome {
    text(bench, " says hello", &|probe, message| probe.send(message))
}

pub(super) fn text_in_pieces(bench: &mut Bench) -> Outcome {
    text(bench, " comes in pieces", &|probe, message| {
        probe.send_bytewise(message);
    })
}

pub(super) fn text_characters_cut(bench: &mut Bench) -> Outcome {
    text(bench, "-n\u{e4}\u{ef}\u{20ac}", &|probe, message| {
        probe.send_bytewise(message);
    })
}

/// As long as the sheet lets a text be.
pub(super) fn text_longest(bench: &mut Bench) -> Outcome {
    let name = bench.name(" ").len();
    let numbers = long_text(TEXT_MOST - name - 1);
    let words = format!(" {}", String::from_utf8_lossy(&numbers));
    text(bench, &words, &|probe, message| probe.send(message))
}

/// Bytes that are no text where a text belongs.
pub(super) fn text_no_utf8(bench: &mut Bench) -> Outcome {
    let message = Message::text(bench.task, bench.grammar, b"caf\xe9 \xff\xfe\xc3");
    let mut probe = bench.connect()?;
    probe.send(&message);
    probe.half_close();
    expect_noticed(bench, &mut probe)?;
    bench.remember(&probe);
    bench.expect_still_serving("a text that is no UTF-8")
}
