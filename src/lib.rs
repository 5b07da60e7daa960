//! swarmem: a memory coordinator for swarms of AI agents.

#[cfg(feature = "server")]
pub mod cli;
#[cfg(feature = "client")]
pub mod client;
pub mod wire;
