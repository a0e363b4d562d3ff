//! What each message leads to.

use super::*;

fn statuses(rules: Rules, messages: &[Vec<u8>]) -> Vec<String> {
    let mut rig = Rig::new(rules);
    rig.feed(&messages.concat());
    rig.statuses()
}

#[test]
fn a_name_is_answered_with_two_bytes_and_its_data_with_a_receipt() {
    let mut rig = Rig::new(rules());
    rig.feed(&[string("a"), data(b"12345")].concat());
    assert_eq!(
        rig.replies(),
        ["OK", "OK\nname=stored\nsize=5\ndurable=yes"]
    );
    assert!(rig.log.contains(&Event::Reserve(5)));
    assert!(rig.log.contains(&Event::Commit(Seal {
        size: 5,
        digest: None
    })));
}

#[test]
fn a_refused_name_answers_for_its_data_until_another_name_comes() {
    let refused = statuses(
        rules(),
        &[
            string("taken"),
            data(b"1"),
            data(b"22"),
            end(End::default()),
            string("a"),
            data(b"3"),
        ],
    );
    assert_eq!(
        refused,
        [
            "ERR exists",
            "ERR exists",
            "ERR exists",
            "ERR exists",
            "OK",
            "OK"
        ]
    );
    let unreadable = statuses(
        rules(),
        &[message(Kind::String, b"\xff"), data(b"1"), data(b"")],
    );
    assert_eq!(unreadable, ["ERR bad-text"; 3]);
}

#[test]
fn an_upload_with_an_end_of_its_own_takes_any_number_of_parts() {
    let mut rig = Rig::new(rules());
    let parts = [
        put(&explicit("a")),
        data(b"1"),
        data(b"23"),
        end(End::default()),
    ];
    rig.feed(&parts.concat());
    assert_eq!(rig.statuses(), ["OK", "OK", "OK", "OK"]);
    assert!(rig.log.contains(&Event::Commit(Seal {
        size: 3,
        digest: None
    })));
}

#[test]
fn an_end_that_says_something_else_than_was_stored_keeps_nothing() {
    let digest = |byte| Some(Digest([byte; 32]));
    let announced = Put {
        digest: digest(1),
        ..explicit("a")
    };
    let sized = Put {
        size: Some(2),
        ..explicit("a")
    };
    for (announced, said) in [
        (
            explicit("a"),
            End {
                size: Some(2),
                digest: None,
            },
        ),
        (sized, End::default()),
        (
            announced,
            End {
                size: None,
                digest: digest(2),
            },
        ),
        (
            explicit("a"),
            End {
                size: None,
                digest: digest(0xbd),
            },
        ),
    ] {
        let last = statuses(rules(), &[put(&announced), data(b"1"), end(said)]).pop();
        assert_eq!(
            last.as_deref(),
            Some("ERR digest"),
            "{announced:?} {said:?}"
        );
    }
}

#[test]
fn a_digest_that_is_said_twice_and_alike_is_no_contradiction() {
    let announced = Put {
        digest: Some(Digest([1; 32])),
        ..explicit("a")
    };
    let said = End {
        size: Some(1),
        digest: announced.digest,
    };
    let statuses = statuses(rules(), &[put(&announced), data(b"1"), end(said)]);
    assert_eq!(statuses, ["OK", "OK", "OK"]);
}

#[test]
fn what_comes_at_the_wrong_time_is_a_bad_state_and_the_connection_goes_on() {
    let sized = |size| Put {
        size: Some(size),
        ..announced("a")
    };
    for (what, messages) in [
        ("END without an upload", vec![end(End::default())]),
        (
            "END of an upload without end=explicit",
            vec![string("a"), end(End::default())],
        ),
        (
            "DATA shorter than the PUT said",
            vec![put(&sized(3)), data(b"12")],
        ),
        (
            "DATA longer than the PUT said",
            vec![put(&sized(1)), data(b"12")],
        ),
        (
            "more parts than the PUT said",
            vec![
                put(&Put {
                    size: Some(1),
                    ..explicit("a")
                }),
                data(b"1"),
                data(b"2"),
            ],
        ),
    ] {
        let messages = [messages, vec![string("b"), data(b"good")]].concat();
        let statuses = statuses(rules(), &messages);
        assert!(
            statuses.contains(&"ERR bad-state".to_owned()),
            "{what}: {statuses:?}"
        );
        assert_eq!(statuses[statuses.len() - 2..], ["OK", "OK"], "{what}");
    }
}

