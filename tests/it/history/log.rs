//! The log of a swarm, put together from its readings: the order that everything else is held against. Knows nothing of calls and
//! watchers.

use std::collections::{BTreeMap, HashMap};

use super::{
    record::{Change, Event, Filter, History, LogPart, Name, Start, What},
    rules::{Findings, Rule},
};

/// Every change that was ever in the log, in order.
#[derive(Debug, Default)]
pub struct Log {
    events: Vec<Event>,
    /// The newest revision.
    pub head: u64,
    by_name: BTreeMap<Name, Vec<usize>>,
}

impl Log {
    /// Joins the readings, each of which must be without a gap, and agree with the others.
    pub fn of(history: &History, found: &mut Findings) -> Self {
        let mut all: BTreeMap<(u64, u32), Event> = BTreeMap::new();
        let mut reached = 0;
        for part in &history.log {
            check_whole(part, found);
            if part.after > reached {
                found.add(Rule::LogGap, format!("nobody read the log from {reached} to {}", part.after));
            }
            reached = reached.max(part.head);
            for event in &part.events {
                let known = all.entry(event.place()).or_insert_with(|| event.clone());
                if known != event {
                    found.add(Rule::LogRewritten, format!("first {known:?}, then {event:?}"));
                }
            }
        }
        for part in history.log.iter().filter(|part| part.head > part.after) {
            let mut all = all.range((part.after + 1, 0)..=(part.head, u32::MAX));
            let is_missing =
                |place: &(u64, u32)| part.events.binary_search_by_key(place, Event::place).is_err();
            if let Some((_, missing)) = all.find(|(place, _)| is_missing(place)) {
                found.add(
                    Rule::LogGap,
                    format!("one reading up to {} has {missing:?}, another not", part.head),
                );
            }
        }
        let events: Vec<_> = all.into_values().collect();
        for pair in events.windows(2) {
            if pair[1].time_us < pair[0].time_us {
                found.add(Rule::LogRewritten, format!("time runs back at {:?}", pair[1].place()));
            }
        }
        let mut by_name: BTreeMap<Name, Vec<usize>> = BTreeMap::new();
        for (index, event) in events.iter().enumerate() {
            by_name.entry(event.entry.name.clone()).or_default().push(index);
        }
        Self { events, head: reached, by_name }
    }

    /// The changes of a revision.
    pub fn revision(&self, revision: u64) -> &[Event] {
        let start = self.events.partition_point(|event| event.revision < revision);
        let end = self.events.partition_point(|event| event.revision <= revision);
        &self.events[start..end]
    }

    pub fn event(&self, place: (u64, u32)) -> Option<&Event> {
        let index = self.events.partition_point(|event| event.place() < place);
        self.events.get(index).filter(|event| event.place() == place)
    }

    /// What lies behind one place and not behind the other.
    pub fn between(&self, after: (u64, u32), upto: (u64, u32)) -> &[Event] {
        let start = self.events.partition_point(|event| event.place() <= after);
        let end = self.events.partition_point(|event| event.place() <= upto);
        &self.events[start..end.max(start)]
    }

    /// The newest version of an entry at a revision, if there is one.
    pub fn current(&self, name: &Name, at: u64) -> Option<&Event> {
        let versions = self.by_name.get(name)?;
        let count = versions.partition_point(|&index| self.events[index].revision <= at);
        let newest = &self.events[*versions[..count].last()?];
        (newest.change == Change::Put).then_some(newest)
    }

    /// All entries at a revision that a filter takes, in order.
    pub fn state(&self, at: u64, filter: &Filter) -> Vec<&Event> {
        let newest = self.by_name.keys().filter_map(|name| self.current(name, at));
        newest.filter(|event| filter.takes(&event.entry)).collect()
    }

    /// The names below a prefix that ever had an entry.
    pub fn names_below(&self, prefix: &str) -> impl Iterator<Item = &Name> {
        self.by_name.keys().filter(move |name| super::record::is_below(&name.namespace, prefix))
    }

