//! Promise 10: the state at one revision, then everything behind it.

use std::{sync::atomic::Ordering, time::Duration};

use swarmem::{
    coordinator::{
        Error,
        watch::{Content, Start, WatchQuery},
    },
    domain::{
        access::Principal, limits::Limits, namespace::Prefix, request::Operation, swarm::Revision,
        time::Clock as _,
    },
};

use super::{
    Open,
    history::{Wanted, agent, for_seeds, may_read, orchestrator, put, state_after},
    on_every_store, over_fleets,
    world::{RESPONSE_BYTES, Reader, World, lines},
};

on_every_store!(
    promise_10_snapshot_then_follow,
    promise_10_resumes_in_mid_snapshot,
    promise_10_empty_snapshots_end,
    the_entry_before_comes_with_the_event,
    entries_before_count_for_the_size_of_a_response,
);

over_fleets!(promise_10_snapshot_then_follow, promise_10_resumes_in_mid_snapshot,);

/// The snapshot at a revision, of what is kept of the log of a world whose clock stood still since.
fn snapshot(world: &World, who: &Principal, wanted: &Wanted, revision: u64) -> Vec<bytes::Bytes> {
    let state = state_after(world.log.iter().filter(|v| v.mark.revision.0 <= revision));
    let now = world.clock.now();
    let seen = state.into_iter().filter(|v| v.is_live(now) && may_read(who, &v.path) && wanted.matches(v));
    lines(&seen.collect::<Vec<_>>())
}

async fn promise_10_snapshot_then_follow(open: Open<'_>) {
    for_seeds(open.seeds(12), |mut rng| async move {
        let mut world = World::new(open, 2).await;
        world.store.yields.store(rng.next() % 3, Ordering::SeqCst);
        world.write_at_random(&mut rng, 45).await;
        // Some entries are past their time now, and not all of them deleted yet.
        world.clock.advance(Duration::from_secs(5));
        let who = if rng.chance(50) { orchestrator() } else { agent("ann") };
        let wanted =
            Wanted { kinds: Vec::new(), tag: None, author: None, n_from: None, ..Wanted::random(&mut rng) };
        let mut reader = world.replicas[0].watch(&who, &wanted, Start::Snapshot).await;
        reader.until(|r| r.snapshot_ends() == 1).await;
        let revision = reader.deliveries[0].revision;
        let of_snapshot = reader.deliveries.iter().take_while(|d| d.content != Content::SnapshotEnd);
        assert!(of_snapshot.into_iter().all(|d| d.revision == revision));
        world.read_log().await;
        assert_eq!(reader.entries(), snapshot(&world, &who, &wanted, revision.0));

        for _ in 0..4 {
            world.write_at_random(&mut rng, 12).await;
            reader.sees(&world.expected(&who, &wanted, revision.0)).await;
        }
        assert_eq!(reader.snapshot_ends(), 1);
        let end = reader.deliveries.iter().position(|d| d.content == Content::SnapshotEnd).unwrap();
        let first = reader.deliveries.iter().position(|d| matches!(d.content, Content::Events { .. }));
        assert!(first.is_none_or(|first| end < first));
    })
    .await;
}

