//! Promises 1 to 5: whose each revision of the log is, whether it is what its request comes to, and whether every answer fits.
//! Knows nothing of watchers.

use std::collections::HashMap;

use super::{
    log::Log,
    model::{self, Decided},
    observed::Observed,
    record::{
        Call, Cause, Change, Condition, Effect, Event, History, Name, Operation, Outcome, Request, Write,
    },
    rules::{Findings, Rule},
};

/// A request, and every call that made it.
pub struct Asked<'a> {
    pub write: &'a Write,
    pub agent: &'a str,
    pub calls: Vec<&'a Call>,
    /// The revision that is its.
    pub revision: Option<u64>,
    /// What it came to there, by the model.
    results: Option<(bool, Vec<Effect>)>,
}

/// All requests, and whose each revision is.
pub struct Writers<'a> {
    pub asked: Vec<Asked<'a>>,
    /// Requests by agent and request id: more than one where an id was used again for something else.
    by_id: HashMap<(&'a str, &'a str), Vec<usize>>,
    by_content: HashMap<&'a str, usize>,
    /// For each revision from 1, when its request was first made.
    pub started: Vec<Option<u64>>,
}

impl<'a> Writers<'a> {
    /// Finds the request of each revision.
    pub fn of(history: &'a History, log: &Log, found: &mut Findings) -> Self {
        let mut writers = Self {
            asked: Vec::new(),
            by_id: HashMap::new(),
            by_content: HashMap::new(),
            started: Vec::new(),
        };
        for call in &history.calls {
            if let Request::Write(write) = &call.request {
                writers.add(call, write);
            }
        }
        for revision in 1..=log.head {
            let started = writers.attribute(log, revision, found);
            writers.started.push(started);
        }
        writers
    }

    fn add(&mut self, call: &'a Call, write: &'a Write) {
        let of_id = self.by_id.entry((&call.agent, &write.request_id)).or_default();
        // Without an id each call is a request of its own.
        let known =
            of_id.iter().find(|index| !write.request_id.is_empty() && self.asked[**index].write == write);
        if let Some(index) = known {
            self.asked[*index].calls.push(call);
            return;
        }
        let index = self.asked.len();
        of_id.push(index);
        for operation in write.success.iter().chain(&write.failure) {
            if let Operation::Put { content, .. } = operation {
                self.by_content.insert(content, index);
            }
        }
        let (revision, results) = (None, None);
        self.asked.push(Asked { write, agent: &call.agent, calls: vec![call], revision, results });
    }

    /// Finds out whose a revision is, and whether it is what that request comes to. Says when it was first asked for.
    fn attribute(&mut self, log: &Log, revision: u64, found: &mut Findings) -> Option<u64> {
        let events = log.revision(revision);
        let first = events.first()?;
        if first.cause == Cause::Expiry {
            check_expiry(log, events, found);
            return None;
        }
        let put = events.iter().find(|event| event.change == Change::Put);
        let owner = match put {
            Some(event) => self.by_content.get(&*event.entry.content).copied(),
            None => self.deleter(log, events),
        };
        let Some(index) = owner else {
            found.add(Rule::NobodysWrite, format!("{events:?}"));
            return None;
        };
        let asked = &self.asked[index];
        if let Some(before) = asked.revision {
            let example = format!("at {before} and at {revision}: {:?}", asked.write);
            found.add(Rule::RequestTwice, example);
            return asked.started();
        }
        if asked.calls.iter().all(|call| call.is_undone()) {
            found.add(Rule::RefusedTookEffect, format!("at {revision}: {:?}", asked.calls));
        }
        let results = match model::decide(log, revision - 1, first.time_us, asked.agent, asked.write) {
            Decided::Done { events: due, succeeded, results } => {
                if due != events {
                    found.add(Rule::WrongEffect, format!("due {due:?}, in the log {events:?}"));
                }
                Some((succeeded, results))
            }
            Decided::Refused { .. } => {
                let rule = match self.has_beaten(index) {
                    true => Rule::TwoWinners,
                    false => Rule::WrongEffect,
                };
                found.add(rule, format!("at {revision} the condition does not hold: {:?}", asked.write));
                None
            }
            Decided::Invalid(why) => {
                found.add(Rule::WrongEffect, format!("at {revision} {why}: {:?}", asked.write));
                None
            }
        };
        let asked = &mut self.asked[index];
        (asked.revision, asked.results) = (Some(revision), results);
        asked.started()
    }

