//! What watchers are promised, by the promises' numbers, over random histories. Everything is seen from outside: through
//! coordinators, with the store's own log as the oracle.
//!
//! Each case is a plain function over a store; `on_every_store` makes a test of it per backend. Time is paused, so a
//! second costs nothing, and a stream that stalls is found by waiting longer than anything may take. Cases with two replicas
//! run over real servers, too, where time is real. Over Redis nothing is polled: whatever the bus loses without a word
//! stalls. Over PostgreSQL alone there is no bus between replicas: whatever a poll does not find stalls.

mod edges;
mod ending;
mod failing;
pub mod faults;
mod fleet;
mod following;
mod gathering;
pub mod history;
mod pacing;
mod polling;
mod resuming;
mod silence;
mod snapshots;
mod world;

use std::{sync::Arc, time::Duration};

use swarmem::{
    domain::time::ManualClock,
    store::{
        Store,
        memory::MemoryStore,
        postgres::{PostgresOptions, PostgresStore},
    },
};

use crate::servers::{postgres::Database, redis::RedisServer};

/// What a case runs over.
#[derive(Clone, Copy)]
struct Open<'a> {
    /// The store is here; none: in memory.
    postgres: Option<&'a Database>,
    /// Each replica has a bus over this server; none: they share one in memory, unless the store is a real one.
    redis: Option<&'a RedisServer>,
}

impl Open<'_> {
    fn memory() -> Self {
        Self { postgres: None, redis: None }
    }

    /// An empty store that reads this clock.
    async fn store(self, clock: Arc<ManualClock>) -> Arc<dyn Store> {
        let Some(database) = self.postgres else { return Arc::new(MemoryStore::new(clock)) };
        database.clear();
        let options = PostgresOptions { clock: Some(clock), ..PostgresOptions::new(database.url()) };
        Arc::new(PostgresStore::open(options).await.unwrap())
    }

    /// Real servers need real time, of which there is little.
    fn is_real(self) -> bool {
        self.postgres.is_some() || self.redis.is_some()
    }

    /// As many seeds as there is time for.
    fn seeds(self, seeds: u64) -> u64 {
        if self.is_real() { seeds.div_ceil(6) } else { seeds }
    }

    /// As much time as there is.
    fn scaled(self, time: Duration) -> Duration {
        if self.is_real() { time / 100 } else { time }
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

/// Makes a test of each case for two replicas over each set of real servers, in real time.
macro_rules! over_fleets {
    ($($case:ident),+ $(,)?) => {
        mod over_redis {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                let redis = crate::servers::redis::RedisServer::start();
                super::$case(crate::watch::Open { postgres: None, redis: Some(&redis) }).await;
            })+
        }
        mod over_postgres_and_redis {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                let redis = crate::servers::redis::RedisServer::start();
                let database = crate::servers::postgres::Database::new();
                super::$case(crate::watch::Open { postgres: Some(&database), redis: Some(&redis) }).await;
            })+
        }
        mod over_postgres_alone {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                let database = crate::servers::postgres::Database::new();
                super::$case(crate::watch::Open { postgres: Some(&database), redis: None }).await;
            })+
        }
    };
}
use over_fleets;
