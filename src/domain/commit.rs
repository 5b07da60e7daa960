//! What one commit did: the unit that stores persist, feeds append and the bus carries.

use std::sync::Arc;

use super::{
    entry::Version,
    swarm::{Incarnation, Mark, Revision},
};

/// Consecutive revisions that were committed together. Never empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Commit {
    /// The history it belongs to.
    pub incarnation: Incarnation,
    /// The head before it.
    pub prev: Mark,
    /// The head after it.
    pub last: Mark,
    /// Its changes in order of revision and ordinal.
    pub versions: Vec<Arc<Version>>,
}

impl Commit {
    /// Its first revision.
    #[must_use]
    pub fn first(&self) -> Revision {
        self.prev.revision.next()
    }
}
