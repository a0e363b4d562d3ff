//! Every step that the [`Receiver`](super::receiver::Receiver) can take, as a table.
//!
//! The machine checks each step against it (in builds with debug assertions), a test drives the
//! machine through every row, another compares it with the diagram in docs/ARCHITECTURE.md, and
//! the trace that `--trace` prints is made of the same values.

use std::fmt;

use super::machine::Step;

/// The states, without their data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(
    missing_docs,
    reason = "the states are described where their data is, in receiver.rs"
)]
pub enum StateName {
    ReadType,
    ReadLen,
    ReadText,
    Open,
    ReadBody,
    Commit,
    Reply,
    Skip,
    Drain,
    Closed,
}

/// Why a state was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// A type byte came.
    Type,
    /// A length was complete.
    Length,
    /// A text was complete.
    Text,
    /// The store answered whether an upload may begin.
    Answer,
    /// A body was complete.
    Body,
    /// The upload may be stored while more is read.
    Ahead,
    /// The store has committed.
    Stored,
    /// There is room for another message's reply.
    Room,
    /// Every reply was sent.
    Sent,
    /// The store, or a limit, refused bytes in the middle of a body; or the server a connection.
    Refused,
    /// The peer ended its stream.
    End,
    /// The peer took too long.
    Deadline,
    /// Another connection has taken the open upload over.
    Taken,
    /// The program is stopping.
    Stop,
    /// The socket failed.
    Lost,
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Transition {
    /// The state that was left.
    pub from: StateName,
    /// Why.
    pub cause: Cause,
    /// The state that was entered.
    pub to: StateName,
}

impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Step::from(*self).fmt(f)
    }
}

impl From<Transition> for Step {
    fn from(transition: Transition) -> Step {
        Step {
            from: transition.from.as_str(),
            cause: transition.cause.as_str(),
            to: transition.to.as_str(),
        }
    }
}

impl StateName {
    /// The name as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            StateName::ReadType => "ReadType",
            StateName::ReadLen => "ReadLen",
            StateName::ReadText => "ReadText",
            StateName::Open => "Open",
            StateName::ReadBody => "ReadBody",
            StateName::Commit => "Commit",
            StateName::Reply => "Reply",
            StateName::Skip => "Skip",
            StateName::Drain => "Drain",
            StateName::Closed => "Closed",
        }
    }
}

impl Cause {
    /// The name as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::Type => "Type",
            Cause::Length => "Length",
            Cause::Text => "Text",
            Cause::Answer => "Answer",
            Cause::Body => "Body",
            Cause::Ahead => "Ahead",
            Cause::Stored => "Stored",
            Cause::Room => "Room",
            Cause::Sent => "Sent",
            Cause::Refused => "Refused",
            Cause::End => "End",
            Cause::Deadline => "Deadline",
            Cause::Taken => "Taken",
            Cause::Stop => "Stop",
            Cause::Lost => "Lost",
        }
    }
}

/// The legal steps. Three more are legal everywhere, see [`is_legal`].
pub const TABLE: &[(StateName, Cause, StateName)] = {
    use Cause::{
        Ahead, Answer, Body, Deadline, End, Length, Refused, Room, Sent, Stop, Stored, Text, Type,
    };
    use StateName::{
        Closed, Commit, Drain, Open, ReadBody, ReadLen, ReadText, ReadType, Reply, Skip,
    };
    &[
        // A message's header.
        (ReadType, Type, ReadLen),
        (ReadType, Type, Drain),
        (ReadType, End, Drain),
        (ReadType, Deadline, Drain),
        (ReadType, Stop, Drain),
        (ReadType, Refused, Drain),
        (ReadLen, Length, ReadText),
        (ReadLen, Length, Open),
        (ReadLen, Length, ReadBody),
        (ReadLen, Length, Skip),
        (ReadLen, Length, Reply),
        (ReadLen, Length, Drain),
        (ReadLen, End, Drain),
        (ReadLen, Deadline, Drain),
        (ReadLen, Stop, Drain),
        // A text: STRING, PUT or END.
        (ReadText, Text, Open),
        (ReadText, Text, Commit),
        (ReadText, Text, Reply),
        (ReadText, End, Drain),
        (ReadText, Deadline, Drain),
        (ReadText, Stop, Drain),
        // The store is asked whether an upload may begin, or may grow so large.
        (Open, Answer, Reply),
        (Open, Answer, ReadBody),
        (Open, Answer, Skip),
        (Open, Answer, Drain),
        (Open, Stop, Drain),
        // A file's bytes.
        (ReadBody, Body, Commit),
        (ReadBody, Body, Reply),
        (ReadBody, End, Commit),
        (ReadBody, End, Reply),
        (ReadBody, End, Drain),
        (ReadBody, Refused, Skip),
        (ReadBody, Refused, Drain),
        (ReadBody, Deadline, Drain),
        (ReadBody, Stop, Drain),
        // The store makes the file safe; a small one doesn't hold up the next message.
        (Commit, Ahead, Reply),
        (Commit, Stored, Reply),
        (Commit, Stop, Drain),
        // The peer reads its replies.
        (Reply, Room, ReadType),
        (Reply, Stop, Drain),
        // A refused body is thrown away.
        (Skip, Body, Reply),
        (Skip, Body, Drain),
        (Skip, End, Reply),
        (Skip, End, Drain),
        (Skip, Deadline, Drain),
        (Skip, Stop, Drain),
        // The connection ends.
        (Drain, Sent, Closed),
        (Drain, End, Closed),
        (Drain, Deadline, Closed),
    ]
};

