//! The wire between a client and the server: two pipes that may be cut anywhere, stand still or
//! end. A body's bytes are never made: a span says whose they are, so a gigabyte costs nothing.

use std::collections::VecDeque;

use piecemeal::proto::Moment;

/// So many bytes of a file's content, from an offset on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) content: u32,
    pub(crate) at: u64,
    pub(crate) len: u64,
}

/// Bytes on their way.
#[derive(Debug)]
pub(crate) enum Piece {
    Raw(VecDeque<u8>),
    Body(Span),
}

/// One direction of a connection.
#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) pieces: VecDeque<Piece>,
    held: u64,
    capacity: u64,
    /// Whether the writing side has shut it down.
    pub(crate) ended: bool,
    /// Nothing is read from it before this.
    pub(crate) stalled_until: Moment,
}

impl Pipe {
    pub(crate) fn new(capacity: u64) -> Pipe {
        Pipe {
            pieces: VecDeque::new(),
            held: 0,
            capacity,
            ended: false,
            stalled_until: Moment::START,
        }
    }

    pub(crate) fn room(&self) -> u64 {
        self.capacity.saturating_sub(self.held)
    }

    pub(crate) fn push_raw(&mut self, bytes: &[u8]) {
        self.held += bytes.len() as u64;
        match self.pieces.back_mut() {
            Some(Piece::Raw(last)) => last.extend(bytes),
            _ => self
                .pieces
                .push_back(Piece::Raw(bytes.iter().copied().collect())),
        }
    }

    pub(crate) fn push_body(&mut self, span: Span) {
        self.held += span.len;
        self.pieces.push_back(Piece::Body(span));
    }

    /// The text bytes that stand at the front, if any do.
    pub(crate) fn raw(&mut self) -> Option<&[u8]> {
        match self.pieces.front_mut()? {
            Piece::Raw(bytes) => Some(bytes.make_contiguous()),
            Piece::Body(_) => None,
        }
    }

    /// Takes up to so many bytes of a body from the front; text counts as a content nobody has.
    pub(crate) fn take_body(&mut self, most: u64) -> Option<Span> {
        match self.pieces.front_mut()? {
            Piece::Raw(bytes) => {
                let len = most.min(bytes.len() as u64);
                self.consume_raw(usize::try_from(len).expect("it was a usize"));
                let content = u32::MAX;
                Some(Span {
                    content,
                    at: 0,
                    len,
                })
            }
            Piece::Body(span) => {
                let len = most.min(span.len);
                let taken = Span { len, ..*span };
                span.at += len;
                span.len -= len;
                if span.len == 0 {
                    self.pieces.pop_front();
                }
                self.held -= len;
                Some(taken)
            }
        }
    }

    pub(crate) fn consume_raw(&mut self, count: usize) {
        if let Some(Piece::Raw(bytes)) = self.pieces.front_mut() {
            bytes.drain(..count);
            self.held -= count as u64;
            if bytes.is_empty() {
                self.pieces.pop_front();
            }
        }
    }

    /// Throws away what is on its way, and ends.
    pub(crate) fn cut(&mut self) {
        self.pieces.clear();
        self.held = 0;
        self.ended = true;
    }
}