async fn promise_10_resumes_in_mid_snapshot(open: Open<'_>) {
    for_seeds(open.seeds(12), |mut rng| async move {
        let mut world = World::new(open, 2).await;
        for _ in 0..3 {
            world.write_at_random(&mut rng, 30).await;
        }
        let puts = (0..20).map(|n| put("shared/ab", &format!("more{n:02}"), "text")).collect();
        world.replicas[0].write(puts).await;
        world.read_log().await;
        let (who, wanted) = (orchestrator(), Wanted::default());
        let revision = world.newest();
        // As of now: the clock goes on below, and what has expired by then must not come any more.
        let whole = snapshot(&world, &who, &wanted, revision);
        let now = world.clock.now();
        let mut stream = world.replicas[0].open(&who, &wanted, Start::Snapshot).await.unwrap();
        let mut entries = Vec::new();
        let mut at = 1;
        // Each page comes from another replica, while others write and the log is compacted up to the snapshot.
        loop {
            let delivery = stream.next().await.unwrap().unwrap();
            assert_eq!(delivery.revision.0, revision);
            match delivery.content {
                Content::Snapshot(page) => entries.extend(page),
                Content::SnapshotEnd => break,
                other => panic!("{other:?} in a snapshot"),
            }
            for n in 0..3 {
                world.replicas[0].write(vec![put("shared/a", &n.to_string(), "meanwhile")]).await;
            }
            world.compact(revision).await;
            world.clock.set(now);
            let token = Start::Token(delivery.token);
            stream = world.replicas[at % 2].open(&who, &wanted, token).await.unwrap();
            at += 1;
        }
        assert!(at > 3, "the snapshot was to have several pages");
        assert_eq!(entries, whole);
        world.read_log().await;
        let mut reader = Reader::of(stream);
        reader.sees(&world.expected(&who, &wanted, revision)).await;

        // One revision further, and the snapshot is gone.
        let stream = world.replicas[0].open(&who, &wanted, Start::Snapshot).await;
        let first = stream.unwrap().next().await.unwrap().unwrap();
        assert!(matches!(first.content, Content::Snapshot(_)));
        world.replicas[0].write(vec![put("shared/a", "1", "")]).await;
        world.read_log().await;
        world.compact(world.newest()).await;
        let resumed = world.replicas[1].open(&who, &wanted, Start::Token(first.token)).await;
        let floor = world.newest();
        assert!(matches!(resumed.err(), Some(Error::Compacted { floor: said }) if said.0 == floor));
    })
    .await;
}

async fn promise_10_empty_snapshots_end(open: Open<'_>) {
    let mut world = World::new(open, 1).await;
    let replica = world.replicas[0].clone();
    let mut empty = replica.watch_all(Start::Snapshot).await;
    empty.until(|r| r.snapshot_ends() == 1).await;
    replica.write(vec![put("agents/bob", "1", "")]).await;
    world.read_log().await;
    let (who, wanted) = (agent("ann"), Wanted::below("agents/bob"));
    let mut invisible = replica.watch(&who, &wanted, Start::Snapshot).await;
    invisible.until(|r| r.snapshot_ends() == 1).await;
    empty.sees(&world.log).await;
    invisible.ends_with(&replica, &[]).await;
    assert!(empty.entries().is_empty() && invisible.entries().is_empty());
}

async fn the_entry_before_comes_with_the_event(open: Open<'_>) {
    use swarmem::coordinator::Encode as _;
    for_seeds(4, |mut rng| async move {
        let mut world = World::new(open, 1).await;
        world.write_at_random(&mut rng, 30).await;
        let query = WatchQuery {
            before: true,
            ..world.replicas[0].query(&Wanted::default(), Start::Revision(Revision(1)))
        };
        let stream = world.replicas[0].coordinator.watch(&orchestrator(), &world.swarm, query).await;
        let mut reader = Reader::of(stream.unwrap());
        reader.until(|r| r.events().len() >= world.log.len()).await;
        for (at, (event, version)) in reader.events().iter().zip(&world.log).enumerate() {
            let before = state_after(&world.log[..at]).into_iter().find(|v| v.path == version.path);
            let expected = super::history::Plain.event(version, before.as_deref(), false);
            assert_eq!(*event, expected);
        }
    })
    .await;
}

async fn entries_before_count_for_the_size_of_a_response(open: Open<'_>) {
    let mut world = World::new(open, 1).await;
    let replica = world.replicas[0].clone();
    let large = "x".repeat(RESPONSE_BYTES * 2 / 3);
    replica.write((0..5).map(|n| put("shared/a", &n.to_string(), &large)).collect()).await;
    // Small themselves, but not with what they delete.
    let prefix = Prefix::parse("shared/a", &Limits::default()).unwrap();
    replica.write(vec![Operation::DeletePrefix { prefix, limit: None }]).await;
    world.read_log().await;
    let start = Start::Revision(Revision(2));
    let query = WatchQuery { before: true, ..replica.query(&Wanted::default(), start) };
    let stream = replica.coordinator.watch(&orchestrator(), &world.swarm, query).await;
    let mut reader = Reader::of(stream.unwrap());
    reader.until(|r| r.events().len() == 5).await;
    for delivery in &reader.deliveries {
        if let Content::Events { events, .. } = &delivery.content {
            let bytes: usize = events.iter().map(|e| e.len()).sum();
            assert!(bytes <= RESPONSE_BYTES, "{} events of {bytes} bytes", events.len());
        }
    }
    assert!(reader.events().iter().all(|e| e.len() > large.len()));
}
