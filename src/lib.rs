//! swarmem: a memory coordinator for swarms of AI agents.

pub mod wire;
