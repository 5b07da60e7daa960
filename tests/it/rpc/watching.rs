//! Watch: where a stream starts, and what it shows of each change.

use swarmem::{
    client::{Client, WatchOnce},
    wire::{
        WatchResponse, WatchResponseType,
        v1::{self, watch_request::Start},
    },
};
use tonic::Code;

use super::harness::{SWARM, Server, delete, put};

/// The next response that is no bookmark.
async fn next(watch: &mut WatchOnce) -> WatchResponse {
    loop {
        let response = watch.next().await.unwrap().unwrap();
        if response.r#type() != WatchResponseType::Bookmark {
            return response;
        }
    }
}

/// The next events, as many as asked for.
async fn events(watch: &mut WatchOnce, count: usize) -> Vec<v1::Event> {
    let mut events = Vec::new();
    while events.len() < count {
        let response = next(watch).await;
        assert_eq!(response.r#type(), WatchResponseType::Events);
        events.extend(response.decode_events().unwrap());
    }
    assert_eq!(events.len(), count);
    events
}

fn revisions(events: &[v1::Event]) -> Vec<u64> {
    events.iter().map(|e| e.revision).collect()
}

async fn open(client: &Client, request: v1::WatchRequest) -> WatchOnce {
    client.watch_once(request).await.unwrap()
}

fn from(start: Start) -> v1::WatchRequest {
    v1::WatchRequest { start: Some(start), ..Default::default() }
}

#[tokio::test]
async fn a_stream_starts_where_it_is_told_to() {
    let server = Server::start().await;
    let ann = server.agent("ann").await;
    let mut tokens = Vec::new();
    for key in ["1", "2", "3"] {
        tokens.push(ann.put(put("shared/x", key, key)).await.unwrap().token);
    }
    let history = v1::HistoryRequest { namespace: "shared/x".into(), key: "2".into(), ..Default::default() };
    let time = ann.history(history).await.unwrap().versions[0].time.unwrap();
    let begin = prost_types::Timestamp { seconds: 0, nanos: 0 };
    let mut streams = Vec::new();
    for (start, expected) in [
        (Start::Token(tokens[0].clone()), vec![2, 3, 4]),
        (Start::Token(tokens[2].clone()), vec![4]),
        (Start::Revision(1), vec![1, 2, 3, 4]),
        (Start::Revision(3), vec![3, 4]),
        (Start::Revision(4), vec![4]),
        (Start::Time(begin), vec![1, 2, 3, 4]),
        (Start::Time(time), vec![2, 3, 4]),
    ] {
        streams.push((open(&ann, from(start.clone())).await, expected, format!("{start:?}")));
    }
    streams.push((open(&ann, v1::WatchRequest::default()).await, vec![4], "now".into()));
    ann.put(put("shared/x", "4", "")).await.unwrap();
    for (mut stream, expected, start) in streams {
        let events = events(&mut stream, expected.len()).await;
        assert_eq!(revisions(&events), expected, "{start}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_snapshot_is_followed_by_what_comes_after_it() {
    let server = Server::start().await;
    let ann = server.agent("ann").await;
    let mut empty = open(&ann, from(Start::Snapshot(true))).await;
    let end = next(&mut empty).await;
    assert_eq!((end.r#type(), end.revision), (WatchResponseType::SnapshotEnd, 0), "also when it is empty");
    ann.put(put("shared/x", "gone", "")).await.unwrap();
    ann.batch_put(vec![put("shared/x", "b", "2"), put("shared/x", "a", "1")]).await.unwrap();
    ann.delete(delete("shared/x", "gone")).await.unwrap();
    let mut watch = open(&ann, from(Start::Snapshot(true))).await;
    ann.put(put("shared/x", "c", "")).await.unwrap();
    let snapshot = next(&mut watch).await;
    assert_eq!((snapshot.r#type(), snapshot.revision), (WatchResponseType::Snapshot, 3));
    let entries = snapshot.decode_entries().unwrap();
    let seen: Vec<_> = entries.iter().map(|e| (e.key.as_str(), e.content.as_str(), e.revision)).collect();
    assert_eq!(seen, [("a", "1", 2), ("b", "2", 2)]);
    let end = next(&mut watch).await;
    assert_eq!((end.r#type(), end.revision), (WatchResponseType::SnapshotEnd, 3));
    assert_eq!(revisions(&events(&mut watch, 1).await), [4]);
    assert_eq!(revisions(&events(&mut empty, 5).await), [1, 2, 2, 3, 4]);
    let mut resumed = open(&ann, from(Start::Token(snapshot.token))).await;
    assert_eq!(next(&mut resumed).await.r#type(), WatchResponseType::SnapshotEnd, "from mid-snapshot");
    drop((watch, empty, resumed));
    server.stop().await;
}

#[tokio::test]
async fn an_event_tells_what_happened() {
    let server = Server::start().await;
    let (ann, bob) = (server.agent("ann").await, server.agent("bob").await);
    let plain = open(&ann, v1::WatchRequest::default()).await;
    let before = open(&ann, v1::WatchRequest { include_before: true, ..Default::default() }).await;
    let request = v1::WatchRequest { include_before: true, keys_only: true, ..Default::default() };
    let keys = open(&ann, request).await;
    let first = v1::PutOperation {
        attributes: "{\"a\":1}".into(),
        tags: vec!["t".into()],
        kind: v1::Kind::Block.into(),
        ..put("shared/x", "k", "one")
    };
    ann.put(first.clone()).await.unwrap();
    ann.put(v1::PutOperation { content: "two".into(), ..first }).await.unwrap();
    bob.delete(delete("shared/x", "k")).await.unwrap();
    for (mut watch, shows_before, shows_content) in
        [(plain, false, true), (before, true, true), (keys, true, false)]
    {
        let events = events(&mut watch, 3).await;
        use v1::event::Type::{Delete, Put};
        let text = |text: &str| if shows_content { text.to_owned() } else { String::new() };
        for (at, (event, (r#type, author, content, before))) in events
            .iter()
            .zip([
                (Put, "ann", "one", None),
                (Put, "ann", "two", Some("one")),
                (Delete, "bob", "", Some("two")),
            ])
            .enumerate()
        {
            let entry = event.entry.as_ref().unwrap();
            assert_eq!((event.r#type(), event.cause()), (r#type, v1::Cause::Write));
            assert_eq!((event.revision, event.ordinal, entry.revision), (at as u64 + 1, 0, at as u64 + 1));
            assert_eq!((event.time, entry.kind()), (entry.update_time, v1::Kind::Block));
            assert_eq!((entry.author.as_str(), &entry.content), (author, &text(content)));
            assert_eq!((&entry.tags, &entry.attributes), (&vec!["t".to_owned()], &text("{\"a\":1}")));
            let expected = before.filter(|_| shows_before).map(text);
            assert_eq!(event.before.as_ref().map(|b| b.content.clone()), expected);
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_filter_lets_through_what_it_names() {
    let server = Server::start().await;
    let ann = server.agent("ann").await;
    let filter = v1::Filter {
        prefixes: vec!["shared/a".into()],
        tags: vec!["t".into()],
        attributes: vec![v1::AttributeCondition {
            path: "n".into(),
            operator: v1::attribute_condition::Operator::Gt.into(),
            value: "1".into(),
        }],
        ..Default::default()
    };
    let request = v1::WatchRequest { filter: Some(filter), ..Default::default() };
    let mut watch = open(&ann, request.clone()).await;
    let tagged = |namespace: &str, key: &str, n: u32| v1::PutOperation {
        tags: vec!["t".into()],
        attributes: format!("{{\"n\": {n}}}"),
        ..put(namespace, key, "")
    };
    ann.put(put("shared/a", "untagged", "")).await.unwrap();
    ann.batch_put(vec![tagged("shared/ab", "elsewhere", 2), tagged("shared/a/b", "yes", 2)]).await.unwrap();
    ann.put(tagged("shared/a", "low", 1)).await.unwrap();
    ann.delete(delete("shared/a/b", "yes")).await.unwrap();
    let mut seen = Vec::new();
    let mut token = String::new();
    while seen.len() < 2 {
        let response = next(&mut watch).await;
        for event in response.decode_events().unwrap() {
            seen.push((event.revision, event.ordinal, event.entry.unwrap().key));
        }
        token = response.token;
    }
    assert_eq!(seen, [(2, 1, "yes".into()), (4, 0, "yes".into())], "a delete is judged by what was deleted");

    // The token goes on with the same arguments alone.
    ann.put(tagged("shared/a", "later", 3)).await.unwrap();
    let same = v1::WatchRequest { start: Some(Start::Token(token)), ..request };
    let mut resumed = open(&ann, same.clone()).await;
    assert_eq!(revisions(&events(&mut resumed, 1).await), [5]);
    for other in [
        v1::WatchRequest { filter: None, ..same.clone() },
        v1::WatchRequest { keys_only: true, ..same.clone() },
        v1::WatchRequest { include_before: true, ..same },
    ] {
        let error = ann.watch_once(other).await.unwrap_err();
        assert_eq!((error.code(), error.reason()), (Code::InvalidArgument, Some("INVALID_FIELD")));
    }
    drop((watch, resumed));
    server.stop().await;
}

#[tokio::test]
async fn an_idle_stream_gets_bookmarks_that_move_on() {
    let server = Server::start().await;
    let ann = server.agent("ann").await;
    let nothing = v1::Filter { prefixes: vec!["shared/none".into()], ..Default::default() };
    let interval = prost_types::Duration { seconds: 0, nanos: 100_000_000 };
    let request =
        v1::WatchRequest { filter: Some(nothing), bookmark_interval: Some(interval), ..Default::default() };
    let mut watch = open(&ann, request.clone()).await;
    let first = watch.next().await.unwrap().unwrap();
    assert_eq!((first.r#type(), first.revision), (WatchResponseType::Bookmark, 0), "the stream stands");
    ann.put(put("shared/x", "k", "")).await.unwrap();
    let token = loop {
        let bookmark = watch.next().await.unwrap().unwrap();
        assert_eq!(bookmark.r#type(), WatchResponseType::Bookmark);
        if bookmark.revision == 1 {
            break bookmark.token;
        }
    };
    let mut resumed = open(&ann, v1::WatchRequest { start: Some(Start::Token(token)), ..request }).await;
    assert_eq!(resumed.next().await.unwrap().unwrap().revision, 1);
    drop((watch, resumed));
    server.stop().await;
}

#[tokio::test]
async fn a_start_that_is_not_there_is_refused() {
    let server = Server::start().await;
    let ann = server.agent("ann").await;
    ann.put(put("shared/x", "k", "")).await.unwrap();
    let far = prost_types::Timestamp { seconds: 253_402_300_799, nanos: 0 };
    for (start, code, reason) in [
        (Start::Revision(0), Code::InvalidArgument, "INVALID_FIELD"),
        (Start::Revision(3), Code::OutOfRange, "FUTURE_REVISION"),
        (Start::Revision(u64::MAX), Code::OutOfRange, "FUTURE_REVISION"),
        (Start::Time(far), Code::InvalidArgument, "INVALID_FIELD"),
    ] {
        let error = ann.watch_once(from(start.clone())).await.unwrap_err();
        assert_eq!((error.code(), error.reason()), (code, Some(reason)), "{start:?}");
    }
    let error = ann.in_swarm("none").watch_once(v1::WatchRequest::default()).await.unwrap_err();
    assert_eq!(error.reason(), Some("SWARM_NOT_FOUND"));
    assert_eq!(ann.options().swarm, SWARM);
    server.stop().await;
}
