//! The contract of a store, and the recipe for adding one. A backend locks, loads and persists; what a request
//! means is decided by [`domain::apply`](crate::domain::apply) alone. Knows nothing of RPCs, lanes or watchers.
//!
//! To add a backend: implement [`Store`], and run the conformance suite (`tests/it/conformance`) over it.

pub mod codec;
pub mod memory;
pub mod postgres;
mod progress;
pub mod sqlite;

use std::sync::Arc;

use async_trait::async_trait;

pub use self::progress::{Phases, Progress};
use crate::domain::{
    apply::{self, Applied, Loaded},
    entry::Version,
    limits::Limits,
    namespace::{EntryPath, NamespaceRange},
    position::TokenKey,
    request::{Footprint, Request},
    swarm::{Head, Mark, Nonce, Retention, Revision, Swarm, SwarmId},
    time::Timestamp,
};

/// Keeps swarms: their heads, their logs, the versions of their entries, and the outcomes of idempotent requests.
///
/// Every method is atomic and sees one state; each answer carries the head of the state it was read from.
/// A method that returned `Ok` has done what it says, durably. Futures may be dropped only by a task's abort:
/// callers run them in tasks of their own, so that a cancelled call leaves no connection in the middle of a statement.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The secret of this store's tokens; drawn when the store was made, the same for every replica.
    async fn token_key(&self) -> Result<TokenKey, Error>;

    /// Whether the store answers.
    async fn ping(&self) -> Result<(), Error>;

    /// Whether the store takes writes: commits, durably, something that belongs to no swarm.
    async fn ping_write(&self) -> Result<(), Error>;

    /// How many connections it has at work.
    fn pool(&self) -> Pool {
        Pool::default()
    }

    /// Creates a swarm with a fresh incarnation and nonce, at revision 0. [`Error::SwarmExists`] if there is one.
    async fn create_swarm(&self, id: &SwarmId, retention: Retention) -> Result<Swarm, Error>;

    /// The swarm, or [`Error::SwarmNotFound`].
    async fn swarm(&self, id: &SwarmId) -> Result<Swarm, Error>;

    /// Swarms by name, behind `after`.
    async fn list_swarms(&self, after: Option<&SwarmId>, limit: usize) -> Result<Vec<Swarm>, Error>;

    /// Deletes a swarm; at once its name is free. What it held may be removed later by [`Store::purge`].
    async fn delete_swarm(&self, id: &SwarmId) -> Result<(), Error>;

    /// The heads of many swarms, in the order asked for; none for those that do not exist. The only method that reads
    /// several swarms in one statement, together with `list_swarms` and `expiring`: they read heads, nothing else.
    async fn heads(&self, ids: &[SwarmId]) -> Result<Vec<Option<Head>>, Error>;

    /// Takes the swarm's lock, *then* loads the batch's footprint, applies, persists all of it, and commits.
    ///
    /// - What was loaded is as of the lock: no other commit of this swarm lies between load and persist.
    /// - The clock is read under the lock.
    /// - A batch that changes nothing writes nothing.
    /// - A backend that lost a race may load and apply again.
    /// - [`CommitError::Failed`] promises that nothing was committed; [`CommitError::Unknown`] that all or nothing was.
    async fn commit(&self, id: &SwarmId, batch: &Batch) -> Result<Applied, CommitError>;

    /// After an unknown outcome: takes the swarm's lock, and says whether a revision above `after` carries `nonce`.
    async fn is_committed(&self, id: &SwarmId, nonce: Nonce, after: Revision) -> Result<bool, Error>;

    /// The nonce of a revision. [`Error::Compacted`] below the floor, [`Error::Future`] above the newest.
    async fn mark_at(&self, id: &SwarmId, revision: Revision) -> Result<(Head, Mark), Error>;

    /// The log behind `after`, in order of revision and ordinal, contents included. [`Error::Compacted`] if part of what
    /// is behind `after` may be gone, [`Error::Future`] if `after` is above the newest.
    async fn log(&self, id: &SwarmId, after: LogCursor, limit: PageLimit) -> Result<Page, Error>;

    /// The newest version at or before `at` of each entry, if that is a put; in the order asked for, contents included.
    /// Expired entries are returned: the caller knows the time.
    async fn entries(&self, id: &SwarmId, paths: &[EntryPath], at: At) -> Result<Entries, Error>;

    /// The current version of an entry and the swarm's head, if they are in memory and exactly what [`Store::entries`] would
    /// answer at the newest revision. None says nothing.
    fn at_hand(&self, _id: &SwarmId, _path: &EntryPath) -> Option<(Head, Arc<Version>)> {
        None
    }

    /// The entries that exist at `at`, in order of namespace and key, expired ones included.
    async fn scan(&self, id: &SwarmId, scan: &Scan) -> Result<ScanPage, Error>;

    /// The kept versions of one entry before the revision `before` (none: all), newest first, contents included.
    async fn history(
        &self,
        id: &SwarmId,
        path: &EntryPath,
        before: Option<Revision>,
        limit: PageLimit,
    ) -> Result<Page, Error>;

    /// Raises the floor to `floor` (at most the newest revision; never lowers it), and removes up to about `rows_max`
    /// versions that no reader at or above the floor can see: each entry's versions older than its newest at or before
    /// the floor, and tombstones at or before it. The floor is raised before or together with the first removal.
    async fn compact(&self, id: &SwarmId, floor: Revision, rows_max: usize) -> Result<Compaction, Error>;

    /// Removes up to about `rows_max` rows of deleted swarms and of outcomes that are older than
    /// [`RECORD_AGE_MAX`](apply::RECORD_AGE_MAX) in swarm time (`clock` or the head's time, whichever is later).
    /// Says whether there is more.
    async fn purge(&self, clock: Timestamp, rows_max: usize) -> Result<bool, Error>;

    /// Swarms by name, behind `after`, with an entry that is due at swarm time (`clock` or the head's time, whichever is
    /// later).
    async fn expiring(
        &self,
        clock: Timestamp,
        after: Option<&SwarmId>,
        limit: usize,
    ) -> Result<Vec<SwarmId>, Error>;

    /// Entries of a swarm that are due at swarm time (`clock` or the head's time, whichever is later), earliest first.
    async fn expired(&self, id: &SwarmId, clock: Timestamp, limit: usize) -> Result<Vec<EntryPath>, Error>;
}

