//! A client that has the project's own machine, retries, and resumes.

use std::collections::VecDeque;
use std::time::Duration;

use piecemeal::proto::sender::{Check, Upload};
use piecemeal::proto::{Metadata, Moment, Sender, UploadId};
use rand::RngExt;

use super::client::{Link, Net, PATIENCE};
use super::plan::{File, How};

#[derive(Debug)]
pub(super) struct Sending {
    pub(super) link: Link,
    pub(super) files: VecDeque<(usize, File)>,
    /// What was begun and has had no outcome: its number in this connection, and of a stream how
    /// much is in parts.
    pub(super) under_way: Vec<(u64, usize, File)>,
    parted: usize,
    sender: Sender,
    next: u64,
    /// The server has said that it closes, or had better say nothing.
    pub(super) is_closing: bool,
    /// It begins nothing before: what was refused is not tried again at once.
    pub(super) rests_until: Moment,
}

impl Sending {
    pub(super) fn new(link: Link, files: &[File], now: Moment) -> Sending {
        Sending {
            link,
            files: files.iter().cloned().enumerate().collect(),
            under_way: Vec::new(),
            parted: 0,
            sender: Sender::new(None, now),
            next: 0,
            is_closing: false,
            rests_until: Moment::START,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.files.is_empty() && self.under_way.is_empty() && self.link.wire.is_none()
    }

    pub(super) fn next(&self) -> Option<Moment> {
        let wire = self.link.wire.as_ref()?;
        let is_ending = wire.borrow().up.is_ending();
        let rests = (!is_ending && !self.files.is_empty()).then_some(self.rests_until);
        let rests = rests.filter(|_| self.sender.has_room());
        rests.into_iter().chain(self.sender.deadline()).min()
    }

    pub(super) fn act(&mut self, net: &mut Net<'_>) -> Result<bool, String> {
        if self.link.wire.is_none() {
            // What was under way when the connection was given up.
            self.lose(net)?;
            if self.files.is_empty() || !self.link.connect(net) {
                return Ok(false);
            }
            self.sender = Sender::new(Some(PATIENCE), net.now);
            self.is_closing = false;
            return Ok(true);
        }
        let mut did = self.read(net)?;
        if self.link.is_over() {
            self.lose(net)?;
            return Ok(true);
        }
        if self.sender.deadline().is_some_and(|until| until <= net.now) {
            if !self.link.is_disturbed() {
                return Err(format!("client {} waits in vain", self.link.id));
            }
            self.link.close();
            self.lose(net)?;
            return Ok(true);
        }
        if self.sender.is_idle() && self.files.is_empty() || self.sender.has_ended() {
            return Ok(self.link.end() || did);
        }
        if self.link.is_ending() {
            return Ok(did);
        }
        did |= self.write(net);
        did |= self.begin(net);
        Ok(did)
    }

    fn read(&mut self, net: &mut Net<'_>) -> Result<bool, String> {
        let mut bytes = [0; 1024];
        let most = self.link.amount().min(bytes.len());
        let got = self.link.receive(&mut bytes[..most], net.now);
        let handled = self.sender.handle_bytes(&bytes[..got], net.now);
        handled.map_err(|broken| format!("client {}: {broken}", self.link.id))?;
        while let Some(event) = self.sender.poll_event() {
            let id = self.link.id;
            net.checks.tell(|| format!("client {id}: {event:?}"));
            self.hear(event, net)?;
        }
        Ok(got > 0)
    }

    /// The connection is gone: what is unanswered is tried again.
    fn lose(&mut self, net: &mut Net<'_>) -> Result<(), String> {
        let lost = self.link.wire.is_some() && !self.under_way.is_empty();
        if lost && !self.is_closing && !self.link.is_disturbed() {
            return Err(format!("client {} is cut off without a word", self.link.id));
        }
        self.link.close();
        if !self.under_way.is_empty() {
            self.link.wait_until = net.now + Duration::from_secs(1);
            net.checks.figures.add("files tried again", 1);
        }
        for (id, number, mut file) in std::mem::take(&mut self.under_way) {
            // It may be stored: with its digest, the server will know.
            let is_sealed = self.sender.sealed(id).is_some();
            if file.how == How::Stream || (file.how == How::AtEnd && is_sealed) {
                file.how = How::Known;
            }
            self.files.push_back((number, file));
        }
        Ok(())
    }

    fn write(&mut self, net: &mut Net<'_>) -> bool {
        let now = net.now;
        let amount = self.link.amount();
        let output = self.sender.output();
        let sent = self.link.send(&output[..output.len().min(amount)], now);
        self.sender.handle_sent(sent, now);
        let mut did = sent > 0;
        if let Some((id, at, left)) = self.sender.body()
            && let Some((.., file)) = self.under_way.iter().find(|(known, ..)| *known == id)
        {
            let at = usize::try_from(at).expect("within a content");
            let left = usize::try_from(left).expect("within a content");
            let bytes = &file.content.bytes()[at..][..left.min(amount)];
            let sent = self.link.send(bytes, now);
            if sent > 0 {
                self.sender.handle_body_sent(sent as u64, now);
                did = true;
            }
        }
        did
    }

    fn begin(&mut self, net: &mut Net<'_>) -> bool {
        let now = net.now;
        if let Some(id) = self.sender.wants_digest() {
            let file = self.under_way.iter().find(|(known, ..)| *known == id);
            if let Some((.., file)) = file {
                self.sender.handle_digest(file.content.digest);
                return true;
            }
        }
        if let Some(id) = self.sender.wants_part() {
            let file = self.under_way.iter().find(|(known, ..)| *known == id);
            let Some((.., file)) = file else { return false };
            let left = file.content.size - self.parted;
            if left == 0 {
                let digest = self.link.rng.random::<bool>();
                let digest = digest.then_some(file.content.digest);
                self.sender.end_stream(digest, now);
            } else {
                let part = self.link.amount().min(left);
                self.sender.begin_part(part as u64, now);
                self.parted += part;
            }
            return true;
        }
        if !self.sender.has_room() || self.rests_until > now {
            return false;
        }
        let Some((number, file)) = self.files.pop_front() else {
            return false;
        };
        let id = self.next;
        self.next += 1;
        net.checks.figures.add("uploads begun", 1);
        let digest = match file.how {
            How::Known => Check::Known(file.content.digest),
            How::AtEnd => Check::AtEnd,
            How::Plain | How::Stream => Check::None,
        };
        if file.how == How::Stream {
            self.parted = 0;
            self.sender.begin_stream(id, &file.name, file.conflict, now);
        } else {
            let large = file.content.size > 1 << 20 && file.resumes;
            let resume = large.then(|| format!("u{}-{number}", self.link.id));
            let upload = Upload {
                id,
                name: file.name.clone(),
                size: file.content.size as u64,
                digest,
                conflict: file.conflict,
                resume: resume.and_then(|id| UploadId::parse(&id)),
                metadata: Metadata::default(),
            };
            self.sender.begin(upload, now);
        }
        self.under_way.push((id, number, file));
        true
    }
}
