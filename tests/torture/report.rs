//! How many cases there were, and how they ended.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{Case, Ended};

/// How all cases went.
#[derive(Debug, Default)]
pub(crate) struct Report(Vec<Ended>);

#[derive(Default)]
struct Line {
    errnos: BTreeSet<String>,
    cases: usize,
    reached: usize,
    unnoticed: usize,
    codes: BTreeMap<String, usize>,
    refused_later: usize,
    wrong: usize,
}

impl Report {
    /// Says how it went, so that a long run can be watched.
    #[expect(clippy::print_stderr, reason = "whoever runs it wants to know")]
    pub(super) fn add(&mut self, ended: Ended) {
        let Ended {
            case,
            injected,
            codes,
            ..
        } = &ended;
        let verdict = if ended.wrong.is_empty() {
            "ok"
        } else {
            "WRONG"
        };
        eprintln!(
            "{verdict} {case}: {injected} failed, {codes:?} {:?}",
            ended.wrong
        );
        self.0.push(ended);
    }

    /// Those that went wrong, with what plays each of them again.
    pub(crate) fn failures(&self) -> Vec<String> {
        let wrong = self.0.iter().filter(|ended| !ended.wrong.is_empty());
        let told = |ended: &Ended| {
            let Ended { case, wrong, .. } = ended;
            let again = format!("PIECEMEAL_TORTURE={case} cargo test --test torture");
            format!("{again}\n    {}", wrong.join("\n    "))
        };
        wrong.map(told).collect()
    }

    /// How many there were.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Those whose call was not made so often.
    pub(crate) fn unreached(&self) -> impl Iterator<Item = &Case> {
        let unreached = self.0.iter().filter(|ended| ended.injected == 0);
        unreached.map(|ended| &ended.case)
    }

    /// Cases whose call was made to fail.
    pub(crate) fn reached(&self) -> usize {
        self.0.iter().filter(|ended| ended.injected > 0).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines: BTreeMap<(String, String), Line> = BTreeMap::new();
        for ended in &self.0 {
            let Case {
                thread,
                call,
                errno,
                ..
            } = &ended.case;
            let line = lines.entry((thread.clone(), call.clone())).or_default();
            line.cases += 1;
            line.errnos.insert(errno.clone());
            if ended.injected > 0 {
                line.reached += 1;
                line.unnoticed += usize::from(ended.codes.is_empty());
                line.refused_later += usize::from(ended.refuses);
                for code in &ended.codes {
                    *line.codes.entry(code.clone()).or_default() += 1;
                }
            }
            line.wrong += usize::from(!ended.wrong.is_empty());
        }
        writeln!(
            f,
            "| thread | call | errors | cases | reached | unnoticed | told | refuses then | wrong |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|---|---|")?;
        for ((thread, call), line) in lines {
            let errnos: Vec<_> = line.errnos.into_iter().collect();
            let codes: Vec<_> = line
                .codes
                .iter()
                .map(|(code, count)| format!("{code} {count}"))
                .collect();
            writeln!(
                f,
                "| {thread} | {call} | {} | {} | {} | {} | {} | {} | {} |",
                errnos.join(" "),
                line.cases,
                line.reached,
                line.unnoticed,
                codes.join(", "),
                line.refused_later,
                line.wrong
            )?;
        }
        write!(
            f,
            "{} cases, {} of them reached",
            self.0.len(),
            self.reached()
        )
    }
}
