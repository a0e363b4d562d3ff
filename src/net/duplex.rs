//! What a session needs of a connected socket, so that a trial can give it one that it makes up.

use std::io::{self, Read, Write};

use super::{Pipe, Stream};

/// A connected socket that never blocks: where it has nothing, or no room, it says
/// [`WouldBlock`](io::ErrorKind::WouldBlock).
///
/// Whoever uses it is compiled for the one kind that it is given, so that costs nothing.
pub trait Duplex: Read + Write {
    /// Tells the peer that nothing more will come from here.
    ///
    /// # Errors
    /// Where the peer is gone.
    fn finish_sending(&self) -> io::Result<()>;

    /// Moves bytes into an empty pipe, as many as are there, up to `most`, without reading them.
    /// Returns how many, and `None` where it can't do that. Whether there is nothing, or the
    /// stream has ended, only a read tells: see [`Pipe::fill`].
    ///
    /// # Errors
    /// The socket's.
    fn splice(&self, pipe: &mut Pipe, most: usize) -> io::Result<Option<usize>> {
        let _ = (pipe, most);
        Ok(None)
    }
}

impl Duplex for Stream {
    fn finish_sending(&self) -> io::Result<()> {
        Stream::finish_sending(self)
    }

    fn splice(&self, pipe: &mut Pipe, most: usize) -> io::Result<Option<usize>> {
        pipe.fill(self, most)
    }
}
