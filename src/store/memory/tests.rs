//! Files in memory: each policy, and uploads that are gone on with.

use super::*;
use crate::proto::Name;

const KEY: Key = Key {
    connection: 0,
    ticket: 0,
};

fn store(memory: &mut MemoryStore, order: &Order, bytes: &[u8]) -> Result<Receipt, Error> {
    let Opening::Open(mut upload) = memory.begin(order, KEY)? else {
        panic!("nothing to look at")
    };
    memory.write(&mut upload, bytes)?;
    memory.commit(
        upload,
        Seal {
            size: bytes.len() as u64,
            digest: order.digest,
        },
        KEY,
    );
    match memory.poll_done() {
        Some(Done::Stored(_, stored)) => stored,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_policy_does_what_it_says() {
    let mut memory = MemoryStore::new();
    let name = Name::parse("a.txt", Default::default()).ok();
    let mut order = Order {
        name,
        ..Order::default()
    };
    assert_eq!(
        store(&mut memory, &order, b"1").expect("stored").name,
        "a.txt"
    );
    assert!(matches!(
        store(&mut memory, &order, b"2"),
        Err(Error::Exists)
    ));
    order.conflict = Conflict::Rename;
    assert_eq!(
        store(&mut memory, &order, b"3").expect("stored").name,
        "a (2).txt"
    );
    order.conflict = Conflict::Overwrite;
    assert_eq!(
        store(&mut memory, &order, b"4").expect("stored").name,
        "a.txt"
    );
    assert_eq!(memory.files().get("a.txt").as_deref(), Some(&b"4"[..]));
    let unnamed = store(&mut memory, &Order::default(), b"5")
        .expect("stored")
        .name;
    assert!(
        unnamed.len() == 12 && unnamed.ends_with(".bin"),
        "{unnamed}"
    );
    assert_eq!(memory.files().names().len(), 3);
}

fn resumable(name: &str, size: u64) -> Order {
    Order {
        name: Name::parse(name, Default::default()).ok(),
        size: Some(size),
        upload: UploadId::parse("id"),
        ..Order::default()
    }
}

fn resume(memory: &mut MemoryStore, order: &Order) -> (MemoryUpload, u64) {
    match memory.begin(order, KEY) {
        Ok(Opening::Resumed(upload, offset)) => (upload, offset),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_upload_is_gone_on_with_from_where_it_was_left_or_taken_over() {
    let mut memory = MemoryStore::new();
    let order = resumable("a", 6);
    let (mut first, offset) = resume(&mut memory, &order);
    assert_eq!(offset, 0);
    memory.write(&mut first, b"12").expect("room");
    drop(first);
    let (mut second, offset) = resume(&mut memory, &order);
    assert_eq!(offset, 2);
    memory.write(&mut second, b"34").expect("room");
    let (mut third, offset) = resume(&mut memory, &order);
    assert_eq!(offset, 4);
    assert!(second.is_taken() && memory.taken(&third).is_none());
    assert!(matches!(memory.write(&mut second, b"x"), Err(Error::Taken)));
    memory.discard(second);
    memory.write(&mut third, b"56").expect("room");
    memory.commit(
        third,
        Seal {
            size: 6,
            digest: None,
        },
        KEY,
    );
    assert_eq!(memory.files().get("a").as_deref(), Some(&b"123456"[..]));
    order_is_forgotten(&mut memory);
}

fn order_is_forgotten(memory: &mut MemoryStore) {
    assert!(matches!(
        memory.begin(&resumable("a", 6), KEY),
        Err(Error::Exists)
    ));
    assert_eq!(resume(memory, &resumable("b", 7)).1, 0);
}

#[test]
fn another_name_or_size_is_another_upload_and_refused() {
    let mut memory = MemoryStore::new();
    drop(resume(&mut memory, &resumable("a", 6)));
    for (order, what) in [(resumable("b", 6), "name"), (resumable("a", 7), "size")] {
        match memory.begin(&order, KEY) {
            Err(Error::Differs(why)) => assert!(why.contains(what), "{why}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_upload_that_was_taken_over_is_not_stored_by_whoever_had_it_before() {
    let mut memory = MemoryStore::new();
    let woken = Arc::new(Mutex::new(0));
    let wakes = Arc::clone(&woken);
    memory.set_wake(Box::new(move || *lock(&wakes) += 1));
    let order = resumable("a", 2);
    let (mut first, _) = resume(&mut memory, &order);
    memory.write(&mut first, b"12").expect("room");
    let (second, offset) = resume(&mut memory, &order);
    assert_eq!((offset, memory.taken(&first)), (2, Some(u64::MAX)));
    let seal = |digest| Seal { size: 2, digest };
    while memory.poll_done().is_some() {}
    memory.commit(first, seal(None), KEY);
    let lost = memory.poll_done();
    assert!(matches!(lost, Some(Done::Stored(KEY, Err(Error::Taken)))));
    // And with another digest it is stored by nobody.
    memory.commit(second, seal(Some(Digest([1; 32]))), KEY);
    let wrong = memory.poll_done();
    assert!(matches!(wrong, Some(Done::Stored(KEY, Err(Error::Digest)))));
    assert_eq!(memory.files().names(), [""; 0]);
    assert_eq!(*lock(&woken), 4, "for two beginnings and two ends");
}

#[test]
fn the_same_bytes_are_no_conflict_and_what_is_of_no_use_here_does_nothing() {
    let mut memory = MemoryStore::new();
    let order = |bytes: &[u8]| Order {
        name: Name::parse("a", Default::default()).ok(),
        digest: Some(Digest(blake3::hash(bytes).into())),
        ..Order::default()
    };
    for _ in 0..2 {
        let receipt = store(&mut memory, &order(b"same"), b"same").expect("stored");
        assert_eq!(receipt.name, "a");
    }
    let other = store(&mut memory, &order(b"else"), b"else");
    assert!(matches!(other, Err(Error::Exists)));
    let Ok(Opening::Open(mut upload)) = memory.begin(&Order::default(), KEY) else {
        panic!("nothing to look at")
    };
    assert!(matches!(
        memory.reserve(&mut upload, u64::MAX, KEY),
        Ok(Reserved::Now)
    ));
    memory.set_sender(&mut upload, &"192.0.2.1:1");
    memory.hear_taken(&mut upload);
    assert_eq!(memory.taken(&upload), None);
    memory.flush();
    memory.discard(upload);
    assert_eq!(format!("{memory:?}"), "MemoryStore { files: [\"a\"], .. }");
}
