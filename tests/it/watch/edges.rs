//! What cancelled calls and vanished streams leave behind: nothing.

use std::{
    future::Future as _,
    pin::pin,
    sync::atomic::Ordering,
    task::{Context, Waker},
    time::Duration,
};

use swarmem::coordinator::{Error, watch::Start};

use super::{
    Open,
    history::{Wanted, for_seeds, orchestrator, put, random_write},
    on_every_store,
    world::{FEED_IDLE, World},
};

on_every_store!(
    cancelled_writes_leave_no_stuck_lane,
    a_panic_in_a_commit_leaves_no_stuck_lane,
    a_dropped_call_for_the_next_response_loses_nothing,
    a_swarm_that_nobody_watches_is_not_polled,
);

async fn cancelled_writes_leave_no_stuck_lane(open: Open<'_>) {
    for_seeds(12, |mut rng| async move {
        let mut world = World::new(open, 1).await;
        world.store.yields.store(1 + rng.next() % 4, Ordering::SeqCst);
        let replica = world.replicas[0].clone();
        let mut reader = replica.watch_all(Start::Now).await;
        for _ in 0..60 {
            {
                let (author, request) = random_write(&mut rng);
                let mut write = pin!(replica.submit(&author, request));
                for _ in 0..rng.below(8) {
                    if write.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            }
            if rng.chance(20) {
                tokio::time::timeout(
                    Duration::from_secs(1),
                    replica.write(vec![put("shared/a", "1", "kept")]),
                )
                .await
                .expect("the lane goes on");
            }
        }
        replica.write(vec![put("shared/a", "1", "last")]).await;
        world.read_log().await;
        reader.ends_with(&replica, &world.log).await;
    })
    .await;
}

async fn a_panic_in_a_commit_leaves_no_stuck_lane(open: Open<'_>) {
    let world = World::new(open, 1).await;
    let replica = &world.replicas[0];
    world.store.panics.store(true, Ordering::SeqCst);
    let boss = orchestrator();
    let request = || super::history::write(&boss, vec![put("shared/a", "1", "")]);
    let (first, second) = tokio::join!(replica.submit(&boss, request()), async {
        // Waits behind the one that panics.
        tokio::task::yield_now().await;
        replica.submit(&boss, request()).await
    });
    assert!(matches!(first, Err(Error::OutcomeUnknown)), "{first:?}");
    assert!(!matches!(second, Err(Error::DeadlineExceeded)), "{second:?}");
    let third = tokio::time::timeout(Duration::from_secs(1), replica.submit(&boss, request())).await;
    assert!(third.expect("the lane is not stuck").is_ok());
}

async fn a_dropped_call_for_the_next_response_loses_nothing(open: Open<'_>) {
    for_seeds(12, |mut rng| async move {
        let mut world = World::new(open, 1).await;
        world.write_at_random(&mut rng, 30).await;
        world.store.yields.store(3, Ordering::SeqCst);
        let replica = &world.replicas[0];
        let query = swarmem::coordinator::watch::WatchQuery {
            before: rng.chance(50),
            ..replica.query(&Wanted::default(), Start::Revision(swarmem::domain::swarm::Revision(1)))
        };
        let stream = replica.coordinator.watch(&orchestrator(), &world.swarm, query).await;
        let (mut stream, mut events) = (stream.unwrap(), 0);
        while events < world.log.len() {
            let mut next = pin!(stream.next());
            for _ in 0..rng.below(40) {
                let polled = next.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                if let std::task::Poll::Ready(delivery) = polled {
                    if let swarmem::coordinator::watch::Content::Events { events: some, .. } =
                        delivery.unwrap().unwrap().content
                    {
                        assert!(some[0].starts_with(world.log[events].mark.revision.to_string().as_bytes()));
                        events += some.len();
                    }
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(events, world.log.len());
    })
    .await;
}

async fn a_swarm_that_nobody_watches_is_not_polled(open: Open<'_>) {
    let world = World::new(open, 1).await;
    let readers =
        [world.replicas[0].watch_all(Start::Now).await, world.replicas[0].watch_all(Start::Now).await];
    let polls = async || {
        let before = world.store.polls.load(Ordering::SeqCst);
        world.pass(Duration::from_secs(20)).await;
        world.store.polls.load(Ordering::SeqCst) - before
    };
    assert!(polls().await > 10);
    drop(readers);
    world.pass(2 * FEED_IDLE).await;
    assert_eq!(polls().await, 0);
    let mut reader = world.replicas[0].watch_all(Start::Now).await;
    world.replicas[0].write(vec![put("shared/a", "1", "")]).await;
    reader.until(|r| r.events().len() == 1).await;
}
