//! What is written and read: keys and contents, the same for every system that is compared. Knows nothing of either.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// The namespace of everything a bench writes.
pub const NAMESPACE: &str = "shared/bench";

/// Which keys are taken, one after the other. Clones share the sequence.
#[derive(Clone, Debug)]
pub struct Keys {
    next: Arc<AtomicU64>,
    /// None: no key comes twice.
    distinct: Option<u64>,
}

impl Keys {
    /// A new key each time, in no order.
    #[must_use]
    pub fn fresh() -> Self {
        Self { next: Arc::default(), distinct: None }
    }

    /// One of so many, at random.
    #[must_use]
    pub fn among(distinct: u64) -> Self {
        Self { next: Arc::default(), distinct: Some(distinct.max(1)) }
    }

    /// The next one.
    pub fn draw(&self) -> String {
        let number = scatter(self.next.fetch_add(1, Ordering::Relaxed));
        key(self.distinct.map_or(number, |distinct| number % distinct))
    }
}

/// The key of a number; all are of the same length.
#[must_use]
pub fn key(number: u64) -> String {
    format!("k{number:016x}")
}

/// How many of `all` go to the place of this index, when they are spread evenly over so many places.
#[must_use]
pub fn share(all: usize, places: usize, index: usize) -> usize {
    (all + places - 1 - index) / places
}

/// A bijection without visible order (the finaliser of splitmix64): different numbers stay different.
fn scatter(number: u64) -> u64 {
    let z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A text of so many bytes.
#[must_use]
pub fn content(bytes: usize) -> String {
    const WORDS: &[u8] = b"the swarm remembers what one of its agents has found out, and so ";
    WORDS.iter().cycle().take(bytes).map(|&byte| char::from(byte)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn fresh_keys_are_all_different_and_in_no_order() {
        let keys = Keys::fresh();
        let drawn: Vec<_> = (0..1_000).map(|_| keys.draw()).collect();
        assert_eq!(drawn.iter().collect::<BTreeSet<_>>().len(), 1_000);
        assert!(!drawn.is_sorted());
    }

    #[test]
    fn keys_of_a_set_stay_in_it_and_reach_all_of_it() {
        let keys = Keys::among(10);
        let drawn: BTreeSet<_> = (0..1_000).map(|_| keys.draw()).collect();
        assert_eq!(drawn, (0..10).map(key).collect());
    }

    #[test]
    fn shares_are_even_and_complete() {
        let shares = |all, places| (0..places).map(|index| share(all, places, index)).collect::<Vec<_>>();
        assert_eq!(shares(10, 4), [3, 3, 2, 2]);
        assert_eq!(shares(3, 4), [1, 1, 1, 0]);
        assert_eq!(shares(1000, 1), [1000]);
    }

    #[test]
    fn a_content_has_its_length() {
        assert_eq!(content(1024).len(), 1024);
        assert_eq!(content(0), "");
    }
}
