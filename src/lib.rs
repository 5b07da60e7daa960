//! swarmem: a memory coordinator for swarms of AI agents.

pub mod wire;

#[cfg(feature = "server")]
pub mod domain;
#[cfg(feature = "server")]
pub mod store;
