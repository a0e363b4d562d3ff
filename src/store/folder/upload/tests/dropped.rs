//! Who gives the blocks of an upload back that was given up, and what is kept of it.

use super::*;
use crate::store::folder::Durability;
use crate::store::folder::root::Naming;

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
fn however_many_large_uploads_are_given_up_the_loop_throws_none_away_and_all_are_counted() {
    let bench = Bench::new();
    let large = |_| {
        let mut upload = bench.upload();
        upload.reserve(IN_ORDER_SIZE + 1, KEY).expect("room");
        upload
    };
    let count = || {
        bench
            .queues
            .unclaimed
            .load(std::sync::atomic::Ordering::Relaxed)
    };
    (0..20).map(large).for_each(drop);
    assert_eq!(count(), 20);
    assert_eq!(bench.discards.try_iter().count(), 20);
    assert_eq!(count(), 0, "they are gone");
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

#[test]
fn a_name_that_has_to_be_off_the_disk_is_not_taken_away_by_the_loop() {
    for keeps_links in [true, false] {
        let mut bench = Bench::new();
        let home = bench.home.path();
        let root = Root::open_on(home, Durability::Full, Naming::Partial, None, |_| {
            keeps_links
        });
        bench.root = root.expect("it opens");
        drop(bench.upload());
        assert_eq!(bench.discards.try_recv().is_err(), keeps_links);
    }
}
