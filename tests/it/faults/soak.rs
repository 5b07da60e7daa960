//! The long pass: one load after the other on one stand, and faults at random under it, for as long as is asked. One coordinator is
//! spared, so that what it holds can be judged.

use std::{
    fs,
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use swarmem::client::Role;

use super::{catalogue::FAULTS, report::say, seed, stand::Stand, verdict};
use crate::{
    crash::random::Random,
    history::{
        load::{Load, Plan},
        record::{History, Outcome, Request},
        recorder::Recorder,
    },
};

/// One course is held to so long, because its whole history stays in memory.
const COURSE: Duration = Duration::from_secs(60);
/// Compaction goes on all the time.
const SETTINGS: &[(&str, &str)] = &[
    ("SWARMEM_RETENTION_AGE_S", "0"),
    ("SWARMEM_RETENTION_REVISIONS", "1000"),
    ("SWARMEM_RETENTION_COMPACTION_INTERVAL_MS", "500"),
];
/// A line of JSON for each course.
pub const FILE: &str = "soak.jsonl";

/// What a course came to. One that breaks a rule leaves none.
#[derive(Debug, Serialize, Deserialize)]
pub struct Course {
    pub seed: u64,
    pub course: u32,
    /// Since the beginning, when the course was over.
    pub at_s: u64,
    pub faults: Vec<String>,
    pub calls: usize,
    pub acknowledged: usize,
    pub streams: usize,
    /// Responses and ends of the streams.
    pub steps: usize,
    pub revisions: u64,
    /// How often a coordinator would not start, since the beginning.
    pub refused_starts: u32,
    /// The spared one is the last.
    pub coordinators: Vec<Process>,
    /// The test itself.
    pub test: Process,
}

/// What a process holds.
#[derive(Debug, Serialize, Deserialize)]
pub struct Process {
    pub rss_kib: u64,
    pub files: usize,
    pub threads: u64,
}

/// `SWARMEM_SOAK_MINUTES` minutes of courses with random faults, on one stand; without it a short one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_faults() {
    let minutes = std::env::var("SWARMEM_SOAK_MINUTES").ok().map(|minutes| minutes.parse::<u64>().unwrap());
    let length = minutes.map_or(Duration::from_secs(5), |minutes| Duration::from_secs(60 * minutes));
    let begun = Instant::now();
    let mut random = Random::seeded(seed());
    let mut stand = Stand::sparing(1, SETTINGS).await;
    let mut course = 0;
    while begun.elapsed() < length {
        course += 1;
        let (history, faults) = one(&mut stand, &mut random, course, COURSE.min(length)).await;
        tell(&Course::of(begun, course, faults, &history, &stand));
    }
}

/// A swarm of its own, and a load on it for so long.
async fn one(
    stand: &mut Stand,
    random: &mut Random,
    course: u32,
    length: Duration,
) -> (History, Vec<String>) {
    let ends = Instant::now() + length;
    let recorder = Recorder::default();
    let swarm = format!("soak-{course}");
    let boss = stand.replicas[0].server.client("boss", Role::Orchestrator).await;
    boss.in_swarm(&*swarm).create_swarm(None).await.unwrap();
    let mut reading = stand.reading_of_the_log(&recorder, &swarm).await;
    let plan = Plan { swarm, ..super::plan(random.next()) };
    let load = Load::start(plan, stand.endpoints(), &recorder);
    let mut done = Vec::new();
    let only = std::env::var("SWARMEM_FAULT").ok();
    while Instant::now() < ends {
        let fault = &FAULTS[usize::try_from(random.below(FAULTS.len() as u64)).unwrap()];
        // What needs settings of its own has a course of its own.
        if !fault.settings.is_empty() || only.as_ref().is_some_and(|only| only != fault.name) {
            continue;
        }
        say(&format!("{:?} before the end: {}", ends - Instant::now(), fault.name));
        (fault.strike)(stand, random).await;
        stand.heal().await;
        super::acknowledged(&load, 20, stand).await;
        done.push(fault.name.to_owned());
    }
    let boss = load.finish().await;
    reading.stop().await;
    boss.read_log().await.unwrap();
    let history = recorder.finish();
    verdict(&format!("soak-{course}"), seed(), &history);
    (history, done)
}

impl Course {
    fn of(begun: Instant, course: u32, faults: Vec<String>, history: &History, stand: &Stand) -> Self {
        let acknowledged = history.calls.iter().filter(|call| {
            matches!((&call.request, &call.outcome), (Request::Write(_), Outcome::Done { .. }))
        });
        Self {
            seed: seed(),
            course,
            at_s: begun.elapsed().as_secs(),
            faults,
            calls: history.calls.len(),
            acknowledged: acknowledged.count(),
            streams: history.streams.len(),
            steps: history.streams.iter().map(|stream| stream.steps.len()).sum(),
            revisions: history.end.as_ref().map_or(0, |end| end.head),
            refused_starts: stand.replicas.iter().map(|replica| replica.refused_starts).sum(),
            coordinators: stand.replicas.iter().map(|replica| Process::of(replica.server.id())).collect(),
            test: Process::of(std::process::id()),
        }
    }
}

impl Process {
    fn of(id: u32) -> Self {
        let process = format!("/proc/{id}");
        let status = fs::read_to_string(format!("{process}/status")).unwrap();
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().next().unwrap().parse().unwrap()
        };
        Self {
            rss_kib: number("VmRSS:"),
            files: fs::read_dir(format!("{process}/fd")).unwrap().count(),
            threads: number("Threads:"),
        }
    }
}

/// For whoever looks on, and for the page.
fn tell(course: &Course) {
    let line = serde_json::to_string(course).unwrap();
    say(&line);
    // A long pass is followed while it runs.
    let Some(folder) = std::env::var_os("SWARMEM_FAULTS_TABLE") else { return };
    let file = Path::new(&folder).join(FILE);
    let mut file = fs::File::options().create(true).append(true).open(file).unwrap();
    writeln!(file, "{line}").unwrap();
}
