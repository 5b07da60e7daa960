//! Get, BatchGet, History: how fresh, and as of when.

use swarmem::wire::v1::{self, consistency::Level};
use tonic::Code;

use super::harness::{SWARM, Server, at_least, at_revision, delete, name, put};

fn level(level: Level) -> Option<v1::Consistency> {
    Some(v1::Consistency { level: level.into(), ..Default::default() })
}

#[tokio::test]
async fn a_read_is_as_fresh_as_it_asks_for() {
    let server = Server::start().await;
    let ann = server.agent("ann").await;
    let first = ann.put(put("shared/x", "k", "1")).await.unwrap().token;
    let second = ann.put(put("shared/x", "k", "2")).await.unwrap().token;
    let gone = ann.delete(delete("shared/x", "k")).await.unwrap().token;
    ann.put(put("shared/x", "k", "4")).await.unwrap();
    for consistency in [
        None,
        level(Level::Unspecified),
        level(Level::Strong),
        level(Level::StaleOk),
        at_least(&first),
        at_least(&second),
        at_least(&gone),
        at_revision(4),
    ] {
        let got = ann.get(name("shared/x", "k"), consistency.clone()).await.unwrap();
        assert_eq!(got.entry.unwrap().content, "4", "{consistency:?}");
        let token = at_least(&got.token);
        assert!(ann.get(name("shared/x", "k"), token).await.is_ok(), "a read's token is one as well");
    }
    for (revision, content) in [(1, Some("1")), (2, Some("2")), (3, None)] {
        let got = ann.get(name("shared/x", "k"), at_revision(revision)).await;
        let got = got.map(|g| g.entry.unwrap().content).map_err(|e| e.reason().map(str::to_owned));
        assert_eq!(got, content.map(str::to_owned).ok_or(Some("ENTRY_NOT_FOUND".into())));
    }
    for revision in [5, u64::MAX] {
        let error = ann.get(name("shared/x", "k"), at_revision(revision)).await.unwrap_err();
        assert_eq!((error.code(), error.reason()), (Code::OutOfRange, Some("FUTURE_REVISION")));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_token_of_a_watch_is_one_to_read_at() {
    let server = Server::start().await;
    let ann = server.agent("ann").await;
    ann.put(put("shared/x", "k", "1")).await.unwrap();
    let start = Some(v1::watch_request::Start::Snapshot(true));
    let mut watch = ann.watch_once(v1::WatchRequest { start, ..Default::default() }).await.unwrap();
    for _ in 0..2 {
        let token = watch.next().await.unwrap().unwrap().token;
        assert!(ann.get(name("shared/x", "k"), at_least(&token)).await.is_ok());
    }
    drop(watch);
    server.stop().await;
}

#[tokio::test]
async fn many_are_read_at_one_revision_in_order() {
    let server = Server::start().await;
    let ann = server.agent("ann").await;
    ann.put(put("shared/x", "a", "1")).await.unwrap();
    ann.put(put("shared/x", "b", "2")).await.unwrap();
    let names = ["b", "missing", "a", "b"].map(|k| name("shared/x", k));
    let read = async |consistency| {
        let got = ann.batch_get(names.clone().into(), consistency).await.unwrap();
        let contents = got.results.into_iter().map(|r| r.entry.map_or("-".into(), |e| e.content));
        (contents.collect::<Vec<_>>().join(" "), got.revision)
    };
    assert_eq!(read(None).await, ("2 - 1 2".into(), 2));
    assert_eq!(read(at_revision(1)).await, ("- - 1 -".into(), 1));
    assert_eq!(read(at_revision(0)).await, ("2 - 1 2".into(), 2));
    server.stop().await;
}

#[tokio::test]
async fn tokens_of_another_history_are_refused() {
    let server = Server::start().await;
    let boss = server.orchestrator().await;
    let token = boss.put(put("shared/x", "k", "")).await.unwrap().token;
    boss.delete_swarm().await.unwrap();
    boss.create_swarm(None).await.unwrap();
    boss.put(put("shared/x", "k", "")).await.unwrap();
    let error = boss.get(name("shared/x", "k"), at_least(&token)).await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::FailedPrecondition, Some("INCARNATION_CHANGED")));
    server.stop().await;
}

