//! A stream that is sent in chosen pieces, so that its reader gets to see partial reads.
//!
//! A program that is given a whole message by each of its reads on the author's own machine will
//! one day be given half of one. This makes that day come at will. [`Pieces`] is the plan for one
//! connection and how far it has come; it reads no clock and knows no socket. Whoever writes asks
//! it [`Pieces::poll`] before each write, and says afterwards how much went out.
//!
//! The places where the stream is cut are counted from its first byte, so they depend neither on
//! how much the writer has at hand nor on how much the system takes. A piece that has to be a
//! segment of its own is therefore best put together before it is written.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use thiserror::Error;

use crate::proto::Moment;

/// The pause behind each piece where none is given. Two writes in a row may reach the reader
/// together although each has a segment of its own; after this time it has most likely read the
/// first.
pub const PAUSE: Duration = Duration::from_millis(5);

/// So many bytes, then a pause, and so on: `1B/100ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dribble {
    /// Bytes of each piece.
    pub size: NonZeroU64,
    /// The pause behind it.
    pub pause: Duration,
}

/// The sizes of successive pieces, in bytes: `1,3,2,1000`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sizes(Vec<NonZeroU64>);

/// Why a text is no plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PiecesFault {
    /// It isn't a size and a time.
    #[error("not a size and a pause; try 1B/100ms, 4KiB/1s, 1B/0 for no pause, or just 1B")]
    Dribble,
    /// It isn't a list of sizes.
    #[error("not a list of sizes of at least one byte; try 1,3,2,1000")]
    Sizes,
}

/// How one connection's bytes are cut up, and how far that has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pieces {
    /// The pieces to come, the next one last.
    sizes: Vec<NonZeroU64>,
    /// The size of every piece behind them; `None` lets the rest go as it will.
    then: Option<NonZeroU64>,
    pause: Duration,
    cut_after: Option<u64>,
    /// Bytes that the present piece still lacks; `None` where it has no bound.
    left: Option<u64>,
    /// Bytes of the whole stream that are out.
    sent: u64,
    /// When the next piece may begin.
    resume: Moment,
}

/// What a writer may do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Write at most so many bytes, which is at least one.
    Write(u64),
    /// Come again then.
    Wait(Moment),
    /// Close the connection: so many bytes have been sent.
    Cut(u64),
}

impl Pieces {
    /// A plan for a connection, or `None` where nothing is asked for. With both, the sizes come
    /// first and the dribble goes on behind them, with its pause everywhere. `cut_after` counts
    /// the bytes of the connection, whatever they mean.
    pub fn new(
        sizes: Option<&Sizes>,
        dribble: Option<Dribble>,
        cut_after: Option<u64>,
    ) -> Option<Pieces> {
        if sizes.is_none() && dribble.is_none() && cut_after.is_none() {
            return None;
        }
        let sizes = sizes.map(|sizes| sizes.0.iter().rev().copied().collect());
        let mut pieces = Pieces {
            sizes: sizes.unwrap_or_default(),
            then: dribble.map(|dribble| dribble.size),
            pause: dribble.map_or(PAUSE, |dribble| dribble.pause),
            cut_after,
            left: None,
            sent: 0,
            resume: Moment::START,
        };
        pieces.begin_piece();
        Some(pieces)
    }

    /// What may be done now.
    pub fn poll(&self, now: Moment) -> Turn {
        let until_cut = self.cut_after.map(|cut| cut.saturating_sub(self.sent));
        if until_cut == Some(0) {
            return Turn::Cut(self.sent);
        }
        if now < self.resume {
            return Turn::Wait(self.resume);
        }
        let most = [self.left, until_cut].into_iter().flatten().min();
        Turn::Write(most.unwrap_or(u64::MAX))
    }

    /// So many bytes were written, at most as many as [`Pieces::poll`] allowed.
    pub fn handle_written(&mut self, bytes: u64, now: Moment) {
        self.sent = self.sent.saturating_add(bytes);
        let Some(left) = &mut self.left else { return };
        debug_assert!(bytes <= *left, "a piece is not exceeded");
        *left = left.saturating_sub(bytes);
        if *left == 0 {
            self.resume = now + self.pause;
            self.begin_piece();
        }
    }

    fn begin_piece(&mut self) {
        self.left = self.sizes.pop().or(self.then).map(NonZeroU64::get);
    }
}

impl FromStr for Dribble {
    type Err = PiecesFault;

    fn from_str(text: &str) -> Result<Dribble, PiecesFault> {
        let (size, pause) = match text.split_once('/') {
            Some((size, pause)) => (size, read_pause(pause)?),
            None => (text, PAUSE),
        };
        let size: ByteSize = size.parse().map_err(|_| PiecesFault::Dribble)?;
        let size = NonZeroU64::new(size.as_u64()).ok_or(PiecesFault::Dribble)?;
        Ok(Dribble { size, pause })
    }
}

fn read_pause(text: &str) -> Result<Duration, PiecesFault> {
    if text.trim() == "0" {
        return Ok(Duration::ZERO);
    }
    humantime::parse_duration(text).map_err(|_| PiecesFault::Dribble)
}

impl fmt::Display for Dribble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pause = humantime::format_duration(self.pause);
        write!(f, "{}B/{pause}", self.size)
    }
}

impl FromStr for Sizes {
    type Err = PiecesFault;

