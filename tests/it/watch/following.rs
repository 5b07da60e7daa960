//! Promises 6, 7, 8, 11 and 13: what a stream delivers while it follows.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use swarmem::{
    bus::Bus,
    coordinator::watch::{Content, Start},
    domain::{
        access::{Principal, Role},
        namespace::AgentId,
        swarm::Revision,
    },
};

use super::{
    Open,
    faults::{BrokenBus, Losses, LossyBus},
    history::{Rng, Wanted, agent, for_seeds, may_read, orchestrator, put, state_after},
    on_every_store, over_fleets,
    world::{POLL, Reader, World, lines},
};

on_every_store!(
    promise_06_filtered,
    promise_07_ordered_unique_reliable,
    promise_08_atomic,
    a_complete_revision_is_not_flagged,
    promise_11_bookmarks,
    promise_13_converges_without_bus,
);

over_fleets!(promise_07_ordered_unique_reliable, promise_11_bookmarks);

fn anybody(rng: &mut Rng) -> Principal {
    match rng.below(5) {
        0 => orchestrator(),
        1 => Principal { agent: AgentId::trusted("eve"), role: Role::Observer },
        n => agent(["ann", "anna", "bob"][n - 2]),
    }
}

async fn promise_06_filtered(open: Open<'_>) {
    for_seeds(12, |mut rng| async move {
        let mut world = World::new(open, 1).await;
        let mut readers = Vec::new();
        for _ in 0..4 {
            world.write_at_random(&mut rng, 30).await;
            for start in [Start::Revision(Revision(1)), Start::Now, Start::Snapshot] {
                let (who, wanted) = (anybody(&mut rng), Wanted::random(&mut rng));
                let reader = world.replicas[0].watch(&who, &wanted, start.clone()).await;
                let from = if start == Start::Revision(Revision(1)) { 0 } else { world.newest() };
                if start == Start::Snapshot {
                    assert_snapshot(&world, &who, &wanted, reader).await;
                } else {
                    readers.push((reader, who, wanted, from));
                }
            }
        }
        world.write_at_random(&mut rng, 30).await;
        for (mut reader, who, wanted, from) in readers {
            reader.ends_with(&world.replicas[0], &world.expected(&who, &wanted, from)).await;
        }
    })
    .await;
}

/// Nothing writes meanwhile, so the snapshot is of the newest revision.
async fn assert_snapshot(world: &World, who: &Principal, wanted: &Wanted, mut reader: Reader) {
    reader.until(|reader| reader.snapshot_ends() == 1).await;
    let state = state_after(&world.log);
    let seen = state.into_iter().filter(|v| may_read(who, &v.path) && wanted.matches(v));
    assert_eq!(reader.entries(), lines(&seen.collect::<Vec<_>>()));
}

