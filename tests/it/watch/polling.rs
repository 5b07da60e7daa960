//! When the heads are polled: how often, at once behind an interruption of the bus, and what that costs.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_trait::async_trait;
use swarmem::{
    bus::{Bus, Message, State, Subscription},
    coordinator::watch::{Content, Start, Stream},
    domain::{
        commit::Commit,
        limits::Limits,
        swarm::{Nonce, SwarmId},
    },
    store::Batch,
};
use tokio::sync::{Notify, watch};

use super::{
    Open,
    faults::BrokenBus,
    history::{Wanted, orchestrator, put},
    on_every_store,
    world::{BACKFILLS, POLL, POLL_BUS_DOWN, World},
};

on_every_store!(
    a_bus_that_is_down_is_made_up_for,
    the_end_of_an_interruption_polls_at_once,
    gaps_are_looked_into_at_once_and_together,
    only_so_many_feeds_at_once_read_what_they_missed,
);

async fn polls(world: &World, during: Duration) -> usize {
    let before = world.store.polls.load(Ordering::SeqCst);
    world.pass(during).await;
    world.store.polls.load(Ordering::SeqCst) - before
}

/// Somebody else commits, and the bus says nothing.
async fn commit_elsewhere(world: &World, swarm: &SwarmId) {
    let other = super::history::write(&orchestrator(), vec![put("shared/a", "1", "elsewhere")]);
    let batch = Batch::new(vec![Arc::new(other)], Nonce([3; 16]), Limits::default());
    world.store.inner().commit(swarm, &batch).await.unwrap();
}

/// Streams of so many swarms, each of which has begun.
async fn streams_of(world: &World, swarms: usize) -> Vec<(SwarmId, Stream)> {
    let replica = &world.replicas[0];
    let mut streams = Vec::new();
    for n in 0..swarms {
        let swarm = SwarmId::parse(&format!("swarm-{n}")).unwrap();
        let retention = replica.coordinator.default_retention();
        replica.coordinator.create_swarm(&orchestrator(), &swarm, retention).await.unwrap();
        let query = replica.query(&Wanted::default(), Start::Now);
        let mut stream = replica.coordinator.watch(&orchestrator(), &swarm, query).await.unwrap();
        assert_eq!(stream.next().await.unwrap().unwrap().content, Content::Bookmark);
        streams.push((swarm, stream));
    }
    streams
}

async fn a_bus_that_is_down_is_made_up_for(open: Open<'_>) {
    let bus = Arc::new(BrokenBus::default());
    let mut world = World::over(open, 1, Arc::clone(&bus) as Arc<dyn Bus>).await;
    let mut reader = world.replicas[0].watch_all(Start::Now).await;
    // Each poll comes after its interval, or up to a fifth sooner.
    let up = polls(&world, 20 * POLL).await;
    assert!((19..=26).contains(&up), "{up} polls in 20 intervals");
    bus.0.send_replace(State::Down("on purpose".into()));
    let down = polls(&world, 20 * POLL_BUS_DOWN).await;
    assert!((19..=27).contains(&down), "{down} polls in 20 intervals of a bus that is down");
    commit_elsewhere(&world, &world.swarm).await;
    world.pass(POLL_BUS_DOWN + Duration::from_millis(1)).await;
    reader.poll();
    world.read_log().await;
    assert_eq!(reader.events().len(), 1);
}

async fn the_end_of_an_interruption_polls_at_once(open: Open<'_>) {
    let bus = Arc::new(BrokenBus::default());
    let world = World::over(open, 1, Arc::clone(&bus) as Arc<dyn Bus>).await;
    let _reader = world.replicas[0].watch_all(Start::Now).await;
    // So that the last poll is a moment ago, and the next one is not due.
    while polls(&world, Duration::from_millis(20)).await == 0 {}
    world.pass(Duration::from_millis(100)).await;
    // Both changes may be one to whoever looks: the interruption was short.
    bus.0.send_replace(State::Down("on purpose".into()));
    bus.0.send_replace(State::Up);
    assert_eq!(polls(&world, Duration::from_millis(1)).await, 1);
}

/// A bus that says "gap" whenever it is told to, to all.
#[derive(Default)]
struct Gaps {
    now: Arc<Notify>,
    state: Option<watch::Sender<State>>,
}

#[async_trait]
impl Bus for Gaps {
    fn publish(&self, _: &SwarmId, _: &Arc<Commit>) {}

    async fn subscribe(&self, _: &SwarmId) -> Box<dyn Subscription> {
        Box::new(Gap(Arc::clone(&self.now)))
    }

    fn state(&self) -> watch::Receiver<State> {
        self.state.as_ref().expect("set up").subscribe()
    }
}

struct Gap(Arc<Notify>);

#[async_trait]
impl Subscription for Gap {
    async fn next(&mut self) -> Message {
        self.0.notified().await;
        Message::Gap
    }
}

async fn gaps_are_looked_into_at_once_and_together(open: Open<'_>) {
    let bus = Arc::new(Gaps { state: Some(watch::Sender::new(State::Up)), ..Gaps::default() });
    let world = World::over(open, 1, Arc::clone(&bus) as Arc<dyn Bus>).await;
    let _streams = streams_of(&world, 50).await;
    while polls(&world, Duration::from_millis(20)).await == 0 {}
    world.pass(Duration::from_millis(100)).await;
    let reads = world.store.log_reads.load(Ordering::SeqCst);
    bus.now.notify_waiters();
    assert_eq!(polls(&world, Duration::from_millis(1)).await, 1, "one query for all of them");
    // A second time, so soon, waits a little.
    bus.now.notify_waiters();
    assert_eq!(polls(&world, Duration::from_millis(1)).await, 0);
    assert_eq!(polls(&world, Duration::from_millis(50)).await, 1);
    assert_eq!(world.store.log_reads.load(Ordering::SeqCst), reads, "no head moved, so no log is read");
}

async fn only_so_many_feeds_at_once_read_what_they_missed(open: Open<'_>) {
    let world = World::over(open, 1, Arc::new(BrokenBus::default())).await;
    let mut streams = streams_of(&world, 20).await;
    world.pass(2 * POLL).await;
    world.store.yields.store(5, Ordering::SeqCst);
    world.store.log_readers_max.store(0, Ordering::SeqCst);
    for (swarm, _) in &streams {
        commit_elsewhere(&world, swarm).await;
    }
    for (_, stream) in &mut streams {
        let next = stream.next().await.unwrap().unwrap();
        assert!(matches!(next.content, Content::Events { .. }), "{next:?}");
    }
    assert_eq!(world.store.log_readers_max.load(Ordering::SeqCst), BACKFILLS);
}
