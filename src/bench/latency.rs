//! How long things took, kept so that percentiles can be told. Knows nothing of what took so long.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Significant decimal digits that are kept.
const DIGITS: u8 = 3;

/// A distribution of durations, in nanoseconds to three digits.
#[derive(Clone, Debug)]
pub struct Latency(Histogram<u64>);

impl Default for Latency {
    fn default() -> Self {
        Self(Histogram::new(DIGITS).expect("three digits are allowed"))
    }
}

impl Latency {
    /// Adds one.
    pub fn record(&mut self, took: Duration) {
        // Not `saturating_record`: it would cut to what the histogram happens to hold instead of growing.
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.0.record(nanos).expect("it grows as it must");
    }

    /// Adds all of another.
    pub fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("it grows as it must");
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time in microseconds within which this share of them ended, 0 to 1; none if there are none.
    #[must_use]
    pub fn quantile_us(&self, share: f64) -> Option<f64> {
        (!self.0.is_empty()).then(|| self.0.value_at_quantile(share) as f64 / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_all_that_was_recorded() {
        let (mut odd, mut even) = (Latency::default(), Latency::default());
        assert_eq!(odd.quantile_us(0.5), None);
        for us in 1..=1_000 {
            let side = if us % 2 == 1 { &mut odd } else { &mut even };
            side.record(Duration::from_micros(us));
        }
        odd.add(&even);
        assert_eq!(odd.count(), 1_000);
        let near = |share, expected: f64| (odd.quantile_us(share).unwrap() / expected - 1.0).abs() < 0.002;
        assert!(near(0.5, 500.0) && near(0.99, 990.0) && near(1.0, 1_000.0));
    }
}
