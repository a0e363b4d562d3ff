//! The report for programs: one JSON document. Keys are never renamed; new ones may come.

use serde::Serialize;

use super::super::runner::{CheckError, Checked, Settings};
use super::super::verdict::{Finding, Tally, Verdict};
use super::command;

#[derive(Debug, Serialize)]
struct Document<'a> {
    task: &'a str,
    grammar: &'a str,
    address: String,
    cases: Vec<Entry<'a>>,
    summary: Tally,
    exit: u8,
    /// Why no case could be run at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct Entry<'a> {
    id: &'a str,
    title: &'a str,
    why: &'a str,
    /// `pass`, `weak`, `fail` or `cant_tell`.
    verdict: &'a str,
    took_ms: u64,
    /// Why nothing can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finding: Option<&'a Finding>,
    /// Runs just this case.
    command: String,
}

/// The document, with a line's end.
pub fn document(settings: &Settings, all: &[Checked], tally: &Tally) -> serde_json::Result<String> {
    let cases = all.iter().map(|checked| Entry {
        id: checked.case.id,
        title: checked.case.title,
        why: checked.case.why,
        verdict: checked.verdict.key(),
        took_ms: u64::try_from(checked.took.as_millis()).unwrap_or(u64::MAX),
        because: match &checked.verdict {
            Verdict::CantTell(why) => Some(why),
            _ => None,
        },
        finding: checked.verdict.finding(),
        command: command(settings, checked.case.id),
    });
    written(&Document {
        task: settings.task.as_str(),
        grammar: settings.grammar.as_str(),
        address: settings.endpoint.to_string(),
        cases: cases.collect(),
        summary: *tally,
        exit: tally.exit_code(),
        error: None,
    })
}

/// The document where no case could be run: `error` says why, and there are no cases.
pub fn error(settings: &Settings, error: &CheckError, exit: u8) -> serde_json::Result<String> {
    written(&Document {
        task: settings.task.as_str(),
        grammar: settings.grammar.as_str(),
        address: settings.endpoint.to_string(),
        cases: Vec::new(),
        summary: Tally::default(),
        exit,
        error: Some(error.to_string()),
    })
}

fn written(document: &Document<'_>) -> serde_json::Result<String> {
    let mut text = serde_json::to_string_pretty(document)?;
    text.push('\n');
    Ok(text)
}
