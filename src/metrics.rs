//! What the coordinator tells of itself in figures: every name, unit and meaning stands here, and nowhere else. Knows
//! nothing of who counts and who asks.

use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{
        counter::Counter as AnyCounter,
        family::Family,
        gauge::Gauge as AnyGauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::{Registry, Unit},
};

/// Only grows.
pub type Counter = AnyCounter<u64, AtomicU64>;
/// Goes up and down.
pub type Gauge = AnyGauge<i64, AtomicI64>;
/// How long something took, in seconds: 28 buckets, each half as long again as the one before, from 10 us to 0.6 s, and
/// beyond.
type Durations = Histogram;

/// What a batch of writes goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// A request waits for its lane to take it.
    Queue,
    /// The batch waits for its swarm's lock.
    Lock,
    /// What the batch touches is loaded.
    Load,
    /// The requests are decided.
    Apply,
    /// What they came to is written.
    Persist,
    /// It is made durable.
    Commit,
    /// The bus is given it.
    Publish,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabel {
    phase: &'static str,
}

impl Phase {
    const ALL: [Self; 7] =
        [Self::Queue, Self::Lock, Self::Load, Self::Apply, Self::Persist, Self::Commit, Self::Publish];

    fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Lock => "lock",
            Self::Load => "load",
            Self::Apply => "apply",
            Self::Persist => "persist",
            Self::Commit => "commit",
            Self::Publish => "publish",
        }
    }
}

/// How something went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Went {
    /// As it should.
    Ok,
    /// It failed.
    Failed,
}

impl Went {
    /// As a result says.
    pub fn of<T, E>(result: &Result<T, E>) -> Self {
        if result.is_ok() { Self::Ok } else { Self::Failed }
    }

    fn label(self) -> WentLabel {
        WentLabel { outcome: if self == Self::Ok { "ok" } else { "failed" } }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WentLabel {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RpcLabel {
    method: String,
    code: &'static str,
}

/// Whether there is a bus to be told of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HasBus {
    /// There is one.
    #[default]
    Yes,
    /// There is none: a figure of it would say something of what is not there.
    No,
}

/// Everything that is counted and measured.
pub struct Metrics {
    registry: Registry,
    rpcs: Family<RpcLabel, Counter>,
    rpc_duration: Durations,
    phases: Family<PhaseLabel, Durations, fn() -> Durations>,
    /// Requests of a commit.
    batch: Histogram,
    commits: Family<WentLabel, Counter>,
    watch_lag: Durations,
    /// Events handed to watchers.
    pub events: Counter,
    /// Pages that watchers read from the log because the ring did not reach back so far.
    pub ring_misses: Counter,
    /// Pages that feeds read from the log.
    pub backfills: Counter,
    /// Times that a feed compared itself with the log.
    pub catch_ups: Counter,
    recalls: Durations,
    /// Mirrors that were loaded.
    pub mirror_loads: Counter,
    polls: Family<WentLabel, Counter>,
    /// What is looked at when somebody asks.
    pub now: Now,
}

/// Figures of the moment.
#[derive(Default)]
pub struct Now {
    /// Whether the store answers: 1 or 0.
    pub store_up: Gauge,
    /// Whether the bus works: 1 or 0.
    pub bus_up: Gauge,
    /// Lanes that have a task.
    pub lanes: Gauge,
    /// Requests that wait in lanes.
    pub waiting: Gauge,
    /// Swarms that are followed.
    pub feeds: Gauge,
    /// Events held in rings.
    pub ring_events: Gauge,
    /// Mirrors that are held.
    pub mirrors: Gauge,
    /// Bytes of them.
    pub mirror_bytes: Gauge,
    /// Streams of watchers.
    pub streams: Gauge,
    /// Reads that run or wait.
    pub reads: Gauge,
    /// Bytes of requests and answers held.
    pub in_flight_bytes: Gauge,
    /// Connections to the store that are in use.
    pub store_busy: Gauge,
    /// Connections to the store that there may be.
    pub store_max: Gauge,
    /// What the bus counted itself.
    pub bus: BusCounts,
}

/// What a bus counts itself; set, not added to.
#[derive(Default)]
pub struct BusCounts {
    /// Commits that were sent.
    pub published: Counter,
    /// Of those, the ones that were too large.
    pub fetches: Counter,
    /// Commits that were not sent.
    pub lost: Counter,
    /// Messages of others that arrived.
    pub received: Counter,
    /// Messages that could not be read.
    pub unreadable: Counter,
    /// Gaps that subscribers were told of.
    pub gaps: Counter,
    /// Interruptions.
    pub interruptions: Counter,
}

impl BusCounts {
    fn register(&self, to: &mut Registry) {
        for (name, meaning, counter) in [
            ("bus_published", "Commits sent to the other coordinators", &self.published),
            (
                "bus_fetches",
                "Commits of which only the place was sent, because they were too large",
                &self.fetches,
            ),
            (
                "bus_lost",
                "Commits not sent because the bus was down or slow; watchers elsewhere wait for the poll",
                &self.lost,
            ),
            ("bus_received", "Messages of other coordinators that arrived", &self.received),
            ("bus_unreadable", "Messages that could not be read", &self.unreadable),
            ("bus_gaps", "Times that a feed was told that the bus may have lost something", &self.gaps),
            ("bus_interruptions", "Interruptions of the bus", &self.interruptions),
        ] {
            to.register(name, meaning, counter.clone());
        }
    }
}

/// Sets a count that somebody else keeps.
pub fn set(counter: &Counter, to: u64) {
    counter.inner().store(to, Ordering::Relaxed);
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(HasBus::default())
    }
}

impl Metrics {
    /// Nothing counted yet.
    #[must_use]
    pub fn new(bus: HasBus) -> Self {
        let mut registry = Registry::with_prefix("swarmem");
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "Which program this is", version);
        let mut metrics = Self {
            rpcs: Family::default(),
            rpc_duration: durations(),
            phases: Family::new_with_constructor(durations as fn() -> Durations),
            batch: Histogram::new(exponential_buckets(1.0, 2.0, 13)),
            commits: Family::default(),
            watch_lag: durations(),
            events: Counter::default(),
            ring_misses: Counter::default(),
            backfills: Counter::default(),
            catch_ups: Counter::default(),
            recalls: durations(),
            mirror_loads: Counter::default(),
            polls: Family::default(),
            now: Now::default(),
            registry: Registry::default(),
        };
        metrics.show_zeros();
        metrics.register(&mut registry, bus);
        metrics.registry = registry;
        metrics
    }

