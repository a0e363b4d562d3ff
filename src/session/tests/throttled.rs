//! Sessions whose rate is limited: who waits for a turn, and who is blamed for what.

use super::*;

#[test]
fn who_is_held_back_by_the_rate_is_neither_blamed_nor_forgotten() {
    for splicing in [Splicing::Never, Splicing::Always] {
        let mut bench = Bench::new();
        bench.splice = Splice::new(splicing);
        bench.throttle = Some(Throttle::new(80_000, NOW));
        bench.peer.write_all(&[3, 0x40, 0x9c]).expect("room");
        bench.peer.write_all(&[7; 40_000]).expect("room");
        assert_eq!(bench.event(), Visit::Wait(None));
        let mut read = 10_000 - 3;
        while read < 40_000 {
            assert_eq!(bench.counters.body_bytes.get(), read);
            // No event comes for what is there already, and every deadline has passed by now.
            bench.now = bench.now + Duration::from_secs(3600);
            assert_eq!(bench.visit(), Visit::Wait(None));
            assert_eq!(bench.counters.body_bytes.get(), read);
            let throttle = bench.throttle.as_mut().expect("there is one");
            assert_eq!(throttle.poll_turn(bench.now), Some(Token::from_raw(1)));
            read += 10_000;
            bench.visit();
        }
        bench.commit_all();
        bench.visit();
        assert_eq!(bench.replies(), ["OK"], "{splicing:?}");
    }
}

#[test]
fn the_wait_for_a_turn_is_nobodys_standstill() {
    let mut bench = Bench::new();
    bench.throttle = Some(Throttle::new(80_000, NOW));
    bench.peer.write_all(&[3, 0xff, 0xff]).expect("room");
    bench.peer.write_all(&[7; 20_000 - 3]).expect("room");
    assert_eq!(bench.event(), Visit::Wait(None));
    for has_more in [true, false] {
        bench.now = bench.now + Duration::from_secs(3600);
        let throttle = bench.throttle.as_mut().expect("there is one");
        assert_eq!(throttle.poll_turn(bench.now), Some(Token::from_raw(1)));
        // Once there is nothing more, that has just begun to be waited for.
        assert_eq!(bench.visit() == Visit::Wait(None), has_more);
        assert!(bench.replies().is_empty());
    }
    bench.now = bench.now + Duration::from_secs(3600);
    bench.visit();
    assert_eq!(bench.replies(), ["ERR timeout"]);
}

#[test]
fn a_peer_that_sends_nothing_is_blamed_at_any_rate() {
    let mut bench = Bench::new();
    bench.throttle = Some(Throttle::new(80_000, NOW));
    bench
        .peer
        .write_all(&[3, 0x40, 0x9c, 1, 2, 3])
        .expect("room");
    assert!(matches!(bench.event(), Visit::Wait(Some(_))));
    bench.now = bench.now + Duration::from_secs(3600);
    bench.visit();
    assert_eq!(bench.replies(), ["ERR timeout"]);
}

/// The end of a connection that was refused, to which the peer pays no attention.
#[test]
fn a_peer_that_sends_for_ever_after_the_last_reply_is_let_go_at_any_rate() {
    let mut bench = Bench::new();
    bench.throttle = Some(Throttle::new(80_000, NOW));
    bench.peer.write_all(&[0xff; 20_000]).expect("room");
    bench.event();
    assert_eq!(bench.replies(), ["ERR bad-type"]);
    for seconds in (3..30).step_by(3) {
        bench.now = NOW + Duration::from_secs(seconds);
        let throttle = bench.throttle.as_mut().expect("there is one");
        assert_eq!(throttle.poll_turn(bench.now), Some(Token::from_raw(1)));
        bench.peer.write_all(&[0xff; 10_000]).expect("room");
        assert!(matches!(bench.visit(), Visit::Wait(Some(_))), "{seconds} s");
    }
    bench.now = NOW + Duration::from_secs(30);
    assert_eq!(bench.visit(), Visit::Close, "though it stands in line");
}

#[test]
fn the_rest_of_a_refused_body_is_excused_for_its_wait_and_the_next_message_is_served() {
    let mut bench = Bench::new();
    bench.throttle = Some(Throttle::new(80_000, NOW));
    bench.store.full_after = Some(3);
    bench.peer.write_all(&[3, 0x40, 0x9c]).expect("room");
    bench.peer.write_all(&[7; 40_000]).expect("room");
    bench.event();
    bench.store.full_after = None;
    bench.peer.write_all(b"\x02\x02ok").expect("room");
    for _ in 0..4 {
        bench.now = bench.now + Duration::from_secs(3600);
        assert_eq!(bench.visit(), Visit::Wait(None));
        let throttle = bench.throttle.as_mut().expect("there is one");
        assert_eq!(throttle.poll_turn(bench.now), Some(Token::from_raw(1)));
        bench.visit();
    }
    bench.commit_all();
    bench.visit();
    assert_eq!(bench.replies(), ["ERR no-space", "OK"]);
}
