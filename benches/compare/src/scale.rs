//! How cost grows: with the entries of a swarm, with swarms and namespaces that a watcher does not match, with watchers of
//! which one never reads. Knows only our own side.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use serde::Serialize;
use swarmem::{
    bench::{
        Operation,
        audience::{Audience, Gate, Look},
        closed::{self, Measured},
        material::{self, Keys},
        meter::{Meter, us_each},
        paced,
        process::Process,
        put, watch,
    },
    client::{Client, Error},
    wire::v1,
};

use super::{
    Args,
    ours::{Ours, writers},
};

/// Characters of an entry's content.
const CHARS: usize = 300;
const CONNECTIONS: usize = 4;
const IN_FLIGHT: usize = 64;
/// Watches of the stalled-reader load, and how they are spread.
const WATCHERS: usize = 10_000;
const STREAMS: usize = 100;
/// Its writes a second.
const RATE: f64 = 2.0;

/// What a watcher that never reads should have read: 32 MiB.
const FLOOD: &str = "shared/flood";
const FLOOD_ENTRIES: usize = 512;

/// One figure. What does not apply is left out.
#[derive(Clone, Debug, Default, Serialize)]
struct Figure {
    figure: &'static str,
    /// Entries, swarms, namespaces or watchers.
    count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_per_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p50_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p99_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_cpu_us_per_op: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rss_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk_bytes_per_entry_beyond_content: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    met: Option<bool>,
}

/// Runs all of it, and prints each figure as soon as it is known.
///
/// # Errors
/// When a coordinator does not start, or a call fails.
pub async fn run(args: &Args) -> anyhow::Result<()> {
    let directory = tempfile::Builder::new().prefix("swarmem-compare-").tempdir_in(args.parent())?;
    let scale = Scale { args, directory: directory.path() };
    scale.entries().await?;
    scale.strangers().await?;
    scale.stalled().await
}

struct Scale<'a> {
    args: &'a Args,
    directory: &'a Path,
}

