//! One request over the state: decides first, changes afterwards, so that a refusal changes nothing.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Effect, Outcome, Refusal,
    state::{Decision, State},
};
use crate::domain::{
    entry::{Cause, Version},
    limits::Limits,
    namespace::{EntryPath, Prefix},
    request::{Compare, Comparison, Condition, Operation, Request, Target, Test},
};

/// Runs a request and returns what it came to.
pub(super) fn run(state: &mut State, request: &Request, limits: &Limits) -> Result<Outcome, Refusal> {
    let mut succeeded = true;
    for compare in request.compares() {
        succeeded &= holds(state, compare, limits)?;
    }
    let mut plan = Plan::default();
    for operation in request.branch(succeeded) {
        plan.decide(state, operation, limits)?;
    }
    Ok(plan.carry_out(state, request, succeeded))
}

/// What a request is going to do.
#[derive(Default)]
struct Plan {
    decisions: Vec<Decision>,
    /// Entries whose time ran out: first of all they are deleted for that reason.
    expired: BTreeSet<EntryPath>,
    effects: Vec<Planned>,
    /// What the operations so far write and delete, for reads inside the transaction.
    written: BTreeSet<EntryPath>,
    deleted: BTreeSet<EntryPath>,
    cause_is_expiry: bool,
}

/// An effect, or one that is known only when the revision is.
enum Planned {
    Done(Effect),
    /// The entry of this decision, as written.
    Written(EntryPath),
    /// Reads what this request wrote.
    ReadBack(EntryPath),
}

impl Plan {
    fn decide(&mut self, state: &State, operation: &Operation, limits: &Limits) -> Result<(), Refusal> {
        match operation {
            Operation::Put { path, body, expiry, condition } => {
                check(state, path, *condition)?;
                let expire_time = expiry.map(|e| e.resolve(state.now));
                self.write(state, Decision::Put { path: path.clone(), body: body.clone(), expire_time });
                self.effects.push(Planned::Written(path.clone()));
            }
            Operation::Delete { path, condition } => {
                check(state, path, *condition)?;
                let exists = state.live(path).is_some();
                if exists {
                    self.write(state, Decision::Delete { path: path.clone() });
                }
                self.effects.push(Planned::Done(Effect::Delete(exists)));
            }
            Operation::DeletePrefix { prefix, limit } => {
                let effect = self.delete_below(state, prefix, *limit, limits)?;
                self.effects.push(Planned::Done(effect));
            }
            Operation::Get { path } => self.effects.push(if self.written.contains(path) {
                Planned::ReadBack(path.clone())
            } else if self.deleted.contains(path) {
                Planned::Done(Effect::Get(None))
            } else {
                Planned::Done(Effect::Get(state.live(path).cloned()))
            }),
            Operation::Expire { path } => {
                let due = state.is_expired(path);
                if due {
                    self.cause_is_expiry = true;
                    self.decisions.push(Decision::Delete { path: path.clone() });
                }
                self.effects.push(Planned::Done(Effect::Delete(due)));
            }
        }
        Ok(())
    }

    fn write(&mut self, state: &State, decision: Decision) {
        let path = match &decision {
            Decision::Put { path, .. } | Decision::Delete { path } => path.clone(),
        };
        if state.is_expired(&path) {
            self.expired.insert(path.clone());
        }
        match decision {
            Decision::Put { .. } => self.written.insert(path),
            Decision::Delete { .. } => self.deleted.insert(path),
        };
        self.decisions.push(decision);
    }

