mod resuming;
mod streaming;
mod under_way;

use super::*;
use crate::proto::error::{Code, Fault};
use crate::proto::machine::{Action, Begun, Machine, Want};
use crate::proto::receiver::Receiver;
use crate::proto::{Metadata, Receipt, Reply, Rules, UploadId};
use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::Arc;

const NOW: Moment = Moment::START;

fn upload(id: u64, size: u64, digest: Check) -> Upload {
    Upload {
        id,
        name: format!("file-{id}"),
        size,
        digest,
        conflict: None,
        resume: None,
        metadata: Metadata::default(),
    }
}

fn sender() -> Sender {
    Sender::new(Some(Duration::from_secs(60)), NOW)
}

/// Lets everything that can be sent be sent; returns it.
fn send_all(sender: &mut Sender) -> Vec<u8> {
    let mut sent = Vec::new();
    loop {
        let output = sender.output().to_vec();
        if !output.is_empty() {
            sender.handle_sent(output.len(), NOW);
            sent.extend(output);
        } else if let Some((_, _, left)) = sender.body() {
            sent.extend(vec![b'x'; usize::try_from(left).unwrap()]);
            sender.handle_body_sent(left, NOW);
        } else {
            return sent;
        }
    }
}

fn hear(sender: &mut Sender, reply: &Reply) -> Result<(), Broken> {
    let mut bytes = Vec::new();
    reply.write(&mut bytes);
    sender.handle_bytes(&bytes, NOW)
}

fn events(sender: &mut Sender) -> Vec<Event> {
    std::iter::from_fn(|| sender.poll_event()).collect()
}

fn receipt(size: u64, digest: Option<Digest>) -> Reply {
    Reply::Receipt(Receipt {
        name: "n".into(),
        size,
        digest,
        durable: true,
    })
}

#[test]
fn a_small_file_goes_out_without_waiting_and_a_large_one_waits_for_its_ok() {
    let mut sender = sender();
    sender.begin(upload(1, 3, Check::None), NOW);
    assert!(send_all(&mut sender).ends_with(b"\x02\x03xxx"));
    sender.begin(upload(2, RUN_AHEAD_SIZE + 1, Check::AtEnd), NOW);
    send_all(&mut sender);
    assert_eq!(sender.body(), None);
    hear(&mut sender, &Reply::Begin { offset: 0 }).unwrap();
    hear(&mut sender, &receipt(3, None)).unwrap();
    assert!(sender.output().is_empty(), "those were the first one's");
    hear(&mut sender, &Reply::Begin { offset: 0 }).unwrap();
    assert!(matches!(events(&mut sender)[..], [Event::Stored(1, _)]));
    assert_eq!(send_all(&mut sender).len() as u64, RUN_AHEAD_SIZE + 1 + 4);
    assert_eq!(sender.wants_digest(), Some(2));
    sender.handle_digest(Digest([1; 32]));
    assert!(
        String::from_utf8(send_all(&mut sender))
            .unwrap()
            .ends_with(&format!("{}\n", "01".repeat(32)))
    );
}

#[test]
fn a_large_file_that_is_refused_is_never_sent() {
    let mut sender = sender();
    sender.begin(upload(1, 1 << 40, Check::AtEnd), NOW);
    send_all(&mut sender);
    hear(&mut sender, &Reply::Fault(Fault::TooLarge { limit: 5 })).unwrap();
    assert!(
        matches!(&events(&mut sender)[..], [Event::Refused(1, why)] if why.code == Some(Code::TooLarge))
    );
    assert!(sender.is_idle() && sender.has_room());
}

