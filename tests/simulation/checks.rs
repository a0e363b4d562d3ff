//! What must be true, whatever happens: it is looked at after each visit of a session, after each
//! change that anybody could see, and at the end.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use piecemeal::proto::limits::{RUN_AHEAD_MOST, RUN_AHEAD_SIZE};
use piecemeal::proto::{Answer, Digest, Moment, Receipt};
use piecemeal::session::BUDGET;

use super::core::Core;
use super::disk::Disk;
use super::figures::Figures;
use super::wire::Wire;

/// What a session may have read and not used: one read for a header. And what it may have to say:
/// the most that may be unread before it stops reading, and a place for each message ahead of that,
/// where nothing that is answered here is longer than this.
const KEPT_MOST: usize = 16 << 10;
const REPLIES_MOST: usize = (16 << 10) + 64 * 512;
/// Messages of one visit: each costs 4 KiB of the budget, and a visit may pump thrice.
const MESSAGES_MOST: u64 = 3 * (BUDGET as u64 / 4096 + 1);

/// What a visit consisted of, and left.
pub(crate) struct Visited {
    /// Bytes that the session read, and messages that it began.
    pub(crate) moved: u64,
    pub(crate) messages: u64,
    /// Bytes that it has read and not used, and those that it has to say.
    pub(crate) held: (usize, usize),
    pub(crate) is_busy: bool,
}

/// Everything that is known of what was sent and what was promised.
#[derive(Debug)]
pub(crate) struct Checks {
    disk: Rc<RefCell<Disk>>,
    is_durable: bool,
    /// Whether a file may be replaced by another.
    pub(crate) overwrites: bool,
    /// Files that may be seen, by digest.
    known: HashMap<[u8; 32], usize>,
    promised: Vec<(String, u64, Option<Digest>)>,
    pub(crate) figures: Figures,
    /// What is wrong, once something is.
    pub(crate) wrong: Option<String>,
    /// Whether the disk was ever told to misbehave.
    pub(crate) disk_is_troubled: bool,
    /// Whether it ever took seconds for things.
    pub(crate) disk_is_slow: bool,
    /// What happened, where somebody wants to read it.
    pub(crate) story: Option<Vec<String>>,
    pub(crate) now: Moment,
}

impl Checks {
    pub(crate) fn new(disk: Rc<RefCell<Disk>>, is_durable: bool, overwrites: bool) -> Checks {
        Checks {
            disk,
            is_durable,
            overwrites,
            known: HashMap::new(),
            promised: Vec::new(),
            figures: Figures::default(),
            wrong: None,
            disk_is_troubled: false,
            disk_is_slow: false,
            story: None,
            now: Moment::START,
        }
    }

    pub(crate) fn tell(&mut self, what: impl FnOnce() -> String) {
        let at = self.now.as_millis();
        if let Some(story) = &mut self.story {
            story.push(format!("{:>9}.{:03} s  {}", at / 1000, at % 1000, what()));
        }
    }

    pub(crate) fn fail(&mut self, why: String) {
        self.wrong.get_or_insert(why);
    }

    /// A file that somebody wants to store, and may.
    pub(crate) fn know(&mut self, digest: Digest, size: usize) {
        self.known.insert(digest.0, size);
    }

    /// What has this name, and would have it after the worst that this store is to survive.
    pub(crate) fn there(&self, name: &str) -> Option<(usize, Digest)> {
        let mut disk = self.disk.borrow_mut();
        match self.is_durable {
            true => disk.durable(name),
            false => disk.visible(name),
        }
    }

    /// A session was visited, and so many files may be open for all of them.
    pub(crate) fn visited(
        &mut self,
        wire: &mut Wire,
        core: &mut Core,
        visit: Visited,
        files: usize,
    ) {
        let client = wire.client;
        let (kept, unsent) = visit.held;
        if kept > KEPT_MOST || unsent > REPLIES_MOST {
            let why = format!("a session of {client} holds {kept} and {unsent} bytes");
            self.fail(why);
        }
        // A visit may pump once more when it finds its upload taken, and when its time is up.
        let (moved, messages) = (visit.moved, visit.messages);
        if moved > 3 * BUDGET as u64 || messages > MESSAGES_MOST {
            let why = format!("{moved} bytes and {messages} messages in one visit of {client}");
            self.fail(why);
        }
        if core.open.len() > files {
            let open = core.open.len();
            self.fail(format!("{open} files are open, and {files} were counted"));
        }
        self.uploads(wire, core, visit.is_busy);
        if wire.written.is_empty() {
            return;
        }
        let written = std::mem::take(&mut wire.written);
        let mut rest = &written[..];
        while let [kind, low, high, tail @ ..] = rest {
            let length = usize::from(u16::from_le_bytes([*low, *high]));
            let Some((text, after)) = tail.split_at_checked(length) else {
                break;
            };
            rest = after;
            wire.replies += 1;
            match (kind, str::from_utf8(text)) {
                (1, Ok(text)) => self.said(text, wire, core),
                _ => self.fail("a reply is no text".to_owned()),
            }
        }
        wire.written = rest.to_vec();
    }

