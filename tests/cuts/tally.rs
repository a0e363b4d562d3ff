//! What many cuts have come to.

use std::fmt;

use super::Outcome;

/// All cuts of one kind.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) cuts: u64,
    pub(crate) acknowledged: usize,
    pub(crate) lost: usize,
    unrecorded: usize,
    wrong: usize,
    /// Cuts that lost something or left something wrong, and which of them was the first.
    bad: u64,
    first: Option<u64>,
    pub(crate) resumed: usize,
    set_back: usize,
    asked: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, outcome: &Outcome) {
        let found = &outcome.found;
        self.cuts += 1;
        self.acknowledged += found.acknowledged;
        self.lost += found.lost.len();
        self.unrecorded += found.unrecorded.len();
        self.wrong += found.wrong.len();
        self.resumed += outcome.again.resumed;
        self.set_back += outcome.again.set_back;
        self.asked += u64::from(outcome.asked);
        if found.faults().next().is_some() {
            self.bad += 1;
            self.first = self.first.or(Some(self.cuts));
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:5} cuts | {:7} acknowledged | {:4} lost | {:3} unrecorded | {:3} wrong | \
             {:4} resumed, {} set back",
            self.cuts,
            self.acknowledged,
            self.lost,
            self.unrecorded,
            self.wrong,
            self.resumed,
            self.set_back
        )?;
        if let Some(first) = self.first {
            write!(f, " | {} bad cuts, the first was number {first}", self.bad)?;
        }
        if self.asked > 0 {
            write!(f, " | {} checks would have asked", self.asked)?;
        }
        Ok(())
    }
}
