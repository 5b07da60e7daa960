//! Many writers and watchers of one swarm over several coordinators, by a seed. Knows coordinators by their endpoints only,
//! and nothing of what is done to them meanwhile.

mod asking;
mod watching;
mod writing;

pub use watching::rests;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use swarmem::client::{Backoff, Client, Endpoint, Error, Options, Retry, Role};
use tokio::{sync::watch, task::JoinSet, time::timeout};

use super::{
    record::{End, Filter, Freshness, History, Name},
    recorder::{Recorded, Recorder, entries},
};
use crate::crash::random::Random;

/// What is asked of a fleet.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub swarm: String,
    pub writers: usize,
    /// So many of them, the last ones, send on a stream, several writes at a time.
    pub streams: usize,
    /// Each writer makes so many calls, unless the load is stopped before.
    pub operations: usize,
    pub watchers: usize,
    /// Of a hundred calls so many are given up somewhere.
    pub cancels_percent: u64,
    /// A writer pauses up to so long between two calls.
    pub pause_max: Duration,
    /// A slow watcher rests up to so long between two responses.
    pub rest_max: Duration,
    /// How long a call may take with its repeats.
    pub call_timeout: Duration,
    /// Whether a call that failed and may be made again is.
    pub repeats: bool,
    /// How often idle streams are told that they live.
    pub bookmarks: Duration,
    /// The longest time to live.
    pub ttl_max: Duration,
    /// The pauses before a client comes back.
    pub reconnect: Backoff,
    /// How long it may take in the end until everything has come to rest.
    pub patience: Duration,
}

impl Plan {
    /// For real processes: eight writers and twenty watchers.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            swarm: "default".into(),
            writers: 8,
            streams: 2,
            operations: usize::MAX,
            watchers: 20,
            cancels_percent: 5,
            pause_max: Duration::from_millis(20),
            rest_max: Duration::from_millis(100),
            call_timeout: Duration::from_secs(5),
            repeats: true,
            bookmarks: Duration::from_millis(500),
            ttl_max: Duration::from_secs(2),
            reconnect: Backoff { first: Duration::from_millis(20), max: Duration::from_millis(500) },
            patience: Duration::from_secs(60),
        }
    }

    fn options(&self, agent: &str, role: Role) -> Options {
        Options {
            call_timeout: self.call_timeout,
            attempt_timeout: self.call_timeout / 2,
            connect_timeout: self.call_timeout / 2,
            retry: self.repeats.then(|| Retry { backoff: self.reconnect, ..Retry::default() }),
            reconnect: self.reconnect,
            silence_min: self.bookmarks * 4,
            ..Options::new(&self.swarm, agent, role)
        }
    }
}

/// What all who take part know of each other.
#[derive(Default)]
struct Known {
    etags: HashMap<Name, String>,
    contents: HashMap<Name, String>,
    /// Of states, in the order in which they were learned.
    tokens: Vec<String>,
    newest: u64,
}

/// Everything that one of those who take part needs.
#[derive(Clone)]
struct Shared {
    plan: Arc<Plan>,
    recorder: Recorder,
    endpoints: Arc<Vec<Endpoint>>,
    known: Arc<Mutex<Known>>,
    /// Acknowledged writes.
    progress: watch::Sender<u64>,
    stop: watch::Receiver<bool>,
    /// How far watchers are to go; none: not known yet.
    until: watch::Receiver<Option<u64>>,
}

impl Shared {
    /// A client of the how-manieth coordinator. It is repeated until there is one: a coordinator may be down.
    async fn client(&self, place: usize, name: &str, agent: &str, role: Role) -> Recorded {
        let endpoint = &self.endpoints[place % self.endpoints.len()];
        loop {
            if let Ok(client) = Client::connect(endpoint, self.plan.options(agent, role)).await {
                return self.recorder.client(client, name, &endpoint.to_string());
            }
            tokio::time::sleep(self.plan.reconnect.max.max(Duration::from_millis(1))).await;
        }
    }
}

/// The clients of one who takes part, each made when it is first needed.
struct Clients {
    shared: Shared,
    name: String,
    agent: String,
    role: Role,
    /// The first place of its own, so that not all begin at the same.
    offset: usize,
    made: Vec<Option<Recorded>>,
}

impl Clients {
    fn new(shared: &Shared, name: &str, agent: &str, role: Role, offset: usize) -> Self {
        let (name, agent, made) = (name.to_owned(), agent.to_owned(), vec![None; shared.endpoints.len()]);
        Self { shared: shared.clone(), name, agent, role, offset, made }
    }