    /// Looks at what a session has open.
    fn uploads(&mut self, wire: &Wire, core: &Core, is_busy: bool) {
        let Some(token) = wire.token else { return };
        let (mut open, mut complete, mut large) = (0, 0, false);
        for upload in core.uploads_of(token.to_raw()) {
            if large {
                let why = format!("client {} has overtaken its large upload", wire.client);
                self.fail(why);
            }
            open += 1;
            complete += usize::from(upload.is_complete);
            large |= upload.is_complete && upload.written > RUN_AHEAD_SIZE;
        }
        if open > 0 && !is_busy || complete > RUN_AHEAD_MOST {
            let client = wire.client;
            let why = format!("client {client} has {open} uploads open, {complete} complete");
            self.fail(format!("{why}; is busy: {is_busy}"));
        }
    }

    /// Looks at a reply the moment it is written: what it says must be true already.
    fn said(&mut self, text: &str, wire: &mut Wire, core: &Core) {
        self.tell(|| format!("   server to {}: {}", wire.client, first_line(text)));
        self.figures.add("replies", 1);
        match Answer::parse(text) {
            Answer::Ok { receipt, offset } => match receipt {
                Some(receipt) => {
                    wire.is_owed = false;
                    self.promised(receipt);
                }
                None => {
                    let token = wire.token.map_or(0, |token| token.to_raw());
                    let safe = core.safe.get(&token).copied().unwrap_or(0);
                    if offset.is_some_and(|offset| offset > safe) {
                        let why = format!("{offset:?} is offered, and {safe} bytes are safe");
                        self.fail(why);
                    }
                }
            },
            Answer::Refused(refusal) => {
                self.figures.add("replies that refuse", 1);
                if wire.is_owed && refusal.word == "shutdown" {
                    let why = format!("client {} had time for its upload", wire.client);
                    self.fail(why);
                }
                wire.is_owed = false;
                if refusal.word == "timeout" && !wire.is_disturbed {
                    let why = format!("client {} is blamed: {text:?}", wire.client);
                    self.fail(why);
                }
            }
            Answer::Text(_) => self.fail(format!("no answer: {text:?}")),
        }
    }

    fn promised(&mut self, receipt: Receipt) {
        self.figures.add("receipts", 1);
        let there = self.there(&receipt.name);
        let is_it = |(size, digest): (usize, Digest)| {
            size as u64 == receipt.size && receipt.digest.is_none_or(|it| it == digest)
        };
        let is_whole = |(size, digest): (usize, Digest)| self.known.get(&digest.0) == Some(&size);
        let is_true = match there {
            None => false,
            Some(there) => is_whole(there) && (self.overwrites || is_it(there)),
        };
        if !is_true || receipt.durable != self.is_durable {
            let why = format!("{receipt:?} is said, and what would be there is {there:?}");
            self.fail(why);
        }
        let digest = there.map(|(_, digest)| digest);
        (self.promised).push((receipt.name, receipt.size, digest));
    }

    /// Whatever anybody can see is somebody's whole file.
    pub(crate) fn nothing_partial_is_seen(&mut self) {
        let changed = self.disk.borrow_mut().take_changed();
        for name in changed {
            let seen = self.disk.borrow_mut().visible(&name);
            let Some((size, digest)) = seen else { continue };
            if self.known.get(&digest.0) != Some(&size) {
                self.fail(format!(
                    "{name} is seen with {size} bytes, and is no whole file"
                ));
            }
        }
    }

    /// All that was acknowledged is there.
    pub(crate) fn promises_are_kept(&mut self) {
        self.nothing_partial_is_seen();
        for at in 0..self.promised.len() {
            let (name, size, digest) = self.promised[at].clone();
            let there = self.there(&name);
            let is_it = there.is_some_and(|(now, sum)| now as u64 == size && Some(sum) == digest);
            let is_replaced = self.overwrites && there.is_some();
            if !is_it && !is_replaced {
                self.fail(format!("{name} was acknowledged, and is {there:?}"));
            }
        }
    }
}

fn first_line(text: &str) -> String {
    let short = |line: &str| line.chars().take(60).collect::<String>();
    text.lines().map(short).collect::<Vec<_>>().join(" | ")
}
