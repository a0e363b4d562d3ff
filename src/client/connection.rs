//! One connection of the client at work: a socket, a [`Sender`], and the file that is being sent.

use std::io::{self, Read, Write};
use std::time::Duration;

use super::Why;
use super::in_pieces::InPieces;
use super::source::Trouble;
use super::supply::Supply;
use crate::net::{Pieces, Stream};
use crate::proto::Moment;
use crate::proto::sender::{Event, Sender};
use crate::reactor::Readiness;

/// Bytes that one visit sends before it is another's turn.
pub(super) const BUDGET: usize = 1 << 20;
/// Bytes of one read; replies are short.
const READ: usize = 16 << 10;
/// Bytes that one visit reads, many times what all replies to what is under way come to. A server
/// that sends without end is not to be listened to without end, nor is what it says to pile up.
const HEARD_MOST: usize = 64 << 10;
/// How long nothing is sent between two messages of an upload before the server is shown that this
/// side lives. It closes connections that are silent for long; minutes, usually.
const SIGN_OF_LIFE: Duration = Duration::from_secs(20);

/// One connection at work.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: Stream,
    pub(super) sender: Sender,
    /// The file or stream whose bytes are being sent.
    pub(super) source: Option<Supply>,
    /// The round of tries in which it was begun.
    pub(super) round: u32,
    /// How a write failed. The server may have said why, so its answer is still read.
    pub(super) send_failed: Option<io::Error>,
    /// Where the stream is to be cut up, by whom. Boxed: hardly anybody asks for it.
    pub(super) in_pieces: Option<Box<InPieces>>,
    /// Whether nothing more is sent until more of the file's digest was taken. The loop is woken
    /// then.
    awaits_digest: bool,
    /// Whether nothing more is sent until its turn at the limited rate has come.
    pub(super) awaits_turn: bool,
    /// Since when there is nothing to send between two messages, although more is to come.
    pauses_since: Option<Moment>,
}

/// What a visit came to.
#[derive(Debug)]
pub(super) enum Work {
    /// The socket blocks, or there is nothing to do.
    Blocked,
    /// It could go on.
    More,
    /// The file that is being sent can't be read.
    SourceFailed(io::Error),
    /// The connection is over.
    Over(Why),
}

impl Connection {
    pub(super) fn new(stream: Stream, sender: Sender, pieces: Option<&Pieces>) -> Connection {
        Connection {
            stream,
            sender,
            source: None,
            round: 0,
            send_failed: None,
            in_pieces: pieces.map(|pieces| Box::new(InPieces::new(pieces.clone()))),
            awaits_digest: false,
            awaits_turn: false,
            pauses_since: None,
        }
    }

    /// Whether another upload can be begun.
    pub(super) fn has_room(&self) -> bool {
        self.send_failed.is_none() && self.sender.has_room()
    }

    /// The next thing that the server has said.
    pub(super) fn poll_event(&mut self) -> Option<Event> {
        self.sender.poll_event()
    }

    /// Closes the file whose last byte is sent, and whose digest is too: the answer needs neither,
    /// and another file may need the descriptor.
    pub(super) fn close_what_is_sent(&mut self) {
        if !self.sender.is_sending() {
            self.source = None;
            self.pauses_since = None;
        }
    }

    /// Sends what can be sent; `moved` hears of which upload and how many bytes.
    pub(super) fn send(
        &mut self,
        ready: &mut Readiness,
        budget: &mut usize,
        now: Moment,
        moved: &mut dyn FnMut(u64, u64),
    ) -> Work {
        if std::mem::take(&mut self.awaits_digest) {
            self.sender.handle_own_pause(now);
        }
        if self
            .pauses_since
            .is_some_and(|since| since + SIGN_OF_LIFE <= now)
        {
            self.pauses_since = None;
            self.sender.keep_alive(now);
        }
        let sent = match self.feed(now) {
            Ok(()) if self.in_pieces.is_some() => self.send_in_pieces(ready, budget, now, moved),
            Ok(()) => self.send_freely(ready, budget, now, moved),
            Err(error) => Err(error),
        };
        self.close_what_is_sent();
        sent.unwrap_or_else(Work::SourceFailed)
    }