    /// The coordinator that is asked as a rule.
    async fn own(&mut self) -> Recorded {
        self.at(0).await
    }

    /// Any.
    async fn any(&mut self, random: &mut Random) -> Recorded {
        let place = random.below(self.made.len() as u64) as usize;
        self.at(place).await
    }

    async fn at(&mut self, place: usize) -> Recorded {
        if self.made[place].is_none() {
            let Self { shared, name, agent, role, offset, .. } = self;
            self.made[place] = Some(shared.client(*offset + place, name, agent, *role).await);
        }
        self.made[place].clone().expect("it was just made")
    }
}

/// A load that is under way.
pub struct Load {
    shared: Shared,
    stop: watch::Sender<bool>,
    until: watch::Sender<Option<u64>>,
    writers: JoinSet<()>,
    watchers: JoinSet<()>,
    names: Vec<String>,
}

impl Load {
    /// Begins. The swarm exists, and is empty.
    pub fn start(plan: Plan, endpoints: Vec<Endpoint>, recorder: &Recorder) -> Self {
        let (stop, until) = (watch::Sender::new(false), watch::Sender::new(None));
        let shared = Shared {
            recorder: recorder.clone(),
            endpoints: Arc::new(endpoints),
            known: Arc::default(),
            progress: watch::Sender::new(0),
            stop: stop.subscribe(),
            until: until.subscribe(),
            plan: Arc::new(plan),
        };
        let mut random = Random::seeded(shared.plan.seed);
        let (mut writers, mut watchers, mut names) = (JoinSet::new(), JoinSet::new(), Vec::new());
        for number in 0..shared.plan.watchers {
            let name = format!("watcher {number}");
            watchers.spawn(watching::watch(shared.clone(), number, name.clone(), random.split()));
            names.push(name);
        }
        for number in 0..shared.plan.writers {
            let (shared, random) = (shared.clone(), random.split());
            if number + shared.plan.streams < shared.plan.writers {
                writers.spawn(writing::write(shared, number, random));
            } else {
                writers.spawn(writing::stream(shared, number, random));
            }
        }
        Self { shared, stop, until, writers, watchers, names }
    }

    /// How many writes were acknowledged so far.
    pub fn progress(&self) -> watch::Receiver<u64> {
        self.shared.progress.subscribe()
    }

    /// Waits for the writers to have done all that was planned.
    pub async fn written(&mut self) {
        while let Some(written) = self.writers.join_next().await {
            written.unwrap();
        }
    }

    /// Ends the writers after their call, lets everything come to rest and the watchers to the newest revision, and says what
    /// there is then. Whoever cannot read the log from the store itself asks [`Recorded::read_log`] for it, before and after.
    pub async fn finish(mut self) -> Recorded {
        self.stop.send_replace(true);
        self.written().await;
        let shared = self.shared;
        let boss = shared.client(0, "the end", "boss", Role::Orchestrator).await;
        let end = timeout(shared.plan.patience, rest(&boss)).await.expect("everything comes to rest");
        self.until.send_replace(Some(end.head));
        // Whoever does not arrive is found by the checker.
        let arrived = async { while self.watchers.join_next().await.is_some() {} };
        let _ = timeout(shared.plan.patience, arrived).await;
        shared.recorder.history().end = Some(End { watching: self.names, ..end });
        boss
    }
}

/// The state once nothing is due any more, so that it stays as it is.
async fn rest(boss: &Recorded) -> End {
    loop {
        if let Ok(end) = look(boss).await
            && end.entries.iter().all(|entry| entry.expire_us.is_none())
        {
            return end;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn look(boss: &Recorded) -> Result<End, Error> {
    let swarm = boss.client.get_swarm().await?.swarm.unwrap_or_default();
    let (head, floor) = (swarm.revision, swarm.floor);
    let freshness = match head {
        0 => Freshness::Strong,
        _ => Freshness::Exact(head),
    };
    let listed = boss.list(&Filter::everything(), freshness).await;
    let entries = entries(&listed).ok_or(Error::Protocol("no listing"))?;
    Ok(End { head, floor, entries, watching: Vec::new() })
}

/// The whole of a run over coordinators that stay as they are: a plan with an end.
pub async fn run(plan: Plan, endpoints: Vec<Endpoint>) -> History {
    let recorder = Recorder::default();
    let mut load = Load::start(plan, endpoints, &recorder);
    load.written().await;
    let boss = load.finish().await;
    boss.read_log().await.unwrap();
    recorder.finish()
}
