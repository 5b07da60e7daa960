//! Put, BatchPut, Delete, DeletePrefix, and preconditions.

use std::time::Duration;

use prost::Message as _;
use swarmem::{client::Error, wire::v1};
use tonic::{Code, Status};
use tonic_types::{StatusExt as _, pb};

use super::harness::{Server, absent, delete, etag, name, put, refusal};

/// What a put that says everything says.
fn full() -> v1::PutOperation {
    v1::PutOperation {
        kind: v1::Kind::Document.into(),
        content: "Grüße, 世界\0\r\n".into(),
        attributes: "{ \"big\": 123456789012345678901234567890, \"f\": 1.10, \"e\": 1E3, \"ü\": [null] }"
            .into(),
        tags: ["b", "a", "b", "ä"].map(Into::into).into(),
        importance: Some(0.25),
        expiry: Some(v1::put_operation::Expiry::Ttl(prost_types::Duration { seconds: 3600, nanos: 0 })),
        source: "a book".into(),
        ..put("shared/round trip/ü", "the/key ", "")
    }
}

async fn get(client: &swarmem::client::Client, namespace: &str, key: &str) -> Option<v1::Entry> {
    match client.get(name(namespace, key), None).await {
        Ok(got) => got.entry,
        Err(error) => {
            assert_eq!((error.code(), error.reason()), (Code::NotFound, Some("ENTRY_NOT_FOUND")));
            None
        }
    }
}

/// The entry in a refusal's details.
fn current(status: &Status) -> Option<v1::Entry> {
    assert_eq!(refusal(status), (Code::Aborted, "CONDITION_FAILED".into()));
    let details = pb::Status::decode(status.details()).unwrap().details;
    let entry = details.iter().find(|any| any.type_url == "type.googleapis.com/swarmem.v1.Entry")?;
    Some(v1::Entry::decode(&*entry.value).unwrap())
}

#[tokio::test]
async fn every_field_comes_back_as_it_was_put() {
    let server = Server::start().await;
    let ann = server.agent("ann").await;
    let wanted = full();
    let answer = ann.put(wanted.clone()).await.unwrap();
    let result = answer.result.unwrap();
    assert_eq!((result.key.as_str(), result.version, result.revision), ("the/key ", 1, 1));
    let entry = get(&ann, &wanted.namespace, &wanted.key).await.unwrap();
    assert_eq!(entry.content, wanted.content);
    assert_eq!(entry.attributes, wanted.attributes, "verbatim");
    assert_eq!(entry.tags, ["a", "b", "ä"], "sorted, each once");
    assert_eq!((entry.kind(), entry.importance), (v1::Kind::Document, 0.25));
    assert_eq!((entry.author.as_str(), entry.source.as_str()), ("ann", "a book"));
    assert_eq!((entry.revision, entry.create_revision, entry.version), (1, 1, 1));
    assert_eq!((&entry.etag, entry.expire_time), (&result.etag, result.expire_time));
    assert_eq!(entry.create_time, entry.update_time);
    let lives = entry.expire_time.unwrap().seconds - entry.update_time.unwrap().seconds;
    assert_eq!(lives, 3600);

    let again = ann.put(put(&wanted.namespace, &wanted.key, "second")).await.unwrap().result.unwrap();
    assert_eq!((again.version, again.revision, again.expire_time), (2, 2, None));
    let second = get(&ann, &wanted.namespace, &wanted.key).await.unwrap();
    assert_eq!((second.kind(), second.importance), (v1::Kind::Fact, 0.5), "a put writes the entry whole");
    assert_eq!((second.tags.len(), second.attributes.as_str(), second.source.as_str()), (0, "", ""));
    assert_eq!((second.create_revision, second.create_time), (1, entry.create_time));
    server.stop().await;
}

#[tokio::test]
async fn the_server_draws_a_key_where_there_is_none() {
    let server = Server::start().await;
    let ann = server.agent("ann").await;
    let puts = vec![put("shared/x", "", "one"), put("shared/x", "", "two")];
    let results = ann.batch_put(puts).await.unwrap().results;
    assert_ne!(results[0].key, results[1].key);
    for (result, content) in results.iter().zip(["one", "two"]) {
        assert_eq!(uuid::Uuid::parse_str(&result.key).unwrap().get_version_num(), 7);
        assert_eq!(get(&ann, "shared/x", &result.key).await.unwrap().content, content);
    }
    server.stop().await;
}

