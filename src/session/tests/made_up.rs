//! Sockets that fail at will, and a machine that asks for what the receiver never asks for.

use super::*;
use crate::net::{Duplex, Pipe};
use crate::proto::{
    Action, Begun, Conflict, Fault, Machine, Position, Progress, Step, Ticket, Want,
};
use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read};

/// A socket that says what it was told to say.
#[derive(Debug, Default)]
pub(super) struct Script {
    reads: VecDeque<Result<Vec<u8>, ErrorKind>>,
    writes: VecDeque<Result<usize, ErrorKind>>,
    written: Vec<u8>,
    /// What each splice comes to, where it can be spliced from.
    splice: Option<Result<usize, ErrorKind>>,
    is_finished: Cell<bool>,
}

impl Read for Script {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let said = self
            .reads
            .pop_front()
            .unwrap_or(Err(ErrorKind::WouldBlock))?;
        bytes[..said.len()].copy_from_slice(&said);
        Ok(said.len())
    }
}

impl Write for Script {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let most = self.writes.pop_front().unwrap_or(Ok(usize::MAX))?;
        let bytes = &bytes[..bytes.len().min(most)];
        self.written.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Duplex for Script {
    fn finish_sending(&self) -> io::Result<()> {
        self.is_finished.set(true);
        Err(ErrorKind::NotConnected.into())
    }

    fn splice(&self, _: &mut Pipe, _: usize) -> io::Result<Option<usize>> {
        Ok(self.splice.transpose()?)
    }
}

impl<M: Machine> Bench<M, Script> {
    /// A session that reads these, each at a time.
    pub(super) fn reading<const N: usize>(
        machine: M,
        reads: [Result<&[u8], ErrorKind>; N],
    ) -> Self {
        let reads = reads.into_iter().map(|read| read.map(<[u8]>::to_vec));
        let script = Script {
            reads: reads.collect(),
            ..Script::default()
        };
        Bench::of(machine, |_| script)
    }

    fn written(&self) -> &[u8] {
        &self.session.stream.written
    }
}

pub(super) fn receiver() -> Receiver {
    Receiver::new(Arc::new(Rules::default()), NOW)
}

const OK: &[u8] = b"\x01\x02\0OK";

#[test]
fn a_call_that_is_interrupted_is_made_again() {
    let mut bench = Bench::reading(
        receiver(),
        [Err(ErrorKind::Interrupted), Ok(b"\x01\x01\0a")],
    );
    bench.session.stream.writes = [Err(ErrorKind::Interrupted), Ok(2)].into();
    assert!(matches!(bench.event(), Visit::Wait(_)));
    assert_eq!(bench.written(), OK);
    assert!(!bench.ready.readable, "a short read has found the end");
}

#[test]
fn who_has_nothing_and_who_has_no_room_is_waited_for() {
    let mut bench = Bench::reading(receiver(), [Err(ErrorKind::WouldBlock), Ok(b"\x01\x01\0a")]);
    assert!(matches!(bench.event(), Visit::Wait(_)));
    assert!(!bench.ready.readable);
    bench.session.stream.writes = [Ok(1), Err(ErrorKind::WouldBlock)].into();
    assert!(matches!(bench.event(), Visit::Wait(_)));
    assert_eq!((bench.written(), bench.ready.writable), (&OK[..1], false));
    assert_eq!(bench.session.held(), (0, OK.len() - 1));
    bench.visit();
    assert_eq!(
        bench.written(),
        &OK[..1],
        "nobody has said that there is room"
    );
    bench.event();
    assert_eq!(bench.written(), OK);
}

/// Urgent data cuts a read short, and the socket is taken for empty.
#[test]
fn a_socket_is_asked_once_more_before_its_peer_is_blamed() {
    for (rest, expected) in [
        (Ok(&b"\0a"[..]), &OK[3..]),
        (Err(ErrorKind::WouldBlock), b"ERR timeout"),
    ] {
        let mut bench = Bench::reading(receiver(), [Ok(b"\x01\x01"), rest]);
        bench.event();
        bench.now = NOW + Duration::from_secs(3600);
        bench.visit();
        assert!(bench.written()[3..].starts_with(expected), "{rest:?}");
    }
}

#[test]
fn a_connection_that_is_lost_takes_its_upload_along_and_is_counted_once() {
    for by_writing in [false, true] {
        let begun = b"\x01\x01\0a";
        let mut bench = Bench::reading(
            receiver(),
            [Ok(&begun[..]), Err(ErrorKind::ConnectionReset)],
        );
        bench.tracer = Some(Tracer::new(|_: &Record| ()));
        if by_writing {
            bench.session.stream.writes = [Err(ErrorKind::BrokenPipe)].into();
            bench.session.stream.reads.truncate(1);
        }
        let first = bench.event();
        let last = if by_writing { first } else { bench.event() };
        assert_eq!(last, Visit::Close);
        let counts = bench.counters.snapshot();
        assert_eq!((counts.lost, counts.failed), (1, 1));
        assert!(bench.session.upload.is_none() && bench.session.kept.is_none());
    }
}

#[test]
fn a_splice_that_fails_is_told_apart_like_a_read() {
    for (said, is_lost) in [
        (ErrorKind::WouldBlock, false),
        (ErrorKind::ConnectionReset, true),
    ] {
        let mut bench = Bench::reading(receiver(), [Ok(b"\x02\x06")]);
        bench.session.stream.splice = Some(Err(said));
        bench.splice = Splice::new(Splicing::Always);
        bench.event();
        let visit = bench.event();
        assert_eq!(visit == Visit::Close, is_lost, "{said:?}");
        assert_eq!(bench.ready.readable, is_lost);
        assert_eq!(bench.counters.snapshot().lost, u64::from(is_lost));
        assert!(bench.splice.pipe.is_some(), "it is empty, and used again");
    }
}

/// Urgent data stops every splice, as if there were nothing, or as if the stream had ended.
#[test]
fn what_a_splice_does_not_bring_is_read_before_anybody_believes_that_it_is_not_there() {
    for (said, begin) in [
        (Err(ErrorKind::WouldBlock), &b"\x02\x06"[..]),
        (Ok(0), b"\x02\x06"),
        (Ok(0), b"\x0a"),
    ] {
        let rules = Rules {
            accept_eof: true,
            ..Rules::default()
        };
        let machine = Receiver::new(Arc::new(rules), NOW);
        let mut bench = Bench::reading(machine, [Ok(begin), Ok(b"123456"), Ok(b"")]);
        bench.session.stream.splice = Some(said);
        bench.splice = Splice::new(Splicing::Always);
        for _ in 0..3 {
            bench.event();
        }
        bench.commit_all();
        let name = &bench.files.names()[0];
        assert_eq!(bench.files.get(name).as_deref(), Some(&b"123456"[..]));
        assert!(bench.splice.pipe.is_some(), "it is empty, and used again");
        assert_eq!(bench.splice.splicing, Splicing::Always);
    }
}

/// A machine that wants these things done, one after the other, whatever comes.
#[derive(Debug)]
struct Asking {
    actions: VecDeque<Action>,
    want: Want,
}

impl Asking {
    fn for_all<const N: usize>(actions: [Action; N]) -> Asking {
        Asking {
            actions: actions.into(),
            want: Want::Bytes,
        }
    }
}

impl Machine for Asking {
    fn handle_bytes(&mut self, bytes: &[u8], _: Moment) -> usize {
        bytes.len()
    }

