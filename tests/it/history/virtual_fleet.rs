//! Coordinators in one process over one store, a bus that misbehaves, and pipes that can be cut: no socket, no clock but the
//! paused one. Knows nothing of what is asked of it.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use swarmem::{
    api::{self, HealthBoard, WireEncoder, WriteStreamLimits, server::Server},
    app,
    bus::{Bus, Message, State, Subscription},
    client::Endpoint,
    config::Config,
    coordinator::{Coordinator, LaneLimits, LifetimeSettings, MirrorLimits, RingLimits, Settings},
    domain::{
        commit::Commit,
        limits::Limits,
        swarm::{Retention, SwarmId},
        time::ManualClock,
    },
    lifecycle::Lifecycle,
    store::Store,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf},
    sync::{mpsc, watch},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::crash::random::Random;

/// Small, so that rings overflow, pages end within revisions, and revisions come in fragments all the time.
fn settings() -> Settings {
    Settings {
        limits: Limits { page_size_max: 5, ..Limits::default() },
        lanes: LaneLimits {
            batch_requests_max: 4,
            batch_bytes_max: 1 << 20,
            batch_load_bytes_max: 1 << 22,
            queue_requests_max: 1024,
            queue_bytes_max: 1 << 26,
        },
        lane_idle: Duration::from_millis(20),
        ring: RingLimits { events_max: 8, bytes_max: 4096 },
        feed_idle: Duration::from_millis(30),
        // So short that its jitter falls below what the timer can tell: the same seed, the same course.
        poll_interval: Duration::from_millis(5),
        poll_interval_bus_down: Duration::from_millis(5),
        backfills_max: 2,
        response_bytes_max: 400,
        bookmark_interval: Duration::from_millis(100),
        slow_consumer: Duration::from_secs(300),
        in_flight_bytes_max: 1 << 28,
        streams_max: 1000,
        reads_max: 1000,
        drain_spread: Duration::from_millis(10),
        store_timeout: Duration::from_secs(2),
        retry_pause: Duration::from_millis(5),
        retention: Retention { age: Duration::from_secs(3600), revisions: 1_000_000 },
        mirrors: MirrorLimits {
            embeds: true,
            bytes_max: 64 << 20,
            body_bytes_max: 1 << 20,
            idle: Duration::from_secs(600),
            interval: Duration::from_millis(100),
        },
        lifetime: LifetimeSettings {
            expiry_interval: Duration::from_millis(10),
            expiry_entries_max: 3,
            compaction_interval: Duration::from_secs(1 << 30),
            compaction_rows_max: 10,
        },
    }
}

/// The coordinators.
pub struct Fleet {
    pub slots: Vec<Arc<Slot>>,
    store: Arc<dyn Store>,
    bus: Arc<dyn Bus>,
    clock: Arc<ManualClock>,
}

/// A place where a coordinator runs, and after it another.
pub struct Slot {
    name: String,
    running: Mutex<Option<(Server, Lifecycle)>>,
    /// The lines that are open.
    lines: Mutex<Vec<CancellationToken>>,
}

impl Fleet {
    pub async fn start(
        count: usize,
        store: Arc<dyn Store>,
        bus: Arc<dyn Bus>,
        clock: Arc<ManualClock>,
        swarm: &SwarmId,
    ) -> Self {
        store.create_swarm(swarm, settings().retention).await.unwrap();
        let slot = |number| {
            let (running, lines) = Default::default();
            Arc::new(Slot { name: format!("coordinator {number}"), running, lines })
        };
        let fleet = Self { slots: (0..count).map(slot).collect(), store, bus, clock };
        for place in 0..count {
            fleet.start_at(place).await;
        }
        fleet
    }

    /// Starts a coordinator where none is.
    pub async fn start_at(&self, place: usize) {
        let (lifecycle, clock) = (Lifecycle::new(), Arc::clone(&self.clock));
        let (store, bus) = (Arc::clone(&self.store), Arc::clone(&self.bus));
        let started =
            Coordinator::start(store, bus, clock, Arc::new(WireEncoder), settings(), lifecycle.clone());
        let coordinator = started.await.unwrap();
        let write_stream = WriteStreamLimits { requests_max: 16, bytes_max: 1 << 20 };
        let routes = api::routes(&coordinator, HealthBoard::default(), Duration::from_secs(10), write_stream);
        let (transport, in_flight) = (app::transport(&Config::default()), coordinator.in_flight().clone());
        let metrics = Arc::clone(coordinator.metrics());
        let server = Server::new(routes, transport, in_flight, metrics, lifecycle.clone());
        *self.slots[place].running.lock().unwrap() = Some((server, lifecycle));
    }

    /// Ends a coordinator in the middle of whatever it does.
    pub fn kill(&self, place: usize) {
        if let Some((_, lifecycle)) = self.slots[place].running.lock().unwrap().take() {
            lifecycle.hard.cancel();
            lifecycle.soft.cancel();
        }
        self.slots[place].cut();
    }

