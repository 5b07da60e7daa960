//! Each limit at its boundary: as much as is allowed is taken, one more is refused. And the limits that are configured.

use swarmem::{
    client::{Client, Error},
    wire::v1,
};
use tonic::Code;

use super::harness::{SWARM, Server, name, put};

/// The field that a refusal names.
#[track_caller]
fn refused<T>(result: Result<T, Error>) -> String {
    match result {
        Err(Error::Refused(refusal)) if refusal.code == Code::InvalidArgument => {
            refusal.fields[0].field.clone()
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was taken"),
    }
}

fn text(bytes: usize) -> String {
    "x".repeat(bytes)
}

/// A JSON object of so many bytes, 8 at least.
fn object(bytes: usize) -> String {
    format!("{{\"a\":\"{}\"}}", text(bytes - 8))
}

fn nested(levels: usize) -> String {
    format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels))
}

/// The largest put that the limits allow in each respect, and the field that is named with one more.
fn at_the_limit(limits: &swarmem::config::Limits, more: usize) -> Vec<(v1::PutOperation, &'static str)> {
    let base = || put("shared/x", "k", "");
    let segments = vec!["x"; limits.namespace_segments_max - 1 + more].join("/");
    let tag = |n: usize| format!("{n:03}");
    let tag_bytes = limits.tag_bytes_max + more;
    vec![
        (put(&format!("shared/{segments}"), "k", ""), "put.namespace"),
        (put(&format!("shared/{}", text(limits.segment_bytes_max + more)), "k", ""), "put.namespace"),
        (put("shared/x", &text(limits.key_bytes_max + more), ""), "put.key"),
        (put("shared/x", "k", &text(limits.content_bytes_max + more)), "put.content"),
        (
            v1::PutOperation { attributes: object(limits.attributes_bytes_max + more), ..base() },
            "put.attributes",
        ),
        (
            v1::PutOperation { attributes: nested(limits.attributes_depth_max + more), ..base() },
            "put.attributes",
        ),
        (v1::PutOperation { tags: (0..limits.tags_max + more).map(tag).collect(), ..base() }, "put.tags"),
        (v1::PutOperation { tags: vec![text(tag_bytes)], ..base() }, "put.tags[0]"),
        (v1::PutOperation { source: text(limits.source_bytes_max + more), ..base() }, "put.source"),
    ]
}

async fn hold(client: &Client, limits: &swarmem::config::Limits) {
    for (put, field) in at_the_limit(limits, 0) {
        client.put(put).await.unwrap_or_else(|error| panic!("{field}: {error}"));
    }
    for (put, field) in at_the_limit(limits, 1) {
        assert_eq!(refused(client.put(put).await), field);
    }
    let most = limits.operations_max;
    let puts = |n: usize| (0..n).map(|n| put("shared/many", &n.to_string(), "")).collect();
    let answer = client.batch_put(puts(most)).await.unwrap();
    assert_eq!(answer.results.len(), most);
    assert_eq!(refused(client.batch_put(puts(most + 1)).await), "puts");
    let names = |n: usize| (0..n).map(|n| name("shared/many", &n.to_string())).collect();
    assert_eq!(client.batch_get(names(most), None).await.unwrap().results.len(), most);
    assert_eq!(refused(client.batch_get(names(most + 1), None).await), "entries");
    let page_size = u32::try_from(limits.page_size_max).unwrap();
    let list = |page_size| v1::ListRequest { page_size, ..Default::default() };
    assert!(client.list(list(page_size)).await.unwrap().entries.len() <= limits.page_size_max);
    assert_eq!(refused(client.list(list(page_size + 1)).await), "page_size");
    assert!(client.list(list(0)).await.is_ok());
    let page_size = page_size + 1;
    let names = v1::ListNamespacesRequest { page_size, ..Default::default() };
    assert_eq!(refused(client.list_namespaces(names).await), "page_size");
    let swarms = v1::ListSwarmsRequest { page_size, ..Default::default() };
    assert_eq!(refused(client.list_swarms(swarms).await), "page_size");
    let history =
        v1::HistoryRequest { namespace: "shared/x".into(), key: "k".into(), page_size, ..Default::default() };
    assert_eq!(refused(client.history(history).await), "page_size");
    let below = |limit| v1::DeletePrefixOperation {
        prefix: "shared/none".into(),
        limit: u32::try_from(limit).unwrap(),
    };
    assert!(client.delete_prefix(below(limits.delete_prefix_max)).await.is_ok());
    assert_eq!(refused(client.delete_prefix(below(limits.delete_prefix_max + 1)).await), "delete.limit");
    let depth = |depth| v1::ListNamespacesRequest { depth, ..Default::default() };
    let deepest = u32::try_from(limits.namespace_segments_max).unwrap();
    assert!(client.list_namespaces(depth(deepest)).await.is_ok());
    assert_eq!(refused(client.list_namespaces(depth(deepest + 1)).await), "depth");
}

