use super::*;
use proptest::prelude::*;
use std::fs::File;

fn space(folder: &tempfile::TempDir, quota: Option<u64>) -> Arc<Space> {
    let folder = File::open(folder.path()).expect("it is there");
    Space::open(folder.into(), quota, None).expect("it is counted")
}

#[test]
fn room_that_others_make_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let full = folder.path().join("full");
    std::fs::write(&full, [1; 100]).expect("it is new");
    let space = space(&folder, Some(100));
    space.ledger().count_after = Instant::now() + Duration::from_secs(3600);
    assert!(space.reserve(1).is_err());
    std::fs::remove_file(full).expect("it is there");
    assert!(space.reserve(1).is_err(), "it is not counted so soon");
    space.ledger().count_after = Instant::now();
    assert!(space.reserve(1).is_err(), "it is counted from now on");
    while space.reserve(100).is_err() {
        thread::yield_now();
    }
    assert_eq!(space.used(), 0);
}

#[test]
fn what_is_stored_while_the_folder_is_counted_is_not_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let space = space(&folder, Some(100));
    let upload = space.reserve(30).expect("it fits");
    space.ledger().counting = true;
    upload.becomes_stored(30);
    space.is_freed(30);
    // This walk has seen nothing of it.
    space.count();
    assert_eq!(space.used(), 30);
}

#[test]
fn what_is_admitted_comes_off_the_free_space_until_the_disk_has_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let space = space(&folder, None);
    let mut one = space.reserve(1000).expect("no limit");
    let mut other = space.reserve(500).expect("no limit");
    assert_eq!(space.ledger().unwritten, 1500);
    one.is_written(400);
    assert_eq!(space.ledger().unwritten, 1100);
    other.is_allocated();
    assert_eq!(space.ledger().unwritten, 600);
    other.grow(700, 800).expect("no limit");
    assert_eq!(space.ledger().unwritten, 900);
    one.becomes_stored(1000);
    drop(other);
    let ledger = space.ledger();
    assert_eq!((ledger.unwritten, ledger.reserved), (0, 0));
}

proptest! {
    #[test]
    fn whatever_uploads_do_the_quota_holds_and_nothing_leaks(
        steps in prop::collection::vec((0u8..5, 0usize..8, 0u64..500, 0u64..500), 1..100),
    ) {
        const QUOTA: u64 = 1000;
        let folder = tempfile::tempdir().expect("a folder");
        let space = space(&folder, Some(QUOTA));
        let mut open = Vec::new();
        let mut stored = 0;
        for (what, which, some, more) in steps {
            let which = if open.is_empty() { 0 } else { which % open.len() };
            match what {
                0 => {
                    let held: u64 = open.iter().map(|one: &Reservation| one.bytes).sum();
                    let reserved = space.reserve(some);
                    prop_assert_eq!(reserved.is_ok(), stored + held + some <= QUOTA);
                    open.extend(reserved.ok());
                }
                _ if open.is_empty() => {}
                1 => {
                    let bytes = open[which].bytes;
                    if let Ok(now) = open[which].grow(bytes + some, bytes + some + more) {
                        prop_assert!((bytes + some..=bytes + some + more).contains(&now));
                    }
                }
                2 => drop(open.swap_remove(which)),
                3 => {
                    let upload = open.swap_remove(which);
                    // A stream may have taken more in advance than it needed.
                    let size = upload.bytes.saturating_sub(some);
                    upload.becomes_stored(size);
                    stored += size;
                }
                _ => open[which].is_written(some),
            }
            let held: u64 = open.iter().map(|one| one.bytes).sum();
            prop_assert_eq!(space.used(), stored + held);
            prop_assert!(space.used() <= QUOTA);
            let unwritten: u64 = open.iter().map(|one| one.unwritten).sum();
            prop_assert_eq!(space.ledger().unwritten, unwritten);
        }
        open.clear();
        prop_assert_eq!(space.used(), stored);
    }
}