#[test]
fn a_client_may_not_ask_for_more_destruction_than_the_server_allows() {
    let asking = |conflict| {
        put(&Put {
            conflict: Some(conflict),
            ..announced("a")
        })
    };
    let strict = rules();
    let lax = Rules {
        conflict: Conflict::Overwrite,
        ..rules()
    };
    assert_eq!(
        statuses(strict, &[asking(Conflict::Overwrite)]),
        ["ERR bad-state"]
    );
    assert_eq!(statuses(strict, &[asking(Conflict::Rename)]), ["OK"]);
    assert_eq!(statuses(lax, &[asking(Conflict::Overwrite)]), ["OK"]);
}

#[test]
fn a_file_that_is_there_already_needs_no_bytes_and_a_pipelined_body_is_taken_all_the_same() {
    let there = Put {
        digest: Some(Digest([7; 32])),
        size: Some(5),
        ..announced("there")
    };
    let mut rig = Rig::new(rules());
    rig.feed(&[put(&there), data(b"")].concat());
    assert_eq!(rig.replies()[0], "OK\noffset=5");
    assert!(rig.replies()[1].starts_with("OK\nname=there\nsize=5\nblake3=0707"));

    let mut rig = Rig::new(rules());
    rig.feed(&[put(&there), data(b"12345")].concat());
    assert_eq!(rig.statuses(), ["OK", "OK"]);
    assert!(rig.log.contains(&Event::Commit(Seal {
        size: 5,
        digest: there.digest
    })));

    let explicit = Put {
        explicit_end: true,
        ..there
    };
    let done = End {
        size: Some(5),
        digest: None,
    };
    let replies = statuses(rules(), &[put(&explicit), data(b""), end(done)]);
    assert_eq!(replies, ["OK", "OK", "OK"]);
    let replies = statuses(
        rules(),
        &[
            put(&explicit),
            end(End {
                size: Some(6),
                digest: None,
            }),
        ],
    );
    assert_eq!(replies, ["OK", "ERR digest"]);
    let never_said = Put {
        explicit_end: false,
        ..explicit
    };
    let replies = statuses(rules(), &[put(&never_said), end(done), data(b"")]);
    assert_eq!(replies, ["OK", "ERR bad-state", "OK"]);
}

#[test]
fn the_store_is_told_the_policy_that_holds_for_each_upload() {
    let renaming = Rules {
        conflict: Conflict::Rename,
        ..rules()
    };
    let strict = Put {
        conflict: Some(Conflict::Error),
        ..announced("c")
    };
    let mut rig = Rig::new(renaming);
    rig.feed(&[data(b"1"), string("a"), put(&announced("b")), put(&strict)].concat());
    let told = rig.log.iter().filter_map(|event| match event {
        Event::Begin(order) => Some((order.name.as_ref().map(Name::as_str), order.conflict)),
        _ => None,
    });
    let told: Vec<_> = told.collect();
    let expected = [
        (None, Conflict::Rename),
        (Some("a"), Conflict::Rename),
        (Some("b"), Conflict::Rename),
        (Some("c"), Conflict::Error),
    ];
    assert_eq!(told, expected);
}

#[test]
fn space_is_reserved_once_for_each_size_that_becomes_known() {
    let sized = Put {
        size: Some(2),
        ..announced("a")
    };
    let mut rig = Rig::new(rules());
    rig.feed(&[put(&sized), data(b"12"), string("b"), data(b"123")].concat());
    assert_eq!(rig.statuses(), ["OK"; 4]);
    let reserved = rig.log.iter().filter_map(|event| match event {
        Event::Reserve(total) => Some(*total),
        _ => None,
    });
    // With an announced size, the store reserves when it begins.
    assert_eq!(reserved.collect::<Vec<_>>(), [3]);
}

#[test]
fn the_longest_body_that_is_skipped_keeps_the_connection_and_one_byte_more_ends_it() {
    use crate::proto::limits::SKIP_MOST;
    for (length, wanted) in [
        (SKIP_MOST, Want::Discard(SKIP_MOST)),
        (SKIP_MOST + 1, Want::Discard(u64::MAX)),
    ] {
        let mut header = Vec::new();
        header::write(Kind::data_for(length), length, &mut header);
        let mut rig = Rig::new(rules());
        rig.feed(&[string("taken"), header].concat());
        assert_eq!(rig.statuses(), ["ERR exists", "ERR exists"]);
        assert_eq!(rig.machine.want(), wanted, "{length}");
        rig.machine.handle_moved(SKIP_MOST, rig.now);
        rig.settle();
        rig.feed(&string("a"));
        assert_eq!(rig.replies().len() == 3, length == SKIP_MOST);
    }
}

