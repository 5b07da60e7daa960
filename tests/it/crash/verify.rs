//! Decides whether a history keeps the promises. Pure: knows nothing of processes, clients or time.

use std::collections::{BTreeMap, HashMap, HashSet};

use swarmem::wire::v1::{Cause, Entry, Event, event::Type};

use super::history::{Change, History, Outcome, Start, Watched, Write};

/// A promise that was broken, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// An acknowledged write is not in the log as it was acknowledged.
    LostWrite { write: String },
    /// One write took effect more than once.
    TookEffectTwice { write: String },
    /// The log holds what was refused, or what nobody wrote.
    NobodysWrite { revision: u64, content: String },
    /// A revision was acknowledged to two writes.
    RevisionReused { revision: u64 },
    /// A conditional write was done over another version than it named.
    ConditionIgnored { write: String },
    /// A write failed in a way that is no promised one.
    WriteFailed { write: String, why: String },
    /// A revision, or a place in one, is missing in the log.
    Gap { after: (u64, u32) },
    /// The log holds an event twice.
    Repeated { position: (u64, u32) },
    /// The log is out of order.
    Reordered { position: (u64, u32) },
    /// A watch was not told of an event.
    WatchMissed { watch: String, position: (u64, u32) },
    /// A watch was told of an event twice.
    WatchRepeated { watch: String, position: (u64, u32) },
    /// A watch was told of events out of order.
    WatchReordered { watch: String, position: (u64, u32) },
    /// A watch was told of what is not in the log, or is nothing for it.
    WatchInvented { watch: String, position: (u64, u32) },
    /// A watch could not be resumed.
    WatchRefused { watch: String, why: String },
    /// A snapshot is not the state at its revision.
    SnapshotDiffers { watch: String, namespace: String, key: String },
    /// What is there is not what the log leads to.
    StateDiffers { namespace: String, key: String },
}

/// Every promise that the history breaks.
pub fn verify(history: &History) -> Vec<Violation> {
    let mut found = order(&history.log, history.head);
    found.extend(writes(history));
    found.extend(history.watches.iter().flat_map(|watched| watch(watched, &history.log)));
    found.extend(
        differences(&replay(&history.log, history.head), &history.state)
            .map(|(namespace, key)| Violation::StateDiffers { namespace, key }),
    );
    found
}

fn position(event: &Event) -> (u64, u32) {
    (event.revision, event.ordinal)
}

fn entry(event: &Event) -> &Entry {
    event.entry.as_ref().expect("every event has an entry")
}

/// Revisions 1 to the head, and within each the places from 0, each once.
pub fn order(log: &[Event], head: u64) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut last = (0, 0);
    for event in log {
        let position = position(event);
        if position == last {
            found.push(Violation::Repeated { position });
        } else if position < last {
            found.push(Violation::Reordered { position });
        } else if position != (last.0, last.1 + 1) && position != (last.0 + 1, 0) {
            found.push(Violation::Gap { after: last });
        }
        last = last.max(position);
    }
    if last.0 != head {
        found.push(Violation::Gap { after: last });
    }
    found
}

/// What was acknowledged is in the log, once; what was not is not.
fn writes(history: &History) -> Vec<Violation> {
    let mut puts: HashMap<&str, Vec<&Event>> = HashMap::new();
    let mut deletes: HashMap<(&str, &str), Vec<&Event>> = HashMap::new();
    // The etag that a version of an entry replaced, by the version's own.
    let mut replaced: HashMap<&str, &str> = HashMap::new();
    let mut current: HashMap<(&str, &str), &str> = HashMap::new();
    for event in history.log.iter().filter(|event| event.cause() == Cause::Write) {
        let entry = entry(event);
        let name = (&*entry.namespace, &*entry.key);
        if event.r#type() == Type::Put {
            puts.entry(&entry.content).or_default().push(event);
            replaced.insert(&entry.etag, current.insert(name, &entry.etag).unwrap_or_default());
        } else {
            deletes.entry(name).or_default().push(event);
            current.remove(&name);
        }
    }

    let mut found = Vec::new();
    let mut acknowledged = HashMap::new();
    for Write { name, outcome } in &history.writes {
        let write = name.clone();
        let (revision, changes) = match outcome {
            Outcome::Refused => continue,
            Outcome::Failed(why) => {
                found.push(Violation::WriteFailed { write, why: why.clone() });
                continue;
            }
            Outcome::Done { revision, changes } => (*revision, changes),
        };
        if revision.is_some_and(|revision| acknowledged.insert(revision, name).is_some()) {
            found.push(Violation::RevisionReused { revision: revision.unwrap_or_default() });
        }
        for change in changes {
            let events = match change {
                Change::Put { content, .. } => puts.remove(&**content),
                Change::Delete { namespace, key } => deletes.remove(&(&**namespace, &**key)),
            };
            let events = events.unwrap_or_default();
            if events.len() > 1 {
                found.push(Violation::TookEffectTwice { write: write.clone() });
            } else if !events.first().is_some_and(|event| is(change, revision, event)) {
                found.push(Violation::LostWrite { write: write.clone() });
            }
            if let Change::Put { etag, expected: Some(expected), .. } = change
                && replaced.get(&**etag).is_some_and(|replaced| replaced != expected)
            {
                found.push(Violation::ConditionIgnored { write: write.clone() });
            }
        }
    }
    let left = puts.into_values().chain(deletes.into_values()).flatten();
    found.extend(left.map(|event| Violation::NobodysWrite {
        revision: event.revision,
        content: entry(event).content.chars().take(40).collect(),
    }));
    found
}

