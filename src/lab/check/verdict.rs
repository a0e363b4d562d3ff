//! What a case comes to.

use serde::Serialize;

/// What is said of a server after one case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It did what is required.
    Pass,
    /// It did what is allowed, and what will break one day, or it lacks an extra.
    Weak(Box<Finding>),
    /// It did not do what is required.
    Fail(Box<Finding>),
    /// Nothing can be said, and why.
    CantTell(String),
}

/// What was seen instead of what is required.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What should have happened here.
    pub expected: String,
    /// What happened.
    pub got: String,
    /// Where a right server stands at this place, in words.
    pub state: Option<String>,
    /// The mistake that most likely lies behind it.
    pub mistake: Option<String>,
    /// The talk with the server, as annotated lines.
    pub talk: Vec<String>,
}

/// What a case's function returns. An error is a verdict that ends the case.
pub type Outcome<T = ()> = Result<T, Verdict>;

impl Verdict {
    /// Its word in reports for people.
    pub fn word(&self) -> &'static str {
        match self {
            Verdict::Pass => "PASS",
            Verdict::Weak(_) => "WEAK",
            Verdict::Fail(_) => "FAIL",
            Verdict::CantTell(_) => "CAN'T TELL",
        }
    }

    /// Its key in reports for programs.
    pub fn key(&self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Weak(_) => "weak",
            Verdict::Fail(_) => "fail",
            Verdict::CantTell(_) => "cant_tell",
        }
    }

    /// What was seen, where something was.
    pub fn finding(&self) -> Option<&Finding> {
        match self {
            Verdict::Weak(finding) | Verdict::Fail(finding) => Some(finding),
            Verdict::Pass | Verdict::CantTell(_) => None,
        }
    }

    /// A failure becomes a weakness: the grammar lets nobody ask for more.
    #[must_use]
    pub fn no_worse_than_weak(self, because: &str) -> Verdict {
        match self {
            Verdict::Fail(mut finding) => {
                finding.mistake = Some(because.to_owned());
                Verdict::Weak(finding)
            }
            other => other,
        }
    }

    /// Says otherwise what happened.
    #[must_use]
    pub fn got(mut self, got: impl Into<String>) -> Verdict {
        if let Verdict::Weak(finding) | Verdict::Fail(finding) = &mut self {
            finding.got = got.into();
        }
        self
    }

    /// Says where a right server stands at this place.
    #[must_use]
    pub fn state(mut self, state: impl Into<String>) -> Verdict {
        if let Verdict::Weak(finding) | Verdict::Fail(finding) = &mut self {
            finding.state = Some(state.into());
        }
        self
    }

    /// Says which mistake this looks like, where that is better known than by the case alone.
    #[must_use]
    pub fn mistake(mut self, mistake: impl Into<String>) -> Verdict {
        if let Verdict::Weak(finding) | Verdict::Fail(finding) = &mut self {
            finding.mistake = Some(mistake.into());
        }
        self
    }
}

/// How many cases came to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Cases passed.
    pub pass: usize,
    /// Cases that are weak.
    pub weak: usize,
    /// Cases failed.
    pub fail: usize,
    /// Cases of which nothing can be said.
    pub cant_tell: usize,
}

impl Tally {
    /// Counts one more.
    pub fn count(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Pass => self.pass += 1,
            Verdict::Weak(_) => self.weak += 1,
            Verdict::Fail(_) => self.fail += 1,
            Verdict::CantTell(_) => self.cant_tell += 1,
        }
    }

    /// The exit code that this comes to: 1 where a case failed, 3 where none did but something
    /// can't be told, else 0. What is weak is allowed.
    pub fn exit_code(&self) -> u8 {
        match self {
            Tally { fail: 1.., .. } => 1,
            Tally { cant_tell: 1.., .. } => 3,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code_of(verdicts: &[Verdict]) -> u8 {
        let mut tally = Tally::default();
        for verdict in verdicts {
            tally.count(verdict);
        }
        tally.exit_code()
    }

    #[test]
    fn a_failure_weighs_most_then_what_cannot_be_told_and_weakness_nothing() {
        let fail = Verdict::Fail(Box::default());
        let weak = Verdict::Weak(Box::default());
        let unknown = Verdict::CantTell("no folder".into());
        assert_eq!(code_of(&[Verdict::Pass, weak.clone()]), 0);
        assert_eq!(code_of(&[Verdict::Pass, unknown.clone(), weak]), 3);
        assert_eq!(code_of(&[unknown, fail]), 1);
        assert_eq!(code_of(&[]), 0);
    }

    #[test]
    fn only_a_failure_is_softened() {
        let fail = Verdict::Fail(Box::default()).no_worse_than_weak("raw");
        assert_eq!(fail.word(), "WEAK");
        assert_eq!(Verdict::Pass.no_worse_than_weak("raw"), Verdict::Pass);
    }
}
