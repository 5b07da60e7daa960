//! Sends commits, each server's in a queue of its own, so that nobody who publishes ever waits. Does not know who
//! listens.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
};

use ::redis::{RedisError, aio::MultiplexedConnection, pipe};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, timeout},
};

use super::{
    connect::{Trouble, connect},
    counters::Counters,
    hub::Hub,
    link::Words,
    options::Address,
};
use crate::{
    bus::{State, codec},
    domain::{commit::Commit, swarm::SwarmId},
};

/// Commits that go into one round trip.
const COMMITS_PER_ROUND: usize = 64;

/// A commit that waits to be sent.
struct Outgoing {
    channel: Arc<str>,
    swarm: SwarmId,
    what: What,
}

enum What {
    /// With its changes, which weigh so much.
    Commit(Arc<Commit>, usize),
    /// Already encoded: only that it happened.
    Fetch(Vec<u8>),
}

/// The queues to all servers.
pub(super) struct Publisher {
    hub: Arc<Hub>,
    queues: Mutex<Queues>,
    waiting_bytes: Arc<AtomicUsize>,
}

#[derive(Default)]
struct Queues {
    by_server: HashMap<Arc<Address>, mpsc::Sender<Outgoing>>,
    tasks: JoinSet<()>,
    closed: bool,
}

impl Publisher {
    pub fn new(hub: Arc<Hub>) -> Self {
        Self { hub, queues: Mutex::default(), waiting_bytes: Arc::default() }
    }

    /// Puts a commit into the queue of its server; loses it if there is no room, or no server.
    pub fn publish(&self, channel: Arc<str>, swarm: &SwarmId, commit: &Arc<Commit>) {
        let topology = self.hub.topology.borrow().clone();
        let Some(address) = topology.and_then(|topology| topology.of(&channel).cloned()) else {
            return Counters::add(&self.hub.counters.lost, 1);
        };
        let Some(queue) = self.queue_to(&address) else {
            return Counters::add(&self.hub.counters.lost, 1);
        };
        let outgoing = Outgoing { channel, swarm: swarm.clone(), what: self.admit(swarm, commit) };
        if let Err(refused) = queue.try_send(outgoing) {
            let (mpsc::error::TrySendError::Full(outgoing) | mpsc::error::TrySendError::Closed(outgoing)) =
                refused;
            self.waiting_bytes.fetch_sub(outgoing.weight(), Ordering::Relaxed);
            Counters::add(&self.hub.counters.lost, 1);
        }
    }

    /// What of the commit may wait: its changes only if they are small enough to be sent, and few others wait.
    fn admit(&self, swarm: &SwarmId, commit: &Arc<Commit>) -> What {
        let options = &self.hub.options;
        let weight = codec::weight(commit);
        if codec::may_fit(weight, options.payload_bytes_max) {
            let waiting = self.waiting_bytes.fetch_add(weight, Ordering::Relaxed);
            if waiting.saturating_add(weight) <= options.queue_bytes_max {
                return What::Commit(Arc::clone(commit), weight);
            }
            self.waiting_bytes.fetch_sub(weight, Ordering::Relaxed);
        }
        What::Fetch(codec::encode_fetch(&self.hub.key, self.hub.sender, swarm, commit))
    }

    fn queue_to(&self, address: &Arc<Address>) -> Option<mpsc::Sender<Outgoing>> {
        let mut queues = self.queues();
        if queues.closed {
            return None;
        }
        if let Some(queue) = queues.by_server.get(address) {
            return Some(queue.clone());
        }
        // Servers that are gone take nothing any more.
        if let Some(topology) = &*self.hub.topology.borrow() {
            queues.by_server.retain(|address, _| topology.has(address));
        }
        let (queue, waiting) = mpsc::channel(self.hub.options.queue_commits_max);
        let sending = Sending {
            hub: Arc::clone(&self.hub),
            address: Arc::clone(address),
            waiting_bytes: Arc::clone(&self.waiting_bytes),
            connection: None,
            not_before: Instant::now(),
            state: self.hub.state.subscribe(),
            works: true,
        };
        queues.tasks.spawn(sending.run(waiting));
        queues.by_server.insert(Arc::clone(address), queue.clone());
        Some(queue)
    }

    /// Sends what waits, unless that takes too long, and takes nothing more.
    pub async fn close(&self) {
        let mut tasks = {
            let mut queues = self.queues();
            queues.closed = true;
            queues.by_server.clear();
            std::mem::take(&mut queues.tasks)
        };
        let patience = self.hub.options.response_timeout;
        let _ = timeout(patience, async { while tasks.join_next().await.is_some() {} }).await;
    }

    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().expect("no holder of this lock panics")
    }
}