#[tokio::test]
async fn an_entry_expires_at_its_time_and_then_by_a_committed_delete() {
    let server = Server::start_with(|config| config.retention.expiry_interval_ms = 10).await;
    let ann = server.agent("ann").await;
    let long_ago = prost_types::Timestamp { seconds: 1_000_000_000, nanos: 1_999 };
    let past = v1::PutOperation {
        expiry: Some(v1::put_operation::Expiry::ExpireTime(long_ago)),
        ..put("shared/x", "past", "")
    };
    let result = ann.put(past).await.unwrap().result.unwrap();
    assert_eq!(result.expire_time.unwrap().nanos, 1_000, "in microseconds");
    assert_eq!(get(&ann, "shared/x", "past").await, None, "absent at once");
    let swept = async {
        while server.revision().await < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), swept).await.unwrap();
    let history =
        v1::HistoryRequest { namespace: "shared/x".into(), key: "past".into(), ..Default::default() };
    let versions = ann.history(history).await.unwrap().versions;
    let causes: Vec<_> = versions.iter().map(|v| (v.r#type(), v.cause())).collect();
    assert_eq!(
        causes,
        [(v1::event::Type::Delete, v1::Cause::Expiry), (v1::event::Type::Put, v1::Cause::Write)]
    );
    assert_eq!(versions[0].entry.as_ref().unwrap().author, "ann");
    server.stop().await;
}

#[tokio::test]
async fn a_batch_is_atomic_and_answers_in_order() {
    let server = Server::start().await;
    let ann = server.agent("ann").await;
    let puts = ["c", "a", "b"].map(|key| put("shared/x", key, key)).into();
    let answer = ann.batch_put(puts).await.unwrap();
    assert_eq!(answer.results.iter().map(|r| r.key.as_str()).collect::<Vec<_>>(), ["c", "a", "b"]);
    assert!(answer.results.iter().all(|r| r.revision == 1 && r.etag == answer.results[0].etag));

    let failing = v1::PutOperation { precondition: absent(true), ..put("shared/x", "a", "new") };
    let error = ann.batch_put(vec![put("shared/x", "d", "d"), failing]).await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::Aborted, Some("CONDITION_FAILED")));
    assert_eq!(get(&ann, "shared/x", "d").await, None);
    assert_eq!(server.revision().await, 1);
    server.stop().await;
}

#[tokio::test]
async fn a_delete_succeeds_whether_there_was_something_or_not() {
    let server = Server::start().await;
    let ann = server.agent("ann").await;
    ann.put(put("shared/x", "k", "")).await.unwrap();
    for (deleted, revision) in [(true, 2), (false, 2)] {
        let answer = ann.delete(delete("shared/x", "k")).await.unwrap();
        assert_eq!(answer.result.unwrap().deleted, deleted);
        assert_eq!(server.revision().await, revision);
        assert!(!answer.token.is_empty());
    }
    assert_eq!(get(&ann, "shared/x", "k").await, None);
    let back = ann.put(put("shared/x", "k", "")).await.unwrap().result.unwrap();
    assert_eq!((back.version, back.revision), (1, 3), "it came into being anew");
    server.stop().await;
}

#[tokio::test]
async fn a_prefix_is_deleted_by_whole_segments_and_counted() {
    let server = Server::start_with(|config| config.limits.delete_prefix_max = 3).await;
    let ann = server.agent("ann").await;
    let places = ["shared/a", "shared/a", "shared/a/b", "shared/a/b/c", "shared/ab", "shared/a-b"];
    let puts = places.iter().enumerate().map(|(at, place)| put(place, &at.to_string(), "")).collect();
    ann.batch_put(puts).await.unwrap();
    let below = |limit| v1::DeletePrefixOperation { prefix: "shared/a".into(), limit };

    let error = ann.delete_prefix(below(0)).await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::ResourceExhausted, Some("PREFIX_TOO_LARGE")));
    assert_eq!(server.revision().await, 1);
    for (limit, deleted, more, revision) in [(1, 1, true, 2), (3, 3, false, 3), (0, 0, false, 3)] {
        let result = ann.delete_prefix(below(limit)).await.unwrap().result.unwrap();
        assert_eq!((result.deleted, result.more), (deleted, more));
        assert_eq!(server.revision().await, revision);
    }
    for (place, key) in [("shared/ab", "4"), ("shared/a-b", "5")] {
        assert!(get(&ann, place, key).await.is_some(), "{place}");
    }
    server.stop().await;
}

