//! What a history is held against, by stable names. Knows nothing of how it is found out.

/// A rule that can be broken. The number is that of the promise in the design.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    // The log.
    /// A reading of the log lacks a revision, or a place within one, below the head it claims (1).
    LogGap,
    /// Two readings of the log disagree, or time runs back in it (1, 5).
    LogRewritten,
    /// The log holds a change that nobody asked for (1).
    NobodysWrite,
    /// A change is not what the model makes of the request that it is of: partial, or with another effect (2, 3).
    WrongEffect,
    /// An entry was deleted as expired before its time, or without one (5).
    WrongExpiry,

    // Writers.
    /// An acknowledged write is not in the log where it was acknowledged (1).
    AcknowledgedLost,
    /// One revision was acknowledged to two requests (2).
    RevisionTwice,
    /// Two writes succeeded on condition of the same version (2, 3).
    TwoWinners,
    /// A request took effect twice (4).
    RequestTwice,
    /// Another body was accepted under a request id that was taken (4).
    RequestIdReused,
    /// What was refused, or failed cleanly, is in the log (3, 4).
    RefusedTookEffect,
    /// A condition was said to fail that held the whole time, or another entry was shown than was there (3).
    RefusedWithoutReason,
    /// The answer of a write is not what it did (2).
    WrongAnswer,
    /// A write is ordered before one that was acknowledged before it began, or was known before it was asked for (2).
    RealTime,

    // Readers.
    /// A strong read did not see what was known when it began (14).
    StaleRead,
    /// A read at a token was answered at an older state (14).
    OlderThanToken,
    /// A read is not the state of the revision that it claims to be of (14).
    WrongRead,

    // Watchers.
    /// An event was not sent (7, 13).
    WatchMissed,
    /// An event was sent again (7).
    WatchRepeated,
    /// An event was sent too late, behind a later one (7).
    WatchReordered,
    /// An event was sent that is not in the log, or is another there (7).
    WatchInvented,
    /// An event was sent that the filter or the caller's rights exclude (6).
    FilterLeaked,
    /// A revision was split between responses without a word (8).
    RevisionSplit,
    /// A response says that more has been seen than was sent, or less than before (7, 11).
    BookmarkAhead,
    /// A stream began elsewhere than it was asked to (9).
    WrongStart,
    /// A snapshot is not the state of its revision, or has no end (10).
    WrongSnapshot,
    /// What lay behind the floor was skipped in silence (9, 12).
    CompactionSkipped,
    /// A stream was refused as compacted, as of another incarnation or as in the future, and was not (9).
    RefusedStart,
    /// The service closed a stream without a bookmark (11).
    ClosedUnmarked,

    // What was lost.
    /// Somebody who saw what the store lost went on without being told, or is shown it still (1, 9).
    LossUntold,

    // The end.
    /// A watcher never came to the newest revision (13).
    NotConverged,
    /// What a watcher made of its events is not what the store holds (7, 10).
    EndStateDiffers,
    /// What the store lists is not what its log leads to (1).
    StoreDiffers,
}

/// A rule that was broken, and what shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub rule: Rule,
    /// The calls and events concerned, in a few lines.
    pub example: String,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Findings(pub Vec<Violation>);

impl Findings {
    pub fn add(&mut self, rule: Rule, example: impl Into<String>) {
        self.0.push(Violation { rule, example: example.into() });
    }
}
