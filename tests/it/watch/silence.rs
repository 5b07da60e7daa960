//! Promise 16 to the millisecond, while a store says nothing or only that it fails: when services stop serving, and who
//! waits for it.

use std::{sync::atomic::Ordering, time::Duration};

use futures_util::future::join_all;
use swarmem::{
    api::HealthBoard,
    coordinator::{
        Error,
        read::{Consistency, ListQuery, View},
        watch::Start,
    },
    domain::{position::Arguments, query::Filter, swarm::SwarmId},
};
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    Open,
    faults::SILENCE,
    history::{Wanted, orchestrator, path, put},
    on_every_store,
    world::{BACKFILLS, World},
};

on_every_store!(
    promise_16_memory_is_served_until_three_seconds_after_the_last_answer,
    promise_16_a_stale_read_does_not_wait_for_a_store_that_is_silent,
    watches_that_are_opened_at_once_take_turns,
);

const FAILING_MAX: Duration = Duration::from_secs(3);
/// So long that a store that is back is noticed.
const A_WHILE: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(2);

fn said(error: Error) -> String {
    format!("{error:?}")
}

async fn promise_16_memory_is_served_until_three_seconds_after_the_last_answer(open: Open<'_>) {
    let world = World::new(open, 1).await;
    let (coordinator, board) = (&world.replicas[0].coordinator, HealthBoard::default());
    board.probe(coordinator).await;
    tokio::spawn(board.clone().keep(coordinator.clone(), world.replicas[0].lifecycle.clone()));
    // At any time between two probes.
    for ms in (0..2_000).step_by(70) {
        sleep(A_WHILE + Duration::from_millis(ms)).await;
        assert!(board.serves_memory());
        // Not in step with the probes.
        coordinator.swarm(&world.swarm).await.unwrap();
        let answered = coordinator.answered();
        match ms % 20 {
            0 => world.store.silent.store(true, Ordering::SeqCst),
            _ => world.store.fails_percent.store(100, Ordering::SeqCst),
        }
        sleep_until(answered + FAILING_MAX - TICK).await;
        assert!(board.serves_memory(), "cut off {ms} ms later");
        assert_eq!(coordinator.answered(), answered);
        sleep_until(answered + FAILING_MAX + TICK).await;
        assert!(!board.serves_memory(), "cut off {ms} ms later");
        assert!(coordinator.figures().contains("swarmem_store_up 0\n"));
        sleep(A_WHILE).await;
        assert!(!board.serves_memory());
        world.store.silent.store(false, Ordering::SeqCst);
        world.store.fails_percent.store(0, Ordering::SeqCst);
    }
}

async fn promise_16_a_stale_read_does_not_wait_for_a_store_that_is_silent(open: Open<'_>) {
    let world = World::new(open, 1).await;
    let (replica, caller) = (&world.replicas[0], orchestrator());
    replica.write(vec![put("shared/a", "k", "there")]).await;
    let read = async |consistency| {
        let (begun, paths) = (Instant::now(), vec![path("shared/a", "k")]);
        let read = replica.coordinator.entries(&caller, &world.swarm, paths, consistency).await;
        let content = read.map(|read| read.value[0].as_ref().unwrap().body.content.to_string());
        (content.map_err(said), begun.elapsed())
    };
    let there = Ok("there".to_owned());
    assert_eq!(read(Consistency::StaleOk).await.0, there);
    world.store.silent.store(true, Ordering::SeqCst);
    assert_eq!(read(Consistency::StaleOk).await, (Err(said(Error::NotCached)), SILENCE), "nobody knew");
    for _ in 0..10 {
        assert_eq!(read(Consistency::StaleOk).await, (Err(said(Error::NotCached)), Duration::ZERO));
        let query = ListQuery {
            filter: Filter::default(),
            view: View::Full,
            page_size: 1,
            page_token: None,
            consistency: Consistency::StaleOk,
            arguments: Arguments::default(),
        };
        let begun = Instant::now();
        let listed = replica.coordinator.list(&caller, &world.swarm, query).await;
        assert_eq!((listed.err().map(said), begun.elapsed()), (Some(said(Error::NotCached)), Duration::ZERO));
        assert_eq!(read(Consistency::Strong).await, (Err(said(Error::Unavailable)), SILENCE));
    }
    world.store.silent.store(false, Ordering::SeqCst);
    sleep(A_WHILE).await;
    assert_eq!(read(Consistency::StaleOk).await.0, there);
}

async fn watches_that_are_opened_at_once_take_turns(open: Open<'_>) {
    let world = World::new(open, 1).await;
    let (replica, caller) = (&world.replicas[0], orchestrator());
    let names: Vec<_> = (0..50).map(|n| SwarmId::trusted(&format!("swarm-{n}"))).collect();
    for name in &names {
        let retention = replica.coordinator.default_retention();
        replica.coordinator.create_swarm(&caller, name, retention).await.unwrap();
    }
    let open = async || {
        let query = || replica.query(&Wanted::default(), Start::Now);
        join_all(names.iter().map(|name| replica.coordinator.watch(&caller, name, query()))).await
    };
    world.store.silent.store(true, Ordering::SeqCst);
    let begun = Instant::now();
    assert!(open().await.into_iter().all(|opened| matches!(opened.err(), Some(Error::Unavailable))));
    // Those that came behind the first had not to wait for what these had waited for.
    assert!(begun.elapsed() <= 2 * SILENCE, "{:?}", begun.elapsed());
    // The poll and the expiry ask as well.
    let at_once = world.store.waiting_max.load(Ordering::SeqCst);
    assert!((BACKFILLS..=BACKFILLS + 2).contains(&at_once), "{at_once} at once");
    world.store.silent.store(false, Ordering::SeqCst);
    sleep(A_WHILE).await;
    assert!(open().await.into_iter().all(|opened| opened.is_ok()));
}
