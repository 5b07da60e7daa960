//! The main job in one command on real text: agents that share a memory, and the proof that all saw the same.
//! Knows a coordinator only as its clients do.

mod agent;
mod proof;
mod reading;
mod report;
mod texts;
mod watcher;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use clap::Args;
use futures_util::future::try_join_all;
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use tokio::{sync::watch, task::JoinSet};

pub use self::report::Report;
use self::{
    agent::{Agent, Knowledge},
    proof::{Ack, Received},
    reading::{Library, Paragraph},
    watcher::Watcher,
};
use super::Error;
use crate::client::{Client, Endpoint, Options, Role};

const AGENTS: [&str; 8] =
    ["researcher", "coder", "critic", "planner", "writer", "tester", "historian", "librarian"];
/// Writes that an agent may have unanswered.
const IN_FLIGHT: usize = 64;
const ORCHESTRATOR: &str = "orchestrator";
const SWARM: &str = "demo";
/// So many demos can be kept in one database.
const SWARMS_MAX: u32 = 1_000;
/// How many paragraphs in a row an agent reads, so that it reads in context and all have something to read.
const RUN_PARAGRAPHS_MAX: usize = 8;
/// How long the watchers may take for what is left once the last write is acknowledged.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Watch eight agents share the memory of some text, and prove that they saw the same.
#[derive(Args, Clone, Debug, Default)]
pub struct DemoArgs {
    /// A text file, or a directory of them; by default the project's own documents
    pub path: Option<PathBuf>,
    /// Leave the data in this directory
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}

/// Runs the demo against a coordinator that keeps its data in `database`.
///
/// # Errors
/// When there is no text to read, or a call fails. A proof that fails is no error here: the report says so.
pub async fn run(args: &DemoArgs, endpoint: Endpoint, database: &Path) -> Result<Report, Error> {
    let path = args.path.clone();
    let reading = tokio::task::spawn_blocking(move || {
        let mut library = path.map_or_else(|| Ok(Library::embedded()), |path| Library::at(&path))?;
        let paragraphs = library.paragraphs();
        Ok::<_, Error>((library, paragraphs))
    });
    let (library, paragraphs) =
        reading.await.map_err(|error| Error::Failed(format!("cannot read the texts: {error}")))??;
    let database_bytes_before = report::size_of(database);

    let (orchestrator, first_revision) = found_swarm(&endpoint).await?;
    let progress = progress_bar(paragraphs.len() * 3 + AGENTS.len());
    let mut audience = Audience::new(first_revision);
    audience.admit(&orchestrator, None, None).await?;
    let mut agents = Vec::with_capacity(AGENTS.len());
    for name in AGENTS {
        agents.push(audience.admit_agent(name, &endpoint, &orchestrator, &progress).await?);
    }

    let started = Instant::now();
    let written = work(&agents, &deal(&paragraphs, agents.len())).await;
    let seconds = started.elapsed().as_secs_f64();
    let newest = written.as_ref().ok().and_then(|acks| newest(acks)).unwrap_or_default();
    // If an agent failed because a watch had failed, the watch knows better why.
    let received = audience.leave_after(newest).await?;
    let acks = written?;
    progress.finish();

    let swarm = orchestrator.get_swarm().await?.swarm.unwrap_or_default();
    let mut report = Report {
        agents: AGENTS.len(),
        files: library.texts.len(),
        files_skipped: library.skipped,
        text_cut: library.cut,
        text_bytes: library.bytes(),
        paragraphs: paragraphs.len(),
        seconds,
        entries: swarm.entries.unwrap_or_default(),
        further: further(args, &swarm.swarm, database),
        swarm: swarm.swarm,
        database_bytes_before,
        ..prove(&acks, &received)
    };
    report.measure(database);
    Ok(report)
}

/// Creates a swarm of its own, and returns its orchestrator and its first revision.
async fn found_swarm(endpoint: &Endpoint) -> Result<(Client, u64), Error> {
    let client = Client::connect(endpoint, Options::new(SWARM, ORCHESTRATOR, Role::Orchestrator)).await?;
    for number in 1..=SWARMS_MAX {
        let name = if number == 1 { SWARM.to_owned() } else { format!("{SWARM}-{number}") };
        let client = client.in_swarm(name);
        match client.create_swarm(None).await {
            Ok(created) => return Ok((client, created.swarm.unwrap_or_default().revision + 1)),
            Err(error) if error.code() == crate::client::Code::AlreadyExists => {}
            Err(error) => return Err(Error::from(error)),
        }
    }
    Err(Error::Failed(format!(
        "{SWARMS_MAX} demos are kept here already; keep this one in another directory"
    )))
}

/// All who watch.
struct Audience {
    first_revision: u64,
    /// Dropped with the audience, which ends all watching.
    watchers: JoinSet<Result<Received, Error>>,
    until: watch::Sender<Option<u64>>,
}

impl Audience {
    fn new(first_revision: u64) -> Self {
        Self { first_revision, watchers: JoinSet::new(), until: watch::Sender::new(None) }
    }

    /// Lets a client watch everything it may read.
    async fn admit(
        &mut self,
        client: &Client,
        private: Option<String>,
        knowledge: Option<Arc<Mutex<Knowledge>>>,
    ) -> Result<watch::Receiver<u64>, Error> {
        let until = self.until.subscribe();
        let (watcher, reached) =
            Watcher::open(client, self.first_revision, private, knowledge, until).await?;
        let name = client.options().agent.clone();
        self.watchers.spawn(async move {
            let followed = watcher.follow().await;
            followed.map_err(|error| Error::Failed(format!("the watch of {name} ended: {error}")))
        });
        Ok(reached)
    }