#[test]
fn a_small_file_that_is_refused_is_told_once_and_the_next_ones_are_not_confused() {
    let mut sender = sender();
    for id in [1, 2] {
        sender.begin(upload(id, 3, Check::None), NOW);
        send_all(&mut sender);
    }
    for reply in [
        Reply::Fault(Fault::Exists),
        Reply::Fault(Fault::Exists),
        Reply::Begin { offset: 0 },
        receipt(3, None),
    ] {
        hear(&mut sender, &reply).unwrap();
    }
    assert!(matches!(
        events(&mut sender)[..],
        [Event::Refused(1, _), Event::Stored(2, _)]
    ));
}

#[test]
fn a_large_body_that_is_refused_on_the_way_is_given_up() {
    let mut sender = sender();
    sender.begin(upload(1, 1 << 40, Check::None), NOW);
    send_all_header(&mut sender);
    hear(&mut sender, &Reply::Begin { offset: 0 }).unwrap();
    send_all_header(&mut sender);
    sender.handle_body_sent(1 << 20, NOW);
    hear(&mut sender, &Reply::Fault(Fault::NoSpace)).unwrap();
    assert!(sender.has_ended());
    assert_eq!(sender.unanswered(), [] as [u64; 0], "it has its answer");
}

fn send_all_header(sender: &mut Sender) {
    let length = sender.output().len();
    sender.handle_sent(length, NOW);
}

#[test]
fn what_is_lost_with_a_connection_is_what_has_no_answer() {
    let mut sender = sender();
    for id in 1..=3 {
        sender.begin(upload(id, 1, Check::None), NOW);
        send_all(&mut sender);
    }
    hear(&mut sender, &Reply::Begin { offset: 0 }).unwrap();
    hear(&mut sender, &receipt(1, None)).unwrap();
    hear(&mut sender, &Reply::Fault(Fault::Exists)).unwrap();
    assert_eq!(sender.unanswered(), [3]);
}

#[test]
fn a_server_that_is_full_or_stops_says_so_without_being_asked() {
    let mut sender = sender();
    hear(&mut sender, &Reply::Fault(Fault::Busy { retry: 7 })).unwrap();
    assert!(matches!(&events(&mut sender)[..], [Event::TurnedAway(why)] if why.retry == Some(7)));
    assert!(sender.has_ended());
}

#[test]
fn what_is_no_reply_is_broken() {
    let digest = Some(Digest([5; 32]));
    for (bytes, broken) in [
        (b"\x02".to_vec(), Broken::NoReply(2)),
        (b"HTTP/1.1 400".to_vec(), Broken::NoReply(b'H')),
        (b"\x01\xff\xff".to_vec(), Broken::LongReply(65_535)),
        (b"\x01\x01\0\xff".to_vec(), Broken::NotUtf8),
        (b"\x01\x02\0no".to_vec(), Broken::NotAnAnswer),
    ] {
        let mut sender = sender();
        sender.begin(upload(1, 3, Check::None), NOW);
        assert_eq!(sender.handle_bytes(&bytes, NOW), Err(broken));
    }
    for (reply, broken) in [
        (Reply::Ok, Broken::WrongReceipt),
        (receipt(4, digest), Broken::WrongReceipt),
        (receipt(3, None), Broken::WrongReceipt),
        (receipt(3, Some(Digest([6; 32]))), Broken::WrongReceipt),
    ] {
        let mut sender = sender();
        sender.begin(upload(1, 3, Check::Known(Digest([5; 32]))), NOW);
        hear(&mut sender, &Reply::Begin { offset: 0 }).unwrap();
        assert_eq!(hear(&mut sender, &reply), Err(broken), "{reply:?}");
    }
    let mut sender = sender();
    assert_eq!(hear(&mut sender, &Reply::Ok), Err(Broken::OneTooMany));
    sender.begin(upload(1, 2 << 20, Check::None), NOW);
    assert_eq!(
        hear(&mut sender, &Reply::Begin { offset: 3 << 20 }),
        Err(Broken::WrongOffset)
    );
}

