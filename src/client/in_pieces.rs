//! How a connection sends when its stream is to be cut up: see [`Pieces`].

use std::io::{self, Write};

use super::Why;
use super::connection::{Connection, Work};
use crate::net::{Pieces, Turn};
use crate::proto::Moment;
use crate::reactor::Readiness;

/// Most bytes of a piece that are put together before they are written; no segment of any network
/// is longer.
const TOGETHER: usize = 64 << 10;

/// A connection's plan, and the piece that is being written.
#[derive(Debug)]
pub(super) struct InPieces {
    plan: Pieces,
    /// What the sender has given out and the socket has not taken yet. A header and the bytes
    /// behind it are put together here: two writes would be two segments.
    piece: Vec<u8>,
    /// When the pause ends, if there is one and something to be sent after it.
    resumes: Option<Moment>,
}

impl InPieces {
    pub(super) fn new(plan: Pieces) -> InPieces {
        InPieces {
            plan,
            piece: Vec::new(),
            resumes: None,
        }
    }

    /// Whether bytes were taken from the sender that the socket hasn't got yet.
    pub(super) fn has_something_in_hand(&self) -> bool {
        !self.piece.is_empty()
    }

    pub(super) fn resumes(&self) -> Option<Moment> {
        self.resumes
    }
}

impl Connection {
    /// [`Connection::send`], piece by piece. Fails where the file can't be read.
    pub(super) fn send_in_pieces(
        &mut self,
        ready: &mut Readiness,
        budget: &mut usize,
        now: Moment,
        moved: &mut dyn FnMut(u64, u64),
    ) -> io::Result<Work> {
        let Some(mut pieces) = self.in_pieces.take() else {
            return Ok(Work::Blocked);
        };
        let work = self.write_pieces(&mut pieces, ready, budget, now, moved);
        self.in_pieces = Some(pieces);
        work
    }

    fn write_pieces(
        &mut self,
        pieces: &mut InPieces,
        ready: &mut Readiness,
        budget: &mut usize,
        now: Moment,
        moved: &mut dyn FnMut(u64, u64),
    ) -> io::Result<Work> {
        pieces.resumes = None;
        while ready.writable && self.send_failed.is_none() && !self.sender.has_ended() {
            if *budget == 0 {
                return Ok(Work::More);
            }
            let most = match pieces.plan.poll(now) {
                Turn::Write(most) => most,
                Turn::Wait(until) => {
                    let has_more = !self.sender.output().is_empty() || self.sender.body().is_some();
                    pieces.resumes = Some(until).filter(|_| has_more || !pieces.piece.is_empty());
                    return Ok(Work::Blocked);
                }
                Turn::Cut(after) => {
                    // The server is to see the stream end, also where it has answered meanwhile:
                    // a close with its answer unread would be a reset. If this fails, the
                    // connection is gone, which is what was wanted.
                    let _ = self.stream.finish_sending();
                    return Ok(Work::Over(Why::Cut(after)));
                }
            };
            let most = usize::try_from(most).unwrap_or(usize::MAX);
            let most = most.min(TOGETHER).min(*budget);
            self.gather(&mut pieces.piece, most, now, moved)?;
            if pieces.piece.is_empty() {
                return Ok(Work::Blocked);
            }
            match self.stream.write(&pieces.piece) {
                Ok(sent) => {
                    *budget = budget.saturating_sub(sent);
                    pieces.piece.drain(..sent);
                    pieces.plan.handle_written(sent as u64, now);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => ready.writable = false,
                    _ => self.send_failed = Some(error),
                },
            }
        }
        Ok(Work::Blocked)
    }

    /// Fills a piece up to so many bytes, with what there is to send.
    fn gather(
        &mut self,
        piece: &mut Vec<u8>,
        most: usize,
        now: Moment,
        moved: &mut dyn FnMut(u64, u64),
    ) -> io::Result<()> {
        while piece.len() < most {
            let room = most - piece.len();
            let output = self.sender.output();
            if !output.is_empty() {
                let taken = output.len().min(room);
                piece.extend_from_slice(&output[..taken]);
                self.sender.handle_sent(taken, now);
                continue;
            }
            let Some((id, offset, left)) = self.sendable()? else {
                break;
            };
            let Some(source) = &mut self.source else {
                break;
            };
            let bytes = source.bytes(offset)?;
            let left = usize::try_from(left).unwrap_or(usize::MAX);
            let taken = bytes.len().min(left).min(room);
            piece.extend_from_slice(&bytes[..taken]);
            moved(id, taken as u64);
            self.sender.handle_body_sent(taken as u64, now);
            self.feed(now)?;
        }
        Ok(())
    }
}
