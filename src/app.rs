//! The composition root: the one place that knows every part, puts them together, and takes them apart again.

mod bus;
pub mod doctor;
mod log;
mod memory;
mod store;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use tokio::net::{TcpListener, UnixListener, UnixStream};

pub use self::log::log_to_stderr;
use self::store::Opened;
use crate::{
    api::{
        self, HealthBoard, WireEncoder,
        server::{Listener, Server, Transport},
    },
    bus::Bus,
    cli::store::Report,
    config::{self, Config},
    coordinator::{Coordinator, LaneLimits, LifetimeSettings, MirrorLimits, RingLimits, Settings},
    domain::{
        limits::Limits,
        swarm::{Retention, SwarmId},
        time::{Clock, SystemClock},
    },
    http,
    lifecycle::{Lifecycle, Shutdown},
    store::sqlite,
};

/// How long a background task waits for the store, and pauses after it failed.
const STORE_PATIENCE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_millis(200));

/// A setting is wrong in a way that shows only when it is used; says which, and the way out.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Misconfigured(String);

/// A coordinator with its sockets bound; it serves once it is run.
pub struct App {
    store: Opened,
    bus: Arc<dyn Bus>,
    coordinator: Coordinator,
    lifecycle: Lifecycle,
    listeners: Vec<Listener>,
    http: Option<http::Listener>,
    health_listener: Option<Listener>,
    health_address: Option<SocketAddr>,
    address: Option<SocketAddr>,
    unix_socket: Option<PathBuf>,
    write_stream: api::WriteStreamLimits,
    transport: Transport,
    drain_timeout: Duration,
}

impl App {
    /// Opens the store and binds the sockets. When it returns, clients can connect.
    ///
    /// # Errors
    /// When the store cannot be opened or a socket cannot be bound; the message says which, and the way out.
    pub async fn bind(config: &Config, lifecycle: Lifecycle) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let store = Opened::open(&config.store, &clock).await?;
        let bus = bus::open(&config.bus, store.store().as_ref()).await?;
        let coordinator = Coordinator::start(
            store.store(),
            Arc::clone(&bus),
            clock,
            Arc::new(WireEncoder),
            settings(config),
            lifecycle.clone(),
        )
        .await?;
        if let Some(name) = &config.server.default_swarm {
            let swarm = SwarmId::parse(name)
                .map_err(|error| Misconfigured(format!("server.default_swarm = {name:?}: {error}")))?;
            coordinator.ensure_swarm(&swarm).await.context("could not create server.default_swarm")?;
        }
        let mut app = Self {
            store,
            bus,
            coordinator,
            lifecycle,
            listeners: Vec::new(),
            http: None,
            health_listener: None,
            health_address: None,
            address: None,
            unix_socket: None,
            write_stream: api::WriteStreamLimits {
                requests_max: config.lanes.stream_requests_max,
                bytes_max: config.lanes.stream_bytes_max,
            },
            transport: transport(config),
            drain_timeout: Duration::from_millis(config.server.drain_timeout_ms),
        };
        app.bind_sockets(&config.server).await?;
        app.bind_http(&config.http).await?;
        Ok(app)
    }

    /// The TCP address clients connect to, with the port that was really taken.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// The address of figures and probes, with the port that was really taken.
    #[must_use]
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http.as_ref()?.address().ok()
    }

    /// The address that answers for the health alone, with the port that was really taken.
    #[must_use]
    pub fn health_address(&self) -> Option<SocketAddr> {
        self.health_address
    }

    /// The unix socket clients connect to.
    #[must_use]
    pub fn unix_socket(&self) -> Option<&Path> {
        self.unix_socket.as_deref()
    }

    /// Where memory is kept, as people may read it.
    #[must_use]
    pub fn store_place(&self) -> String {
        self.store.place().to_owned()
    }

    /// Serves until the lifecycle's soft cancellation, then drains and closes the store.
    ///
    /// # Errors
    /// When the store could not be closed cleanly.
    pub async fn run(self) -> anyhow::Result<()> {
        let health = HealthBoard::default();
        // Before the first call is taken: nobody is to hear that what answers does not serve.
        health.probe(&self.coordinator).await;
        let timeout = self.transport.request_timeout;
        let routes = api::routes(&self.coordinator, health.clone(), timeout, self.write_stream);
        let in_flight = self.coordinator.in_flight().clone();
        let metrics = self.coordinator.metrics();
        let serve = |routes| {
            let (transport, in_flight) = (self.transport.clone(), in_flight.clone());
            Server::new(routes, transport, in_flight, Arc::clone(metrics), self.lifecycle.clone())
        };
        if let Some(listener) = self.health_listener {
            let server = serve(api::health_routes(health.clone()));
            self.lifecycle.spawn("health listener", server.serve(listener));
        }
        let server = serve(routes);
        if let Some(listener) = self.http {
            let (coordinator, board) = (self.coordinator.clone(), health.clone());
            let ready: http::Readiness = Arc::new(move || board.serves_memory());
            self.lifecycle.spawn("http", listener.serve(coordinator, ready, self.lifecycle.clone()));
        }
        self.lifecycle.spawn("health", health.keep(self.coordinator.clone(), self.lifecycle.clone()));
        for listener in self.listeners {
            self.lifecycle.spawn("listener", server.clone().serve(listener));
        }
        drop(server);
        self.lifecycle.soft.cancelled().await;
        if let Shutdown::Cut { tasks } = self.lifecycle.shut_down(self.drain_timeout).await {
            tracing::warn!(tasks, "the time to drain was over before everything had ended");
        }
        self.bus.close().await;
        if let Some(path) = &self.unix_socket {
            // Another process may have taken its place; then it is not ours to remove, and gone already.
            let _ = std::fs::remove_file(path);
        }
        self.store.close().await
    }

    async fn bind_http(&mut self, http: &config::Http) -> anyhow::Result<()> {
        let Some(address) = http.listen else { return Ok(()) };
        let listener = http::Listener::bind(address).await.map_err(|error| {
            anyhow!(
                "could not listen on {address} ({error}) for figures and probes; choose another address with \
                 --http-listen, or none with --http-listen ''"
            )
        })?;
        if !address.ip().to_canonical().is_loopback() {
            tracing::warn!(%address, "INSECURE: anybody who reaches this address sees every figure");
        }
        self.http = Some(listener);
        Ok(())
    }

    async fn bind_sockets(&mut self, server: &config::Server) -> anyhow::Result<()> {
        if let Some(address) = server.listen {
            let tcp = TcpListener::bind(address).await.map_err(|error| {
                anyhow!("could not listen on {address} ({error}); choose another address with --listen")
            })?;
            self.address = Some(tcp.local_addr()?);
            self.listeners.push(Listener::Tcp(tcp));
        }
        if let Some(address) = server.health_listen {
            let tcp = TcpListener::bind(address).await.map_err(|error| {
                anyhow!(
                    "could not listen on {address} ({error}) for probes; set server.health_listen to another"
                )
            })?;
            self.health_address = Some(tcp.local_addr()?);
            self.health_listener = Some(Listener::Tcp(tcp));
        }
        if let Some(path) = &server.unix_socket {
            self.listeners.push(Listener::Unix(bind_unix(path).await?));
            self.unix_socket = Some(path.clone());
        }
        if server.insecure && self.address.is_some_and(|a| !a.ip().is_loopback()) {
            tracing::warn!(
                address = ?self.address,
                "INSECURE: anybody who reaches this address reads and writes every memory under any name"
            );
        }
        Ok(())
    }
}

