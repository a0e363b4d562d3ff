//! A pipe that bytes go through on their way from a socket to a file, without a visit to this
//! program's memory.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags};

use super::Stream;

/// Bytes that the pipe should hold. Segments of a socket fill it unevenly, so it is larger than
/// what one visit moves. What an ordinary user may have is 1 MiB.
const SIZE: usize = 1 << 20;

/// A pipe. It is empty whenever it changes hands.
#[derive(Debug)]
pub struct Pipe {
    out: OwnedFd,
    into: OwnedFd,
}

impl Pipe {
    /// Makes one, as large as the system allows.
    ///
    /// # Errors
    /// Where no descriptor is left.
    pub fn new() -> io::Result<Pipe> {
        let (out, into) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // A small one works as well, only in more steps.
        let _ = rustix::pipe::fcntl_setpipe_size(&into, SIZE);
        Ok(Pipe { out, into })
    }

    /// Moves bytes out of a socket, as many as are there, up to `most`. The pipe must be empty.
    ///
    /// Returns how many. `None` where sockets of this kind can't. That it moves nothing tells
    /// little: a splice stops at urgent data, and then says 0 as if the stream had ended, or
    /// [`io::ErrorKind::WouldBlock`] as if nothing were there. A read tells.
    ///
    /// # Errors
    /// The socket's.
    pub fn fill(&mut self, stream: &Stream, most: usize) -> io::Result<Option<usize>> {
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        match rustix::pipe::splice(stream, None, &self.into, None, most, flags) {
            Ok(moved) => Ok(Some(moved)),
            Err(Errno::INVAL | Errno::NOSYS) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The end that bytes come out of.
    pub fn out(&self) -> BorrowedFd<'_> {
        self.out.as_fd()
    }

    /// Takes bytes out by reading them, where nobody can splice them.
    ///
    /// # Errors
    /// The system's.
    pub fn read(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        let mut at = 0;
        while at < bytes.len() {
            match rustix::io::read(&self.out, &mut bytes[at..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(got) => at += got,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
