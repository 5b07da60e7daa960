//! Loads for a coordinator, and what they cost: how many, how fast, at what price in processor time and memory. Knows
//! coordinators through the client alone, and nothing of how results are printed.
//!
//! The loops take any [`Operation`], so that another system can be driven by the very loop that drives a coordinator.

pub mod audience;
pub mod closed;
pub mod coordinator;
pub mod disk;
pub mod get;
pub mod latency;
pub mod machine;
pub mod material;
pub mod meter;
pub mod paced;
pub mod process;
pub mod put;
pub mod recall;
pub mod row;
pub mod watch;

use std::{future::Future, time::Instant};

/// Something that is done again and again.
pub trait Operation: Send + 'static {
    /// What it comes to.
    type Output: Send + 'static;
    /// Why it could not be done. The first error ends the load.
    type Error: Send + 'static;

    /// Does it once.
    fn run(&mut self) -> impl Future<Output = Result<Self::Output, Self::Error>> + Send;

    /// When what ended last began, if not with the call of [`Operation::run`]: what is pipelined began earlier.
    fn began(&self) -> Option<Instant> {
        None
    }

    /// Waits for what was begun and has not ended, and says how much that was.
    fn finish(&mut self) -> impl Future<Output = Result<u64, Self::Error>> + Send {
        async { Ok(0) }
    }
}
