//! swarmem: a memory coordinator for swarms of AI agents.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`domain`] | words, rules, and the one function that changes a swarm; pure |
//! | [`store`] | the contract of a store, its codec, and the backends |
//! | [`bus`] | the contract of a bus, and the local one |
//! | [`coordinator`] | lanes, feeds, rings, watches, reads, lifetime |
//! | [`recall`] | mirrors and their ranking: what is known about a question; pure |
//! | [`api`] | gRPC: identity, conversion, errors, one file per service |
//! | [`http`] | figures and probes over plain HTTP |
//! | [`wire`] | the generated protocol |
//! | [`client`] | the Rust client |
//! | [`mod@bench`] | loads, and what they cost |
//! | [`cli`] | the command line |
//! | [`config`] | settings from file, environment and flags |
//! | [`metrics`] | every figure that a coordinator tells of itself |
//! | [`lifecycle`] | tasks, signals, shutdown |
//! | [`app`] | the composition root |

#[cfg(feature = "server")]
pub mod api;
#[cfg(feature = "server")]
pub mod app;
#[cfg(feature = "server")]
pub mod bench;
#[cfg(feature = "server")]
pub mod bus;
#[cfg(feature = "server")]
pub mod cli;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
pub mod coordinator;
#[cfg(feature = "server")]
pub mod domain;
#[cfg(feature = "server")]
pub mod http;
#[cfg(feature = "server")]
pub mod lifecycle;
#[cfg(feature = "server")]
pub mod metrics;
#[cfg(feature = "server")]
pub mod recall;
#[cfg(feature = "server")]
pub mod store;
pub mod wire;