/// Binds a unix socket, and takes over a file that a dead process left there.
async fn bind_unix(path: &Path) -> anyhow::Result<UnixListener> {
    let in_use = |path: &Path| format!("could not listen on the unix socket {}", path.display());
    if path.exists() {
        if UnixStream::connect(path).await.is_ok() {
            bail!("{}: another process does; choose another path with --unix-socket", in_use(path));
        }
        std::fs::remove_file(path).with_context(|| in_use(path))?;
    }
    UnixListener::bind(path).with_context(|| in_use(path))
}

/// The bytes of requests and answers that may be held: as configured, or else a quarter of the memory there is.
fn in_flight(configured: usize, memory: Option<u64>) -> usize {
    /// Less would not take the largest call.
    const LEAST: usize = 16 << 20;
    const UNLIMITED: usize = 256 << 20;
    match (configured, memory) {
        (0, Some(memory)) => usize::try_from(memory / 4).unwrap_or(UNLIMITED).max(LEAST),
        (0, None) => UNLIMITED,
        (configured, _) => configured,
    }
}

/// What the configuration means for a coordinator.
#[must_use]
pub fn settings(config: &Config) -> Settings {
    let ms = Duration::from_millis;
    let (store_timeout, retry_pause) = STORE_PATIENCE;
    Settings {
        limits: limits(&config.limits),
        lanes: LaneLimits {
            batch_requests_max: config.lanes.batch_requests_max,
            batch_bytes_max: config.lanes.batch_bytes_max,
            batch_load_bytes_max: config.lanes.batch_load_bytes_max,
            queue_requests_max: config.lanes.queue_requests_max,
            queue_bytes_max: config.lanes.queue_bytes_max,
        },
        lane_idle: ms(config.lanes.idle_ms),
        ring: RingLimits { events_max: config.watch.ring_events_max, bytes_max: config.watch.ring_bytes_max },
        feed_idle: ms(config.watch.feed_idle_ms),
        poll_interval: ms(config.watch.poll_interval_ms),
        poll_interval_bus_down: ms(config.watch.poll_interval_bus_down_ms),
        backfills_max: config.watch.backfills_max,
        response_bytes_max: config.watch.response_bytes_max,
        bookmark_interval: ms(config.watch.bookmark_interval_ms),
        slow_consumer: ms(config.watch.slow_consumer_ms),
        in_flight_bytes_max: in_flight(config.transport.in_flight_bytes_max, memory::limit()),
        streams_max: config.watch.streams_max,
        reads_max: config.store.reads_max,
        drain_spread: ms(config.server.drain_spread_ms.min(config.server.drain_timeout_ms / 2)),
        store_timeout,
        retry_pause,
        retention: Retention {
            age: Duration::from_secs(config.retention.age_s),
            revisions: config.retention.revisions,
        },
        mirrors: MirrorLimits {
            embeds: config.recall.embedder == config::Embedder::Builtin,
            bytes_max: config.recall.mirror_bytes_max,
            body_bytes_max: config.recall.body_bytes_max,
            idle: ms(config.recall.mirror_idle_ms),
            interval: ms(config.recall.mirror_interval_ms),
        },
        lifetime: LifetimeSettings {
            expiry_interval: ms(config.retention.expiry_interval_ms),
            expiry_entries_max: config.retention.expiry_entries_max,
            compaction_interval: ms(config.retention.compaction_interval_ms),
            compaction_rows_max: config.retention.compaction_rows_max,
        },
    }
}