/// Whether a step may be taken. From any state but the last, a socket that fails or a peer that
/// doesn't read its replies in time leads to `Closed`; and from any before the end, a file that was
/// stored, but may not survive, leads to `Drain`, and so does an upload that was taken over.
pub fn is_legal(step: Transition) -> bool {
    let Transition { from, cause, to } = step;
    let ends = matches!(cause, Cause::Lost | Cause::Deadline) && to == StateName::Closed;
    let drains = matches!(cause, Cause::Stored | Cause::Taken) && to == StateName::Drain;
    let anywhere = (ends && from != StateName::Closed)
        || (drains && !matches!(from, StateName::Drain | StateName::Closed));
    anywhere || TABLE.contains(&(from, cause, to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_row_stands_twice_and_nothing_leaves_closed() {
        let rows: BTreeSet<_> = TABLE.iter().collect();
        assert_eq!(rows.len(), TABLE.len());
        assert!(TABLE.iter().all(|(from, _, _)| *from != StateName::Closed));
        let lost = Transition {
            from: StateName::Closed,
            cause: Cause::Lost,
            to: StateName::Closed,
        };
        assert!(!is_legal(lost));
    }

    #[test]
    fn only_an_end_may_come_from_anywhere() {
        use Cause::{Body, Deadline, Lost, Stored, Taken};
        use StateName::{Closed, Drain, Open, ReadType, Reply, Skip};
        let legal = |from, cause, to| is_legal(Transition { from, cause, to });
        assert!(legal(Open, Lost, Closed) && legal(Open, Deadline, Closed));
        assert!(legal(ReadType, Stored, Drain) && legal(Skip, Taken, Drain));
        for (from, cause, to) in [
            (Open, Body, Closed),
            (Open, Lost, Reply),
            (Open, Body, Drain),
            (ReadType, Stored, Reply),
            (Drain, Stored, Drain),
            (Closed, Taken, Drain),
        ] {
            assert!(!legal(from, cause, to), "{from:?} {cause:?} {to:?}");
        }
        let step = Transition {
            from: Open,
            cause: Lost,
            to: Closed,
        };
        assert_eq!(step.to_string(), "Open --Lost--> Closed");
    }

    /// The diagram has one arrow a pair of states, and names every cause on it.
    #[test]
    fn the_diagram_in_the_docs_shows_these_rows_and_no_others() {
        let page = include_str!("../../docs/ARCHITECTURE.md");
        let diagram = page
            .split_once("stateDiagram-v2\n")
            .and_then(|(_, rest)| rest.split_once("```"))
            .expect("docs/ARCHITECTURE.md has a mermaid state diagram")
            .0;
        let mut drawn = BTreeSet::new();
        for line in diagram
            .lines()
            .map(str::trim)
            .filter(|line| line.contains("-->"))
        {
            if line.contains("[*]") {
                continue;
            }
            let (states, causes) = line.split_once(": ").expect("an arrow names its causes");
            let (from, to) = states.split_once(" --> ").expect("an arrow has two ends");
            for cause in causes.split(", ") {
                assert!(
                    drawn.insert(format!("{from} {cause} {to}")),
                    "{line} stands twice"
                );
            }
        }
        let rows: BTreeSet<_> = TABLE
            .iter()
            .map(|(from, cause, to)| {
                format!("{} {} {}", from.as_str(), cause.as_str(), to.as_str())
            })
            .collect();
        assert_eq!(drawn, rows);
    }
}
