//! Promises 6 to 12: every stream is exactly the filtered log from where it began. Knows nothing of writers.

use std::collections::{BTreeMap, HashMap};

use super::{
    lives::LostTokens,
    log::{Log, Position},
    observed::Observed,
    readers::difference,
    record::{Entry, Event, Lost, Start, Step, Stream, What},
    rules::{Findings, Rule},
};

/// What all streams are held against.
pub struct Oracle<'a> {
    pub log: &'a Log,
    pub observed: &'a Observed,
    pub tokens: &'a HashMap<&'a str, Position>,
    /// The floor in the end.
    pub floor: u64,
    pub told: Option<Told<'a>>,
}

/// What streams may say of a loss.
#[derive(Clone, Copy)]
pub struct Told<'a> {
    pub lost: &'a Lost,
    /// The tokens of what was lost.
    pub gone: &'a LostTokens<'a>,
    /// The log is that of the first life.
    pub is_over: bool,
}

/// A stream as far as it has been followed.
struct Course<'a> {
    oracle: &'a Oracle<'a>,
    stream: &'a Stream,
    /// Everything up to here was sent, or was not to be sent.
    covered: (u64, u32),
    /// It stands, by a response that said where, or by its start.
    is_placed: bool,
    /// What was claimed to have been seen.
    claimed: u64,
    /// Events that should have been sent, and whether that was at the very start.
    skipped: BTreeMap<(u64, u32), bool>,
    sent_any: bool,
    snapshot: Option<Snapshot>,
    bookmarked: bool,
}

/// A snapshot that has not ended.
struct Snapshot {
    /// Known with the first part.
    revision: Option<u64>,
    /// What was sent of it before this stream: everything up to here.
    after: Option<super::record::Name>,
    entries: Vec<Entry>,
}

/// Holds every stream against the log.
pub fn check(streams: &[Stream], oracle: &Oracle<'_>, found: &mut Findings) {
    for stream in streams {
        let mut course = Course::of(stream, oracle);
        for step in &stream.steps {
            course.step(step, found);
        }
        course.close(found);
    }
}

impl<'a> Course<'a> {
    fn of(stream: &'a Stream, oracle: &'a Oracle<'a>) -> Self {
        let mut course = Self {
            oracle,
            stream,
            covered: (0, u32::MAX),
            is_placed: false,
            claimed: 0,
            skipped: BTreeMap::new(),
            sent_any: false,
            snapshot: None,
            bookmarked: false,
        };
        match &stream.start {
            Start::Snapshot => {
                course.snapshot = Some(Snapshot { revision: None, after: None, entries: Vec::new() });
            }
            Start::Revision(revision) => course.place((revision.saturating_sub(1), u32::MAX)),
            Start::Token(token) => match oracle.tokens.get(&**token) {
                Some(Position::After(place)) => course.place(*place),
                Some(Position::Listing(revision, last)) => {
                    let (revision, after) = (Some(*revision), last.clone());
                    course.snapshot = Some(Snapshot { revision, after, entries: Vec::new() });
                }
                None => {}
            },
            Start::Now | Start::Time(_) => {}
        }
        course
    }

    fn place(&mut self, covered: (u64, u32)) {
        (self.covered, self.is_placed) = (covered, true);
        self.claimed = Position::After(covered).revision();
    }

    fn step(&mut self, step: &Step, found: &mut Findings) {
        let is_bookmark = matches!(step.what, What::Bookmark { .. });
        if let Some((_, revision)) = step.what.token() {
            if revision > self.oracle.observed.possible(step.at.tick) {
                self.say(Rule::BookmarkAhead, &format!("{revision} was not there yet"), step, found);
            }
            if !self.is_placed && self.snapshot.is_none() {
                self.begin(revision, step, found);
            }
        }
        match &step.what {
            What::Snapshot { entries, revision, .. } => self.part(entries, *revision, step, found),
            What::SnapshotEnd { revision, .. } => self.end_snapshot(*revision, step, found),
            // Within a snapshot it says nothing new.
            What::Bookmark { .. } if self.snapshot.is_some() => {}
            What::Events { revision, .. } if self.snapshot.is_some() => {
                self.snapshot = None;
                self.say(Rule::WrongSnapshot, "it has no end", step, found);
                self.place((*revision, u32::MAX));
            }
            What::Events { events, fragment, revision, .. } => {
                for event in events {
                    self.event(event, found);
                }
                if !fragment {
                    self.reach(*revision, step, found);
                }
            }
            What::Bookmark { revision, .. } => {
                // In the midst of a revision it tells how far the one before it reached.
                if *revision >= self.covered.0 || self.covered.1 == u32::MAX {
                    self.reach(*revision, step, found);
                }
            }
            What::Ended { reason, floor, .. } => {
                self.ended(reason.as_deref().unwrap_or_default(), *floor, step, found);
            }
            What::Left => {}
        }
        self.bookmarked = is_bookmark;
    }