/// What the configuration means for connections and calls.
#[must_use]
pub fn transport(config: &Config) -> Transport {
    let ms = Duration::from_millis;
    let transport = &config.transport;
    Transport {
        connections_max: transport.connections_max,
        streams_max: transport.streams_max,
        stream_window_bytes: transport.stream_window_bytes,
        connection_window_bytes: transport.connection_window_bytes,
        frame_bytes_max: transport.frame_bytes_max,
        header_bytes_max: transport.header_bytes_max,
        send_buffer_bytes_max: transport.send_buffer_bytes_max,
        unsent_bytes_max: transport.unsent_bytes_max,
        connection_in_flight_bytes_max: transport.connection_in_flight_bytes_max,
        request_timeout: ms(config.server.request_timeout_ms),
        handshake_timeout: ms(transport.handshake_timeout_ms),
        idle_timeout: ms(transport.idle_timeout_ms),
        keepalive_interval: ms(transport.keepalive_interval_ms),
        keepalive_timeout: ms(transport.keepalive_timeout_ms),
    }
}

fn limits(config: &config::Limits) -> Limits {
    Limits {
        namespace_segments_max: config.namespace_segments_max,
        segment_bytes_max: config.segment_bytes_max,
        key_bytes_max: config.key_bytes_max,
        content_bytes_max: config.content_bytes_max,
        attributes_bytes_max: config.attributes_bytes_max,
        attributes_depth_max: config.attributes_depth_max,
        tags_max: config.tags_max,
        tag_bytes_max: config.tag_bytes_max,
        source_bytes_max: config.source_bytes_max,
        request_bytes_max: config.request_bytes_max,
        operations_max: config.operations_max,
        delete_prefix_max: config.delete_prefix_max,
        page_size_max: config.page_size_max,
        page_bytes_max: config.page_bytes_max,
    }
}

/// Looks at the schema of the configured store, and changes nothing.
///
/// # Errors
/// When it cannot be reached or read, or is newer than this program.
pub async fn store_status(config: &config::Store) -> anyhow::Result<Report> {
    store::status(config).await
}

/// Brings the schema of the configured store up to date, and says how it is then.
///
/// # Errors
/// As [`store_status`], and when a step fails, or a coordinator has the SQLite file open.
pub async fn store_migrate(config: &config::Store) -> anyhow::Result<Report> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    store::migrate(config, &clock).await
}

/// Copies the database of a coordinator, running or not, to a new file.
///
/// # Errors
/// When the source is no database of ours, or the target exists or cannot be written.
pub async fn backup(source: &Path, target: &Path) -> anyhow::Result<()> {
    Ok(sqlite::backup(source, target).await?)
}

/// Puts a backup in the place of a database that no coordinator uses. Its swarms begin a new incarnation.
///
/// # Errors
/// When the backup is no database of ours, or a coordinator runs on the target, or the target exists and `force` is not
/// given.
pub async fn restore(backup: &Path, target: &Path, force: bool) -> anyhow::Result<()> {
    match sqlite::restore(backup, target, force).await {
        Err(sqlite::BackupError::Exists { file }) => {
            bail!("{} exists; replace it with --force, or choose another name", file.display())
        }
        Err(error @ sqlite::BackupError::NotOurs { .. }) => {
            bail!("{error} (--force replaces databases of swarmem alone)")
        }
        restored => Ok(restored?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_budgeted_by_what_there_is() {
        assert_eq!(in_flight(7, Some(1 << 30)), 7);
        assert_eq!(in_flight(0, Some(1 << 30)), 256 << 20);
        assert_eq!(in_flight(0, Some(4 << 30)), 1 << 30);
        assert_eq!(in_flight(0, Some(1)), 16 << 20);
        assert_eq!(in_flight(0, None), 256 << 20);
    }
}
