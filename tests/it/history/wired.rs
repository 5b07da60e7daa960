//! Between the words of a history and those of the protocol. Knows nothing of when they are said.

use futures_util::future::{BoxFuture, FutureExt as _, TryFutureExt as _};
use swarmem::{
    client::{Client, Error, WriteStream},
    wire::{
        self, WatchResponse, WatchResponseType,
        v1::{self, operation_result::Result as Answer, precondition},
    },
};

use super::record::{
    Cause, Change, Compare, Condition, Effect, Entry, Event, Filter, Kind, Name, Operation, Outcome, What,
    Write,
};

/// Makes a write by the call that it is for.
pub async fn write(client: &Client, write: &Write) -> Result<Outcome, Error> {
    let identified = client.with_request_id(write.request_id.clone());
    Ok(match write.kind {
        Kind::Put => put_done(identified.put(put(&write.success[0])).await?),
        Kind::BatchPut => batch_done(identified.batch_put(write.success.iter().map(put).collect()).await?),
        Kind::Delete => deleted(identified.delete(delete(&write.success[0])).await?),
        Kind::DeletePrefix => {
            prefix_deleted(identified.delete_prefix(delete_prefix(&write.success[0])).await?)
        }
        Kind::Transact => transacted(identified.transact(transaction(write)).await?),
    })
}

/// Sends a write on a stream.
pub async fn send(
    stream: &WriteStream,
    write: &Write,
) -> Result<BoxFuture<'static, Result<Outcome, Error>>, Error> {
    Ok(match write.kind {
        Kind::Put => stream.put(put(&write.success[0])).await?.map_ok(put_done).boxed(),
        Kind::BatchPut => {
            stream.batch_put(write.success.iter().map(put).collect()).await?.map_ok(batch_done).boxed()
        }
        Kind::Delete => stream.delete(delete(&write.success[0])).await?.map_ok(deleted).boxed(),
        Kind::DeletePrefix => {
            stream.delete_prefix(delete_prefix(&write.success[0])).await?.map_ok(prefix_deleted).boxed()
        }
        Kind::Transact => stream.transact(transaction(write)).await?.map_ok(transacted).boxed(),
    })
}

fn transaction(write: &Write) -> v1::TransactRequest {
    v1::TransactRequest {
        compares: write.compares.iter().map(compare).collect(),
        success: write.success.iter().map(operation).collect(),
        failure: write.failure.iter().map(operation).collect(),
        ..Default::default()
    }
}

fn put_result(put: v1::PutResult) -> Effect {
    Effect::Put { etag: put.etag, version: put.version }
}

fn put_done(answer: v1::PutResponse) -> Outcome {
    let result = answer.result.unwrap_or_default();
    done(result.revision, result.revision, answer.token, true, vec![put_result(result)])
}

fn batch_done(answer: v1::BatchPutResponse) -> Outcome {
    let revision = answer.results.first().map_or(0, |result| result.revision);
    let results = answer.results.into_iter().map(put_result).collect();
    done(revision, revision, answer.token, true, results)
}

fn deleted(answer: v1::DeleteResponse) -> Outcome {
    let deleted = answer.result.unwrap_or_default().deleted;
    let revision = if deleted { answer.revision } else { 0 };
    done(revision, answer.revision, answer.token, true, vec![Effect::Delete { deleted }])
}

fn prefix_deleted(answer: v1::DeletePrefixResponse) -> Outcome {
    let deleted = answer.result.unwrap_or_default().deleted;
    let revision = if deleted > 0 { answer.revision } else { 0 };
    done(revision, answer.revision, answer.token, true, vec![Effect::DeletePrefix { deleted }])
}

fn transacted(answer: v1::TransactResponse) -> Outcome {
    let results = answer.results.into_iter().filter_map(|result| result.result).map(effect).collect();
    // A transaction that changed nothing does not name the state that its token is of: the token tells nothing.
    let token = if answer.revision > 0 { answer.token } else { String::new() };
    done(answer.revision, answer.revision, token, answer.succeeded, results)
}

fn done(revision: u64, state: u64, token: String, succeeded: bool, results: Vec<Effect>) -> Outcome {
    Outcome::Done { revision: (revision > 0).then_some(revision), state, token, succeeded, results }
}

fn effect(result: Answer) -> Effect {
    match result {
        Answer::Put(put) => Effect::Put { etag: put.etag, version: put.version },
        Answer::Delete(delete) => Effect::Delete { deleted: delete.deleted },
        Answer::DeletePrefix(delete) => Effect::DeletePrefix { deleted: delete.deleted },
        Answer::Get(get) => Effect::Get { entry: get.entry.map(entry) },
    }
}

pub fn name(name: &Name) -> v1::EntryName {
    v1::EntryName { namespace: name.namespace.clone(), key: name.key.clone() }
}

