//! The contract of a bus: it tells coordinators of each other's commits, fast and without promise. A lost, repeated or
//! late message costs time, never an event: feeds check every message against the log. Knows nothing of feeds.

pub mod codec;
pub mod local;
pub mod redis;

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::domain::{
    commit::Commit,
    swarm::{Incarnation, Mark, SwarmId},
};

/// Carries commits between the coordinators of a store.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Sends a commit to everybody who subscribed to its swarm, the sender perhaps included. Never waits: what cannot be
    /// sent is lost, and counted.
    fn publish(&self, swarm: &SwarmId, commit: &Arc<Commit>);

    /// Starts listening. What is published after this returned is delivered, or a gap in its place. Does not wait for a
    /// bus that is down, and not long for one that is slow.
    async fn subscribe(&self, swarm: &SwarmId) -> Box<dyn Subscription>;

    /// Whether it reaches coordinators of other processes.
    fn leaves_the_process(&self) -> bool {
        true
    }

    /// Whether the bus works. It changes with every interruption, also with one that is over when it is looked at.
    fn state(&self) -> watch::Receiver<State>;

    /// What happened on the bus since it was opened.
    fn counts(&self) -> Counts {
        Counts::default()
    }

    /// Sends what waits to be sent, not for long, and ends. Afterwards what is published is lost.
    async fn close(&self) {}
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
    /// Somebody committed up to here; what exactly stands in the log.
    Moved(Incarnation, Mark),
    /// Something may have been missed.
    Gap,
    /// Nothing will come any more.
    Closed,
}

/// Whether a bus works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Commits arrive as they are published.
    Up,
    /// Commits may be missed, for this reason; it names addresses, and no secrets.
    Down(Arc<str>),
}

/// What happened on a bus since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Commits that were sent, with what they changed or without.
    pub published: u64,
    /// Of those, the ones that were too large: subscribers read them from the log.
    pub fetches: u64,
    /// Commits that were not sent, because the bus was down or slow.
    pub lost: u64,
    /// Messages of other coordinators that arrived.
    pub received: u64,
    /// Messages that could not be read.
    pub unreadable: u64,
    /// Gaps that subscribers were told of.
    pub gaps: u64,
    /// Interruptions.
    pub interruptions: u64,
}
