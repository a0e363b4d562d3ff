//! What is said of what a client of a task did, and with which exit that ends.

use piecemeal::lab::Task;
use piecemeal::lab::client::{Failure, Reply, Sent, Settings, Status, Then, Told};
use piecemeal::proto::reply::Answer;
use piecemeal::proto::text::escaped;

use crate::cli::exit::Exit;
use crate::cli::units::show_count;

/// What would help, where that is known.
pub(super) fn hint(failure: &Failure, task: Task) -> String {
    match failure {
        Failure::Resolve { .. } => "; is the name right?".to_owned(),
        Failure::Connect { .. } => {
            format!("; is the server running? `piecemeal lab serve --task {task}` starts ours")
        }
        Failure::Silent(_) => "; --timeout sets how long that may take".to_owned(),
        Failure::NotOk(answer) if answer.starts_with(b"\x01\x02\x00OK") => {
            "; that is an OK in --grammar framed".to_owned()
        }
        Failure::NotOk(answer) if answer.ends_with(b"OK") => {
            "; with --keep, late words about the file before may stand in front of an OK: \
             a longer --quiet waits for them"
                .to_owned()
        }
        _ => String::new(),
    }
}

pub(super) fn exit_of(failure: &Failure) -> Exit {
    match failure {
        Failure::Resolve { .. }
        | Failure::Connect { .. }
        | Failure::Lost { .. }
        | Failure::Closed
        | Failure::NotKept
        | Failure::Cut(_) => Exit::Connect,
        Failure::Local(_) | Failure::Unsendable(_) => Exit::Local,
        Failure::Silent(_) | Failure::Stalled(_) => Exit::TimedOut,
        Failure::Endless => Exit::Protocol,
        Failure::NotOk(_) | Failure::Refused(_) => Exit::Refused,
    }
}

pub(super) fn show_status(status: &Status, settings: &Settings) -> String {
    let from = status.from.as_ref();
    let from = from.map_or_else(String::new, |from| format!(" from {from}"));
    let then = match &status.then {
        Then::Closed => "the server closed the connection".to_owned(),
        Then::Broken(how) => format!("the server broke the connection: {how}"),
        Then::Said(bytes) => format!("the server said \"{}\"", escaped(bytes)),
        Then::Open => {
            let quiet = humantime::format_duration(settings.quiet);
            format!("the connection was still open after {quiet}")
        }
    };
    format!("connected to {}{from}; {then}", status.to)
}

pub(super) fn show_told(told: &Told) -> String {
    let (kind, size) = (told.kind, show_count(told.size, "byte"));
    let answer = show_reply(&told.reply);
    match told.digest {
        None => format!("sent a text of {size} as type {kind}{answer}"),
        Some(digest) => {
            format!("sent {size} at random as type {kind}, blake3={digest}{answer}")
        }
    }
}

pub(super) fn show_sent(sent: &Sent) -> String {
    let size = show_count(sent.size, "byte");
    format!("sent, {size}{}", show_reply(&sent.reply))
}

fn show_reply(reply: &Reply) -> String {
    let mut line = show_answer(&reply.said);
    if reply.left_open {
        line.push_str("; the server keeps the connection open");
    }
    line
}

fn show_answer(answer: &[u8]) -> String {
    if answer.is_empty() {
        return String::new();
    }
    match Answer::parse(&String::from_utf8_lossy(answer)) {
        Answer::Ok {
            receipt: Some(receipt),
            ..
        } => format!("; stored there as {}", escaped(&receipt.name)),
        _ => format!("; the server said \"{}\"", escaped(answer)),
    }
}