impl Scale<'_> {
    async fn ours(&self) -> anyhow::Result<Ours> {
        Ours::start(&self.args.program()?, self.directory).await
    }

    fn tell(&self, figure: &Figure) -> anyhow::Result<()> {
        use std::io::Write as _;
        // Few enough to be read as they are.
        Ok(writeln!(std::io::stdout(), "{}", serde_json::to_string(figure)?)?)
    }

    /// Put rate, memory and disk as a swarm fills.
    async fn entries(&self) -> anyhow::Result<()> {
        let ours = self.ours().await?;
        let process = ours.coordinator.process();
        let clients = ours.swarm("full", CONNECTIONS).await?;
        let content = material::content(CHARS);
        let keys = Keys::fresh();
        let sizes: &[u64] =
            if self.args.quick { &[1_000, 10_000, 50_000] } else { &[1_000, 10_000, 100_000, 1_000_000] };
        let mut entries = 0;
        for &size in sizes {
            fill(&clients, &keys, &content, size.saturating_sub(entries)).await?;
            let measured = closed::run(
                writers(&clients, IN_FLIGHT, &keys, &content),
                self.args.window(),
                &Meter::of(Some(process)),
            )
            .await?;
            entries = entries.max(size) + measured.operations_total;
            let rss_bytes = process.rss_bytes();
            let rss_max = match size {
                1_000_000 => Some((100 << 20, "rss <= 100 MiB")),
                10_000 => Some((50 << 20, "rss <= 50 MiB")),
                _ => None,
            };
            self.tell(&Figure {
                rss_bytes,
                target: rss_max.map(|max| max.1),
                met: rss_max.and_then(|max| Some(rss_bytes? <= max.0)),
                ..of("put_by_entries", size, &measured)
            })?;
        }
        let file = ours.coordinator.database();
        let mut bytes = fs::metadata(&file)?.len();
        bytes += fs::metadata(file.with_extension("db-wal")).map_or(0, |wal| wal.len());
        let beyond = bytes as f64 / entries as f64 - CHARS as f64;
        self.tell(&Figure {
            figure: "disk_by_entries",
            count: entries,
            disk_bytes_per_entry_beyond_content: Some(beyond),
            target: Some("<= 1000 bytes"),
            met: Some(beyond <= 1_000.0),
            ..Figure::default()
        })
    }

    /// What it costs that somebody watches one namespace of one swarm, while others write elsewhere.
    async fn strangers(&self) -> anyhow::Result<()> {
        for count in [1, 10, 100] {
            let ours = self.ours().await?;
            let watched = ours.swarm("watched", 1).await?;
            let mut others = Vec::new();
            for index in 0..count {
                others.extend(ours.swarm(&format!("other-{index}"), 1).await?);
            }
            let keys = Keys::fresh();
            let writer = |index: usize| elsewhere(&others[index % others.len()], &keys, None);
            let writers = || (0..IN_FLIGHT).map(writer).collect();
            // Without a watcher first: what it costs is the difference.
            self.beside(&ours, Vec::new(), writers(), "put_unwatched_by_swarms", count as u64).await?;
            let (watches, _) = watch::open(&watched, 1).await?;
            self.beside(&ours, watches, writers(), "put_beside_a_watcher_by_swarms", count as u64).await?;
        }
        for count in [1, 100, 10_000] {
            let ours = self.ours().await?;
            let clients = ours.swarm("watched", CONNECTIONS).await?;
            let (keys, namespaces) = (Keys::fresh(), Keys::among(count));
            let writer = |index: usize| elsewhere(&clients[index % CONNECTIONS], &keys, Some(&namespaces));
            let writers = || (0..IN_FLIGHT).map(writer).collect();
            self.beside(&ours, Vec::new(), writers(), "put_unwatched_by_namespaces", count).await?;
            let (watches, _) = watch::open(&clients[..1], 1).await?;
            self.beside(&ours, watches, writers(), "put_beside_a_watcher_by_namespaces", count).await?;
        }
        Ok(())
    }

    async fn beside(
        &self,
        ours: &Ours,
        watches: Vec<watch::Watch>,
        writers: Vec<Elsewhere>,
        figure: &'static str,
        count: u64,
    ) -> anyhow::Result<()> {
        let mut audience = Audience::seat(watches);
        let meter = Meter { server: Some(ours.coordinator.process()), delivered: audience.delivered() };
        let measured = audience.during(closed::run(writers, self.args.window(), &meter)).await??;
        anyhow::ensure!(measured.spent.delivered == 0, "the watcher was sent what it does not match");
        self.tell(&of(figure, count, &measured))
    }

    /// Many watchers, first all reading, then beside one that never does.
    async fn stalled(&self) -> anyhow::Result<()> {
        let ours = self.ours().await?;
        let process = ours.coordinator.process();
        let swarm = ours.swarm("crowd", CONNECTIONS).await?;
        let watchers = if self.args.quick { 1_000 } else { WATCHERS };
        let clients = ours.clients("crowd", watchers / STREAMS).await?;
        let (watches, _) = watch::open(&clients, watchers - 1).await?;
        let mut audience = Audience::seat(watches);
        let keys = Keys::fresh();
        let all_read = self.crowd(&mut audience, &swarm, &keys, process, "watch_all_reading").await?;
        self.tell(&all_read)?;
        // Held open, and never asked for what it has: more than all buffers between the two hold, so that it is the server
        // that has to wait. The others do not match it; they have the connection in common, and the server.
        let filter = v1::Filter { prefixes: vec![FLOOD.to_owned()], ..v1::Filter::default() };
        let request = v1::WatchRequest { filter: Some(filter), ..v1::WatchRequest::default() };
        let _never_reads = clients[0].watch(request).await?;
        for _ in 0..FLOOD_ENTRIES {
            let entry = put::entry(keys.draw(), material::content(64 * 1024));
            swarm[0].put(v1::PutOperation { namespace: FLOOD.to_owned(), ..entry }).await?;
        }
        let one_stalls = self.crowd(&mut audience, &swarm, &keys, process, "watch_one_never_reads").await?;
        self.tell(&one_stalls)
    }

    async fn crowd(
        &self,
        audience: &mut Audience<Error>,
        clients: &[Client],
        keys: &Keys,
        process: Process,
        figure: &'static str,
    ) -> anyhow::Result<Figure> {
        audience.look(Look::Decodes);
        let content = material::content(1024);
        let gate = Gate::new(audience, 0);
        let meter = Meter { server: Some(process), delivered: audience.delivered() };
        audience.note_times(true);
        let before = meter.read();
        let writers = writers(clients, 4, keys, &content);
        let count = if self.args.quick { 5 } else { 20 };
        let done = audience.during(paced::run(writers, RATE, count)).await??;
        audience.settle(gate.written() + done.len() as u64, Duration::from_secs(60)).await?;
        let spent = meter.since(&before);
        audience.note_times(false);
        let writes: BTreeMap<_, _> = done.iter().map(|done| (done.output, done.intended)).collect();
        let delays = audience.delays(&writes);
        anyhow::ensure!(delays.wrong == 0, "{} deliveries did not happen, or twice", delays.wrong);
        Ok(Figure {
            figure,
            count: delays.latency.count() / done.len().max(1) as u64,
            p50_us: delays.latency.quantile_us(0.5),
            p99_us: delays.latency.quantile_us(0.99),
            server_cpu_us_per_op: us_each(spent.server, spent.delivered),
            rss_bytes: process.rss_bytes(),
            ..Figure::default()
        })
    }
}

fn of(figure: &'static str, count: u64, measured: &Measured) -> Figure {
    Figure {
        figure,
        count,
        rate_per_s: Some(measured.rate_per_s()),
        p50_us: measured.latency.quantile_us(0.5),
        p99_us: measured.latency.quantile_us(0.99),
        server_cpu_us_per_op: us_each(measured.spent.server, measured.operations),
        ..Figure::default()
    }
}

/// Writes so many new entries as fast as it goes.
async fn fill(clients: &[Client], keys: &Keys, content: &str, count: u64) -> anyhow::Result<()> {
    const BATCH: u64 = 500;
    let mut left = count;
    while left > 0 {
        let batches = clients.iter().map_while(|client| {
            let size = left.min(BATCH);
            left -= size;
            let puts = (0..size).map(|_| put::entry(keys.draw(), content.to_owned())).collect();
            (size > 0).then(|| client.batch_put(puts))
        });
        let batches: Vec<_> = batches.collect();
        for done in futures_util::future::join_all(batches).await {
            done?;
        }
    }
    Ok(())
}

/// A writer that the watcher does not match: in another swarm, or in other namespaces of its own.
struct Elsewhere {
    client: Client,
    namespaces: Option<Keys>,
    keys: Keys,
}

fn elsewhere(client: &Client, keys: &Keys, namespaces: Option<&Keys>) -> Elsewhere {
    Elsewhere { client: client.clone(), namespaces: namespaces.cloned(), keys: keys.clone() }
}

impl Operation for Elsewhere {
    type Output = ();
    type Error = Error;

    async fn run(&mut self) -> Result<(), Error> {
        let mut entry: v1::PutOperation = put::entry(self.keys.draw(), material::content(CHARS));
        if let Some(namespaces) = &self.namespaces {
            entry.namespace = format!("shared/other/{}", namespaces.draw());
        }
        self.client.put(entry).await.map(drop)
    }
}
