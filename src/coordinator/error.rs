//! What a call can come to besides success. `api` maps each variant to one code and reason.

use std::{sync::Arc, time::Duration};

use crate::{
    domain::{
        Invalid,
        access::Denied,
        apply::Refusal,
        entry::Version,
        namespace::{EntryPath, Prefix},
        swarm::Revision,
    },
    store,
};

/// Why a call failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The request cannot be accepted as it is.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The caller may not do this.
    #[error("the caller may not do this")]
    Denied,
    /// There is no such swarm.
    #[error("no such swarm")]
    SwarmNotFound,
    /// There is such a swarm already.
    #[error("the swarm exists already")]
    SwarmExists,
    /// The swarm of this stream was deleted.
    #[error("the swarm was deleted")]
    SwarmDeleted,
    /// There is no such entry, or none that the caller may see.
    #[error("no such entry")]
    EntryNotFound,
    /// A precondition does not hold.
    #[error("the precondition on {path} does not hold")]
    ConditionFailed {
        /// On which entry.
        path: EntryPath,
        /// The entry as it is, if there is one and the caller may read it.
        current: Option<Arc<Version>>,
    },
    /// The request id was used for another request.
    #[error("the request id was used for another request")]
    RequestIdReused,
    /// More entries than one request may touch.
    #[error("more than {max} entries below {}", prefix.as_str())]
    PrefixTooLarge {
        /// Below which prefix.
        prefix: Prefix,
        /// How many are allowed.
        max: usize,
    },
    /// The log does not reach back so far.
    #[error("compacted up to revision {floor}")]
    Compacted {
        /// The smallest revision that can be read.
        floor: Revision,
    },
    /// The revision does not exist yet.
    #[error("the newest revision is {newest}")]
    FutureRevision {
        /// The newest.
        newest: Revision,
    },
    /// The token belongs to a history that is not this swarm's any more.
    #[error("the token belongs to another history of this swarm")]
    IncarnationChanged,
    /// What was asked for does not fit into one answer.
    #[error("more than {max} bytes were asked for at once")]
    AnswerTooLarge {
        /// How many bytes one answer may have.
        max: usize,
    },
    /// Too much is waiting.
    #[error("too many requests are waiting")]
    Overloaded {
        /// When to try again.
        retry_after: Duration,
    },
    /// As much of something is in use as may be; nothing was done.
    #[error("{what}: the {max} that may be used at once are in use")]
    Exhausted {
        /// Of what.
        what: Scarce,
        /// How much there is of it.
        max: usize,
        /// When to try again.
        retry_after: Duration,
    },
    /// The time given was not enough; nothing was done.
    #[error("the deadline passed; nothing was done")]
    DeadlineExceeded,
    /// The transport accepted nothing for too long while there was something to send.
    #[error("the reader was too slow")]
    SlowConsumer,
    /// The coordinator is shutting down; nothing was done.
    #[error("the coordinator is shutting down")]
    Draining,
    /// The store does not answer; nothing was done.
    #[error("the store is unavailable")]
    Unavailable,
    /// The store does not answer, and what was asked for is not held here either.
    #[error("the store is unavailable, and what was asked for is not held here")]
    NotCached,
    /// The store's disk is full; nothing was done. Reads go on.
    #[error("the disk of the store is full; nothing was done")]
    StoreFull,
    /// The store's disk cannot be written; nothing was done. Reads go on.
    #[error("the store is read-only; nothing was done")]
    StoreReadOnly,
    /// Whether the request was done could not be found out in time.
    #[error("the outcome is unknown")]
    OutcomeUnknown,
    /// What is stored cannot be read; nothing was done. Somebody must act; the log says more.
    #[error("stored data is damaged and cannot be read; nothing was done")]
    Corrupt,
}

impl Error {
    /// Whether the store may answer the same call when it is asked again.
    pub(super) fn is_store_trouble(&self) -> bool {
        matches!(self, Self::Unavailable | Self::StoreFull | Self::StoreReadOnly)
    }
}

/// What there is only so much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scarce {
    /// Connections to this process.
    Connections,
    /// Bytes of requests and answers that this process holds.
    BytesInFlight,
    /// Bytes of requests and answers that this process holds for one connection.
    BytesOfConnection,
    /// Open watch streams.
    Streams,
    /// Reads that run or wait for the store.
    Reads,
}

impl std::fmt::Display for Scarce {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connections => "connections",
            Self::BytesInFlight => "bytes in flight",
            Self::BytesOfConnection => "bytes in flight on this connection",
            Self::Streams => "watch streams",
            Self::Reads => "reads under way",
        })
    }
}

/// What a backend has to say beyond this was logged where the store was called: it may name files.
impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::SwarmNotFound => Self::SwarmNotFound,
            store::Error::SwarmExists => Self::SwarmExists,
            store::Error::Compacted { floor } => Self::Compacted { floor },
            store::Error::Future { newest } => Self::FutureRevision { newest },
            store::Error::Unavailable(_) => Self::Unavailable,
            store::Error::Full(_) => Self::StoreFull,
            store::Error::ReadOnly(_) => Self::StoreReadOnly,
            store::Error::OutcomeUnknown(_) => Self::OutcomeUnknown,
            store::Error::Corrupt(_) => Self::Corrupt,
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::ConditionFailed { path, current } => Self::ConditionFailed { path, current },
            Refusal::RequestIdReused => Self::RequestIdReused,
            Refusal::PrefixTooLarge { prefix, max } => Self::PrefixTooLarge { prefix, max },
        }
    }
}

impl From<Denied> for Error {
    fn from(Denied: Denied) -> Self {
        Self::Denied
    }
}
