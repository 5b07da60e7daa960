//! When the heads are polled: how often, at once behind an interruption of the bus, and what that costs.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_trait::async_trait;
use swarmem::{
    bus::{Bus, Message, State, Subscription},
    coordinator::watch::Start,
    domain::{commit::Commit, swarm::SwarmId},
};
use tokio::sync::{Notify, watch};

use super::{
    Open,
    faults::BrokenBus,
    history::{orchestrator, put},
    on_every_store,
    world::{POLL, POLL_BUS_DOWN, World},
};

on_every_store!(
    a_bus_that_is_down_is_made_up_for,
    the_end_of_an_interruption_polls_at_once,
    gaps_are_looked_into_at_once_and_together,
);

async fn polls(world: &World, during: Duration) -> usize {
    let before = world.store.polls.load(Ordering::SeqCst);
    world.pass(during).await;
    world.store.polls.load(Ordering::SeqCst) - before
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
    // Somebody else commits, and the bus says nothing.
    let other = super::history::write(&orchestrator(), vec![put("shared/a", "1", "elsewhere")]);
    let batch = swarmem::store::Batch {
        requests: vec![Arc::new(other)],
        nonce: swarmem::domain::swarm::Nonce([3; 16]),
        limits: swarmem::domain::limits::Limits::default(),
    };
    world.store.inner().commit(&world.swarm, &batch).await.unwrap();
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
    let mut readers = Vec::new();
    for n in 0..50 {
        let swarm = SwarmId::parse(&format!("swarm-{n}")).unwrap();
        let replica = &world.replicas[0];
        let retention = replica.coordinator.default_retention();
        replica.coordinator.create_swarm(&orchestrator(), &swarm, retention).await.unwrap();
        let query = replica.query(&Default::default(), Start::Now);
        let mut stream = replica.coordinator.watch(&orchestrator(), &swarm, query).await.unwrap();
        // The first bookmark: the feed has started.
        stream.next().await.unwrap().unwrap();
        readers.push(stream);
    }
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
