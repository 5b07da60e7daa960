//! Replicas over one store and one bus, writers, readers, and the log that everything is held against.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use swarmem::{
    bus::{
        Bus,
        local::LocalBus,
        redis::{RedisBus, RedisOptions},
    },
    coordinator::{
        Coordinator, Error, LaneLimits, LifetimeSettings, MirrorLimits, RingLimits, Settings, Written,
        watch::{Content, Delivery, Start, Stream, WatchQuery},
    },
    domain::{
        access::Principal,
        entry::Version,
        limits::Limits,
        position::{Arguments, Position, Purpose, TokenKey},
        request::{Operation, Request},
        swarm::{Retention, Revision, SwarmId},
        time::{Clock as _, ManualClock, Timestamp},
    },
    lifecycle::Lifecycle,
    store::{LogCursor, PageLimit, Store},
};
use tokio::{sync::mpsc, task::JoinSet, time::Instant};

use super::{
    Open,
    faults::Faulty,
    history::{Plain, Rng, Wanted, may_read, orchestrator, random_write, revision_of, write},
};

pub const POLL: Duration = Duration::from_secs(1);
pub const POLL_BUS_DOWN: Duration = Duration::from_millis(200);
pub const BACKFILLS: usize = 2;
pub const BOOKMARK: Duration = Duration::from_secs(3600);
pub const PATIENCE: Duration = Duration::from_secs(300);
pub const FEED_IDLE: Duration = Duration::from_secs(30);
pub const STREAMS: usize = 2_000;
pub const DRAIN_SPREAD: Duration = Duration::from_secs(2);
pub const RING: usize = 8;
pub const RESPONSE_BYTES: usize = 1500;
/// Longer than anything may take but a bookmark.
const STALLED: Duration = Duration::from_secs(60);

/// So small that rings overflow, pages end in the middle of revisions, and revisions come in fragments all the time.
fn settings(open: Open<'_>) -> Settings {
    Settings {
        limits: Limits { page_size_max: 5, ..Limits::default() },
        lanes: LaneLimits {
            batch_requests_max: 4,
            batch_bytes_max: 1 << 20,
            batch_load_bytes_max: 1 << 22,
            queue_requests_max: 1024,
            queue_bytes_max: 1 << 26,
        },
        lane_idle: Duration::from_secs(5),
        ring: RingLimits { events_max: RING, bytes_max: 4096 },
        feed_idle: FEED_IDLE,
        poll_interval: match (open.redis, open.postgres) {
            // Over a real bus it is the bus that has to deliver.
            (Some(_), _) => 3600 * POLL,
            (None, Some(_)) => open.scaled(POLL),
            (None, None) => POLL,
        },
        poll_interval_bus_down: POLL_BUS_DOWN,
        backfills_max: BACKFILLS,
        response_bytes_max: RESPONSE_BYTES,
        bookmark_interval: BOOKMARK,
        slow_consumer: PATIENCE,
        in_flight_bytes_max: 1 << 28,
        streams_max: STREAMS,
        reads_max: 1 << 10,
        drain_spread: open.scaled(DRAIN_SPREAD),
        store_timeout: Duration::from_secs(2),
        retry_pause: Duration::from_millis(100),
        retention: Retention { age: Duration::from_secs(3600), revisions: 1_000_000 },
        mirrors: MirrorLimits {
            embeds: true,
            bytes_max: 64 << 20,
            body_bytes_max: 1 << 20,
            idle: Duration::from_secs(600),
            interval: Duration::from_millis(100),
        },
        lifetime: LifetimeSettings {
            expiry_interval: open.scaled(Duration::from_secs(1)),
            expiry_entries_max: 10,
            compaction_interval: Duration::from_secs(1 << 30),
            compaction_rows_max: 10,
        },
    }
}

/// A service under test.
pub struct World {
    pub clock: Arc<ManualClock>,
    pub store: Arc<Faulty>,
    pub swarm: SwarmId,
    pub replicas: Vec<Replica>,
    /// Everything that was ever in the log, kept across compactions.
    pub log: Vec<Arc<Version>>,
    /// How long a second is.
    pace: Duration,
}

