//! The loads, in turns: ours, theirs, ours, theirs. Knows nothing of targets.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use swarmem::{
    bench::{
        Operation,
        audience::{Audience, Gate, Gated, Look},
        closed::{self, Measured, Window},
        disk,
        get::Get,
        latency::Latency,
        material::{self, Keys, share},
        meter::{Meter, per_s, us_each},
        paced,
        process::Process,
        put::{self, Pipeline},
        watch,
    },
    client::Client,
};
use tempfile::TempDir;

use super::{
    Args, bare,
    etcd::{self, Etcd},
    figures::Compared,
    ours::{Ours, writers},
    sqlite::{Bare, Written},
};

const CONTENT_BYTES: usize = 1024;
/// Connections of writers and readers, ours and theirs.
const CONNECTIONS: usize = 4;
/// Watches on one connection, ours and theirs.
const STREAMS: usize = 100;
/// Writes in flight on all streams of `Write` together.
const PIPELINED: usize = 1024;
/// Writers behind the watchers at full speed, and how far they may be ahead.
const FULL: (usize, u64) = (64, 256);
/// Writers that share a paced load.
const PACED_WRITERS: usize = 16;
/// Deliveries a second of a paced load, and writes at most.
const PACED: (f64, f64) = (20_000.0, 100.0);
const PATIENCE: Duration = Duration::from_secs(20);

/// Everything that runs while the rounds go.
struct Stand {
    ours: Ours,
    etcd: Etcd,
    bare: bare::Server,
    sqlite: Bare,
    window: Window,
    content: String,
    directory: TempDir,
    /// No key comes twice, in whatever round and at whomever.
    keys: Keys,
    puts: Vec<Client>,
    writes: Vec<Client>,
    gets: Vec<Client>,
    echoes: Vec<Client>,
    etcd_puts: Vec<etcd_client::Client>,
}

/// Runs all rounds.
pub async fn run(args: &Args) -> anyhow::Result<Compared> {
    let mut compared = Compared::default();
    let mut stand = Stand::build(args, &mut compared).await?;
    let mut rooms = Vec::new();
    for (watchers, ours, theirs) in [(100, "w100", "w100"), (1_000, "w1000", "w1000")] {
        rooms.push(stand.room(watchers, ours, theirs, &mut compared).await?);
    }
    let rounds = args.rounds.unwrap_or(if args.quick { 3 } else { 5 });
    for round in 0..rounds {
        let directory = stand.directory.path().to_owned();
        let probed = tokio::task::spawn_blocking(move || disk::probe(&directory, 100)).await??;
        compared.add("fdatasync_p50", "", probed.quantile_us(0.5), None);
        progress(&format!(
            "round {} of {rounds}: fdatasync p50 {:.0} us, p99 {:.0} us",
            round + 1,
            probed.quantile_us(0.5).unwrap_or_default(),
            probed.quantile_us(0.99).unwrap_or_default()
        ));
        stand.puts(&mut compared).await?;
        stand.writes(&mut compared).await?;
        stand.gets(&mut compared).await?;
        for room in &mut rooms {
            room.paced(&stand, &mut compared).await?;
        }
        if let Some(room) = rooms.last_mut() {
            room.full(&stand, &mut compared).await?;
        }
    }
    Ok(compared)
}

/// For people who wait; the figures alone are on standard output.
pub fn progress(text: &str) {
    use std::io::Write as _;
    // Whoever cannot read it loses nothing that is counted on.
    let _ = writeln!(std::io::stderr(), "{text}");
}