    /// Deletes say only who did it. One that was acknowledged here comes first, then one that may have been done, then one
    /// that should not have been; each must come to just this.
    fn deleter(&self, log: &Log, events: &[Event]) -> Option<usize> {
        let (revision, first) = (events[0].revision, &events[0]);
        let certainty = |asked: &Asked<'_>| match asked.acknowledged() {
            Some(at) if at == revision => Some(0),
            Some(_) => None,
            None if !asked.calls.iter().all(|call| call.is_undone()) => Some(1),
            None => Some(2),
        };
        let mut candidates: Vec<_> = (0..self.asked.len())
            .filter(|index| {
                let asked = &self.asked[*index];
                asked.agent == first.entry.author
                    && asked.revision.is_none()
                    && asked.may_delete(&first.entry.name)
            })
            .filter_map(|index| Some((certainty(&self.asked[index])?, index)))
            .collect();
        candidates.sort_unstable();
        let fits = |(certainty, index): &&(u8, usize)| {
            let asked = &self.asked[*index];
            let due = model::decide(log, revision - 1, first.time_us, asked.agent, asked.write);
            *certainty == 0 || matches!(due, Decided::Done { events: due, .. } if due == events)
        };
        candidates.iter().find(fits).map(|(_, index)| *index)
    }

    /// Whether another request that is done had the same version as a condition.
    fn has_beaten(&self, index: usize) -> bool {
        let mine: Vec<_> = conditions(self.asked[index].write).collect();
        let done = self.asked.iter().filter(|asked| asked.revision.is_some());
        done.flat_map(|asked| conditions(asked.write)).any(|theirs| mine.contains(&theirs))
    }

    /// Whether every answer fits.
    pub fn check(&self, log: &Log, observed: &Observed, found: &mut Findings) {
        let mut acknowledged: HashMap<u64, usize> = HashMap::new();
        let mut winners: HashMap<(&Name, &str), usize> = HashMap::new();
        for (index, asked) in self.asked.iter().enumerate() {
            if let (Some(revision), Some(start)) = (asked.revision, asked.started())
                && revision <= observed.known(start)
            {
                found.add(
                    Rule::RealTime,
                    format!(
                        "{} was known before tick {start}, and became {revision}: {:?}",
                        observed.known(start),
                        asked.calls
                    ),
                );
            }
            for call in &asked.calls {
                self.check_answer(asked, call, log, observed, found);
            }
            if let Some(revision) = asked.acknowledged() {
                let other = *acknowledged.entry(revision).or_insert(index);
                if other != index {
                    let both = [&self.asked[other].calls, &asked.calls];
                    found.add(Rule::RevisionTwice, format!("{revision} was acknowledged to {both:?}"));
                }
                for condition in conditions(asked.write).filter(|_| asked.has_succeeded()) {
                    let other = *winners.entry(condition).or_insert(index);
                    if other != index {
                        let both = [&self.asked[other].calls, &asked.calls];
                        found.add(Rule::TwoWinners, format!("both over {condition:?}: {both:?}"));
                    }
                }
            }
        }
        self.check_ids(found);
    }

    /// One body for each id.
    fn check_ids(&self, found: &mut Findings) {
        for ((_, id), of_id) in &self.by_id {
            let accepted = of_id.iter().filter(|index| self.asked[**index].acknowledged().is_some());
            if !id.is_empty() && accepted.count() > 1 {
                let calls: Vec<_> = of_id.iter().map(|index| &self.asked[*index].calls).collect();
                found.add(Rule::RequestIdReused, format!("{calls:?}"));
            }
        }
    }

    fn check_answer(
        &self,
        asked: &Asked<'_>,
        call: &Call,
        log: &Log,
        observed: &Observed,
        found: &mut Findings,
    ) {
        match &call.outcome {
            Outcome::Done { revision: Some(revision), succeeded, results, .. } => {
                if asked.revision != Some(*revision) {
                    let example = format!("{call:?} is at {:?}", asked.revision);
                    found.add(Rule::AcknowledgedLost, example);
                } else if let Some((did_succeed, due)) = &asked.results
                    && (did_succeed != succeeded || due != results)
                {
                    found.add(Rule::WrongAnswer, format!("{call:?} did {did_succeed} {due:?}"));
                }
            }
            Outcome::Done { revision: None, succeeded, results, .. } => {
                let explained = explained(asked, call, log, observed, |decided| {
                    matches!(decided, Decided::Done { events, succeeded: did, results: due }
                        if !events.iter().any(|e| e.cause == Cause::Write) && did == *succeeded && due == *results)
                });
                if !explained {
                    found.add(Rule::WrongAnswer, format!("at no time it was so: {call:?}"));
                }
            }
            Outcome::Refused { reason, current } if reason == "CONDITION_FAILED" => {
                let is_done = asked.revision.is_some_and(|at| at <= observed.known(call.start.tick));
                let explained = explained(
                    asked,
                    call,
                    log,
                    observed,
                    |decided| matches!(decided, Decided::Refused { current: there } if same_entry(&there, current)),
                );
                if is_done || !explained {
                    found.add(Rule::RefusedWithoutReason, format!("{call:?}"));
                }
            }
            Outcome::Refused { reason, .. }
                if reason == "REQUEST_ID_REUSED"
                    && self.by_id[&(asked.agent, &*asked.write.request_id)].len() < 2 =>
            {
                found.add(Rule::RefusedWithoutReason, format!("{call:?}"));
            }
            _ => {}
        }
    }
}

