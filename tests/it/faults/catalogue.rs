//! The faults. Each is done, and lasts as long as it is to last; whatever it leaves broken is mended afterwards.

use std::time::Duration;

use futures_util::future::{FutureExt as _, LocalBoxFuture};

use super::{
    LASTS,
    stand::{Replica, Stand},
};
use crate::{
    client::proxy::{Proxy, Way},
    crash::random::Random,
    process::PATIENCE,
};

/// What can go wrong.
pub struct Fault {
    pub name: &'static str,
    /// What coordinators are set to for it.
    pub settings: &'static [(&'static str, &'static str)],
    pub strike: for<'a> fn(&'a mut Stand, &'a mut Random) -> LocalBoxFuture<'a, ()>,
}

/// So little of the log is kept that compaction has something to do.
const SHORT_LOG: &[(&str, &str)] = &[
    ("SWARMEM_RETENTION_AGE_S", "0"),
    ("SWARMEM_RETENTION_REVISIONS", "300"),
    ("SWARMEM_RETENTION_COMPACTION_INTERVAL_MS", "100"),
];

macro_rules! fault {
    ($name:literal, |$stand:ident, $random:ident| $strike:expr) => {
        fault!($name, &[], |$stand, $random| $strike)
    };
    ($name:literal, $settings:expr, |$stand:ident, $random:ident| $strike:expr) => {
        Fault {
            name: $name,
            settings: $settings,
            strike: |$stand, $random| async move { $strike }.boxed_local(),
        }
    };
}

/// All of them.
pub const FAULTS: &[Fault] = &[
    fault!("coordinators killed", |stand, random| {
        for replica in stand.mortals() {
            replica.kill();
            pause(random, 300).await;
            replica.run();
            pause(random, 500).await;
        }
    }),
    fault!("coordinator stopped", |stand, random| {
        victim(stand, random).server.signal("STOP");
        tokio::time::sleep(Duration::from_secs(5)).await;
    }),
    fault!("rolling restart", |stand, _random| {
        for replica in stand.mortals() {
            replica.server.signal("TERM");
            assert!(replica.server.ended().await.success(), "{}", replica.server.log());
            replica.run();
        }
    }),
    fault!("crash before a commit", |stand, random| {
        // What writes, and ends with the COMMIT: it does not arrive.
        die(victim(stand, random), |replica| &replica.store, Way::Ask, commits).await;
    }),
    fault!("crash behind a commit", |stand, random| {
        // It is done, and the coordinator does not hear of it.
        die(victim(stand, random), |replica| &replica.store, Way::Answer, commits).await;
    }),
    fault!("crash before a publish", |stand, random| {
        die(victim(stand, random), |replica| &replica.bus, Way::Ask, |bytes| has(bytes, b"PUBLISH")).await;
    }),
    fault!("crash in the feed", |stand, random| {
        die(victim(stand, random), |replica| &replica.bus, Way::Answer, |bytes| has(bytes, b"message")).await;
    }),
    fault!("postgres killed", |stand, random| {
        stand.postgres.kill();
        pause(random, 1_000).await;
        stand.postgres.run();
    }),
    fault!("postgres restarted", |stand, random| {
        stand.postgres.stop();
        pause(random, 1_000).await;
        stand.postgres.run();
    }),
    fault!("postgres sessions terminated", |stand, random| {
        for _ in 0..10 {
            stand.postgres.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'swarmem'",
            );
            pause(random, 300).await;
        }
    }),
    fault!("postgres slow commits", |stand, _random| {
        stand.postgres.sql("ALTER SYSTEM SET commit_delay = 100000");
        stand.postgres.sql("ALTER SYSTEM SET commit_siblings = 0");
        stand.postgres.sql("SELECT pg_reload_conf()");
        tokio::time::sleep(LASTS).await;
    }),
    fault!("redis killed", |stand, random| {
        stand.redis.kill();
        stand.redis_runs = false;
        pause(random, 2_000).await;
    }),
    fault!("redis clients killed", |stand, random| {
        for kind in ["pubsub", "normal", "pubsub", "pubsub", "normal"] {
            let _: i64 = stand.redis.ask(&["CLIENT", "KILL", "TYPE", kind]);
            pause(random, 300).await;
        }
    }),
    fault!("redis stopped", |stand, _random| {
        stand.redis.signal("-STOP");
        tokio::time::sleep(LASTS).await;
    }),
    fault!("redis buffer overrun", |stand, random| {
        let limit = "pubsub 20000 20000 1";
        let _: String = stand.redis.ask(&["CONFIG", "SET", "client-output-buffer-limit", limit]);
        // A reader that does not read, until the server gives it up.
        let line = &any(stand, random).bus;
        line.silence(true);
        tokio::time::sleep(LASTS).await;
    }),
    fault!("redis messages meddled with", |stand, _random| {
        for replica in &stand.replicas {
            replica.bus.meddle();
        }
        tokio::time::sleep(LASTS).await;
        for replica in &stand.replicas {
            let counts = replica.bus.meddle().counts();
            assert!(counts.iter().all(|count| *count > 0), "there was nothing to meddle with: {counts:?}");
        }
    }),
    fault!("redis flushed", |stand, random| {
        for _ in 0..5 {
            let _: String = stand.redis.ask(&["FLUSHALL"]);
            pause(random, 300).await;
        }
    }),
    fault!("store line cut", |stand, random| cuts(&any(stand, random).store, random).await),
    fault!("store line delayed", |stand, random| delays(&any(stand, random).store).await),
    fault!("store line half open", |stand, random| swallows(&any(stand, random).store).await),
    fault!("store line silent", |stand, random| silences(&any(stand, random).store).await),
    fault!("bus line cut", |stand, random| cuts(&any(stand, random).bus, random).await),
    fault!("bus line delayed", |stand, random| delays(&any(stand, random).bus).await),
    fault!("bus line half open", |stand, random| swallows(&any(stand, random).bus).await),
    fault!("bus line silent", |stand, random| silences(&any(stand, random).bus).await),
    fault!("client lines cut", |stand, random| cuts(&any(stand, random).clients, random).await),
    fault!("client lines delayed", |stand, random| delays(&any(stand, random).clients).await),
    fault!("client lines half open", |stand, random| swallows(&any(stand, random).clients).await),
    fault!("client lines silent", |stand, random| silences(&any(stand, random).clients).await),
    fault!("crash in compaction", SHORT_LOG, |stand, random| {
        let replica = victim(stand, random);
        let mut sprung = replica.store.trap(Way::Ask, |bytes| has(bytes, b"WITH due AS"));
        // It is named when a connection first needs it, so connections are made anew until one does.
        for _ in 0..20 {
            replica.store.cut();
            if tokio::time::timeout(LASTS, &mut sprung).await.is_ok() {
                break;
            }
        }
        replica.kill();
    }),
    fault!("compaction under slow readers", SHORT_LOG, |stand, _random| {
        for replica in &stand.replicas {
            replica.clients.delay(Duration::from_millis(50));
        }
        tokio::time::sleep(LASTS).await;
    }),
];