#[tokio::test]
async fn the_limits_of_the_protocol_hold() {
    let server = Server::start().await;
    hold(&server.agent("ann").await, &swarmem::config::Limits::default()).await;
    server.stop().await;
}

#[tokio::test]
async fn lower_limits_hold_as_well() {
    let limits = swarmem::config::Limits {
        namespace_segments_max: 3,
        segment_bytes_max: 8,
        key_bytes_max: 36,
        content_bytes_max: 10,
        attributes_bytes_max: 20,
        attributes_depth_max: 2,
        tags_max: 2,
        tag_bytes_max: 3,
        source_bytes_max: 4,
        operations_max: 3,
        delete_prefix_max: 5,
        page_size_max: 2,
        ..Default::default()
    };
    let configured = limits.clone();
    let server = Server::start_with(|config| config.limits = configured).await;
    let ann = server.agent("ann").await;
    hold(&ann, &limits).await;
    assert!(ann.put(put("shared/x", "", "")).await.is_ok(), "a key that the server draws has room");
    server.stop().await;
}

/// An answer is one message, of which clients take 4 MiB.
#[tokio::test]
async fn an_answer_is_not_larger_than_a_client_takes() {
    let server = Server::start().await;
    let ann = server.agent("ann").await;
    for n in 0..16 {
        ann.put(put("shared/x", &n.to_string(), &text(256 << 10))).await.unwrap();
    }
    let read = async |n: usize| {
        let names = (0..n).map(|n| name("shared/x", &n.to_string())).collect();
        let request = v1::BatchGetRequest { swarm: SWARM.into(), entries: names, consistency: None };
        let mut memory = ann.memory().max_decoding_message_size(4 << 20);
        memory.batch_get(request).await.map(|answer| answer.into_inner().results.len())
    };
    assert_eq!(read(15).await.unwrap(), 15);
    let expected = (Code::ResourceExhausted, "ANSWER_TOO_LARGE".to_owned());
    assert_eq!(super::harness::refusal(&read(16).await.unwrap_err()), expected);
    server.stop().await;
}