    fn handle_moved(&mut self, _: u64, _: Moment) {}

    fn handle_end(&mut self, _: Moment) {
        self.want = Want::Close;
    }

    fn handle_lost(&mut self, _: Moment) {
        self.want = Want::Close;
    }

    fn handle_begun(&mut self, _: Result<Begun, Fault>, _: Moment) {}

    fn handle_write_failed(&mut self, _: Fault, _: Moment) {}

    fn handle_stored(&mut self, _: Ticket, _: Result<Receipt, Fault>, _: Moment) {}

    fn handle_sent(&mut self, _: usize, _: Moment) {}

    fn handle_deadline(&mut self, _: Moment) {}

    fn handle_stop(&mut self, _: Stop, _: Moment) {}

    fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn poll_step(&mut self) -> Option<Step> {
        None
    }

    fn output(&self) -> &[u8] {
        &[]
    }

    fn want(&self) -> Want {
        self.want
    }

    fn deadline(&self) -> Option<Moment> {
        None
    }

    fn progress(&self) -> Progress {
        Progress {
            begun: 0,
            within_message: false,
            under_way: false,
        }
    }

    fn position(&self) -> Position {
        Position {
            state: "Asking",
            have: 0,
            need: None,
        }
    }
}

fn begin() -> Action {
    Action::Begin(Box::new(Order {
        conflict: Conflict::Rename,
        ..Order::default()
    }))
}

#[test]
fn what_a_machine_has_looked_at_goes_into_its_upload_and_its_remarks_to_people() {
    let seal = crate::proto::Seal {
        size: 4,
        digest: None,
    };
    let mut bench = Bench::reading(
        Asking::for_all([
            begin(),
            Action::Write(b"12".as_slice().into()),
            Action::Remark("of the peer".into()),
            Action::Write(b"34".as_slice().into()),
            Action::Commit(7, seal),
        ]),
        [],
    );
    bench.event();
    assert!(matches!(&bench.notes[..], [Note::Remark(text)] if **text == *"of the peer"));
    assert_eq!(bench.store.held[0].2.ticket, 7);
    assert!(bench.session.is_busy());
    bench.commit_all();
    assert!(!bench.session.is_busy());
    let name = &bench.files.names()[0];
    assert_eq!(bench.files.get(name).as_deref(), Some(&b"1234"[..]));
}

#[test]
fn an_upload_that_a_machine_gives_up_is_dropped_and_one_that_it_throws_away_is_discarded() {
    for (action, discarded, is_finished) in [
        (Action::Abort, 0, false),
        (Action::Discard, 1, false),
        (Action::FinishSending, 0, true),
    ] {
        // The second time there is nothing to be given up.
        let again = match &action {
            Action::Abort => Action::Abort,
            Action::Discard => Action::Discard,
            _ => Action::FinishSending,
        };
        let mut bench = Bench::reading(Asking::for_all([begin(), action, again]), []);
        bench.event();
        assert!(bench.session.upload.is_none());
        assert_eq!(bench.store.discarded, discarded);
        assert_eq!(bench.counters.snapshot().failed, 1);
        assert_eq!(bench.session.stream.is_finished.get(), is_finished);
    }
}

#[test]
fn the_end_of_a_stream_is_the_machines_business() {
    let mut bench = Bench::reading(Asking::for_all([]), [Ok(b"x"), Ok(b"")]);
    bench.event();
    assert_eq!(bench.event(), Visit::Close);
    assert_eq!(bench.counters.snapshot().lost, 0);
}
