//! Where a moment stands on the axis of time.

/// A wait that is shorter is always drawn to scale: a student who dribbles bytes wants to see it.
const LONG_US: u64 = 2_000_000;
/// How much longer than all the rest together a wait has to be before it is shortened.
const MUCH: u64 = 10;
/// Waits that may be shortened.
const SHORTENED_MOST: usize = 4;
/// The part of the axis that a shortened wait gets.
const SHORTENED_PART: f64 = 0.08;

/// From the time to a place between 0 and 1. To scale, except for waits so long that nothing else
/// could be seen: those are drawn short, and whoever draws them says so.
#[derive(Debug)]
pub(super) struct Scale {
    pieces: Vec<Piece>,
}

/// A stretch of time, to scale in itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) from_us: u64,
    pub(super) to_us: u64,
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) is_shortened: bool,
}

impl Scale {
    /// The scale for things that happened at these times, which are sorted.
    pub(super) fn of(times_us: &[u64]) -> Scale {
        let (start, end) = match times_us {
            [start, .., end] => (*start, *end),
            [one] => (*one, *one),
            [] => (0, 0),
        };
        let gaps = times_us.windows(2).map(|pair| (pair[0], pair[1]));
        let shortened = too_long(gaps.collect(), end - start);
        let rest = end - start - shortened.iter().map(|(from, to)| to - from).sum::<u64>();
        let room = 1.0 - SHORTENED_PART * shortened.len() as f64;
        let mut pieces = Vec::new();
        let (mut at_us, mut at) = (start, 0.0);
        let mut add = |to_us: u64, is_shortened: bool| {
            let part = if is_shortened {
                SHORTENED_PART
            } else {
                room * (to_us - at_us) as f64 / rest.max(1) as f64
            };
            pieces.push(Piece {
                from_us: at_us,
                to_us,
                from: at,
                to: at + part,
                is_shortened,
            });
            (at_us, at) = (to_us, at + part);
        };
        for (from, to) in shortened {
            add(from, false);
            add(to, true);
        }
        add(end, false);
        Scale { pieces }
    }

    /// The place of a moment, from 0 to 1.
    pub(super) fn place(&self, at_us: u64) -> f64 {
        let fits = |piece: &&Piece| at_us <= piece.to_us;
        let Some(piece) = self.pieces.iter().find(fits) else {
            return 1.0;
        };
        let part = at_us.saturating_sub(piece.from_us) as f64;
        let whole = (piece.to_us - piece.from_us).max(1) as f64;
        (piece.from + (piece.to - piece.from) * part / whole).clamp(0.0, 1.0)
    }

    /// The same as one of so many columns.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place is between 0 and 1"
    )]
    pub(super) fn column(&self, at_us: u64, columns: usize) -> usize {
        (self.place(at_us) * columns.saturating_sub(1) as f64).round() as usize
    }

    /// The waits that are not to scale.
    pub(super) fn shortened(&self) -> impl Iterator<Item = &Piece> {
        self.pieces.iter().filter(|piece| piece.is_shortened)
    }

    /// How long a part of the axis is, where it is to scale.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a part of the time fits where the time does"
    )]
    pub(super) fn us_in(&self, part: f64) -> u64 {
        let scaled = self.pieces.iter().filter(|piece| !piece.is_shortened);
        let (us, place) = scaled.fold((0, 0.0), |(us, place), piece| {
            (
                us + (piece.to_us - piece.from_us),
                place + piece.to - piece.from,
            )
        });
        (us as f64 / f64::max(place, f64::EPSILON) * part) as u64
    }

    /// Round times to be written at the axis, at least `part` of it apart.
    pub(super) fn ticks(&self, part: f64) -> Vec<u64> {
        let start = self.pieces.first().map_or(0, |piece| piece.from_us);
        let step = round_up(self.us_in(part));
        let mut ticks: Vec<u64> = Vec::new();
        for piece in self.pieces.iter().filter(|piece| !piece.is_shortened) {
            let first = (piece.from_us - start).div_ceil(step);
            let last = (piece.to_us - start) / step;
            // At a break there may be no round time in the piece: then its end is one.
            let round = (first..=last).map(|count| start + count * step);
            let edge = (first > last && piece.from_us > start).then_some(piece.from_us);
            for tick in edge.into_iter().chain(round) {
                let before = ticks.last().map_or(-1.0, |last| self.place(*last));
                if self.place(tick) - before >= part * 0.9 {
                    ticks.push(tick);
                }
            }
        }
        ticks
    }
}

/// The gaps that are each many times as long as everything that is left, in their order.
fn too_long(mut gaps: Vec<(u64, u64)>, whole: u64) -> Vec<(u64, u64)> {
    gaps.sort_by_key(|(from, to)| std::cmp::Reverse(to - from));
    let mut rest = whole;
    let mut found = 0;
    for (index, (from, to)) in gaps.iter().take(SHORTENED_MOST).enumerate() {
        let gap = to - from;
        rest -= gap;
        if gap < LONG_US {
            break;
        }
        if gap > rest.saturating_mul(MUCH) && rest > 0 {
            found = index + 1;
        }
    }
    gaps.truncate(found);
    gaps.sort_unstable();
    gaps
}

/// The next of 1, 2, 5, 10, 20, 50 and so on.
fn round_up(us: u64) -> u64 {
    let mut unit = 1_u64;
    loop {
        for digit in [1, 2, 5] {
            let round = unit.saturating_mul(digit);
            if round >= us {
                return round;
            }
        }
        unit = unit.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn waits_are_to_scale() {
        let scale = Scale::of(&[100, 150, 200, 300]);
        assert!(close(scale.place(100), 0.0));
        assert!(close(scale.place(150), 0.25));
        assert!(close(scale.place(300), 1.0));
        assert_eq!(scale.shortened().count(), 0);
        assert_eq!(scale.ticks(0.2), [100, 150, 200, 250, 300]);
    }

    #[test]
    fn bytes_that_are_dribbled_slowly_are_to_scale_however_quick_the_rest_is() {
        let times: Vec<u64> = (0..6)
            .flat_map(|n| [n * 3_000_000, n * 3_000_000 + 9])
            .collect();
        assert_eq!(Scale::of(&times).shortened().count(), 0);
        assert_eq!(Scale::of(&[0, 1, 1_900_000]).shortened().count(), 0);
    }

    #[test]
    fn a_wait_that_would_hide_all_else_is_shortened() {
        let times = [0, 2_000, 300_002_000, 300_004_000];
        let scale = Scale::of(&times);
        let shortened: Vec<_> = scale.shortened().collect();
        assert_eq!(shortened.len(), 1);
        assert_eq!(
            (shortened[0].from_us, shortened[0].to_us),
            (2_000, 300_002_000)
        );
        assert!(
            close(scale.place(2_000), 0.46),
            "what is left shares the rest"
        );
        assert!(scale.place(300_002_000) < 0.55);
        let ticks = scale.ticks(0.1);
        assert!(ticks.len() > 4 && ticks.is_sorted(), "{ticks:?}");
    }

    #[test]
    fn any_times_have_places_on_the_axis() {
        for times in [
            &[][..],
            &[5],
            &[5, 5],
            &[0, u64::MAX],
            &[0, 1, u64::MAX - 1, u64::MAX],
        ] {
            let scale = Scale::of(times);
            for at in times.iter().chain(&[0, u64::MAX]) {
                assert!((0.0..=1.0).contains(&scale.place(*at)), "{times:?} {at}");
            }
            assert!(scale.ticks(0.1).len() <= 12, "{times:?}");
        }
    }
}
