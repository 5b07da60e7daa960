//! What happened on a bus, counted. Knows nothing of why.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::bus::Counts;

/// The counters behind [`Counts`].
#[derive(Default)]
pub(super) struct Counters {
    pub published: AtomicU64,
    pub fetches: AtomicU64,
    pub lost: AtomicU64,
    pub received: AtomicU64,
    pub unreadable: AtomicU64,
    pub gaps: AtomicU64,
    pub interruptions: AtomicU64,
}

impl Counters {
    pub fn add(counter: &AtomicU64, n: usize) {
        counter.fetch_add(n as u64, Ordering::Relaxed);
    }

    pub fn counts(&self) -> Counts {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            published: get(&self.published),
            fetches: get(&self.fetches),
            lost: get(&self.lost),
            received: get(&self.received),
            unreadable: get(&self.unreadable),
            gaps: get(&self.gaps),
            interruptions: get(&self.interruptions),
        }
    }
}
