//! Promise 16 while the database is cut off from one of two coordinators.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use swarmem::{
    client::{Client, Code, Error, Role, WatchOnce, reason},
    wire::v1::{self, consistency::Level},
};
use tokio::time::timeout;

use super::harness::{Bus, Fleet, MARGIN, MEMORY, RECALL, Replica, SWARM_SERVICE};
use crate::{
    client::{Received, from_revision},
    process::{PATIENCE, eventually},
    rpc::harness::{delete, name, put},
};

/// How long anybody waits for a store that does not answer.
const STORE_PATIENCE: Duration = Duration::from_secs(2);

fn stale() -> Option<v1::Consistency> {
    Some(v1::Consistency { level: Level::StaleOk.into(), ..Default::default() })
}

/// How the database goes away.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// Connections stay, and nothing is heard.
    Silence,
    /// Connections break, and none can be made.
    Refusal,
}

impl Cut {
    fn begin(self, replica: &Replica) {
        match self {
            Self::Silence => replica.store.silence(true),
            Self::Refusal => replica.store.close(),
        }
    }

    fn end(self, replica: &Replica) {
        match self {
            Self::Silence => replica.store.silence(false),
            Self::Refusal => replica.store.open(),
        }
    }
}

async fn follow(watch: &mut WatchOnce, received: &mut Received, revision: u64) {
    while received.amid || received.reached < revision {
        let response = timeout(PATIENCE, watch.next()).await.expect("something happens");
        received.take(&response.unwrap().expect("the stream stays open"));
    }
}

/// Code and reason of what has to fail, and soon enough.
async fn refused<T: std::fmt::Debug>(call: impl Future<Output = Result<T, Error>>) -> (Code, String) {
    let begun = Instant::now();
    let error = call.await.expect_err("the store is down");
    let took = begun.elapsed();
    assert!(took < STORE_PATIENCE + MARGIN, "{error} took {took:?}");
    (error.code(), error.reason().unwrap_or_default().to_owned())
}

fn unavailable() -> (Code, String) {
    (Code::Unavailable, reason::STORE_UNAVAILABLE.to_owned())
}

fn not_cached() -> (Code, String) {
    (Code::Unavailable, reason::NOT_CACHED.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_16_a_store_that_is_silent() {
    cut_off(Cut::Silence, Bus::Redis).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_16_a_store_that_is_away() {
    cut_off(Cut::Refusal, Bus::None).await;
}

async fn cut_off(cut: Cut, bus: Bus) {
    let fleet = Fleet::start(bus).await;
    let [here, there] = &fleet.replicas;
    let (boss, other) = (here.boss().await, there.boss().await);
    let ann = here.server.agent("ann").await;
    boss.put(put("shared/a", "before", "")).await.unwrap();
    let mut watch = boss.watch_once(from_revision(1)).await.unwrap();
    let mut received = Received::default();
    follow(&mut watch, &mut received, 1).await;
    other.put(put("shared/a", "held", "old")).await.unwrap();
    other.put(put("shared/a", "held", "new")).await.unwrap();
    other.put(put("agents/bob", "held", "private")).await.unwrap();
    other.put(put("shared/a", "gone", "")).await.unwrap();
    other.delete(delete("shared/a", "gone")).await.unwrap();
    follow(&mut watch, &mut received, 6).await;
    here.until_all_serve().await;

    let cut_at = Instant::now();
    cut.begin(here);
    writes_and_strong_reads_fail(&boss).await;
    stale_reads_are_answered_from_what_is_held(&boss, &ann).await;
    for n in 0..10 {
        other.put(put("shared/a", &n.to_string(), "meanwhile")).await.unwrap();
    }
    if bus == Bus::Redis {
        follow(&mut watch, &mut received, 16).await;
    }
    eventually("what needs the store does not serve", async || {
        (here.not_serving().await == [MEMORY, RECALL, SWARM_SERVICE]).then_some(())
    })
    .await;
    // What is looked at and what looks are up to a probe apart.
    assert!(cut_at.elapsed() >= Duration::from_secs(2), "not because of a moment");
    assert_eq!(here.page("/readyz").await.0, 503);
    assert_eq!(here.page("/livez").await.0, 200);
    assert_eq!(here.figure("store_up").await, 0);
    assert_eq!((there.figure("store_up").await, there.not_serving().await.len()), (1, 0));
    writes_and_strong_reads_fail(&boss).await;
    other.put(put("shared/a", "last", "meanwhile")).await.unwrap();

    cut.end(here);
    here.until_all_serve().await;
    assert_eq!(here.figure("store_up").await, 1);
    boss.put(put("shared/a", "after", "")).await.unwrap();
    assert_eq!(ann.get(name("shared/a", "last"), None).await.unwrap().revision, 18);
    follow(&mut watch, &mut received, 18).await;
    let log = fleet.log().await;
    assert_eq!(received.events, log);
    assert!(log.iter().all(|event| event.entry.as_ref().unwrap().key != "lost"), "refused, and done");
    drop(watch);
    fleet.stop().await;
}

/// Also those that come while another is being refused.
async fn writes_and_strong_reads_fail(boss: &Client) {
    let writes = join_all((0..16).map(|_| refused(boss.put(put("shared/a", "lost", "")))));
    let reads = join_all((0..4).map(|_| refused(boss.get(name("shared/a", "held"), None))));
    let list = refused(boss.list(v1::ListRequest::default()));
    let swarm = refused(boss.get_swarm());
    let (writes, reads, list, swarm) = tokio::join!(writes, reads, list, swarm);
    for said in writes.into_iter().chain(reads).chain([list, swarm]) {
        assert_eq!(said, unavailable());
    }
}

async fn stale_reads_are_answered_from_what_is_held(boss: &Client, ann: &Client) {
    let content = |answer: v1::GetResponse| (answer.entry.unwrap().content, answer.revision);
    let held = ann.get(name("shared/a", "held"), stale()).await.unwrap();
    assert_eq!(content(held), ("new".to_owned(), 6));
    let private = boss.get(name("agents/bob", "held"), stale()).await.unwrap();
    assert_eq!(content(private), ("private".to_owned(), 6));
    for nothing in [name("shared/a", "gone"), name("agents/bob", "held")] {
        let said = refused(ann.get(nothing, stale())).await;
        assert_eq!(said, (Code::NotFound, reason::ENTRY_NOT_FOUND.to_owned()));
    }
    let both = vec![name("shared/a", "held"), name("shared/a", "before")];
    assert_eq!(refused(ann.batch_get(both, stale())).await, not_cached());
    assert_eq!(refused(ann.get(name("shared/a", "before"), stale())).await, not_cached());
    let all = v1::ListRequest { consistency: stale(), ..Default::default() };
    assert_eq!(refused(ann.list(all)).await, not_cached());
}

/// Whoever is not told whether a write was done finds out with the same request id, on any replica.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_was_refused_can_be_made_through_the_other() {
    let fleet = Fleet::start(Bus::None).await;
    let [here, there] = &fleet.replicas;
    let (ann, other) = (here.server.agent("ann").await, there.server.client("ann", Role::Agent).await);
    here.store.close();
    let write = || put("shared/a", "k", "once");
    let said = refused(ann.with_request_id("a").put(write())).await;
    assert_eq!(said, unavailable());
    let done = other.with_request_id("a").put(write()).await.unwrap();
    here.store.open();
    let again =
        eventually("the store is back", async || ann.with_request_id("a").put(write()).await.ok()).await;
    assert_eq!(again.result, done.result);
    assert_eq!(fleet.log().await.len(), 1);
    fleet.stop().await;
}