/// The connections of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    /// In use.
    pub busy: usize,
    /// As many as there may be.
    pub max: usize,
}

/// Requests that are committed together.
#[derive(Clone, Debug)]
pub struct Batch {
    /// In order.
    pub requests: Vec<Arc<Request>>,
    /// Drawn for this commit.
    pub nonce: Nonce,
    /// What a request may touch.
    pub limits: Limits,
    /// How far it has come. A backend stamps it when it has the lock, and when everything is written.
    pub progress: Arc<Progress>,
}

impl Batch {
    /// Nothing has been done with it.
    #[must_use]
    pub fn new(requests: Vec<Arc<Request>>, nonce: Nonce, limits: Limits) -> Self {
        Self { requests, nonce, limits, progress: Arc::default() }
    }

    /// What must be loaded, under the lock. Where an entry is named and also lies below a prefix of the footprint, the
    /// loaded version has its content if the name asks for it, and is empty where it is not loaded.
    #[must_use]
    pub fn footprint(&self) -> Footprint {
        Footprint::of(&self.requests, &self.limits)
    }

    /// Decides the requests over what was loaded.
    #[must_use]
    pub fn apply(&self, loaded: Loaded, clock: Timestamp) -> Applied {
        self.progress.loaded();
        let applied = apply::apply(loaded, &self.requests, self.nonce, clock, &self.limits);
        self.progress.applied();
        applied
    }
}

/// As of when a read sees the swarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The newest revision.
    Newest,
    /// This revision. [`Error::Compacted`] below the floor, [`Error::Future`] above the newest.
    Revision(Revision),
}

/// A place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogCursor {
    /// Behind this revision,
    pub revision: Revision,
    /// or, if given, only behind this ordinal of it.
    pub ordinal: Option<u32>,
}

impl LogCursor {
    /// Behind all of a revision.
    #[must_use]
    pub fn after(revision: Revision) -> Self {
        Self { revision, ordinal: None }
    }
}

/// How much one page may hold. A page holds at least one row if there is one, and ends with the row that reaches
/// either bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageLimit {
    /// Rows.
    pub rows: usize,
    /// Bytes, by [`Version::weight`].
    pub bytes: usize,
}

