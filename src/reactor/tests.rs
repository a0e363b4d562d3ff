use super::*;
use std::io::{Read, Write};

use mio::net::UnixStream;

/// Records its visits, and does with each what the test says.
#[derive(Default)]
struct Log {
    visits: Vec<Token>,
    closed: Vec<Token>,
    woken: usize,
}

struct Entry {
    stream: UnixStream,
    budget: usize,
    got: usize,
    deadline: Option<Moment>,
    close: bool,
}

fn entry(stream: UnixStream) -> Entry {
    Entry {
        stream,
        budget: usize::MAX,
        got: 0,
        deadline: None,
        close: false,
    }
}

impl Handler<Entry> for Log {
    fn visit(
        &mut self,
        _: &mut Reactor<Entry>,
        token: Token,
        entry: &mut Entry,
        ready: &mut Readiness,
    ) -> Visit {
        self.visits.push(token);
        if entry.close {
            return Visit::Close;
        }
        let mut buffer = [0; 8];
        for _ in 0..entry.budget {
            match entry.stream.read(&mut buffer) {
                Ok(0) => return Visit::Close,
                Ok(got) => entry.got += got,
                Err(_) => {
                    ready.readable = false;
                    return Visit::Wait(entry.deadline);
                }
            }
        }
        Visit::Again(entry.deadline)
    }

    fn woken(&mut self, _: &mut Reactor<Entry>) {
        self.woken += 1;
    }

    fn closed(&mut self, _: &mut Reactor<Entry>, token: Token, _: Entry) {
        self.closed.push(token);
    }
}

fn turn(reactor: &mut Reactor<Entry>, log: &mut Log) {
    reactor.turn(log, Some(Duration::ZERO)).expect("a turn");
}

#[test]
fn who_spends_its_budget_is_visited_again_without_another_event_and_others_come_between() {
    let mut reactor = Reactor::new().expect("a reactor");
    let mut log = Log::default();
    let (mut greedy_peer, greedy) = UnixStream::pair().expect("a pair");
    let (mut modest_peer, modest) = UnixStream::pair().expect("a pair");
    greedy_peer.write_all(&[1; 80]).expect("room");
    let greedy = reactor
        .insert(greedy, |s| Entry {
            budget: 2,
            ..entry(s)
        })
        .expect("inserted");
    let modest = reactor.insert(modest, entry).expect("inserted");
    turn(&mut reactor, &mut log);
    log.visits.clear();
    modest_peer.write_all(&[1]).expect("room");
    turn(&mut reactor, &mut log);
    assert_eq!(
        log.visits,
        [greedy, modest],
        "the other one doesn't wait for all 80 bytes"
    );
    for _ in 0..10 {
        turn(&mut reactor, &mut log);
    }
    assert_eq!(
        reactor.get_mut(greedy).expect("still there").got,
        80,
        "nothing was left unread"
    );
}

#[test]
fn a_stale_token_never_reaches_the_entry_that_has_its_slot_now() {
    let mut reactor = Reactor::new().expect("a reactor");
    let mut log = Log::default();
    let (_old_peer, old) = UnixStream::pair().expect("a pair");
    let old = reactor
        .insert(old, |s| Entry {
            close: true,
            ..entry(s)
        })
        .expect("inserted");
    turn(&mut reactor, &mut log);
    assert_eq!(log.closed, [old]);
    let (_new_peer, new) = UnixStream::pair().expect("a pair");
    let new = reactor.insert(new, entry).expect("inserted");
    turn(&mut reactor, &mut log);
    assert_eq!(new.key(), old.key(), "the slot is used again");
    log.visits.clear();
    assert!(reactor.get_mut(old).is_none());
    reactor.queue(old);
    turn(&mut reactor, &mut log);
    assert!(log.visits.is_empty());
}

