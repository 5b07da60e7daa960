//! How far a commit has come, and when: stamped on its way through a store, read by whoever measures. Knows nothing of
//! what is committed.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Stamps of one commit, each made at most a few times; the last one counts.
#[derive(Debug)]
pub struct Progress {
    begun: Instant,
    /// Nanoseconds since it began; 0: not yet.
    locked: AtomicU64,
    loaded: AtomicU64,
    applied: AtomicU64,
    persisted: AtomicU64,
}

/// How long the parts of a commit took. A part whose end was not stamped counts to the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phases {
    /// Until the lock was held.
    pub lock: Duration,
    /// Until everything was loaded.
    pub load: Duration,
    /// Until the requests were decided.
    pub apply: Duration,
    /// Until what they came to was written.
    pub persist: Duration,
    /// Until it was durable.
    pub commit: Duration,
}

impl Default for Progress {
    fn default() -> Self {
        let [locked, loaded, applied, persisted] = [const { AtomicU64::new(0) }; 4];
        Self { begun: Instant::now(), locked, loaded, applied, persisted }
    }
}

impl Progress {
    /// The swarm's lock is held.
    pub fn locked(&self) {
        self.stamp(&self.locked);
    }

    /// The swarm's lock was held at that time, as it turned out later.
    pub fn locked_at(&self, at: Instant) {
        let after = at.saturating_duration_since(self.begun);
        self.locked.store(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// What the commit touches is loaded.
    pub(super) fn loaded(&self) {
        self.stamp(&self.loaded);
    }

    /// The requests are decided.
    pub(super) fn applied(&self) {
        self.stamp(&self.applied);
    }

    /// What they came to is written, and not yet durable.
    pub fn persisted(&self) {
        self.stamp(&self.persisted);
    }

    /// The parts, for a commit that ends now.
    #[must_use]
    pub fn phases(&self) -> Phases {
        let mut from = 0;
        let mut upto = |stamp: u64| {
            let took = stamp.saturating_sub(from);
            from = from.max(stamp);
            Duration::from_nanos(took)
        };
        Phases {
            lock: upto(self.locked.load(Ordering::Relaxed)),
            load: upto(self.loaded.load(Ordering::Relaxed)),
            apply: upto(self.applied.load(Ordering::Relaxed)),
            persist: upto(self.persisted.load(Ordering::Relaxed)),
            commit: upto(self.now()),
        }
    }

    fn stamp(&self, at: &AtomicU64) {
        at.store(self.now(), Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_whose_end_is_not_stamped_counts_to_the_next() {
        let progress = Progress::default();
        progress.loaded.store(30, Ordering::Relaxed);
        progress.applied.store(50, Ordering::Relaxed);
        let Phases { lock, load, apply, persist, commit } = progress.phases();
        assert_eq!([lock, load, apply, persist].map(|part| part.as_nanos()), [0, 30, 20, 0]);
        assert!(commit.as_nanos() > 0);
    }
}
