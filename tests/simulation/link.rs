//! One direction of a connection: bytes on their way, and bytes that have come and wait.

use std::collections::VecDeque;

use piecemeal::proto::Moment;

/// Bytes that go one way.
#[derive(Debug)]
pub(crate) struct Pipe {
    /// All that was sent and not read, and how many of them have come.
    bytes: VecDeque<u8>,
    arrived: usize,
    /// When the others come: so many at a time.
    flight: VecDeque<(Moment, usize)>,
    capacity: usize,
    /// When the end of the stream comes, where its sender has ended it.
    end: Option<Moment>,
    pub(crate) has_ended: bool,
    /// Nothing comes before this.
    held_until: Moment,
    /// Bytes that came out.
    pub(crate) read: u64,
}

impl Pipe {
    pub(crate) fn new(capacity: usize) -> Pipe {
        Pipe {
            bytes: VecDeque::new(),
            arrived: 0,
            flight: VecDeque::new(),
            capacity,
            end: None,
            has_ended: false,
            held_until: Moment::START,
            read: 0,
        }
    }

    pub(crate) fn room(&self) -> usize {
        self.capacity.saturating_sub(self.bytes.len())
    }

    /// Bytes that can be read now.
    pub(crate) fn arrived(&self) -> usize {
        self.arrived
    }

    /// Whether anything is on its way, or waits to be read.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn send(&mut self, bytes: &[u8], comes: Moment) {
        let last = self.flight.back().map_or(Moment::START, |(at, _)| *at);
        self.bytes.extend(bytes);
        self.flight.push_back((comes.max(last), bytes.len()));
    }

    /// Nothing more is sent.
    pub(crate) fn end(&mut self, comes: Moment) {
        let last = self.flight.back().map_or(Moment::START, |(at, _)| *at);
        self.end.get_or_insert(comes.max(last));
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.end.is_some()
    }

    /// Lets nothing come for a while.
    pub(crate) fn hold(&mut self, until: Moment) {
        self.held_until = self.held_until.max(until);
    }

    /// When something comes next.
    pub(crate) fn next(&self) -> Option<Moment> {
        let end = self.end.filter(|_| !self.has_ended);
        let next = self.flight.front().map(|(at, _)| *at).or(end)?;
        Some(next.max(self.held_until))
    }

    /// What is due comes. Says whether bytes came, and whether the end did.
    pub(crate) fn deliver(&mut self, now: Moment) -> (bool, bool) {
        if now < self.held_until {
            return (false, false);
        }
        let before = self.arrived;
        while let Some((at, bytes)) = self.flight.front()
            && *at <= now
        {
            self.arrived += bytes;
            self.flight.pop_front();
        }
        let is_over = !self.has_ended && self.flight.is_empty();
        let ends = is_over && self.end.is_some_and(|end| end <= now);
        self.has_ended |= ends;
        (self.arrived > before, ends)
    }

    pub(crate) fn read(&mut self, into: &mut [u8]) -> usize {
        let most = into.len().min(self.arrived);
        let (front, back) = self.bytes.as_slices();
        let first = most.min(front.len());
        into[..first].copy_from_slice(&front[..first]);
        into[first..most].copy_from_slice(&back[..most - first]);
        self.bytes.drain(..most);
        self.arrived -= most;
        self.read += most as u64;
        most
    }

    /// What is on its way, or was not read, is lost.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.flight.clear();
        self.arrived = 0;
    }
}