#[tokio::test]
async fn below_the_floor_nothing_is_read() {
    let server = Server::start_with(|config| config.retention.compaction_interval_ms = 10).await;
    let boss = server.orchestrator().await.in_swarm("short");
    let retention = v1::Retention { age: Some(prost_types::Duration::default()), revisions: Some(1) };
    boss.create_swarm(Some(retention)).await.unwrap();
    let old = boss.put(put("shared/x", "k", "1")).await.unwrap().token;
    for content in ["2", "3", "4"] {
        boss.put(put("shared/x", "k", content)).await.unwrap();
    }
    let compacted = async {
        while boss.get_swarm().await.unwrap().swarm.unwrap().floor < 3 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), compacted).await.unwrap();
    let error = boss.get(name("shared/x", "k"), at_revision(2)).await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::OutOfRange, Some("COMPACTED")));
    let swarmem::client::Error::Refused(refusal) = error else { panic!() };
    assert_eq!(refusal.metadata["floor"], "3");
    let at_floor = boss.get(name("shared/x", "k"), at_revision(3)).await.unwrap();
    assert_eq!(at_floor.entry.unwrap().content, "3");
    // What is newest is certainly past an old token.
    assert_eq!(boss.get(name("shared/x", "k"), at_least(&old)).await.unwrap().entry.unwrap().content, "4");
    let start = Some(v1::watch_request::Start::Token(old));
    let error = boss.watch_once(v1::WatchRequest { start, ..Default::default() }).await.unwrap_err();
    assert_eq!(error.reason(), Some("COMPACTED"));
    let history = boss.history(v1::HistoryRequest {
        namespace: "shared/x".into(),
        key: "k".into(),
        ..Default::default()
    });
    let history = history.await.unwrap();
    assert_eq!((history.floor, history.versions.last().unwrap().revision), (3, 3));
    server.stop().await;
}

#[tokio::test]
async fn a_history_has_puts_and_deletes_newest_first_and_in_pages() {
    let server = Server::start().await;
    let ann = server.agent("ann").await;
    for content in ["1", "2"] {
        ann.put(put("shared/x", "k", content)).await.unwrap();
    }
    ann.delete(delete("shared/x", "k")).await.unwrap();
    ann.put(put("shared/x", "k", "4")).await.unwrap();
    let mut request = v1::HistoryRequest {
        swarm: SWARM.into(),
        namespace: "shared/x".into(),
        key: "k".into(),
        page_size: 3,
        ..Default::default()
    };
    let first = ann.history(request.clone()).await.unwrap();
    let seen = first.versions.iter().map(|v| {
        let entry = v.entry.as_ref().unwrap();
        (v.revision, v.r#type(), entry.content.as_str(), entry.create_revision)
    });
    use v1::event::Type::{Delete, Put};
    assert_eq!(seen.collect::<Vec<_>>(), [(4, Put, "4", 4), (3, Delete, "", 1), (2, Put, "2", 1)]);
    // What comes later does not move the pages.
    ann.put(put("shared/x", "k", "5")).await.unwrap();
    request.page_token = first.next_page_token;
    request.page_size = 1000;
    let second = ann.history(request.clone()).await.unwrap();
    assert_eq!(second.versions.iter().map(|v| v.revision).collect::<Vec<_>>(), [1]);
    assert_eq!((second.next_page_token.as_str(), second.floor), ("", 0));
    let none = v1::HistoryRequest { key: "none".into(), page_token: String::new(), ..request };
    assert_eq!(ann.history(none).await.unwrap_err().reason(), Some("ENTRY_NOT_FOUND"));
    server.stop().await;
}
