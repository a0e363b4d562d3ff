//! A slab key and a generation in one number.
//!
//! A slab gives a freed key to the next entry. An event, or an answer from another thread, that
//! was meant for the old entry must not reach the new one, so a token carries the generation of
//! the entry that it was made for, and the reactor compares.

/// The bits of a token that hold the key; the others hold the generation.
const KEY_BITS: u32 = usize::BITS / 2;
const KEY_MASK: usize = (1 << KEY_BITS) - 1;

/// The token of the waker. No entry has it: its key would be the largest there is.
pub(super) const WAKER: mio::Token = mio::Token(usize::MAX);

/// Names one entry of a reactor, and never another that has its slot later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token(usize);

impl Token {
    pub(super) fn new(key: usize, generation: u32) -> Token {
        assert!(key < KEY_MASK, "the slab holds no more entries than keys");
        Token((generation as usize) << KEY_BITS | key)
    }

    pub(super) fn key(self) -> usize {
        self.0 & KEY_MASK
    }

    pub(super) fn generation(self) -> u32 {
        // What the shift leaves fits: a token was made from a u32 (or from fewer bits).
        u32::try_from(self.0 >> KEY_BITS).expect("half of a usize fits")
    }

    /// The token as a number, to be carried by what knows no tokens.
    pub fn to_raw(self) -> usize {
        self.0
    }

    /// The token that [`Token::to_raw`] gave.
    pub fn from_raw(raw: usize) -> Token {
        Token(raw)
    }

    pub(super) fn to_mio(self) -> mio::Token {
        mio::Token(self.0)
    }

    pub(super) fn from_mio(token: mio::Token) -> Option<Token> {
        (token != WAKER).then_some(Token(token.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_and_generation_come_back_and_the_wakers_token_is_nobodys() {
        for (key, generation) in [(0, 1), (7, u32::MAX), (KEY_MASK - 1, 0)] {
            let token = Token::new(key, generation);
            assert_eq!((token.key(), token.generation()), (key, generation));
            assert_eq!(Token::from_mio(token.to_mio()), Some(token));
        }
        assert_eq!(Token::from_mio(WAKER), None);
    }
}
