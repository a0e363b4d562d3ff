//! `piecemeal lab client`.

mod session;
mod words;

use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{ArgAction, Args};
use piecemeal::lab::client::{self, Settings};
use piecemeal::lab::{Grammar, Task};
use piecemeal::net::Endpoint;

use crate::cli::exit::{self, Exit};
use crate::cli::pieces::PiecesArguments;
use crate::cli::tell;
use crate::cli::units::{Limit, duration};
use session::Session;

/// What the tasks read from standard input.
const HELP: &str = "\
Input, from a terminal or a pipe, to its end or until Ctrl-C:
  task 1, 2   each line (Enter) connects anew and prints what became of it
  hello, 3    each line is a text, cut at 4096 bytes; the answer is printed
  task 4, 5   `1`, then a line with the text; or `2`, or `2 SIZE`, for that many random bytes,
              whose digest is printed; `q` or `exit` ends
  task 6      each line is a file's path; it is sent under the last part of that, once the
              server has answered its name with OK; `q` or `exit` ends

Results go to standard output; prompts, remarks and failures to standard error.";

#[derive(Debug, Args)]
#[command(after_help = format!("{HELP}\n\n{}", exit::LAB_CLIENT_HELP))]
pub(super) struct Arguments {
    /// Which task: hello, or 1 to 6
    #[arg(long, env = "PIECEMEAL_LAB_TASK", value_name = "TASK")]
    task: Task,

    /// The server: HOST:PORT, [IPv6]:PORT or unix:PATH
    #[arg(
        long,
        env = "PIECEMEAL_LAB_TO",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:9000"
    )]
    to: Endpoint,

    /// How messages are laid out: framed as by the other commands, with a length before everything,
    /// or u1 to u4, as programs for the tasks do it
    #[arg(
        long,
        env = "PIECEMEAL_LAB_GRAMMAR",
        value_name = "GRAMMAR",
        default_value = "u1"
    )]
    grammar: Grammar,

    /// Task 6: send all files over one connection
    #[arg(long, env = "PIECEMEAL_LAB_KEEP", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    keep: bool,

    /// Give up when the server is silent for so long while an answer is due, or takes nothing;
    /// each byte starts it anew; 0 never does
    #[arg(long, env = "PIECEMEAL_LAB_TIMEOUT", value_name = "TIME", value_parser = duration, default_value = "10s")]
    timeout: Limit<Duration>,

    /// How long a silence ends an answer that is not OK; and how long to look what the server does
    /// where nothing is due from it: behind a connect (tasks 1 and 2), and behind what was sent
    /// (4 to 6)
    #[arg(long, env = "PIECEMEAL_LAB_QUIET", value_name = "TIME", value_parser = duration, default_value = "300ms")]
    quiet: Limit<Duration>,

    #[command(flatten)]
    pieces: PiecesArguments,
}

pub(super) fn run(arguments: Arguments) -> Exit {
    let Arguments { task, grammar, .. } = arguments;
    let settings = Settings {
        to: arguments.to,
        grammar,
        timeout: arguments.timeout.0,
        quiet: arguments.quiet.0.unwrap_or_default(),
        pieces: arguments.pieces.plan(),
    };
    if let Err(why) = client::check(task, grammar, arguments.keep) {
        tell(format_args!("piecemeal: {why}"));
        return Exit::Usage;
    }
    let mut session = Session::new(task, settings);
    let ended = match task {
        Task::One | Task::Two => session.statuses(),
        Task::Hello | Task::Three => session.texts(),
        Task::Four | Task::Five => session.messages(),
        Task::Six => session.files(arguments.keep),
    };
    if let Err(error) = ended {
        session.input_failed(&error);
    }
    session.exit()
}
