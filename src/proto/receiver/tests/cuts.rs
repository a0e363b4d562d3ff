//! The same bytes, cut anywhere, mean the same.

use super::*;
use proptest::prelude::*;

/// Everything that the machine did with a session that came in these pieces.
fn events(rules: Rules, session: &[u8], cuts: &[usize]) -> (Vec<Event>, usize) {
    let mut rig = Rig::new(rules);
    let mut from = 0;
    let mut unwanted = 0;
    for cut in cuts.iter().copied().chain([session.len()]) {
        let piece = &session[from..cut];
        unwanted += if unwanted == 0 {
            rig.feed(piece).len()
        } else {
            piece.len()
        };
        from = cut;
    }
    if unwanted == 0 {
        rig.end();
    }
    // Pieces in which replies left, or in which bytes were stored, are joined: those of the
    // socket's other direction depend on nothing but the order.
    let mut joined: Vec<Event> = Vec::new();
    for event in rig.log {
        match (joined.last_mut(), event) {
            (Some(Event::Sent(before)), Event::Sent(more)) => before.extend(more),
            (_, event) => joined.push(event),
        }
    }
    (joined, unwanted)
}

/// A session with every kind of message, good and refused.
fn session() -> Vec<u8> {
    [
        string("a.txt"),
        data(b"hello"),
        data(b"unnamed"),
        string("taken"),
        data(b"skipped"),
        string("../x"),
        put(&Put {
            size: Some(3),
            ..announced("b")
        }),
        data(b"abc"),
        put(&explicit("c")),
        data(b"1"),
        data(b""),
        end(End {
            size: Some(1),
            digest: None,
        }),
        message(Kind::End, b"nonsense"),
        put(&announced("breaks")),
        data(b"too much"),
        put(&resumable("left")),
        data(b"3456"),
        put(&resumable("left")),
        data(b"not four"),
        string("\u{fffd}"),
        data(b""),
    ]
    .concat()
}

#[test]
fn every_cut_and_every_pair_of_cuts_of_a_session_gives_the_same_events() {
    let session = session();
    let (whole, unwanted) = events(rules(), &session, &[]);
    assert_eq!(unwanted, 0);
    assert!(whole.len() > 30, "{whole:?}");
    for first in 0..=session.len() {
        for second in first..=session.len() {
            let cut = events(rules(), &session, &[first, second]);
            assert_eq!(cut, (whole.clone(), 0), "cut at {first} and {second}");
        }
    }
}

#[test]
fn every_subset_of_cuts_of_every_header_gives_the_same_events() {
    for width in 1..=8u8 {
        let mut session = vec![width + 1, 3];
        session.extend(vec![0; usize::from(width) - 1]);
        session.extend(b"abc");
        let (whole, _) = events(rules(), &session, &[]);
        assert!(whole.contains(&Event::Bytes(b"abc".to_vec())));
        for subset in 0..1u32 << (session.len() - 1) {
            let cuts: Vec<usize> = (1..session.len())
                .filter(|at| subset >> (at - 1) & 1 == 1)
                .collect();
            assert_eq!(
                events(rules(), &session, &cuts).0,
                whole,
                "width {width}, cuts {cuts:?}"
            );
        }
    }
}

#[test]
fn a_byte_at_a_time_is_no_different() {
    let session = session();
    let cuts: Vec<usize> = (1..session.len()).collect();
    assert_eq!(
        events(rules(), &session, &cuts),
        events(rules(), &session, &[])
    );
}

fn any_message() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![
        "[a-c]{1,3}",
        Just("taken".into()),
        Just("there".into()),
        Just("left".into()),
        Just("held".into()),
        ".{0,4}"
    ];
    let size = proptest::option::of(0u64..6);
    let digest = proptest::option::of(Just(Digest([0xbd; 32])));
    let upload = proptest::option::of(Just("id"));
    let put_fields = (
        name.clone(),
        size.clone(),
        digest.clone(),
        any::<bool>(),
        upload,
    );
    prop_oneof![
        3 => name.prop_map(|name: String| string(&name)),
        4 => proptest::collection::vec(any::<u8>(), 0..6).prop_map(|body| data(&body)),
        3 => put_fields.prop_map(|(name, size, digest, explicit_end, upload)| {
            let upload = upload.and_then(crate::proto::UploadId::parse);
            put(&Put { name, size, digest, explicit_end, upload, ..Put::default() })
        }),
        2 => (size, digest).prop_map(|(size, digest)| end(End { size, digest })),
        1 => proptest::collection::vec(any::<u8>(), 0..6),
        1 => Just(vec![10, b'e', b'o', b'f']),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Good messages, nonsense and mixtures of both: whole or in pieces, the same is done, and
    /// nothing panics.
    #[test]
    fn any_session_in_any_pieces_gives_the_same_events(
        messages in proptest::collection::vec(any_message(), 0..12),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
        accept_eof: bool,
        message: bool,
        limit in proptest::option::of(1u64..8),
    ) {
        let rules = Rules {
            accept_eof,
            max_size: limit,
            strings: if message { crate::proto::Strings::Message } else { crate::proto::Strings::Name },
            ..rules()
        };
        let session = messages.concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(session.len() + 1)).collect();
        cuts.sort_unstable();
        let (whole, _) = events(rules, &session, &[]);
        let (cut, _) = events(rules, &session, &cuts);
        prop_assert_eq!(whole, cut);
    }
}
