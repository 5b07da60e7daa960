//! Promise 14: every read is the state of the revision that it names, and that is as new as was asked for. Knows nothing of
//! how the log came about.

use std::collections::HashMap;

use super::{
    log::{Log, Position},
    observed::Observed,
    record::{Call, Entry, Event, Freshness, History, Outcome, Request},
    rules::{Findings, Rule},
};

/// Holds every read against the log.
pub fn check(
    history: &History,
    log: &Log,
    observed: &Observed,
    tokens: &HashMap<&str, Position>,
    found: &mut Findings,
) {
    for call in &history.calls {
        let (Outcome::Read { revision, entries, .. }, Some(freshness)) = (&call.outcome, freshness(call))
        else {
            continue;
        };
        if *revision > observed.possible(call.end.tick) {
            found.add(Rule::WrongRead, format!("of a state that was not there yet: {call:?}"));
            continue;
        }
        let known = observed.known(call.start.tick);
        match freshness {
            Freshness::Strong if *revision < known => {
                found.add(Rule::StaleRead, format!("{known} was known when it began: {call:?}"));
            }
            Freshness::AtLeast(token) => {
                let least = tokens.get(&**token).map_or(0, Position::revision);
                if *revision < least {
                    found.add(Rule::OlderThanToken, format!("the token is of {least}: {call:?}"));
                }
            }
            Freshness::Exact(wanted) if wanted != revision => {
                found.add(Rule::WrongRead, format!("of another revision: {call:?}"));
            }
            _ => {}
        }
        check_entries(call, *revision, entries, freshness, log, found);
    }
}

/// Holds what a read shows against the state of its revision, and nothing else.
pub fn check_state(call: &Call, log: &Log, found: &mut Findings) {
    if let (Outcome::Read { revision, entries, .. }, Some(freshness)) = (&call.outcome, freshness(call)) {
        check_entries(call, *revision, entries, freshness, log, found);
    }
}

fn freshness(call: &Call) -> Option<&Freshness> {
    match &call.request {
        Request::Get { freshness, .. } | Request::List { freshness, .. } => Some(freshness),
        Request::Write(_) => None,
    }
}

fn check_entries(
    call: &Call,
    revision: u64,
    entries: &[Option<Entry>],
    freshness: &Freshness,
    log: &Log,
    found: &mut Findings,
) {
    let hides_expired = !matches!(freshness, Freshness::Exact(_));
    let wrong = match &call.request {
        Request::Get { names, .. } => {
            let due = names.iter().map(|name| log.current(name, revision));
            let differ = due.zip(entries).find(|(due, there)| match (due, there) {
                (Some(due), Some(there)) => due.entry != *there,
                (due, None) => due.is_some_and(|due| !(hides_expired && due.entry.expire_us.is_some())),
                (None, Some(_)) => true,
            });
            (names.len() != entries.len()).then(String::new).or(differ.map(|pair| format!("{pair:?}")))
        }
        Request::List { filter, .. } => {
            let there: Vec<_> = entries.iter().flatten().collect();
            difference(&log.state(revision, filter), &there, hides_expired)
        }
        Request::Write(_) => None,
    };
    if let Some(wrong) = wrong {
        found.add(Rule::WrongRead, format!("{wrong} in {call:?}"));
    }
}

/// Where a list of entries is not the state that is due. One that has a time to live may be hidden before its delete.
pub fn difference(due: &[&Event], there: &[&Entry], hides_expired: bool) -> Option<String> {
    let mut there = there.iter().peekable();
    for event in due {
        match there.peek() {
            Some(entry) if ***entry == event.entry => {
                there.next();
            }
            _ if hides_expired && event.entry.expire_us.is_some() => {}
            other => return Some(format!("due {:?}, there {other:?}", event.entry)),
        }
    }
    there.next().map(|entry| format!("{entry:?} is there and not due"))
}
