//! What a request does to a state, by the word of `domain::apply`, in the terms of a history. Knows nothing of clients.

use std::{collections::HashMap, sync::Arc, time::Duration};

use swarmem::domain::{
    apply::{self, Applied, Loaded},
    attributes::Attributes,
    entry::{self, Body, Etag, Tags, Version},
    limits::Limits,
    namespace::{AgentId, EntryPath, Key, Namespace, Prefix},
    request::{self, Comparison, Request, Target, Test},
    swarm::{Head, Incarnation, Mark, Nonce, Revision},
    time::{Expiry, Timestamp},
};

use super::{
    log::Log,
    record::{Cause, Change, Compare, Condition, Effect, Entry, Event, Name, Operation, Write},
};

/// What the model makes of a request.
pub enum Decided {
    /// It is done, with this effect on the entries and this answer.
    Done { events: Vec<Event>, succeeded: bool, results: Vec<Effect> },
    /// A condition does not hold; this is there instead.
    Refused { current: Option<Entry> },
    /// It is refused for another reason.
    Invalid(String),
}

/// Decides a request over the state at a revision, at a time.
pub fn decide(log: &Log, at: u64, time_us: i64, agent: &str, write: &Write) -> Decided {
    let request = match request(agent, write) {
        Ok(request) => request,
        Err(error) => return Decided::Invalid(error),
    };
    let time = Timestamp::from_micros(time_us);
    let head = Head::new(Incarnation::default(), Nonce::default(), time);
    let mark = Mark { revision: Revision(at), nonce: Nonce::default() };
    let entries = names(log, write).into_iter().filter_map(|name| {
        let event = log.current(&name, at)?;
        Some((path(&name), Arc::new(version(event))))
    });
    let loaded = Loaded {
        head: Head { mark, entries: u64::MAX / 2, content_bytes: u64::MAX / 2, ..head },
        entries: entries.collect(),
        truncated: HashMap::new(),
        records: HashMap::new(),
    };
    let nonce = log.revision(at + 1).first().map(mark_of).unwrap_or_default().nonce;
    let Applied { commit, mut answers, .. } =
        apply::apply(loaded, &[Arc::new(request)], nonce, time, &Limits::default());
    match answers.remove(0) {
        Ok(outcome) => Decided::Done {
            events: commit.iter().flat_map(|commit| &commit.versions).map(|v| event(v)).collect(),
            succeeded: outcome.succeeded,
            results: outcome.effects.iter().map(|effect| result(outcome.taken, effect)).collect(),
        },
        Err(apply::Refusal::ConditionFailed { current, .. }) => {
            Decided::Refused { current: current.map(|version| event(&version).entry) }
        }
        Err(other) => Decided::Invalid(other.to_string()),
    }
}

/// Every entry that a request may look at.
pub fn names(log: &Log, write: &Write) -> Vec<Name> {
    let mut names = Vec::new();
    for compare in &write.compares {
        match compare {
            Compare::Exists(name, _)
            | Compare::Etag(name, _)
            | Compare::Content(name, _)
            | Compare::Version(name, _) => names.push(name.clone()),
            Compare::Below(prefix, _) => names.extend(log.names_below(prefix).cloned()),
        }
    }
    for operation in write.success.iter().chain(&write.failure) {
        match operation {
            Operation::Put { name, .. } | Operation::Delete { name, .. } | Operation::Get { name } => {
                names.push(name.clone());
            }
            Operation::DeletePrefix { prefix } => names.extend(log.names_below(prefix).cloned()),
        }
    }
    names.sort();
    names.dedup();
    names
}

fn request(agent: &str, write: &Write) -> Result<Request, String> {
    let limits = Limits::default();
    let compares = write.compares.iter().map(compare).collect::<Result<Vec<_>, _>>()?;
    let operations = |list: &[Operation]| list.iter().map(operation).collect::<Result<Vec<_>, String>>();
    let (success, failure) = (operations(&write.success)?, operations(&write.failure)?);
    Request::transaction(AgentId::trusted(agent), None, compares, success, failure, &limits)
        .map_err(|invalid| format!("{invalid:?}"))
}

fn etag(text: &str) -> Etag {
    // One that names nothing is as good as one that cannot be read.
    Etag::parse(text).unwrap_or(Etag(Mark::default()))
}