    /// A stream that was to start somewhere says where that is.
    fn begin(&mut self, revision: u64, step: &Step, found: &mut Findings) {
        let known = self.known();
        let log = self.oracle.log;
        let wrong = match self.stream.start {
            Start::Now => revision < known,
            // The first revision at or after the time is the next one, or there was none when it was opened.
            Start::Time(time) => {
                (revision > 0 && log.time_at(revision) >= time)
                    || (revision < known && log.time_at(revision + 1) < time)
            }
            _ => false,
        };
        if wrong || !matches!(step.what, What::Bookmark { .. }) {
            self.say(Rule::WrongStart, &format!("{known} was known when it was opened"), step, found);
        }
        self.place((revision, u32::MAX));
    }

    fn event(&mut self, event: &Event, found: &mut Findings) {
        let (log, filter) = (self.oracle.log, &self.stream.filter);
        let place = event.place();
        if log.event(place) != Some(event) {
            let example = format!("{event:?} is {:?} in the log: {self}", log.event(place));
            return found.add(Rule::WatchInvented, example);
        }
        if !filter.takes(&event.entry) {
            return found.add(Rule::FilterLeaked, format!("{event:?}: {self}"));
        }
        if self.skipped.remove(&place).is_some() {
            return found.add(Rule::WatchReordered, format!("{place:?} behind {:?}: {self}", self.covered));
        }
        if place <= self.covered {
            return found.add(Rule::WatchRepeated, format!("{place:?} behind {:?}: {self}", self.covered));
        }
        self.skip(log.between(self.covered, place), Some(place));
        (self.covered, self.sent_any) = (place, true);
    }

    /// Notes what should have been sent, besides what was.
    fn skip(&mut self, events: &[Event], besides: Option<(u64, u32)>) {
        for event in events {
            if Some(event.place()) != besides && self.stream.filter.takes(&event.entry) {
                self.skipped.insert(event.place(), !self.sent_any);
            }
        }
    }

    /// The stream says that everything up to a revision has been seen.
    fn reach(&mut self, revision: u64, step: &Step, found: &mut Findings) {
        if revision < self.claimed {
            self.say(Rule::BookmarkAhead, &format!("{} was claimed before", self.claimed), step, found);
        }
        self.claimed = self.claimed.max(revision);
        let end = (revision, u32::MAX);
        let missing: Vec<_> = self.oracle.log.between(self.covered, end).to_vec();
        let due = |event: &&Event| self.stream.filter.takes(&event.entry);
        if let Some(first) = missing.iter().find(due) {
            let rule = match &step.what {
                What::Events { events, .. }
                    if events.last().is_some_and(|last| last.revision == first.revision) =>
                {
                    Some(Rule::RevisionSplit)
                }
                What::Bookmark { .. } => Some(Rule::BookmarkAhead),
                _ => None,
            };
            if let Some(rule) = rule {
                self.say(rule, &format!("{:?} was not sent", first.place()), step, found);
            }
        }
        // A revision that goes on without a word was told of just now.
        if self.covered.1 != u32::MAX && revision < self.covered.0 && matches!(step.what, What::Events { .. })
        {
            self.say(Rule::RevisionSplit, "its last revision is not reached", step, found);
        }
        self.skip(&missing, None);
        self.covered = self.covered.max(end);
    }