impl Outgoing {
    fn weight(&self) -> usize {
        match &self.what {
            What::Commit(_, weight) => *weight,
            What::Fetch(_) => 0,
        }
    }
}

/// The way to one server.
struct Sending {
    hub: Arc<Hub>,
    address: Arc<Address>,
    waiting_bytes: Arc<AtomicUsize>,
    connection: Option<MultiplexedConnection>,
    /// Behind a failure everything is lost until then: it would be of no use later, when the log has been read.
    not_before: Instant,
    /// Unless the bus has changed since, which may be its recovery.
    state: watch::Receiver<State>,
    /// Whether the last attempt did, so that each change is logged once.
    works: bool,
}

impl Sending {
    async fn run(mut self, mut waiting: mpsc::Receiver<Outgoing>) {
        let mut round = Vec::with_capacity(COMMITS_PER_ROUND);
        while waiting.recv_many(&mut round, COMMITS_PER_ROUND).await > 0 {
            let weight: usize = round.iter().map(Outgoing::weight).sum();
            let commits = round.len();
            let sent = self.send(std::mem::take(&mut round)).await;
            self.waiting_bytes.fetch_sub(weight, Ordering::Relaxed);
            self.account(commits, sent);
        }
    }

    /// Sends one round; says how many of it were to be fetched.
    async fn send(&mut self, round: Vec<Outgoing>) -> Result<usize, Option<Trouble>> {
        if Instant::now() < self.not_before && !self.state.has_changed().unwrap_or(false) {
            return Err(None);
        }
        let word = Words::of(&self.hub.options.deployment).publish;
        let (mut commands, mut fetches) = (pipe(), 0);
        for Outgoing { channel, swarm, what } in &round {
            let (hub, bytes_max) = (&self.hub, self.hub.options.payload_bytes_max);
            let whole = match what {
                What::Commit(commit, _) => codec::encode(&hub.key, hub.sender, swarm, commit, bytes_max),
                What::Fetch(_) => None,
            };
            fetches += usize::from(whole.is_none());
            let message = match (whole, what) {
                (Some(message), _) => message,
                (None, What::Commit(commit, _)) => codec::encode_fetch(&hub.key, hub.sender, swarm, commit),
                (None, What::Fetch(message)) => message.clone(),
            };
            commands.cmd(word).arg(&**channel).arg(message).ignore();
        }
        let had_one = self.connection.is_some();
        let mut sent = self.send_once(&commands).await;
        // The connection may have been closed long ago, with nobody looking. Sent twice is not delivered twice.
        if had_one && matches!(&sent, Err((_, Again::Connect))) {
            sent = self.send_once(&commands).await;
        }
        sent.map(|()| fetches).map_err(|(trouble, _)| Some(trouble))
    }

    async fn send_once(&mut self, commands: &::redis::Pipeline) -> Result<(), (Trouble, Again)> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                connect(&self.hub.options, &self.address, |_| {}).await.map_err(|t| (t, Again::NotNow))?
            }
        };
        match commands.query_async::<()>(&mut connection).await {
            Ok(()) => {
                self.connection = Some(connection);
                Ok(())
            }
            Err(error) => Err((Trouble::of(&self.address, &error), Again::behind(&error))),
        }
    }

    fn account(&mut self, commits: usize, sent: Result<usize, Option<Trouble>>) {
        let counters = &self.hub.counters;
        match sent {
            Ok(fetches) => {
                Counters::add(&counters.published, commits);
                Counters::add(&counters.fetches, fetches);
                if !self.works {
                    tracing::info!(address = %self.address, "commits are published again");
                }
                self.works = true;
            }
            Err(trouble) => {
                Counters::add(&counters.lost, commits);
                let Some(trouble) = trouble else { return };
                if self.works {
                    tracing::warn!(%trouble, "commits are not published; watchers elsewhere wait for the poll");
                }
                self.works = false;
                self.state.mark_unchanged();
                self.not_before = Instant::now() + self.hub.options.retry_pause_max / 4;
                self.hub.doubt.notify_one();
            }
        }
    }
}

/// Whether the same is worth trying again at once.
enum Again {
    Connect,
    NotNow,
}

impl Again {
    fn behind(error: &RedisError) -> Self {
        match error.is_connection_dropped() && !error.is_timeout() {
            true => Self::Connect,
            false => Self::NotNow,
        }
    }
}
