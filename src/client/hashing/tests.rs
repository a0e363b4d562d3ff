use std::sync::mpsc::channel;
use std::time::Duration;

use super::*;
use crate::reactor::{Handler, Reactor, Readiness, Token, Visit};

const GUARD: Duration = Duration::from_secs(60);

/// A loop with nothing in it that counts how often it was woken.
#[derive(Default)]
struct Woken(usize);

impl Handler<()> for Woken {
    fn visit(&mut self, _: &mut Reactor<()>, _: Token, (): &mut (), _: &mut Readiness) -> Visit {
        Visit::Close
    }

    fn woken(&mut self, _: &mut Reactor<()>) {
        self.0 += 1;
    }
}

/// Turns the loop until it is woken and something is there.
fn wait_for<T>(reactor: &mut Reactor<()>, mut poll: impl FnMut() -> Option<T>) -> T {
    let mut handler = Woken::default();
    loop {
        let woken = handler.0;
        if let Some(there) = poll() {
            return there;
        }
        reactor.turn(&mut handler, Some(GUARD)).expect("it polls");
        assert!(handler.0 > woken, "nobody woke the loop");
    }
}

fn file(bytes: &[u8]) -> Arc<File> {
    let file = tempfile::tempfile().expect("a temporary file");
    file.write_all_at(bytes, 0).expect("there is room");
    Arc::new(file)
}

fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

#[test]
fn digests_are_those_of_the_bytes_however_the_sending_went() {
    let mut reactor = Reactor::new().expect("a poll");
    let mut hashing = Hashing::new(2, reactor.waker());
    let bytes = noise(13_000_001);
    let chases: Vec<Arc<Chase>> = [1, 100_000, 1 << 20, 5_000_000, 13_000_001]
        .into_iter()
        .map(|step| {
            let size = bytes.len() as u64;
            let chase = hashing.begin(file(&bytes), size).expect("a thread");
            (0..size).step_by(step).for_each(|sent| chase.follow(sent));
            chase.follow(size);
            chase
        })
        .collect();
    for chase in chases {
        let poll = || chase.digest().expect("it can be read");
        let digest = wait_for(&mut reactor, poll);
        assert_eq!(digest, Digest(blake3::hash(&bytes).into()));
    }
}

#[test]
fn no_byte_is_taken_in_before_it_was_sent() {
    let reactor: Reactor<()> = Reactor::new().expect("a poll");
    let mut hashing = Hashing::new(1, reactor.waker());
    let bytes = noise(9 << 20);
    let size = bytes.len() as u64;
    let chase = hashing.begin(file(&bytes), size).expect("a thread");
    chase.follow(STEP + 1);
    let mut block = vec![0; BLOCK];
    // Here and on the thread: whoever comes first, this is as far as it may go.
    while chase.progress().taken < STEP + 1 {
        chase.take_turn(&mut block);
    }
    chase.take_turn(&mut block);
    assert_eq!(chase.progress().taken, STEP + 1);
}

#[test]
fn the_sending_does_not_run_far_ahead_and_is_woken_when_it_may_go_on() {
    let mut reactor = Reactor::new().expect("a poll");
    let mut hashing = Hashing::new(1, reactor.waker());
    let hole = tempfile::tempfile().expect("a temporary file");
    let size = LEAD_MOST + 2 * STEP;
    hole.set_len(size).expect("there is room for a hole");
    let chase = hashing.begin(Arc::new(hole), size).expect("a thread");
    assert!(chase.allows(LEAD_MOST).expect("nothing was read"));
    assert!(!chase.allows(LEAD_MOST + 1).expect("nothing was read"));
    chase.follow(LEAD_MOST + 1);
    wait_for(&mut reactor, || {
        let allowed = chase.allows(LEAD_MOST + 1).expect("it can be read");
        allowed.then_some(())
    });
}

#[test]
fn what_an_earlier_try_has_sent_is_taken_in_too_and_holds_up_nothing() {
    let mut reactor = Reactor::new().expect("a poll");
    let mut hashing = Hashing::new(1, reactor.waker());
    let bytes = noise(9_000_001);
    let size = bytes.len() as u64;
    for offset in [1, 4_000_000, size] {
        let chase = hashing.begin(file(&bytes), size).expect("a thread");
        chase.resume_from(offset);
        assert!(chase.allows(u64::MAX).expect("it can be read"));
        chase.follow(size);
        let digest = wait_for(&mut reactor, || chase.digest().expect("it can be read"));
        assert_eq!(digest, Digest(blake3::hash(&bytes).into()), "{offset}");
    }
}

#[test]
fn a_file_that_shrank_has_no_digest_and_the_loop_hears_why() {
    let mut reactor = Reactor::new().expect("a poll");
    let mut hashing = Hashing::new(1, reactor.waker());
    let chase = hashing.begin(file(b"short"), 6).expect("a thread");
    chase.follow(6);
    let error = wait_for(&mut reactor, || chase.digest().err());
    assert!(error.to_string().contains("shrank"), "{error}");
    assert!(chase.allows(6).is_err());
}

#[test]
fn what_nobody_sends_any_more_is_let_go_of_and_the_threads_end() {
    let reactor: Reactor<()> = Reactor::new().expect("a poll");
    let mut hashing = Hashing::new(2, reactor.waker());
    let hole = tempfile::tempfile().expect("a temporary file");
    // Nobody lives to see the end of it.
    hole.set_len(1 << 42).expect("there is room for a hole");
    let hole = Arc::new(hole);
    for _ in 0..3 {
        let file = Arc::clone(&hole);
        let chase = hashing.begin(file, 1 << 42).expect("a thread");
        chase.follow(1 << 42);
    }
    let threads = mem::take(&mut hashing.threads);
    drop(hashing);
    let (tell, told) = channel();
    thread::spawn(move || {
        for thread in threads {
            thread.join().expect("it doesn't panic");
        }
        tell.send(())
    });
    told.recv_timeout(GUARD).expect("the threads end");
    assert_eq!(Arc::strong_count(&hole), 1);
}
