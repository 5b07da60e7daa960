//! Watches over connections that break, and the ends that coming back does not help against.

use futures_util::{StreamExt as _, TryStreamExt as _};
use swarmem::{
    client::{Client, Code, Link, Options, Role, reason},
    wire::{WatchResponseType, v1},
};
use tokio::time::timeout;

use super::{Received, connect, from_revision, log, next, options, proxy::Proxy, with_snapshot};
use crate::{
    crash::random::Random,
    process::{PATIENCE, eventually},
    rpc::harness::{Server, delete, put},
};

/// Small responses, so that snapshots and revisions come in many, and a small ring, so that some come from the log.
async fn in_small_parts() -> Server {
    Server::start_with(|config| {
        config.watch.response_bytes_max = 2048;
        config.watch.ring_events_max = 64;
    })
    .await
}

async fn write_some(client: &Client, random: &mut Random, round: u64) {
    let content = |n: u64| "x".repeat(usize::try_from(n).unwrap());
    match random.below(4) {
        // More than one response holds.
        0 => {
            let put = |n| put("shared/many", &format!("{n}"), &format!("{round} {}", content(400)));
            client.batch_put((0..40).map(put).collect()).await.map(drop)
        }
        1 => client.delete(delete("shared/many", &random.below(40).to_string())).await.map(drop),
        _ => {
            let (namespace, length) = (["shared/a", "shared/b"][(round % 2) as usize], random.below(600));
            client.put(put(namespace, &random.below(30).to_string(), &content(length))).await.map(drop)
        }
    }
    .unwrap();
}

#[tokio::test]
async fn cut_anywhere_a_watch_returns_each_event_once_and_in_order() {
    for seed in 1..=2 {
        eprintln!("seed {seed}");
        let server = in_small_parts().await;
        let mut random = Random::seeded(seed);
        let writer = server.agent("ann").await;
        for round in 0..30 {
            write_some(&writer, &mut random, round).await;
        }
        let proxy = Proxy::to(server.address(), seed).await;
        let client = connect(proxy.address(), options("ann", Role::Agent)).await;
        proxy.cut_after(30_000);
        proxy.cut();
        let filter = v1::Filter { prefixes: vec!["shared/b".into()], ..Default::default() };
        let filtered = v1::WatchRequest { filter: Some(filter), ..from_revision(1) };
        let mut all = client.watch(from_revision(1)).await.unwrap();
        let mut some = client.watch(filtered).await.unwrap();
        let mut snapshot = client.watch(with_snapshot()).await.unwrap();
        let writes = async {
            for round in 30..70 {
                write_some(&writer, &mut random, round).await;
            }
            server.revision().await
        };
        let (sender, head) = tokio::sync::watch::channel(None);
        let follow = async |watch: &mut swarmem::client::Watch| {
            let (mut received, mut head) = (Received::default(), head.clone());
            let mut goal = None;
            loop {
                if goal.is_some_and(|goal| !received.amid && received.reached >= goal) {
                    return received;
                }
                // Either may be dropped when the other is first: nothing is lost.
                tokio::select! {
                    response = watch.next() => received.take(&response.unwrap().unwrap()),
                    _ = head.changed() => goal = *head.borrow_and_update(),
                }
            }
        };
        let everything = async {
            tokio::join!(
                async { sender.send(Some(writes.await)).unwrap() },
                follow(&mut all),
                follow(&mut some),
                follow(&mut snapshot)
            )
        };
        let ((), all, some, snapshot) = timeout(PATIENCE, everything).await.expect("it comes to an end");
        let head = server.revision().await;
        let log = log(&writer, head).await;
        assert_eq!(all.events, log);
        let of_b = |event: &&v1::Event| event.entry.as_ref().unwrap().namespace == "shared/b";
        assert_eq!(some.events, log.iter().filter(of_b).cloned().collect::<Vec<_>>());
        let at = snapshot.snapshot_revision;
        let after: Vec<_> = log.iter().filter(|event| event.revision > at).cloned().collect();
        assert_eq!(snapshot.events, after);
        let mut state = Vec::new();
        let consistency = Some(v1::Consistency { revision: at, ..Default::default() });
        let mut request = v1::ListRequest { consistency, page_size: 1000, ..Default::default() };
        loop {
            let page = writer.list(request.clone()).await.unwrap();
            state.extend(page.entries);
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                break;
            }
        }
        assert_eq!(snapshot.snapshot, state);
        assert!(all.parts > 20 && snapshot.parts > 3, "{} {}", all.parts, snapshot.parts);
        assert!(proxy.connections() > 10, "{} connections", proxy.connections());
        server.stop().await;
    }
}