async fn promise_07_ordered_unique_reliable(open: Open<'_>) {
    for_seeds(open.seeds(24), |mut rng| async move {
        let (which, seed) = (rng.below(3), rng.next());
        let lossy = |losses| Some(Arc::new(LossyBus::new(seed, losses)));
        let bus = match which {
            _ if open.is_real() => None,
            0 => None,
            1 => lossy(Losses::SOME),
            _ => lossy(Losses::ALL),
        };
        let mut world = match bus {
            Some(bus) => World::over(open, 2, bus).await,
            None => World::new(open, 2).await,
        };
        world.store.yields.store(rng.next() % 4, Ordering::SeqCst);
        world.write_at_random(&mut rng, 30).await;
        let written = world.replicas[0].write(vec![put("shared/a", "1", "token")]).await;
        let token = Start::Token(world.replicas[0].token(&written));
        world.read_log().await;

        let writers = world.start_writers(&mut rng, 90);
        let mut readers = Vec::new();
        for n in 0..10 {
            tokio::time::sleep(Duration::from_millis(rng.next() % 40)).await;
            let middle = &world.log[rng.below(world.log.len())];
            let before = |v: &Arc<swarmem::domain::entry::Version>| v.time < middle.time;
            let (start, from) = match n % 4 {
                0 => (Start::Now, None),
                1 => (Start::Revision(middle.mark.revision), Some(middle.mark.revision.0 - 1)),
                2 => {
                    let last = world.log.iter().rfind(|v| before(v)).map_or(0, |v| v.mark.revision.0);
                    (Start::Time(middle.time), Some(last))
                }
                _ => (token.clone(), Some(written.mark.revision.0)),
            };
            let (who, wanted) = (anybody(&mut rng), Wanted::random(&mut rng));
            let reader = world.replicas[n % 2].watch(&who, &wanted, start).await;
            readers.push((n % 2, reader, who, wanted, from));
        }
        writers.join_all().await;
        world.read_log().await;
        for (_, reader, who, wanted, from) in &mut readers {
            // A stream says at once where it stands.
            reader.until(|reader| !reader.deliveries.is_empty()).await;
            assert_eq!(reader.deliveries[0].content, Content::Bookmark);
            let stands = reader.deliveries[0].revision.0;
            assert_eq!(from.unwrap_or(stands), stands);
            reader.sees(&world.expected(who, wanted, stands)).await;
        }
        for (replica, mut reader, who, wanted, _) in readers {
            let expected = world.expected(&who, &wanted, reader.deliveries[0].revision.0);
            reader.ends_with(&world.replicas[replica], &expected).await;
        }
    })
    .await;
}