    fn from_str(text: &str) -> Result<Sizes, PiecesFault> {
        let sizes: Result<Vec<NonZeroU64>, _> =
            text.split(',').map(|size| size.trim().parse()).collect();
        sizes.map(Sizes).map_err(|_| PiecesFault::Sizes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sizes(text: &str) -> Sizes {
        text.parse().expect(text)
    }

    fn dribble(text: &str) -> Dribble {
        text.parse().expect(text)
    }

    #[test]
    fn a_dribble_is_a_size_and_a_pause() {
        for (text, size, pause) in [
            ("1B/100ms", 1, Duration::from_millis(100)),
            ("1/1s", 1, Duration::from_secs(1)),
            ("4KiB/1m", 4096, Duration::from_secs(60)),
            ("3B/0", 3, Duration::ZERO),
            ("7B", 7, PAUSE),
        ] {
            let read = dribble(text);
            assert_eq!((read.size.get(), read.pause), (size, pause), "{text}");
            assert_eq!(dribble(&read.to_string()), read);
        }
        for bad in [
            "", "/", "1B/", "/1s", "0B/1s", "-1B/1s", "1B/ten", "1B/1s/1s",
        ] {
            assert_eq!(bad.parse::<Dribble>(), Err(PiecesFault::Dribble), "{bad}");
        }
    }

    #[test]
    fn sizes_are_a_list_of_numbers_of_which_none_is_zero() {
        let list = |text| sizes(text).0.iter().map(|size| size.get()).collect();
        let read: Vec<u64> = list("1, 3,2,1000");
        assert_eq!(read, [1, 3, 2, 1000]);
        for bad in ["", ",", "1,", "0", "1,0,2", "a", "-1", "1 2"] {
            assert_eq!(bad.parse::<Sizes>(), Err(PiecesFault::Sizes), "{bad}");
        }
    }

    #[test]
    fn each_size_is_followed_by_a_pause_and_the_rest_goes_as_it_will() {
        let mut pieces = Pieces::new(Some(&sizes("2,1")), None, None).expect("it is asked for");
        let now = Moment::START;
        assert_eq!(pieces.poll(now), Turn::Write(2));
        // A short write leaves the piece open: its end is still to come, and at once.
        pieces.handle_written(1, now);
        assert_eq!(pieces.poll(now), Turn::Write(1));
        pieces.handle_written(1, now);
        assert_eq!(pieces.poll(now), Turn::Wait(now + PAUSE));
        let now = now + PAUSE;
        assert_eq!(pieces.poll(now), Turn::Write(1));
        pieces.handle_written(1, now);
        assert_eq!(pieces.poll(now), Turn::Wait(now + PAUSE));
        assert_eq!(pieces.poll(now + PAUSE), Turn::Write(u64::MAX));
        pieces.handle_written(1 << 40, now + PAUSE);
        assert_eq!(pieces.poll(now + PAUSE), Turn::Write(u64::MAX));
    }

    #[test]
    fn behind_the_sizes_the_dribble_goes_on_with_its_own_pause() {
        let (sizes, dribble) = (sizes("3"), dribble("2B/1s"));
        let mut pieces = Pieces::new(Some(&sizes), Some(dribble), None).expect("it is asked for");
        let mut now = Moment::START;
        for size in [3, 2, 2, 2] {
            assert_eq!(pieces.poll(now), Turn::Write(size));
            pieces.handle_written(size, now);
            assert_eq!(pieces.poll(now), Turn::Wait(now + dribble.pause));
            now = now + dribble.pause;
        }
    }

    #[test]
    fn a_cut_comes_at_its_byte_and_waits_for_no_pause() {
        let mut pieces = Pieces::new(Some(&sizes("4")), None, Some(4)).expect("it is asked for");
        let now = Moment::START;
        pieces.handle_written(4, now);
        assert_eq!(pieces.poll(now), Turn::Cut(4));
        let at_once = Pieces::new(None, None, Some(0)).expect("it is asked for");
        assert_eq!(at_once.poll(now), Turn::Cut(0));
    }

    #[test]
    fn nothing_asked_for_is_no_plan() {
        assert_eq!(Pieces::new(None, None, None), None);
    }

    proptest! {
        #[test]
        fn whatever_the_system_takes_the_stream_is_cut_where_the_plan_says(
            list in proptest::collection::vec(1u64..50, 0..6),
            then in proptest::option::of(1u64..50),
            cut in proptest::option::of(0u64..400),
            taken in proptest::collection::vec(1u64..20, 1..8),
        ) {
            let nonzero = |size| NonZeroU64::new(size).expect("the range starts at 1");
            let sizes = (!list.is_empty()).then(|| Sizes(list.iter().copied().map(nonzero).collect()));
            let pause = Duration::from_secs(1);
            let dribble = then.map(|size| Dribble { size: nonzero(size), pause });
            let Some(mut pieces) = Pieces::new(sizes.as_ref(), dribble, cut) else {
                return Ok(());
            };
            let mut ends = Vec::new();
            let (mut now, mut sent) = (Moment::START, 0);
            let mut taken = taken.into_iter().cycle();
            while sent < 300 {
                match pieces.poll(now) {
                    Turn::Write(most) => {
                        prop_assert!(most > 0);
                        let wrote = taken.next().expect("it cycles").min(most);
                        sent += wrote;
                        pieces.handle_written(wrote, now);
                    }
                    Turn::Wait(until) => {
                        prop_assert!(until > now);
                        ends.push(sent);
                        now = until;
                    }
                    Turn::Cut(after) => {
                        prop_assert_eq!(Some(after), cut);
                        break;
                    }
                }
            }
            prop_assert!(cut.is_none_or(|cut| sent <= cut));
            let all = list.into_iter().chain(then.into_iter().cycle());
            let planned: Vec<u64> = all
                .scan(0, |at, size| { *at += size; Some(*at) })
                .take_while(|at| *at < sent)
                .collect();
            // The pause behind the very last byte may not have been asked for.
            prop_assert!(ends.len() <= planned.len() + 1);
            prop_assert_eq!(&ends[..planned.len()], &planned[..]);
            prop_assert!(ends.last().is_none_or(|&end| end <= sent));
        }
    }
}
