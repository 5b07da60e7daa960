//! A bus among the coordinators of one process. Knows nothing of networks.

use std::sync::Arc;

use async_trait::async_trait;
use dashmap::DashMap;
use tokio::sync::{broadcast, watch};

use super::{Bus, Message, State, Subscription};
use crate::domain::{commit::Commit, swarm::SwarmId};

/// How many commits a subscriber may fall behind before it is told of a gap.
const BACKLOG_COMMITS_MAX: usize = 256;

/// A bus in memory.
pub struct LocalBus {
    swarms: DashMap<SwarmId, broadcast::Sender<Arc<Commit>>>,
    /// It always works.
    state: watch::Sender<State>,
}

impl Default for LocalBus {
    fn default() -> Self {
        Self { swarms: DashMap::new(), state: watch::Sender::new(State::Up) }
    }
}

#[async_trait]
impl Bus for LocalBus {
    fn publish(&self, swarm: &SwarmId, commit: &Arc<Commit>) {
        let nobody_listens = match self.swarms.get(swarm) {
            // Sending fails only when nobody listens.
            Some(sender) => sender.send(Arc::clone(commit)).is_err(),
            None => false,
        };
        if nobody_listens {
            self.swarms.remove_if(swarm, |_, sender| sender.receiver_count() == 0);
        }
    }

    async fn subscribe(&self, swarm: &SwarmId) -> Box<dyn Subscription> {
        let sender =
            self.swarms.entry(swarm.clone()).or_insert_with(|| broadcast::channel(BACKLOG_COMMITS_MAX).0);
        Box::new(LocalSubscription(sender.subscribe()))
    }

    fn leaves_the_process(&self) -> bool {
        false
    }

    fn state(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }
}

struct LocalSubscription(broadcast::Receiver<Arc<Commit>>);

#[async_trait]
impl Subscription for LocalSubscription {
    async fn next(&mut self) -> Message {
        match self.0.recv().await {
            Ok(commit) => Message::Commit(commit),
            Err(broadcast::error::RecvError::Lagged(_)) => Message::Gap,
            Err(broadcast::error::RecvError::Closed) => Message::Closed,
        }
    }
}
