//! Uploads that go on from where an earlier try has left off.

use super::*;

const SIZE: u64 = RUN_AHEAD_SIZE + 5000;

fn resumable(digest: Check) -> Upload {
    Upload {
        resume: UploadId::parse("an-id"),
        ..upload(1, SIZE, digest)
    }
}

/// A sender whose upload the server takes from this offset on, and its events.
fn resumed(digest: Check, offset: u64) -> (Sender, Vec<Event>) {
    let mut sender = sender();
    sender.begin(resumable(digest), NOW);
    let put = String::from_utf8(send_all(&mut sender)[3..].to_vec()).expect("it is text");
    assert!(put.contains("\nupload=an-id\n"), "{put}");
    hear(&mut sender, &Reply::Begin { offset }).expect("it is a good answer");
    let events = events(&mut sender);
    (sender, events)
}

#[test]
fn nothing_but_the_digest_follows_where_the_server_has_every_byte() {
    let (mut sender, events) = resumed(Check::AtEnd, SIZE);
    assert_eq!(events, [Event::Resumed(1, SIZE)]);
    assert_eq!(send_all(&mut sender), b"\x02\x00");
    assert_eq!(sender.wants_digest(), Some(1));
    assert_eq!(sender.sealed(1), None);
    sender.handle_digest(Digest([1; 32]));
    assert_eq!(sender.sealed(1), Some(Digest([1; 32])));
}

#[test]
fn a_digest_that_takes_long_is_waited_for_with_signs_of_life() {
    let (mut sender, _) = resumed(Check::AtEnd, SIZE);
    send_all(&mut sender);
    sender.keep_alive(NOW);
    assert_eq!(send_all(&mut sender), b"\x02\x00");
    // A server that answers none of them is not flooded.
    for _ in 0..100 {
        sender.keep_alive(NOW);
        send_all(&mut sender);
    }
    sender.handle_digest(Digest([1; 32]));
    for _ in 0..SENT_AHEAD_MOST {
        hear(&mut sender, &Reply::Ok).expect("each part is answered");
    }
    hear(&mut sender, &receipt(SIZE, Some(Digest([1; 32])))).expect("and so is the end");
    assert!(sender.is_idle());
}

proptest! {
    /// From whatever offset it goes on, and however little the socket takes at a time, what is
    /// sent is the rest of the file and no byte more, in its order.
    #[test]
    fn what_is_sent_is_the_rest_of_the_file(
        offset in 0..=SIZE,
        steps in proptest::collection::vec(1..200_000_u64, 1..20),
    ) {
        let (mut sender, events) = resumed(Check::AtEnd, offset);
        prop_assert_eq!(events, if offset == 0 { vec![] } else { vec![Event::Resumed(1, offset)] });
        let mut header = Vec::new();
        header::write(Kind::data_for(SIZE - offset), SIZE - offset, &mut header);
        prop_assert_eq!(sender.output(), &header[..]);
        let length = header.len();
        sender.handle_sent(length, NOW);
        let mut at = offset;
        let mut steps = steps.into_iter().cycle();
        while let Some((id, from, left)) = sender.body() {
            prop_assert_eq!((id, from, left), (1, at, SIZE - at));
            let step = steps.next().unwrap_or(1).min(left);
            sender.handle_body_sent(step, NOW);
            at += step;
        }
        prop_assert_eq!(at, SIZE);
        sender.handle_digest(Digest([3; 32]));
        let end = String::from_utf8(send_all(&mut sender)[3..].to_vec()).expect("it is text");
        prop_assert_eq!(end, format!("size={SIZE}\nblake3={}\n", Digest([3; 32])));
    }
}
