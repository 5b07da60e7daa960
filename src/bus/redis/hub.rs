//! Keeps the subscribing connections: one for each server that has a channel somebody listens to, and at least one. Finds
//! the servers again after trouble, and says whether the bus works. Does not know what messages mean to subscribers.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    task::{AbortHandle, JoinSet},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use super::{
    connect::Trouble,
    counters::Counters,
    link::{self, Orders},
    options::{Address, Deployment, RedisOptions},
    registry::Registry,
    topology::{Scout, Topology},
};
use crate::{
    bus::{
        Message, State,
        codec::{self, Decoded, Sender},
    },
    domain::{position::TokenKey, swarm::SwarmId},
};

/// The first pause behind a failure.
const RETRY_PAUSE_MIN: Duration = Duration::from_millis(20);

/// How long nothing more is said of messages that cannot be read.
const COMPLAINT_PAUSE: Duration = Duration::from_secs(60);

/// What the connections of a bus share.
pub(super) struct Hub {
    pub options: Arc<RedisOptions>,
    pub key: TokenKey,
    pub sender: Sender,
    pub registry: Registry,
    pub counters: Arc<Counters>,
    pub state: watch::Sender<State>,
    pub topology: watch::Sender<Option<Arc<Topology>>>,
    /// The topology may not be right any more.
    pub doubt: Notify,
    links: Mutex<HashMap<Arc<Address>, Place>>,
    /// A connection has come to where it follows.
    ready: Notify,
    /// When it was said last that messages cannot be read.
    complained: Mutex<Option<Instant>>,
}

/// A connection, and the channels that it is to have.
struct Place {
    orders: Arc<Orders>,
    channels: HashSet<Arc<str>>,
    task: AbortHandle,
    ready: bool,
}

impl Hub {
    pub fn new(options: Arc<RedisOptions>, key: TokenKey, sender: Sender) -> Self {
        let counters = Arc::<Counters>::default();
        let (messages_max, bytes_max) = (options.backlog_messages_max, options.backlog_bytes_max);
        let topology = match &options.deployment {
            Deployment::Single(address) => Some(Arc::new(Topology::of_one(address.clone()))),
            _ => None,
        };
        Self {
            options,
            key,
            sender,
            registry: Registry::new(messages_max, bytes_max, Arc::clone(&counters)),
            counters,
            state: watch::Sender::new(State::Down("not connected yet".into())),
            topology: watch::Sender::new(topology),
            doubt: Notify::new(),
            links: Mutex::default(),
            ready: Notify::new(),
            complained: Mutex::default(),
        }
    }

    /// A connection has subscribed to what it was to begin with.
    pub fn link_is_ready(&self, address: &Arc<Address>) {
        if let Some(place) = self.links().get_mut(address) {
            place.ready = true;
        }
        self.ready.notify_one();
    }

    /// One of the channels that a connection has.
    pub fn channel_at(&self, address: &Arc<Address>) -> Option<Arc<str>> {
        self.links().get(address)?.channels.iter().next().cloned()
    }

    /// A message came.
    pub fn take_message(&self, channel: &[u8], payload: &[u8]) {
        let Ok(channel) = std::str::from_utf8(channel) else { return };
        let Some(swarm) = self.registry.swarm(channel) else { return };
        let message = match codec::decode(&self.key, self.sender, &swarm, payload) {
            Some(Decoded::Own) => return,
            Some(Decoded::Commit(commit)) => Message::Commit(Arc::new(commit)),
            Some(Decoded::Fetch(incarnation, mark)) => Message::Moved(incarnation, mark),
            None => {
                Counters::add(&self.counters.unreadable, 1);
                self.complain(&swarm);
                Message::Gap
            }
        };
        if !matches!(message, Message::Gap) {
            Counters::add(&self.counters.received, 1);
        }
        self.registry.deliver(channel, &message, payload.len());
    }

    /// Says that messages cannot be read, no more often than somebody wants to read that.
    fn complain(&self, swarm: &SwarmId) {
        let mut complained = self.complained.lock().expect("no holder of this lock panics");
        if complained.is_some_and(|then| then.elapsed() < COMPLAINT_PAUSE) {
            return;
        }
        *complained = Some(Instant::now());
        drop(complained);
        let unreadable = self.counters.counts().unreadable;
        tracing::warn!(
            swarm.id = %swarm,
            unreadable,
            prefix = self.options.prefix,
            "messages on the bus cannot be read, and are not believed: they are of coordinators over another database, of \
             a newer version, or of somebody else; give each fleet a bus.prefix of its own"
        );
    }