/// Whether there is a state, among those that may have been while the call was made, over which it comes to this.
fn explained(
    asked: &Asked<'_>,
    call: &Call,
    log: &Log,
    observed: &Observed,
    fits: impl Fn(Decided) -> bool,
) -> bool {
    let names = model::names(log, asked.write);
    let (lowest, highest) = (observed.known(call.start.tick), observed.possible(call.end.tick));
    log.turning_points(&names, lowest, highest).into_iter().any(|at| {
        // Entries may have run out that are deleted later.
        let due = names.iter().filter_map(|name| log.current(name, at)?.entry.expire_us);
        let mut times: Vec<_> =
            due.chain([log.time_at(at)]).filter(|time| *time >= log.time_at(at)).collect();
        times.sort_unstable();
        times.into_iter().any(|time| fits(model::decide(log, at, time, asked.agent, asked.write)))
    })
}

/// A large entry is shown without its content, and one that the caller may not read, or of which the client does not tell, not
/// at all.
fn same_entry(due: &Option<super::record::Entry>, shown: &Option<super::record::Entry>) -> bool {
    match (due, shown) {
        (Some(due), Some(shown)) => due.etag == shown.etag && due.name == shown.name,
        (_, None) => true,
        (None, Some(_)) => false,
    }
}

fn check_expiry(log: &Log, events: &[Event], found: &mut Findings) {
    for event in events {
        let before = log.current(&event.entry.name, event.revision - 1);
        let is_due =
            before.is_some_and(|before| before.entry.expire_us.is_some_and(|expiry| expiry <= event.time_us));
        if !is_due || event.change != Change::Delete || event.cause != Cause::Expiry {
            found.add(Rule::WrongExpiry, format!("{event:?} of {before:?}"));
        }
    }
}

/// The versions that a request that succeeds must find.
fn conditions(write: &Write) -> impl Iterator<Item = (&Name, &str)> {
    write.success.iter().filter_map(|operation| match operation {
        Operation::Put { name, only: Condition::Etag(etag), .. }
        | Operation::Delete { name, only: Condition::Etag(etag) } => Some((name, &**etag)),
        _ => None,
    })
}

impl Asked<'_> {
    /// Where it was acknowledged, if it was.
    fn acknowledged(&self) -> Option<u64> {
        self.calls.iter().find_map(|call| match call.outcome {
            Outcome::Done { revision, .. } => revision,
            _ => None,
        })
    }

    fn has_succeeded(&self) -> bool {
        let succeeded = |call: &&Call| matches!(call.outcome, Outcome::Done { succeeded: true, .. });
        self.calls.iter().any(succeeded)
    }

    /// When it was first made.
    fn started(&self) -> Option<u64> {
        self.calls.iter().map(|call| call.start.tick).min()
    }

    fn may_delete(&self, name: &Name) -> bool {
        self.write.success.iter().chain(&self.write.failure).any(|operation| match operation {
            Operation::Delete { name: deleted, .. } => deleted == name,
            Operation::DeletePrefix { prefix } => super::record::is_below(&name.namespace, prefix),
            _ => false,
        })
    }
}

impl Call {
    /// Whether it certainly did nothing.
    fn is_undone(&self) -> bool {
        matches!(self.outcome, Outcome::Refused { .. } | Outcome::Failed { .. })
    }
}
