//! One connection that subscribes: keeps the channels it is told to, asks now and then whether the server is there, and
//! ends at the first trouble. Does not know which channels belong to which server, and never connects twice.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};

use ::redis::{PushInfo, PushKind, RedisError, Value, aio::MultiplexedConnection, cmd, pipe};
use tokio::{
    sync::Notify,
    time::{Instant, MissedTickBehavior, interval_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    connect::{Trouble, connect},
    hub::Hub,
    options::{Address, Deployment},
};

/// Channels that go into one round trip.
const CHANNELS_PER_ROUND: usize = 256;

/// What the connection is to have.
#[derive(Default)]
pub(super) struct Orders {
    /// What is to be done, the last word on each channel: subscribe, or not any more.
    todo: Mutex<HashMap<Arc<str>, bool>>,
    arrived: Notify,
}

impl Orders {
    pub fn give(&self, channel: &Arc<str>, subscribe: bool) {
        self.todo().insert(Arc::clone(channel), subscribe);
        self.arrived.notify_one();
    }

    fn take(&self) -> Vec<(Arc<str>, bool)> {
        let mut todo = self.todo();
        let some: Vec<_> = todo.keys().take(CHANNELS_PER_ROUND).cloned().collect();
        some.into_iter().filter_map(|channel| todo.remove_entry(&channel)).collect()
    }

    fn todo(&self) -> MutexGuard<'_, HashMap<Arc<str>, bool>> {
        self.todo.lock().expect("no holder of this lock panics")
    }
}

/// The words of a deployment: a cluster has channels of its own kind.
#[derive(Clone, Copy)]
pub(super) struct Words {
    pub subscribe: &'static str,
    pub publish: &'static str,
    unsubscribe: &'static str,
    pub sharded: bool,
}

impl Words {
    pub fn of(deployment: &Deployment) -> Self {
        match deployment {
            Deployment::Cluster(_) => Self {
                subscribe: "SSUBSCRIBE",
                publish: "SPUBLISH",
                unsubscribe: "SUNSUBSCRIBE",
                sharded: true,
            },
            _ => Self {
                subscribe: "SUBSCRIBE",
                publish: "PUBLISH",
                unsubscribe: "UNSUBSCRIBE",
                sharded: false,
            },
        }
    }
}

/// Keeps the connection until it breaks, and says why it did.
pub(super) async fn run(hub: Arc<Hub>, address: Arc<Address>, orders: Arc<Orders>) -> Trouble {
    let broken = CancellationToken::new();
    // Channels that this side leaves.
    let leaving = Arc::<Mutex<Vec<Arc<str>>>>::default();
    let on_push = {
        let (hub, broken, leaving) = (Arc::clone(&hub), broken.clone(), Arc::clone(&leaving));
        move |push| take_push(&hub, &broken, &leaving, push)
    };
    let connection = match connect(&hub.options, &address, on_push).await {
        Ok(connection) => connection,
        Err(trouble) => return trouble,
    };
    let mut link =
        Link { words: Words::of(&hub.options.deployment), hub, address, orders, connection, leaving };
    tokio::select! {
        () = broken.cancelled() => Trouble::new(&link.address, "the connection was closed"),
        error = link.keep() => Trouble::of(&link.address, &error),
    }
}

struct Link {
    words: Words,
    hub: Arc<Hub>,
    address: Arc<Address>,
    orders: Arc<Orders>,
    connection: MultiplexedConnection,
    leaving: Arc<Mutex<Vec<Arc<str>>>>,
}

impl Link {
    async fn keep(&mut self) -> RedisError {
        if let Err(error) = self.begin().await {
            return error;
        }
        self.hub.link_is_ready(&self.address);
        let pause = self.hub.options.heartbeat_interval;
        let mut heartbeat = interval_at(Instant::now() + pause, pause);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let done = tokio::select! {
                () = self.orders.arrived.notified() => self.follow_orders().await,
                _ = heartbeat.tick() => self.beat().await,
            };
            if let Err(error) = done {
                return error;
            }
        }
    }

    async fn begin(&mut self) -> Result<(), RedisError> {
        self.follow_orders().await?;
        // A server that does not allow it is not one that works for a moment.
        self.beat().await
    }

    /// Subscribes and unsubscribes until there is nothing left to do.
    async fn follow_orders(&mut self) -> Result<(), RedisError> {
        loop {
            let orders = self.orders.take();
            if orders.is_empty() {
                return Ok(());
            }
            let mut commands = pipe();
            for (channel, subscribe) in &orders {
                let word = if *subscribe { self.words.subscribe } else { self.words.unsubscribe };
                // One channel a command, so that each has one answer.
                commands.cmd(word).arg(&**channel).ignore();
            }
            let leaves = orders.iter().filter(|(_, subscribe)| !subscribe).map(|(c, _)| Arc::clone(c));
            *self.leaving.lock().expect("no holder of this lock panics") = leaves.collect();
            commands.query_async::<()>(&mut self.connection).await?;
            for (channel, _) in orders.iter().filter(|(_, subscribe)| *subscribe) {
                self.hub.registry.confirm(channel);
            }
        }
    }

    /// Asks whether the server is there and still the one that the channels belong to. For that a cluster needs a key:
    /// a node that lost its cluster goes on confirming subscriptions, but not keys.
    async fn beat(&mut self) -> Result<(), RedisError> {
        match self.hub.channel_at(&self.address).filter(|_| self.words.sharded) {
            Some(channel) => cmd("EXISTS").arg(&*channel).query_async::<Value>(&mut self.connection).await,
            None => cmd("PING").query_async::<Value>(&mut self.connection).await,
        }
        .map(drop)
    }
}

fn take_push(hub: &Hub, broken: &CancellationToken, leaving: &Mutex<Vec<Arc<str>>>, push: PushInfo) {
    match push.kind {
        PushKind::Message | PushKind::SMessage => {
            if let [Value::BulkString(channel), Value::BulkString(payload)] = &push.data[..] {
                hub.take_message(channel, payload);
            }
        }
        PushKind::Disconnection => broken.cancel(),
        // The server takes a channel away, because its slot moved. The library counts that as an answer to a command,
        // so nothing that comes over this connection can be trusted from here on.
        PushKind::SUnsubscribe => {
            let leaving = leaving.lock().expect("no holder of this lock panics");
            let is_ours = |channel: &[u8]| leaving.iter().any(|left| left.as_bytes() == channel);
            match push.data.first() {
                Some(Value::BulkString(channel)) if is_ours(channel) => {}
                _ => broken.cancel(),
            }
        }
        _ => {}
    }
}