async fn promise_08_atomic(open: Open<'_>) {
    let fragments = std::sync::atomic::AtomicUsize::new(0);
    for_seeds(12, |mut rng| {
        let fragments = &fragments;
        async move {
            let mut world = World::new(open, 1).await;
            let mut readers = Vec::new();
            let mut live = world.replicas[0].watch_all(Start::Now).await;
            for _ in 0..40 {
                // From a few small entries to far more than a response holds, below two prefixes in turn.
                let (entries, bytes) = (1 + rng.below(30), 1 + rng.below(900));
                let place = |n: usize| ["shared/a", "shared/ab"][usize::from(n % 7 > 3)];
                let puts = (0..entries).map(|n| put(place(n), &format!("{n:02}"), &"x".repeat(bytes)));
                world.replicas[0].write(puts.collect()).await;
                if rng.chance(30) {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            world.read_log().await;
            for prefix in ["shared", "shared/a", "shared/ab"] {
                let wanted = Wanted::below(prefix);
                let start = Start::Revision(Revision(1));
                let reader = world.replicas[0].watch(&orchestrator(), &wanted, start).await;
                readers.push((reader, wanted));
            }
            // What was split, and that it comes together again, is checked with what was seen.
            live.sees(&world.log).await;
            for (reader, wanted) in &mut readers {
                reader.sees(&world.expected(&orchestrator(), wanted, 0)).await;
                let flagged = |d: &&_| matches!(d, &&Content::Events { fragment: true, .. });
                let found = reader.deliveries.iter().map(|d| &d.content).filter(flagged).count();
                fragments.fetch_add(found, Ordering::SeqCst);
            }
        }
    })
    .await;
    assert!(fragments.into_inner() > 100, "large revisions were to be split");
}

/// A page of the log that ends with a revision says that there is more, and so does one that ends within it.
async fn a_complete_revision_is_not_flagged(open: Open<'_>) {
    let mut world = World::new(open, 1).await;
    let replica = world.replicas[0].clone();
    for _ in 0..3 {
        // One event is as much as a response holds; then a revision of as many as a page holds.
        replica.write(vec![put("shared/a", "1", &"x".repeat(2_000))]).await;
        replica.write((0..8).map(|n| put("shared/a", &n.to_string(), "")).collect()).await;
        // A revision that is too large, but not where it matches.
        let large = |n: usize| put(["shared/ab", "shared/a"][usize::from(n % 10 == 1)], &n.to_string(), "x");
        replica.write((0..40).map(large).collect()).await;
        let tail =
            |n: usize| put(["shared/a", "shared/ab"][usize::from(n > 5)], &n.to_string(), &"x".repeat(150));
        replica.write((0..20).map(tail).collect()).await;
        for n in 0..7 {
            replica.write(vec![put("shared/ab", &n.to_string(), "")]).await;
        }
        replica.write((0..3).map(|n| put("shared/a", &n.to_string(), "")).collect()).await;
    }
    world.read_log().await;
    for prefix in ["shared", "shared/a", "shared/ab"] {
        let wanted = Wanted::below(prefix);
        let mut reader = replica.watch(&orchestrator(), &wanted, Start::Revision(Revision(1))).await;
        reader.sees(&world.expected(&orchestrator(), &wanted, 0)).await;
    }
}

async fn promise_11_bookmarks(open: Open<'_>) {
    for_seeds(open.seeds(6), |mut rng| async move {
        let mut world = World::new(open, 2).await;
        world.write_at_random(&mut rng, 15).await;
        let (who, wanted) = (orchestrator(), Wanted::below("shared/nothing"));
        let interval = Some(open.scaled(Duration::from_secs(10)));
        let query = swarmem::coordinator::watch::WatchQuery {
            bookmark_interval: interval,
            ..world.replicas[0].query(&wanted, Start::Now)
        };
        let stream = world.replicas[0].coordinator.watch(&who, &world.swarm, query).await.unwrap();
        let mut reader = Reader::of(stream);
        world.write_at_random(&mut rng, 15).await;
        reader.until(|reader| reader.deliveries.len() >= 4).await;
        assert!(reader.deliveries.iter().all(|d| d.content == Content::Bookmark));

        // The bookmark is ahead of everything that was filtered out, so all of that may be compacted.
        world.read_log().await;
        assert_eq!(reader.deliveries.last().unwrap().revision.0, world.newest());
        world.compact(world.newest()).await;
        let mut resumed = world.replicas[1].watch(&who, &wanted, reader.last_token()).await;
        world.replicas[0].write(vec![put("shared/nothing", "1", "something")]).await;
        world.read_log().await;
        let expected = world.expected(&who, &wanted, 0);
        assert_eq!(expected.len(), 1);
        resumed.sees(&expected).await;
        reader.ends_with(&world.replicas[0], &expected).await;
        resumed.ends_with(&world.replicas[1], &expected).await;
        let last = reader.deliveries.last().unwrap();
        assert_eq!(last.revision.0, world.newest());
    })
    .await;
}

async fn promise_13_converges_without_bus(open: Open<'_>) {
    for_seeds(8, |mut rng| async move {
        let bus: Arc<dyn Bus> = match rng.below(2) {
            0 => Arc::new(BrokenBus::default()),
            _ => Arc::new(LossyBus::new(0, Losses::ALL)),
        };
        let mut world = World::over(open, 2, bus).await;
        let (who, wanted) = (anybody(&mut rng), Wanted::random(&mut rng));
        let mut all = world.replicas[1].watch_all(Start::Now).await;
        let mut some = world.replicas[1].watch(&who, &wanted, Start::Now).await;
        for _ in 0..10 {
            // Now fewer revisions than the ring holds, now more.
            let writes = rng.pick(&[1, 3, 30]);
            for _ in 0..writes {
                let (author, request) = super::history::random_write(&mut rng);
                world.replicas[0].submit(&author, request).await.unwrap();
            }
            tokio::time::sleep(POLL).await;
            // The poll is due at the latest now; what it sets off takes no time.
            tokio::time::sleep(Duration::from_millis(1)).await;
            world.read_log().await;
            all.poll();
            some.poll();
            assert_eq!(all.events(), lines(&world.log));
            assert_eq!(some.events(), lines(&world.expected(&who, &wanted, 0)));
        }
    })
    .await;
}