    async fn admit_agent(
        &mut self,
        name: &'static str,
        endpoint: &Endpoint,
        orchestrator: &Client,
        progress: &ProgressBar,
    ) -> Result<Agent, Error> {
        let options = Options::new(&orchestrator.options().swarm, name, Role::Agent);
        let client = Client::connect(endpoint, options).await?;
        let knowledge = Arc::new(Mutex::new(Knowledge::default()));
        let private = Some(format!("agents/{name}"));
        let reached = self.admit(&client, private, Some(knowledge.clone())).await?;
        let writes = client.write_stream(IN_FLIGHT);
        Ok(Agent { name, writes, knowledge, reached, progress: progress.clone() })
    }

    /// Waits until all have seen everything up to a revision, and collects what they received.
    async fn leave_after(mut self, revision: u64) -> Result<Vec<Received>, Error> {
        self.until.send_replace(Some(revision));
        let everyone = self.watchers.len();
        let mut received = Vec::with_capacity(everyone);
        let all_left = async {
            while let Some(left) = self.watchers.join_next().await {
                received
                    .push(left.map_err(|error| Error::Failed(format!("a watcher broke down: {error}")))??);
            }
            Ok::<_, Error>(())
        };
        match tokio::time::timeout(SETTLE_TIMEOUT, all_left).await {
            Ok(outcome) => outcome.map(|()| received),
            Err(_) => Err(Error::Failed(format!(
                "{} of {everyone} watchers did not see everything up to revision {revision} within {SETTLE_TIMEOUT:?}",
                everyone - received.len()
            ))),
        }
    }
}

/// Lets all agents read at the same time, then conclude at the same time, and returns all acknowledgements.
async fn work(agents: &[Agent], shares: &[Vec<Paragraph>]) -> Result<Vec<Ack>, Error> {
    let read = agents.iter().zip(shares).map(|(agent, share)| agent.read(share));
    let mut acks: Vec<_> = try_join_all(read).await?.into_iter().flatten().collect();
    let newest = newest(&acks).unwrap_or_default();
    let conclude = agents.iter().zip(shares).map(|(agent, share)| agent.conclude(share, newest));
    acks.extend(try_join_all(conclude).await?.into_iter().flatten());
    Ok(acks)
}

fn newest(acks: &[Ack]) -> Option<u64> {
    acks.iter().map(|ack| ack.revision).max()
}

/// Deals paragraphs out in short runs.
fn deal(paragraphs: &[Paragraph], hands: usize) -> Vec<Vec<Paragraph>> {
    let run = (paragraphs.len() / (hands * 2)).clamp(1, RUN_PARAGRAPHS_MAX);
    let mut shares = vec![Vec::new(); hands];
    for (index, chunk) in paragraphs.chunks(run).enumerate() {
        shares[index % hands].extend_from_slice(chunk);
    }
    shares
}

fn prove(acks: &[Ack], received: &[Received]) -> Report {
    let faults = proof::faults(acks, received);
    let mut puts: Vec<_> = acks.iter().map(|ack| ack.latency).collect();
    puts.sort_unstable();
    let mut arrivals = proof::put_to_watch(acks, received);
    arrivals.sort_unstable();
    Report {
        writes: acks.len(),
        watchers: received.len(),
        events_per_watcher: received.iter().map(|one| (one.watcher.clone(), one.events.len())).collect(),
        shared_events_per_watcher: received.iter().map(|one| (one.watcher.clone(), one.shared)).collect(),
        order_per_watcher: received.iter().map(|one| (one.watcher.clone(), one.order.clone())).collect(),
        orders_equal: received.windows(2).all(|pair| pair[0].order == pair[1].order),
        gap_free: faults.is_empty(),
        faults,
        put_p50_us: proof::percentile_us(&puts, 50),
        put_p99_us: proof::percentile_us(&puts, 99),
        put_to_watch_p50_us: proof::percentile_us(&arrivals, 50),
        put_to_watch_p99_us: proof::percentile_us(&arrivals, 99),
        ..Report::default()
    }
}

fn further(args: &DemoArgs, swarm: &str, database: &Path) -> Vec<String> {
    if args.keep.is_none() {
        return vec![
            "swarmem demo --keep ./demo    leaves the data, to be served and looked at".to_owned(),
            "swarmem demo PATH             reads your own texts".to_owned(),
        ];
    }
    vec![
        format!("swarmem serve --store {} &", database.display()),
        format!("swarmem --swarm {swarm} list shared/links"),
        format!("swarmem --swarm {swarm} get shared/summaries coder"),
        format!("swarmem --swarm {swarm} --agent critic --role agent namespaces"),
        format!("swarmem --swarm {swarm} watch shared --snapshot"),
    ]
}

/// Hidden unless standard error is a terminal; gone when the demo ends, however it ends.
fn progress_bar(writes: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} writes, {per_sec}")
        .expect("the template is well formed");
    ProgressBar::new(writes as u64).with_style(style).with_finish(ProgressFinish::AndClear)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_dealt_once_and_everyone_gets_something() {
        let paragraphs = Library::embedded().paragraphs();
        let shares = deal(&paragraphs, AGENTS.len());
        assert!(shares.iter().all(|share| !share.is_empty()));
        let mut numbers: Vec<_> = shares.iter().flatten().map(|paragraph| paragraph.number).collect();
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(1..=paragraphs.len()));
    }
}
