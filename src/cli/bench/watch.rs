//! The measurements of `bench watch`, one after the other. Knows nothing of how they are printed.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{Report, Speed, WatchLoad};
use crate::{
    bench::{
        audience::{Audience, Gate, Gated, Look},
        closed,
        material::{self, Keys},
        meter::Meter,
        paced,
        put::Put,
        row::Row,
        watch,
    },
    cli::Error,
    client::{self, Client},
};

/// Deliveries a second that a paced load makes at most, unless it is told its rate.
const DELIVERIES_PER_S: f64 = 20_000.0;
const WRITES_PER_S: f64 = 100.0;

/// Writers that share a paced load, so that one slow write holds up no other.
const PACED_WRITERS: usize = 16;

/// How long after the last write an event may arrive.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn run(load: &WatchLoad, report: &mut Report<'_>) -> Result<(), Error> {
    for &watchers in &load.watchers {
        let mut stand = Stand::build(load, watchers, report).await?;
        for speed in &load.speed {
            match speed {
                Speed::Paced => stand.paced(load, report).await?,
                Speed::Full => stand.full(load, report).await?,
            }
        }
    }
    Ok(())
}

/// Watchers, and writers for them to watch.
struct Stand {
    audience: Audience<client::Error>,
    writers: Vec<Client>,
    keys: Keys,
    content: String,
    /// What the names of the figures begin with.
    name: &'static str,
    row: Row,
}

impl Stand {
    async fn build(load: &WatchLoad, watchers_each: usize, report: &mut Report<'_>) -> Result<Self, Error> {
        let server = report.target.process;
        let name = if report.target.is_fleet() { "fleet" } else { "watch" };
        let clients = report.target.watching(watchers_each.div_ceil(load.streams_per_connection)).await?;
        let (watchers, connections) = (watchers_each * report.target.watched.len(), clients.len());
        let content = material::content(load.common.content_bytes);
        let row = Row {
            watchers: Some(watchers),
            connections: Some(connections),
            content_bytes: Some(content.len()),
            ..Row::default()
        };
        let meter = Meter::of(server);
        let before = meter.read();
        let (watches, latency) = watch::open(&clients, watchers).await?;
        let opened = Row::each(&format!("{name}_open"), watchers as u64, &meter.since(&before), server);
        report.add([row.about(opened.with_latency(&latency))])?;
        let writers = report.target.clients(load.common.connections).await?;
        Ok(Self { audience: Audience::seat(watches), writers, keys: Keys::fresh(), content, name, row })
    }

    fn writer(&self, index: usize) -> Put {
        Put {
            client: self.writers[index % self.writers.len()].clone(),
            keys: self.keys.clone(),
            content: self.content.clone(),
        }
    }

    /// Waits until everything that was written is everywhere.
    async fn settle(&mut self, written: u64) -> Result<(), Error> {
        Ok(self.audience.settle(written, PATIENCE).await?)
    }

    async fn paced(&mut self, load: &WatchLoad, report: &mut Report<'_>) -> Result<(), Error> {
        let watchers = self.row.watchers.unwrap_or(1);
        let rate = load.rate.unwrap_or_else(|| WRITES_PER_S.min(DELIVERIES_PER_S / watchers as f64));
        let count = |time: Duration| (rate * time.as_secs_f64()).ceil().max(1.0) as u64;
        let gate = Gate::new(&self.audience, 0);
        self.audience.look(Look::Decodes);
        let writers = |stand: &Self| (0..PACED_WRITERS).map(|index| stand.writer(index)).collect::<Vec<_>>();
        let warm_up = paced::run(writers(self), rate, count(load.common.warm_up));
        let warmed_up = self.audience.during(warm_up).await??.len() as u64;
        self.settle(gate.written() + warmed_up).await?;

        let meter = Meter { server: report.target.process, delivered: self.audience.delivered() };
        self.audience.note_times(true);
        let before = meter.read();
        let measured = paced::run(writers(self), rate, count(load.common.seconds));
        let done = self.audience.during(measured).await??;
        self.settle(gate.written() + warmed_up + done.len() as u64).await?;
        let spent = meter.since(&before);
        self.audience.note_times(false);

        let writes: BTreeMap<_, _> = done.iter().map(|done| (done.output, done.intended)).collect();
        let delays = self.audience.delays(&writes);
        if delays.wrong > 0 {
            let wrong = delays.wrong;
            return Err(Error::Failed(format!(
                "{wrong} deliveries to {watchers} watchers did not happen, or twice"
            )));
        }
        let row = Row::each(&format!("{}_paced", self.name), spent.delivered, &spent, report.target.process);
        report.add([self.row.about(row.with_latency(&delays.latency))])
    }

    async fn full(&mut self, load: &WatchLoad, report: &mut Report<'_>) -> Result<(), Error> {
        self.audience.look(if load.decode { Look::Decodes } else { Look::Counts });
        let gate = Arc::new(Gate::new(&self.audience, load.lag));
        let writers = (0..load.writers)
            .map(|index| Gated { operation: self.writer(index), gate: Arc::clone(&gate) })
            .collect();
        let meter = Meter { server: report.target.process, delivered: self.audience.delivered() };
        let responses = self.audience.responses();
        let delivered = self.audience.delivered().load(std::sync::atomic::Ordering::Relaxed);
        let measured = self.audience.during(closed::run(writers, load.common.window(), &meter)).await??;
        self.settle(gate.written()).await?;
        let row = Row::each(
            &format!("{}_full", self.name),
            measured.spent.delivered,
            &measured.spent,
            report.target.process,
        );
        let all = self.audience.delivered().load(std::sync::atomic::Ordering::Relaxed) - delivered;
        report.add([self.row.about(Row {
            in_flight: Some(load.writers),
            writes_per_s: Some(measured.rate_per_s()),
            events_per_response: Some(all as f64 / (self.audience.responses() - responses).max(1) as f64),
            ..row
        })])
    }
}
