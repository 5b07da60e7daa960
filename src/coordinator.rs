//! What a coordinator does with stores, buses and the domain. Knows the contracts of store and bus, no backend, and
//! nothing of the wire.
//!
//! One write: [`Coordinator::write`] → `lane` → [`Store::commit`] → `feed`, answer, bus.
//! One subscription: [`Coordinator::watch`] → [`watch::Stream`] → ring or log.

mod budget;
mod drain;
pub mod error;
mod feed;
mod lane;
mod lifetime;
mod mirrors;
mod observed;
mod queue;
pub mod read;
pub mod recall;
mod ring;
mod swarms;
mod tail;
mod trouble;
pub mod watch;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use dashmap::DashMap;

pub use budget::{Budget, Permit};
pub use error::{Error, Scarce};
pub use lane::{Writing, Written};
pub use lifetime::LifetimeSettings;
pub use mirrors::MirrorLimits;
pub use queue::LaneLimits;
pub use ring::RingLimits;
use tokio::{
    sync::{Notify, Semaphore},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use self::{
    observed::Observed,
    trouble::{Trouble, Writes},
};

use crate::{
    bus::{Bus, State},
    domain::{
        access::Principal,
        entry::Version,
        limits::Limits,
        position::TokenKey,
        request::{Operation, Request, Target},
        swarm::{Retention, SwarmId},
        time::Clock,
    },
    lifecycle::Lifecycle,
    metrics::{self, Gauge, HasBus, Metrics},
    store::{self, Store},
};

/// How a coordinator behaves.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// What requests may carry.
    pub limits: Limits,
    /// What lanes may hold.
    pub lanes: LaneLimits,
    /// After how long without a request a lane's task ends.
    pub lane_idle: Duration,
    /// What rings may hold.
    pub ring: RingLimits,
    /// After how long without a stream a feed ends.
    pub feed_idle: Duration,
    /// How often the heads of active swarms are polled,
    pub poll_interval: Duration,
    /// and how often while the bus is down.
    pub poll_interval_bus_down: Duration,
    /// How many feeds at once read from the log what they have missed, and how many watches at once where they start.
    pub backfills_max: usize,
    /// About how many bytes of events one response of a watch carries.
    pub response_bytes_max: usize,
    /// How often an idle stream gets a bookmark, unless it asks otherwise.
    pub bookmark_interval: Duration,
    /// After how long without accepting anything, while data is pending, a stream is closed.
    pub slow_consumer: Duration,
    /// Bytes of requests and answers that may be held at once, over all swarms.
    pub in_flight_bytes_max: usize,
    /// Streams that may be open at once.
    pub streams_max: usize,
    /// Reads of callers that may run or wait for the store at once.
    pub reads_max: usize,
    /// Over how long the streams end when the coordinator shuts down.
    pub drain_spread: Duration,
    /// How long a background task waits for the store.
    pub store_timeout: Duration,
    /// How long a background task pauses after the store failed it.
    pub retry_pause: Duration,
    /// How long a swarm's log is kept unless it says otherwise.
    pub retention: Retention,
    /// What mirrors may hold.
    pub mirrors: MirrorLimits,
    /// How often and how much is expired and compacted.
    pub lifetime: LifetimeSettings,
}

/// How events become bytes; given by the wire, so that a ring can hold what it needs not understand.
pub trait Encode: Send + Sync + 'static {
    /// An event; `before` is the entry before it, `keys_only` leaves content and attributes out.
    fn event(&self, version: &Version, before: Option<&Version>, keys_only: bool) -> Bytes;

    /// An entry of a snapshot.
    fn entry(&self, version: &Version, keys_only: bool) -> Bytes;
}

/// What the parts of a coordinator share.
struct Shared {
    store: Arc<dyn Store>,
    trouble: Arc<Trouble>,
    metrics: Arc<Metrics>,
    bus: Arc<dyn Bus>,
    clock: Arc<dyn Clock>,
    encode: Arc<dyn Encode>,
    tokens: TokenKey,
    settings: Settings,
    lifecycle: Lifecycle,
    in_flight: Budget,
    streams: Budget,
    reads: Budget,
    drain: drain::Schedule,
    lanes: DashMap<SwarmId, Arc<lane::Lane>>,
    feeds: DashMap<SwarmId, Arc<feed::Feed>>,
    mirrors: mirrors::Mirrors,
    /// Something may have been missed: the tail poll is to look now.
    look: Notify,
    backfills: Semaphore,
    openings: Arc<Semaphore>,
}

/// One replica of the service.
#[derive(Clone)]
pub struct Coordinator {
    shared: Arc<Shared>,
}