    fn links(&self) -> std::sync::MutexGuard<'_, HashMap<Arc<Address>, Place>> {
        self.links.lock().expect("no holder of this lock panics")
    }
}

/// A connection that ended.
struct Ended {
    address: Arc<Address>,
    /// Its own: there may be another one to the same server by now.
    orders: Arc<Orders>,
    why: Trouble,
}

/// Runs until it is dropped, and its connections with it.
pub(super) async fn run(hub: Arc<Hub>) {
    let scout = Scout::new(Arc::clone(&hub.options));
    let mut keeper = Keeper {
        hub,
        scout,
        tasks: JoinSet::new(),
        homeless: HashSet::new(),
        // The topology has to be asked for before anything else.
        retry: Some(Instant::now()),
        failures: 0,
        works_since: Instant::now(),
    };
    keeper.run().await;
}

struct Keeper {
    hub: Arc<Hub>,
    scout: Scout,
    tasks: JoinSet<Ended>,
    /// Channels that somebody listens to and no connection has.
    homeless: HashSet<Arc<str>>,
    /// When to look for the servers again.
    retry: Option<Instant>,
    /// How often in a row that was needed,
    failures: u32,
    /// and since when it was not.
    works_since: Instant,
}

impl Keeper {
    async fn run(&mut self) {
        let mut regularly = interval(self.hub.options.heartbeat_interval);
        regularly.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let hub = Arc::clone(&self.hub);
        let may_move = !matches!(hub.options.deployment, Deployment::Single(_));
        loop {
            let retry = self.retry;
            tokio::select! {
                () = hub.registry.changed.notified() => self.follow_interest(),
                () = hub.ready.notified() => {}
                Some(ended) = self.tasks.join_next() => self.take_ended(ended),
                () = sleep_until(retry.unwrap_or_else(Instant::now)), if retry.is_some() => self.look().await,
                () = hub.doubt.notified(), if may_move && retry.is_none() => self.look().await,
                _ = regularly.tick(), if may_move && retry.is_none() => self.look().await,
            }
            self.judge();
        }
    }

    /// Gives new channels to their connections, and takes those that nobody listens to.
    fn follow_interest(&mut self) {
        for (channel, wanted) in self.hub.registry.take_changed() {
            self.homeless.remove(&channel);
            if wanted {
                self.settle(channel);
            } else {
                for place in self.hub.links().values_mut() {
                    if place.channels.remove(&channel) {
                        place.orders.give(&channel, false);
                    }
                }
            }
        }
    }

    /// Gives a channel to the connection to its server.
    fn settle(&mut self, channel: Arc<str>) {
        let topology = self.hub.topology.borrow().clone();
        let Some(address) = topology.and_then(|topology| topology.of(&channel).cloned()) else {
            self.homeless.insert(channel);
            return;
        };
        // While one is waited for, no other is tried: it may be the same that just failed.
        if self.retry.is_some() && !self.hub.links().contains_key(&address) {
            self.homeless.insert(channel);
            return;
        }
        self.link_to(&address);
        if let Some(place) = self.hub.links().get_mut(&address) {
            place.channels.insert(Arc::clone(&channel));
            place.orders.give(&channel, true);
        }
    }

    fn link_to(&mut self, address: &Arc<Address>) {
        let mut links = self.hub.links();
        if links.contains_key(address) {
            return;
        }
        let orders = Arc::<Orders>::default();
        let task = {
            let (hub, address, orders) = (Arc::clone(&self.hub), Arc::clone(address), Arc::clone(&orders));
            self.tasks.spawn(async move {
                let why = link::run(hub, Arc::clone(&address), Arc::clone(&orders)).await;
                Ended { address, orders, why }
            })
        };
        links.insert(Arc::clone(address), Place { orders, channels: HashSet::new(), task, ready: false });
    }

    fn take_ended(&mut self, ended: Result<Ended, tokio::task::JoinError>) {
        // An aborted one was let go, and its channels with it.
        let Ok(Ended { address, orders, why }) = ended else { return };
        let lost = match self.hub.links().entry(address) {
            Entry::Occupied(place) if Arc::ptr_eq(&place.get().orders, &orders) => place.remove(),
            _ => return,
        };
        for channel in lost.channels {
            self.hub.registry.interrupt(&channel);
            self.homeless.insert(channel);
        }
        self.fail(&why);
    }