/// Cut between any two responses, too: the moments that cutting by bytes may miss.
#[tokio::test]
async fn cut_behind_every_single_response_a_watch_goes_on() {
    let server = in_small_parts().await;
    let writer = server.agent("ann").await;
    let mut random = Random::seeded(9);
    for round in 0..12 {
        write_some(&writer, &mut random, round).await;
    }
    let head = server.revision().await;
    let proxy = Proxy::to(server.address(), 1).await;
    let client = connect(proxy.address(), options("ann", Role::Agent)).await;
    let log = log(&writer, head).await;
    for request in [from_revision(1), with_snapshot()] {
        let mut watch = client.watch(request.clone()).await.unwrap();
        let mut received = Received::default();
        while received.amid || received.reached < head {
            received.take(&next(&mut watch).await);
            proxy.cut();
        }
        match received.snapshot_ended {
            true => assert!(received.snapshot.len() > 3 && received.events.is_empty()),
            false => assert_eq!(received.events, log),
        }
        assert!(received.parts > 3, "{}", received.parts);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_watch_that_begins_now_misses_nothing_from_then_on() {
    let server = Server::start().await;
    let writer = server.agent("ann").await;
    writer.put(put("shared/a", "before", "")).await.unwrap();
    let proxy = Proxy::to(server.address(), 1).await;
    let client = connect(proxy.address(), options("ann", Role::Agent)).await;
    let mut watch = client.watch(v1::WatchRequest::default()).await.unwrap();
    // Nothing was taken from it yet, and now there is nothing to take it from.
    proxy.close();
    writer.put(put("shared/a", "1", "")).await.unwrap();
    proxy.open();
    let received = Received::up_to(&mut watch, 2).await;
    assert_eq!(received.events.iter().map(|event| event.revision).collect::<Vec<_>>(), [2]);
    server.stop().await;
}

#[tokio::test]
async fn a_watch_is_a_stream_and_ends_behind_its_error() {
    let server = Server::start().await;
    let boss = server.orchestrator().await;
    let swarm = boss.in_swarm("doomed");
    swarm.create_swarm(None).await.unwrap();
    swarm.put(put("shared/a", "1", "")).await.unwrap();
    let watch = swarm.watch(from_revision(1)).await.unwrap();
    let mut watch =
        watch.try_filter(|response| std::future::ready(response.r#type() != WatchResponseType::Bookmark));
    let first = timeout(PATIENCE, watch.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(first.decode_events().unwrap().len(), 1);
    swarm.delete_swarm().await.unwrap();
    let error = timeout(PATIENCE, watch.next()).await.unwrap().unwrap().unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::NotFound, Some(reason::SWARM_DELETED)));
    assert!(watch.next().await.is_none());
    server.stop().await;
}

#[tokio::test]
async fn a_watch_that_was_away_for_too_long_is_told_so() {
    let server = Server::start_with(|config| config.retention.compaction_interval_ms = 10).await;
    let boss = server.orchestrator().await.in_swarm("short");
    let retention = v1::Retention { age: Some(prost_types::Duration::default()), revisions: Some(2) };
    boss.create_swarm(Some(retention)).await.unwrap();
    let proxy = Proxy::to(server.address(), 1).await;
    let options = Options { swarm: "short".into(), ..options("boss", Role::Orchestrator) };
    let client = connect(proxy.address(), options).await;
    boss.put(put("shared/a", "k", "1")).await.unwrap();
    let mut watch = client.watch(from_revision(1)).await.unwrap();
    Received::up_to(&mut watch, 1).await;
    proxy.close();
    for _ in 0..9 {
        boss.put(put("shared/a", "k", "more")).await.unwrap();
    }
    eventually("compaction", async || {
        (boss.get_swarm().await.unwrap().swarm.unwrap().floor > 1).then_some(())
    })
    .await;
    proxy.open();
    let error = loop {
        match timeout(PATIENCE, watch.next()).await.unwrap() {
            Ok(response) => assert_eq!(response.unwrap().r#type(), WatchResponseType::Bookmark),
            Err(error) => break error,
        }
    };
    assert_eq!((error.code(), error.reason()), (Code::OutOfRange, Some(reason::COMPACTED)));
    assert!(error.metadata("floor").is_some_and(|floor| floor.parse::<u64>().unwrap() > 1));
    assert!(watch.next().await.unwrap().is_none());
    server.stop().await;
}

#[tokio::test]
async fn a_watch_that_may_not_be_is_refused_at_once() {
    let server = Server::start().await;
    let proxy = Proxy::to(server.address(), 1).await;
    // A name that no agent can have.
    let client = connect(proxy.address(), options("", Role::Agent)).await;
    let error = client.watch(from_revision(1)).await.unwrap_err();
    assert_eq!(error.reason(), Some(reason::INVALID_FIELD));
    let client = connect(proxy.address(), options("ann", Role::Agent)).await;
    let error = client.watch(from_revision(77)).await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::OutOfRange, Some(reason::FUTURE_REVISION)));
    let bad =
        v1::WatchRequest { start: Some(v1::watch_request::Start::Token("abc".into())), ..Default::default() };
    assert_eq!(client.watch(bad).await.unwrap_err().reason(), Some(reason::INVALID_FIELD));
    assert!(proxy.connections() < 8, "nothing was tried again");
    server.stop().await;
}

#[tokio::test]
async fn more_watches_than_a_connection_takes_all_go_on() {
    let server = Server::start().await;
    let proxy = Proxy::to(server.address(), 1).await;
    let options = Options { streams_per_connection: 4, ..options("ann", Role::Agent) };
    let client = connect(proxy.address(), options).await;
    let mut watches = Vec::new();
    for _ in 0..10 {
        watches.push(client.watch(from_revision(1)).await.unwrap());
    }
    assert_eq!(proxy.connections(), 1 + 3, "one for calls, and three for ten watches");
    client.put(put("shared/a", "k", "")).await.unwrap();
    for watch in &mut watches {
        assert_eq!(Received::up_to(watch, 1).await.events.len(), 1);
    }
    proxy.cut();
    client.put(put("shared/a", "k", "")).await.unwrap();
    for watch in &mut watches {
        assert_eq!(Received::up_to(watch, 2).await.events.len(), 1);
        assert_eq!(*watch.link().borrow(), Link::Up);
    }
    server.stop().await;
}

/// What a caller does with a client is spawned, as a rule.
#[test]
fn everything_can_be_sent_to_another_task() {
    fn sendable<T: Send>(_: &T) {}
    fn of(client: &Client) {
        sendable(&client.put(put("", "", "")));
        sendable(&client.list(v1::ListRequest::default()));
        sendable(&client.get_swarm());
        sendable(&client.watch(v1::WatchRequest::default()));
        sendable(&client.with_request_id("").put(put("", "", "")));
    }
    let _ = of;
    fn watch(watch: &mut swarmem::client::Watch) {
        sendable(&watch.next());
    }
    let _ = watch;
}
