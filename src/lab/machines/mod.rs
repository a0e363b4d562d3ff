//! Each task's server, as a machine.
//!
//! A task is a `Reader`: it is told what came (bytes, silence, the end of the
//! stream, the store's word), and leaves at its `Desk` what is to be done. What all
//! of them need (sending answers, waiting for the store, ending a connection so that the peer can
//! read its answer, the clock) is done once, in `shell.rs`.
//!
//! ```text
//!              bytes, silence, end            show, answer, begin, commit, finish
//!   session ───────────> Shell ───> Reader ───────> Desk ───────> Shell ───────> session
//! ```
//!
//! | task | reader | states |
//! |---|---|---|
//! | 1, 2 | `address.rs` | none: it is over when it begins |
//! | hello, 3 | `answer.rs` | the text |
//! | 4, 5 | `typed.rs` | the type, a text, a file whose size is unknown yet, a size, a file |
//! | 6 | `upload.rs` | the type, a name, `OK`, and the same for the file |
//!
//! Bytes that could mean two things are held until more of them, silence or the end of the stream
//! shows which: `size.rs` and `name.rs` decide, as pure functions. The machine never guesses early, and
//! what it holds is bounded. Nothing here reads a clock or touches a socket.

mod address;
mod answer;
mod desk;
mod file;
mod name;
mod reader;
mod shell;
mod size;
#[cfg(test)]
mod tests;
mod text;
mod typed;
mod upload;

use std::sync::Arc;
use std::time::Duration;

use super::Task;
use crate::proto::{
    Action, Begun, Conflict, Deadlines, Fault, Machine, Moment, Position, Progress, Receipt,
    Receiver, Rules, Step, Stop, Strings, Ticket, Want,
};
use reader::Reader;
use shell::Shell;

/// How a task's server behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which task.
    pub task: Task,
    /// Whether only the framed grammar is taken: that of docs/PROTOCOL.md, with its answers.
    pub strict: bool,
    /// After so much silence, what could go on is taken to be over.
    pub quiet: Duration,
    /// How long a connection is kept that sends nothing, or stands still in a file.
    pub idle: Duration,
    /// How long one that has sent a file is kept, for the next.
    pub keep: Duration,
    /// Whether machines keep their steps to be traced.
    pub trace: bool,
}

impl Settings {
    /// The usual settings of a task.
    pub fn of(task: Task) -> Settings {
        Settings {
            task,
            strict: false,
            quiet: Duration::from_millis(50),
            idle: Duration::from_secs(300),
            keep: Duration::from_secs(10),
            trace: false,
        }
    }

    /// The framed protocol's rules that come closest to the task.
    fn rules(&self) -> Rules {
        Rules {
            accept_eof: self.task == Task::Four,
            strings: match self.task {
                Task::Six => Strings::Name,
                _ => Strings::Message,
            },
            conflict: Conflict::Overwrite,
            deadlines: Deadlines {
                header: Some(self.idle),
                stall: Some(self.idle),
                idle: Some(self.idle),
                min_rate: 0,
            },
            trace: self.trace,
            ..Rules::default()
        }
    }
}

/// The machine of one connection to a task's server.
#[derive(Debug)]
pub struct LabMachine {
    settings: Arc<Settings>,
    inner: Inner,
    /// Whether nothing has come yet.
    fresh: bool,
}

#[derive(Debug)]
enum Inner {
    Task(Box<Shell>),
    Framed(Box<Receiver>),
}

/// Type 16, the PUT of the framed protocol, which no other grammar has.
const PUT: u8 = 16;

impl LabMachine {
    /// A machine for a connection that was just made.
    pub fn new(settings: Arc<Settings>, now: Moment) -> LabMachine {
        let task = settings.task;
        let has_framed_form = task >= Task::Three;
        let inner = if settings.strict && has_framed_form {
            framed(&settings, now)
        } else {
            let reader: Box<dyn Reader> = match task {
                Task::One | Task::Two => Box::new(address::Address),
                Task::Hello => Box::new(answer::Answer::new("I have received: ")),
                Task::Three => Box::new(answer::Answer::new("Message: ")),
                Task::Four | Task::Five => Box::new(typed::Typed::new(task)),
                Task::Six => Box::new(upload::Upload::new()),
            };
            Inner::Task(Box::new(Shell::new(Arc::clone(&settings), reader, now)))
        };
        LabMachine {
            settings,
            inner,
            fresh: true,
        }
    }

    fn machine(&self) -> &dyn Machine {
        match &self.inner {
            Inner::Task(shell) => &**shell,
            Inner::Framed(receiver) => &**receiver,
        }
    }

    fn machine_mut(&mut self) -> &mut dyn Machine {
        match &mut self.inner {
            Inner::Task(shell) => &mut **shell,
            Inner::Framed(receiver) => &mut **receiver,
        }
    }
}

fn framed(settings: &Settings, now: Moment) -> Inner {
    Inner::Framed(Box::new(Receiver::new(Arc::new(settings.rules()), now)))
}

impl Machine for LabMachine {
    fn handle_bytes(&mut self, bytes: &[u8], now: Moment) -> usize {
        let first = std::mem::replace(&mut self.fresh, false);
        if first && bytes[0] == PUT && self.settings.task >= Task::Four {
            // This project's own client: it gets its own protocol.
            self.inner = framed(&self.settings, now);
        }
        self.machine_mut().handle_bytes(bytes, now)
    }

    fn handle_moved(&mut self, bytes: u64, now: Moment) {
        self.machine_mut().handle_moved(bytes, now);
    }

    fn handle_end(&mut self, now: Moment) {
        self.machine_mut().handle_end(now);
    }

    fn handle_lost(&mut self, now: Moment) {
        self.machine_mut().handle_lost(now);
    }

    fn handle_begun(&mut self, begun: Result<Begun, Fault>, now: Moment) {
        self.machine_mut().handle_begun(begun, now);
    }

    fn handle_write_failed(&mut self, fault: Fault, now: Moment) {
        self.machine_mut().handle_write_failed(fault, now);
    }

    fn handle_stored(&mut self, ticket: Ticket, stored: Result<Receipt, Fault>, now: Moment) {
        self.machine_mut().handle_stored(ticket, stored, now);
    }

    fn handle_sent(&mut self, bytes: usize, now: Moment) {
        self.machine_mut().handle_sent(bytes, now);
    }

    fn handle_deadline(&mut self, now: Moment) {
        self.machine_mut().handle_deadline(now);
    }

    fn handle_stop(&mut self, stop: Stop, now: Moment) {
        self.machine_mut().handle_stop(stop, now);
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.machine_mut().poll_action()
    }

    fn poll_step(&mut self) -> Option<Step> {
        self.machine_mut().poll_step()
    }

    fn output(&self) -> &[u8] {
        self.machine().output()
    }

    fn want(&self) -> Want {
        self.machine().want()
    }

    fn deadline(&self) -> Option<Moment> {
        self.machine().deadline()
    }

    fn progress(&self) -> Progress {
        self.machine().progress()
    }

    fn position(&self) -> Position {
        self.machine().position()
    }
}
