//! swarmem: a memory coordinator for swarms of AI agents.

#[cfg(feature = "client")]
pub mod client;
pub mod wire;
