//! What the tail poll does for a fleet: brings everything without a bus.

use super::harness::{Bus, Fleet};
use crate::{
    client::{Received, from_revision},
    rpc::harness::put,
};

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