    /// The revisions behind `after` and up to `upto` that changed one of these, and `after` itself: between two of them
    /// nobody who looks only at these can tell a difference.
    pub fn turning_points(&self, names: &[Name], after: u64, upto: u64) -> Vec<u64> {
        let mut points = vec![after];
        for index in names.iter().filter_map(|name| self.by_name.get(name)).flatten() {
            let revision = self.events[*index].revision;
            if revision > after && revision <= upto {
                points.push(revision);
            }
        }
        points.sort_unstable();
        points.dedup();
        points
    }

    /// The swarm's time at a revision.
    pub fn time_at(&self, revision: u64) -> i64 {
        let count = self.events.partition_point(|event| event.revision <= revision);
        self.events[..count].last().map_or(0, |event| event.time_us)
    }
}

/// Whether every revision from behind `after` to the head is there, and whole.
fn check_whole(part: &LogPart, found: &mut Findings) {
    let mut expected = part.after + 1;
    for of_revision in part.events.chunk_by(|a, b| a.revision == b.revision) {
        let revision = of_revision[0].revision;
        if revision != expected {
            found.add(
                Rule::LogGap,
                format!("{revision} where {expected} is due, reading up to {}", part.head),
            );
        }
        let ordinals = of_revision.iter().map(|event| event.ordinal);
        if !ordinals.eq(0..of_revision.len() as u32) {
            found.add(Rule::LogGap, format!("a place is missing in {of_revision:?}"));
        }
        expected = revision + 1;
    }
    if expected <= part.head {
        found.add(Rule::LogGap, format!("the log ends before {expected}, its head is {}", part.head));
    }
}

/// Where a reader stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    /// Behind this place.
    After((u64, u32)),
    /// In the snapshot of a revision, behind this entry.
    Listing(u64, Option<Name>),
}

impl Position {
    /// Behind all of a revision.
    pub fn behind(revision: u64) -> Self {
        Self::After((revision, u32::MAX))
    }

    /// Everything up to here has been seen.
    pub fn revision(&self) -> u64 {
        match self {
            Self::After((revision, u32::MAX)) | Self::Listing(revision, _) => *revision,
            Self::After((revision, _)) => revision.saturating_sub(1),
        }
    }
}

/// What every token that was given out stands for.
pub fn tokens(history: &History) -> HashMap<&str, Position> {
    use super::record::Outcome;
    let mut tokens = HashMap::new();
    for call in &history.calls {
        match &call.outcome {
            Outcome::Done { state: revision, token, .. } | Outcome::Read { revision, token, .. } => {
                tokens.insert(&**token, Position::behind(*revision));
            }
            _ => {}
        }
    }
    for stream in &history.streams {
        // Where in a snapshot it stands, from its very start on.
        let mut listing = match &stream.start {
            Start::Snapshot => Some(None),
            Start::Token(token) => match tokens.get(&**token) {
                Some(Position::Listing(_, last)) => Some(last.clone()),
                _ => None,
            },
            _ => None,
        };
        for step in &stream.steps {
            let Some((token, revision)) = step.what.token() else { continue };
            let position = match &step.what {
                What::Events { events, fragment: true, .. } => match events.last() {
                    Some(last) => Position::After(last.place()),
                    None => Position::behind(revision),
                },
                What::Snapshot { entries, .. } => {
                    let last = entries.last().map(|entry| entry.name.clone());
                    listing = Some(last.clone());
                    Position::Listing(revision, last)
                }
                // Within a snapshot it is where the snapshot stands.
                What::Bookmark { .. } if listing.is_some() => {
                    Position::Listing(revision, listing.clone().flatten())
                }
                _ => {
                    listing = None;
                    Position::behind(revision)
                }
            };
            // Two readers may have the same token, and only one of them have been sent what lies right before it.
            let known = tokens.entry(token).or_insert_with(|| position.clone());
            if let (Position::After(known), Position::After(place)) = (known, position) {
                *known = place.max(*known);
            }
        }
    }
    tokens
}
