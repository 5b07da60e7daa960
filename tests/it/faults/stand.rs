//! What the faults are done to: PostgreSQL, Redis, three coordinators, and a line that can be cut between any two. Knows no fault.

use swarmem::client::Endpoint;
use tokio::{sync::oneshot, task::JoinHandle};

use crate::{
    client::proxy::Proxy,
    history::recorder::Recorder,
    process::{PATIENCE, Server},
    servers::{clocks::Clocks, cluster::Cluster, redis::RedisServer},
};

/// How many coordinators there are.
pub const COORDINATORS: usize = 3;

/// All of it.
pub struct Stand {
    pub replicas: Vec<Replica>,
    /// So many of them, the last ones, are never killed, stopped or drained: what is held for long shows in them.
    spared: usize,
    pub redis: RedisServer,
    pub redis_runs: bool,
    // Behind the replicas: it is used until they are gone.
    pub postgres: Cluster,
}

/// A coordinator, and its lines.
pub struct Replica {
    pub server: Server,
    pub runs: bool,
    /// How often it would not start, and was started again as by a supervisor.
    pub refused_starts: u32,
    pub store: Proxy,
    pub bus: Proxy,
    pub clients: Proxy,
}

impl Stand {
    pub async fn start(settings: &[(&str, &str)]) -> Self {
        Self::sparing(0, settings).await
    }

    /// With so many coordinators more, to which nothing is done but to their lines.
    pub async fn sparing(spared: usize, settings: &[(&str, &str)]) -> Self {
        let (postgres, redis) = (Cluster::primary(), RedisServer::start());
        let mut replicas = Vec::new();
        for _ in 0..COORDINATORS + spared {
            replicas.push(Replica::start(&postgres, &redis, settings).await);
        }
        Self { replicas, spared, redis, redis_runs: true, postgres }
    }

    /// One whose processes have clocks that can be moved: "postgres", and "0", "1", … for the coordinators.
    pub async fn with_clocks(clocks: &Clocks) -> Self {
        let postgres = Cluster::primary_with(clocks.of("postgres").into());
        let (redis, mut replicas) = (RedisServer::start(), Vec::new());
        for place in 0..COORDINATORS {
            let environment = clocks.of(&place.to_string());
            let settings = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
            replicas.push(Replica::start(&postgres, &redis, &settings).await);
        }
        Self { replicas, spared: 0, redis, redis_runs: true, postgres }
    }

    /// The coordinators that may come to an end.
    pub fn mortals(&mut self) -> &mut [Replica] {
        let count = self.replicas.len() - self.spared;
        &mut self.replicas[..count]
    }

    /// Where clients find the coordinators.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.replicas.iter().map(|replica| replica.clients.address().parse().unwrap()).collect()
    }

    /// The same, as the history names them.
    pub fn names(&self) -> Vec<String> {
        self.endpoints().iter().map(ToString::to_string).collect()
    }

    /// Everything runs and can be reached again.
    pub async fn heal(&mut self) {
        if !self.postgres.runs() {
            self.postgres.run();
        }
        self.postgres.sql("ALTER SYSTEM RESET ALL");
        self.postgres.sql("SELECT pg_reload_conf()");
        if !self.redis_runs {
            self.redis.run();
            self.redis_runs = true;
        }
        self.redis.signal("-CONT");
        for replica in &mut self.replicas {
            replica.heal();
        }
    }

    /// What its parts say of themselves, for whoever has to find out why nothing goes on.
    pub fn said(&self) -> String {
        let sessions = "SELECT pid, client_port, state, wait_event_type, wait_event, now() - xact_start, now() - query_start, \
                        pg_blocking_pids(pid), left(query, 120) FROM pg_stat_activity WHERE pid <> pg_backend_pid()";
        let mut said = format!("sessions:\n{}\n", self.postgres.sql(sessions));
        for replica in &self.replicas {
            let log = replica.server.log();
            let lines: Vec<_> = log.lines().collect();
            let newest = &lines[lines.len().saturating_sub(30)..];
            said += &format!("\n{}:\n{}\n", replica.clients.address(), newest.join("\n"));
        }
        said
    }

    /// Reads the log over and over, so that what compaction removes has been read.
    pub async fn reading_of_the_log(&self, recorder: &Recorder, swarm: &str) -> Reading {
        Self::reading_of(&self.postgres, recorder, swarm).await
    }

    /// The same of another server.
    pub async fn reading_of(postgres: &Cluster, recorder: &Recorder, swarm: &str) -> Reading {
        let store = swarmem::store::postgres::PostgresOptions::new(postgres.url());
        let store = swarmem::store::postgres::PostgresStore::open(store).await.unwrap();
        let (stop, mut stopped) = oneshot::channel();
        let recorder = recorder.clone();
        let swarm = swarmem::domain::swarm::SwarmId::parse(swarm).unwrap();
        let task = tokio::spawn(async move {
            loop {
                // While the database is away there is nothing to read.
                let _ = recorder.read_store(&store, &swarm).await;
                let pause = tokio::time::sleep(std::time::Duration::from_millis(50));
                tokio::select! {
                    () = pause => {}
                    _ = &mut stopped => break,
                }
            }
            recorder.read_store(&store, &swarm).await.unwrap();
        });
        Reading { stop: Some(stop), task }
    }
}

/// A reading of the log that goes on.
pub struct Reading {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Reading {
    /// Ends it with everything read.
    pub async fn stop(&mut self) {
        drop(self.stop.take());
        (&mut self.task).await.unwrap();
    }
}

impl Replica {
    async fn start(postgres: &Cluster, redis: &RedisServer, settings: &[(&str, &str)]) -> Self {
        let store = Proxy::to(&format!("127.0.0.1:{}", postgres.port), 1).await;
        let bus = Proxy::to_redis(&format!("127.0.0.1:{}", redis.port), 1).await;
        let store_url = postgres.url_through(store.port());
        let bus_url = format!("redis://{}", bus.address());
        let mut environment = vec![
            ("SWARMEM_STORE_KIND", "postgres"),
            ("SWARMEM_STORE_URL", &store_url),
            ("SWARMEM_BUS_KIND", "redis"),
            ("SWARMEM_BUS_URLS", &bus_url),
            // Quicker than the defaults, so that a course is short.
            ("SWARMEM_BUS_HEARTBEAT_INTERVAL_MS", "200"),
            ("SWARMEM_BUS_RETRY_PAUSE_MAX_MS", "200"),
            ("SWARMEM_SERVER_DRAIN_SPREAD_MS", "200"),
            ("SWARMEM_RETENTION_EXPIRY_INTERVAL_MS", "100"),
        ];
        environment.extend(settings);
        let server = Server::start_to_be_killed(&[], &environment);
        let clients = Proxy::to(server.address(), 1).await;
        Self { server, runs: true, refused_starts: 0, store, bus, clients }
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        self.server.kill();
        self.runs = false;
    }

    /// Starts it again, over and over if it must be.
    pub fn run(&mut self) {
        let deadline = std::time::Instant::now() + PATIENCE;
        while let Err(said) = self.server.try_restart() {
            assert!(std::time::Instant::now() < deadline, "serve, again: {said}");
            self.refused_starts += 1;
        }
        self.runs = true;
    }

    /// The three lines.
    pub fn lines(&self) -> [&Proxy; 3] {
        [&self.store, &self.bus, &self.clients]
    }

    fn heal(&mut self) {
        for line in self.lines() {
            line.heal();
        }
        if self.runs {
            self.server.signal("CONT");
        } else {
            self.run();
        }
    }
}
