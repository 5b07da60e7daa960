//! Promise 9: a stream goes on from every token it delivered, on any replica, or says why it cannot.

use std::{collections::HashSet, sync::Arc, time::Duration};

use bytes::Bytes;
use swarmem::{
    coordinator::{
        Error,
        watch::{Content, Start, WatchQuery},
    },
    domain::{
        entry::Version,
        position::Arguments,
        swarm::Revision,
        time::{Clock as _, Timestamp},
    },
};

use super::{
    Open,
    history::{Wanted, agent, for_seeds, orchestrator, put, revision_of},
    on_every_store, over_fleets,
    world::{Reader, World, assert_same, lines},
};

on_every_store!(
    promise_09_resumable,
    promise_09_resumable_down_to_the_floor,
    promise_09_starts_that_are_not_there_are_refused,
    a_time_behind_everything_is_a_start_whatever_is_compacted,
);

over_fleets!(
    promise_09_resumable,
    promise_09_resumable_down_to_the_floor,
    promise_09_starts_that_are_not_there_are_refused,
);

/// What a reader saw up to each of its deliveries.
fn prefixes(reader: &Reader) -> Vec<(Start, usize, usize, bool)> {
    let (mut events, mut entries, mut over) = (0, 0, false);
    let mut found = Vec::new();
    for delivery in &reader.deliveries {
        match &delivery.content {
            Content::Events { events: e, .. } => events += e.len(),
            Content::Snapshot(e) => entries += e.len(),
            Content::SnapshotEnd => over = true,
            Content::Bookmark => {}
        }
        found.push((Start::Token(delivery.token.clone()), events, entries, over));
    }
    found
}

async fn promise_09_resumable(open: Open<'_>) {
    for_seeds(open.seeds(6), |mut rng| async move {
        let mut world = World::new(open, 2).await;
        world.write_at_random(&mut rng, 24).await;
        let (who, wanted) = (rng.pick(&[0, 1]), Wanted::random(&mut rng));
        let who = if who == 0 { orchestrator() } else { agent("ann") };
        let mut readers = Vec::new();
        for start in [Start::Revision(Revision(1)), Start::Snapshot, Start::Now] {
            let query = WatchQuery {
                bookmark_interval: Some(open.scaled(Duration::from_secs(2))),
                ..world.replicas[0].query(&wanted, start.clone())
            };
            let stream = world.replicas[0].coordinator.watch(&who, &world.swarm, query).await.unwrap();
            let from = if start == Start::Revision(Revision(1)) { 0 } else { world.newest() };
            readers.push((Reader::of(stream), from, start == Start::Snapshot));
        }
        for _ in 0..4 {
            world.write_at_random(&mut rng, 9).await;
            world.pass(Duration::from_secs(3)).await;
        }
        world.read_log().await;
        for (mut reader, from, snapshot) in readers {
            let expected = world.expected(&who, &wanted, from);
            reader.sees(&expected).await;
            let (events, entries) = (reader.events(), reader.entries());
            for (token, seen_events, seen_entries, over) in prefixes(&reader) {
                let mut resumed = world.replicas[1].watch(&who, &wanted, token).await;
                let rest = &events[seen_events..];
                let is_over = over || !snapshot;
                resumed
                    .until(|r| r.events().len() >= rest.len() && (is_over || r.snapshot_ends() == 1))
                    .await;
                resumed.poll();
                assert_same(&resumed.events(), rest);
                let rest = if is_over { &[] } else { &entries[seen_entries..] };
                assert_same(&resumed.entries(), &still_live(&world, rest));
            }
        }
    })
    .await;
}

/// What of these entries is not past its time by now.
fn still_live(world: &World, entries: &[Bytes]) -> Vec<Bytes> {
    let live = world.log.iter().filter(|v| v.is_live(world.clock.now())).cloned().collect::<Vec<_>>();
    let live: HashSet<_> = lines(&live).into_iter().collect();
    entries.iter().filter(|e| live.contains(*e)).cloned().collect()
}

/// The events behind a revision, or behind a part of it.
fn rest<'a>(log: &'a [Arc<Version>], seen: &[Arc<Version>]) -> &'a [Arc<Version>] {
    &log[seen.len()..]
}

