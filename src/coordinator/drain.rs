//! When each stream ends in a shutdown: spread evenly, so that watchers do not all come back at the same moment. Knows
//! nothing of streams.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// The golden ratio's fraction in 64 bits. Its multiples, without what is before the point, fill a range evenly however
/// many are taken, so nobody has to know how many there will be.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// Gives out delays between zero and a spread.
pub(super) struct Schedule {
    spread: Duration,
    next: AtomicU64,
}

impl Schedule {
    pub fn over(spread: Duration) -> Self {
        Self { spread, next: AtomicU64::new(0) }
    }

    /// How long the stream that asks may go on. The first may not go on at all.
    pub fn delay(&self) -> Duration {
        let fraction = self.next.fetch_add(STEP, Ordering::Relaxed);
        let nanos = (self.spread.as_nanos() * u128::from(fraction)) >> 64;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_spread_evenly() {
        const SPREAD: Duration = Duration::from_secs(2);
        for streams in [1_usize, 2, 10, 100, 1_000, 10_000] {
            let schedule = Schedule::over(SPREAD);
            let mut delays: Vec<_> = (0..streams).map(|_| schedule.delay()).collect();
            assert_eq!(delays[0], Duration::ZERO);
            delays.sort_unstable();
            assert!(delays[streams - 1] < SPREAD);
            // No tenth of the time sees much more, or much less, than a tenth of the ends.
            for tenth in 0..10 {
                let within = |d: &&Duration| (d.as_nanos() * 10 / SPREAD.as_nanos()) == tenth;
                let here = delays.iter().filter(within).count();
                assert!(here.abs_diff(streams / 10) <= 2, "{here} of {streams} in tenth {tenth}");
            }
        }
    }

    #[test]
    fn without_a_spread_all_end_at_once() {
        let schedule = Schedule::over(Duration::ZERO);
        assert!((0..10).all(|_| schedule.delay() == Duration::ZERO));
    }
}
