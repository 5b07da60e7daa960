//! Promise 12: a slow reader costs a cursor, and is closed only when it takes nothing for too long.

use std::{sync::Arc, time::Duration};

use swarmem::{
    coordinator::{
        Error,
        watch::{Content, Delivery, Start, Stream},
    },
    domain::swarm::Revision,
};

use super::{
    Open,
    history::{Rng, Wanted, for_seeds, orchestrator, put},
    on_every_store,
    world::{PATIENCE, RING, Reader, World},
};

on_every_store!(
    promise_12_slow_reader,
    promise_12_patience_ends,
    promise_12_the_rest_of_a_revision_is_pending,
    promise_12_behind_the_floor,
);

async fn open_all(world: &World, start: Start) -> Stream {
    world.replicas[0].open(&orchestrator(), &Wanted::default(), start).await.unwrap()
}

async fn take(stream: &mut Stream) -> Delivery {
    stream.next().await.unwrap().unwrap()
}

async fn promise_12_slow_reader(open: Open<'_>) {
    for_seeds(6, |mut rng| async move {
        let mut world = World::new(open, 1).await;
        let mut slow = open_all(&world, Start::Now).await;
        let mut quick = world.replicas[0].watch_all(Start::Now).await;
        // For long nothing is pending but what is not there.
        assert_eq!(take(&mut slow).await.content, Content::Bookmark);
        world.pass(Duration::from_secs(3000)).await;
        let mut seen = Vec::new();
        for _ in 0..5 {
            world.write_at_random(&mut rng, 60).await;
            quick.sees(&world.log).await;
            world.pass(PATIENCE - Duration::from_secs(30)).await;
            world.read_log().await;
            // It takes one response each time, and falls further and further behind.
            if let Content::Events { events, .. } = take(&mut slow).await.content {
                seen.extend(events);
            }
        }
        assert_ring_is_small(&world);
        let mut rest = Reader::of(slow);
        rest.until(|r| r.events().len() + seen.len() >= world.log.len()).await;
        rest.poll();
        seen.extend(rest.events());
        assert_eq!(seen, super::world::lines(&world.log));
    })
    .await;
}

/// Whoever holds a version in memory shares it: the log here, the memory store twice, and the ring the last few.
fn assert_ring_is_small(world: &World) {
    let old = world.log.len() - RING;
    let held = world.log[..old].iter().filter(|v| Arc::strong_count(v) > 3).count();
    assert_eq!(held, 0, "old versions are held by something");
}

async fn promise_12_patience_ends(open: Open<'_>) {
    for_seeds(4, |mut rng: Rng| async move {
        let mut world = World::new(open, 1).await;
        let mut slow = open_all(&world, Start::Now).await;
        take(&mut slow).await;
        // Nothing is pending: an hour is nothing.
        world.pass(Duration::from_secs(3500)).await;
        for n in 0..1 + rng.below(2 * RING) {
            world.replicas[0].write(vec![put("shared/a", &n.to_string(), "x")]).await;
        }
        world.read_log().await;
        let first = take(&mut slow).await;
        let Content::Events { events, .. } = &first.content else { panic!("{first:?}") };
        let seen = events.len();
        for n in 0..1 + rng.below(2 * RING) {
            world.replicas[0].write(vec![put("shared/a", &n.to_string(), "y")]).await;
        }
        world.read_log().await;
        // Since when exactly is not remembered of what is not in the ring any more.
        world.pass(PATIENCE + PATIENCE / 8).await;
        assert!(matches!(slow.next().await, Some(Err(Error::SlowConsumer))));
        assert!(slow.next().await.is_none());
        let mut resumed = world.replicas[0].watch_all(Start::Token(first.token)).await;
        resumed.sees(&world.log[seen..]).await;
    })
    .await;
}

async fn promise_12_the_rest_of_a_revision_is_pending(open: Open<'_>) {
    let mut world = World::new(open, 1).await;
    let large = (0..4).map(|n| put("shared/a", &n.to_string(), &"x".repeat(600)));
    world.replicas[0].write(large.collect()).await;
    world.read_log().await;
    for recent in [false, true] {
        let mut slow = open_all(&world, Start::Revision(Revision(world.newest()))).await;
        take(&mut slow).await;
        let Content::Events { fragment: true, .. } = take(&mut slow).await.content else { panic!() };
        world.pass(PATIENCE + Duration::from_secs(1)).await;
        assert!(matches!(slow.next().await, Some(Err(Error::SlowConsumer))), "recent: {recent}");
        // Once more, with the revision in the ring.
        let large = (0..4).map(|n| put("shared/a", &n.to_string(), &"x".repeat(600)));
        world.replicas[0].write(large.collect()).await;
        world.read_log().await;
    }
}

async fn promise_12_behind_the_floor(open: Open<'_>) {
    let mut world = World::new(open, 1).await;
    let mut slow = open_all(&world, Start::Now).await;
    take(&mut slow).await;
    for n in 0..3 * RING {
        world.replicas[0].write(vec![put("shared/a", &n.to_string(), "x")]).await;
    }
    world.read_log().await;
    world.compact(1).await;
    let next = slow.next().await.unwrap();
    assert!(matches!(next, Err(Error::Compacted { floor: Revision(1) })), "{next:?}");

    // What is in the ring needs no log.
    let last = world.newest() - 2;
    let mut quick = open_all(&world, Start::Revision(Revision(last))).await;
    take(&mut quick).await;
    world.compact(world.newest()).await;
    let Content::Events { events, .. } = take(&mut quick).await.content else { panic!() };
    assert_eq!(events.len(), 3);
}
