//! Promise 16 while Redis is cut off: nobody who writes or reads notices, and watchers see everything by the poll.

use std::time::Duration;

use swarmem::client::Client;
use tokio::time::timeout;

use super::harness::{Bus, Fleet, Replica};
use crate::{
    client::{Received, from_revision},
    rpc::harness::{at_least, name, put},
};

/// A write through each, a read of it through the other, and both watches see both; all the while all services serve.
async fn works(fleet: &Fleet, watches: &mut [(swarmem::client::Watch, Received)], what: &str) {
    let mut clients: Vec<Client> = Vec::new();
    for replica in &fleet.replicas {
        clients.push(replica.boss().await);
    }
    for (writer, reader) in [(0, 1), (1, 0)] {
        let token = clients[writer].put(put("shared/a", what, what)).await.unwrap().token;
        for consistency in [None, at_least(&token)] {
            let read = clients[reader].get(name("shared/a", what), consistency).await.unwrap();
            assert_eq!(read.entry.unwrap().content, what);
        }
    }
    let head = fleet.replicas[1].server.revision().await;
    for (watch, received) in watches.iter_mut() {
        received.follow(watch, head).await;
    }
    for replica in &fleet.replicas {
        assert!(replica.not_serving().await.is_empty(), "{what}");
        assert_eq!(replica.page("/readyz").await.0, 200);
        assert_eq!(replica.figure("store_up").await, 1);
    }
}

async fn watches(fleet: &Fleet) -> Vec<(swarmem::client::Watch, Received)> {
    let mut watches = Vec::new();
    for replica in &fleet.replicas {
        let watch = replica.boss().await.watch(from_revision(1)).await.unwrap();
        watches.push((watch, Received::default()));
    }
    watches
}

async fn assert_saw_all(fleet: &Fleet, watches: &[(swarmem::client::Watch, Received)]) {
    let log = fleet.log().await;
    for (_, received) in watches {
        assert_eq!(received.events, log);
    }
}

/// What the bus brought and how often it was interrupted.
async fn counts(replica: &Replica) -> (u64, u64) {
    (replica.figure("bus_received_total").await, replica.figure("bus_interruptions_total").await)
}

/// The other replica's Redis works all the while: its poll has to find what this one cannot publish.
#[tokio::test(flavor = "multi_thread")]
async fn promise_16_a_bus_that_is_silent_to_one() {
    let fleet = Fleet::start(Bus::Redis).await;
    let [here, there] = &fleet.replicas;
    let mut watches = watches(&fleet).await;
    works(&fleet, &mut watches, "up").await;
    let line = here.bus.as_ref().unwrap();
    line.silence(true);
    works(&fleet, &mut watches, "silent").await;
    here.until_figure("bus_up", |up| up == 0).await;
    let (received, _) = counts(here).await;
    works(&fleet, &mut watches, "down").await;
    let (received_later, interruptions) = counts(here).await;
    assert_eq!(received_later, received, "nothing came by the bus");
    assert!(interruptions >= 1);
    assert_eq!(there.figure("bus_up").await, 1);
    line.silence(false);
    here.until_figure("bus_up", |up| up == 1).await;
    works(&fleet, &mut watches, "back").await;
    assert_saw_all(&fleet, &watches).await;
    drop(watches);
    fleet.stop().await;
}

/// The usual poll is a minute away: while Redis is up, it is Redis that has to deliver, and while it is down, the shorter
/// interval.
#[tokio::test(flavor = "multi_thread")]
async fn promise_16_a_bus_that_is_dead() {
    let mut fleet = Fleet::start_with(Bus::Redis, |config| config.watch.poll_interval_ms = 60_000).await;
    let mut watches = watches(&fleet).await;
    works(&fleet, &mut watches, "up").await;
    fleet.redis.as_mut().unwrap().kill();
    works(&fleet, &mut watches, "killed").await;
    for replica in &fleet.replicas {
        replica.until_figure("bus_up", |up| up == 0).await;
    }
    // Far from the usual poll on either side.
    let soon = timeout(Duration::from_secs(30), works(&fleet, &mut watches, "dead")).await;
    soon.expect("the shorter interval brings it");
    fleet.redis.as_mut().unwrap().run();
    for replica in &fleet.replicas {
        replica.until_figure("bus_up", |up| up == 1).await;
        assert!(counts(replica).await.1 >= 1);
    }
    let before = [counts(&fleet.replicas[0]).await.0, counts(&fleet.replicas[1]).await.0];
    works(&fleet, &mut watches, "back").await;
    for (replica, before) in fleet.replicas.iter().zip(before) {
        assert!(counts(replica).await.0 > before, "it came by the bus again");
    }
    assert_saw_all(&fleet, &watches).await;
    drop(watches);
    fleet.stop().await;
}