/// One that may be done anything to.
fn victim<'a>(stand: &'a mut Stand, random: &mut Random) -> &'a mut Replica {
    let mortals = stand.mortals();
    let place = random.below(mortals.len() as u64);
    &mut mortals[usize::try_from(place).unwrap()]
}

/// One to whose lines something is done.
fn any<'a>(stand: &'a Stand, random: &mut Random) -> &'a Replica {
    let place = random.below(stand.replicas.len() as u64);
    &stand.replicas[usize::try_from(place).unwrap()]
}

async fn pause(random: &mut Random, ms_max: u64) {
    tokio::time::sleep(Duration::from_millis(random.below(ms_max))).await;
}

/// Kills a coordinator when something certain travels on one of its lines; it does not arrive.
async fn die(replica: &mut Replica, line: fn(&Replica) -> &Proxy, way: Way, what: fn(&[u8]) -> bool) {
    let sprung = line(replica).trap(way, what);
    tokio::time::timeout(PATIENCE, sprung).await.expect("the trap springs").unwrap();
    replica.kill();
}

fn has(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

/// The end of a transaction that writes: those that read begin in the same breath.
fn commits(bytes: &[u8]) -> bool {
    has(bytes, b"COMMIT\0") && !has(bytes, b"BEGIN")
}

async fn cuts(line: &Proxy, random: &mut Random) {
    for _ in 0..8 {
        line.cut();
        pause(random, 400).await;
    }
}

async fn delays(line: &Proxy) {
    line.delay(Duration::from_millis(200));
    tokio::time::sleep(LASTS).await;
}

/// Answers vanish; the connections stay.
async fn swallows(line: &Proxy) {
    line.swallow(true);
    tokio::time::sleep(LASTS).await;
}

async fn silences(line: &Proxy) {
    line.silence(true);
    tokio::time::sleep(LASTS).await;
}
