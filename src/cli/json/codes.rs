//! The client's own words for what went wrong, beside the protocol's codes.

use piecemeal::client::Why;

/// The server's code where it refused, and else a word for what became of the connection or the
/// file. docs/JSON.md lists them.
pub(in crate::cli) fn code_of(why: &Why) -> &str {
    match why {
        Why::Refused(refusal) => &refusal.word,
        Why::Changed(_) => "changed",
        Why::Resolve { .. } => "resolve",
        Why::Connect { .. } => "connect",
        Why::Lost(_) => "lost",
        Why::Cut(_) => "cut",
        Why::TimedOut => "silent",
        Why::Broken(_) => "protocol",
        Why::TakenForName => "taken-for-name",
        Why::TakenForText => "taken-for-text",
        Why::Local(_) => "local",
        Why::Name { .. } | Why::Unnamed(_) => "name",
        Why::Loop { .. } => "loop",
        Why::Command(_) => "command",
        // What it failed of the last time.
        Why::Gone(why) => code_of(why),
        Why::Signal => "signal",
        Why::System(_) => "system",
    }
}
