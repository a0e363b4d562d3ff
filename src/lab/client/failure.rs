//! What can go wrong between a client of a task and a server.

use std::fmt;
use std::time::Duration;

use humantime::format_duration;
use thiserror::Error;

use super::ANSWER_MOST;
use crate::net::Endpoint;
use crate::proto::text::escaped;

/// Why something was not sent, or not answered. Its `Display` is a line for a person, with nothing
/// of a peer's raw.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Failure {
    /// The host has no address.
    #[error("can't find {to}: {error}")]
    Resolve {
        /// What was looked for.
        to: Endpoint,
        /// How it failed.
        error: String,
    },
    /// No connection could be made.
    #[error("can't connect to {to}: {error}")]
    Connect {
        /// Where to.
        to: Endpoint,
        /// How the last try failed.
        error: String,
    },
    /// The file can't be read.
    #[error("can't read it: {0}")]
    Local(String),
    /// The file, or its name, can't be said in this grammar.
    #[error("it can't be sent: {0}")]
    Unsendable(String),
    /// The connection broke.
    #[error("the connection was lost: {how}{}", had_said(.said))]
    Lost {
        /// How.
        how: String,
        /// What the server had said before.
        said: Vec<u8>,
    },
    /// The server ended its stream and had said nothing.
    #[error("the server closed the connection instead of answering")]
    Closed,
    /// The server ended a connection that was to carry another file.
    #[error(
        "the server closed the connection behind the last file; \
         without --keep each file has a connection of its own"
    )]
    NotKept,
    /// The server did not answer.
    #[error("the server did not answer within {}", format_duration(*.0))]
    Silent(Duration),
    /// The server stopped taking what was sent.
    #[error("the server took no byte for {}", format_duration(*.0))]
    Stalled(Duration),
    /// The server talks on and on.
    #[error("the server's answer has more than {ANSWER_MOST} bytes")]
    Endless,
    /// The answer to a name is another than `OK`.
    #[error("the server answered {} and not OK, so nothing was sent", Quoted(.0))]
    NotOk(Vec<u8>),
    /// The server took the message and refused it.
    #[error("the server refused it: {}", Quoted(.0))]
    Refused(Vec<u8>),
    /// The connection was cut on purpose, after so many bytes.
    #[error("cut after {0} bytes, as --cut-after says")]
    Cut(u64),
}

fn had_said(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        String::new()
    } else {
        format!("; it had said {}", Quoted(bytes))
    }
}

/// Most bytes of a server's words that a line shows.
const QUOTE_MOST: usize = 80;

/// The beginning of what a server said, escaped, and how much more there is.
struct Quoted<'a>(&'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shown, more) = self.0.split_at(quote_length(self.0));
        write!(f, "\"{}\"", escaped(shown))?;
        match more.len() {
            0 => Ok(()),
            1 => f.write_str(" and 1 more byte"),
            more => write!(f, " and {more} more bytes"),
        }
    }
}

/// How many bytes of these are shown; a character is not cut in two.
fn quote_length(bytes: &[u8]) -> usize {
    if bytes.len() <= QUOTE_MOST {
        return bytes.len();
    }
    match str::from_utf8(&bytes[..QUOTE_MOST]) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => QUOTE_MOST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_words_are_cut_between_two_characters_and_counted() {
        let shown = |bytes: &[u8]| Quoted(bytes).to_string();
        let x = |count| "x".repeat(count);
        assert_eq!(shown(b"NO\n"), "\"NO\\n\"");
        assert_eq!(shown(x(80).as_bytes()), format!("\"{}\"", x(80)));
        let cut = format!("\"{}\" and 1 more byte", x(80));
        assert_eq!(shown(x(81).as_bytes()), cut);
        let wide = x(79) + "\u{fc}\u{fc}";
        let cut = format!("\"{}\" and 4 more bytes", x(79));
        assert_eq!(shown(wide.as_bytes()), cut);
        assert!(shown(&[0xff; 4096]).ends_with(" and 4016 more bytes"));
    }
}
