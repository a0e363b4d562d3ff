//! `hello` and task 3: a line, and the answer to it.

use super::wire::Wire;
use super::{Failure, Reply, Settings};
use crate::proto::limits::TEXT_MOST;

/// As much of a text as may be sent, cut between two characters.
pub fn cut_text(text: &str) -> &str {
    let most = usize::try_from(TEXT_MOST).unwrap_or(usize::MAX);
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Sends a text over a connection of its own, and returns the whole answer. In the raw grammars
/// the text is sent as it is, without a type: the tasks have none yet.
///
/// Only the end of the stream ends an answer. A server that answers and lets the connection stand
/// is waited for until it has been silent for [`Settings::timeout`]; the answer is good then too.
///
/// # Errors
/// [`Failure::Closed`] and [`Failure::Silent`] where there was no answer; what the connection can
/// fail of.
pub fn ask(settings: &Settings, text: &str) -> Result<Reply, Failure> {
    let message = if settings.grammar.frames_answers() {
        settings.grammar.text(text.as_bytes()).ok_or_else(|| {
            Failure::Unsendable("it is longer than its length field can say".to_owned())
        })?
    } else {
        text.as_bytes().to_vec()
    };
    let mut wire = Wire::connect(settings)?;
    wire.send(&message[..])?;
    // Nothing but this tells a server where a raw text ends.
    wire.finish();
    let reply = wire.hear_out(settings.timeout, settings.grammar)?;
    match (reply.said.is_empty(), reply.left_open) {
        (false, _) => Ok(reply),
        (true, true) => Err(Failure::Silent(wire.patience())),
        (true, false) => Err(Failure::Closed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_two_characters() {
        assert_eq!(cut_text("short"), "short");
        assert_eq!(cut_text(&"x".repeat(5000)).len(), 4096);
        let wide = "x".to_owned() + &"ü".repeat(3000);
        assert_eq!(cut_text(&wide).len(), 4095);
        let fits = "ü".repeat(2048);
        assert_eq!(cut_text(&fits), fits);
    }
}