    fn delete_below(
        &mut self,
        state: &State,
        prefix: &Prefix,
        limit: Option<usize>,
        limits: &Limits,
    ) -> Result<Effect, Refusal> {
        let max = limits.delete_prefix_max;
        if limit.is_none() && state.is_truncated(prefix) {
            return Err(Refusal::PrefixTooLarge { prefix: prefix.clone(), max });
        }
        let most = limit.unwrap_or(max);
        let (mut deleted, mut more) = (0_usize, state.is_truncated(prefix));
        for version in state.below(prefix) {
            if version.is_expired(state.now) {
                self.expired.insert(version.path.clone());
            } else if deleted == most {
                if limit.is_none() {
                    return Err(Refusal::PrefixTooLarge { prefix: prefix.clone(), max });
                }
                more = true;
                break;
            } else {
                deleted += 1;
                self.write(state, Decision::Delete { path: version.path.clone() });
            }
        }
        Ok(Effect::DeletePrefix { deleted: deleted as u64, more })
    }

    fn carry_out(self, state: &mut State, request: &Request, succeeded: bool) -> Outcome {
        state.expire(self.expired);
        let cause = if self.cause_is_expiry { Cause::Expiry } else { Cause::Write };
        let taken =
            (!self.decisions.is_empty()).then(|| state.commit(self.decisions, cause, request.author()));
        let effects = self.effects.into_iter().map(|planned| match planned {
            Planned::Done(effect) => effect,
            Planned::Written(path) => {
                let written = written(state, &path);
                Effect::Put { version: written.version, expire_time: written.expire_time, path }
            }
            Planned::ReadBack(path) => {
                let written = written(state, &path);
                Effect::Get(written.is_live(state.now).then_some(written))
            }
        });
        Outcome { succeeded, taken, effects: effects.collect() }
    }
}

fn written(state: &State, path: &EntryPath) -> Arc<Version> {
    Arc::clone(state.newest(path).expect("the request wrote this entry"))
}

fn check(state: &State, path: &EntryPath, condition: Condition) -> Result<(), Refusal> {
    let current = state.live(path);
    let holds = match condition {
        Condition::Always => true,
        Condition::Etag(etag) => current.is_some_and(|v| v.etag() == etag),
        Condition::Absent => current.is_none(),
        Condition::Exists => current.is_some(),
    };
    if holds {
        return Ok(());
    }
    Err(Refusal::ConditionFailed { path: path.clone(), current: current.cloned() })
}

fn holds(state: &State, compare: &Compare, limits: &Limits) -> Result<bool, Refusal> {
    match &compare.target {
        Target::Entry(path) => Ok(entry_passes(state.live(path), &compare.test)),
        Target::Below(prefix) => {
            if state.is_truncated(prefix) {
                return Err(Refusal::PrefixTooLarge {
                    prefix: prefix.clone(),
                    max: limits.delete_prefix_max,
                });
            }
            let mut live = state.below(prefix).filter(|v| v.is_live(state.now));
            Ok(match compare.test {
                Test::Exists(wanted) => live.next().is_some() == wanted,
                ref test => live.all(|version| entry_passes(Some(version), test)),
            })
        }
    }
}

fn is_content(version: &Version, with: &str) -> bool {
    version.content_bytes == with.len() as u64 && &*version.body.content == with
}

fn entry_passes(entry: Option<&Arc<Version>>, test: &Test) -> bool {
    let number = |comparison: Comparison, of: fn(&Version) -> u64, with: u64| {
        comparison.holds(&entry.map_or(0, |v| of(v)), &with)
    };
    match test {
        Test::Exists(wanted) => entry.is_some() == *wanted,
        Test::Etag(equal, etag) => entry.is_some_and(|v| (v.etag() == *etag) == *equal),
        // Of another length, and so not loaded, it is another content.
        Test::Content(Comparison::Eq, with) => entry.is_some_and(|v| is_content(v, with)),
        Test::Content(Comparison::Ne, with) => entry.is_some_and(|v| !is_content(v, with)),
        Test::Content(comparison, with) => {
            entry.is_some_and(|v| comparison.holds::<str>(&v.body.content, with))
        }
        Test::Revision(comparison, with) => number(*comparison, |v| v.mark.revision.0, *with),
        Test::CreateRevision(comparison, with) => number(*comparison, |v| v.create_revision.0, *with),
        Test::Version(comparison, with) => number(*comparison, |v| v.version, *with),
    }
}
