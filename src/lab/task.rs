//! Which task.

use std::fmt;
use std::str::FromStr;

/// A task of the course.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Task {
    /// A server that answers `I have received: ` and the text.
    Hello,
    /// A server that prints who connects, and closes.
    One,
    /// The same for many at once.
    Two,
    /// A server that prints a text, and answers `Message: ` and the text.
    Three,
    /// Texts and files, told apart by their first byte.
    Four,
    /// The same, where a file's size comes before it.
    Five,
    /// A file's name, `OK`, and the file.
    Six,
}

impl Task {
    /// Every task, in the course's order.
    pub const ALL: [Task; 7] = [
        Task::Hello,
        Task::One,
        Task::Two,
        Task::Three,
        Task::Four,
        Task::Five,
        Task::Six,
    ];

    /// What it is called on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Task::Hello => "hello",
            Task::One => "1",
            Task::Two => "2",
            Task::Three => "3",
            Task::Four => "4",
            Task::Five => "5",
            Task::Six => "6",
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Task {
    type Err = String;

    fn from_str(text: &str) -> Result<Task, String> {
        let found = Task::ALL.into_iter().find(|task| task.as_str() == text);
        found.ok_or_else(|| "the tasks are hello and 1 to 6".to_owned())
    }
}
