//! A bus over Redis: a channel per swarm (ADR 14). Knows nothing of feeds, and nothing of who else listens.
//!
//! What is published goes through `publisher` to the server that `topology` names. `hub` keeps the connections that
//! subscribe, each a `link`; what they hear is decoded and put into the inboxes of `registry`, from which subscriptions
//! take it.

mod connect;
mod counters;
mod hub;
mod link;
mod options;
mod probe;
mod publisher;
mod registry;
mod topology;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::{sync::watch, task::AbortHandle, time::timeout};
use tracing::Instrument as _;
use uuid::Uuid;

pub use self::{
    connect::Trouble,
    options::{Address, Deployment, Login, RedisOptions, Tls},
    probe::{Heard, probe},
};
use self::{
    hub::Hub,
    publisher::Publisher,
    registry::{Inbox, Registry},
};
use super::{Bus, Counts, Message, State, Subscription, codec::Sender};
use crate::domain::{commit::Commit, position::TokenKey, swarm::SwarmId};

/// How long a subscriber waits for the server to confirm; behind it a gap follows.
const CONFIRMATION_PATIENCE: Duration = Duration::from_millis(250);

/// A bus over Redis.
pub struct RedisBus {
    hub: Arc<Hub>,
    publisher: Publisher,
    keeper: AbortHandle,
}

impl RedisBus {
    /// Begins to connect, and does not wait for it. `key` is the secret of the store: messages of other stores, and of
    /// anybody else, are not listened to. Must be called within a runtime; dropping the bus ends its tasks.
    #[must_use]
    pub fn open(options: RedisOptions, key: TokenKey) -> Self {
        choose_cryptography(&options);
        let sender = Sender(Uuid::new_v4().as_u128() as u64);
        let hub = Arc::new(Hub::new(Arc::new(options), key, sender));
        let span = tracing::info_span!("task", task.name = "bus");
        let keeper = tokio::spawn(hub::run(Arc::clone(&hub)).instrument(span)).abort_handle();
        Self { publisher: Publisher::new(Arc::clone(&hub)), hub, keeper }
    }

    /// The braces make all that a swarm has on a cluster belong to one slot.
    fn channel(&self, swarm: &SwarmId) -> Arc<str> {
        format!("{}:{{{swarm}}}", self.hub.options.prefix).into()
    }
}

/// Before anything is encrypted.
fn choose_cryptography(options: &RedisOptions) {
    if options.tls.is_some() {
        // Fails if somebody has chosen already: then that is the choice.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

impl Drop for RedisBus {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

#[async_trait]
impl Bus for RedisBus {
    fn publish(&self, swarm: &SwarmId, commit: &Arc<Commit>) {
        self.publisher.publish(self.channel(swarm), swarm, commit);
    }

    async fn subscribe(&self, swarm: &SwarmId) -> Box<dyn Subscription> {
        let channel = self.channel(swarm);
        let inbox = self.hub.registry.add(&channel, swarm);
        let subscription = RedisSubscription { hub: Arc::clone(&self.hub), channel, inbox };
        let mut state = self.hub.state.subscribe();
        // Whoever begins to watch does not wait for a bus that is down.
        let confirmed = async {
            tokio::select! {
                () = subscription.inbox.confirmed() => {}
                _ = state.wait_for(|state| *state != State::Up) => {}
            }
        };
        let _ = timeout(CONFIRMATION_PATIENCE, confirmed).await;
        subscription.inbox.give_up_waiting();
        Box::new(subscription)
    }

    fn state(&self) -> watch::Receiver<State> {
        self.hub.state.subscribe()
    }

    fn counts(&self) -> Counts {
        self.hub.counters.counts()
    }

    async fn close(&self) {
        self.publisher.close().await;
        self.keeper.abort();
    }
}

struct RedisSubscription {
    hub: Arc<Hub>,
    channel: Arc<str>,
    inbox: Arc<Inbox>,
}

impl RedisSubscription {
    fn registry(&self) -> &Registry {
        &self.hub.registry
    }
}

impl Drop for RedisSubscription {
    fn drop(&mut self) {
        self.registry().remove(&self.channel, &self.inbox);
    }
}

#[async_trait]
impl Subscription for RedisSubscription {
    async fn next(&mut self) -> Message {
        self.inbox.next().await
    }
}