    fn fail(&mut self, trouble: &Trouble) {
        let was = self.hub.state.send_replace(State::Down(trouble.to_string().into()));
        if was == State::Up {
            // One that comes and goes is not tried ever again without a pause.
            if self.works_since.elapsed() >= self.hub.options.retry_pause_max {
                self.failures = 0;
            }
            Counters::add(&self.hub.counters.interruptions, 1);
            tracing::warn!(%trouble, "the bus is down; watchers of other coordinators' writes wait for the poll");
        } else if self.failures == 0 {
            tracing::warn!(%trouble, "the bus is not there; watchers of other coordinators' writes wait for the poll");
        }
        let pause = RETRY_PAUSE_MIN.saturating_mul(1 << self.failures.min(10));
        self.failures = self.failures.saturating_add(1);
        self.retry = Some(Instant::now() + jittered(pause.min(self.hub.options.retry_pause_max)));
    }

    /// Finds out where the servers are, and moves what is not where it belongs.
    async fn look(&mut self) {
        let found = self.scout.look().await;
        self.retry = None;
        match found {
            Ok(topology) => self.follow(&Arc::new(topology)),
            // Whoever knows the servers is not there, but they are.
            Err(trouble) if self.works() => tracing::debug!(%trouble, "the topology is not known"),
            Err(trouble) => self.fail(&trouble),
        }
    }

    fn works(&self) -> bool {
        let links = self.hub.links();
        self.retry.is_none()
            && self.homeless.is_empty()
            && !links.is_empty()
            && links.values().all(|place| place.ready)
    }

    fn follow(&mut self, topology: &Arc<Topology>) {
        self.hub.topology.send_if_modified(|known| {
            let is_new = known.as_ref() != Some(topology);
            if is_new {
                *known = Some(Arc::clone(topology));
            }
            is_new
        });
        // What has no place any more, or another one.
        let mut moved = std::mem::take(&mut self.homeless);
        self.hub.links().retain(|address, place| {
            let (stay, go) = std::mem::take(&mut place.channels)
                .into_iter()
                .partition(|channel| topology.of(channel) == Some(address));
            place.channels = stay;
            let go: HashSet<Arc<str>> = go;
            go.iter().for_each(|channel| place.orders.give(channel, false));
            moved.extend(go);
            let stays = topology.has(address);
            if !stays {
                place.task.abort();
            }
            stays
        });
        for channel in moved {
            self.hub.registry.interrupt(&channel);
            if self.hub.registry.is_wanted(&channel) {
                self.settle(channel);
            }
        }
        // One at least, to know whether the bus works before anybody needs it.
        if self.hub.links().is_empty()
            && let Some(address) = topology.any()
        {
            self.link_to(address);
        }
        if self.retry.is_none() && !self.homeless.is_empty() {
            self.fail(&Trouble::new("redis", "a part of the cluster has no server"));
        }
    }

    /// Says whether the bus works now.
    fn judge(&mut self) {
        if !self.works() {
            return;
        }
        let was_down = self.hub.state.send_if_modified(|state| {
            let was_down = *state != State::Up;
            *state = State::Up;
            was_down
        });
        if was_down {
            self.works_since = Instant::now();
            tracing::info!("the bus works");
        }
    }
}

/// Between half of it and all of it, so that coordinators do not come back in step.
fn jittered(pause: Duration) -> Duration {
    let random = uuid::Uuid::new_v4().as_u128() as u32;
    pause.mul_f64(0.5 + 0.5 * f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn messages_that_cannot_be_read_are_told_of_once_a_minute() {
        let options = RedisOptions::single(Address { host: "redis".into(), port: 1 });
        let hub = Hub::new(Arc::new(options), TokenKey::new([7; 32]), Sender(1));
        let channel: Arc<str> = "swarmem:{a}".into();
        let _inbox = hub.registry.add(&channel, &SwarmId::trusted("a"));
        let told = || *hub.complained.lock().unwrap();
        assert_eq!(told(), None);
        let begun = Instant::now();
        for passed_s in [0, 1, 59, 60, 61, 119] {
            tokio::time::advance(begun + Duration::from_secs(passed_s) - Instant::now()).await;
            hub.take_message(channel.as_bytes(), b"of another store");
            let minute = Duration::from_secs(passed_s / 60 * 60);
            assert_eq!(told(), Some(begun + minute), "{passed_s} s");
        }
        assert_eq!(hub.counters.counts().unreadable, 6);
    }
}
