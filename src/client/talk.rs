//! Texts to a server that shows them, one at a time.

use std::io;

use super::connection::{BUDGET, Connection, Work};
use super::{Options, Why};
use crate::net::{Address, Stream, Tuning};
use crate::proto::Moment;
use crate::proto::reply::Answer;
use crate::proto::sender::{Event, Sender};
use crate::reactor::{Handler, Reactor, Readiness, Token, Visit};

/// A connection over which texts are said and answered.
pub struct Conversation {
    reactor: Reactor<Connection>,
    token: Token,
    talk: Talk,
}

/// What the current turn of the conversation is about.
struct Talk {
    deadline: Option<Moment>,
    outcome: Option<Result<String, Why>>,
    /// Until the connection is made.
    connecting: Option<Result<bool, io::Error>>,
}

impl Conversation {
    /// Connects to the first address that answers. Of the options it takes where to, both
    /// timeouts, and the pieces; `connections`, `conflict` and `signals` mean nothing to it.
    ///
    /// # Errors
    /// [`Why::Resolve`] and [`Why::Connect`].
    pub fn open(options: &Options) -> Result<Conversation, Why> {
        let to = || options.to.clone();
        let addresses = options.to.resolve().map_err(|error| Why::Resolve {
            to: to(),
            error: error.to_string(),
        })?;
        let mut last = None;
        for address in &addresses {
            match Conversation::connect(address, options) {
                Ok(conversation) => return Ok(conversation),
                Err(error) => last = Some(error),
            }
        }
        let error = last.map_or_else(|| "no address".to_owned(), |error| error.to_string());
        Err(Why::Connect { to: to(), error })
    }

    /// Says a text of at most [`TEXT_MOST`](crate::proto::limits::TEXT_MOST) bytes, and waits for
    /// the answer, which is to be shown escaped.
    ///
    /// # Errors
    /// Every reason but those of files; the conversation is over then, unless the server has
    /// only refused the text.
    pub fn say(&mut self, text: &str) -> Result<String, Why> {
        let now = self.reactor.now();
        let Some(connection) = self.reactor.get_mut(self.token) else {
            return Err(Why::Lost("it ended before".to_owned()));
        };
        connection.sender.say(0, text, now);
        self.talk.outcome = None;
        self.reactor.queue(self.token);
        loop {
            self.reactor.turn(&mut self.talk, None)?;
            if let Some(outcome) = self.talk.outcome.take() {
                return outcome;
            }
        }
    }

    fn connect(address: &Address, options: &Options) -> io::Result<Conversation> {
        let stream = Stream::connect(
            address,
            Tuning {
                unacknowledged: options.timeout,
                brief: false,
            },
        )?;
        let mut reactor = Reactor::new()?;
        let sender = Sender::new(options.timeout, reactor.now());
        let token = reactor.insert(stream, |stream| {
            Connection::new(stream, sender, options.pieces.as_ref())
        })?;
        let deadline = options
            .connect_timeout
            .map(|timeout| reactor.now() + timeout);
        let mut talk = Talk {
            deadline,
            outcome: None,
            connecting: Some(Ok(false)),
        };
        loop {
            reactor.turn(&mut talk, None)?;
            match talk.connecting.take() {
                None | Some(Ok(true)) => break,
                Some(Ok(false)) if deadline.is_some_and(|until| until <= reactor.now()) => {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                Some(Ok(false)) => talk.connecting = Some(Ok(false)),
                Some(Err(error)) => return Err(error),
            }
        }
        Ok(Conversation {
            reactor,
            token,
            talk,
        })
    }
}

impl Handler<Connection> for Talk {
    fn visit(
        &mut self,
        reactor: &mut Reactor<Connection>,
        _: Token,
        connection: &mut Connection,
        ready: &mut Readiness,
    ) -> Visit {
        if self.connecting.is_some() {
            self.connecting = Some(connection.connected());
            return Visit::Wait(self.deadline);
        }
        let now = reactor.now();
        let received = connection.receive(ready, now);
        while let Some(event) = connection.poll_event() {
            self.outcome = match event {
                Event::Said(_, answer) => Some(match Answer::parse(&answer) {
                    Answer::Ok { .. } => Err(Why::TakenForName),
                    _ => Ok(answer),
                }),
                Event::Refused(_, refusal) | Event::TurnedAway(refusal) => {
                    Some(Err(Why::Refused(refusal)))
                }
                Event::Stored(..) | Event::Resumed(..) => None,
            };
        }
        if connection.is_done_with() {
            return Visit::Close;
        }
        let has_more_to_say = matches!(received, Work::More);
        let over = match received {
            Work::Over(why) => Some(why),
            _ if connection.is_overdue(now) => Some(Why::TimedOut),
            _ => match connection.send(ready, &mut { BUDGET }, now, &mut |_, _| ()) {
                Work::Over(why) => Some(why),
                _ => None,
            },
        };
        match over {
            Some(why) => {
                self.outcome.get_or_insert(Err(why));
                Visit::Close
            }
            None if has_more_to_say => Visit::Again(connection.deadline()),
            None => Visit::Wait(connection.deadline()),
        }
    }
}

impl std::fmt::Debug for Conversation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conversation").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_conversation_that_the_server_has_ended_is_over_though_the_connection_still_stands() {
        let home = tempfile::tempdir().expect("a temporary folder");
        let path = home.path().join("socket");
        let listener = UnixListener::bind(&path).expect("the folder is there");
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("it comes");
            stream.read_exact(&mut [0; 4]).expect("it speaks");
            stream.write_all(b"\x01\x0c\0ERR shutdown").expect("room");
            stream
        });
        let to: Address = format!("unix:{}", path.display()).parse().expect("one");
        let mut conversation = Conversation::open(&Options::to(to.into())).expect("it listens");
        let said = conversation.say("a");
        assert!(matches!(said, Err(Why::Refused(_))), "{said:?}");
        let _standing = server.join().expect("it has answered");
        let said = conversation.say("b");
        assert!(matches!(said, Err(Why::Lost(_))), "{said:?}");
    }
}