#[tokio::test]
async fn terms_of_requests_and_filters_are_counted() {
    let server = Server::start().await;
    let ann = server.agent("ann").await;
    let many = |n: usize| vec!["shared".to_owned(); n];
    let condition = || v1::AttributeCondition { path: "a".into(), operator: 1, value: "1".into() };
    let filters = |n: usize| {
        let filter = v1::Filter::default;
        [
            (v1::Filter { prefixes: many(n), ..filter() }, "filter.prefixes"),
            (v1::Filter { kinds: vec![1; n], ..filter() }, "filter.kinds"),
            (v1::Filter { tags: many(n), ..filter() }, "filter.tags"),
            (v1::Filter { authors: many(n), ..filter() }, "filter.authors"),
            (v1::Filter { attributes: vec![condition(); n], ..filter() }, "filter.attributes"),
        ]
    };
    for (n, is_refused) in [(64, false), (65, true)] {
        for (filter, field) in filters(n) {
            let list = v1::ListRequest { filter: Some(filter.clone()), ..Default::default() };
            let watch = v1::WatchRequest { filter: Some(filter), ..Default::default() };
            if is_refused {
                assert_eq!(refused(ann.list(list).await), field);
                assert_eq!(refused(ann.watch_once(watch).await), field);
            } else {
                ann.list(list).await.unwrap();
                ann.watch_once(watch).await.unwrap();
            }
        }
    }
    let path = |bytes| v1::AttributeCondition { path: text(bytes), ..condition() };
    let value =
        |bytes: usize| v1::AttributeCondition { value: format!("\"{}\"", text(bytes - 2)), ..condition() };
    let array = |n| v1::AttributeCondition {
        operator: 7,
        value: format!("[{}]", vec!["1"; n].join(",")),
        ..condition()
    };
    for (good, bad, field) in [
        (path(512), path(513), "filter.attributes[0].path"),
        (value(64 << 10), value((64 << 10) + 1), "filter.attributes[0].value"),
        (array(256), array(257), "filter.attributes[0].value"),
    ] {
        let list = |condition| {
            let filter = Some(v1::Filter { attributes: vec![condition], ..Default::default() });
            v1::ListRequest { filter, ..Default::default() }
        };
        assert!(ann.list(list(good)).await.is_ok());
        assert_eq!(refused(ann.list(list(bad)).await), field);
    }
    let get = |_| v1::Operation { operation: Some(v1::operation::Operation::Get(name("shared/x", "k"))) };
    let delete = |n: usize| {
        let delete =
            v1::DeleteOperation { namespace: "shared/x".into(), key: n.to_string(), precondition: None };
        v1::Operation { operation: Some(v1::operation::Operation::Delete(delete)) }
    };
    for (success, failure, expected) in [(64, 64, None), (65, 0, Some("success")), (0, 65, Some("failure"))] {
        let request = v1::TransactRequest {
            success: (0..success).map(get).collect(),
            failure: (0..failure).map(get).collect(),
            ..Default::default()
        };
        match expected {
            None => assert!(ann.transact(request).await.is_ok()),
            Some(field) => assert_eq!(refused(ann.transact(request).await), field),
        }
    }
    let exists = v1::Compare {
        target: Some(v1::compare::Target::Entry(name("shared/x", "k"))),
        operator: 0,
        value: Some(v1::compare::Value::Exists(false)),
    };
    for (compares, success, failure, expected) in [
        (300, 300, 400, None),
        (1001, 0, 0, Some("compares")),
        (300, 701, 0, Some("success")),
        (300, 300, 401, Some("failure")),
    ] {
        let request = v1::TransactRequest {
            compares: vec![exists.clone(); compares],
            success: (0..success).map(delete).collect(),
            failure: (0..failure).map(delete).collect(),
            ..Default::default()
        };
        match expected {
            None => assert!(ann.transact(request).await.is_ok()),
            Some(field) => assert_eq!(refused(ann.transact(request).await), field),
        }
    }
    server.stop().await;
}

/// Bytes are counted, not characters, and what looks like white space at an end is refused only where it is.
#[tokio::test]
async fn text_is_any_utf_8() {
    let server = Server::start().await;
    let ann = server.agent("ann").await;
    let two = "é".repeat(64);
    for (namespace, key) in [
        (format!("shared/{two}"), "é".repeat(256)),
        ("shared/a b/\u{200b}/\u{202e}x".into(), " / ".into()),
        ("shared/..".into(), ".".into()),
        ("shared/e\u{301}".into(), "\u{fffd}\u{10ffff}".into()),
        ("shared/\u{e9}".into(), "%2F".into()),
        ("shared/agents".into(), "*?[a]'\"\\;--".into()),
    ] {
        let written =
            ann.put(put(&namespace, &key, &key)).await.unwrap_or_else(|e| panic!("{namespace}: {e}"));
        assert_eq!(written.result.unwrap().version, 1, "no two of them are the same");
        let got = ann.get(name(&namespace, &key), None).await.unwrap().entry.unwrap();
        assert_eq!((got.namespace, got.key, got.content), (namespace, key.clone(), key));
    }
    assert_eq!(refused(ann.put(put(&format!("shared/{two}x"), "k", "")).await), "put.namespace");
    assert_eq!(refused(ann.put(put("shared/x", &format!("{}x", "é".repeat(256)), "")).await), "put.key");
    let all = ann.list(v1::ListRequest { swarm: SWARM.into(), ..Default::default() }).await.unwrap();
    assert_eq!(all.entries.len(), 6);
    server.stop().await;
}