impl Stand {
    async fn build(args: &Args, compared: &mut Compared) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("swarmem-compare-").tempdir_in(args.parent())?;
        let program = args.program()?;
        for _ in 0..3 {
            let ours = Ours::start(&program, directory.path()).await?;
            let etcd = Etcd::start(&args.etcd, directory.path()).await?;
            let us = |time: Duration| Some(time.as_secs_f64() * 1e6);
            compared.add("start_to_serving", "etcd", us(ours.started_in), us(etcd.started_in));
        }
        let ours = Ours::start(&program, directory.path()).await?;
        let etcd = Etcd::start(&args.etcd, directory.path()).await?;
        let rss = |process: Process| process.rss_bytes().map(|bytes| bytes as f64);
        compared.add("rss_idle", "etcd", rss(ours.coordinator.process()), rss(etcd.process()));
        let bare = bare::Server::start()?;
        let content = material::content(CONTENT_BYTES);
        let gets = ours.swarm("gets", 1).await?;
        put::fill(&gets[0], 1_000, &content).await?;
        Ok(Self {
            puts: ours.swarm("puts", CONNECTIONS).await?,
            writes: ours.swarm("writes", CONNECTIONS).await?,
            echoes: bare.clients(1).await?,
            etcd_puts: etcd.clients(CONNECTIONS).await?,
            sqlite: Bare::create(directory.path())?,
            window: args.window(),
            gets,
            ours,
            etcd,
            bare,
            content,
            directory,
            keys: Keys::fresh(),
        })
    }

    fn our_process(&self) -> Option<Process> {
        Some(self.ours.coordinator.process())
    }

    fn etcd_writers(&self, count: usize, prefix: &'static str, keys: &Keys) -> Vec<etcd::Put> {
        let writer = |index: usize| etcd::Put {
            client: self.etcd_puts[index % self.etcd_puts.len()].clone(),
            prefix,
            keys: keys.clone(),
            content: self.content.clone(),
        };
        (0..count).map(writer).collect()
    }

    async fn puts(&self, compared: &mut Compared) -> anyhow::Result<()> {
        let keys = &self.keys;
        for in_flight in [1, 64, 256] {
            let clients = &self.puts[..in_flight.min(CONNECTIONS)];
            let ours = writers(clients, in_flight, keys, &self.content);
            let ours = self.closed(ours, self.our_process()).await?;
            let theirs = self.etcd_writers(in_flight, "puts", keys);
            let theirs = self.closed(theirs, Some(self.etcd.process())).await?;
            let cpu = |of: &Measured| us_each(of.spent.server, of.operations);
            let rates = (Some(ours.rate_per_s()), Some(theirs.rate_per_s()));
            match in_flight {
                1 => {
                    let p50 = |of: &Measured| of.latency.quantile_us(0.5);
                    compared.add("put_unary_1_p50", "etcd", p50(&ours), p50(&theirs));
                }
                64 => {
                    compared.add("put_unary_64", "etcd", rates.0, rates.1);
                    compared.add("put_unary_64_server_cpu", "etcd", cpu(&ours), cpu(&theirs));
                }
                _ => {
                    compared.add("put_unary_256", "etcd", rates.0, rates.1);
                    compared.add("put_unary_256_server_cpu", "etcd", cpu(&ours), cpu(&theirs));
                }
            }
        }
        Ok(())
    }

    /// etcd has no stream of writes: its rate is that of as many calls in flight.
    async fn writes(&mut self, compared: &mut Compared) -> anyhow::Result<()> {
        let keys = &self.keys.clone();
        let streams = writers(&self.writes, CONNECTIONS, keys, &self.content).into_iter().enumerate();
        let streams = streams.map(|(index, put)| Pipeline::new(put, share(PIPELINED, CONNECTIONS, index)));
        let ours = self.closed(streams.collect(), self.our_process()).await?;
        let written = Written::by(&self.ours.coordinator.database(), "writes")?;
        let meter = Meter::of(Some(Process::this()));
        let before = meter.read();
        let sqlite = self.sqlite.run(&written, self.window.measured)?;
        let spent = meter.since(&before);
        let theirs = self.etcd_writers(256, "writes", keys);
        let theirs = self.closed(theirs, Some(self.etcd.process())).await?;
        let rate = Some(ours.rate_per_s());
        compared.add("put_write", "etcd", rate, Some(theirs.rate_per_s()));
        compared.add("put_write", "sqlite", rate, Some(sqlite));
        let bare = us_each(spent.client, (sqlite * spent.elapsed.as_secs_f64()) as u64);
        compared.add("put_write_server_cpu", "sqlite", us_each(ours.spent.server, ours.operations), bare);
        compared.add("put_write_rows_per_commit", "", Some(written.rows_per_commit()), None);
        Ok(())
    }

    async fn gets(&self, compared: &mut Compared) -> anyhow::Result<()> {
        let reader = |clients: &[Client]| Get {
            client: clients[0].clone(),
            keys: Keys::among(1_000),
            consistency: None,
        };
        let ours = self.closed(vec![reader(&self.gets)], self.our_process()).await?;
        let theirs = self.closed(vec![reader(&self.echoes)], Some(self.bare.process())).await?;
        let p50 = |of: &Measured| of.latency.quantile_us(0.5);
        compared.add("get_1_p50", "tonic", p50(&ours), p50(&theirs));
        Ok(())
    }

    async fn closed<O>(&self, operations: Vec<O>, server: Option<Process>) -> anyhow::Result<Measured>
    where
        O: Operation,
        anyhow::Error: From<O::Error>,
    {
        Ok(closed::run(operations, self.window, &Meter::of(server)).await?)
    }

    async fn room(
        &self,
        watchers: usize,
        swarm: &str,
        prefix: &'static str,
        compared: &mut Compared,
    ) -> anyhow::Result<Room> {
        let connections = watchers.div_ceil(STREAMS);
        let writers = self.ours.swarm(swarm, CONNECTIONS).await?;
        let clients = self.ours.clients(swarm, connections).await?;
        let rss = |process: Process| process.rss_bytes().map(|bytes| bytes as f64);
        let before = (rss(self.ours.coordinator.process()), rss(self.etcd.process()));
        let (watches, _) = watch::open(&clients, watchers).await?;
        let theirs = etcd::open(&self.etcd.clients(connections).await?, prefix, watchers).await?;
        let after = (rss(self.ours.coordinator.process()), rss(self.etcd.process()));
        if watchers >= 1_000 {
            let each = |before: Option<f64>, after: Option<f64>| Some((after? - before?) / watchers as f64);
            compared.add("rss_per_idle_watcher", "etcd", each(before.0, after.0), each(before.1, after.1));
        }
        let (ours, theirs) = (Audience::seat(watches), Audience::seat(theirs));
        Ok(Room { watchers, prefix, writers, ours, theirs, keys: Keys::fresh() })
    }
}

