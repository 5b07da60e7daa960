//! swarmem: a memory coordinator for swarms of AI agents.

#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
pub mod lifecycle;
pub mod wire;