/// Versions in the order of the call.
#[derive(Clone, Debug)]
pub struct Page {
    /// The head of the state that was read.
    pub head: Head,
    /// The versions.
    pub versions: Vec<Arc<Version>>,
    /// Whether there are more behind the last.
    pub more: bool,
}

/// What was found under several names.
#[derive(Clone, Debug)]
pub struct Entries {
    /// The head of the state that was read.
    pub head: Head,
    /// In the order asked for.
    pub versions: Vec<Option<Arc<Version>>>,
}

/// Which entries to scan.
#[derive(Clone, Debug)]
pub struct Scan {
    /// In these namespaces,
    pub range: NamespaceRange,
    /// behind this entry,
    pub after: Option<EntryPath>,
    /// as of then.
    pub at: At,
    /// How much; an entry without content counts without it.
    pub limit: PageLimit,
    /// Whether contents are wanted; else they are empty.
    pub content: bool,
}

/// Entries in order.
#[derive(Clone, Debug)]
pub struct ScanPage {
    /// The head of the state that was read.
    pub head: Head,
    /// The entries; possibly none although there are more.
    pub versions: Vec<Arc<Version>>,
    /// Where to go on; none: the range is done.
    pub resume: Option<EntryPath>,
}

/// How far a compaction came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compaction {
    /// The floor now.
    pub floor: Mark,
    /// Versions removed by this call.
    pub removed: u64,
    /// Whether there is more to remove below the floor.
    pub more: bool,
}

/// What a backend has to say about a failure, for the log alone: it may name files and addresses.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What a store can fail with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such swarm.
    #[error("no such swarm")]
    SwarmNotFound,
    /// There is such a swarm.
    #[error("the swarm exists")]
    SwarmExists,
    /// The revision is below the floor.
    #[error("compacted up to {floor}")]
    Compacted {
        /// The smallest revision that can be read.
        floor: Revision,
    },
    /// The revision does not exist yet.
    #[error("the newest revision is {newest}")]
    Future {
        /// The newest.
        newest: Revision,
    },
    /// The store does not answer, or not in time. Nothing was changed.
    #[error("the store is unavailable: {0}")]
    Unavailable(#[source] Cause),
    /// There is no room for what was to be written. Nothing was changed; reads go on.
    #[error("the disk is full: {0}")]
    Full(#[source] Cause),
    /// The store may be read, but not written. Nothing was changed.
    #[error("the store is read-only: {0}")]
    ReadOnly(#[source] Cause),
    /// All of it was done, durably, or nothing. Commits never fail so: they have [`CommitError::Unknown`].
    #[error("whether the store did it is unknown: {0}")]
    OutcomeUnknown(#[source] Cause),
    /// What is stored cannot be read by this version, or not at all.
    #[error("the store holds something unreadable: {0}")]
    Corrupt(String),
}

impl Error {
    /// Whether the store is well, and this is its answer.
    pub(crate) fn is_answer(&self) -> bool {
        matches!(self, Self::SwarmNotFound | Self::SwarmExists | Self::Compacted { .. } | Self::Future { .. })
    }

    /// The same, for another who has to hear of it; of its cause only the text.
    pub(crate) fn again(&self) -> Self {
        let same = |cause: &Cause| cause.to_string().into();
        match self {
            Self::SwarmNotFound => Self::SwarmNotFound,
            Self::SwarmExists => Self::SwarmExists,
            Self::Compacted { floor } => Self::Compacted { floor: *floor },
            Self::Future { newest } => Self::Future { newest: *newest },
            Self::Unavailable(cause) => Self::Unavailable(same(cause)),
            Self::Full(cause) => Self::Full(same(cause)),
            Self::ReadOnly(cause) => Self::ReadOnly(same(cause)),
            Self::OutcomeUnknown(cause) => Self::OutcomeUnknown(same(cause)),
            Self::Corrupt(what) => Self::Corrupt(what.clone()),
        }
    }
}

/// Why a commit did not answer with what it did.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Nothing was committed.
    #[error(transparent)]
    Failed(#[from] Error),
    /// All of it was committed, or nothing: [`Store::is_committed`] tells.
    #[error("the outcome of the commit is unknown: {cause}")]
    Unknown {
        /// What it came to, if it happened.
        applied: Box<Applied>,
        /// What failed.
        #[source]
        cause: Cause,
    },
}