fn compare(compare: &Compare) -> Result<request::Compare, String> {
    let on = |name: &Name, test| Ok(request::Compare { target: Target::Entry(path(name)), test });
    match compare {
        Compare::Exists(name, wanted) => on(name, Test::Exists(*wanted)),
        Compare::Etag(name, text) => on(name, Test::Etag(true, etag(text))),
        Compare::Content(name, content) => on(name, Test::Content(Comparison::Eq, content.as_str().into())),
        Compare::Version(name, least) => on(name, Test::Version(Comparison::Gte, *least)),
        Compare::Below(below, wanted) => {
            Ok(request::Compare { target: Target::Below(prefix(below)?), test: Test::Exists(*wanted) })
        }
    }
}

fn operation(operation: &Operation) -> Result<request::Operation, String> {
    let condition = |only: &Condition| match only {
        Condition::Always => request::Condition::Always,
        Condition::Absent => request::Condition::Absent,
        Condition::Exists => request::Condition::Exists,
        Condition::Etag(text) => request::Condition::Etag(etag(text)),
    };
    Ok(match operation {
        Operation::Put { name, content, tags, ttl_us, only } => request::Operation::Put {
            path: path(name),
            body: body(content, tags),
            expiry: ttl_us.map(|us| Expiry::After(Duration::from_micros(us))),
            condition: condition(only),
        },
        Operation::Delete { name, only } => {
            request::Operation::Delete { path: path(name), condition: condition(only) }
        }
        Operation::DeletePrefix { prefix: below } => {
            request::Operation::DeletePrefix { prefix: prefix(below)?, limit: None }
        }
        Operation::Get { name } => request::Operation::Get { path: path(name) },
    })
}

fn prefix(text: &str) -> Result<Prefix, String> {
    Prefix::parse(text, &Limits::default()).map_err(|invalid| format!("{invalid:?}"))
}

fn path(name: &Name) -> EntryPath {
    EntryPath { namespace: Namespace::trusted(&name.namespace), key: Key::trusted(&name.key) }
}

fn body(content: &str, tags: &[String]) -> Body {
    Body {
        content: content.into(),
        tags: Tags::trusted(tags),
        attributes: Attributes::default(),
        ..Body::default()
    }
}

fn mark_of(event: &Event) -> Mark {
    let nonce = Etag::parse(&event.entry.etag).map(|etag| etag.0.nonce).unwrap_or_default();
    Mark { revision: Revision(event.revision), nonce }
}

/// What the store held, as far as a history knows it. The time at which the key came into being is not told.
fn version(event: &Event) -> Version {
    let Event { entry, .. } = event;
    Version {
        path: path(&entry.name),
        mark: mark_of(event),
        ordinal: event.ordinal,
        change: match event.change {
            Change::Put => entry::Change::Put,
            Change::Delete => entry::Change::Delete,
        },
        cause: entry::Cause::Write,
        author: AgentId::trusted(&entry.author),
        time: Timestamp::from_micros(event.time_us),
        create_revision: Revision(entry.create_revision),
        create_time: Timestamp::from_micros(event.time_us),
        version: entry.version,
        expire_time: entry.expire_us.map(Timestamp::from_micros),
        content_bytes: entry.content.len() as u64,
        body: body(&entry.content, &entry.tags),
    }
}

/// A version in the terms of a history.
pub fn event(version: &Version) -> Event {
    Event {
        revision: version.mark.revision.0,
        ordinal: version.ordinal,
        change: match version.change {
            entry::Change::Put => Change::Put,
            entry::Change::Delete => Change::Delete,
        },
        cause: match version.cause {
            entry::Cause::Write => Cause::Write,
            entry::Cause::Expiry => Cause::Expiry,
            _ => Cause::Other,
        },
        time_us: version.time.as_micros(),
        entry: Entry {
            name: Name {
                namespace: version.path.namespace.as_str().to_owned(),
                key: version.path.key.as_str().to_owned(),
            },
            content: (*version.body.content).to_owned(),
            tags: version.body.tags.iter().map(str::to_owned).collect(),
            author: version.author.as_str().to_owned(),
            revision: version.mark.revision.0,
            create_revision: version.create_revision.0,
            version: version.version,
            etag: version.etag().encode(),
            expire_us: version.expire_time.map(Timestamp::as_micros),
        },
    }
}

fn result(taken: Option<Mark>, effect: &apply::Effect) -> Effect {
    match effect {
        apply::Effect::Put { version, .. } => {
            Effect::Put { etag: Etag(taken.unwrap_or_default()).encode(), version: *version }
        }
        apply::Effect::Delete(deleted) => Effect::Delete { deleted: *deleted },
        apply::Effect::DeletePrefix { deleted, .. } => Effect::DeletePrefix { deleted: *deleted },
        apply::Effect::Get(found) => {
            Effect::Get { entry: found.as_ref().map(|version| event(version).entry) }
        }
        apply::Effect::GetRecorded { .. } => Effect::Get { entry: None },
    }
}
