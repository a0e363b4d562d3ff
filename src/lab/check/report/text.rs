//! The report for people.

use std::fmt::Write;

use super::super::case::Case;
use super::super::runner::{Checked, Settings};
use super::super::verdict::{Finding, Tally, Verdict};
use super::command;
use crate::lab::Task;
use crate::proto::text::escaped;

/// How words are coloured: what stands before and behind each.
pub trait Paint {
    /// A verdict's word.
    fn verdict(&self, verdict: &Verdict) -> String;
    /// A line of a talk, in which marks may stand out.
    fn talk(&self, line: &str) -> String;
}

/// No colours.
#[derive(Clone, Copy, Debug)]
pub struct Plain;

impl Paint for Plain {
    fn verdict(&self, verdict: &Verdict) -> String {
        verdict.word().to_owned()
    }

    fn talk(&self, line: &str) -> String {
        line.to_owned()
    }
}

/// All that is said of one case. It ends with a line's end.
pub fn case(settings: &Settings, checked: &Checked, paint: &dyn Paint) -> String {
    let Checked { case, verdict, .. } = checked;
    let mut out = format!("{} {} {}\n", paint.verdict(verdict), case.id, case.title);
    match verdict {
        Verdict::Pass => {}
        Verdict::CantTell(why) => line(&mut out, "because", why),
        Verdict::Weak(finding) => {
            what(&mut out, finding);
            if let Some(mistake) = &finding.mistake {
                line(&mut out, "weak", mistake);
            }
        }
        Verdict::Fail(finding) => {
            line(&mut out, "rule", &format!("{}: {}", case.title, case.why));
            what(&mut out, finding);
            if let Some(state) = &finding.state {
                line(&mut out, "state", state);
            }
            if let Some(mistake) = &finding.mistake {
                line(&mut out, "likely", mistake);
            }
            for talk in &finding.talk {
                let _ = writeln!(out, "  {}", paint.talk(talk));
            }
            line(&mut out, "again", &command(settings, case.id));
            out.push('\n');
        }
    }
    out
}

fn what(out: &mut String, finding: &Finding) {
    line(out, "expected", &finding.expected);
    line(out, "got", &finding.got);
}

/// A labelled line. What a program printed stands on further lines, which are escaped already; for
/// safety's sake each is once more kept from carrying anything but plain text.
fn line(out: &mut String, label: &str, text: &str) {
    for (number, part) in text.split('\n').enumerate() {
        let label = if number == 0 { label } else { "" };
        let plain: String = part
            .chars()
            .map(|c| {
                if crate::proto::text::is_plain(c) {
                    c
                } else {
                    '\u{fffd}'
                }
            })
            .collect();
        let _ = writeln!(out, "  {label:<10}{plain}");
    }
}

/// The last line.
pub fn summary(settings: &Settings, tally: &Tally) -> String {
    let count = |count: usize, word: &str| (count > 0).then(|| format!("{count} {word}"));
    let parts: Vec<String> = [
        count(tally.pass, "passed"),
        count(tally.weak, "weak"),
        count(tally.fail, "failed"),
        count(tally.cant_tell, "can't be told"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let mut summary = format!(
        "task {} at {}: {}",
        settings.task,
        settings.endpoint,
        parts.join(", ")
    );
    // Servers lay out their messages in several ways, and one that is asked in another fails a lot.
    if settings.task >= Task::Three && tally.fail > tally.pass {
        let grammar = settings.grammar;
        summary.push_str(&format!(
            "\nall of it was asked in the grammar {grammar}; does the server speak another? \
             --grammar takes framed, u1, u2, u3 and u4"
        ));
    }
    summary
}

/// One case of a list.
pub fn listed(case: &Case) -> String {
    let raw = (case.asked)(crate::lab::Grammar::U1);
    let ends = (case.asked)(crate::lab::Grammar::U3);
    let only = match (raw, ends) {
        (false, _) => " (only with --grammar u2 or framed)",
        (true, false) => " (not with --grammar u3 or u4)",
        (true, true) => "",
    };
    format!("{:<9} {}{only}", case.id, escaped(case.title))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::Grammar;
    use std::time::Duration;

    fn settings() -> Settings {
        Settings {
            task: Task::Three,
            grammar: Grammar::U1,
            endpoint: "127.0.0.1:9000".parse().unwrap(),
            folder: None,
            start: None,
            only: Vec::new(),
            signal: std::sync::Arc::default(),
        }
    }

    #[test]
    fn a_failure_says_all_that_is_needed_to_mend_it() {
        let finding = Finding {
            expected: "this".into(),
            got: "that".into(),
            state: Some("ReadType".into()),
            mistake: Some("recv once".into()),
            talk: vec!["0000  01".into()],
        };
        let checked = Checked {
            case: &super::super::super::cases::of(Task::Three)[0],
            verdict: Verdict::Fail(Box::new(finding)),
            took: Duration::ZERO,
        };
        let shown = case(&settings(), &checked, &Plain);
        for part in [
            "FAIL 3.1 ",
            "rule ",
            "expected  this",
            "got       that",
            "state     ReadType",
            "likely    recv once",
            "0000  01",
            "--only 3.1 127.0.0.1:9000",
        ] {
            assert!(shown.contains(part), "{part} is missing in {shown}");
        }
    }

    #[test]
    fn the_summary_counts_what_there_is() {
        let tally = Tally {
            pass: 3,
            weak: 0,
            fail: 1,
            cant_tell: 2,
        };
        assert_eq!(
            summary(&settings(), &tally),
            "task 3 at 127.0.0.1:9000: 3 passed, 1 failed, 2 can't be told"
        );
    }

    #[test]
    fn where_most_fails_another_grammar_is_thought_of() {
        let tally = |pass, fail| Tally {
            pass,
            fail,
            ..Tally::default()
        };
        let asks = |tally: &Tally| summary(&settings(), tally).contains("--grammar");
        assert!(asks(&tally(13, 18)));
        assert!(!asks(&tally(18, 13)));
        let first = Settings {
            task: Task::One,
            ..settings()
        };
        assert!(!summary(&first, &tally(0, 8)).contains("--grammar"));
    }
}
