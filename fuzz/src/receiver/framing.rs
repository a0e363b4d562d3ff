//! The bytes of a session read a second time, as docs/PROTOCOL.md has them, by a reader that has
//! them all at once and keeps no state; and what may be answered to each message.

use std::collections::VecDeque;

use piecemeal::proto::{Rules, Strings};

const TEXT_MOST: usize = 4096;

/// A message as it lies in the session.
enum Message<'a> {
    /// A type that is none, or isn't taken.
    NoType,
    /// A text that is longer than any.
    TooLong,
    /// A STRING, PUT or END, whole.
    Text(u8, &'a [u8]),
    /// A DATA message, whole.
    Data,
    /// A message whose header is whole, and that the stream's end cuts off.
    Cut,
}

/// The next message and what follows it; `None` where not even a header is whole.
fn next<'a>(session: &'a [u8], rules: &Rules) -> Option<(Message<'a>, &'a [u8])> {
    let (kind, rest) = session.split_first()?;
    let width = match kind {
        1 | 16 | 17 => 2,
        2..=9 => usize::from(kind - 1),
        10 if rules.accept_eof => return Some((Message::Data, &[])),
        _ => return Some((Message::NoType, &[])),
    };
    if rest.len() < width {
        return None;
    }
    let (field, rest) = rest.split_at(width);
    let length = field
        .iter()
        .rev()
        .fold(0_u64, |length, byte| length << 8 | u64::from(*byte));
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let is_text = matches!(kind, 1 | 16 | 17);
    if is_text && length > TEXT_MOST {
        return Some((Message::TooLong, &[]));
    }
    if rest.len() < length {
        return Some((Message::Cut, &[]));
    }
    let (body, rest) = rest.split_at(length);
    let message = if is_text {
        Message::Text(*kind, body)
    } else {
        Message::Data
    };
    Some((message, rest))
}

/// Takes replies apart, each of which is a STRING.
pub(super) fn replies(mut sent: &[u8]) -> Vec<&str> {
    let mut texts = Vec::new();
    while let [1, low, high, tail @ ..] = sent {
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        let (text, after) = tail.split_at_checked(length).expect("a reply is whole");
        texts.push(std::str::from_utf8(text).expect("a reply is text"));
        sent = after;
    }
    assert!(sent.is_empty(), "replies are STRING messages: {sent:?}");
    texts
}

/// One reply for each message, in their order, and each of a kind that may answer it. `receipts`
/// has what the store acknowledged, in its order.
pub(super) fn check(session: &[u8], sent: &[u8], rules: &Rules, mut receipts: VecDeque<String>) {
    let mut replies = replies(sent).into_iter();
    let mut rest = session;
    let mut is_ending = false;
    while let Some((message, after)) = next(rest, rules) {
        rest = after;
        let Some(reply) = replies.next() else {
            assert!(is_ending, "a message has no reply");
            break;
        };
        let code = reply
            .strip_prefix("ERR ")
            .and_then(|rest| rest.lines().next());
        if let Some(code) = code {
            assert!(
                may_refuse(&message, code, rules),
                "{code} can't be said of it"
            );
        } else {
            may_answer(&message, reply, rules, &mut receipts);
        }
        // What was taken before the store had said so is still answered behind it.
        is_ending |= code == Some("unknown");
        if code.is_some_and(closes) || matches!(message, Message::Cut) {
            break;
        }
    }
    assert_eq!(replies.next(), None, "a reply that nothing asked for");
    assert!(receipts.is_empty(), "{receipts:?} were never told");
}

/// Whether docs/PROTOCOL.md lets a message be refused so. What follows a refused name is answered
/// with the name's code.
fn may_refuse(message: &Message<'_>, code: &str, rules: &Rules) -> bool {
    let of_string = ["bad-text", "bad-name", "exists"];
    let of_put = ["bad-state", "too-large", "no-space", "busy"];
    let of_data = [
        "bad-state",
        "too-large",
        "no-space",
        "digest",
        "io",
        "unknown",
    ];
    let of_end = [
        "bad-state",
        "digest",
        "io",
        "unknown",
        "too-large",
        "no-space",
    ];
    match message {
        Message::NoType => code == "bad-type",
        Message::TooLong => code == "bad-length",
        Message::Text(1, _) if rules.strings == Strings::Message => code == "bad-text",
        Message::Text(1, _) => of_string.contains(&code),
        Message::Text(16, _) => of_string.contains(&code) || of_put.contains(&code),
        Message::Text(..) => of_string.contains(&code) || of_end.contains(&code),
        Message::Data => of_string.contains(&code) || of_data.contains(&code),
        Message::Cut => {
            code == "incomplete" || of_string.contains(&code) || of_data.contains(&code)
        }
    }
}

/// Panics where a good reply is none to this message.
fn may_answer(message: &Message<'_>, reply: &str, rules: &Rules, receipts: &mut VecDeque<String>) {
    let mut is_receipt = || {
        // Of a file that was there before.
        if reply.starts_with("OK\nname=there\n") {
            return;
        }
        let receipt = receipts.pop_front();
        assert_eq!(
            receipt.as_deref(),
            Some(reply),
            "the receipt of another file"
        );
    };
    match message {
        Message::Text(1, text) if rules.strings == Strings::Message => {
            let text = std::str::from_utf8(text).expect("what is no text is refused");
            assert_eq!(reply.strip_prefix("Message: "), Some(text));
        }
        Message::Text(1, _) => assert_eq!(reply, "OK"),
        Message::Text(16, _) => {
            let offset = reply.strip_prefix("OK\noffset=").expect("an offset");
            assert!(offset.parse::<u64>().is_ok(), "{reply}");
        }
        Message::Text(..) => is_receipt(),
        // A part of an upload that END completes, or all of another.
        Message::Data if reply == "OK" => {}
        Message::Data => is_receipt(),
        Message::NoType | Message::TooLong | Message::Cut => panic!("{reply} to no message"),
    }
}

/// Whether the connection ends behind it, whatever it is said of.
fn closes(code: &str) -> bool {
    matches!(
        code,
        "bad-type" | "bad-length" | "incomplete" | "timeout" | "busy" | "shutdown"
    )
}
