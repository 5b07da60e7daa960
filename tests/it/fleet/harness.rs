//! Coordinators over one database, each with a line of its own to it and to Redis, which a test can cut. Knows no case.

use std::time::Duration;

use swarmem::{
    client::{Client, ServingStatus},
    config::{BusKind, Config, Secret, StoreKind},
    wire::v1,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    client::{log, proxy::Proxy},
    process::eventually,
    rpc::harness::Server,
    servers::{postgres::Database, redis::RedisServer, tap::Tap},
};

pub const MEMORY: &str = "swarmem.v1.MemoryService";
pub const SWARM_SERVICE: &str = "swarmem.v1.SwarmService";
pub const RECALL: &str = "swarmem.v1.RecallService";
pub const WATCH: &str = "swarmem.v1.WatchService";
/// All services that have a status.
pub const SERVICES: [&str; 6] = ["", "liveness", WATCH, MEMORY, RECALL, SWARM_SERVICE];

/// Whether there is a bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bus {
    Redis,
    None,
}

/// Two replicas, and what they run on.
pub struct Fleet {
    pub replicas: [Replica; 2],
    pub redis: Option<RedisServer>,
    // Behind the replicas: it is used until they are gone.
    _database: Database,
}

/// A coordinator, and its lines.
pub struct Replica {
    pub server: Server,
    pub store: Proxy,
    /// What this replica asks of the database.
    pub asked: Tap,
    pub bus: Option<Proxy>,
}

impl Fleet {
    pub async fn start(bus: Bus) -> Self {
        Self::start_with(bus, |_| {}).await
    }

    pub async fn start_with(bus: Bus, change: impl Fn(&mut Config)) -> Self {
        let database = Database::new();
        let redis = (bus == Bus::Redis).then(RedisServer::start);
        let first = Replica::start(&database, redis.as_ref(), &change).await;
        let second = Replica::start(&database, redis.as_ref(), &change).await;
        let fleet = Self { replicas: [first, second], redis, _database: database };
        for replica in fleet.replicas.iter().filter(|replica| replica.bus.is_some()) {
            replica.until_figure("bus_up", |up| up == 1).await;
        }
        fleet
    }

    pub async fn stop(self) {
        for replica in self.replicas {
            replica.server.stop().await;
        }
    }

    /// All that happened up to now, as the second replica tells it to somebody new.
    pub async fn log(&self) -> Vec<v1::Event> {
        let server = &self.replicas[1].server;
        log(&server.orchestrator().await, server.revision().await).await
    }
}

impl Replica {
    async fn start(database: &Database, redis: Option<&RedisServer>, change: impl Fn(&mut Config)) -> Self {
        let asked = Tap::on(database.server).await;
        let store = Proxy::to(&format!("127.0.0.1:{}", asked.port), 1).await;
        let bus = match redis {
            Some(redis) => Some(Proxy::to(&format!("127.0.0.1:{}", redis.port), 1).await),
            None => None,
        };
        let server = Server::start_with(|config| {
            config.http.listen = Some(([127, 0, 0, 1], 0).into());
            config.store.kind = StoreKind::Postgres;
            config.store.url = Secret::new(database.tcp_url(store.port()));
            if let Some(bus) = &bus {
                config.bus.kind = BusKind::Redis;
                config.bus.urls = Secret::new(format!("redis://{}", bus.address()));
                // Quicker to notice than the defaults.
                config.bus.heartbeat_interval_ms = 200;
                config.bus.retry_pause_max_ms = 200;
            }
            change(config);
        })
        .await;
        Self { server, store, asked, bus }
    }

    /// A client of this replica that asks once and waits long.
    pub async fn boss(&self) -> Client {
        self.server.patient_for(crate::process::PATIENCE).await
    }

    /// The status and the text of a page.
    pub async fn page(&self, path: &str) -> (u16, String) {
        let mut socket = TcpStream::connect(self.server.http_address().unwrap()).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: swarmem\r\nconnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut said = String::new();
        socket.read_to_string(&mut said).await.unwrap();
        let (head, body) = said.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// A figure, by its name without ours before it; the sum over its labels.
    pub async fn figure(&self, name: &str) -> u64 {
        let (status, text) = self.page("/metrics").await;
        assert_eq!(status, 200);
        let lines = text.lines().filter_map(|line| {
            let rest = line.strip_prefix("swarmem_")?.strip_prefix(name)?;
            rest.starts_with([' ', '{']).then(|| rest.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        });
        let values: Vec<u64> = lines.collect();
        assert!(!values.is_empty(), "no figure {name} in {text}");
        values.iter().sum()
    }

    pub async fn until_figure(&self, name: &str, is: impl Fn(u64) -> bool) {
        eventually(name, async || is(self.figure(name).await).then_some(())).await;
    }

    /// The services that do not serve.
    pub async fn not_serving(&self) -> Vec<&'static str> {
        let client = self.server.orchestrator().await;
        let mut found = Vec::new();
        for service in SERVICES {
            if client.check_health(service).await.unwrap() != ServingStatus::Serving {
                found.push(service);
            }
        }
        found
    }

    /// Waits until all services serve, and says so over HTTP too.
    pub async fn until_all_serve(&self) {
        eventually("all services serve", async || self.not_serving().await.is_empty().then_some(())).await;
        assert_eq!(self.page("/readyz").await.0, 200);
    }
}

/// What a call may take on top of what is promised: the machine may be busy.
pub const MARGIN: Duration = Duration::from_millis(1500);