    fn part(&mut self, entries: &[Entry], revision: u64, step: &Step, found: &mut Findings) {
        let Some(snapshot) = &mut self.snapshot else {
            return self.say(Rule::WrongSnapshot, "there was to be none", step, found);
        };
        let is_same = snapshot.revision.is_none_or(|known| known == revision);
        snapshot.revision = Some(revision);
        snapshot.entries.extend(entries.iter().cloned());
        if !is_same {
            self.say(Rule::WrongSnapshot, "it is of two revisions", step, found);
        }
    }

    fn end_snapshot(&mut self, revision: u64, step: &Step, found: &mut Findings) {
        let Some(Snapshot { revision: of, after, entries }) = self.snapshot.take() else {
            return self.say(Rule::WrongSnapshot, "there was to be none", step, found);
        };
        let mut due = self.oracle.log.state(revision, &self.stream.filter);
        due.retain(|event| after.as_ref().is_none_or(|after| event.entry.name > *after));
        let there: Vec<_> = entries.iter().collect();
        if let Some(difference) = difference(&due, &there, true) {
            self.say(Rule::WrongSnapshot, &difference, step, found);
        }
        let known = self.known();
        let is_old = matches!(self.stream.start, Start::Snapshot) && revision < known;
        if of.is_some_and(|of| of != revision) || is_old {
            let why = format!("it began at {of:?}, {known} was known");
            self.say(Rule::WrongSnapshot, &why, step, found);
        }
        self.place((revision, u32::MAX));
    }

    fn ended(&mut self, reason: &str, floor: Option<u64>, step: &Step, found: &mut Findings) {
        let known = self.known();
        let is_wrong = match reason {
            "COMPACTED" => {
                let floor = floor.unwrap_or(u64::MAX);
                let is_behind = self.covered.0 < floor
                    || (self.covered.0 == floor && self.covered.1 != u32::MAX)
                    || matches!(self.stream.start, Start::Time(_))
                    || self.snapshot.as_ref().is_some_and(|s| s.revision.is_some_and(|r| r < floor));
                floor > self.oracle.floor || !is_behind
            }
            "INCARNATION_CHANGED" => !self.may_have_lost(),
            "FUTURE_REVISION" => {
                !matches!(self.stream.start, Start::Revision(revision) if revision > known + 1)
            }
            "DRAINING" => {
                let answered = self.stream.steps.iter().any(|step| step.what.token().is_some());
                if answered && !self.bookmarked {
                    self.say(Rule::ClosedUnmarked, "", step, found);
                }
                false
            }
            _ => false,
        };
        if is_wrong {
            let why = format!("at {:?}, the floor is {}", self.covered, self.oracle.floor);
            self.say(Rule::RefusedStart, &why, step, found);
        }
    }

    /// Whether it was there when something was lost, or comes from what was.
    fn may_have_lost(&self) -> bool {
        self.oracle.told.is_some_and(|Told { lost, gone, .. }| {
            self.stream.opened.tick <= lost.known.tick
                || matches!(&self.stream.start, Start::Token(token) if gone.contains(&**token))
        })
    }

    /// The newest revision that was known when it was opened. A coordinator that does not know of a loss yet may begin with what was
    /// kept, since the store has no more, and go on with what it holds of the first life, until it tells.
    fn known(&self) -> u64 {
        let opened = self.stream.opened.tick;
        let known = self.oracle.observed.known(opened);
        match self.oracle.told {
            Some(Told { lost, is_over: true, .. }) if opened > lost.at.tick => known.min(lost.kept),
            _ => known,
        }
    }

    /// What was never sent.
    fn close(&self, found: &mut Findings) {
        for (place, at_start) in &self.skipped {
            let rule = match *at_start && place.0 <= self.oracle.floor {
                true => Rule::CompactionSkipped,
                false => Rule::WatchMissed,
            };
            found.add(rule, format!("{:?}: {self}", self.oracle.log.event(*place)));
        }
    }

    fn say(&self, rule: Rule, why: &str, step: &Step, found: &mut Findings) {
        found.add(rule, format!("{why}: {:?} of {self}", step));
    }
}

impl std::fmt::Display for Course<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Stream { id, watcher, via, start, filter, .. } = self.stream;
        write!(f, "stream {id} of {watcher} via {via} from {start:?} with {filter:?}")
    }
}