fn precondition(only: &Condition) -> Option<v1::Precondition> {
    let condition = match only {
        Condition::Always => return None,
        Condition::Etag(etag) => precondition::Condition::Etag(etag.clone()),
        Condition::Absent => precondition::Condition::Absent(true),
        Condition::Exists => precondition::Condition::Absent(false),
    };
    Some(v1::Precondition { condition: Some(condition) })
}

fn put(operation: &Operation) -> v1::PutOperation {
    let Operation::Put { name, content, tags, ttl_us, only } = operation else {
        panic!("{operation:?} is no put");
    };
    let ttl = ttl_us.map(|us| wire::Duration {
        seconds: i64::try_from(us / 1_000_000).unwrap(),
        nanos: i32::try_from(us % 1_000_000 * 1_000).unwrap(),
    });
    v1::PutOperation {
        namespace: name.namespace.clone(),
        key: name.key.clone(),
        content: content.clone(),
        tags: tags.clone(),
        expiry: ttl.map(v1::put_operation::Expiry::Ttl),
        precondition: precondition(only),
        ..Default::default()
    }
}

fn delete(operation: &Operation) -> v1::DeleteOperation {
    let Operation::Delete { name, only } = operation else { panic!("{operation:?} is no delete") };
    let (namespace, key) = (name.namespace.clone(), name.key.clone());
    v1::DeleteOperation { namespace, key, precondition: precondition(only) }
}

fn delete_prefix(operation: &Operation) -> v1::DeletePrefixOperation {
    let Operation::DeletePrefix { prefix } = operation else { panic!("{operation:?} is another") };
    v1::DeletePrefixOperation { prefix: prefix.clone(), limit: 0 }
}

fn operation(operation: &Operation) -> v1::Operation {
    use v1::operation::Operation as Wire;
    let wire = match operation {
        Operation::Put { .. } => Wire::Put(put(operation)),
        Operation::Delete { .. } => Wire::Delete(delete(operation)),
        Operation::DeletePrefix { .. } => Wire::DeletePrefix(delete_prefix(operation)),
        Operation::Get { name: entry } => Wire::Get(name(entry)),
    };
    v1::Operation { operation: Some(wire) }
}

fn compare(compare: &Compare) -> v1::Compare {
    use v1::compare::{Operator, Target, Value};
    let (target, operator, value) = match compare {
        Compare::Exists(entry, wanted) => {
            (Target::Entry(name(entry)), Operator::Unspecified, Value::Exists(*wanted))
        }
        Compare::Etag(entry, etag) => (Target::Entry(name(entry)), Operator::Eq, Value::Etag(etag.clone())),
        Compare::Content(entry, content) => {
            (Target::Entry(name(entry)), Operator::Eq, Value::Content(content.clone()))
        }
        Compare::Version(entry, least) => (Target::Entry(name(entry)), Operator::Gte, Value::Version(*least)),
        Compare::Below(prefix, wanted) => {
            (Target::Prefix(prefix.clone()), Operator::Unspecified, Value::Exists(*wanted))
        }
    };
    v1::Compare { target: Some(target), operator: operator.into(), value: Some(value) }
}

/// Who reads stands in the headers.
pub fn filter(filter: &Filter) -> v1::Filter {
    let Filter { prefixes, tags, authors, reader: _ } = filter.clone();
    v1::Filter { prefixes, tags, authors, ..Default::default() }
}

fn micros(time: wire::Timestamp) -> i64 {
    time.seconds * 1_000_000 + i64::from(time.nanos) / 1_000
}

pub fn entry(entry: v1::Entry) -> Entry {
    Entry {
        name: Name { namespace: entry.namespace, key: entry.key },
        content: entry.content,
        tags: entry.tags,
        author: entry.author,
        revision: entry.revision,
        create_revision: entry.create_revision,
        version: entry.version,
        etag: entry.etag,
        expire_us: entry.expire_time.map(micros),
    }
}

pub fn event(event: v1::Event) -> Event {
    Event {
        revision: event.revision,
        ordinal: event.ordinal,
        change: match event.r#type() {
            v1::event::Type::Delete => Change::Delete,
            _ => Change::Put,
        },
        cause: match event.cause() {
            v1::Cause::Write => Cause::Write,
            v1::Cause::Expiry => Cause::Expiry,
            _ => Cause::Other,
        },
        time_us: event.time.map_or(0, micros),
        entry: entry(event.entry.unwrap_or_default()),
    }
}

pub fn what(response: &WatchResponse) -> What {
    let (revision, token) = (response.revision, response.token.clone());
    match response.r#type() {
        WatchResponseType::Events => What::Events {
            events: response.decode_events().unwrap().into_iter().map(event).collect(),
            fragment: response.fragment,
            revision,
            token,
        },
        WatchResponseType::Snapshot => What::Snapshot {
            entries: response.decode_entries().unwrap().into_iter().map(entry).collect(),
            revision,
            token,
        },
        WatchResponseType::SnapshotEnd => What::SnapshotEnd { revision, token },
        WatchResponseType::Bookmark | WatchResponseType::Unspecified => What::Bookmark { revision, token },
    }
}
