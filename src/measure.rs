//! Distributions of what the process has done since it started: counted with atomics, so that counting costs nobody a
//! wait, and read by whoever shows them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Bounds for times in microseconds: from half a millisecond to the longest time-out of a receiver and beyond.
pub const MICROS: [u64; 16] = [
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    300_000_000,
];

/// Bounds for how many things went together.
pub const COUNTS: [u64; 11] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];

/// How often a quantity lay between fixed bounds.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

/// What a [`Histogram`] has counted so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution {
    /// The largest value of each bucket; one more bucket has what is above the last.
    pub bounds: &'static [u64],
    /// Values in each bucket, alone.
    pub counts: Vec<u64>,
    pub sum: u64,
}

impl Histogram {
    /// `bounds` grow.
    pub fn new(bounds: &'static [u64]) -> Self {
        Self { bounds, counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(), sum: AtomicU64::new(0) }
    }

    pub fn count(&self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// In microseconds.
    pub fn count_time(&self, time: Duration) {
        self.count(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    pub fn read(&self) -> Distribution {
        Distribution {
            bounds: self.bounds,
            counts: self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect(),
            sum: self.sum.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_counted_below_the_first_bound_that_it_does_not_exceed() {
        let histogram = Histogram::new(&[10, 20]);
        for value in [0, 10, 11, 20, 21, 1_000] {
            histogram.count(value);
        }
        histogram.count_time(Duration::from_micros(12));
        let Distribution { bounds, counts, sum } = histogram.read();
        assert_eq!((bounds, counts.as_slice(), sum), ([10, 20].as_slice(), [2, 3, 2].as_slice(), 1_074));
    }

    #[test]
    fn bounds_grow() {
        for bounds in [MICROS.as_slice(), &COUNTS] {
            assert!(bounds.is_sorted_by(|one, next| one < next));
        }
    }
}