fn is(change: &Change, acknowledged: Option<u64>, event: &Event) -> bool {
    let found = entry(event);
    acknowledged.is_none_or(|revision| revision == event.revision)
        && match change {
            Change::Put { namespace, key, content, etag, .. } => {
                event.r#type() == Type::Put
                    && (namespace, key, content, etag)
                        == (&found.namespace, &found.key, &found.content, &found.etag)
            }
            Change::Delete { namespace, key } => {
                event.r#type() == Type::Delete && (namespace, key) == (&found.namespace, &found.key)
            }
        }
}

/// Exactly the selected part of the log, from the start to where the watch says it has come.
fn watch(watched: &Watched, log: &[Event]) -> Vec<Violation> {
    let Watched { name, selection, start, events, reached, refused } = watched;
    let watch = || name.clone();
    let mut found = Vec::new();
    let after =
        match start {
            Start::Beginning => 0,
            Start::Snapshot { revision, entries } => {
                let state = replay(log, *revision).into_iter().filter(|(_, entry)| selection.takes(entry));
                found.extend(
                    differences(&state.collect(), entries).map(|(namespace, key)| {
                        Violation::SnapshotDiffers { watch: watch(), namespace, key }
                    }),
                );
                *revision
            }
        };
    let expected: BTreeMap<_, _> = log
        .iter()
        .filter(|event| event.revision > after && event.revision <= *reached && selection.takes(entry(event)))
        .map(|event| (position(event), event))
        .collect();
    let mut seen = HashSet::new();
    let mut last = (0, 0);
    for event in events {
        let position = position(event);
        if !seen.insert(position) {
            found.push(Violation::WatchRepeated { watch: watch(), position });
        } else if position < last {
            found.push(Violation::WatchReordered { watch: watch(), position });
        }
        // A watch may have been cut inside of a revision: what it received of it beyond `reached` is checked, too.
        let told_of = expected.get(&position).copied().or_else(|| {
            let beyond = position.0 > *reached;
            log.iter()
                .find(|event| beyond && self::position(event) == position && selection.takes(entry(event)))
        });
        if told_of != Some(event) {
            found.push(Violation::WatchInvented { watch: watch(), position });
        }
        last = last.max(position);
    }
    let missed = expected.into_keys().filter(|position| !seen.contains(position));
    found.extend(missed.map(|position| Violation::WatchMissed { watch: watch(), position }));
    found.extend(refused.clone().map(|why| Violation::WatchRefused { watch: watch(), why }));
    found
}

type State = BTreeMap<(String, String), Entry>;

/// The entries that the log leaves at a revision.
fn replay(log: &[Event], until: u64) -> State {
    let mut state = State::new();
    for event in log.iter().filter(|event| event.revision <= until) {
        let entry = entry(event);
        let name = (entry.namespace.clone(), entry.key.clone());
        match event.r#type() {
            Type::Put => drop(state.insert(name, entry.clone())),
            _ => drop(state.remove(&name)),
        }
    }
    state
}

/// Where a listing is not the state. An entry with a time to live may be absent before its delete.
fn differences(state: &State, listed: &[Entry]) -> impl Iterator<Item = (String, String)> {
    let listed_by_name: BTreeMap<_, _> =
        listed.iter().map(|entry| ((entry.namespace.clone(), entry.key.clone()), entry)).collect();
    let repeated = (listed_by_name.len() != listed.len()).then(|| (String::new(), "listed twice".to_owned()));
    let missing = state.iter().filter(|(name, entry)| {
        listed_by_name.get(name).is_none_or(|listed| listed != entry)
            && (entry.expire_time.is_none() || listed_by_name.contains_key(name))
    });
    let different: Vec<_> = missing.map(|(name, _)| name.clone()).collect();
    let invented: Vec<_> = listed_by_name.into_keys().filter(|name| !state.contains_key(name)).collect();
    different.into_iter().chain(invented).chain(repeated)
}

#[cfg(test)]
mod tests;
