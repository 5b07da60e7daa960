//! Looks at what has been spent and delivered at two moments. Knows nothing of what happens in between.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::process::{Process, Usage};

/// What there is to look at.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    /// The process that serves; none if it is not known.
    pub server: Option<Process>,
    /// How many events have reached watchers, if there are any.
    pub delivered: Arc<AtomicU64>,
}

/// One look.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    at: Instant,
    server: Option<Usage>,
    client: Option<Usage>,
    delivered: u64,
}

/// What happened between two looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spent {
    /// The time between them.
    pub elapsed: Duration,
    /// Processor time of the server; none if its process is not known.
    pub server: Option<Duration>,
    /// Processor time of this process.
    pub client: Option<Duration>,
    /// Events that reached watchers.
    pub delivered: u64,
}

impl Meter {
    /// For a server's process alone.
    #[must_use]
    pub fn of(server: Option<Process>) -> Self {
        Self { server, ..Self::default() }
    }

    /// Looks.
    #[must_use]
    pub fn read(&self) -> Reading {
        Reading {
            at: Instant::now(),
            server: self.server.and_then(Usage::of),
            client: Usage::of(Process::this()),
            delivered: self.delivered.load(Ordering::Relaxed),
        }
    }

    /// What happened since an earlier look.
    #[must_use]
    pub fn since(&self, before: &Reading) -> Spent {
        let now = self.read();
        let between = |before: Option<Usage>, now: Option<Usage>| Some(now?.since(before?));
        Spent {
            elapsed: now.at - before.at,
            server: between(before.server, now.server),
            client: between(before.client, now.client),
            delivered: now.delivered - before.delivered,
        }
    }
}

/// Microseconds of processor time for each of so many; none if the time is not known or there are none.
#[must_use]
pub fn us_each(cpu: Option<Duration>, count: u64) -> Option<f64> {
    cpu.filter(|_| count > 0).map(|cpu| cpu.as_secs_f64() * 1e6 / count as f64)
}

/// So many in this time, a second.
#[must_use]
pub fn per_s(count: u64, elapsed: Duration) -> f64 {
    if elapsed.is_zero() { 0.0 } else { count as f64 / elapsed.as_secs_f64() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spent_is_shared_out() {
        assert_eq!(us_each(Some(Duration::from_millis(3)), 1_000), Some(3.0));
        assert_eq!(us_each(None, 1_000), None);
        assert_eq!(us_each(Some(Duration::from_millis(3)), 0), None);
        assert!((per_s(500, Duration::from_millis(250)) - 2_000.0).abs() < 1e-9);
        assert!(per_s(500, Duration::ZERO).abs() < 1e-9);
    }

    #[test]
    fn only_what_came_between_two_looks_counts() {
        let meter = Meter::of(None);
        meter.delivered.store(7, Ordering::Relaxed);
        let before = meter.read();
        meter.delivered.store(10, Ordering::Relaxed);
        let spent = meter.since(&before);
        assert_eq!((spent.delivered, spent.server), (3, None));
    }
}