impl Coordinator {
    /// Starts a coordinator over a store and a bus; its tasks live in `lifecycle`.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn start(
        store: Arc<dyn Store>,
        bus: Arc<dyn Bus>,
        clock: Arc<dyn Clock>,
        encode: Arc<dyn Encode>,
        settings: Settings,
        lifecycle: Lifecycle,
    ) -> Result<Self, store::Error> {
        let trouble = Arc::new(Trouble::new());
        let has_bus = if bus.leaves_the_process() { HasBus::Yes } else { HasBus::No };
        let metrics = Arc::new(Metrics::new(has_bus));
        let store: Arc<dyn Store> =
            Arc::new(Observed::new(store, Arc::clone(&trouble), Arc::clone(&metrics)));
        let tokens = store.token_key().await?;
        let (lanes, feeds) = (DashMap::new(), DashMap::new());
        let shared = Arc::new(Shared {
            store,
            trouble,
            metrics,
            bus,
            clock,
            encode,
            tokens,
            lifecycle,
            in_flight: Budget::new(Scarce::BytesInFlight, settings.in_flight_bytes_max),
            streams: Budget::new(Scarce::Streams, settings.streams_max),
            reads: Budget::new(Scarce::Reads, settings.reads_max),
            mirrors: mirrors::Mirrors::new(settings.mirrors),
            drain: drain::Schedule::over(settings.drain_spread),
            look: Notify::new(),
            backfills: Semaphore::new(settings.backfills_max),
            openings: Arc::new(Semaphore::new(settings.backfills_max)),
            settings,
            lanes,
            feeds,
        });
        shared.lifecycle.spawn("tail poll", tail::run(Arc::clone(&shared)));
        shared.lifecycle.spawn("mirrors", mirrors::run(Arc::clone(&shared)));
        shared.lifecycle.spawn("expiry", lifetime::expire(Arc::clone(&shared)));
        shared.lifecycle.spawn("compaction", lifetime::compact(Arc::clone(&shared)));
        Ok(Self { shared })
    }

    /// What requests may carry.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.shared.settings.limits
    }

    /// The bytes of requests and answers that may be held at once. Requests that wait in a lane are counted by it;
    /// whoever receives requests and sends answers counts those.
    #[must_use]
    pub fn in_flight(&self) -> &Budget {
        &self.shared.in_flight
    }

    /// What makes and reads tokens.
    #[must_use]
    pub fn tokens(&self) -> &TokenKey {
        &self.shared.tokens
    }

    /// How long a swarm's log is kept unless it says otherwise.
    #[must_use]
    pub fn default_retention(&self) -> Retention {
        self.shared.settings.retention
    }

    /// Since when the store has failed to be read or to be written, without a break; none: it does neither now. Asked
    /// regularly, it also finds out that a store that took no writes takes them again.
    pub async fn failing_since(&self) -> Option<Instant> {
        let asked = Instant::now();
        let trouble = &self.shared.trouble;
        let (reads, writes) = (Arc::clone(&self.shared.store), Arc::clone(&self.shared.store));
        if self.within_patience(async move { Ok(reads.ping().await?) }).await.is_none() {
            trouble.read_timed_out();
        }
        // Where everybody waits for a connection, that others are answered is an answer too.
        let answered = trouble.answered();
        let failing = if answered < asked {
            Some(answered)
        } else {
            trouble.judge_writes(match trouble.look() {
                Writes::Fine => None,
                Writes::Failing(since) => Some(since),
                Writes::Suspect => {
                    let answer = self.within_patience(async move { Ok(writes.ping_write().await?) }).await;
                    (!matches!(answer, Some(Ok(())))).then_some(asked)
                }
            })
        };
        self.shared.metrics.now.store_up.set(failing.is_none().into());
        failing
    }

    /// When the store last answered a read.
    #[must_use]
    pub fn answered(&self) -> Instant {
        self.shared.trouble.answered()
    }

    /// Returns as soon as the store has answered nothing for `time`, but not before `earliest`; from then on the figures say
    /// that the store is down, until it is next asked.
    pub async fn silent_for(&self, time: Duration, earliest: Instant) {
        loop {
            let due = earliest.max(self.answered() + time);
            if due <= Instant::now() {
                break;
            }
            tokio::time::sleep_until(due).await;
        }
        self.shared.metrics.now.store_up.set(0);
    }

    /// What the store answers, unless it takes too long.
    async fn within_patience(
        &self,
        work: impl Future<Output = Result<(), Error>> + Send + 'static,
    ) -> Option<Result<(), Error>> {
        tokio::time::timeout(self.shared.settings.store_timeout, detached(&self.shared, work)).await.ok()
    }

    /// Commits a request in its swarm's lane, and answers once it is durable. Dropping the future withdraws the request
    /// if its commit has not begun.
    ///
    /// # Errors
    /// Those of [`Coordinator::submit`]; what [`domain::apply`](crate::domain::apply) refuses;
    /// [`Error::DeadlineExceeded`] when nothing was begun; [`Error::OutcomeUnknown`] when it was begun and `deadline`
    /// passed.
    pub async fn write(
        &self,
        caller: &Principal,
        swarm: &SwarmId,
        request: Request,
        deadline: Instant,
    ) -> Result<Written, Error> {
        self.finish(self.submit(caller, swarm, Arc::new(request), deadline)?, deadline).await
    }

    /// Waits for what a submitted request comes to, no longer than until `deadline`.
    ///
    /// # Errors
    /// As [`Coordinator::write`].
    pub async fn finish(&self, writing: Writing, deadline: Instant) -> Result<Written, Error> {
        lane::finish(writing, deadline).await
    }

    /// Puts a request on its swarm's lane without waiting for its commit. Requests of one agent to one swarm are
    /// committed in the order in which they were submitted.
    ///
    /// # Errors
    /// [`Error::Denied`] before anything is looked at; [`Error::Overloaded`] when the lane is full, and
    /// [`Error::Exhausted`] when too many bytes are in flight; [`Error::Draining`].
    pub fn submit(
        &self,
        caller: &Principal,
        swarm: &SwarmId,
        request: Arc<Request>,
        deadline: Instant,
    ) -> Result<Writing, Error> {
        authorise(caller, &request)?;
        lane::submit(&self.shared, swarm, request, deadline, caller)
    }

    /// What the coordinator counts and measures.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.shared.metrics
    }

    /// All figures as of now, in the text format of OpenMetrics.
    #[must_use]
    pub fn figures(&self) -> String {
        let Shared { store, metrics, bus, lanes, feeds, mirrors, streams, reads, in_flight, .. } =
            &*self.shared;
        let now = &metrics.now;
        let set = |gauge: &Gauge, value: usize| {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        set(&now.lanes, lanes.len());
        set(&now.waiting, lanes.iter().map(|lane| lane.waiting()).sum());
        set(&now.feeds, feeds.len());
        set(&now.ring_events, feeds.iter().map(|feed| feed.ring_events()).sum());
        set(&now.mirrors, mirrors.count());
        set(&now.mirror_bytes, usize::try_from(mirrors.bytes()).unwrap_or(usize::MAX));
        set(&now.streams, streams.held());
        set(&now.reads, reads.held());
        set(&now.in_flight_bytes, in_flight.held());
        let pool = store.pool();
        set(&now.store_busy, pool.busy);
        set(&now.store_max, pool.max);
        set(&now.bus_up, usize::from(*bus.state().borrow() == State::Up));
        let (counts, counted) = (bus.counts(), &now.bus);
        for (counter, count) in [
            (&counted.published, counts.published),
            (&counted.fetches, counts.fetches),
            (&counted.lost, counts.lost),
            (&counted.received, counts.received),
            (&counted.unreadable, counts.unreadable),
            (&counted.gaps, counts.gaps),
            (&counted.interruptions, counts.interruptions),
        ] {
            metrics::set(counter, count);
        }
        metrics.text()
    }

    /// Is cancelled when the coordinator begins to shut down.
    #[must_use]
    pub fn draining(&self) -> &CancellationToken {
        &self.shared.lifecycle.soft
    }
}

