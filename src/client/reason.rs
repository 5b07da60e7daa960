//! The reasons a coordinator gives, as [`Error::reason`](super::Error::reason) has them: stable, to be matched on. Knows
//! nothing of what is done about them.

/// What a start, a token or an exact revision asks for is not kept any more; the floor is in the metadata. A watch begins
/// again with a snapshot.
pub const COMPACTED: &str = "COMPACTED";
/// The swarm was restored, made anew or lost data: what was known of it may not be so. A watch begins again with a
/// snapshot, and throws away what it has.
pub const INCARNATION_CHANGED: &str = "INCARNATION_CHANGED";
/// A revision that does not exist yet was asked for; the newest is in the metadata.
pub const FUTURE_REVISION: &str = "FUTURE_REVISION";
/// What the caller may read has changed under its watch.
pub const ACCESS_CHANGED: &str = "ACCESS_CHANGED";
/// The swarm was deleted while something was under way.
pub const SWARM_DELETED: &str = "SWARM_DELETED";
/// There is no such swarm.
pub const SWARM_NOT_FOUND: &str = "SWARM_NOT_FOUND";
/// There is one of that name.
pub const SWARM_EXISTS: &str = "SWARM_EXISTS";
/// There is no such entry, or the caller may not know of it.
pub const ENTRY_NOT_FOUND: &str = "ENTRY_NOT_FOUND";
/// A precondition did not hold; nothing was written.
pub const CONDITION_FAILED: &str = "CONDITION_FAILED";
/// The request id belongs to another request of the last 24 hours.
pub const REQUEST_ID_REUSED: &str = "REQUEST_ID_REUSED";
/// Whether a write was done is unknown; repeating it under its request id finds out.
pub const OUTCOME_UNKNOWN: &str = "OUTCOME_UNKNOWN";
/// More entries match than one request may touch.
pub const PREFIX_TOO_LARGE: &str = "PREFIX_TOO_LARGE";
/// The caller may not.
pub const NOT_PERMITTED: &str = "NOT_PERMITTED";
/// A field's value was refused; the error names it.
pub const INVALID_FIELD: &str = "INVALID_FIELD";
/// The coordinator ends; another, or its successor, goes on.
pub const DRAINING: &str = "DRAINING";
/// The store does not answer.
pub const STORE_UNAVAILABLE: &str = "STORE_UNAVAILABLE";
/// The store does not answer, and what a stale read asked for is not held by the coordinator either.
pub const NOT_CACHED: &str = "NOT_CACHED";
/// More is asked of the coordinator than it takes.
pub const OVERLOADED: &str = "OVERLOADED";
/// The stream's reader took nothing for too long. Its last token stays good.
pub const SLOW_CONSUMER: &str = "SLOW_CONSUMER";
