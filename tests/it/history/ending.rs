//! When nothing happens any more: every watcher has come to the newest revision, and holds what the store holds. Knows nothing
//! of how they came there.

use std::collections::BTreeMap;

use super::{
    log::{Log, Position},
    readers::difference,
    record::{Change, End, Entry, Filter, History, Name, Start, Stream, What},
    rules::{Findings, Rule},
};

/// Holds the end against the log, and the watchers against the end.
pub fn check(
    history: &History,
    log: &Log,
    tokens: &std::collections::HashMap<&str, Position>,
    found: &mut Findings,
) {
    let Some(end) = &history.end else { return };
    if end.head != log.head {
        let example = format!("the head is {}, the log was read to {}", end.head, log.head);
        found.add(Rule::StoreDiffers, example);
    }
    let there: Vec<_> = end.entries.iter().collect();
    if let Some(difference) = difference(&log.state(end.head, &Filter::everything()), &there, true) {
        found.add(Rule::StoreDiffers, difference);
    }
    for watcher in &end.watching {
        let streams: Vec<_> = history.streams.iter().filter(|stream| stream.watcher == *watcher).collect();
        let Some(last) = streams.last() else {
            found.add(Rule::NotConverged, format!("{watcher} has no stream"));
            continue;
        };
        let reached = reached(last);
        if reached.is_none_or(|reached| reached < end.head) {
            found.add(Rule::NotConverged, format!("{watcher} came to {reached:?} of {}", end.head));
            continue;
        }
        // What leaves a filter by its tags or its author is not told: prefixes alone make a state.
        if last.filter.tags.is_empty()
            && last.filter.authors.is_empty()
            && let Some(state) = fold(&streams, tokens)
        {
            compare(watcher, &last.filter, &state, end, found);
        }
    }
}

/// How far a stream came, by its own word.
fn reached(stream: &Stream) -> Option<u64> {
    let mut in_snapshot = matches!(stream.start, Start::Snapshot);
    let mut reached = None;
    for step in &stream.steps {
        in_snapshot |= matches!(step.what, What::Snapshot { .. });
        in_snapshot &= !matches!(step.what, What::SnapshotEnd { .. });
        if let (Some((_, revision)), false) = (step.what.token(), in_snapshot) {
            reached = reached.max(Some(revision));
        }
    }
    reached
}

/// What a watcher made of all it was sent; none if it never had the whole.
fn fold(
    streams: &[&Stream],
    tokens: &std::collections::HashMap<&str, Position>,
) -> Option<BTreeMap<Name, Entry>> {
    let mut state = None;
    for stream in streams {
        match &stream.start {
            Start::Snapshot | Start::Revision(1) => state = Some(BTreeMap::new()),
            Start::Token(token) if tokens.contains_key(&**token) => {}
            _ => state = None,
        }
        for step in &stream.steps {
            let Some(state) = &mut state else { break };
            match &step.what {
                What::Snapshot { entries, .. } => {
                    state.extend(entries.iter().map(|entry| (entry.name.clone(), entry.clone())));
                }
                What::Events { events, .. } => {
                    for event in events {
                        let (name, entry) = (event.entry.name.clone(), event.entry.clone());
                        match event.change {
                            Change::Put => drop(state.insert(name, entry)),
                            Change::Delete => drop(state.remove(&name)),
                        }
                    }
                }
                _ => {}
            }
        }
    }
    state
}

fn compare(watcher: &str, filter: &Filter, state: &BTreeMap<Name, Entry>, end: &End, found: &mut Findings) {
    let listed: BTreeMap<_, _> =
        end.entries.iter().filter(|entry| filter.takes(entry)).map(|entry| (&entry.name, entry)).collect();
    for (name, entry) in &listed {
        if state.get(name) != Some(entry) {
            let example = format!("{watcher} holds {:?}, the store {entry:?}", state.get(name));
            found.add(Rule::EndStateDiffers, example);
        }
    }
    for (name, entry) in state {
        // What has run out is not listed, and not deleted yet.
        if !listed.contains_key(name) && entry.expire_us.is_none() {
            found.add(Rule::EndStateDiffers, format!("{watcher} holds {entry:?}, the store does not"));
        }
    }
}