    /// Sends as much at a time as the socket takes. Fails where the file can't be read.
    fn send_freely(
        &mut self,
        ready: &mut Readiness,
        budget: &mut usize,
        now: Moment,
        moved: &mut dyn FnMut(u64, u64),
    ) -> io::Result<Work> {
        while ready.writable && self.send_failed.is_none() && !self.sender.has_ended() {
            if *budget == 0 {
                return Ok(Work::More);
            }
            let output = self.sender.output();
            let result = if !output.is_empty() {
                let most = output.len().min(*budget);
                let sent = self.stream.write(&output[..most]);
                sent.map(|sent| {
                    *budget -= sent;
                    self.sender.handle_sent(sent, now);
                })
            } else if let Some((id, offset, left)) = self.sendable()?
                && let Some(source) = &mut self.source
            {
                let most = usize::try_from(left).unwrap_or(usize::MAX).min(*budget);
                match source.send_to(&mut self.stream, offset, most) {
                    Ok(sent) => {
                        *budget -= sent;
                        moved(id, sent as u64);
                        self.sender.handle_body_sent(sent as u64, now);
                        self.feed(now)?;
                        Ok(())
                    }
                    Err(Trouble::File(error)) => return Err(error),
                    Err(Trouble::Stream(error)) => Err(error),
                }
            } else {
                break;
            };
            if let Err(error) = result {
                match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => ready.writable = false,
                    _ => self.send_failed = Some(error),
                }
            }
        }
        Ok(Work::Blocked)
    }

    /// Of which upload and from which offset on bytes may be sent now, and how many. Fails where
    /// the digest can't be taken.
    pub(super) fn sendable(&mut self) -> io::Result<Option<(u64, u64, u64)>> {
        let (Some((id, offset, left)), Some(source)) = (self.sender.body(), &self.source) else {
            return Ok(None);
        };
        self.awaits_digest = !source.allows(offset)?;
        Ok(Some((id, offset, left)).filter(|_| !self.awaits_digest))
    }

    /// Whether the server takes nothing more, and owes no answer: it need not be waited for.
    pub(super) fn is_done_with(&self) -> bool {
        self.sender.has_ended() && self.sender.unanswered().is_empty()
    }

    /// Reads what the server has said. With [`Work::More`] there may be more than is to be read at a
    /// time: what was said is to be heard first.
    pub(super) fn receive(&mut self, ready: &mut Readiness, now: Moment) -> Work {
        let mut buffer = [0; READ];
        let mut heard = 0;
        while ready.readable {
            if heard >= HEARD_MOST {
                return Work::More;
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => {
                    let how = match &self.send_failed {
                        Some(error) => error.to_string(),
                        None => "the server closed it".to_owned(),
                    };
                    return Work::Over(Why::Lost(how));
                }
                Ok(got) => {
                    heard += got;
                    if let Err(broken) = self.sender.handle_bytes(&buffer[..got], now) {
                        return Work::Over(broken.into());
                    }
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => ready.readable = false,
                    _ => return Work::Over(Why::Lost(error.to_string())),
                },
            }
        }
        Work::Blocked
    }

    /// Whether the server has been silent for too long. It isn't to be blamed for a pause of ours.
    pub(super) fn is_overdue(&self, now: Moment) -> bool {
        self.resumes().is_none() && self.patience().is_some_and(|deadline| deadline <= now)
    }

    /// When to come again if nothing happens before.
    pub(super) fn deadline(&self) -> Option<Moment> {
        if self.awaits_turn {
            // It is called when its turn comes.
            return None;
        }
        let sign_of_life = self.pauses_since.map(|since| since + SIGN_OF_LIFE);
        let usual = [self.patience(), sign_of_life].into_iter().flatten().min();
        self.resumes().or(usual)
    }

    /// When the server will have been silent for too long.
    fn patience(&self) -> Option<Moment> {
        let deadline = self.sender.deadline();
        deadline.filter(|_| !self.awaits_digest && !self.awaits_turn)
    }

    /// When the pause between two pieces ends, while there is one.
    fn resumes(&self) -> Option<Moment> {
        self.in_pieces.as_ref().and_then(|pieces| pieces.resumes())
    }

    /// The server has the bytes of the file before this offset.
    pub(super) fn resume_from(&self, offset: u64) {
        if let Some(Supply::File(source)) = &self.source {
            source.resume_from(offset);
        }
    }

    /// Lets the digest follow the bytes, or the next part of a stream the last one, where it is
    /// due. Fails where it will never be there.
    pub(super) fn feed(&mut self, now: Moment) -> io::Result<()> {
        if let Some(source) = &mut self.source {
            if source.feed(&mut self.sender, now)? {
                self.pauses_since = None;
            } else {
                self.awaits_digest = self.sender.wants_digest().is_some();
                self.pauses_since.get_or_insert(now);
            }
        }
        Ok(())
    }

    /// Gives up in the middle of a file: the server hears the end, throws that file away, and
    /// still answers what came before it.
    pub(super) fn cut(&mut self, error: &io::Error) {
        self.send_failed = Some(io::Error::new(error.kind(), error.to_string()));
        self.source = None;
        // Fails only where the connection is gone, and then the next read says so.
        let _ = self.stream.finish_sending();
    }

    /// Whether the connection is made; see [`Stream::connected`].
    pub(super) fn connected(&self) -> io::Result<bool> {
        self.stream.connected()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::net::UnixStream;

    #[test]
    fn a_server_that_does_not_stop_talking_is_heard_before_it_is_listened_to_again() {
        let now = Moment::START;
        let (ours, mut server) = UnixStream::pair().expect("a pair");
        let sender = Sender::new(None, now);
        let mut connection = Connection::new(Stream::Unix(ours), sender, None);
        let reply = b"\x01\x08\0ERR busy";
        let flood = reply.repeat(2 * HEARD_MOST / reply.len());
        assert_eq!(server.write(&flood).expect("room"), flood.len());
        let mut ready = Readiness {
            readable: true,
            ..Readiness::default()
        };
        let mut heard = 0;
        while let Work::More = connection.receive(&mut ready, now) {
            assert!(ready.readable, "nobody else says that there is more");
            let most = (HEARD_MOST + READ) / reply.len() + 1;
            let events = std::iter::from_fn(|| connection.poll_event()).count();
            assert!((1..=most).contains(&events), "{events}");
            heard += events;
        }
        assert!(heard > 0 && !ready.readable);
        heard += std::iter::from_fn(|| connection.poll_event()).count();
        assert_eq!(heard, flood.len() / reply.len());
    }
}
