//! The texts of PUT, END and replies, and how any bytes are shown.
//!
//! A text is read by the product and, once more, by the few lines here that docs/PROTOCOL.md takes
//! to say it. What could be read is written and read again; so are values that were never text.

mod shown;
mod values;

use std::collections::BTreeMap;

use piecemeal::proto::error::{Code, Fault};
use piecemeal::proto::fields::{FieldFault, Fields};
use piecemeal::proto::{Answer, Conflict, End, Put, UploadId};

use super::input::Input;
use super::plain::assert_line;
use shown::shown;
use values::{faults, lengths, put_and_end, refusal, replies};

/// A key that no version will ever have.
const UNKNOWN: &str = "x-nobody-knows=this = that\n";

/// Tries one input: what its first byte says, with the rest.
pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    match input.byte() % 8 {
        0 | 1 => texts(&String::from_utf8_lossy(input.rest())),
        2 => put_and_end(&mut input),
        3 => replies(&mut input),
        4 => faults(&mut input),
        5 => lengths(&mut input),
        _ => shown(input.rest()),
    }
}

/// Any text, read as fields, as a PUT, an END and a reply.
fn texts(text: &str) {
    let fields = Fields::parse(text);
    let model = read(text);
    match (&fields, &model) {
        (Ok(fields), Some(model)) => {
            for (key, value) in model {
                assert_eq!(fields.get(key), Some(*value));
            }
            assert_eq!(fields.get("no such key"), None);
        }
        (Err(fault), None) => assert_line(&fault.to_string()),
        _ => panic!("{fields:?} is not {model:?}"),
    }
    let put = Put::parse(text);
    let end = End::parse(text);
    for fault in [put.as_ref().err(), end.as_ref().err()]
        .into_iter()
        .flatten()
    {
        refusal(Fault::from(fault.clone()));
    }
    if let Some(model) = &model {
        known_values(&put, &end, model);
        unknown_and_order(text, &put, &end);
    } else {
        assert!(put.is_err() && end.is_err());
    }
    if let Ok(put) = &put {
        assert_eq!(Put::parse(&put.to_string()).as_ref(), Ok(put));
    }
    if let Ok(end) = &end {
        assert_eq!(End::parse(&end.to_string()).as_ref(), Ok(end));
    }
    answer(text);
}

/// Fields as docs/PROTOCOL.md has them.
fn read(text: &str) -> Option<BTreeMap<&str, &str>> {
    let mut fields = BTreeMap::new();
    let mut lines: Vec<&str> = text.split('\n').collect();
    if lines.last() == Some(&"") {
        lines.pop();
    }
    for line in lines {
        let (key, value) = line.split_once('=')?;
        let is_key = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-');
        if key.is_empty() || !key.chars().all(is_key) || fields.insert(key, value).is_some() {
            return None;
        }
    }
    Some(fields)
}

/// What the known keys say, once they are read.
fn known_values(
    put: &Result<Put, FieldFault>,
    end: &Result<End, FieldFault>,
    model: &BTreeMap<&str, &str>,
) {
    let size = model.get("size").map(|text| text.parse::<u64>().ok());
    // A sign is no digit.
    let has_sign = model.get("size").is_some_and(|text| text.starts_with('+'));
    if let Ok(put) = put {
        assert_eq!(Some(put.name.as_str()), model.get("name").copied());
        assert_eq!(put.size.map(Some), size);
        assert_eq!(put.explicit_end, model.contains_key("end"));
        let conflict = put.conflict.map(Conflict::as_str);
        assert_eq!(conflict, model.get("conflict").copied());
        let upload = put.upload.as_ref().map(UploadId::as_str);
        assert_eq!(upload, model.get("upload").copied());
        let digest = put.digest.map(|digest| digest.to_string());
        let as_written = model.get("blake3").map(|text| text.to_ascii_lowercase());
        assert_eq!(digest, as_written);
        assert_eq!(put.metadata.mtime.is_some(), model.contains_key("mtime"));
        assert_eq!(put.metadata.mode.is_some(), model.contains_key("mode"));
        assert!(put.metadata.mode.is_none_or(|mode| mode <= 0o777));
    }
    if let Ok(end) = end {
        assert_eq!(end.size.map(Some), size);
        assert!(!has_sign);
    }
    let is_size = size.flatten().is_none_or(|_| !has_sign) && size != Some(None);
    assert!(is_size || (put.is_err() && end.is_err()));
}

/// An unknown key changes nothing, nor does the order of the lines.
fn unknown_and_order(text: &str, put: &Result<Put, FieldFault>, end: &Result<End, FieldFault>) {
    let end_of_line = if text.is_empty() || text.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    let longer = format!("{text}{end_of_line}{UNKNOWN}");
    if !text.contains("x-nobody-knows=") {
        assert_eq!(&Put::parse(&longer), put);
        assert_eq!(&End::parse(&longer), end);
    }
    let mut lines: Vec<&str> = text.trim_end_matches('\n').split('\n').collect();
    lines.reverse();
    let turned = lines.join("\n");
    if put.is_ok() {
        assert_eq!(&Put::parse(&turned), put);
    }
    if end.is_ok() {
        assert_eq!(&End::parse(&turned), end);
    }
}

/// Any text, read as a reply: no key but the known ones makes a difference.
fn answer(text: &str) {
    let answer = Answer::parse(text);
    let first = text.split('\n').next().unwrap_or_default();
    match &answer {
        Answer::Ok { offset, receipt } => {
            assert_eq!(first, "OK");
            assert!(offset.is_none() || text.contains("\noffset="));
            assert!(receipt.is_none() || text.contains("\nname=") && text.contains("\nsize="));
        }
        Answer::Refused(refusal) => {
            assert_eq!(first.strip_prefix("ERR "), Some(refusal.word.as_str()));
            let code = refusal.code.map(Code::as_str);
            assert!(code.is_none_or(|code| code == refusal.word));
        }
        Answer::Text(same) => {
            assert_eq!(same, text);
            return;
        }
    }
    if !text.contains("x-nobody-knows=") && !text.ends_with('\n') {
        assert_eq!(Answer::parse(&format!("{text}\n{UNKNOWN}")), answer);
    }
}