#[test]
fn a_receipt_for_bytes_that_were_never_sent_is_no_success() {
    let mut sender = sender();
    sender.begin(upload(1, 3, Check::None), NOW);
    send_all_header(&mut sender);
    sender.handle_body_sent(2, NOW);
    hear(&mut sender, &Reply::Begin { offset: 0 }).unwrap();
    assert_eq!(
        hear(&mut sender, &receipt(3, None)),
        Err(Broken::WrongReceipt),
        "a byte is still to be sent"
    );
    assert_eq!(
        (events(&mut sender), sender.unanswered()),
        (vec![], vec![1])
    );
}

#[test]
fn a_silent_server_is_given_up_only_while_an_answer_is_due() {
    let mut sender = sender();
    assert_eq!(sender.deadline(), None);
    let later = NOW + Duration::from_secs(1000);
    sender.say(1, "hello", later);
    assert_eq!(sender.deadline(), Some(later + Duration::from_secs(60)));
    send_all(&mut sender);
    hear(&mut sender, &Reply::Message("hello".into())).unwrap();
    assert_eq!(
        events(&mut sender),
        [Event::Said(1, "Message: hello".into())]
    );
    assert_eq!(sender.deadline(), None);
}

#[test]
fn after_a_pause_of_its_own_the_client_gives_the_server_its_time_anew() {
    let mut sender = sender();
    sender.begin(upload(1, 3, Check::None), NOW);
    send_all(&mut sender);
    let later = NOW + Duration::from_secs(1000);
    sender.handle_own_pause(later);
    assert_eq!(sender.deadline(), Some(later + Duration::from_secs(60)));
}

/// Both machines, with a link between them that hands over what it likes.
struct Link {
    sender: Sender,
    receiver: Receiver,
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    open: Vec<u8>,
    name: String,
    stored: HashMap<String, Vec<u8>>,
    commits: Vec<(u64, Receipt, Vec<u8>)>,
    files: HashMap<u64, Vec<u8>>,
}

impl Link {
    fn server(&mut self, most: usize) {
        let take = most.min(self.to_server.len());
        let mut at = 0;
        while at < take {
            let rest = &self.to_server[at..take];
            let fits = |left: u64| usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
            match self.receiver.want() {
                Want::Bytes => at += self.receiver.handle_bytes(rest, NOW),
                Want::Body(left) => {
                    self.open.extend(&rest[..fits(left)]);
                    at += fits(left);
                    self.receiver.handle_moved(fits(left) as u64, NOW);
                }
                Want::Discard(left) => {
                    at += fits(left);
                    self.receiver.handle_moved(fits(left) as u64, NOW);
                }
                Want::Wait | Want::Close => break,
            }
            self.act();
        }
        self.to_server.drain(..at);
    }

    fn act(&mut self) {
        while let Some(action) = self.receiver.poll_action() {
            match action {
                Action::Begin(order) => {
                    self.open.clear();
                    self.name = order.name.expect("the client names its files").to_string();
                    let taken = self.name.ends_with('7');
                    let begun = if taken {
                        Err(Fault::Exists)
                    } else {
                        Ok(Begun::Open)
                    };
                    self.receiver.handle_begun(begun, NOW);
                }
                Action::Reserve(_) => self.receiver.handle_begun(Ok(Begun::Open), NOW),
                Action::Commit(ticket, seal) => {
                    let bytes = std::mem::take(&mut self.open);
                    assert_eq!(seal.size, bytes.len() as u64);
                    assert_eq!(seal.digest, Some(Digest(blake3::hash(&bytes).into())));
                    let name = self.name.clone();
                    let receipt = Receipt {
                        name,
                        size: seal.size,
                        digest: seal.digest,
                        durable: true,
                    };
                    self.commits.push((ticket, receipt, bytes));
                }
                Action::Abort | Action::Discard | Action::FinishSending => self.open.clear(),
                Action::Show(_) | Action::Remark(_) | Action::Write(_) => {
                    panic!("files are sent, and nothing is shown")
                }
            }
        }
        let output = self.receiver.output().to_vec();
        self.receiver.handle_sent(output.len(), NOW);
        self.to_client.extend(output);
    }