impl Drop for World {
    fn drop(&mut self) {
        self.replicas.iter().for_each(|replica| replica.lifecycle.hard.cancel());
    }
}

/// One coordinator.
#[derive(Clone)]
pub struct Replica {
    pub coordinator: Coordinator,
    pub lifecycle: Lifecycle,
    swarm: SwarmId,
}

impl World {
    /// So many replicas over a working bus.
    pub async fn new(open: Open<'_>, replicas: usize) -> Self {
        let Some(server) = open.redis else {
            let local = || Arc::new(LocalBus::default()) as Arc<dyn Bus>;
            return match open.postgres {
                // Nothing but the store joins them.
                Some(_) => Self::with(open, |_| (0..replicas).map(|_| local()).collect()).await,
                None => Self::over(open, replicas, local()).await,
            };
        };
        let options = crate::bus::harness::options(server.port);
        let options = RedisOptions { prefix: uuid::Uuid::new_v4().to_string(), ..options };
        let bus = |key| Arc::new(RedisBus::open(options.clone(), key)) as Arc<dyn Bus>;
        Self::with(open, |key| (0..replicas).map(|_| bus(TokenKey::clone(key))).collect()).await
    }

    /// So many replicas that share a bus.
    pub async fn over(open: Open<'_>, replicas: usize, bus: Arc<dyn Bus>) -> Self {
        Self::with(open, |_| vec![bus; replicas]).await
    }

    async fn with(open: Open<'_>, buses: impl FnOnce(&TokenKey) -> Vec<Arc<dyn Bus>>) -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_micros(1_000_000_000)));
        let store = Arc::new(Faulty::new(open.store(Arc::clone(&clock)).await));
        let swarm = SwarmId::parse("swarm").unwrap();
        let settings = settings(open);
        store.create_swarm(&swarm, settings.retention).await.unwrap();
        let buses = buses(&store.token_key().await.unwrap());
        let pace = open.scaled(Duration::from_secs(1));
        let mut world = Self { clock, store, swarm, replicas: Vec::new(), log: Vec::new(), pace };
        for bus in buses {
            let lifecycle = Lifecycle::new();
            let coordinator = Coordinator::start(
                Arc::clone(&world.store) as Arc<dyn Store>,
                bus,
                Arc::clone(&world.clock) as _,
                Arc::new(Plain),
                settings,
                lifecycle.clone(),
            );
            let coordinator = coordinator.await.unwrap();
            world.replicas.push(Replica { coordinator, lifecycle, swarm: world.swarm.clone() });
        }
        world
    }

    /// Lets time pass, on the store's clock too.
    pub async fn pass(&self, time: Duration) {
        self.clock.advance(time);
        tokio::time::sleep(time.mul_f64(self.pace.as_secs_f64())).await;
    }

    /// Several writers at once make random writes through random replicas, while time goes on.
    pub async fn write_at_random(&mut self, rng: &mut Rng, writes: usize) {
        self.start_writers(rng, writes).join_all().await;
        self.read_log().await;
    }

    /// As [`World::write_at_random`], without waiting.
    pub fn start_writers(&self, rng: &mut Rng, writes: usize) -> JoinSet<()> {
        let mut writers = JoinSet::new();
        for _ in 0..3 {
            let (replicas, clock, mut rng) =
                (self.replicas.clone(), Arc::clone(&self.clock), Rng(rng.next()));
            writers.spawn(async move {
                for _ in 0..writes / 3 {
                    let replica = &replicas[rng.below(replicas.len())];
                    let (author, request) = random_write(&mut rng);
                    match replica.submit(&author, request).await {
                        Ok(_) | Err(Error::Unavailable) => {}
                        Err(error) => panic!("{error}"),
                    }
                    clock.advance(Duration::from_millis(rng.next() % 300));
                    if rng.chance(20) {
                        tokio::time::sleep(Duration::from_millis(rng.next() % 50)).await;
                    }
                }
            });
        }
        writers
    }

