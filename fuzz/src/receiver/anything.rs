//! Bytes, answers of the store, time, losses and stops in any order: what always holds.

use std::sync::Arc;
use std::time::Duration;

use piecemeal::proto::{
    Action, Begun, Fault, Machine, Moment, Order, Receipt, Receiver, Rules, Stop, Ticket, Want,
};

use super::super::input::Input;
use super::framing;
use super::steps::Steps;

/// More replies than these are never held for a peer that reads none: what may be unread before the
/// next message is begun, and all that those in their places can say.
const HELD_MOST: usize = (16 << 10) + 65 * (4096 + 64);

/// Tries one input: a list of what happens.
pub(super) fn check(rules: Rules, mut input: Input<'_>) {
    let mut world = World::new(rules);
    while !input.is_empty() && world.machine.want() != Want::Close {
        world.happen(&mut input);
        world.look();
    }
    world.finish();
}

/// What the store was asked, and has not answered.
enum Asked {
    Begin(Box<Order>),
    Reserve,
    /// Whatever it was, the upload was given up meanwhile; the answer comes all the same.
    Stale,
}

struct World {
    machine: Receiver,
    now: Moment,
    steps: Steps,
    asked: Option<Asked>,
    /// Bytes of the open upload.
    open: Option<u64>,
    commits: Vec<(Ticket, u64)>,
    sent: Vec<u8>,
    /// Whether the peer has ended its stream.
    has_ended: bool,
    is_lost: bool,
    /// Whether the peer has read a part of what there was to be read.
    is_behind: bool,
}

impl World {
    fn new(rules: Rules) -> World {
        let now = Moment::START;
        World {
            machine: Receiver::new(Arc::new(rules), now),
            now,
            steps: Steps::default(),
            asked: None,
            open: None,
            commits: Vec::new(),
            sent: Vec::new(),
            has_ended: false,
            is_lost: false,
            is_behind: false,
        }
    }

    /// One thing happens.
    fn happen(&mut self, input: &mut Input<'_>) {
        let what = input.byte();
        match what % 16 {
            0..=4 => self.feed(input.piece()),
            5 => self.move_far(input.large()),
            6 => self.pass(Duration::from_millis(1 << (input.byte() % 24))),
            7 => {
                let paused = Duration::from_millis(1 << (input.byte() % 20));
                self.now = self.now + paused;
                self.machine.handle_own_pause(paused);
            }
            8 | 9 => self.answer(input),
            10 | 11 => self.store(input),
            12 => {
                let most = input.count();
                self.read(most);
            }
            13 => self.fail_to_write(),
            14 => self.has_ended = true,
            _ => self.break_off(input.byte()),
        }
        self.tell_end();
    }

    /// Bytes come, of which those that aren't wanted stay in the socket, and are lost here.
    fn feed(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() && !self.has_ended {
            let fits = |left: u64| usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
            let took = match self.machine.want() {
                Want::Bytes => self.machine.handle_bytes(piece, self.now),
                Want::Body(left) => {
                    let have = self.open.as_mut().expect("a body goes into an open upload");
                    *have += fits(left) as u64;
                    self.machine.handle_moved(fits(left) as u64, self.now);
                    fits(left)
                }
                Want::Discard(left) => {
                    self.machine.handle_moved(fits(left) as u64, self.now);
                    fits(left)
                }
                Want::Wait | Want::Close => break,
            };
            assert!(took > 0, "a machine that wants bytes takes some");
            piece = &piece[took..];
            self.act();
        }
    }

    /// So many bytes of a body at once, which are never held in memory.
    fn move_far(&mut self, bytes: u64) {
        match self.machine.want() {
            Want::Body(left) if !self.has_ended => {
                let have = self.open.as_mut().expect("a body goes into an open upload");
                *have = have.checked_add(bytes.min(left)).expect("a file fits");
                self.machine.handle_moved(bytes.min(left), self.now);
            }
            Want::Discard(left) if !self.has_ended => {
                self.machine.handle_moved(bytes.min(left), self.now);
            }
            _ => {}
        }
        self.act();
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.machine.handle_deadline(self.now);
        let deadline = self.machine.deadline();
        assert!(
            deadline.is_none_or(|deadline| deadline > self.now),
            "a deadline that has passed was dealt with"
        );
        self.act();
    }

    /// The store's word on a beginning.
    fn answer(&mut self, input: &mut Input<'_>) {
        let Some(asked) = self.asked.take() else {
            return;
        };
        let word = input.byte();
        let order = match asked {
            Asked::Reserve => {
                let reserved = if word & 1 == 0 {
                    Ok(Begun::Open)
                } else {
                    self.open = None;
                    Err(Fault::NoSpace)
                };
                self.machine.handle_begun(reserved, self.now);
                return self.act();
            }
            Asked::Begin(order) => order,
            Asked::Stale => {
                self.machine.handle_begun(Ok(Begun::Open), self.now);
                return self.act();
            }
        };
        let begun = match word % 8 {
            0 => Err(Fault::Exists),
            1 => Err(Fault::NoSpace),
            2 => Err(Fault::Io),
            3 if order.upload.is_some() => Err(Fault::Held { retry: 2 }),
            4 | 5 if order.upload.is_some() => Ok(Begun::Resumed {
                offset: input.large().min(order.size.unwrap_or(u64::MAX)),
            }),
            6 if order.look_first => Ok(Begun::Present(Receipt {
                name: "there".to_owned(),
                size: order.size.unwrap_or(5),
                digest: order.digest,
                durable: true,
            })),
            _ => Ok(Begun::Open),
        };
        self.open = match &begun {
            Ok(Begun::Open) => Some(0),
            Ok(Begun::Resumed { offset }) => Some(*offset),
            Ok(Begun::Present(_)) | Err(_) => None,
        };
        self.machine.handle_begun(begun, self.now);
        self.act();
    }

