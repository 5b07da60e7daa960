//! The newest state of a swarm that a client has seen, so that its reads see at least that. Knows nothing of what a token says:
//! answers carry the revision beside it, and that orders the tokens of one history.
//!
//! Tokens of two histories cannot be compared. Whatever hints at another history therefore makes the client forget, and a client
//! that knows nothing reads strongly, which is always enough.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::wire::v1;

/// So many swarms are remembered; past it, all are forgotten.
const SWARMS_MAX: usize = 1024;

/// The newest states by swarm, shared by a client and its clones.
#[derive(Debug, Default)]
pub(super) struct Swarms(Mutex<HashMap<String, Arc<Newest>>>);

impl Swarms {
    pub fn of(&self, swarm: &str) -> Arc<Newest> {
        let mut swarms = locked(&self.0);
        if let Some(newest) = swarms.get(swarm) {
            return Arc::clone(newest);
        }
        if swarms.len() >= SWARMS_MAX {
            swarms.clear();
        }
        Arc::clone(swarms.entry(swarm.to_owned()).or_default())
    }
}

/// The newest state of one swarm that was seen.
#[derive(Debug, Default)]
pub(super) struct Newest {
    /// Of the token; 0: none. Written under the lock, read without it.
    revision: AtomicU64,
    token: Mutex<Option<String>>,
}

/// What an answer may be compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Basis {
    /// It may be of any state, however old.
    Any,
    /// In one history it cannot be below this revision, which was seen before it was asked for.
    Since(u64),
}

impl Newest {
    /// The revision of the newest state; 0 if none is known.
    pub fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    pub fn token(&self) -> Option<String> {
        locked(&self.token).clone()
    }

    /// Notes the state of an answer.
    pub fn learn(&self, token: &str, revision: u64, basis: Basis) {
        match basis {
            // Revisions of one history never run back.
            Basis::Since(seen) if revision < seen => self.forget_all(),
            // The ordinary case of many watches: another was faster. No lock for that.
            _ if revision <= self.revision() || token.is_empty() => {}
            _ => {
                let mut newest = locked(&self.token);
                if revision > self.revision() {
                    *newest = Some(token.to_owned());
                    self.revision.store(revision, Ordering::Release);
                }
            }
        }
    }

    /// Forgets a token that was refused, unless a newer one has taken its place.
    pub fn forget(&self, refused: &str) {
        let mut newest = locked(&self.token);
        if newest.as_deref() == Some(refused) {
            *newest = None;
            self.revision.store(0, Ordering::Release);
        }
    }

    /// Forgets whatever is known.
    pub fn forget_all(&self) {
        let mut newest = locked(&self.token);
        *newest = None;
        self.revision.store(0, Ordering::Release);
    }
}

/// An answer that says which state it is of.
pub(super) trait Stand {
    /// The state's token and revision; none if it does not say both.
    fn stand(&self) -> Option<(&str, u64)>;
}

macro_rules! stand {
    ($($response:ident: $this:ident => $revision:expr;)*) => {$(
        impl Stand for v1::$response {
            fn stand(&self) -> Option<(&str, u64)> {
                let $this = self;
                let revision: u64 = $revision;
                (revision > 0 && !$this.token.is_empty()).then_some((&*$this.token, revision))
            }
        }
    )*};
}

stand! {
    PutResponse: this => this.result.as_ref().map_or(0, |result| result.revision);
    BatchPutResponse: this => this.results.first().map_or(0, |result| result.revision);
    DeleteResponse: this => this.revision;
    DeletePrefixResponse: this => this.revision;
    TransactResponse: this => this.revision;
    GetResponse: this => this.revision;
    BatchGetResponse: this => this.revision;
    ListResponse: this => this.revision;
    RecallResponse: this => this.revision;
    ContextResponse: this => this.revision;
    ListNamespacesResponse: this => this.revision;
    GetSwarmResponse: this => this.swarm.as_ref().map_or(0, |swarm| swarm.revision);
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is left half done by a holder that panics.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(newest: &Newest) -> (Option<String>, u64) {
        (newest.token(), newest.revision())
    }

    #[test]
    fn the_newest_wins_in_whatever_order_answers_come() {
        let newest = Newest::default();
        for (token, revision) in [("b", 2), ("d", 4), ("c", 3), ("d'", 4), ("", 9)] {
            newest.learn(token, revision, Basis::Any);
        }
        assert_eq!(known(&newest), (Some("d".into()), 4));
    }

    #[test]
    fn an_answer_that_contradicts_what_was_seen_makes_it_forget() {
        let newest = Newest::default();
        newest.learn("old history", 9, Basis::Any);
        newest.learn("late", 5, Basis::Since(5));
        assert_eq!(newest.revision(), 9, "an answer asked for earlier is no contradiction");
        newest.learn("another history", 8, Basis::Since(9));
        assert_eq!(known(&newest), (None, 0));
    }

    #[test]
    fn only_the_token_that_was_refused_is_forgotten() {
        let newest = Newest::default();
        newest.learn("a", 1, Basis::Any);
        newest.learn("b", 2, Basis::Any);
        newest.forget("a");
        assert_eq!(known(&newest), (Some("b".into()), 2));
        newest.forget("b");
        assert_eq!(known(&newest), (None, 0));
    }

    #[test]
    fn each_swarm_has_its_own_and_there_is_an_end_to_them() {
        let swarms = Swarms::default();
        swarms.of("a").learn("token", 1, Basis::Any);
        assert_eq!((swarms.of("a").revision(), swarms.of("b").revision()), (1, 0));
        (0..SWARMS_MAX).for_each(|n| drop(swarms.of(&format!("s{n}"))));
        assert_eq!(swarms.of("a").revision(), 0);
    }
}
