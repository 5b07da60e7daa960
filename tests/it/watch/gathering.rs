//! How writers share commits: behind slow ones a lane waits a little for those it has just answered.

use std::{sync::atomic::Ordering, time::Duration};

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::{
    Open,
    history::put,
    on_every_store,
    world::{Replica, World},
};

on_every_store!(writers_share_slow_commits, nobody_waits_for_those_who_stay_away);

const COMMIT: Duration = Duration::from_millis(20);
const WRITES: usize = 10;

/// Writes one after the other, and takes a moment in between.
async fn writer(replica: Replica, name: usize) {
    for n in 0..WRITES {
        replica.write(vec![put("shared/x", &format!("{name}-{n}"), "x")]).await;
        sleep(Duration::from_millis(1)).await;
    }
}

async fn writers_share_slow_commits(open: Open<'_>) {
    let world = World::new(open, 1).await;
    *world.store.commit_takes.lock().unwrap() = COMMIT;
    // As many as one commit takes. The first comes alone, and the others while it is committed.
    let writers = (0..4).map(|name| {
        let replica = world.replicas[0].clone();
        async move {
            sleep(Duration::from_millis(name as u64)).await;
            writer(replica, name).await;
        }
    });
    join_all(writers).await;
    let commits = world.store.commits.load(Ordering::SeqCst);
    // Without it they would take turns: two commits for each write of a writer.
    assert!(commits <= WRITES + 2, "{commits} commits for {WRITES} writes of each");
}

async fn nobody_waits_for_those_who_stay_away(open: Open<'_>) {
    let world = World::new(open, 1).await;
    *world.store.commit_takes.lock().unwrap() = COMMIT;
    let begun = Instant::now();
    writer(world.replicas[0].clone(), 0).await;
    // Alone, each write takes its commit and no more.
    assert!(begun.elapsed() <= (COMMIT + Duration::from_millis(3)) * WRITES as u32, "{:?}", begun.elapsed());
    // The first is answered and does not come back; the second waits for a quarter of a commit at most.
    let (one, two) = (world.replicas[0].clone(), world.replicas[0].clone());
    let begun = Instant::now();
    let first = async { one.write(vec![put("shared/x", "one", "x")]).await };
    let second = async {
        sleep(Duration::from_millis(1)).await;
        two.write(vec![put("shared/x", "two", "x")]).await
    };
    tokio::join!(first, second);
    assert!(begun.elapsed() <= COMMIT * 2 + COMMIT / 4 + Duration::from_millis(2), "{:?}", begun.elapsed());
}