    /// What did not happen yet is told as 0, so that a first time is seen as a change.
    fn show_zeros(&self) {
        for phase in Phase::ALL {
            drop(self.phases.get_or_create(&PhaseLabel { phase: phase.name() }));
        }
        for went in [Went::Ok, Went::Failed] {
            drop(self.commits.get_or_create(&went.label()));
            drop(self.polls.get_or_create(&went.label()));
        }
    }

    fn register(&self, to: &mut Registry, bus: HasBus) {
        to.register("rpcs", "Calls that ended, streams included, by method and gRPC code", self.rpcs.clone());
        to.register_with_unit(
            "rpc_duration",
            "How long unary calls took, from their headers to their answer",
            Unit::Seconds,
            self.rpc_duration.clone(),
        );
        to.register_with_unit(
            "write_phase",
            "How long the parts of a write took: queue (a request waits for its lane), and of a batch lock, load, apply, \
             persist, commit, publish",
            Unit::Seconds,
            self.phases.clone(),
        );
        to.register("commit_requests", "Requests that were committed together", self.batch.clone());
        to.register(
            "commits",
            "Batches given to the store, by whether it committed them",
            self.commits.clone(),
        );
        to.register_with_unit(
            "watch_lag",
            "How old the oldest event of a response was when it was given to the transport, by the store's clock and the \
             coordinator's; of what came from the ring",
            Unit::Seconds,
            self.watch_lag.clone(),
        );
        to.register("watch_events", "Events given to watchers", self.events.clone());
        to.register(
            "watch_ring_misses",
            "Pages that watchers read from the log because the ring did not reach back so far",
            self.ring_misses.clone(),
        );
        to.register("feed_backfills", "Pages that feeds read from the log", self.backfills.clone());
        to.register(
            "feed_catch_ups",
            "Times that a feed compared itself with the log, because it started or may have missed something",
            self.catch_ups.clone(),
        );
        to.register_with_unit(
            "recall_duration",
            "How long a question took, from the call to its answer, mirrors that had to be loaded included",
            Unit::Seconds,
            self.recalls.clone(),
        );
        to.register("mirror_loads", "Mirrors that were loaded", self.mirror_loads.clone());
        to.register(
            "polls",
            "Questions for the heads of all followed swarms, by outcome",
            self.polls.clone(),
        );
        self.now.register(to);
        if bus == HasBus::Yes {
            to.register(
                "bus_up",
                "Whether the bus works: 1 or 0; with bus.kind = local there is none, and no figure of it",
                self.now.bus_up.clone(),
            );
            self.now.bus.register(to);
        }
    }

    /// How long a phase took.
    pub fn phase(&self, phase: Phase, took: Duration) {
        self.phases.get_or_create(&PhaseLabel { phase: phase.name() }).observe(took.as_secs_f64());
    }

    /// A batch of so many requests was given to the store.
    pub fn commit(&self, requests: usize, went: Went) {
        self.batch.observe(requests as f64);
        self.commits.get_or_create(&went.label()).inc();
    }

    /// The heads were asked for.
    pub fn poll(&self, went: Went) {
        self.polls.get_or_create(&went.label()).inc();
    }

    /// Events were given to a watcher, the oldest of which, if it came from the ring, is so old.
    pub fn delivered(&self, events: usize, lag: Option<Duration>) {
        self.events.inc_by(events as u64);
        if let Some(lag) = lag {
            self.watch_lag.observe(lag.as_secs_f64());
        }
    }

