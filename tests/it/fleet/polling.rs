//! What the tail poll does for a fleet: brings everything without a bus.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use swarmem::{
    client::{Client, WatchOnce},
    wire::{WatchResponseType, v1},
};
use tokio::time::timeout;

use super::harness::{Bus, Fleet, Replica};
use crate::{
    client::{Received, from_revision},
    process::{PATIENCE, eventually},
    rpc::harness::put,
};

/// Short, to wait little.
const POLL_INTERVAL: Duration = Duration::from_millis(400);

/// Counted in polls, not in time: one may be under way when something is written, the next must find it.
#[tokio::test(flavor = "multi_thread")]
async fn promise_13_without_a_bus_the_next_poll_brings_what_the_other_wrote() {
    let fleet = Fleet::start(Bus::None).await;
    let [here, there] = &fleet.replicas;
    let mut watch = there.boss().await.watch(from_revision(1)).await.unwrap();
    let mut received = Received::default();
    let writer = here.boss().await;
    writer.put(put("shared/a", "k", "")).await.unwrap();
    received.follow(&mut watch, 1).await;
    for revision in 2..=4 {
        let before = there.figure("polls_total").await;
        writer.put(put("shared/a", "k", "")).await.unwrap();
        received.follow(&mut watch, revision).await;
        let polls = there.figure("polls_total").await - before;
        assert!((1..=2).contains(&polls), "{polls} polls");
    }
    assert_eq!(received.events, fleet.log().await);
    drop(watch);
    fleet.stop().await;
}

/// However many are followed, each is asked for only together with all others, and none alone, by whatever looks after
/// swarms besides; counted as PostgreSQL is asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_followed_swarms_are_one_query_an_interval() {
    const SWARMS: usize = 1000;
    let fleet = Fleet::start_with(Bus::None, |config| {
        config.watch.poll_interval_ms = POLL_INTERVAL.as_millis() as u64;
        // Less than the time between two polls: how often it is looked whether anybody still follows.
        config.watch.feed_idle_ms = 200;
        config.retention.compaction_interval_ms = 1000;
    })
    .await;
    let boss = fleet.replicas[0].boss().await;
    let swarms: Vec<_> = (0..SWARMS).map(|n| boss.in_swarm(format!("swarm-{n}"))).collect();
    // As many at once as there are connections.
    for some in swarms.chunks(16) {
        join_all(some.iter().map(async |swarm| drop(swarm.create_swarm(None).await.unwrap()))).await;
    }
    let mut watches = Vec::new();
    for replica in &fleet.replicas {
        let boss = replica.boss().await;
        let swarms: Vec<_> = (0..SWARMS).map(|n| boss.in_swarm(format!("swarm-{n}"))).collect();
        for some in swarms.chunks(100) {
            watches.push(join_all(some.iter().map(followed)).await);
        }
        assert_eq!(replica.figure("feeds").await, SWARMS as u64);
    }
    join_all(fleet.replicas.iter().map(one_query_an_interval)).await;
    drop(watches);
    fleet.stop().await;
}

/// A watch that stands, and has nothing to say for a long time.
async fn followed(swarm: &Client) -> WatchOnce {
    let request = v1::WatchRequest { bookmark_interval: None, ..from_revision(1) };
    let opened = eventually("it is opened", async || swarm.watch_once(request.clone()).await.ok());
    let mut watch = opened.await;
    let first = timeout(PATIENCE, watch.next()).await.expect("it stands").unwrap();
    assert_eq!(first.expect("it goes on").r#type(), WatchResponseType::Bookmark);
    watch
}

async fn one_query_an_interval(replica: &Replica) {
    const POLLS: u64 = 4;
    let (begun, before) = (Instant::now(), replica.asked.executed());
    let polls = replica.figure("polls_total").await;
    replica.until_figure("polls_total", |now| now >= polls + POLLS).await;
    let polls = replica.figure("polls_total").await - polls;
    let (asked, took) = (replica.asked.executed_since(&before), begun.elapsed());
    let (heads, rest): (Vec<_>, Vec<_>) =
        asked.into_iter().partition(|(text, _)| text.contains("FROM unnest"));
    let [(_, heads)] = heads[..] else { panic!("{heads:?}") };
    // One may have been under way when the others were begun to be counted, another when they were counted.
    assert!(heads.abs_diff(polls) <= 1, "{heads} queries for {polls} polls");
    let of_one_swarm: Vec<_> = rest.iter().filter(|(text, _)| text.contains("swarm_id = $1")).collect();
    assert!(of_one_swarm.is_empty(), "{of_one_swarm:?}");
    let polls_max = took.div_duration_f64(POLL_INTERVAL.mul_f64(0.8)) + 2.0;
    assert!(heads as f64 <= polls_max, "{heads} queries in {took:?}");
}