/// Every namespace that a request touches, in either branch, must be the caller's to touch.
fn authorise(caller: &Principal, request: &Request) -> Result<(), Error> {
    for compare in request.compares() {
        match &compare.target {
            Target::Entry(path) => caller.may_read(&path.namespace)?,
            Target::Below(prefix) => caller.may_read_below(prefix)?,
        }
    }
    for operation in request.branch(true).iter().chain(request.branch(false)) {
        match operation {
            Operation::Put { path, .. } | Operation::Delete { path, .. } => {
                caller.may_write(&path.namespace)?
            }
            Operation::DeletePrefix { prefix, .. } => caller.may_write_below(prefix)?,
            Operation::Get { path } => caller.may_read(&path.namespace)?,
            // Only the coordinator itself lets entries expire.
            Operation::Expire { .. } => return Err(Error::Denied),
        }
    }
    Ok(())
}

/// Reads for a caller: one of so many, whether anybody still waits for it or not.
async fn admitted<T: Send + 'static>(
    shared: &Shared,
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    let permit = shared.reads.take(1)?;
    detached(shared, async move {
        let result = work.await;
        drop(permit);
        result
    })
    .await
}

/// Runs store work in a task of its own, so that a cancelled call cannot leave a connection in mid-statement.
async fn detached<T: Send + 'static>(
    shared: &Shared,
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    match shared.lifecycle.tasks.spawn(work).await {
        Ok(result) => result,
        Err(panicked_or_cancelled) => {
            tracing::error!(error = %panicked_or_cancelled, "a read of the store did not finish");
            Err(Error::Unavailable)
        }
    }
}