    /// A question was answered.
    pub fn recall(&self, took: Duration) {
        self.recalls.observe(took.as_secs_f64());
    }

    /// A call ended; `took` of a unary one.
    pub fn rpc(&self, method: &str, code: &'static str, took: Option<Duration>) {
        self.rpcs.get_or_create(&RpcLabel { method: method.to_owned(), code }).inc();
        if let Some(took) = took {
            self.rpc_duration.observe(took.as_secs_f64());
        }
    }

    /// All of it, in the text format of OpenMetrics.
    #[must_use]
    pub fn text(&self) -> String {
        let mut said = String::new();
        text::encode(&mut said, &self.registry).expect("a string takes everything");
        said
    }
}

impl Now {
    fn register(&self, to: &mut Registry) {
        let now = [
            ("store_up", "Whether the store answers: 1 or 0", &self.store_up),
            ("lanes", "Swarms with a lane that is awake", &self.lanes),
            ("lane_requests", "Requests that wait in lanes", &self.waiting),
            ("feeds", "Swarms that are followed because somebody watches them", &self.feeds),
            ("ring_events", "Events that rings hold", &self.ring_events),
            ("mirrors", "Roots that are held in memory because somebody asked about them", &self.mirrors),
            (
                "mirror_bytes",
                "What they take, about, as of the last look, some seconds ago",
                &self.mirror_bytes,
            ),
            ("watch_streams", "Open streams of watchers", &self.streams),
            ("reads", "Reads that run or wait for the store", &self.reads),
            ("store_connections_busy", "Connections to the store that are in use", &self.store_busy),
            ("store_connections_max", "Connections to the store that there may be", &self.store_max),
        ];
        for (name, meaning, gauge) in now {
            to.register(name, meaning, gauge.clone());
        }
        let meaning = "Bytes of requests and answers that are held";
        to.register_with_unit("in_flight", meaning, Unit::Bytes, self.in_flight_bytes.clone());
    }
}

fn durations() -> Durations {
    Histogram::new(exponential_buckets(10e-6, 1.5, 28))
}

#[cfg(test)]
mod tests {
    use std::{env, fs, path::Path};

    use super::*;

    /// Every figure as a row of a table, out of what is told about it.
    fn reference(text: &str) -> String {
        let mut rows = String::new();
        for help in text.lines().filter_map(|line| line.strip_prefix("# HELP ")) {
            let (name, meaning) = help.split_once(' ').unwrap();
            let said = |word: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(&format!("# {word} {name} ")));
                line.unwrap_or_default().to_owned()
            };
            let (kind, unit) = (said("TYPE"), said("UNIT"));
            let name = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
            rows += &format!("| `{name}` | {kind} | {unit} | {} |\n", meaning.trim_end_matches('.'));
        }
        format!(
            "# Figures\n\nGenerated from the code (`just docs`); do not edit.\n\nA coordinator tells them at `/metrics` of its HTTP \
             listener (`http.listen`, by default 127.0.0.1:7421), in the\ntext format of OpenMetrics that Prometheus reads. No \
             figure carries the name of a swarm, an agent or an entry.\n\n| figure | kind | unit | meaning |\n| --- | --- | --- | --- \
             |\n{rows}"
        )
    }

    /// With `SWARMEM_WRITE_DOCS=1` this writes the file instead of comparing it.
    #[test]
    fn the_figures_in_the_docs_are_current() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
        let metrics = Metrics::default();
        // Which methods are called is not known before they are.
        metrics.rpc("swarmem.v1.MemoryService/Put", "OK", None);
        let reference = reference(&metrics.text());
        if env::var_os("SWARMEM_WRITE_DOCS").is_some_and(|value| value == "1") {
            fs::write(&path, &reference).unwrap();
        }
        let written = fs::read_to_string(&path).unwrap_or_default();
        assert!(written == reference, "docs/metrics.md is stale: run `just docs`");
    }

    #[test]
    fn what_is_counted_is_told() {
        let metrics = Metrics::default();
        metrics.commit(3, Went::Ok);
        metrics.phase(Phase::Persist, Duration::from_millis(2));
        metrics.rpc("swarmem.v1.MemoryService/Put", "OK", Some(Duration::from_millis(1)));
        metrics.delivered(5, None);
        set(&metrics.now.bus.gaps, 7);
        let text = metrics.text();
        for line in [
            "swarmem_commits_total{outcome=\"ok\"} 1",
            "swarmem_write_phase_seconds_count{phase=\"persist\"} 1",
            "swarmem_rpcs_total{method=\"swarmem.v1.MemoryService/Put\",code=\"OK\"} 1",
            "swarmem_rpc_duration_seconds_count 1",
            "swarmem_watch_events_total 5",
            "swarmem_bus_gaps_total 7",
        ] {
            assert!(text.contains(&format!("{line}\n")), "no {line} in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
        assert!(!Metrics::new(HasBus::No).text().contains("swarmem_bus_"));
    }
}