    fn commit(&mut self, which: usize) {
        if !self.commits.is_empty() {
            let (ticket, receipt, bytes) = self.commits.remove(which % self.commits.len());
            self.stored.insert(receipt.name.clone(), bytes);
            self.receiver.handle_stored(ticket, Ok(receipt), NOW);
            self.act();
        }
    }

    fn client(&mut self, most: usize) {
        let take = most.min(self.to_client.len());
        let heard: Vec<u8> = self.to_client.drain(..take).collect();
        self.sender
            .handle_bytes(&heard, NOW)
            .expect("the server keeps the protocol");
        let output = self.sender.output();
        if !output.is_empty() {
            let sent = most.clamp(1, output.len());
            self.to_server.extend(&output[..sent]);
            self.sender.handle_sent(sent, NOW);
        } else if let Some((id, offset, left)) = self.sender.body() {
            let sent = left.min(most.max(1) as u64);
            let from = usize::try_from(offset).unwrap();
            self.to_server
                .extend(&self.files[&id][from..from + usize::try_from(sent).unwrap()]);
            self.sender.handle_body_sent(sent, NOW);
        }
        if let Some(id) = self.sender.wants_digest() {
            self.sender
                .handle_digest(Digest(blake3::hash(&self.files[&id]).into()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever the link does to the pieces, and the store to the order, each file has exactly
    /// one outcome, and what is stored is what was sent.
    #[test]
    fn two_machines_agree_whatever_lies_between_them(
        sizes in proptest::collection::vec(0usize..3000, 1..60),
        at_end in proptest::collection::vec(any::<bool>(), 60),
        steps in proptest::collection::vec((0u8..3, 0usize..5000), 50..400),
    ) {
        let mut link = Link {
            sender: sender(),
            receiver: Receiver::new(Arc::new(Rules { trace: true, ..Rules::default() }), NOW),
            to_server: Vec::new(),
            to_client: Vec::new(),
            open: Vec::new(),
            name: String::new(),
            stored: HashMap::new(),
            commits: Vec::new(),
            files: HashMap::new(),
        };
        let mut todo: VecDeque<usize> = sizes.into();
        let mut outcomes = HashMap::new();
        let mut id = 0;
        let fair = [(0, 4000), (1, 4000), (2, 0)].into_iter().cycle();
        for (step, (what, amount)) in steps.into_iter().chain(fair).enumerate() {
            prop_assert!(step < 20_000, "no progress: {:?}", link.sender);
            match what {
                0 => link.client(amount),
                1 => link.server(amount),
                _ => link.commit(amount),
            }
            while let Some(event) = link.sender.poll_event() {
                let (id, stored) = match event {
                    Event::Stored(id, _) => (id, true),
                    Event::Refused(id, _) => (id, false),
                    other => panic!("{other:?}"),
                };
                prop_assert_eq!(outcomes.insert(id, stored), None, "one outcome a file");
            }
            if link.sender.has_room() && let Some(size) = todo.pop_front() {
                let bytes = vec![u8::try_from(id % 251).unwrap(); size];
                let known = Check::Known(Digest(blake3::hash(&bytes).into()));
                let check = if at_end[usize::try_from(id).unwrap() % 60] { Check::AtEnd } else { known };
                link.files.insert(id, bytes);
                link.sender.begin(upload(id, size as u64, check), NOW);
                id += 1;
            } else if todo.is_empty() && link.sender.is_idle() {
                break;
            }
        }
        prop_assert_eq!(outcomes.len() as u64, id);
        for (id, stored) in outcomes {
            let kept = link.stored.get(&format!("file-{id}"));
            prop_assert_eq!(stored, !id.to_string().ends_with('7'));
            prop_assert_eq!(kept, link.files.get(&id).filter(|_| stored));
        }
    }
}
