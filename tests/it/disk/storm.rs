//! Faults at random, kills and power cuts in the middle of them, under writers that repeat each request until they know
//! what became of it, and watchers that come back. The promises hold as in the storm of kills.

use tokio::{sync::watch, time::timeout};

use super::{
    Disk, Fault,
    faults::{Call, DATABASE, EIO, ENOSPC, EROFS, LOG},
};
use crate::{
    crash::{SEED, number, random::Random, storm},
    process::{PATIENCE, Server, eventually},
};

const BLOWS: usize = 15;

#[tokio::test]
async fn with_a_disk_that_fails_at_any_moment_it_keeps_its_promises() {
    let seed = number(SEED).unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0);
    let disk = Disk::new();
    let environment = disk.environment();
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, &**value)).collect();
    let (history, violations) = storm(seed, &environment, async |mut server, random, progress| {
        for _ in 0..BLOWS {
            blow(&disk, &mut server, random).await;
            some_writes(progress).await;
        }
        server
    })
    .await;
    assert!(violations.is_empty(), "seed {seed}: {:#?}", &violations[..violations.len().min(20)]);
    assert!(history.writes.len() > BLOWS && disk.hits() >= BLOWS, "hardly anything happened");
}

/// One trouble, and one of the ways in which it may end.
async fn blow(disk: &Disk, server: &mut Server, random: &mut Random) {
    let call = [Call::Write, Call::Sync, Call::Open][random.below(3) as usize];
    let errno = [ENOSPC, EIO, EROFS][random.below(3) as usize];
    let times = [Some(1), Some(1 + random.below(10)), None][random.below(3) as usize];
    let before = disk.hits();
    let fault = Fault { call, file: LOG, errno, skip: random.below(30), times };
    // The log is opened for writing only after some other failure.
    let first = Fault::once(Call::Sync, LOG, EIO, random.below(5));
    let in_database = Fault::always(Call::Write, DATABASE, errno);
    match call {
        Call::Open => disk.fail(&[fault, first, in_database]),
        _ => disk.fail(&[fault, in_database]),
    }
    eventually("a fault", async || (disk.hits() > before).then_some(())).await;
    match random.below(3) {
        0 => disk.heal(),
        1 => {
            server.kill();
            disk.heal();
            server.restart();
        }
        _ => disk.cut_power(server),
    }
}

async fn some_writes(progress: &watch::Sender<u64>) {
    let mut acknowledged = progress.subscribe();
    let goal = *acknowledged.borrow() + 20;
    timeout(PATIENCE, acknowledged.wait_for(|now| *now >= goal)).await.expect("writes go on").unwrap();
}