#[test]
fn a_deadline_that_was_put_off_isnt_visited_at_its_first_moment() {
    let mut reactor = Reactor::new().expect("a reactor");
    let mut log = Log::default();
    let (_peer, stream) = UnixStream::pair().expect("a pair");
    let token = reactor.insert(stream, entry).expect("inserted");
    let soon = reactor.now() + Duration::from_millis(5);
    reactor.get_mut(token).expect("there").deadline = Some(soon);
    turn(&mut reactor, &mut log);
    reactor.get_mut(token).expect("there").deadline = Some(soon + Duration::from_secs(3600));
    reactor.queue(token);
    turn(&mut reactor, &mut log);
    log.visits.clear();
    while reactor.now() < soon + Duration::from_millis(20) {
        reactor
            .turn(&mut log, Some(Duration::from_millis(1)))
            .expect("a turn");
    }
    assert!(log.visits.is_empty());
    reactor.get_mut(token).expect("there").deadline = Some(reactor.now());
    reactor.queue(token);
    turn(&mut reactor, &mut log);
    log.visits.clear();
    // The poll itself wakes for it: no other event comes.
    while log.visits.is_empty() {
        reactor.turn(&mut log, None).expect("a turn");
    }
    assert_eq!(log.visits, [token]);
}

#[test]
fn a_wake_from_another_thread_ends_the_wait() {
    let mut reactor = Reactor::<Entry>::new().expect("a reactor");
    let mut log = Log::default();
    let waker = reactor.waker();
    let thread = std::thread::spawn(move || waker.wake());
    while log.woken == 0 {
        reactor.turn(&mut log, None).expect("a turn");
    }
    thread.join().expect("the thread ends");
}

/// What it is woken for, and how much of that it has found.
struct Inbox(std::sync::mpsc::Receiver<u32>, u32);

impl Handler<Entry> for Inbox {
    fn visit(
        &mut self,
        _: &mut Reactor<Entry>,
        _: Token,
        _: &mut Entry,
        _: &mut Readiness,
    ) -> Visit {
        unreachable!("there is no entry")
    }

    fn woken(&mut self, _: &mut Reactor<Entry>) {
        self.1 += self.0.try_iter().sum::<u32>();
    }

    fn closed(&mut self, _: &mut Reactor<Entry>, _: Token, _: Entry) {}
}

#[test]
fn no_wake_is_lost_among_many_that_count_as_one() {
    let mut reactor = Reactor::new().expect("a reactor");
    let (send, inbox) = std::sync::mpsc::channel();
    let mut inbox = Inbox(inbox, 0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let (send, waker) = (send.clone(), reactor.waker());
            scope.spawn(move || {
                for _ in 0..5_000 {
                    send.send(1).expect("the inbox is open");
                    waker.wake();
                }
            });
        }
        // A wake that was lost leaves this waiting for ever.
        while inbox.1 < 20_000 {
            reactor.turn(&mut inbox, None).expect("a turn");
        }
    });
}

#[test]
fn a_turn_with_events_and_a_time_that_are_made_up_visits_those_whom_they_are_about() {
    let mut reactor = Reactor::new().expect("a reactor");
    let mut log = Log::default();
    let at = |ms| Moment::after_start(Duration::from_millis(ms));
    let pairs: Vec<_> = (0..2)
        .map(|_| UnixStream::pair().expect("a pair"))
        .collect();
    let mut tokens = Vec::new();
    let mut peers = Vec::new();
    for (ours, peer) in pairs {
        let waits = |s| Entry {
            deadline: Some(at(500)),
            ..entry(s)
        };
        tokens.push(reactor.insert(ours, waits).expect("room"));
        peers.push(peer);
    }
    assert_eq!(reactor.next_turn(), Some(reactor.now()), "both are new");
    reactor.turn_with(&mut log, [], false, (at(1), at(1)));
    assert_eq!(std::mem::take(&mut log.visits), tokens);
    assert!(reactor.next_turn().is_some_and(|next| next <= at(501)));
    let readable = Readiness {
        readable: true,
        ..Readiness::default()
    };
    reactor.turn_with(&mut log, [(tokens[1], readable)], true, (at(2), at(3)));
    assert_eq!(std::mem::take(&mut log.visits), [tokens[1]]);
    assert_eq!((log.woken, reactor.now()), (1, at(3)));
    // What came behind the look for events doesn't let a deadline pass.
    reactor.turn_with(&mut log, [], false, (at(400), at(900)));
    assert!(log.visits.is_empty());
    reactor.turn_with(&mut log, [], false, (at(900), at(900)));
    assert_eq!(log.visits.len(), 2);
}
