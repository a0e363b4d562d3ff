//! The steps of one machine, compared with the table.

use std::collections::HashSet;
use std::sync::OnceLock;

use piecemeal::proto::transitions::TABLE;
use piecemeal::proto::{Machine, Receiver, Step};

/// The state that the last step led to.
#[derive(Debug, Default)]
pub(super) struct Steps(Option<&'static str>);

impl Steps {
    /// Takes the steps that the machine has kept. Each begins where the one before it ended, and
    /// stands in the table, or is one of those that are legal everywhere.
    pub(super) fn take(&mut self, machine: &mut Receiver) {
        while let Some(step) = machine.poll_step() {
            let from = self.0.replace(step.to).unwrap_or("ReadType");
            assert_eq!(step.from, from, "{step} doesn't go on from there");
            let Step { from, cause, to } = step;
            let ends = matches!(cause, "Lost" | "Deadline") && to == "Closed" && from != "Closed";
            let drains = matches!(cause, "Stored" | "Taken")
                && to == "Drain"
                && !matches!(from, "Drain" | "Closed");
            assert!(
                ends || drains || rows().contains(&(from, cause, to)),
                "{step} is not in the table"
            );
        }
    }
}

fn rows() -> &'static HashSet<(&'static str, &'static str, &'static str)> {
    static ROWS: OnceLock<HashSet<(&str, &str, &str)>> = OnceLock::new();
    ROWS.get_or_init(|| {
        let rows = TABLE.iter();
        rows.map(|(from, cause, to)| (from.as_str(), cause.as_str(), to.as_str()))
            .collect()
    })
}
