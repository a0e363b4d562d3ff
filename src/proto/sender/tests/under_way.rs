//! What is under way, and how much of it at once.

use super::*;
use crate::proto::announce::{Conflict, Put};
use crate::proto::limits::SKIP_MOST;

#[test]
fn what_is_under_way_is_lost_with_a_connection_wherever_it_stands() {
    let mut asking = sender();
    asking.begin(upload(1, RUN_AHEAD_SIZE + 1, Check::AtEnd), NOW);
    send_all(&mut asking);
    hear(&mut asking, &Reply::Begin { offset: 0 }).unwrap();
    assert_eq!(asking.unanswered(), [1], "its bytes are to be sent");
    send_all(&mut asking);
    assert_eq!(asking.wants_digest(), Some(1));
    hear(&mut asking, &Reply::Ok).unwrap();
    assert_eq!(asking.unanswered(), [1], "its digest is to be sent");
}

#[test]
fn a_digest_that_was_sent_is_known_for_its_own_upload_until_the_receipt() {
    let digest = |byte| Digest([byte; 32]);
    let mut sender = sender();
    for id in [1, 2] {
        let announced = Check::Known(digest(u8::try_from(id).unwrap()));
        sender.begin(upload(id, 3, announced), NOW);
        send_all(&mut sender);
    }
    assert_eq!(sender.sealed(1), Some(digest(1)));
    assert_eq!(sender.sealed(2), Some(digest(2)));
    assert_eq!(sender.sealed(3), None);
}

#[test]
fn no_more_is_sent_ahead_than_the_server_answers_at_once() {
    let mut sender = sender();
    let begun = (1..=1000).take_while(|&id| {
        let has_room = sender.has_room();
        if has_room {
            sender.say(id, "text", NOW);
        }
        has_room
    });
    assert_eq!(begun.count(), SENT_AHEAD_MOST);
    hear(&mut sender, &Reply::Message("text".into())).unwrap();
    assert!(sender.has_room());
}

#[test]
fn no_byte_of_a_body_goes_before_its_header() {
    let mut sender = sender();
    sender.begin(upload(1, 3, Check::None), NOW);
    assert_eq!(sender.body(), None, "the announcement is still to be sent");
    sender.handle_sent(sender.output().len(), NOW);
    assert_eq!(sender.body(), Some((1, 0, 3)));
}

#[test]
fn a_refused_body_is_sent_to_its_end_where_the_server_still_reads_it() {
    for (sent, ends) in [(10, false), (9, true)] {
        let mut sender = sender();
        sender.begin(upload(1, SKIP_MOST + 10, Check::None), NOW);
        send_all_header(&mut sender);
        hear(&mut sender, &Reply::Begin { offset: 0 }).unwrap();
        send_all_header(&mut sender);
        sender.handle_body_sent(sent, NOW);
        hear(&mut sender, &Reply::Fault(Fault::NoSpace)).unwrap();
        assert_eq!(sender.has_ended(), ends, "{sent} bytes were sent");
    }
}

#[test]
fn an_upload_is_being_sent_until_its_last_byte_and_its_digest_are() {
    let mut sender = sender();
    assert!(!sender.is_sending());
    sender.begin(upload(1, 3, Check::AtEnd), NOW);
    assert!(sender.is_sending());
    send_all(&mut sender);
    assert!(sender.is_sending(), "its digest is to follow");
    sender.handle_digest(Digest([1; 32]));
    assert!(!sender.is_sending());
}

#[test]
fn the_answer_to_an_earlier_upload_does_not_begin_a_stream() {
    let mut sender = sender();
    sender.begin(upload(1, 3, Check::None), NOW);
    send_all(&mut sender);
    sender.begin_stream(2, "stream", None, NOW);
    send_all(&mut sender);
    hear(&mut sender, &Reply::Begin { offset: 0 }).unwrap();
    assert_eq!(sender.wants_part(), None, "that was the file's");
    hear(&mut sender, &receipt(3, None)).unwrap();
    hear(&mut sender, &Reply::Begin { offset: 0 }).unwrap();
    assert_eq!(sender.wants_part(), Some(2));
}

#[test]
fn a_stream_has_no_more_parts_unanswered_than_files_may_be() {
    let mut sender = sender();
    sender.begin_stream(1, "stream", Some(Conflict::Rename), NOW);
    let announced = Put::parse(str::from_utf8(&send_all(&mut sender)[3..]).unwrap());
    assert_eq!(announced.unwrap().conflict, Some(Conflict::Rename));
    hear(&mut sender, &Reply::Begin { offset: 0 }).unwrap();
    let mut parts = 0;
    while sender.wants_part().is_some() && parts < 1000 {
        sender.begin_part(1, NOW);
        assert_eq!(sender.body(), None, "its header goes first");
        send_all(&mut sender);
        parts += 1;
    }
    assert_eq!(parts, SENT_AHEAD_MOST);
    hear(&mut sender, &Reply::Ok).unwrap();
    assert_eq!(sender.wants_part(), Some(1));
    sender.begin_part(0, NOW);
    assert!(sender.output().ends_with(&[2, 0]));
    hear(&mut sender, &Reply::Ok).unwrap();
    assert_eq!(
        sender.wants_part(),
        Some(1),
        "an empty part is over at once"
    );
}
