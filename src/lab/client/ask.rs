//! `hello` and task 3: a line, and the answer to it.

use super::wire::Wire;
use super::{Failure, Settings};

/// Most bytes of a text that are sent; the rest is dropped.
pub const TEXT_MOST: usize = 4096;

/// As much of a text as may be sent, cut between two characters.
pub fn cut_text(text: &str) -> &str {
    let mut end = text.len().min(TEXT_MOST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Sends a text over a connection of its own, and returns the whole answer, to be shown escaped.
/// In the raw grammars it is sent as it is, without a type: the tasks have none yet.
///
/// # Errors
/// [`Failure::Closed`] where there was no answer; what the connection can fail of.
pub fn ask(settings: &Settings, text: &str) -> Result<Vec<u8>, Failure> {
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
    let heard = wire.hear_to_the_end(settings);
    let answer = heard.map_err(|failure| match failure {
        Failure::Unended { within, said } if said.is_empty() => Failure::Silent(within),
        failure => failure,
    })?;
    if answer.is_empty() {
        return Err(Failure::Closed);
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_two_characters() {
        assert_eq!(cut_text("short"), "short");
        assert_eq!(cut_text(&"x".repeat(5000)).len(), TEXT_MOST);
        let wide = "x".to_owned() + &"ü".repeat(3000);
        assert_eq!(cut_text(&wide).len(), TEXT_MOST - 1);
        let fits = "ü".repeat(TEXT_MOST / 2);
        assert_eq!(cut_text(&fits), fits);
    }
}
