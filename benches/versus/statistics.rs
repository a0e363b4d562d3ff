//! Medians, spreads and ratios of rounds. Rounds are compared with each other, since the machine
//! is another one a minute later.

/// A median with the least and the most beside it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

/// None of no values.
pub(crate) fn spread(values: &[f64]) -> Option<Spread> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (&least, &most) = (sorted.first()?, sorted.last()?);
    let middle = sorted.len() / 2;
    let median = if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    };
    Some(Spread {
        median,
        least,
        most,
    })
}

/// Each round's ratio. A round that lacks one of the two has none.
pub(crate) fn ratios(of: &[Option<f64>], to: &[Option<f64>]) -> Vec<f64> {
    let pairs = of.iter().zip(to);
    let both = pairs.filter_map(|(of, to)| Some((*of)? / (*to)?));
    // 0 / 0 and the like: a processor time below the clock's tick says nothing.
    both.filter(|ratio| ratio.is_finite()).collect()
}

/// A percentile of sorted values: the least that so many percent don't exceed. 0 of none.
pub(crate) fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100);
    let value = sorted.get(rank.saturating_sub(1)).or(sorted.last());
    value.copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_stands_in_the_middle_or_between_the_middle_two() {
        let odd = spread(&[3.0, 1.0, 2.0]).expect("there are three");
        assert_eq!((odd.median, odd.least, odd.most), (2.0, 1.0, 3.0));
        let even = spread(&[4.0, 1.0, 2.0, 10.0]).expect("there are four");
        assert_eq!((even.median, even.least, even.most), (3.0, 1.0, 10.0));
        assert_eq!(spread(&[]), None);
    }

    #[test]
    fn a_ratio_compares_figures_of_one_round() {
        let of = [Some(2.0), None, Some(9.0), Some(0.0)];
        let to = [Some(1.0), Some(5.0), Some(3.0), Some(0.0)];
        assert_eq!(ratios(&of, &to), [2.0, 3.0]);
        assert_eq!(ratios(&of, &[]), [0.0; 0]);
    }

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(percentile(&hundred, 50), 50.0);
        assert_eq!(percentile(&hundred, 99), 99.0);
        assert_eq!(percentile(&hundred, 100), 100.0);
        assert_eq!(percentile(&[7.0], 99), 7.0);
        assert_eq!(percentile(&[], 50), 0.0);
    }
}
