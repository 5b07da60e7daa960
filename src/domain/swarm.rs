//! A swarm's identity and its head: the counter that orders everything in it.

use std::{fmt, sync::Arc, time::Duration};

use uuid::Uuid;

use super::{Invalid, time::Timestamp};

/// A swarm's name: 1 to 63 of `a-z 0-9 - _`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SwarmId(Arc<str>);

impl SwarmId {
    /// Parses a swarm's name.
    ///
    /// # Errors
    /// When it is not 1 to 63 of the characters allowed.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        if text.is_empty() || text.len() > 63 || !text.bytes().all(allowed) {
            return Err(Invalid::new("swarm", "must be 1 to 63 characters of a-z, 0-9, - and _"));
        }
        Ok(Self(text.into()))
    }

    /// What a store kept, which was valid when it was written.
    #[must_use]
    pub fn trusted(text: &str) -> Self {
        Self(text.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SwarmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A swarm's counter. Every committed request that changes something takes the next; the first is 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl Revision {
    /// Before the first.
    pub const ZERO: Self = Self(0);

    /// The one after this.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// 128 random bits drawn per commit; tells two histories with the same revisions apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nonce(pub [u8; 16]);

/// Drawn when a swarm is created, restored, or found to have lost data. Revisions compare only within one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Incarnation(pub Uuid);

/// A revision together with the nonce of the commit that made it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mark {
    /// The revision.
    pub revision: Revision,
    /// The nonce of its commit.
    pub nonce: Nonce,
}

/// How long a swarm's log is kept. A revision may be compacted once it is past both bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Kept at least so long.
    pub age: Duration,
    /// Kept at least so many revisions.
    pub revisions: u64,
}

/// The state of a swarm as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Which history this is.
    pub incarnation: Incarnation,
    /// The newest revision and its nonce; at revision 0 the nonce of the creation.
    pub mark: Mark,
    /// The time of the newest revision. Swarm time never runs back.
    pub time: Timestamp,
    /// The smallest revision that can be read and resumed from, and its nonce.
    pub floor: Mark,
    /// Entries that exist, expired ones included until their delete.
    pub entries: u64,
    /// Bytes of their contents.
    pub content_bytes: u64,
}

impl Head {
    /// The head of a swarm in which nothing happened yet.
    #[must_use]
    pub fn new(incarnation: Incarnation, nonce: Nonce, now: Timestamp) -> Self {
        let mark = Mark { revision: Revision::ZERO, nonce };
        Self { incarnation, mark, time: now, floor: mark, entries: 0, content_bytes: 0 }
    }

    /// Swarm time: never before the head's time, whatever the clock says.
    #[must_use]
    pub fn now(&self, clock: Timestamp) -> Timestamp {
        self.time.max(clock)
    }
}

/// A swarm as its store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swarm {
    /// Its name.
    pub id: SwarmId,
    /// Its state.
    pub head: Head,
    /// How long its log is kept.
    pub retention: Retention,
    /// When it was created.
    pub create_time: Timestamp,
    /// The earliest expiry among its entries.
    pub next_expiry: Option<Timestamp>,
    /// Up to here everything is removed that nobody can see any more; at most the floor.
    pub compacted: Revision,
}
