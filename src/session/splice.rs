//! The fast path of a body: from the socket into the file by way of a pipe, so that its bytes
//! never come into this program's memory.
//!
//! One pipe serves every connection of a loop, because each visit leaves it empty. Where a splice
//! can't be done (another kind of socket, store or file system), the bytes take the plain way,
//! with the same results. The machine can't tell the difference: it says how many bytes belong to
//! the body, and hears how many have moved.
//!
//! A splice never passes urgent data: it moves what lies before, and from then on says that there
//! is nothing, or that the stream has ended, whatever lies behind. So it is believed only where it
//! brings bytes; whether there are none, or no more will come, a read tells.

use std::io;

use super::{Session, Surroundings};
use crate::net::{Duplex, Pipe};
use crate::observe::trace::What;
use crate::proto::Machine;
use crate::store::{Error, Store};

/// Whether bodies are spliced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Splicing {
    /// Where it is possible, and the body is large enough to gain from it.
    #[default]
    Auto,
    /// Where it is possible.
    Always,
    /// Not at all.
    Never,
}

/// Bytes that must be left of a body for it to be spliced. By the `fastpath` bench a splice is
/// slower at 64 KiB (it takes two calls as well, and brings nothing of the next message), even at
/// 256 KiB, and an eighth faster at 1 MiB and above.
const FROM: u64 = 512 << 10;

/// The pipe that a loop's sessions share.
#[derive(Debug)]
pub struct Splice {
    pub(super) splicing: Splicing,
    /// Made when it is first needed; made anew when bytes were left in it.
    pub(super) pipe: Option<Pipe>,
}

impl Splice {
    /// A pipe that is used as this says.
    pub fn new(splicing: Splicing) -> Splice {
        Splice {
            splicing,
            pipe: None,
        }
    }

    /// Whether a body of which so much is left is to be spliced.
    pub(super) fn fits(&self, left: u64) -> bool {
        match self.splicing {
            Splicing::Auto => left >= FROM,
            Splicing::Always => left > 0,
            Splicing::Never => false,
        }
    }

    /// The pipe, empty. Without one, or where it was found to be of no use, nothing is spliced.
    fn take(&mut self) -> Option<Pipe> {
        match self.pipe.take() {
            Some(pipe) => Some(pipe),
            None => Pipe::new()
                .inspect_err(|error| log::debug!("no pipe, so bodies are copied: {error}"))
                .ok(),
        }
    }
}

impl<M: Machine, S: Store, T: Duplex> Session<M, S, T> {
    /// Moves part of a body by way of the pipe, at most so many bytes. Returns whether it did
    /// anything; if not, a read is to bring the bytes, or tell why there are none.
    pub(super) fn splice(
        &mut self,
        left: u64,
        allowed: usize,
        budget: &mut usize,
        around: &mut Surroundings<'_, S>,
    ) -> bool {
        if !around.splice.fits(left) {
            return false;
        }
        let Some(mut pipe) = around.splice.take() else {
            return false;
        };
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(allowed);
        around.counters.reads.add(1);
        match self.stream.splice(&mut pipe, most) {
            Ok(None) => {
                around.splice.splicing = Splicing::Never;
                return false;
            }
            Ok(Some(0)) => {
                around.splice.pipe = Some(pipe);
                return false;
            }
            Ok(Some(got)) => {
                *budget -= got;
                around.has_read(got);
                self.trace(around, || What::Read { bytes: got as u64 });
                let stood = self.trace_position(around);
                if !self.empty(&mut pipe, got, around) {
                    // Bytes are left in the pipe, and nobody must ever meet them.
                    self.trace_taken(stood, got, around);
                    return true;
                }
                self.trace_taken(stood, got, around);
            }
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => {
                    around.splice.pipe = Some(pipe);
                    return false;
                }
                _ => self.lost(&error, around),
            },
        }
        around.splice.pipe = Some(pipe);
        true
    }

    /// Moves what is in the pipe into the open upload. Returns whether the pipe is empty.
    fn empty(&mut self, pipe: &mut Pipe, got: usize, around: &mut Surroundings<'_, S>) -> bool {
        let mut rest = got;
        while rest > 0 {
            let upload = self
                .upload
                .as_mut()
                .expect("the machine asks for a body only after a begin");
            match around.store.splice(upload, pipe.out(), rest) {
                Ok(Some(moved)) => {
                    around.counters.body_bytes.add(moved as u64);
                    around.counters.spliced_bytes.add(moved as u64);
                    rest -= moved;
                }
                Ok(None) => {
                    around.splice.splicing = Splicing::Never;
                    return self.copy(pipe, got, rest, around);
                }
                Err(error) => {
                    self.write_failed(&error, around);
                    break;
                }
            }
        }
        self.machine.handle_moved(got as u64, around.now);
        self.count_messages(around);
        rest == 0
    }

    /// Does the same by reading, where the store can't splice.
    fn copy(
        &mut self,
        pipe: &mut Pipe,
        got: usize,
        rest: usize,
        around: &mut Surroundings<'_, S>,
    ) -> bool {
        let scratch = std::mem::take(&mut around.scratch);
        let read = pipe.read(&mut scratch[..rest]);
        match &read {
            Ok(()) => self.append(&scratch[..rest], around),
            Err(error) => self.write_failed(&Error::from_pipe(error), around),
        }
        around.scratch = scratch;
        self.machine.handle_moved(got as u64, around.now);
        self.count_messages(around);
        read.is_ok()
    }
}
