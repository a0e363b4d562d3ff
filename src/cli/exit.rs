//! What the program's exit codes mean.

use std::process::ExitCode;

use piecemeal::client::{Report, Why};
use piecemeal::proto::Code;

/// The table that `--help` of `send` ends with, and the program's own: all there are but 11, which
/// only `serve` has, and 129, which only `bench` has.
pub(super) const SEND_HELP: &str = "\
Exit codes:
  0    all went well
  1    another error
  2    wrong usage
  3    refused by the server
  4    can't connect, or the connection was lost or cut
  6    digest or size differ
  7    the server broke the protocol
  8    timed out
  9    a local file can't be read or named
  10   the command of --exec failed, or can't be run; nothing was stored
  23   some files failed, others didn't, or for different reasons
  130  ended by SIGINT (Ctrl-C)
  143  ended by SIGTERM";

/// That of `say`.
pub(super) const SAY_HELP: &str = "\
Exit codes:
  0    all went well
  1    another error
  2    wrong usage, or a text that is too long
  3    refused by the server, or taken for a file's name
  4    can't connect, or the connection was lost or cut
  7    the server broke the protocol
  8    timed out
  9    standard input can't be read, or is no text";

/// That of `serve`.
pub(super) const SERVE_HELP: &str = "\
Exit codes:
  0    stopped, with all uploads finished or given their time
  1    another error
  2    wrong usage
  11   --sandbox require: not all of the sandbox is to be had here, or it has a gap
  130  ended at once by a second SIGINT (Ctrl-C)
  143  ended at once by a second SIGTERM";

/// That of `verify`.
pub(super) const VERIFY_HELP: &str = "\
Exit codes:
  0    every file is there, as it was stored
  2    wrong usage
  6    a file is missing, or its digest or size differ
  9    a file, the folder or the receipts can't be read, or there are no receipts";

/// That of `trace`.
pub(super) const TRACE_HELP: &str = "\
Exit codes:
  0    drawn
  1    another error: no such connection, or the SVG can't be written
  2    wrong usage
  9    the trace can't be read, or is none";

/// That of `lab client`.
pub(super) const LAB_CLIENT_HELP: &str = "\
Exit codes:
  0    all went well
  2    wrong usage, or a line that is no choice
  3    the server answered a name with something else than OK, or refused the message
  4    can't connect, or the connection was lost, closed too early, or cut
  7    the server's answer has no end
  8    timed out: an answer was due, or the server took no more of what was sent
  9    a file can't be read or sent, or a line is no text
  23   some failed, others didn't, or for different reasons
  130  ended by SIGINT (Ctrl-C)
  143  ended by SIGTERM";

/// That of `bench`.
pub(super) const BENCH_HELP: &str = "\
Latency lasts from a file's first byte, or from its connecting with --reconnect, to its receipt.
Errors are counted by the server's code; lost, silent and wrong-answer are what bench saw itself.
Leave some seconds between runs: ext4 is slow for a while in making files after many were removed.

Exit codes:
  0    every file was stored, or every text answered
  1    another error; the server that bench starts didn't start
  2    wrong usage
  3    refused by the server, all of them, or a server that is not for it
  4    can't connect, or the connection was lost
  6    a receipt or an answer is not that of what was sent
  7    the server broke the protocol
  8    timed out
  23   some files failed, others didn't
  129  ended by SIGHUP
  130  ended by SIGINT (Ctrl-C), with the figures so far
  143  ended by SIGTERM, likewise";

/// That of `bench compare`.
pub(super) const COMPARE_HELP: &str = "\
Exit codes:
  0    both were read
  2    wrong usage
  9    one of them can't be read, or is no run";

/// That of `demo`.
pub(super) const DEMO_HELP: &str = "\
Exit codes:
  0    every file is as it was sent
  1    one is not, or another error
  130  ended by SIGINT (Ctrl-C)
  143  ended by SIGTERM";