    /// Takes up what was added to the log, once nothing is due any more.
    pub async fn read_log(&mut self) {
        while !self.store.inner().expired(&self.swarm, self.clock.now(), 1).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let last = self.log.last().map_or(Revision::ZERO, |v| v.mark.revision);
        let all = PageLimit { rows: usize::MAX, bytes: usize::MAX };
        let page = self.store.inner().log(&self.swarm, LogCursor::after(last), all).await.unwrap();
        self.log.extend(page.versions);
        self.assert_log_is_whole();
    }

    fn assert_log_is_whole(&self) {
        let revisions = self.log.chunk_by(|a, b| a.mark.revision == b.mark.revision);
        for (at, of_revision) in revisions.enumerate() {
            assert_eq!(of_revision[0].mark.revision.0, at as u64 + 1, "the log has a gap");
            let ordinals: Vec<_> = of_revision.iter().map(|v| v.ordinal as usize).collect();
            assert!(ordinals.into_iter().eq(0..of_revision.len()));
        }
    }

    pub fn newest(&self) -> u64 {
        self.log.last().map_or(0, |v| v.mark.revision.0)
    }

    /// What this watcher is to see of the log behind a revision.
    pub fn expected(&self, who: &Principal, wanted: &Wanted, after: u64) -> Vec<Arc<Version>> {
        let seen =
            |v: &&Arc<Version>| v.mark.revision.0 > after && may_read(who, &v.path) && wanted.matches(v);
        self.log.iter().filter(seen).cloned().collect()
    }

    /// Raises the floor as far as it goes, all rows at once.
    pub async fn compact(&self, floor: u64) {
        while self.store.inner().compact(&self.swarm, Revision(floor), 7).await.unwrap().more {}
    }
}

impl Replica {
    pub async fn submit(&self, author: &Principal, request: Request) -> Result<Written, Error> {
        let deadline = Instant::now() + Duration::from_secs(600);
        self.coordinator.write(author, &self.swarm, request, deadline).await
    }

    /// One revision of these operations.
    pub async fn write(&self, operations: Vec<Operation>) -> Written {
        let boss = orchestrator();
        self.submit(&boss, write(&boss, operations)).await.unwrap()
    }

    pub fn query(&self, wanted: &Wanted, start: Start) -> WatchQuery {
        WatchQuery {
            start,
            filter: wanted.filter(),
            before: false,
            keys_only: false,
            bookmark_interval: None,
            deadline: None,
            arguments: wanted.arguments(),
        }
    }

    pub async fn open(&self, who: &Principal, wanted: &Wanted, start: Start) -> Result<Stream, Error> {
        self.coordinator.watch(who, &self.swarm, self.query(wanted, start)).await
    }

    pub async fn watch(&self, who: &Principal, wanted: &Wanted, start: Start) -> Reader {
        Reader::of(self.open(who, wanted, start).await.unwrap())
    }

    pub async fn watch_all(&self, start: Start) -> Reader {
        self.watch(&orchestrator(), &Wanted::default(), start).await
    }

    /// The token that goes with a write.
    pub fn token(&self, written: &Written) -> String {
        let position = Position::after(written.incarnation, written.mark);
        let tokens = self.coordinator.tokens();
        tokens.seal(&self.swarm, Purpose::Position, Arguments::default(), &position)
    }
}