    /// The store's word on any of its commits.
    fn store(&mut self, input: &mut Input<'_>) {
        let (which, how) = (input.count(), input.byte());
        if self.commits.is_empty() {
            return;
        }
        let (ticket, size) = self.commits.remove(which % self.commits.len());
        let stored = match how % 8 {
            0 => Err(Fault::Unknown),
            1 => Err(Fault::Io),
            2 => Err(Fault::Digest("other bytes than it should have")),
            _ => Ok(Receipt {
                name: ticket.to_string(),
                size,
                digest: None,
                durable: how & 8 == 0,
            }),
        };
        self.machine.handle_stored(ticket, stored, self.now);
        self.act();
    }

    /// The peer reads some of its replies; whether there were any.
    fn read(&mut self, most: usize) -> bool {
        let output = self.machine.output();
        let took = output.len().min(most);
        if took == 0 || self.is_lost {
            return false;
        }
        self.sent.extend_from_slice(&output[..took]);
        self.is_behind = took < output.len();
        self.machine.handle_sent(took, self.now);
        self.act();
        true
    }

    /// A disk that takes no more. The bytes have left the socket all the same.
    fn fail_to_write(&mut self) {
        if let Want::Body(left) = self.machine.want()
            && self.open.take().is_some()
        {
            self.machine.handle_write_failed(Fault::NoSpace, self.now);
            self.machine.handle_moved(left.min(3), self.now);
            self.act();
        }
    }

    fn break_off(&mut self, how: u8) {
        match how % 4 {
            0 => {
                self.is_lost = true;
                self.machine.handle_lost(self.now);
            }
            1 => self.machine.handle_stop(Stop::Soon, self.now),
            2 => self.machine.handle_stop(Stop::Now, self.now),
            _ if self.open.is_some() => self.machine.handle_taken_over(self.now),
            _ => {}
        }
        self.act();
    }

    /// The end of a stream is read again whenever more is wanted.
    fn tell_end(&mut self) {
        while self.has_ended
            && matches!(
                self.machine.want(),
                Want::Bytes | Want::Body(_) | Want::Discard(_)
            )
        {
            self.machine.handle_end(self.now);
            self.act();
        }
    }

    /// Does what the machine asks for.
    fn act(&mut self) {
        while let Some(action) = self.machine.poll_action() {
            match action {
                Action::Begin(order) => {
                    assert!(self.asked.is_none(), "it is asked one thing at a time");
                    self.open = None;
                    self.asked = Some(Asked::Begin(order));
                }
                Action::Reserve(total) => {
                    assert!(self.asked.is_none(), "it is asked one thing at a time");
                    assert!(self.open.is_some_and(|have| have <= total));
                    self.asked = Some(Asked::Reserve);
                }
                Action::Commit(ticket, seal) => {
                    let have = self.open.take();
                    assert_eq!(have, Some(seal.size), "it is sealed with what it has");
                    self.commits.push((ticket, seal.size));
                }
                Action::Abort | Action::Discard | Action::FinishSending => {
                    self.open = None;
                    self.asked = self.asked.take().map(|_| Asked::Stale);
                }
                Action::Show(_) => {}
                Action::Remark(_) | Action::Write(_) => panic!("the receiver has no use for it"),
            }
        }
    }

    /// What holds at any time.
    fn look(&mut self) {
        self.steps.take(&mut self.machine);
        while self.machine.poll_fault().is_some() {}
        let position = self.machine.position();
        assert!(position.need.is_none_or(|need| position.have <= need));
        assert!(self.machine.output().len() <= HELD_MOST);
        if let Want::Body(_) = self.machine.want() {
            assert!(self.open.is_some(), "a body goes into an open upload");
        }
    }

    /// The peer ends its stream and reads what there is; the store answers; the time passes.
    fn finish(&mut self) {
        self.has_ended = true;
        for _ in 0..1000 {
            self.tell_end();
            self.look();
            if self.asked.is_some() {
                self.answer(&mut Input::new(&[7]));
            } else if !self.commits.is_empty() {
                self.store(&mut Input::new(&[0, 7]));
            } else if self.machine.want() == Want::Close {
                break;
            } else if !self.read(usize::MAX) {
                self.pass(Duration::from_secs(1000));
            }
        }
        assert_eq!(self.machine.want(), Want::Close, "it never ends");
        self.machine
            .handle_deadline(self.now + Duration::from_secs(1000));
        self.machine.handle_end(self.now);
        self.machine.handle_stop(Stop::Now, self.now);
        assert_eq!(self.machine.want(), Want::Close);
        assert_eq!(self.machine.poll_action(), None, "it is closed");
        assert_eq!(self.machine.deadline(), None, "it is closed");
        assert!(self.open.is_none(), "an upload is left open");
        self.look();
        self.check_replies();
    }

    /// No more than one for each message, and one that nobody asked for at the end; receipts in the
    /// order of their uploads.
    fn check_replies(&self) {
        let begun = self.machine.progress().begun;
        // A connection that is lost, or whose peer doesn't read, may end in the middle of a reply.
        if self.is_lost || self.is_behind {
            return;
        }
        let replies = framing::replies(&self.sent);
        assert!(replies.len() as u64 <= begun + 1, "{replies:?}");
        let tickets = replies.iter().filter_map(|reply| {
            let name = reply.strip_prefix("OK\nname=")?.lines().next()?;
            name.parse::<Ticket>().ok()
        });
        assert!(
            tickets.is_sorted_by(|one, other| one < other),
            "{replies:?}"
        );
    }
}
