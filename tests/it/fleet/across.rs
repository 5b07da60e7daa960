//! What a writer, a reader and a watcher of one replica may rely on when they turn to the other.

use std::collections::HashSet;

use futures_util::future::join_all;
use swarmem::{
    client::{Client, Code, reason},
    wire::{WatchResponseType, v1},
};
use tokio::time::timeout;

use super::harness::{Bus, Fleet};
use crate::{
    client::{Received, from_revision, with_snapshot},
    process::PATIENCE,
    rpc::harness::{at_least, at_revision, etag, name, put},
};

async fn bosses(fleet: &Fleet) -> [Client; 2] {
    [fleet.replicas[0].boss().await, fleet.replicas[1].boss().await]
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_14_a_token_of_one_replica_holds_on_the_other() {
    let fleet = Fleet::start(Bus::None).await;
    let clients = bosses(&fleet).await;
    for n in 0..40 {
        let (here, there) = (&clients[n % 2], &clients[(n + 1) % 2]);
        let content = n.to_string();
        let token = here.put(put("shared/a", "k", &content)).await.unwrap().token;
        let read = there.get(name("shared/a", "k"), at_least(&token)).await.unwrap();
        assert_eq!(read.entry.unwrap().content, content);
        // The token of a read as well.
        let read = here.get(name("shared/a", "k"), at_least(&read.token)).await.unwrap();
        assert_eq!((read.entry.unwrap().content, read.revision), (content, n as u64 + 1));
    }
    fleet.stop().await;
}

/// Response by response from one replica and the other, while both are written to.
#[tokio::test(flavor = "multi_thread")]
async fn promise_09_a_watch_goes_on_behind_every_response_on_the_other_replica() {
    for bus in [Bus::Redis, Bus::None] {
        let fleet = Fleet::start_with(bus, |config| {
            config.watch.response_bytes_max = 2048;
            config.watch.ring_events_max = 16;
            config.watch.poll_interval_ms = 100;
        })
        .await;
        let clients = bosses(&fleet).await;
        let many = |round: u64| {
            let put = |n| put("shared/many", &format!("{n}"), &format!("{round} {}", "x".repeat(300)));
            (0..30).map(put).collect::<Vec<_>>()
        };
        for round in 0..4 {
            clients[0].batch_put(many(round)).await.unwrap();
        }
        for begin in [from_revision(1), with_snapshot()] {
            let goal = fleet.replicas[0].server.revision().await + 6;
            let (mut request, mut received, mut round) = (begin, Received::default(), 0);
            while received.amid || received.reached < goal {
                let client = &clients[round % 2];
                if round < 6 {
                    let content = format!("{round} {}", "x".repeat(900));
                    let key = (round % 3).to_string();
                    clients[(round + 1) % 2].put(put("shared/a", &key, &content)).await.unwrap();
                }
                round += 1;
                let mut watch = client.watch_once(request.clone()).await.unwrap();
                // At the beginning it says only where it stands.
                let response = loop {
                    let next = timeout(PATIENCE, watch.next()).await.expect("it goes on").unwrap().unwrap();
                    if next.r#type() != WatchResponseType::Bookmark || received.reached == goal {
                        break next;
                    }
                };
                received.take(&response);
                request.start = Some(v1::watch_request::Start::Token(response.token));
            }
            assert!(received.parts > 3, "{}", received.parts);
            let at = received.snapshot_revision;
            let log = fleet.log().await;
            assert_eq!(received.events, log.into_iter().filter(|e| e.revision > at).collect::<Vec<_>>());
            if at > 0 {
                let request =
                    v1::ListRequest { consistency: at_revision(at), page_size: 1000, ..Default::default() };
                assert_eq!(received.snapshot, clients[1].list(request).await.unwrap().entries);
            }
        }
        fleet.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_04_a_request_sent_to_both_replicas_is_done_once() {
    let fleet = Fleet::start(Bus::None).await;
    let clients = bosses(&fleet).await;
    for n in 0..20 {
        let id = n.to_string();
        let write = |at: usize| clients[at % 2].with_request_id(&id).put(put("shared/a", "k", &id));
        let answers = join_all((0..4).map(write)).await;
        let results: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().result.unwrap()).collect();
        assert!(results.iter().all(|result| *result == results[0]), "{results:?}");
        let other = clients[n % 2].with_request_id(&id).put(put("shared/a", "k", "another")).await;
        let error = other.unwrap_err();
        assert_eq!((error.code(), error.reason()), (Code::InvalidArgument, Some(reason::REQUEST_ID_REUSED)));
    }
    let contents = fleet.log().await.into_iter().map(|event| event.entry.unwrap().content);
    assert!(contents.eq((0..20).map(|n| n.to_string())));
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_03_of_conditional_writes_to_both_replicas_one_wins() {
    let fleet = Fleet::start(Bus::None).await;
    let clients = bosses(&fleet).await;
    let mut current = clients[0].put(put("shared/a", "k", "first")).await.unwrap().result.unwrap().etag;
    for round in 0..15 {
        let write = async |n: usize| {
            let put = put("shared/a", "k", &format!("{round} {n}"));
            clients[n % 2].put(v1::PutOperation { precondition: etag(&current), ..put }).await
        };
        let answers = join_all((0..8).map(write)).await;
        let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1, "of round {round}");
        for error in lost.into_iter().filter_map(Result::err) {
            assert_eq!((error.code(), error.reason()), (Code::Aborted, Some(reason::CONDITION_FAILED)));
        }
        current = won.into_iter().next().unwrap().unwrap().result.unwrap().etag;
    }
    let log = fleet.log().await;
    let revisions: HashSet<_> = log.iter().map(|event| event.revision).collect();
    assert_eq!((log.len(), revisions.len()), (16, 16), "one winner a revision");
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_09_a_swarm_made_anew_on_one_replica_ends_the_watch_on_the_other() {
    for bus in [Bus::Redis, Bus::None] {
        let fleet = Fleet::start(bus).await;
        let [here, there] = bosses(&fleet).await.map(|client| client.in_swarm("doomed"));
        here.create_swarm(None).await.unwrap();
        here.put(put("shared/a", "k", "of the first")).await.unwrap();
        let mut watch = there.watch_once(from_revision(1)).await.unwrap();
        let (mut received, mut resumed) = (Received::default(), from_revision(1));
        while received.reached < 1 {
            let response = timeout(PATIENCE, watch.next()).await.unwrap().unwrap().unwrap();
            received.take(&response);
            resumed.start = Some(v1::watch_request::Start::Token(response.token));
        }
        here.delete_swarm().await.unwrap();
        here.create_swarm(None).await.unwrap();
        here.put(put("shared/a", "k", "of the second")).await.unwrap();
        let error = loop {
            match timeout(PATIENCE, watch.next()).await.expect("the watch ends") {
                Ok(response) => {
                    let response = response.expect("with a reason");
                    assert!(response.events.is_empty(), "nothing of the second comes");
                    resumed.start = Some(v1::watch_request::Start::Token(response.token));
                }
                Err(error) => break error,
            }
        };
        // It was looked at before the second was there, or behind that.
        let deleted = (Code::NotFound, Some(reason::SWARM_DELETED));
        let changed = (Code::FailedPrecondition, Some(reason::INCARNATION_CHANGED));
        assert!([deleted, changed].contains(&(error.code(), error.reason())), "{error}");
        for client in [&here, &there] {
            let error = client.watch_once(resumed.clone()).await.unwrap_err();
            assert_eq!((error.code(), error.reason()), changed);
        }
        let mut anew = there.watch_once(from_revision(1)).await.unwrap();
        let mut received = Received::default();
        while received.reached < 1 {
            received.take(&timeout(PATIENCE, anew.next()).await.unwrap().unwrap().unwrap());
        }
        assert_eq!(received.events[0].entry.as_ref().unwrap().content, "of the second");
        drop((watch, anew));
        fleet.stop().await;
    }
}