async fn promise_09_resumable_down_to_the_floor(open: Open<'_>) {
    for_seeds(open.seeds(6), |mut rng| async move {
        let mut world = World::new(open, 2).await;
        world.write_at_random(&mut rng, 45).await;
        let mut reader = world.replicas[0].watch_all(Start::Revision(Revision(1))).await;
        reader.sees(&world.log).await;
        let mut seen = 0;
        for delivery in reader.deliveries.clone() {
            let Content::Events { events, fragment } = &delivery.content else { continue };
            seen += events.len();
            let revision = revision_of(&events[events.len() - 1]);
            let expected = lines(rest(&world.log, &world.log[..seen]));
            for floor in [revision - 1, revision, revision + 1] {
                if floor > world.newest() {
                    continue;
                }
                world.compact(floor).await;
                let token = Start::Token(delivery.token.clone());
                let replica = &world.replicas[rng.below(2)];
                let opened = replica.open(&orchestrator(), &Wanted::default(), token).await;
                // Behind part of a revision, the rest of it is still to come.
                let reached = if *fragment { revision - 1 } else { revision };
                let floor = world.store.inner().heads(std::slice::from_ref(&world.swarm)).await.unwrap()[0]
                    .unwrap()
                    .floor
                    .revision
                    .0;
                match opened {
                    Ok(stream) if floor <= reached => {
                        let mut resumed = Reader::of(stream);
                        resumed.until(|r| r.events().len() >= expected.len()).await;
                        resumed.poll();
                        assert_same(&resumed.events(), &expected);
                    }
                    Err(Error::Compacted { floor: said }) if floor > reached => assert_eq!(said.0, floor),
                    Ok(_) => panic!("resumed behind {reached} although the floor is {floor}"),
                    Err(error) => panic!("behind {reached} with the floor {floor}: {error}"),
                }
            }
        }
        for (revision, readable) in [(world.newest(), false), (world.newest() + 1, true)] {
            let start = Start::Revision(Revision(revision));
            let opened = world.replicas[0].open(&orchestrator(), &Wanted::default(), start).await;
            assert_eq!(opened.is_ok(), readable, "revision {revision}");
        }
    })
    .await;
}

async fn promise_09_starts_that_are_not_there_are_refused(open: Open<'_>) {
    let world = World::new(open, 2).await;
    let [here, there] = &world.replicas[..] else { unreachable!() };
    let (who, wanted) = (orchestrator(), Wanted::default());
    for n in 0..3 {
        here.write(vec![put("shared/a", "1", &n.to_string())]).await;
    }
    let written = here.write(vec![put("shared/a", "1", "last")]).await;
    let mut reader = here.watch(&who, &wanted, Start::Revision(Revision(2))).await;
    reader.until(|r| r.events().len() == 3).await;

    let refusal = async |start: Start, wanted: &Wanted| there.open(&who, wanted, start).await.err();
    let other = Wanted::below("shared/a");
    assert_ne!(other.arguments(), Arguments::default());
    assert!(matches!(refusal(reader.last_token(), &other).await, Some(Error::Invalid(_))));
    let write_token = Start::Token(here.token(&written));
    assert!(refusal(write_token.clone(), &other).await.is_none(), "a write's token goes with any filter");
    assert!(matches!(refusal(Start::Token("x".into()), &wanted).await, Some(Error::Invalid(_))));
    assert!(matches!(refusal(Start::Revision(Revision(0)), &wanted).await, Some(Error::Invalid(_))));
    assert!(refusal(Start::Revision(Revision(5)), &wanted).await.is_none());
    let future = refusal(Start::Revision(Revision(6)), &wanted).await;
    assert!(matches!(future, Some(Error::FutureRevision { newest: Revision(4) })));
    let future = Start::Time(Timestamp::from_micros(i64::MAX));
    assert!(matches!(refusal(future, &wanted).await, Some(Error::Invalid(_))));

    let order = std::sync::atomic::Ordering::SeqCst;
    world.store.forked_behind.store(3, order);
    assert!(matches!(refusal(reader.last_token(), &wanted).await, Some(Error::IncarnationChanged)));
    world.store.forked_behind.store(4, order);
    world.store.lost_behind.store(3, order);
    assert!(matches!(refusal(reader.last_token(), &wanted).await, Some(Error::IncarnationChanged)));
    world.store.lost_behind.store(u64::MAX, order);
    assert!(refusal(reader.last_token(), &wanted).await.is_none());

    here.coordinator.delete_swarm(&who, &world.swarm).await.unwrap();
    assert!(matches!(refusal(reader.last_token(), &wanted).await, Some(Error::SwarmNotFound)));
    let retention = here.coordinator.default_retention();
    here.coordinator.create_swarm(&who, &world.swarm, retention).await.unwrap();
    for start in [reader.last_token(), write_token] {
        assert!(matches!(refusal(start.clone(), &wanted).await, Some(Error::IncarnationChanged)));
    }
    for _ in 0..5 {
        here.write(vec![put("shared/a", "1", "")]).await;
    }
    world.compact(5).await;
    assert!(matches!(refusal(reader.last_token(), &wanted).await, Some(Error::IncarnationChanged)));
}

async fn a_time_behind_everything_is_a_start_whatever_is_compacted(open: Open<'_>) {
    let mut world = World::new(open, 1).await;
    let replica = world.replicas[0].clone();
    let time = replica.write(vec![put("shared/a", "1", "before")]).await;
    world.read_log().await;
    world.compact(1).await;
    let before = world.clock.now();
    let wanted = Wanted::default();
    let opened = replica.open(&orchestrator(), &wanted, Start::Time(before)).await;
    assert!(matches!(opened.err(), Some(Error::Compacted { floor }) if floor == time.mark.revision));
    world.clock.advance(Duration::from_secs(1));
    let now = world.clock.now();
    let mut reader = replica.watch_all(Start::Time(now)).await;
    replica.write(vec![put("shared/a", "1", "after")]).await;
    world.read_log().await;
    reader.sees(&world.log[1..]).await;
}
