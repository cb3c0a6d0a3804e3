//! Percentiles of small samples.

use serde::Serialize;

/// Median and 99th percentile, nearest rank.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    /// Half of the samples are at most this.
    pub(crate) p50: f64,
    /// 99 of 100 samples are at most this.
    pub(crate) p99: f64,
}

impl Spread {
    /// Returns the spread of some samples, or `None` for none. Sorts them.
    pub(crate) fn of(samples: &mut [f64]) -> Option<Spread> {
        samples.sort_unstable_by(f64::total_cmp);
        Some(Spread {
            p50: nearest(samples, 50)?,
            p99: nearest(samples, 99)?,
        })
    }
}

/// Number, median, 99th percentile and maximum of samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Distribution {
    /// How many.
    pub(crate) count: usize,
    /// Half of the samples are at most this.
    pub(crate) p50: f64,
    /// 99 of 100 samples are at most this.
    pub(crate) p99: f64,
    /// All samples are at most this.
    pub(crate) max: f64,
}

impl Distribution {
    /// Returns the distribution of some samples, or `None` for none. Sorts them.
    pub(crate) fn of(samples: &mut [f64]) -> Option<Distribution> {
        let Spread { p50, p99 } = Spread::of(samples)?;
        Some(Distribution {
            count: samples.len(),
            p50,
            p99,
            max: *samples.last()?,
        })
    }
}

/// Returns the smallest of the sorted samples that at least `percent` of them do not exceed.
pub(crate) fn nearest(sorted: &[f64], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples_and_none_of_none() {
        assert_eq!(Spread::of(&mut []), None);
        assert_eq!(Spread::of(&mut [7.0]), Some(Spread { p50: 7.0, p99: 7.0 }));
        assert_eq!(Distribution::of(&mut []), None);
        let of_two = Distribution::of(&mut [9.0, 1.0]).map(|all| (all.count, all.p50, all.max));
        assert_eq!(of_two, Some((2, 1.0, 9.0)));
        let mut samples: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!(
            Spread::of(&mut samples),
            Some(Spread {
                p50: 100.0,
                p99: 198.0
            })
        );
    }
}
