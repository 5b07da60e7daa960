//! A bound on what many share: bytes in flight, open streams, reads under way. Who finds it used up is refused at once
//! and told when to come back; nobody waits. Knows nothing of what is counted.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::error::{Error, Scarce};

/// How long whoever is refused should wait. What is in flight is gone within a round trip or a commit.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// So much may be held at once. Clones share it.
///
/// Two atomic additions to take, two to give back: no lock, no queue, no task.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    what: Scarce,
    max: usize,
    held: AtomicUsize,
    /// What is taken from this budget is taken from that one as well.
    within: Option<Budget>,
}

impl Budget {
    /// A budget of `max`, of what is counted as `what`.
    #[must_use]
    pub fn new(what: Scarce, max: usize) -> Self {
        Self(Arc::new(Inner { what, max, held: AtomicUsize::new(0), within: None }))
    }

    /// A share of this budget: no more than `max` of it.
    #[must_use]
    pub fn share(&self, what: Scarce, max: usize) -> Self {
        let within = Some(self.clone());
        Self(Arc::new(Inner { what, max, held: AtomicUsize::new(0), within }))
    }

    /// Takes `amount` until the permit is dropped.
    ///
    /// # Errors
    /// [`Error::Exhausted`] when less is left.
    pub fn take(&self, amount: usize) -> Result<Permit, Error> {
        self.add(amount)?;
        Ok(Permit { budget: self.clone(), held: AtomicUsize::new(amount) })
    }

    /// How much is held now.
    #[must_use]
    pub fn held(&self) -> usize {
        self.0.held.load(Ordering::Relaxed)
    }

    fn add(&self, amount: usize) -> Result<(), Error> {
        let Inner { what, max, held, within } = &*self.0;
        let before = held.fetch_add(amount, Ordering::Relaxed);
        let result = if before.saturating_add(amount) > *max {
            Err(Error::Exhausted { what: *what, max: *max, retry_after: RETRY_AFTER })
        } else {
            within.as_ref().map_or(Ok(()), |within| within.add(amount))
        };
        if result.is_err() {
            held.fetch_sub(amount, Ordering::Relaxed);
        }
        result
    }

    fn add_anyway(&self, amount: usize) {
        self.0.held.fetch_add(amount, Ordering::Relaxed);
        if let Some(within) = &self.0.within {
            within.add_anyway(amount);
        }
    }

    fn subtract(&self, amount: usize) {
        self.0.held.fetch_sub(amount, Ordering::Relaxed);
        if let Some(within) = &self.0.within {
            within.subtract(amount);
        }
    }
}

/// A part of a budget, given back when it is dropped.
#[derive(Debug)]
pub struct Permit {
    budget: Budget,
    held: AtomicUsize,
}

impl Permit {
    /// Takes so much more.
    ///
    /// # Errors
    /// [`Error::Exhausted`] when less is left; what is held stays held.
    pub fn grow(&self, amount: usize) -> Result<(), Error> {
        self.budget.add(amount)?;
        self.held.fetch_add(amount, Ordering::Relaxed);
        Ok(())
    }

    /// Takes so much more, even if less is left: for what is there already and cannot be refused. Others are refused the
    /// sooner for it.
    pub fn grow_anyway(&self, amount: usize) {
        self.budget.add_anyway(amount);
        self.held.fetch_add(amount, Ordering::Relaxed);
    }

    /// Gives back what is held beyond `amount`.
    pub fn shrink_to(&self, amount: usize) {
        let held = self.held.fetch_min(amount, Ordering::Relaxed);
        self.budget.subtract(held.saturating_sub(amount));
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.subtract(*self.held.get_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_refused<T>(result: Result<T, Error>, expected: Scarce) -> bool {
        matches!(result, Err(Error::Exhausted { what, .. }) if what == expected)
    }

    #[test]
    fn what_is_taken_comes_back() {
        let budget = Budget::new(Scarce::Streams, 3);
        let two = budget.take(2).unwrap();
        assert!(is_refused(budget.take(2), Scarce::Streams));
        let one = budget.take(1).unwrap();
        assert_eq!(budget.held(), 3);
        drop(two);
        one.grow(2).unwrap();
        assert!(is_refused(one.grow(1), Scarce::Streams));
        one.grow_anyway(2);
        assert_eq!(budget.held(), 5, "what is there is counted");
        assert!(is_refused(budget.take(0), Scarce::Streams));
        one.shrink_to(2);
        one.shrink_to(3);
        assert_eq!(budget.held(), 2);
        one.shrink_to(0);
        assert_eq!(budget.held(), 0);
        drop(one);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn a_share_is_bound_by_itself_and_by_the_whole() {
        let whole = Budget::new(Scarce::BytesInFlight, 10);
        let [a, b] = [(); 2].map(|()| whole.share(Scarce::BytesOfConnection, 6));
        let of_a = a.take(6).unwrap();
        assert!(is_refused(a.take(1), Scarce::BytesOfConnection));
        assert!(is_refused(b.take(5), Scarce::BytesInFlight));
        assert_eq!((whole.held(), b.held()), (6, 0), "what is refused holds nothing");
        let of_b = b.take(4).unwrap();
        drop(of_a);
        assert_eq!(whole.held(), 4);
        drop(of_b);
        assert_eq!(whole.held(), 0);
    }

    #[test]
    fn an_amount_beyond_all_numbers_is_refused() {
        let budget = Budget::new(Scarce::Reads, usize::MAX - 1);
        let _one = budget.take(1).unwrap();
        assert!(is_refused(budget.take(usize::MAX), Scarce::Reads));
    }
}
