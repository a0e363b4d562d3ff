//! The tasks' clients, for talking to servers that other people wrote.
//!
//! One call is what a person does once: [`status`] is a press of Enter (tasks 1 and 2), [`ask`] a
//! line (`hello` and 3), [`tell`] a message (4 and 5), [`Uploader::send`] a file (6). They block,
//! as a program that waits for a person may: nobody else is served meanwhile. But each wait for
//! the server has an end, and each write may be short and each read bring only a part.
//!
//! They are careful of what such servers can't bear. A type and what belongs to it leave in one
//! write, a length together with the first bytes behind it; a connection is made only when there
//! is something to send; nothing pauses between `OK` and the file; and the end of the stream is
//! said before the last answer is read, for some servers answer only then.
//!
//! What to print and where the lines come from is not known here.

mod answer;
mod ask;
mod failure;
mod status;
mod tell;
mod upload;
mod wire;

use std::time::Duration;

use super::{Grammar, Task};
use crate::net::{Endpoint, Pieces};
pub use answer::Reply;
pub use ask::{ask, cut_text};
pub use failure::Failure;
pub use status::{Status, Then, status};
pub use tell::{Message, Told, tell};
pub use upload::{Sent, Uploader};

/// Most bytes of an answer that are kept; a server that sends more is told from its first ones.
pub const ANSWER_MOST: usize = 64 << 10;

/// How to reach a server, and how to talk to it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The server.
    pub to: Endpoint,
    /// How messages are laid out.
    pub grammar: Grammar,
    /// How long the server may be silent while something is due from it, or take nothing of what
    /// is sent; `None` is for ever. It is counted anew from each byte that moves.
    pub timeout: Option<Duration>,
    /// How long a silence ends an answer that nothing else ends, and how long the server is
    /// listened to where nothing is due from it.
    pub quiet: Duration,
    /// How what each connection sends is cut up.
    pub pieces: Option<Pieces>,
}

/// Whether a task can be played like that; `keep` is one connection for all that is sent.
///
/// # Errors
/// A line for a person, that says what would work.
pub fn check(task: Task, grammar: Grammar, keep: bool) -> Result<(), String> {
    if keep && task != Task::Six {
        return Err("--keep is for task 6: the others have a message a connection".to_owned());
    }
    if keep && grammar.ends_files_by_closing() {
        return Err(format!(
            "--keep needs a length before each file, and in {grammar} a file is over when the \
             connection is; try u1, u2 or framed"
        ));
    }
    if task == Task::Five && grammar.ends_files_by_closing() {
        return Err(format!(
            "task 5 is about a length before the data, and {grammar} has none; try u1, u2 or framed"
        ));
    }
    Ok(())
}
