//! How streams end before their watchers want it: at a deadline, in a shutdown; and how many there may be.

use std::time::Duration;

use futures_util::future::join_all;
use swarmem::coordinator::{
    Error, Scarce,
    watch::{Content, Start, WatchQuery},
};
use tokio::time::Instant;

use super::{
    Open,
    history::{Wanted, orchestrator, put},
    on_every_store,
    world::{DRAIN_SPREAD, Reader, STREAMS, World},
};

on_every_store!(
    a_deadline_ends_a_stream_however_much_there_is_to_send,
    in_a_shutdown_streams_end_one_after_another,
    streams_beyond_the_bound_are_refused,
);

async fn a_deadline_ends_a_stream_however_much_there_is_to_send(open: Open<'_>) {
    let world = World::new(open, 1).await;
    let replica = &world.replicas[0];
    for n in 0..50 {
        replica.write(vec![put("shared/a", &n.to_string(), &"x".repeat(1000))]).await;
    }
    let deadline = Instant::now() + Duration::from_secs(5);
    let query = WatchQuery { deadline: Some(deadline), ..replica.query(&Wanted::default(), Start::Snapshot) };
    let stream = replica.coordinator.watch(&orchestrator(), &world.swarm, query.clone()).await.unwrap();
    let mut idle = Reader::of(stream);
    assert!(matches!(idle.ended().await, Error::DeadlineExceeded));
    assert_eq!(Instant::now(), deadline);
    assert_eq!(idle.deliveries.last().unwrap().content, Content::Bookmark);
    assert_eq!(idle.entries().len(), 50);

    // By now it is over before there was time for anything.
    let stream = replica.coordinator.watch(&orchestrator(), &world.swarm, query).await.unwrap();
    let mut busy = Reader::of(stream);
    assert!(matches!(busy.ended().await, Error::DeadlineExceeded));
    assert_eq!(busy.deliveries.last().unwrap().content, Content::Bookmark);
    assert_eq!(busy.entries().len(), 0);
    // Its token is as good as any.
    let mut resumed = replica.watch_all(busy.last_token()).await;
    resumed.until(|reader| reader.snapshot_ends() == 1).await;
    assert_eq!(resumed.entries().len(), 50);
}

async fn in_a_shutdown_streams_end_one_after_another(open: Open<'_>) {
    const WATCHERS: usize = 1000;
    let mut world = World::new(open, 1).await;
    let replica = world.replicas[0].clone();
    replica.write(vec![put("shared/a", "1", "x")]).await;
    world.read_log().await;
    let mut readers = Vec::new();
    for _ in 0..WATCHERS {
        readers.push(replica.watch_all(Start::Now).await);
    }
    let begun = Instant::now();
    replica.lifecycle.soft.cancel();
    let ends = readers.iter_mut().map(async |reader| {
        assert!(matches!(reader.ended().await, Error::Draining));
        assert_eq!(reader.deliveries.last().unwrap().content, Content::Bookmark);
        begun.elapsed()
    });
    let mut ends = join_all(ends).await;
    ends.sort_unstable();
    assert!(ends[WATCHERS - 1] <= DRAIN_SPREAD + Duration::from_millis(1), "{:?}", ends[WATCHERS - 1]);
    for tenth in 1..=10 {
        let here = ends.iter().filter(|end| **end <= DRAIN_SPREAD * tenth / 10).count();
        let expected = WATCHERS * tenth as usize / 10;
        assert!(here.abs_diff(expected) <= 10, "{here} of {WATCHERS} within {tenth} tenths");
    }
    let refused = replica.open(&orchestrator(), &Wanted::default(), Start::Now).await;
    assert!(matches!(refused, Err(Error::Draining)), "no new one is taken");
}

async fn streams_beyond_the_bound_are_refused(open: Open<'_>) {
    let world = World::new(open, 1).await;
    let replica = &world.replicas[0];
    let mut streams = Vec::new();
    let one_more = async || replica.open(&orchestrator(), &Wanted::default(), Start::Now).await;
    for _ in 0..STREAMS {
        streams.push(one_more().await.unwrap());
    }
    let refused = one_more().await.err();
    assert!(matches!(refused, Some(Error::Exhausted { what: Scarce::Streams, max: STREAMS, .. })));
    streams.pop();
    assert!(one_more().await.is_ok());
}
