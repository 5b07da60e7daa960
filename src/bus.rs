//! The contract of a bus: it tells coordinators of each other's commits, fast and without promise. A lost, repeated or
//! late message costs time, never an event: feeds check every message against the log. Knows nothing of feeds.

pub mod local;

use std::sync::Arc;

use async_trait::async_trait;

use crate::domain::{commit::Commit, swarm::SwarmId};

/// Carries commits between the coordinators of a store.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Sends a commit to everybody who subscribed to its swarm, the sender perhaps included.
    async fn publish(&self, swarm: &SwarmId, commit: &Arc<Commit>) -> Result<(), Error>;

    /// Starts listening. What is published after this returned is delivered, or a gap in its place.
    async fn subscribe(&self, swarm: &SwarmId) -> Result<Box<dyn Subscription>, Error>;
}

/// A subscription; dropping it ends it.
#[async_trait]
pub trait Subscription: Send {
    /// The next message. Cancel-safe: a dropped call loses nothing.
    async fn next(&mut self) -> Message;
}

/// What a subscriber hears.
#[derive(Clone, Debug)]
pub enum Message {
    /// Somebody committed this.
    Commit(Arc<Commit>),
    /// Something may have been missed.
    Gap,
    /// Nothing will come any more.
    Closed,
}

/// The bus does not work at the moment.
#[derive(Debug, thiserror::Error)]
#[error("the bus is unavailable: {0}")]
pub struct Error(#[source] pub Box<dyn std::error::Error + Send + Sync>);
