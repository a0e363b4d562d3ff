//! What an input decides, taken from its front byte by byte.

/// The rest of an input. Where it has no more, it gives zeros: every input is a whole story.
#[derive(Clone, Debug)]
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// All of an input.
    pub fn new(bytes: &'a [u8]) -> Input<'a> {
        Input(bytes)
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One byte.
    pub fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    /// One byte as a count.
    pub fn count(&mut self) -> usize {
        usize::from(self.byte())
    }

    /// A power of two, or one less, over the whole range: the numbers at which lengths change.
    pub fn large(&mut self) -> u64 {
        let byte = self.byte();
        let power = 1_u64 << (byte & 63);
        match byte >> 6 {
            0 | 1 => power,
            2 => power - 1,
            _ => power.wrapping_neg(),
        }
    }

    /// So many bytes, or what is left.
    pub fn take(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A piece whose length stands before it.
    pub fn piece(&mut self) -> &'a [u8] {
        let length = self.count();
        self.take(length)
    }

    /// The same as text; what is no UTF-8 is replaced.
    pub fn text(&mut self) -> String {
        String::from_utf8_lossy(self.piece()).into_owned()
    }

    /// Everything that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}

/// Cuts bytes into pieces: each byte of `cuts` says how long one is, and the rest is the last.
pub fn pieces<'a>(cuts: &'a [u8], bytes: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut input = Input(bytes);
    let mut cuts = cuts.iter();
    let mut is_over = false;
    std::iter::from_fn(move || match cuts.next() {
        Some(cut) => Some(input.take(usize::from(*cut))),
        None if is_over => None,
        None => {
            is_over = true;
            Some(input.rest())
        }
    })
}