#[test]
fn a_file_that_was_there_and_is_gone_gets_no_receipt() {
    let gone = Put {
        digest: Some(Digest([7; 32])),
        size: Some(5),
        ..announced("fleeting")
    };
    let mut rig = Rig::new(rules());
    rig.feed(&[put(&gone), data(b"")].concat());
    assert_eq!(rig.statuses(), ["OK", "ERR bad-state"]);
    assert!(!rig.open);
    let explicit = Put {
        explicit_end: true,
        ..gone
    };
    let mut rig = Rig::new(rules());
    rig.feed(&[put(&explicit), end(End::default())].concat());
    assert_eq!(rig.statuses(), ["OK", "ERR bad-state"]);
}

#[test]
fn no_length_makes_the_arithmetic_wrap() {
    let mut rig = Rig::new(rules());
    let huge = [&[9][..], &u64::MAX.to_le_bytes()].concat();
    rig.feed(&huge);
    assert_eq!(rig.statuses(), ["ERR no-space"]);
    let mut rig = Rig::new(rules());
    rig.feed(&[put(&explicit("a")), data(b"1"), huge].concat());
    assert_eq!(rig.statuses()[2], "ERR bad-state");
    assert!(
        rig.log.contains(&Event::FinishSending),
        "nobody waits for 2^64 bytes"
    );
}

#[test]
fn too_large_goes_on_where_the_rest_is_short_and_closes_where_it_is_not() {
    let limited = Rules {
        max_size: Some(4),
        ..rules()
    };
    let sized = Put {
        size: Some(5),
        ..announced("a")
    };
    let small = statuses(limited, &[put(&sized), data(b"12345"), data(b"1")]);
    assert_eq!(small, ["ERR too-large", "ERR too-large", "ERR too-large"]);
    let unnamed = statuses(limited, &[data(b"12345"), data(b"1234")]);
    assert_eq!(unnamed, ["ERR too-large", "OK"]);
    let mut rig = Rig::new(limited);
    rig.feed(&[9, 0, 0, 0, 0, 1, 0, 0, 0, 42]);
    assert_eq!(rig.replies().len(), 1);
    assert!(
        rig.replies()[0].ends_with("\nlimit=4"),
        "{:?}",
        rig.replies()
    );
    assert_eq!(rig.log.last(), Some(&Event::FinishSending));
}

#[test]
fn a_file_may_be_as_large_as_the_limit_says() {
    let limited = Rules {
        max_size: Some(4),
        ..rules()
    };
    let sized = Put {
        size: Some(4),
        ..announced("a")
    };
    let exact = statuses(limited, &[put(&sized), data(b"1234")]);
    assert_eq!(exact, ["OK", "OK"]);
}

#[test]
fn a_stream_without_a_length_is_refused_where_it_is_not_asked_for() {
    let mut rig = Rig::new(rules());
    rig.feed(b"\x0a1234");
    assert_eq!(rig.statuses(), ["ERR bad-type"]);
    assert_eq!(rig.log.last(), Some(&Event::FinishSending));
}

#[test]
fn a_stream_of_unknown_length_may_reach_the_limit_but_not_pass_it() {
    let limited = Rules {
        max_size: Some(4),
        accept_eof: true,
        ..rules()
    };
    let mut rig = Rig::new(limited);
    rig.feed(b"\x0a1234");
    rig.end();
    assert_eq!(rig.statuses(), ["OK"]);
    rig.end();
    assert_eq!(rig.log.last(), Some(&Event::Closed));

    let mut rig = Rig::new(limited);
    rig.feed(b"\x0a12345");
    assert_eq!(rig.statuses(), ["ERR too-large"]);
    assert!(rig.log.contains(&Event::Discard));
}

#[test]
fn messages_are_shown_and_sent_back_and_uploads_work_beside_them() {
    let talking = Rules {
        strings: crate::proto::Strings::Message,
        ..rules()
    };
    let mut rig = Rig::new(talking);
    rig.feed(
        &[
            string("hello"),
            message(Kind::String, b"\xff"),
            string(""),
            data(b"1"),
        ]
        .concat(),
    );
    assert_eq!(rig.replies()[0], "Message: hello");
    assert_eq!(rig.statuses()[1..], ["ERR bad-text", "Message: ", "OK"]);
    assert!(rig.log.contains(&Event::Show("hello".into())));
}