/// A reader that takes whatever comes as soon as it comes.
pub struct Reader {
    inbox: mpsc::UnboundedReceiver<Result<Delivery, Error>>,
    pub deliveries: Vec<Delivery>,
    pub end: Option<Error>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Reader {
    #[expect(
        clippy::disallowed_methods,
        reason = "this reader is never slow, whatever the test does meanwhile"
    )]
    pub fn of(mut stream: Stream) -> Self {
        let (outbox, inbox) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            while let Some(next) = stream.next().await {
                if outbox.send(next).is_err() {
                    return;
                }
            }
        });
        Self { inbox, deliveries: Vec::new(), end: None, task }
    }

    /// Reads until `enough` of what was delivered.
    pub async fn until(&mut self, enough: impl Fn(&Self) -> bool) {
        self.poll();
        while !enough(self) {
            match tokio::time::timeout(STALLED, self.inbox.recv()).await {
                Ok(Some(next)) => self.take(next),
                Ok(None) => panic!("ended with {:?} before there was enough", self.end),
                Err(_) => panic!("stalled after {} events", self.events().len()),
            }
        }
    }

    /// Takes what is there.
    pub fn poll(&mut self) {
        while let Ok(next) = self.inbox.try_recv() {
            self.take(next);
        }
    }

    fn take(&mut self, next: Result<Delivery, Error>) {
        match next {
            Ok(delivery) => self.deliveries.push(delivery),
            Err(error) => self.end = Some(error),
        }
    }

    /// What ends the stream.
    pub async fn ended(&mut self) -> Error {
        self.until(|reader| reader.end.is_some()).await;
        self.end.clone().unwrap()
    }

    pub fn events(&self) -> Vec<Bytes> {
        let events = self.deliveries.iter().map(|d| match &d.content {
            Content::Events { events, .. } => &events[..],
            _ => &[],
        });
        events.flatten().cloned().collect()
    }

    pub fn entries(&self) -> Vec<Bytes> {
        let entries = self.deliveries.iter().map(|d| match &d.content {
            Content::Snapshot(entries) => &entries[..],
            _ => &[],
        });
        entries.flatten().cloned().collect()
    }

    pub fn snapshot_ends(&self) -> usize {
        self.deliveries.iter().filter(|d| d.content == Content::SnapshotEnd).count()
    }

    pub fn last_token(&self) -> Start {
        Start::Token(self.deliveries.last().unwrap().token.clone())
    }

    /// Reads until these events came, and nothing else; whole revisions, or flagged.
    pub async fn sees(&mut self, expected: &[Arc<Version>]) {
        self.until(|reader| reader.events().len() >= expected.len()).await;
        self.poll();
        self.assert_saw(expected);
    }

    /// Has the replica end the stream, which flushes it: so nothing can still be under way.
    pub async fn ends_with(&mut self, replica: &Replica, expected: &[Arc<Version>]) {
        replica.lifecycle.soft.cancel();
        assert!(matches!(self.ended().await, Error::Draining));
        self.assert_saw(expected);
        let last = self.deliveries.last().expect("a bookmark comes before the end");
        assert_eq!(last.content, Content::Bookmark, "the last before the end");
    }

    fn assert_saw(&self, expected: &[Arc<Version>]) {
        assert_same(&self.events(), &lines(expected));
        self.assert_whole(expected);
    }

    /// A response holds whole revisions, unless it is flagged; it is flagged only where a revision is too large.
    fn assert_whole(&self, expected: &[Arc<Version>]) {
        let mut at = 0;
        for delivery in &self.deliveries {
            let Content::Events { events, fragment } = &delivery.content else { continue };
            assert!(!events.is_empty());
            at += events.len();
            let last = revision_of(&events[events.len() - 1]);
            let goes_on = expected.get(at).is_some_and(|v| v.mark.revision.0 == last);
            assert_eq!(goes_on, *fragment, "the flag at revision {last}");
            if goes_on {
                let all = expected.iter().filter(|v| v.mark.revision.0 == last);
                let bytes: usize = all.map(|v| v.weight()).sum();
                assert!(bytes > RESPONSE_BYTES, "revision {last} of {bytes} bytes was split");
                assert!(delivery.revision.0 < last);
            } else {
                assert!(delivery.revision.0 >= last);
            }
        }
    }
}

/// Says where the two part, not all of both.
pub fn assert_same(events: &[Bytes], expected: &[Bytes]) {
    let common = events.iter().zip(expected).take_while(|(a, b)| a == b).count();
    assert!(
        common == expected.len() && common == events.len(),
        "event {common} of {} is {:?}, expected of {} is {:?}",
        events.len(),
        events.get(common),
        expected.len(),
        expected.get(common),
    );
}

pub fn lines(versions: &[Arc<Version>]) -> Vec<Bytes> {
    use swarmem::coordinator::Encode as _;
    versions.iter().map(|v| Plain.event(v, None, false)).collect()
}
