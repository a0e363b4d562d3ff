//! Streams whose size is known only at their end.

use super::*;

#[test]
fn no_byte_is_wanted_before_the_server_has_taken_the_announcement() {
    let mut sender = sender();
    sender.begin_stream(1, "stream", None, NOW);
    assert!(send_all(&mut sender).ends_with(b"name=stream\nend=explicit\n"));
    assert_eq!(sender.wants_part(), None);
    hear(&mut sender, &Reply::Fault(Fault::Exists)).expect("it is an answer");
    assert!(matches!(events(&mut sender)[..], [Event::Refused(1, _)]));
    assert!(sender.is_idle() && sender.has_room());
    sender.begin_stream(2, "stream", None, NOW);
    send_all(&mut sender);
    assert_eq!(
        hear(&mut sender, &Reply::Begin { offset: 1 }),
        Err(Broken::WrongOffset),
        "a stream can't be rewound"
    );
}

#[test]
fn a_stream_that_is_refused_on_the_way_ends_the_connection() {
    let mut sender = sender();
    sender.begin_stream(1, "stream", None, NOW);
    send_all(&mut sender);
    hear(&mut sender, &Reply::Begin { offset: 0 }).expect("it is an answer");
    sender.begin_part(10, NOW);
    send_all_header(&mut sender);
    sender.handle_body_sent(3, NOW);
    hear(&mut sender, &Reply::Fault(Fault::NoSpace)).expect("it is an answer");
    assert!(matches!(events(&mut sender)[..], [Event::Refused(1, _)]));
    assert!(sender.has_ended() && sender.unanswered().is_empty());
}

#[test]
fn a_stream_that_pauses_blames_nobody_and_shows_that_it_lives() {
    let mut sender = sender();
    sender.begin_stream(1, "stream", None, NOW);
    send_all(&mut sender);
    hear(&mut sender, &Reply::Begin { offset: 0 }).expect("it is an answer");
    assert_eq!(sender.deadline(), None, "the server owes nothing");
    let later = NOW + Duration::from_secs(1000);
    sender.keep_alive(later);
    assert_eq!(sender.output(), b"\x02\x00");
    assert_eq!(sender.deadline(), Some(later + Duration::from_secs(60)));
}

fn link() -> Link {
    Link {
        sender: sender(),
        receiver: Receiver::new(Arc::new(Rules::default()), NOW),
        to_server: Vec::new(),
        to_client: Vec::new(),
        open: Vec::new(),
        name: String::new(),
        stored: HashMap::new(),
        commits: Vec::new(),
        files: HashMap::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// However a stream is parted, and whatever the link does to the parts, what is stored is the
    /// stream.
    #[test]
    fn a_server_stores_the_stream_however_it_was_parted(
        parts in proptest::collection::vec(0usize..3000, 0..80),
        steps in proptest::collection::vec((0u8..2, 1usize..5000), 50..200),
    ) {
        let mut link = link();
        let size: usize = parts.iter().sum();
        let mut bytes = vec![0; size];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        link.files.insert(1, bytes.clone());
        link.sender.begin_stream(1, "stream", None, NOW);
        let mut todo: VecDeque<usize> = parts.into();
        let fair = [(0, 4000), (1, 4000)].into_iter().cycle();
        for (step, (what, amount)) in steps.into_iter().chain(fair).enumerate() {
            prop_assert!(step < 20_000, "no progress: {:?}", link.sender);
            match what {
                0 => link.client(amount),
                _ => link.server(amount),
            }
            link.commit(0);
            if link.sender.wants_part().is_some() {
                match todo.pop_front() {
                    Some(part) => link.sender.begin_part(part as u64, NOW),
                    None => {
                        let digest = Digest(blake3::hash(&bytes).into());
                        link.sender.end_stream(Some(digest), NOW);
                    }
                }
            }
            match link.sender.poll_event() {
                Some(Event::Stored(1, receipt)) => {
                    prop_assert_eq!(receipt.size, size as u64);
                    break;
                }
                Some(other) => panic!("{other:?}"),
                None => {}
            }
        }
        prop_assert!(link.stored["stream"] == bytes);
        prop_assert!(link.sender.is_idle());
    }
}
