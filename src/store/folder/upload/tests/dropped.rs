//! Who gives the blocks of an upload back that was given up, and what is kept of it.

use super::*;

#[test]
fn the_blocks_of_a_large_upload_are_given_back_by_a_thread_and_those_of_a_small_one_at_once() {
    let bench = Bench::new();
    for (written, reserved, is_large) in [
        (0, 0, false),
        (IN_ORDER_SIZE, 0, false),
        (IN_ORDER_SIZE + 1, 0, true),
        (0, IN_ORDER_SIZE, false),
        (0, IN_ORDER_SIZE + 1, true),
    ] {
        let mut upload = bench.upload();
        upload.reserve(reserved, KEY).expect("there is room");
        let bytes = vec![1; usize::try_from(written).expect("it fits")];
        upload.write(&bytes).expect("there is room");
        drop(upload);
        let is_told = bench.discards.try_recv().is_ok();
        assert_eq!(is_told, is_large, "{written} of {reserved}");
    }
}

#[test]
fn who_can_hand_nothing_over_gives_the_blocks_back_itself() {
    let bench = Bench::new();
    let large = || {
        let mut upload = bench.upload();
        upload.reserve(IN_ORDER_SIZE + 1, KEY).expect("room");
        upload
    };
    // There is room for one.
    drop((large(), large()));
    assert!(bench.discards.try_recv().is_ok());
    assert!(bench.discards.try_recv().is_err());
}

#[test]
fn the_space_of_an_upload_that_is_given_up_is_anybodys_before_its_blocks_are_free() {
    let (bench, space) = Bench::limited(IN_ORDER_SIZE * 2);
    let mut upload = bench.upload();
    upload.reserve(IN_ORDER_SIZE + 1, KEY).expect("room");
    assert_eq!(space.used(), IN_ORDER_SIZE + 1);
    drop(upload);
    assert_eq!(space.used(), 0);
    assert!(bench.discards.try_recv().is_ok(), "it still has its blocks");
}
