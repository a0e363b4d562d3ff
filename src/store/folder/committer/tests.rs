//! What a batch is told, and which numbers its names get.

use super::*;
use std::cell::RefCell;
use std::collections::HashSet;

#[test]
fn whoever_has_a_name_is_told_unknown_where_its_folder_did_not_sync() {
    let home = tempfile::tempdir().expect("a folder");
    let naming = crate::store::folder::root::Naming::Best;
    let durability = crate::store::folder::Durability::Full;
    let root = Root::open(home.path(), durability, naming, None).expect("it opens");
    let receipt = Receipt {
        name: "a".into(),
        size: 0,
        digest: None,
        durable: true,
    };
    let mut results = vec![Ok(Placed::New(receipt)), Err(Error::Exists)];
    let failed = Err(io::Error::from_raw_os_error(5));
    all_or_unknown(&root, failed, &mut results);
    assert!(matches!(
        results[..],
        [Err(Error::Unknown(_)), Err(Error::Exists)]
    ));
    assert!(root.has_failed(), "nothing can be promised any more");
}

#[test]
fn numbers_that_came_free_are_used_again_when_the_others_are_used_up() {
    let mut numbers = Numbers::default();
    let name = Name::parse("a", Default::default()).expect("a good name");
    let tries = RefCell::new(0);
    let taken = RefCell::new(HashSet::new());
    let place = |name: &str| {
        *tries.borrow_mut() += 1;
        let is_new = taken.borrow_mut().insert(name.to_owned());
        if is_new { Ok(()) } else { Err(Error::Exists) }
    };
    for number in 2..TRIES {
        let given = numbers.first_free(&name, place).expect("one is free");
        assert_eq!(given, format!("a ({number})"));
    }
    assert_eq!(*tries.borrow(), TRIES - 2, "none is tried twice");
    assert!(matches!(
        numbers.first_free(&name, place),
        Err(Error::Exists)
    ));
    taken.borrow_mut().remove("a (7)");
    assert_eq!(
        numbers.first_free(&name, place).expect("one is free"),
        "a (7)"
    );
    taken.borrow_mut().clear();
    assert_eq!(
        numbers.first_free(&name, place).expect("all are free"),
        "a (8)"
    );
}
