//! What streams come to when something under them breaks: the store, its history, the swarm, the bus.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use swarmem::{
    bus::{Bus, local::LocalBus},
    coordinator::{Error, watch::Start},
    domain::{
        commit::Commit,
        swarm::{Incarnation, Mark, Nonce, Revision},
    },
};

use super::{
    Open,
    faults::{BrokenBus, Happens, Losses, LossyBus},
    history::{Wanted, for_seeds, orchestrator, put},
    on_every_store,
    world::{POLL, World},
};

on_every_store!(
    a_failing_store_ends_no_stream,
    an_unknown_outcome_is_found_out,
    deleting_a_swarm_ends_its_streams,
    another_history_ends_streams,
    a_log_out_of_order_ends_streams,
    late_messages_of_another_history_end_nothing,
    a_swarm_made_anew_is_watched_at_once,
    a_bus_that_closes_at_once_is_not_asked_all_the_time,
);

async fn a_failing_store_ends_no_stream(open: Open<'_>) {
    for_seeds(12, |mut rng| async move {
        let losses = rng.pick(&[Losses::ALL, Losses::SOME]);
        let mut world = World::over(open, 2, Arc::new(LossyBus::new(rng.next(), losses))).await;
        world.write_at_random(&mut rng, 30).await;
        let mut readers = Vec::new();
        for n in 0..4 {
            let (who, wanted) = (orchestrator(), Wanted::random(&mut rng));
            let start = rng.pick(&[0, 1]);
            let start = if start == 0 { Start::Now } else { Start::Revision(Revision(1)) };
            let from = if start == Start::Now { world.newest() } else { 0 };
            readers.push((world.replicas[n % 2].watch(&who, &wanted, start).await, wanted, from));
        }
        let query = swarmem::coordinator::watch::WatchQuery {
            before: true,
            ..world.replicas[0].query(&Wanted::default(), Start::Revision(Revision(1)))
        };
        let stream = world.replicas[0].coordinator.watch(&orchestrator(), &world.swarm, query).await;
        let mut with_before = super::world::Reader::of(stream.unwrap());
        let mut snapshot = world.replicas[1].watch_all(Start::Snapshot).await;
        world.store.yields.store(rng.next() % 3, Ordering::SeqCst);
        world.store.fails_percent.store(5 + rng.next() % 30, Ordering::SeqCst);
        for _ in 0..3 {
            world.write_at_random(&mut rng, 30).await;
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        for (reader, wanted, from) in &mut readers {
            reader.sees(&world.expected(&orchestrator(), wanted, *from)).await;
        }
        with_before.until(|r| r.events().len() >= world.log.len()).await;
        with_before.poll();
        assert_eq!(with_before.events().len(), world.log.len());
        snapshot.until(|r| r.snapshot_ends() == 1).await;
    })
    .await;
}

async fn an_unknown_outcome_is_found_out(open: Open<'_>) {
    let mut world = World::new(open, 1).await;
    let replica = world.replicas[0].clone();
    replica.write(vec![put("shared/a", "1", "before")]).await;
    let mut reader = replica.watch_all(Start::Revision(Revision(1))).await;
    for (happens, revision) in [(Happens::Yes, Some(2)), (Happens::No, None)] {
        *world.store.unknown.lock().unwrap() = Some(happens);
        // Asked again and again until the store answers.
        world.store.fails_percent.store(if happens == Happens::Yes { 50 } else { 0 }, Ordering::SeqCst);
        let request = super::history::write(&orchestrator(), vec![put("shared/a", "1", "unheard")]);
        let deadline = tokio::time::Instant::now() + Duration::from_secs(3600);
        let answer = replica.coordinator.write(&orchestrator(), &world.swarm, request, deadline).await;
        world.store.fails_percent.store(0, Ordering::SeqCst);
        match answer {
            Ok(written) => assert_eq!(written.outcome.taken.map(|m| m.revision.0), revision),
            Err(Error::Unavailable) => assert_eq!(revision, None),
            Err(other) => panic!("{happens:?}: {other:?}"),
        }
    }
    replica.write(vec![put("shared/a", "1", "after")]).await;
    world.read_log().await;
    assert_eq!(world.newest(), 3);
    reader.sees(&world.log).await;
}

async fn deleting_a_swarm_ends_its_streams(open: Open<'_>) {
    let world = World::over(open, 2, Arc::new(BrokenBus::default())).await;
    world.replicas[0].write(vec![put("shared/a", "1", "")]).await;
    let mut readers = Vec::new();
    for replica in &world.replicas {
        readers.push(replica.watch_all(Start::Now).await);
        readers.push(replica.watch_all(Start::Revision(Revision(1))).await);
    }
    world.pass(Duration::from_secs(2)).await;
    world.replicas[0].coordinator.delete_swarm(&orchestrator(), &world.swarm).await.unwrap();
    for mut reader in readers {
        assert!(matches!(reader.ended().await, Error::SwarmDeleted));
    }
}

async fn another_history_ends_streams(open: Open<'_>) {
    for which in ["lost", "forked", "forked and gone on", "recreated"] {
        let world = World::over(open, 2, Arc::new(LossyBus::new(0, Losses::ALL))).await;
        for n in 0..5 {
            world.replicas[0].write(vec![put("shared/a", "1", &n.to_string())]).await;
        }
        let mut reader = world.replicas[1].watch_all(Start::Revision(Revision(1))).await;
        reader.until(|r| r.events().len() == 5).await;
        world.pass(Duration::from_secs(2)).await;
        match which {
            "lost" => world.store.lost_behind.store(3, Ordering::SeqCst),
            "forked" => world.store.forked_behind.store(4, Ordering::SeqCst),
            "forked and gone on" => {
                world.store.forked_behind.store(4, Ordering::SeqCst);
                world.store.inner().commit(&world.swarm, &batch("other")).await.unwrap();
            }
            _ => {
                let store = world.store.inner();
                let retention = store.swarm(&world.swarm).await.unwrap().retention;
                store.delete_swarm(&world.swarm).await.unwrap();
                store.create_swarm(&world.swarm, retention).await.unwrap();
            }
        }
        // The next poll sees it.
        world.pass(2 * POLL).await;
        reader.poll();
        assert!(matches!(reader.end, Some(Error::IncarnationChanged)), "{which}: {:?}", reader.end);
        assert_eq!(reader.events().len(), 5, "{which}");
    }
}

/// It is neither shown nor read over and over.
async fn a_log_out_of_order_ends_streams(open: Open<'_>) {
    let world = World::over(open, 2, Arc::new(LossyBus::new(0, Losses::ALL))).await;
    let mut reader = world.replicas[1].watch_all(Start::Now).await;
    world.store.log_reversed.store(true, Ordering::SeqCst);
    for n in 0..3 {
        world.replicas[0].write(vec![put("shared/a", "1", &n.to_string())]).await;
    }
    world.pass(2 * POLL).await;
    reader.poll();
    assert!(matches!(reader.end, Some(Error::Corrupt)), "{:?}", reader.end);
    assert_eq!(reader.events().len(), 0);
    assert!(world.store.log_reads.load(Ordering::SeqCst) < 10);
}

fn batch(content: &str) -> swarmem::store::Batch {
    let request = super::history::write(&orchestrator(), vec![put("shared/a", "1", content)]);
    let limits = swarmem::domain::limits::Limits::default();
    swarmem::store::Batch::new(vec![Arc::new(request)], Nonce([9; 16]), limits)
}

/// A bus may deliver what is older than the history at hand; the log tells which is which.
async fn late_messages_of_another_history_end_nothing(open: Open<'_>) {
    let bus = Arc::new(LocalBus::default());
    let mut world = World::over(open, 1, Arc::clone(&bus) as Arc<dyn Bus>).await;
    let replica = world.replicas[0].clone();
    let mut reader = replica.watch_all(Start::Now).await;
    let written = replica.write(vec![put("shared/a", "1", "")]).await;
    world.read_log().await;
    reader.sees(&world.log).await;

    let of = |incarnation, prev: Mark, last: Mark| {
        Arc::new(Commit { incarnation, prev, last, versions: world.log.clone() })
    };
    let mark = |revision: u64, nonce: u8| Mark { revision: Revision(revision), nonce: Nonce([nonce; 16]) };
    let here = written.incarnation;
    for late in [
        of(Incarnation::default(), mark(0, 1), mark(1, 2)),
        of(Incarnation::default(), mark(7, 1), mark(8, 2)),
        of(here, mark(0, 1), mark(1, 2)),
        of(here, mark(1, 1), mark(2, 2)),
    ] {
        bus.publish(&world.swarm, &late);
        tokio::time::sleep(Duration::from_secs(2)).await;
        replica.write(vec![put("shared/a", "1", "goes on")]).await;
        let mut log = world.log.clone();
        std::mem::swap(&mut world.log, &mut log);
        world.read_log().await;
        reader.sees(&world.log).await;
    }
}

/// The feed of the swarm that was may still be running where the new one is watched.
async fn a_swarm_made_anew_is_watched_at_once(open: Open<'_>) {
    let mut world = World::over(open, 2, Arc::new(BrokenBus::default())).await;
    let [here, there] = [world.replicas[0].clone(), world.replicas[1].clone()];
    here.write(vec![put("shared/a", "1", "old")]).await;
    let mut old = there.watch_all(Start::Now).await;
    world.pass(Duration::from_secs(2)).await;
    here.coordinator.delete_swarm(&orchestrator(), &world.swarm).await.unwrap();
    let retention = here.coordinator.default_retention();
    here.coordinator.create_swarm(&orchestrator(), &world.swarm, retention).await.unwrap();
    let mut new = there.watch_all(Start::Now).await;
    here.write(vec![put("shared/a", "1", "new")]).await;
    world.read_log().await;
    new.sees(&world.log).await;
    world.pass(Duration::from_secs(5)).await;
    new.ends_with(&there, &world.log).await;
    assert!(matches!(old.ended().await, Error::IncarnationChanged | Error::SwarmDeleted));
}

async fn a_bus_that_closes_at_once_is_not_asked_all_the_time(open: Open<'_>) {
    let world = World::over(open, 1, Arc::new(BrokenBus::default())).await;
    let _reader = world.replicas[0].watch_all(Start::Now).await;
    world.pass(Duration::from_secs(10)).await;
    let before = world.store.log_reads.load(Ordering::SeqCst);
    world.pass(Duration::from_secs(10)).await;
    let reads = world.store.log_reads.load(Ordering::SeqCst) - before;
    assert!(reads <= 110, "{reads} reads in ten seconds");
}
