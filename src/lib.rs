//! swarmem: a memory coordinator for swarms of AI agents.

#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
pub mod lifecycle;
pub mod wire;

#[cfg(feature = "server")]
pub mod api;
#[cfg(feature = "server")]
pub mod bus;
#[cfg(feature = "server")]
pub mod coordinator;
#[cfg(feature = "server")]
pub mod domain;
#[cfg(feature = "server")]
pub mod lifecycle;
#[cfg(feature = "server")]
pub mod store;
