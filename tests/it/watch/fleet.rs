//! Two replicas over Redis while Redis breaks: promise 16, as far as watchers see it.

use std::{sync::atomic::Ordering, time::Duration};

use swarmem::coordinator::watch::Start;

use super::{
    Open,
    history::{Rng, for_seeds, put},
    world::World,
};
use crate::{process::eventually, servers::redis::RedisServer};

/// Whoever writes does not notice, whoever watches misses nothing, and sees it within the shorter interval of the poll:
/// the usual one is an hour here.
#[tokio::test(flavor = "multi_thread")]
async fn promise_16_a_bus_that_comes_and_goes() {
    for_seeds(3, |mut rng: Rng| async move {
        let mut server = RedisServer::start();
        let mut world = World::new(Open { redis: Some(&server), ..Open::memory() }, 2).await;
        let [here, there] = [world.replicas[0].clone(), world.replicas[1].clone()];
        let mut readers = [here.watch_all(Start::Now).await, there.watch_all(Start::Now).await];
        world.write_at_random(&mut rng, 30).await;
        for _ in 0..2 {
            let before = world.start_writers(&mut rng, 90);
            tokio::time::sleep(Duration::from_millis(rng.next() % 30)).await;
            server.kill();
            before.join_all().await;
            world.write_at_random(&mut rng, 30).await;
            for reader in &mut readers {
                reader.sees(&world.log).await;
            }
            let after = world.start_writers(&mut rng, 90);
            tokio::time::sleep(Duration::from_millis(rng.next() % 30)).await;
            server.run();
            after.join_all().await;
            world.read_log().await;
            for reader in &mut readers {
                reader.sees(&world.log).await;
            }
        }
        // The poll is back at its hour: what arrives now came over the bus.
        let polls = || world.store.polls.load(Ordering::SeqCst);
        eventually("nothing is polled", async || {
            let before = polls();
            tokio::time::sleep(Duration::from_millis(300)).await;
            (polls() == before).then_some(())
        })
        .await;
        here.write(vec![put("shared/a", "1", "over the bus")]).await;
        world.read_log().await;
        readers[1].sees(&world.log).await;
    })
    .await;
}