/// That of `lab check`.
pub(super) const CHECK_HELP: &str = "\
Exit codes:
  0    every case passed; what is weak is allowed
  1    a case failed, or another error
  2    wrong usage
  3    no case failed, but something can't be told
  129  ended by SIGHUP
  130  ended by SIGINT (Ctrl-C)
  131  ended by SIGQUIT
  143  ended by SIGTERM";

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    Success,
    Other,
    Usage,
    Refused,
    Connect,
    Digest,
    Protocol,
    TimedOut,
    Local,
    Command,
    Sandbox,
    Partial,
    Signal(i32),
    /// What a checker says of somebody else's program has codes of its own.
    Checked(u8),
}

impl Exit {
    pub(super) fn code(self) -> u8 {
        match self {
            Exit::Success => 0,
            Exit::Other => 1,
            Exit::Usage => 2,
            Exit::Refused => 3,
            Exit::Connect => 4,
            Exit::Digest => 6,
            Exit::Protocol => 7,
            Exit::TimedOut => 8,
            Exit::Local => 9,
            Exit::Command => 10,
            Exit::Sandbox => 11,
            Exit::Partial => 23,
            Exit::Checked(code) => code,
            Exit::Signal(signal) => u8::try_from(128 + signal).unwrap_or(1),
        }
    }

    /// The exit that one failure alone would be.
    pub(super) fn of(why: &Why) -> Exit {
        match why {
            Why::Resolve { .. } | Why::Connect { .. } | Why::Lost(_) | Why::Cut(_) => Exit::Connect,
            Why::Refused(refusal) => match refusal.code {
                Some(Code::Digest) => Exit::Digest,
                Some(Code::Timeout) => Exit::TimedOut,
                _ => Exit::Refused,
            },
            Why::Changed(_) => Exit::Digest,
            Why::TakenForName | Why::TakenForText => Exit::Refused,
            Why::TimedOut => Exit::TimedOut,
            Why::Broken(_) => Exit::Protocol,
            Why::Local(_) | Why::Name { .. } | Why::Unnamed(_) | Why::Loop { .. } => Exit::Local,
            Why::Command(_) => Exit::Command,
            Why::Gone(why) => Exit::of(why),
            Why::Signal | Why::System(_) => Exit::Other,
        }
    }

    /// The exit of a whole sending.
    pub(super) fn of_report(report: &Report) -> Exit {
        if let Some(signal) = report.signal {
            return Exit::Signal(signal);
        }
        let mut exits = report.failures.iter().map(|failure| Exit::of(&failure.why));
        let Some(first) = exits.next() else {
            return Exit::Success;
        };
        if report.stored == 0 && exits.all(|exit| exit == first) {
            first
        } else {
            Exit::Partial
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use piecemeal::client::{Failure, Item};

    fn failure(why: Why) -> Failure {
        Failure {
            item: Item {
                path: "a".into(),
                name: "a".into(),
            },
            why,
        }
    }

    #[test]
    fn failures_of_one_kind_have_its_code_and_a_mixture_has_23() {
        let timed_out = || failure(Why::TimedOut);
        let local = || failure(Why::Local("gone".into()));
        let report = |stored, failures| Report {
            stored,
            failures,
            ..Report::default()
        };
        assert_eq!(Exit::of_report(&report(3, vec![])), Exit::Success);
        assert_eq!(
            Exit::of_report(&report(0, vec![timed_out(), timed_out()])),
            Exit::TimedOut
        );
        assert_eq!(
            Exit::of_report(&report(0, vec![timed_out(), local()])),
            Exit::Partial
        );
        assert_eq!(Exit::of_report(&report(1, vec![local()])), Exit::Partial);
        let signalled = Report {
            signal: Some(2),
            ..report(1, vec![local()])
        };
        assert_eq!(Exit::of_report(&signalled).code(), 130);
    }
}
