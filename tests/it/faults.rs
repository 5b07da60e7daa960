//! The proof on real processes: a load on three coordinators over PostgreSQL and Redis, faults under it, and the checker (ADR 15)
//! on what the clients saw.
//!
//! `SWARMEM_FAULTS_SEED` gives another seed, `SWARMEM_FAULT` one fault alone; `SWARMEM_FAULTS_TABLE` names a folder in which each
//! fault leaves its figures; with `SWARMEM_FAULTS_KEEP` the history of a course is kept even if it is right.

mod availability;
mod catalogue;
mod clocks;
mod failover;
mod report;
mod soak;
mod soak_page;
mod stand;
mod table;

use std::{path::Path, time::Duration};

use self::{
    catalogue::{FAULTS, Fault},
    report::{Row, Window},
    stand::Stand,
};
use crate::{
    crash::random::Random,
    history::{
        check,
        load::{Load, Plan},
        record::History,
        recorder::Recorder,
    },
    process::{PATIENCE, eventually},
};

/// Writes that are acknowledged before a fault, and behind it.
const WRITES: u64 = 40;
/// How long what lasts is made to last.
const LASTS: Duration = Duration::from_secs(3);

fn seed() -> u64 {
    std::env::var("SWARMEM_FAULTS_SEED").map_or(1, |seed| seed.parse().unwrap())
}

/// Eight writers and twenty watchers, at a pace that two processors can hold in a debug build.
fn plan(seed: u64) -> Plan {
    Plan { pause_max: Duration::from_millis(100), ..Plan::new(seed) }
}

/// Waits for so many writes to be acknowledged.
async fn acknowledged(load: &Load, more: u64, stand: &Stand) {
    let mut progress = load.progress();
    let goal = *progress.borrow() + more;
    let reached = progress.wait_for(|&done| done >= goal);
    if tokio::time::timeout(PATIENCE, reached).await.is_err() {
        panic!("writes do not go on\n{}", stand.said());
    }
}

/// Under one load one step after the other: its faults, the mending, writes through every coordinator. Then rest, and the
/// verdict.
async fn course(name: &str, steps: &[Vec<&Fault>], plan: Plan) -> (History, Vec<Window>) {
    let settings: Vec<_> = steps.iter().flatten().flat_map(|fault| fault.settings).copied().collect();
    course_on(Stand::start(&settings).await, name, steps, plan).await
}

async fn course_on(
    mut stand: Stand,
    name: &str,
    steps: &[Vec<&Fault>],
    plan: Plan,
) -> (History, Vec<Window>) {
    let seed = plan.seed;
    let mut random = Random::seeded(seed);
    let recorder = Recorder::default();
    let mut reading = stand.reading_of_the_log(&recorder, &plan.swarm).await;
    let load = Load::start(plan, stand.endpoints(), &recorder);
    let mut windows = Vec::new();
    for step in steps {
        acknowledged(&load, WRITES, &stand).await;
        let struck = recorder.now();
        for fault in step {
            (fault.strike)(&mut stand, &mut random).await;
        }
        let healed = recorder.now();
        stand.heal().await;
        let recovered = eventually("writes through each coordinator", async || {
            report::recovered(&recorder.history(), &stand.names(), healed)
        });
        let recovered_us = recovered.await;
        let fault: Vec<_> = step.iter().map(|fault| fault.name).collect();
        windows.push(Window { fault: fault.join(" and "), struck, healed, recovered_us });
    }
    acknowledged(&load, WRITES, &stand).await;
    let boss = load.finish().await;
    reading.stop().await;
    boss.read_log().await.unwrap();
    let history = recorder.history().clone();
    verdict(name, seed, &history);
    (history, windows)
}

/// A course whose figures are left behind.
async fn told(name: &str, steps: &[Vec<&Fault>]) {
    let (history, windows) = course(name, steps, plan(seed())).await;
    for window in windows {
        Row::of(&window, seed(), &history).leave();
    }
}

/// Fails with what was broken, and where the whole history lies.
fn verdict(name: &str, seed: u64, history: &History) {
    let violations = check(history);
    if violations.is_empty() && std::env::var_os("SWARMEM_FAULTS_KEEP").is_none() {
        return;
    }
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("history-{name}-{seed}.jsonl"));
    history.save(&file).unwrap();
    if violations.is_empty() {
        return report::say(&format!("the history lies in {}", file.display()));
    }
    let shown: Vec<_> = violations.iter().take(5).map(|v| format!("{:?}: {}", v.rule, v.example)).collect();
    panic!(
        "{name}, seed {seed}: {} violations, see {}\n{}",
        violations.len(),
        file.display(),
        shown.join("\n")
    );
}

macro_rules! courses {
    ($($course:ident: $($fault:literal)*;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $course() {
                let faults = [$($fault),*];
                // One of them alone, to look at it closely.
                let only = std::env::var("SWARMEM_FAULT").ok();
                let wanted = |name: &&str| only.as_ref().is_none_or(|only| only == name);
                let steps: Vec<_> = faults.into_iter().filter(wanted).map(|name| vec![named(name)]).collect();
                told(stringify!($course), &steps).await;
            }
        )*

        #[test]
        fn every_fault_is_tried() {
            let tried = [$($($fault),*),*];
            assert_eq!(FAULTS.iter().map(|fault| fault.name).collect::<Vec<_>>(), tried);
        }
    };
}

fn named(name: &str) -> &'static Fault {
    FAULTS.iter().find(|fault| fault.name == name).expect("a fault has that name")
}

courses! {
    coordinators: "coordinators killed" "coordinator stopped" "rolling restart";
    crashes: "crash before a commit" "crash behind a commit" "crash before a publish" "crash in the feed";
    postgres: "postgres killed" "postgres restarted" "postgres sessions terminated" "postgres slow commits";
    redis: "redis killed" "redis clients killed" "redis stopped" "redis buffer overrun" "redis messages meddled with" "redis flushed";
    store_lines: "store line cut" "store line delayed" "store line half open" "store line silent";
    bus_lines: "bus line cut" "bus line delayed" "bus line half open" "bus line silent";
    client_lines: "client lines cut" "client lines delayed" "client lines half open" "client lines silent";
    compaction: "crash in compaction" "compaction under slow readers";
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_faults_at_once() {
    let mut random = Random::seeded(seed());
    let mut any = || &FAULTS[usize::try_from(random.below(FAULTS.len() as u64)).unwrap()];
    let steps = [vec![any(), any()], vec![any(), any()], vec![any(), any()]];
    told("two_faults_at_once", &steps).await;
}
