//! The one function that changes a swarm. Backends lock, load what [`Footprint`](super::request::Footprint)
//! names, call [`apply`], persist what it returns; none has a rule of its own, so none can disagree.

mod state;
mod transaction;

use std::{collections::HashMap, sync::Arc, time::Duration};

use state::State;

use super::{
    commit::Commit,
    entry::Version,
    limits::Limits,
    namespace::{EntryPath, Prefix},
    request::{Digest, RecordKey, Request},
    swarm::{Head, Mark, Nonce, Revision},
    time::Timestamp,
};

/// How long the outcome of an idempotent request is kept, in swarm time.
pub const RECORD_AGE_MAX: Duration = Duration::from_secs(24 * 3600);

/// What a backend loaded under the swarm's lock.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The head.
    pub head: Head,
    /// The current versions of the entries that exist, expired ones included.
    pub entries: std::collections::BTreeMap<EntryPath, Arc<Version>>,
    /// For each prefix of the footprint of which not everything was loaded, the last entry that was.
    pub truncated: HashMap<Prefix, EntryPath>,
    /// The outcomes recorded.
    pub records: HashMap<RecordKey, Record>,
}

/// The recorded outcome of an idempotent request.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// What was asked.
    pub digest: Digest,
    /// The revision it took.
    pub mark: Mark,
    /// When it was committed.
    pub time: Timestamp,
    /// What it came to.
    pub outcome: Outcome,
}

/// What a request came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Whether the comparisons held.
    pub succeeded: bool,
    /// The revision it took, if it changed anything.
    pub taken: Option<Mark>,
    /// What each operation came to.
    pub effects: Vec<Effect>,
}

/// What an operation came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// An entry was written.
    Put {
        /// Which.
        path: EntryPath,
        /// How many times it was written.
        version: u64,
        /// When it expires.
        expire_time: Option<Timestamp>,
    },
    /// An entry was deleted, or (false) there was none.
    Delete(bool),
    /// Entries were deleted.
    DeletePrefix {
        /// How many.
        deleted: u64,
        /// Whether there are more.
        more: bool,
    },
    /// An entry was read.
    Get(Option<Arc<Version>>),
    /// An entry was read when the request was first done; it is the version of this revision.
    GetRecorded {
        /// Which.
        path: EntryPath,
        /// The version's revision; none: there was no entry.
        revision: Option<Revision>,
    },
}

/// Why a request was refused. It changed nothing, and nothing else in its commit noticed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// An operation's condition did not hold.
    #[error("the condition on {path} does not hold")]
    ConditionFailed {
        /// Which entry.
        path: EntryPath,
        /// What is there instead.
        current: Option<Arc<Version>>,
    },
    /// The request id was used for another request.
    #[error("the request id was used for another request")]
    RequestIdReused,
    /// More entries than one request may touch.
    #[error("more than {max} entries below {}", prefix.as_str())]
    PrefixTooLarge {
        /// Below what.
        prefix: Prefix,
        /// How many are allowed.
        max: usize,
    },
}

/// What a commit is to persist, and what to answer.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The head afterwards.
    pub head: Head,
    /// The changes; none when nothing changed, and then nothing is to be persisted.
    pub commit: Option<Commit>,
    /// Outcomes to record.
    pub records: Vec<(RecordKey, Record)>,
    /// How expiries moved: for each entry that had or got one, the one before and the one after.
    pub expiries: Vec<ExpiryMove>,
    /// One answer per request, in order.
    pub answers: Vec<Result<Outcome, Refusal>>,
}

/// How the expiry of one entry changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpiryMove {
    /// Which entry.
    pub path: EntryPath,
    /// Before.
    pub from: Option<Timestamp>,
    /// After.
    pub to: Option<Timestamp>,
}

/// Runs `requests` in order over what was loaded. `clock` is the store's clock, read under the lock; `nonce` was
/// drawn for this commit.
#[must_use]
pub fn apply(
    loaded: Loaded,
    requests: &[Arc<Request>],
    nonce: Nonce,
    clock: Timestamp,
    limits: &Limits,
) -> Applied {
    let prev = loaded.head.mark;
    let mut state = State::new(loaded, nonce, clock);
    let answers = requests.iter().map(|request| answer(&mut state, request, limits)).collect();
    let expiries = state.expiry_moves();
    let State { head, versions, new_records, .. } = state;
    let changed = !versions.is_empty();
    let commit = changed.then_some(Commit { incarnation: head.incarnation, prev, last: head.mark, versions });
    Applied { head, commit, records: new_records, expiries, answers }
}

fn answer(state: &mut State, request: &Request, limits: &Limits) -> Result<Outcome, Refusal> {
    let Some(idempotency) = request.idempotency() else {
        return transaction::run(state, request, limits);
    };
    let key = request.record_key().expect("an idempotent request has a record key");
    if let Some(record) = state.record(&key) {
        return if record.digest == idempotency.digest {
            Ok(record.outcome.clone())
        } else {
            Err(Refusal::RequestIdReused)
        };
    }
    let outcome = transaction::run(state, request, limits)?;
    // A request that changed nothing is not recorded: done again it is simply a later request.
    if let Some(mark) = outcome.taken {
        let record =
            Record { digest: idempotency.digest, mark, time: state.now, outcome: recorded(&outcome) };
        state.remember(key, record);
    }
    Ok(outcome)
}

/// The outcome as it is kept: what was read is kept by name, not by content.
fn recorded(outcome: &Outcome) -> Outcome {
    let mut outcome = outcome.clone();
    for effect in &mut outcome.effects {
        if let Effect::Get(found) = effect {
            *effect = match found {
                Some(v) => Effect::GetRecorded { path: v.path.clone(), revision: Some(v.mark.revision) },
                None => Effect::Get(None),
            };
        }
    }
    outcome
}