#[tokio::test]
async fn preconditions_hold_or_the_current_entry_comes_back() {
    let server = Server::start().await;
    let ann = server.agent("ann").await;
    let first = ann.put(v1::PutOperation { precondition: absent(true), ..put("shared/x", "k", "1") }).await;
    let first = first.unwrap().result.unwrap();
    let second = v1::PutOperation { precondition: etag(&first.etag), ..put("shared/x", "k", "2") };
    let second = ann.put(second).await.unwrap().result.unwrap();
    let third = v1::PutOperation { precondition: absent(false), ..put("shared/x", "k", "3") };
    let third = ann.put(third).await.unwrap().result.unwrap();
    assert_eq!(third.version, 3);

    let mut memory = ann.memory();
    for condition in [absent(true), etag(&first.etag), etag(&second.etag)] {
        let put = v1::PutOperation { precondition: condition.clone(), ..put("shared/x", "k", "no") };
        let request = v1::PutRequest { swarm: "default".into(), put: Some(put), ..Default::default() };
        let entry = current(&memory.put(request).await.unwrap_err()).unwrap();
        assert_eq!((entry.content.as_str(), &entry.etag), ("3", &third.etag));
        let delete = v1::DeleteOperation { precondition: condition, ..delete("shared/x", "k") };
        let request =
            v1::DeleteRequest { swarm: "default".into(), delete: Some(delete), ..Default::default() };
        assert!(current(&memory.delete(request).await.unwrap_err()).is_some());
    }
    for condition in [absent(false), etag(&third.etag)] {
        let put = v1::PutOperation { precondition: condition, ..put("shared/x", "missing", "") };
        let request = v1::PutRequest { swarm: "default".into(), put: Some(put), ..Default::default() };
        let status = memory.put(request).await.unwrap_err();
        assert_eq!(current(&status), None);
        assert_eq!(status.get_details_error_info().unwrap().metadata["key"], "missing");
    }
    assert_eq!(server.revision().await, 3);
    let gone = v1::DeleteOperation { precondition: etag(&third.etag), ..delete("shared/x", "k") };
    assert!(ann.delete(gone).await.unwrap().result.unwrap().deleted);
    server.stop().await;
}

/// Errors travel in trailers, which clients take only up to a few KiB.
#[tokio::test]
async fn the_largest_current_entry_still_fits_into_an_error() {
    let server = Server::start().await;
    let ann = server.agent("ann").await;
    let segment = "世".repeat(42);
    let namespace = format!("shared{}", format!("/{segment}").repeat(15));
    let long = v1::PutOperation {
        content: "x".repeat(256 << 10),
        tags: (0..64).map(|n| format!("{}{n}", "世".repeat(40))).collect(),
        source: "世".repeat(170),
        ..put(&namespace, &"世".repeat(170), "")
    };
    ann.put(long.clone()).await.unwrap();
    let request = v1::PutRequest {
        swarm: "default".into(),
        put: Some(v1::PutOperation { precondition: absent(true), ..long.clone() }),
        ..Default::default()
    };
    let status = ann.memory().put(request).await.unwrap_err();
    let entry = current(&status).unwrap();
    assert_eq!((entry.namespace, entry.key, entry.version), (long.namespace, long.key, 1));
    assert_eq!(entry.content, "", "what is large is left to a get");
    let bytes = status.details().len() * 4 / 3 + status.message().len() * 3;
    assert!(bytes < 8 << 10, "{bytes} bytes");

    let small = v1::PutOperation { content: "y".repeat(2000), ..put("shared/x", "k", "") };
    ann.put(small.clone()).await.unwrap();
    let error = ann.put(v1::PutOperation { precondition: absent(true), ..small }).await.unwrap_err();
    let Error::Refused(refusal) = error else { panic!("{error}") };
    assert_eq!(refusal.metadata["revision"], "2");
    server.stop().await;
}