    /// Asks a coordinator to go, and gives it time.
    pub async fn drain(&self, place: usize) {
        let taken = self.slots[place].running.lock().unwrap().take();
        if let Some((server, lifecycle)) = taken {
            lifecycle.soft.cancel();
            tokio::time::sleep(settings().drain_spread * 2).await;
            drop(server);
            lifecycle.hard.cancel();
        }
    }

    pub fn endpoints(&self) -> Vec<Endpoint> {
        let endpoint = |slot: &Arc<Slot>| {
            let (name, slot) = (slot.name.clone(), Arc::clone(slot));
            Endpoint::through(name, move || std::future::ready(slot.connect()))
        };
        self.slots.iter().map(endpoint).collect()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        (0..self.slots.len()).for_each(|place| self.kill(place));
    }
}

impl Slot {
    fn connect(&self) -> io::Result<Line> {
        let running = self.running.lock().unwrap();
        let Some((server, _)) = &*running else { return Err(io::ErrorKind::ConnectionRefused.into()) };
        let (near, far) = tokio::io::duplex(4096);
        server.connect(far);
        let cut = CancellationToken::new();
        let mut lines = self.lines.lock().unwrap();
        lines.retain(|line| !line.is_cancelled());
        lines.push(cut.clone());
        Ok(Line { io: near, cut: Box::pin(cut.cancelled_owned()) })
    }

    /// Breaks every connection.
    pub fn cut(&self) {
        self.lines.lock().unwrap().drain(..).for_each(|line| line.cancel());
    }

    /// Breaks one connection.
    pub fn cut_one(&self, random: &mut Random) {
        let mut lines = self.lines.lock().unwrap();
        if !lines.is_empty() {
            let index = random.below(lines.len() as u64) as usize;
            lines.swap_remove(index).cancel();
        }
    }
}

/// A pipe that can be cut.
struct Line {
    io: DuplexStream,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Line {
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.cut.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionReset.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// How a bus treats what is published, in percent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Losses {
    pub dropped: u64,
    pub repeated: u64,
    /// Comes up to so many milliseconds later; so others overtake it.
    pub delayed_max_ms: u64,
    /// The subscription ends.
    pub cut: u64,
}

/// A bus that drops, repeats, delays and reorders, and ends subscriptions, by a seed.
pub struct VirtualBus {
    losses: Losses,
    random: Mutex<Random>,
    subscribers: Mutex<Vec<(u64, SwarmId, mpsc::Sender<Message>)>>,
    ids: AtomicU64,
    state: watch::Sender<State>,
}

/// A subscriber that falls so far behind is told of a gap.
const BACKLOG_MAX: usize = 256;

impl VirtualBus {
    pub fn new(random: Random, losses: Losses) -> Self {
        Self {
            losses,
            random: Mutex::new(random),
            subscribers: Mutex::default(),
            ids: AtomicU64::new(0),
            state: watch::Sender::new(State::Up),
        }
    }

    /// What becomes of a message to one subscriber: when it comes, each time.
    fn fate(&self) -> (Vec<u64>, bool) {
        let mut random = self.random.lock().unwrap();
        let mut times = Vec::new();
        if random.below(100) >= self.losses.dropped {
            times.push(random.below(self.losses.delayed_max_ms + 1));
        }
        if random.below(100) < self.losses.repeated {
            times.push(random.below(self.losses.delayed_max_ms + 1));
        }
        (times, random.below(100) < self.losses.cut)
    }
}

#[async_trait]
impl Bus for VirtualBus {
    fn publish(&self, swarm: &SwarmId, commit: &Arc<Commit>) {
        self.subscribers.lock().unwrap().retain(|(_, subscribed, sender)| {
            if subscribed != swarm {
                return !sender.is_closed();
            }
            let (times, is_cut) = self.fate();
            for ms in times {
                let (sender, message) = (sender.clone(), Message::Commit(Arc::clone(commit)));
                if ms == 0 {
                    let _ = sender.try_send(message);
                    continue;
                }
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                    // Nobody listens any more, or it is lost.
                    let _ = sender.try_send(message);
                });
            }
            if is_cut {
                let _ = sender.try_send(Message::Closed);
            }
            !is_cut && !sender.is_closed()
        });
    }

    async fn subscribe(&self, swarm: &SwarmId) -> Box<dyn Subscription> {
        let (sender, receiver) = mpsc::channel(BACKLOG_MAX);
        let id = self.ids.fetch_add(1, Ordering::SeqCst);
        self.subscribers.lock().unwrap().push((id, swarm.clone(), sender));
        Box::new(Listening(receiver))
    }

    fn state(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }
}

struct Listening(mpsc::Receiver<Message>);

#[async_trait]
impl Subscription for Listening {
    async fn next(&mut self) -> Message {
        self.0.recv().await.unwrap_or(Message::Closed)
    }
}

impl Slot {
    pub fn is_running(&self) -> bool {
        self.running.lock().unwrap().is_some()
    }
}
