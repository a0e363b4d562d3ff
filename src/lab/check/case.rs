//! Cases, and which of them are to be run.

use std::collections::BTreeSet;

use super::bench::Bench;
use super::cases;
use super::verdict::Outcome;
use crate::lab::{Grammar, Task};

/// One thing that is required of a server.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The task and a number: `6.4`.
    pub id: &'static str,
    /// What is required.
    pub title: &'static str,
    /// Why.
    pub why: &'static str,
    /// The mistake that most likely makes it fail.
    pub mistake: &'static str,
    /// Which grammars it can be asked in.
    pub asked: fn(Grammar) -> bool,
    /// Does it.
    pub run: fn(&mut Bench) -> Outcome,
}

/// Any grammar.
pub fn always(_: Grammar) -> bool {
    true
}

/// Those with a length before a name, so that a name ends where it says.
pub fn names_have_lengths(grammar: Grammar) -> bool {
    matches!(grammar, Grammar::Framed | Grammar::U2)
}

/// Those with a length before a file.
pub fn files_have_lengths(grammar: Grammar) -> bool {
    !grammar.ends_files_by_closing()
}

/// Whether a task can be checked in a grammar, and what would work if not.
pub fn suits(task: Task, grammar: Grammar) -> Result<(), String> {
    if task == Task::Five && grammar.ends_files_by_closing() {
        return Err(format!(
            "task 5 has a size before its data, and {grammar} has none; try --grammar u1, u2 or framed"
        ));
    }
    Ok(())
}

/// Chooses cases of a task. `only` holds their numbers, and may be empty for all; names
/// without a number are a mistake, such as a variable that is not set.
pub fn select(task: Task, grammar: Grammar, only: &[String]) -> Result<Vec<&'static Case>, String> {
    suits(task, grammar)?;
    let table = cases::of(task);
    let wanted: BTreeSet<&str> = only
        .iter()
        .map(|id| id.trim())
        .filter(|id| !id.is_empty())
        .collect();
    if wanted.is_empty() && !only.is_empty() {
        return Err("--only names no case; leave it out to run all, and see --list".to_owned());
    }
    for id in &wanted {
        let Some(case) = table.iter().find(|case| case.id == *id) else {
            let (first, last) = (table[0].id, table[table.len() - 1].id);
            let id = crate::proto::text::escaped(id);
            return Err(format!(
                "task {task} has no case {id}; its cases are {first} to {last}, see --list"
            ));
        };
        if !(case.asked)(grammar) {
            return Err(format!(
                "case {id} is not asked in the grammar {grammar}, see --list"
            ));
        }
    }
    let chosen = table
        .iter()
        .filter(|case| (case.asked)(grammar) && (wanted.is_empty() || wanted.contains(case.id)));
    Ok(chosen.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_has_a_number_of_its_own_and_says_what_and_why() {
        for task in Task::ALL {
            let mut seen = BTreeSet::new();
            for case in cases::of(task) {
                assert!(seen.insert(case.id), "{} is there twice", case.id);
                let (of, number) = case.id.rsplit_once('.').expect("it has a number");
                assert_eq!(of, task.as_str(), "{}", case.id);
                assert!(number.parse::<u32>().is_ok(), "{}", case.id);
                for text in [case.title, case.why, case.mistake] {
                    assert!(text.len() > 15, "{}: {text}", case.id);
                }
            }
            assert!(!seen.is_empty());
        }
    }

    #[test]
    fn only_chooses_and_what_is_not_there_is_said() {
        let ids = |only: &[&str]| {
            let only: Vec<String> = only.iter().map(|id| (*id).to_owned()).collect();
            select(Task::Three, Grammar::U1, &only)
                .map(|cases| cases.iter().map(|case| case.id).collect::<Vec<_>>())
        };
        assert_eq!(ids(&["3.2", " 3.1"]), Ok(vec!["3.1", "3.2"]));
        assert!(ids(&["6.1"]).unwrap_err().contains("3.1 to 3."));
        assert!(ids(&["", " "]).unwrap_err().contains("names no case"));
        assert_eq!(ids(&[]).unwrap().len(), cases::of(Task::Three).len());
    }

    #[test]
    fn a_grammar_without_sizes_is_none_for_task_five() {
        assert!(
            select(Task::Five, Grammar::U3, &[])
                .unwrap_err()
                .contains("u1, u2 or framed")
        );
        assert!(select(Task::Six, Grammar::U3, &[]).is_ok());
    }
}
