//! What many measurements come to: medians, percentiles.

use serde::{Deserialize, Serialize};

/// The middle one; of an even number the mean of the two in the middle. `None` of nothing.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    Some(if sorted.len().is_multiple_of(2) { (sorted[middle - 1] + upper) / 2.0 } else { upper })
}

/// Latencies in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Latencies {
    pub count: u64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub max_us: f64,
}

impl Latencies {
    pub fn of(mut microseconds: Vec<u32>) -> Self {
        microseconds.sort_unstable();
        let at = |hundredths| percentile(&microseconds, hundredths).map_or(0.0, f64::from);
        Self { count: microseconds.len() as u64, p50_us: at(50), p99_us: at(99), max_us: at(100) }
    }

    /// Each figure is the median of that figure in several runs; the maximum is the greatest of all.
    pub fn median_of(runs: &[Self]) -> Self {
        let median_by =
            |figure: fn(&Self) -> f64| median(&runs.iter().map(figure).collect::<Vec<_>>()).unwrap_or_default();
        Self {
            count: runs.iter().map(|run| run.count).sum(),
            p50_us: median_by(|run| run.p50_us),
            p99_us: median_by(|run| run.p99_us),
            max_us: runs.iter().map(|run| run.max_us).fold(0.0, f64::max),
        }
    }
}

/// The smallest value that at least so many of a hundred are not above ("nearest rank"). `None` of nothing.
fn percentile(sorted: &[u32], hundredths: usize) -> Option<u32> {
    let rank = (sorted.len() * hundredths).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
#[allow(unused)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle_whatever_the_order() {
        for (values, expected) in
            [(&[][..], None), (&[3.0], Some(3.0)), (&[9.0, 1.0, 2.0], Some(2.0)), (&[4.0, 1.0, 100.0, 2.0], Some(3.0))]
        {
            assert_eq!(median(values), expected, "{values:?}");
        }
    }

    #[test]
    fn a_percentile_is_a_value_that_occurred_and_the_slowest_of_a_hundred_is_not_in_the_99th() {
        let hundred: Vec<u32> = (1..=100).rev().collect();
        assert_eq!(Latencies::of(hundred), Latencies { count: 100, p50_us: 50.0, p99_us: 99.0, max_us: 100.0 });
        assert_eq!(Latencies::of(vec![7]), Latencies { count: 1, p50_us: 7.0, p99_us: 7.0, max_us: 7.0 });
        assert_eq!(Latencies::of(vec![2, 1]), Latencies { count: 2, p50_us: 1.0, p99_us: 2.0, max_us: 2.0 });
        assert_eq!(Latencies::of(vec![]), Latencies::default());
    }

    #[test]
    fn of_several_runs_the_worst_moment_is_kept() {
        let run = |p50_us, max_us| Latencies { count: 10, p50_us, p99_us: 2.0 * p50_us, max_us };
        let all = Latencies::median_of(&[run(1.0, 50.0), run(3.0, 10.0), run(2.0, 20.0)]);
        assert_eq!(all, Latencies { count: 30, p50_us: 2.0, p99_us: 4.0, max_us: 50.0 });
    }
}