/// Watchers of ours and of etcd's.
struct Room {
    watchers: usize,
    prefix: &'static str,
    writers: Vec<Client>,
    ours: Audience<swarmem::client::Error>,
    theirs: Audience<anyhow::Error>,
    keys: Keys,
}

impl Room {
    async fn paced(&mut self, stand: &Stand, compared: &mut Compared) -> anyhow::Result<()> {
        let rate = (PACED.0 / self.watchers as f64).min(PACED.1);
        // So many that a median and a 99th percentile of all deliveries mean something.
        let count = ((rate * stand.window.measured.as_secs_f64()) as u64).max(20);
        let ours = || writers(&self.writers, PACED_WRITERS, &self.keys, &stand.content);
        let ours = delays(&mut self.ours, ours, rate, count).await?;
        let theirs = || stand.etcd_writers(PACED_WRITERS, self.prefix, &self.keys);
        let theirs = delays(&mut self.theirs, theirs, rate, count).await?;
        let (p50, p99) = match self.watchers {
            100 => ("watch_100_p50", "watch_100_p99"),
            _ => ("watch_1000_p50", "watch_1000_p99"),
        };
        compared.add(p50, "etcd", ours.quantile_us(0.5), theirs.quantile_us(0.5));
        compared.add(p99, "etcd", ours.quantile_us(0.99), theirs.quantile_us(0.99));
        Ok(())
    }

    /// Beside etcd every event is decoded, as its client does; beside the bare server none is.
    async fn full(&mut self, stand: &Stand, compared: &mut Compared) -> anyhow::Result<()> {
        let writing = || writers(&self.writers, FULL.0, &self.keys, &stand.content);
        let server = stand.our_process();
        let ours = deliveries(&mut self.ours, writing(), Look::Decodes, stand.window, server).await?;
        let theirs = stand.etcd_writers(FULL.0, self.prefix, &self.keys);
        let process = Some(stand.etcd.process());
        let theirs = deliveries(&mut self.theirs, theirs, Look::Decodes, stand.window, process).await?;
        compared.add("deliveries_1000", "etcd", Some(ours.rate_per_s), Some(theirs.rate_per_s));
        compared.add("delivery_server_cpu", "etcd", ours.server_cpu_us, theirs.server_cpu_us);
        let ours = deliveries(&mut self.ours, writing(), Look::Counts, stand.window, server).await?;
        let bare = self.bare(stand, ours.events_per_response.round() as u64).await?;
        compared.add("deliveries_1000", "tonic", Some(ours.rate_per_s), Some(bare.rate_per_s));
        compared.add("delivery_server_cpu", "tonic", ours.server_cpu_us, bare.server_cpu_us);
        Ok(())
    }

