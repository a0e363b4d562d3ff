//! Bodies that are spliced: what of them the store takes, and what becomes of the rest.

use super::made_up::receiver;
use super::*;
use crate::net::{Duplex, Pipe};

/// A session whose bodies are always spliced, where that is possible, with the first bytes of a
/// message of six on their way.
fn begun() -> Bench {
    let mut bench = Bench::new();
    bench.splice = Splice::new(Splicing::Always);
    bench.peer.write_all(b"\x02\x06").expect("room");
    bench.event();
    bench
}

/// What is stored under the one name that there is.
fn stored<T: Duplex>(bench: &mut Bench<Receiver, T>) -> Option<Vec<u8>> {
    bench.commit_all();
    bench.event();
    let names = bench.files.names();
    bench.files.get(names.first()?)
}

#[test]
fn a_body_that_is_spliced_in_pieces_is_whole_and_the_pipe_is_used_again() {
    for splices in [&[6][..], &[1, 2, 3], &[4, 9]] {
        let mut bench = begun();
        bench.store.splices = splices.iter().copied().collect();
        bench.peer.write_all(b"123456").expect("room");
        bench.event();
        assert_eq!(stored(&mut bench).as_deref(), Some(&b"123456"[..]));
        assert_eq!(bench.replies(), ["OK"]);
        let counts = bench.counters.snapshot();
        assert_eq!((counts.spliced_bytes, counts.body_bytes), (6, 6));
        assert!(bench.splice.pipe.is_some());
        assert_eq!(bench.splice.splicing, Splicing::Always);
    }
}

#[test]
fn where_the_store_can_not_splice_the_rest_is_copied_and_nothing_is_spliced_any_more() {
    for splices in [&[][..], &[4]] {
        let mut bench = begun();
        bench.store.splices = splices.iter().copied().collect();
        bench.peer.write_all(b"123456").expect("room");
        bench.event();
        assert_eq!(stored(&mut bench).as_deref(), Some(&b"123456"[..]));
        assert_eq!(bench.replies(), ["OK"]);
        let counts = bench.counters.snapshot();
        let spliced = splices.iter().sum::<usize>() as u64;
        assert_eq!((counts.spliced_bytes, counts.body_bytes), (spliced, 6));
        assert_eq!(bench.splice.splicing, Splicing::Never);
    }
}

#[test]
fn a_pipe_with_bytes_in_it_that_the_store_could_not_take_is_thrown_away() {
    for (taken, is_left) in [(&[2, 2][..], true), (&[][..], false)] {
        let mut bench = begun();
        bench.store.splices = taken.iter().copied().collect();
        bench.store.full_after = Some(2);
        bench.peer.write_all(b"123456").expect("room");
        bench.event();
        // The next file's bytes are its own.
        bench.store.full_after = None;
        bench.peer.write_all(b"\x02\x02ab").expect("room");
        bench.event();
        assert_eq!(bench.replies(), ["ERR no-space"]);
        assert_eq!(stored(&mut bench).as_deref(), Some(&b"ab"[..]));
        assert_eq!(bench.replies(), ["OK"]);
        assert_eq!(bench.store.discarded, 1);
        assert_eq!(bench.splice.splicing == Splicing::Always, is_left);
    }
}

#[test]
fn a_body_that_ends_too_soon_is_cut_off_when_it_is_spliced_too() {
    let mut bench = begun();
    bench.store.splices = [9; 2].into();
    bench.peer.write_all(b"123").expect("room");
    bench.event();
    bench
        .peer
        .shutdown(std::net::Shutdown::Write)
        .expect("a pair");
    bench.event();
    assert_eq!(bench.replies(), ["ERR incomplete"]);
    assert!(stored(&mut bench).is_none());
}

#[test]
fn a_stream_that_can_not_be_spliced_from_is_read() {
    let mut bench = Bench::reading(receiver(), [Ok(b"\x02\x06"), Ok(b"123456")]);
    bench.splice = Splice::new(Splicing::Always);
    for _ in 0..2 {
        bench.event();
    }
    assert_eq!(stored(&mut bench).as_deref(), Some(&b"123456"[..]));
    assert_eq!(bench.splice.splicing, Splicing::Never);
    assert_eq!(bench.counters.snapshot().spliced_bytes, 0);
}

#[test]
fn only_what_is_large_enough_is_spliced_where_nothing_else_was_said() {
    for (splicing, least) in [(Splicing::Auto, FROM_HALF_A_MIB), (Splicing::Always, 1)] {
        let splice = Splice::new(splicing);
        assert!(
            !splice.fits(least - 1) && splice.fits(least),
            "{splicing:?}"
        );
    }
    assert!(!Splice::new(Splicing::Never).fits(u64::MAX));
}

/// As the flag's help says.
const FROM_HALF_A_MIB: u64 = 512 << 10;

#[test]
fn an_empty_pipe_is_no_bytes() {
    let mut pipe = Pipe::new().expect("a descriptor");
    let stream = |stream| crate::net::Stream::Unix(stream);
    let (ours, mut theirs) = UnixStream::pair().expect("a pair");
    theirs.write_all(b"12").expect("room");
    assert_eq!(pipe.fill(&stream(ours), 9).expect("bytes"), Some(2));
    let mut bytes = [0; 2];
    pipe.read(&mut bytes).expect("they are there");
    assert_eq!(&bytes, b"12");
    pipe.read(&mut bytes).expect_err("there are no more");
}
