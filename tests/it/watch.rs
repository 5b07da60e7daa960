//! What watchers are promised, by the promises' numbers, over random histories. Everything is seen from outside: through
//! coordinators, with the store's own log as the oracle.
//!
//! Each case is a plain function over a store; `on_every_store` makes a test of it per backend. Time is paused, so a
//! second costs nothing, and a stream that stalls is found by waiting longer than anything may take.

mod edges;
mod ending;
mod failing;
mod faults;
mod following;
mod gathering;
mod history;
mod pacing;
mod polling;
mod resuming;
mod snapshots;
mod world;

use std::sync::Arc;

use swarmem::{
    domain::time::ManualClock,
    store::{Store, memory::MemoryStore},
};

/// Opens an empty store that reads this clock.
type Open = fn(Arc<ManualClock>) -> Arc<dyn Store>;

fn memory(clock: Arc<ManualClock>) -> Arc<dyn Store> {
    Arc::new(MemoryStore::new(clock))
}

/// Makes a test of each case for each backend.
macro_rules! on_every_store {
    ($($case:ident),+ $(,)?) => {
        mod memory {
            $(#[tokio::test(start_paused = true)]
            async fn $case() {
                super::$case(crate::watch::memory).await;
            })+
        }
    };
}
use on_every_store;