    async fn bare(&self, stand: &Stand, events: u64) -> anyhow::Result<Deliveries> {
        let clients = stand.bare.clients(self.watchers.div_ceil(STREAMS)).await?;
        let mut watches = Vec::with_capacity(self.watchers);
        for index in 0..self.watchers {
            watches.push(bare::Watch::open(&clients[index % clients.len()], events).await?);
        }
        let mut audience = Audience::seat(watches);
        let meter = Meter { server: Some(stand.bare.process()), delivered: audience.delivered() };
        stand.echoes[0].put(put::entry("go".to_owned(), String::new())).await?;
        audience.during(tokio::time::sleep(stand.window.warm_up)).await?;
        let before = meter.read();
        audience.during(tokio::time::sleep(stand.window.measured)).await?;
        let spent = meter.since(&before);
        drop(audience);
        stand.echoes[0].delete(swarmem::wire::v1::DeleteOperation::default()).await?;
        Ok(Deliveries {
            rate_per_s: per_s(spent.delivered, spent.elapsed),
            server_cpu_us: us_each(spent.server, spent.delivered),
            events_per_response: events as f64,
        })
    }
}

struct Deliveries {
    rate_per_s: f64,
    server_cpu_us: Option<f64>,
    events_per_response: f64,
}

async fn deliveries<E, O>(
    audience: &mut Audience<E>,
    writers: Vec<O>,
    look: Look,
    window: Window,
    server: Option<Process>,
) -> anyhow::Result<Deliveries>
where
    E: Send + 'static,
    O: Operation,
    anyhow::Error: From<E> + From<O::Error>,
{
    audience.look(look);
    let gate = Arc::new(Gate::new(audience, FULL.1));
    let writers = writers.into_iter().map(|operation| Gated { operation, gate: Arc::clone(&gate) }).collect();
    let meter = Meter { server, delivered: audience.delivered() };
    let load = |meter: &Meter| meter.delivered.load(std::sync::atomic::Ordering::Relaxed);
    let before = (load(&meter), audience.responses());
    let measured = audience.during(closed::run(writers, window, &meter)).await??;
    audience.settle(gate.written(), PATIENCE).await?;
    let after = (load(&meter), audience.responses());
    let spent = measured.spent;
    Ok(Deliveries {
        rate_per_s: per_s(spent.delivered, spent.elapsed),
        server_cpu_us: us_each(spent.server, spent.delivered),
        events_per_response: (after.0 - before.0) as f64 / (after.1 - before.1).max(1) as f64,
    })
}

/// How long each write at that pace took until all had heard of it.
pub async fn delays<E, O>(
    audience: &mut Audience<E>,
    writers: impl Fn() -> Vec<O>,
    rate_per_s: f64,
    count: u64,
) -> anyhow::Result<Latency>
where
    E: Send + 'static,
    O: Operation<Output = u64>,
    anyhow::Error: From<E> + From<O::Error>,
{
    audience.look(Look::Decodes);
    let gate = Gate::new(audience, 0);
    let warm_up = audience.during(paced::run(writers(), rate_per_s, count / 5 + 1)).await??.len() as u64;
    audience.settle(gate.written() + warm_up, PATIENCE).await?;
    audience.note_times(true);
    let done = audience.during(paced::run(writers(), rate_per_s, count)).await??;
    audience.settle(gate.written() + warm_up + done.len() as u64, PATIENCE).await?;
    audience.note_times(false);
    let writes: BTreeMap<_, _> = done.iter().map(|done| (done.output, done.intended)).collect();
    let delays = audience.delays(&writes);
    anyhow::ensure!(delays.wrong == 0, "{} deliveries did not happen, or twice", delays.wrong);
    Ok(delays.latency)
}
