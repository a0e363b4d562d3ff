//! The cases, a table a task. What several tasks ask for is written once, in the files that are
//! named for no task.

mod echo;
mod five;
mod four;
mod hello;
mod hostile;
mod names;
mod one;
mod resting;
mod six;
mod survive;
mod three;
mod two;
mod upload;

use super::bench::Bench;
use super::case::Case;
use super::probe::Ending;
use super::verdict::Outcome;
use crate::lab::Task;

/// The cases of a task, in the order in which they are run.
pub fn of(task: Task) -> &'static [Case] {
    match task {
        Task::Hello => hello::CASES,
        Task::One => one::CASES,
        Task::Two => two::CASES,
        Task::Three => three::CASES,
        Task::Four => four::CASES,
        Task::Five => five::CASES,
        Task::Six => six::CASES,
    }
}

/// The plainest thing that a task's client does: whoever is served at all is served this.
pub fn plain_exchange(bench: &mut Bench) -> Outcome {
    match bench.task {
        Task::One | Task::Two => {
            let mut probe = bench.connect()?;
            match probe.read_to_end() {
                Ending::Open => Err(probe.fail_here("connected", "the end of the connection")),
                Ending::End | Ending::Reset => Ok(()),
            }
        }
        Task::Hello | Task::Three => echo::is_served(bench),
        Task::Four | Task::Five | Task::Six => upload::is_served(bench),
    }
}
