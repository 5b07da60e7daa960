//! What watchers are promised, by the promises' numbers, over random histories. Everything is seen from outside: through
//! coordinators, with the store's own log as the oracle.
//!
//! Each case is a plain function over a store; `on_every_store` makes a test of it per backend. Time is paused, so a
//! second costs nothing, and a stream that stalls is found by waiting longer than anything may take. Cases with two replicas
//! run over Redis, too, where time is real and nothing is polled: whatever the bus loses without a word stalls.

mod edges;
mod ending;
mod failing;
mod faults;
mod fleet;
mod following;
mod gathering;
mod history;
mod pacing;
mod polling;
mod resuming;
mod snapshots;
mod world;

use std::{sync::Arc, time::Duration};

use swarmem::{
    domain::time::ManualClock,
    store::{Store, memory::MemoryStore},
};

use crate::servers::redis::RedisServer;

/// What a case runs over.
#[derive(Clone, Copy)]
struct Open<'a> {
    /// Opens an empty store that reads this clock.
    store: fn(Arc<ManualClock>) -> Arc<dyn Store>,
    /// Each replica has a bus over this server; none: they share one in memory. A real server needs real time, of which
    /// there is little.
    redis: Option<&'a RedisServer>,
}

impl Open<'_> {
    fn memory() -> Self {
        Self { store: |clock| Arc::new(MemoryStore::new(clock)), redis: None }
    }

    /// As many seeds as there is time for.
    fn seeds(self, seeds: u64) -> u64 {
        if self.redis.is_some() { seeds.div_ceil(6) } else { seeds }
    }

    /// As much time as there is.
    fn scaled(self, time: Duration) -> Duration {
        if self.redis.is_some() { time / 100 } else { time }
    }
}

/// Makes a test of each case for each backend.
macro_rules! on_every_store {
    ($($case:ident),+ $(,)?) => {
        mod memory {
            $(#[tokio::test(start_paused = true)]
            async fn $case() {
                super::$case(crate::watch::Open::memory()).await;
            })+
        }
    };
}
use on_every_store;

/// Makes a test of each case for replicas over a real bus, in real time.
macro_rules! over_redis {
    ($($case:ident),+ $(,)?) => {
        mod over_redis {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                let server = crate::servers::redis::RedisServer::start();
                super::$case(crate::watch::Open { redis: Some(&server), ..crate::watch::Open::memory() }).await;
            })+
        }
    };
}
use over_redis;
